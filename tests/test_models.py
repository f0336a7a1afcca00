"""Backbone, FPN, RPN and heads: shapes, counts, and what each part promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.box_head import BoxHead
from maskrcnn_scratch.models.config import Depth, Norm
from maskrcnn_scratch.models.fold import fold_batch_norm
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.models.mask_head import FullyConvolutional, MaskHead
from maskrcnn_scratch.models.norms import FrozenBatchNorm2d
from maskrcnn_scratch.models.proposals import Proposals
from maskrcnn_scratch.models.resnet import ResNet
from maskrcnn_scratch.models.roi_features import Maps, roi_features, to_rois
from maskrcnn_scratch.models.rpn import RPN
from maskrcnn_scratch.models.sampling import generators, sample_rois
from maskrcnn_scratch.models.terms import averaged
from maskrcnn_scratch.structures import Target

SMALL = ModelConfig(
    num_classes=3,
    depth=18,
    stem_width=8,
    norm="gn",
    frozen_stages=0,
    fpn_channels=16,
    anchor_sizes=(8, 16, 32, 64, 128),
    level_canonical=64,
    box_head_width=32,
    mask_head_width=16,
)


def count(module: torch.nn.Module) -> int:
    """Numbers in all parameters and in frozen batch norm's buffers."""
    return sum(p.numel() for p in module.parameters())


def target(boxes: list[list[float]], labels: list[int], size: int = 64) -> Target:
    """An object fills its whole box."""
    masks = torch.zeros(len(boxes), size, size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return Target(
        image_id=1,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=masks,
        crowd=torch.zeros(len(boxes), dtype=torch.bool),
    )


@pytest.mark.parametrize(
    ("depth", "groups", "width", "parameters"),
    [
        # torchvision's counts less the classifier and less batch norm's parameters.
        (18, 1, 64, 11_166_912),
        (34, 1, 64, 21_267_648),
        (50, 1, 64, 23_454_912),
        (101, 1, 64, 42_394_816),
        (50, 32, 4, 22_911_680),
    ],
)
def test_resnet_has_the_published_number_of_weights(
    depth: int, groups: int, width: int, parameters: int
) -> None:
    config = ModelConfig(
        depth=depth, groups=groups, width_per_group=width, frozen_stages=0
    )
    with torch.device("meta"):
        model = ResNet(config)
    assert count(model) == parameters


def test_resnet_gives_strides_4_to_32() -> None:
    maps = ResNet(SMALL)(torch.zeros(2, 3, 96, 64))
    assert [tuple(m.shape) for m in maps] == [
        (2, 8, 24, 16),
        (2, 16, 12, 8),
        (2, 32, 6, 4),
        (2, 64, 3, 2),
    ]


@pytest.mark.parametrize("in_1x1", [True, False])
def test_bottleneck_stride_stands_where_the_config_says(in_1x1: bool) -> None:
    config = replace(SMALL, depth=50, stride_in_1x1=in_1x1)
    block = ResNet(config).get_submodule("layer2.0")
    strides = block.conv1.stride[0], block.conv2.stride[0]  # type: ignore[union-attr]
    assert strides == ((2, 1) if in_1x1 else (1, 2))


def test_frozen_batch_norm_is_batch_norm_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    trained = torch.nn.BatchNorm2d(4, eps=1e-3).eval()
    trained.running_mean, trained.running_var = torch.randn(4), torch.rand(4)
    torch.nn.init.normal_(trained.weight)
    frozen = FrozenBatchNorm2d(4, eps=1e-3)
    frozen.load_state_dict(trained.state_dict(), strict=False)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(frozen(x), trained(x))
    assert count(frozen) == 0


def test_frozen_stages_are_not_trained_and_keep_their_statistics() -> None:
    model = ResNet(replace(SMALL, norm="bn", frozen_stages=2)).train()
    trained = {
        name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad
    }
    assert trained == {"layer2", "layer3", "layer4"}
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 64, 64))
    moved = {
        name.split(".")[0]
        for name, buffer in model.named_buffers()
        if not torch.equal(before[name], buffer)
    }
    assert moved == {"layer2", "layer3", "layer4"}


def with_random_norms(config: ModelConfig) -> MaskRCNN:
    """Statistics and affine of every norm as training might leave them."""
    torch.manual_seed(0)
    model = MaskRCNN(config)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FrozenBatchNorm2d | torch.nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 2)  # type: ignore[union-attr]
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_()  # type: ignore[union-attr]
    return model.eval()


@pytest.mark.parametrize("norm", ["frozen_bn", "bn", "gn"])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_folded_model_gives_the_same(norm: Norm, depth: Depth) -> None:
    """Every map of the backbone, without a batch norm left; group norm stays."""
    model = with_random_norms(replace(SMALL, norm=norm, depth=depth))
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = model.backbone(images)
        fold_batch_norm(model)
        found = model.backbone(images)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.std()))
    kinds = {type(module).__name__ for module in model.modules()}
    assert not kinds & {"FrozenBatchNorm2d", "BatchNorm2d"}
    assert ("GroupNorm" in kinds) == (norm == "gn")


def test_folding_leaves_nothing_to_fold() -> None:
    """Twice is as good as once, and a model in training is refused."""
    model = with_random_norms(replace(SMALL, norm="bn"))
    fold_batch_norm(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold_batch_norm(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in after)
    with pytest.raises(ValueError, match="needs its norms"):
        fold_batch_norm(model.train())


def test_under_bfloat16_autocast_boxes_are_computed_in_float32() -> None:
    """Anchors, deltas and proposals; detections: 0.5 pixels would be lost at 128."""
    model = with_random_norms(replace(SMALL, norm="frozen_bn", score_threshold=0.0))
    size = (128, 160)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps = model.feature_maps(model.batch([torch.rand(3, *size)]))
        assert maps[2].dtype == torch.bfloat16
        assert model.rpn is not None
        anchors = model.rpn.anchors(maps)
        logits, deltas = model.rpn(maps)
        sizes = torch.tensor([size]).float()
        (proposals,) = model.rpn.propose(anchors, logits, deltas, sizes)
        found = model.detect(maps, [proposals], sizes)[0]
    boxes_of = (proposals.boxes, found.boxes)
    for boxes in (*anchors, *logits, *deltas, *boxes_of, found.scores):
        assert boxes.dtype == torch.float32
    # Not bfloat16's numbers in float32: some have more digits than that has.
    for boxes in boxes_of:
        assert (boxes.bfloat16().float() != boxes).any()


def test_fpn_adds_the_coarser_level_to_the_finer() -> None:
    """With identity convolutions P2 is C2 plus every coarser map, repeated."""
    fpn = FPN([1, 1, 1, 1], 1)
    for conv in [*fpn.lateral, *fpn.output]:
        torch.nn.init.dirac_(conv.weight)  # type: ignore[arg-type]
    maps = [torch.randn(1, 1, 16 >> n, 24 >> n) for n in range(4)]
    p2, p3, p4, p5, p6 = fpn(maps)

    def up(x: Tensor, times: int) -> Tensor:
        return x.repeat_interleave(times, 2).repeat_interleave(times, 3)

    torch.testing.assert_close(p5, maps[3])
    torch.testing.assert_close(p4, maps[2] + up(maps[3], 2))
    torch.testing.assert_close(p3, maps[1] + up(maps[2], 2) + up(maps[3], 4))
    torch.testing.assert_close(
        p2, maps[0] + up(maps[1], 2) + up(maps[2], 4) + up(maps[3], 8)
    )
    torch.testing.assert_close(p6, p5[:, :, ::2, ::2])


def pyramid(images: int = 2, size: int = 64) -> Maps:
    """Random P2 to P6 of square images."""
    torch.manual_seed(0)
    channels = SMALL.fpn_channels
    return {
        level: torch.randn(images, channels, -(-size // s), -(-size // s))
        for level, s in zip(SMALL.anchor_levels, SMALL.strides, strict=True)
    }


def proposed(boxes: Tensor) -> Proposals:
    """Boxes of equal scores."""
    return Proposals(boxes, torch.zeros(len(boxes)))


def test_rpn_predictions_are_in_the_order_of_the_anchors() -> None:
    """A logit that stands out lifts the anchor at its own cell and ratio."""
    rpn = RPN(SMALL, 16)
    features = pyramid()
    anchors = rpn.anchors(features)
    logits, deltas = rpn(features)
    assert [len(a) for a in anchors] == [3 * n * n for n in (16, 8, 4, 2, 1)]
    assert [tuple(x.shape) for x in logits] == [(2, len(a)) for a in anchors]
    assert [tuple(x.shape) for x in deltas] == [(2, len(a), 4) for a in anchors]
    torch.nn.init.zeros_(rpn.deltas.weight)
    for logit in logits:
        logit.fill_(-9)
    row, column, ratio = 5, 9, 2
    logits[0][0, (row * 16 + column) * 3 + ratio] = 9
    still = [torch.zeros_like(d) for d in deltas]
    sizes = torch.full((2, 2), 64.0)
    best = rpn.propose(anchors, logits, still, sizes)[0].boxes[0]
    centre = (best[:2] + best[2:]) / 2
    assert centre.tolist() == [4 * column, 4 * row]
    assert (best[3] - best[1]) / (best[2] - best[0]) == pytest.approx(2)


def test_proposals_lie_in_their_image_best_first_and_within_the_limit() -> None:
    config = replace(SMALL, rpn_post_nms_test=7)
    rpn = RPN(config, 16).eval()
    features = pyramid()
    anchors = rpn.anchors(features)
    logits, deltas = rpn(features)
    spread = [torch.randn_like(x) for x in logits]
    sizes = [(64, 50), (33, 64)]
    proposals = rpn.propose(anchors, spread, deltas, torch.tensor(sizes).float())
    for proposal, (height, width) in zip(proposals, sizes, strict=True):
        boxes = proposal.boxes
        assert len(boxes) == 7
        assert (proposal.scores.diff() <= 0).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_rpn_loss_falls_to_zero_for_perfect_predictions() -> None:
    """Certain, right logits cost nothing; wrong ones cost their margin."""
    rpn = RPN(SMALL, 16)
    features = pyramid(images=1)
    anchors = rpn.anchors(features)
    # An object that is exactly one anchor: the best match needs no move.
    place = (7 * 16 + 7) * 3 + 1
    truth = target([anchors[0][place].tolist()], [1])
    from maskrcnn_scratch import ops

    matched = ops.match(truth.boxes, torch.cat(anchors), 0.7, 0.3, True)
    right = torch.where(matched >= 0, 30.0, -30.0)[None]
    split = list(right.split([len(a) for a in anchors], dim=1))
    deltas = [torch.zeros(1, len(a), 4) for a in anchors]
    losses = averaged(rpn.losses(anchors, split, deltas, [truth], [None]))
    assert losses["rpn_objectness"] < 1e-9
    wrong = [-s for s in split]
    losses = averaged(rpn.losses(anchors, wrong, deltas, [truth], [None]))
    assert losses["rpn_objectness"] == pytest.approx(30, rel=1e-3)


def test_sampled_rois_carry_their_own_object() -> None:
    truth = [
        target([[0, 0, 20, 20], [30, 30, 60, 60]], [1, 3]),
        target([[8, 8, 40, 24]], [2]),
    ]
    proposals = [torch.tensor([[31.0, 31, 60, 60], [0, 40, 10, 60]]), torch.zeros(0, 4)]
    seen = {}
    for image, (boxes, one) in enumerate(zip(proposals, truth, strict=True)):
        sampled = sample_rois(SMALL, proposed(boxes), one)
        assert sampled.valid.all()
        for roi, label, thing, goal in zip(
            sampled.boxes.tolist(),
            sampled.labels.tolist(),
            sampled.objects.tolist(),
            sampled.goals.tolist(),
            strict=True,
        ):
            seen[image, *roi] = (label, thing if label else None, tuple(goal))
    assert seen == {
        (0, 31, 31, 60, 60): (3, 1, (30, 30, 60, 60)),
        (0, 0, 40, 10, 60): (0, None, (0, 40, 10, 60)),
        (0, 0, 0, 20, 20): (1, 0, (0, 0, 20, 20)),
        (0, 30, 30, 60, 60): (3, 1, (30, 30, 60, 60)),
        (1, 8, 8, 40, 24): (2, 0, (8, 8, 40, 24)),
    }


def test_objects_need_not_join_the_proposals() -> None:
    truth = target([[0, 0, 20, 20]], [1])
    config = replace(SMALL, roi_append_truth=False)
    sampled = sample_rois(config, proposed(torch.tensor([[0.0, 40, 10, 60]])), truth)
    assert sampled.boxes.tolist() == [[0, 40, 10, 60]]
    assert sampled.labels.tolist() == [0]


def test_crowds_are_no_objects_to_learn() -> None:
    truth = target([[0, 0, 20, 20], [30, 30, 60, 60]], [1, 3])
    truth = replace(truth, crowd=torch.tensor([True, False]))
    sampled = sample_rois(SMALL, proposed(torch.tensor([[0.0, 0, 20, 20]])), truth)
    assert sorted(sampled.labels.tolist()) == [0, 3]
    assert sampled.objects[sampled.labels == 3].tolist() == [1]


def test_what_an_image_draws_does_not_depend_on_its_batch() -> None:
    """Nor on its place there: two processes draw what one would."""
    boxes = torch.rand(2000, 4).cumsum(1) * 16
    config = replace(SMALL, roi_samples=16)
    truth = [replace(target([[0, 0, 9, 9]], [1]), image_id=n) for n in (7, 8)]
    torch.manual_seed(5)
    both = [
        sample_rois(config, proposed(boxes), t, g)
        for t, g in zip(truth, generators(truth), strict=True)
    ]
    torch.manual_seed(5)
    alone = sample_rois(config, proposed(boxes), truth[1], generators(truth[1:])[0])
    assert torch.equal(both[1].boxes, alone.boxes)
    assert not torch.equal(both[0].boxes, alone.boxes)


def test_roi_features_come_from_the_level_of_the_box() -> None:
    """Constant maps 2, 3, 4, 5: the value tells the level."""
    maps = {level: torch.full_like(p, level) for level, p in pyramid().items()}
    boxes = [[0.0, 0, 16, 16], [0, 0, 32, 32], [0, 0, 60, 64], [0, 0, 64, 64]]
    features = roi_features(SMALL, maps, to_rois([torch.tensor(boxes)]), 7)
    torch.testing.assert_close(features[:, 0, 3, 3], torch.tensor([2.0, 3, 3, 4]))


SIZE = torch.full((1, 2), 64.0)


def test_detections_move_the_roi_by_the_deltas_of_its_class() -> None:
    head = BoxHead(SMALL, 16)
    logits = torch.tensor([[0.0, 0, 9, 0]])
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 1, 0] = 10 * 0.5  # weight 10: half a width to the right
    deltas[0, 0, 0] = 99
    rois = torch.tensor([[0.0, 8, 8, 24, 24]])
    (found,) = head.detect(logits, deltas, rois, SIZE)
    assert found.labels.tolist() == [2]
    assert found.boxes.tolist() == [[16, 8, 32, 24]]
    assert found.scores[0] == logits.softmax(1)[0, 2]


def test_overlapping_detections_survive_only_in_different_classes() -> None:
    head = BoxHead(SMALL, 16)
    logits = torch.tensor([[0.0, 4, 5, 0], [0, 5, 0, 0]])
    rois = torch.tensor([[0.0, 8, 8, 24, 24], [0, 8, 8, 24, 25]])
    (found,) = head.detect(logits, torch.zeros(2, 3, 4), rois, SIZE)
    assert found.labels.tolist() == [1, 2]
    assert found.boxes.tolist() == [[8, 8, 24, 25], [8, 8, 24, 24]]


def test_only_the_true_class_of_a_mask_gets_a_gradient() -> None:
    head = MaskHead(SMALL, 16)
    truth = target([[0, 0, 20, 20], [30, 30, 60, 60]], [1, 3])
    sampled = sample_rois(SMALL, proposed(torch.zeros(0, 4)), truth)
    logits = head(torch.randn(2, 16, 14, 14), sampled.labels)
    averaged(head.losses(logits, [sampled], [truth]))["mask"].backward()
    for parameter in head.net.mask_logits.parameters():
        assert parameter.grad is not None
        touched = parameter.grad.view(3, -1).any(dim=1)
        assert touched.tolist() == [True, False, True]


def test_the_mask_of_a_class_is_the_one_of_all_masks() -> None:
    torch.manual_seed(0)
    net = FullyConvolutional(SMALL, 16)
    torch.nn.init.normal_(net.mask_logits.bias)  # type: ignore[arg-type]
    torch.nn.init.normal_(net.deconv.bias)  # type: ignore[arg-type]
    x, maps = torch.randn(3, 16, 14, 14), torch.tensor([2, 0, 1])
    expected = net(x)[torch.arange(3), maps]
    for layout in (torch.contiguous_format, torch.channels_last):
        own = net.chosen(x.contiguous(memory_format=layout), maps)
        torch.testing.assert_close(own, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ({"depth": 18, "groups": 32}, "depth 18 has no bottlenecks"),
        ({"rpn_negative_iou": 0.9}, "rpn_negative_iou 0.9 is above"),
    ],
)
def test_impossible_configs_are_refused_by_name(
    change: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**change)  # type: ignore[arg-type]
