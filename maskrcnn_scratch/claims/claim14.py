"""How the feature pyramid is built, and where P6 comes from."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.claims.shapes import Shapes, shapes_of, written
from maskrcnn_scratch.figures.feature_pyramid import draw_feature_pyramid
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.models.roi_features import roi_features
from maskrcnn_scratch.models.rpn import RPN

SIDE = 1024  # pixels of the image
LEVELS = (2, 3, 4, 5)
CHANNELS = 3  # of the small pyramid that is computed


@dataclass(frozen=True)
class Pyramid:
    """Shapes of the paper's pyramid, and what a small one computes."""

    shapes: Shapes
    lateral: set[tuple[int, int]]
    """(kernel size, channels) of the convolutions beside the backbone."""
    output: set[tuple[int, int]]
    """And of those behind the sums."""
    odd: float
    """Largest difference of FPN(-C) from -FPN(C): an activation would make one."""
    repeated: float
    """Largest difference of M5's share in M4 from M5's cells, each 2 x 2 times."""
    stairs: tuple[set[float], set[float]]
    """Steps from cell to cell of a ramp in C5, in M4 and in P4."""
    p6_from_p5: float
    """Largest difference of P6 from every second cell of P5."""
    p6_from_m5: float
    """And of M5."""
    unread_by_rois: bool
    """Whether RoIs of all sizes stay finite when P6 is NaN."""
    read_by_rpn: bool


def measure() -> Pyramid:
    """The paper's modules for shapes and sizes, a small pyramid for values."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        with torch.device("meta"):
            paper = FPN([256, 512, 1024, 2048], PAPER.fpn_channels)
        fpn = FPN([CHANNELS] * 4, CHANNELS)
        maps = [torch.randn(1, CHANNELS, 256 >> n, 256 >> n) for n in LEVELS]
        pyramid, sums = fpn(maps), without_output(fpn)(maps)
        mirrored = zip(fpn([-c for c in maps]), pyramid, strict=True)
        p5, p6 = pyramid[-2:]
        return Pyramid(
            shapes_of(PAPER, SIDE),
            kinds(paper.lateral),
            kinds(paper.output),
            max(apart(one, -other) for one, other in mirrored),
            repeated_from_m5(without_output(fpn), maps),
            stairs(),
            apart(p6, p5[..., ::2, ::2]),
            apart(p6, sums[-2][..., ::2, ::2]),
            *readers(pyramid),
        )


def kinds(convolutions: nn.ModuleList) -> set[tuple[int, int]]:
    """(kernel size, output channels) of each."""
    weights = (conv.get_parameter("weight") for conv in convolutions)
    return {(weight.shape[-1], weight.shape[0]) for weight in weights}


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return float((one - other).abs().max())


def without_output(fpn: FPN) -> FPN:
    """The same without its 3x3 convolutions: P2 to P5 are the sums M2 to M5."""
    bare = deepcopy(fpn)
    bare.output = nn.ModuleList(nn.Identity() for _ in fpn.output)
    return bare


def repeated_from_m5(bare: FPN, maps: list[Tensor]) -> float:
    """Of M4 without C4 from M5's cells, repeated."""
    *_, m4, m5, _ = bare([*maps[:2], torch.zeros_like(maps[2]), maps[3]])
    return apart(m4, m5.repeat_interleave(2, -1).repeat_interleave(2, -2))


def stairs() -> tuple[set[float], set[float]]:
    """Steps of a ramp in C5 as M4 and P4 have it; the 3x3 kernel is 1 2 1 by 1 2 1."""
    fpn = FPN([1] * 4, 1)
    tap = torch.tensor([1.0, 2.0, 1.0]) / 4
    for conv in fpn.lateral:
        conv.get_parameter("weight").fill_(1)
    for conv in fpn.output:
        conv.get_parameter("weight").copy_(torch.outer(tap, tap))
    maps = [torch.zeros(1, 1, 64 >> n, 64 >> n) for n in (0, 1, 2)]
    maps.append(torch.arange(8.0).expand(1, 1, 8, 8))
    steps = []
    for pyramid in (without_output(fpn)(maps), fpn(maps)):
        inside = pyramid[2][0, 0, 2:-2, 2:-2]  # beyond the padding's reach
        steps.append(set(inside.diff(dim=1).flatten().tolist()))
    before, after = steps
    return before, after


def readers(pyramid: list[Tensor]) -> tuple[bool, bool]:
    """Whether RoIs do without P6, and whether the RPN reads it."""
    maps = dict(enumerate([*pyramid[:-1], pyramid[-1] * torch.nan], start=2))
    rois = torch.tensor([[0.0, 0, 0, side, side] for side in (32, 112, 224, 448, 1000)])
    finite = roi_features(PAPER, maps, rois, 7).isfinite().all()
    *finer, last = RPN(PAPER, CHANNELS)(maps)[0]
    read = last.isnan().all() and torch.cat(finer, dim=1).isfinite().all()
    return bool(finite), bool(read)


def evidence(told: Pyramid) -> Iterator[Step | Table]:
    """Part by part as the claim has it; P6 last."""
    yield Table(
        f"An image of {SIDE} x {SIDE}",
        ("level", "stride", "C", "P"),
        tuple(row(told.shapes, level) for level in (*LEVELS, 6)),
    )
    sides = (int(told.shapes["backbone", f"C{n}"][-1]) for n in LEVELS)
    strides = [SIDE // side for side in sides]
    listed = ", ".join(map(str, strides))
    yield Step("strides of C2 to C5", listed, strides == [4, 8, 16, 32])
    yield Step("1x1 convolutions: size and channels", shown(told.lateral),
               told.lateral == {(1, 256)})  # fmt: skip
    yield Step("no activation: FPN(-C) + FPN(C)", f"{told.odd:.1g}", told.odd < 1e-5)
    yield Step("nearest: M4 less M5's cells repeated", f"{told.repeated:.1g}",
               told.repeated < 1e-6)  # fmt: skip
    yield Step("3x3 convolutions: size and channels", shown(told.output),
               told.output == {(3, 256)})  # fmt: skip
    before, after = told.stairs
    uneven = before == {0.0, 1.0}
    yield Step("a ramp of C5 in M4: steps from cell to cell", values(before), uneven)
    yield Step("in P4, if the 3x3 is 1 2 1 by 1 2 1", values(after), after == {0.5})
    yield Step("P6 less every 2nd cell of P5", f"{told.p6_from_p5:g}",
               told.p6_from_p5 == 0)  # fmt: skip
    yield Step("P6 less every 2nd cell of M5, at most", f"{told.p6_from_m5:.2g}",
               told.p6_from_m5 > 0.01)  # fmt: skip
    yield Step("with P6 = NaN: RoIs of 32 to 1000 pixels",
               "finite" if told.unread_by_rois else "NaN",
               told.unread_by_rois)  # fmt: skip
    yield Step("with P6 = NaN: the RPN's logits of level 6",
               "NaN" if told.read_by_rpn else "finite",
               told.read_by_rpn)  # fmt: skip


def row(shapes: Shapes, level: int) -> tuple[str, str, str, str]:
    """What there is of a level."""
    c = shapes.get(("backbone", f"C{level}"), ())
    p = shapes["FPN", f"P{level}"]
    return str(level), str(2**level), written(c[1:]), written(p[1:])


def shown(found: set[tuple[int, int]]) -> str:
    """Kernel size and channels."""
    return ", ".join(f"{size}x{size} to {channels}" for size, channels in found)


def values(numbers: set[float]) -> str:
    """Ascending."""
    return ", ".join(f"{one:g}" for one in sorted(numbers))


def draw(told: Pyramid) -> Figure:
    """The pyramid with the shapes of its maps."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    maps = []
    for level in LEVELS:
        _, channels, height, width = map(int, told.shapes["backbone", f"C{level}"])
        maps.append((channels, height, width))
    draw_feature_pyramid(figure.subplots(), maps, PAPER.fpn_channels)
    return figure


def alt(told: Pyramid) -> str:
    """The picture in words."""
    p6 = written(told.shapes["FPN", "P6"][1:])
    return (
        "Maps as blocks, the widest lowest: C2 to C5 up the backbone, from each a 1x1 "
        "convolution to M2 to M5, these down by nearest upsampling and a sum, from "
        f"each a 3x3 convolution to P2 to P5; P6, {p6}, is every second cell of P5."
    )


CLAIM = Claim(
    number=14,
    claim="FPN takes C2 to C5 at strides 4, 8, 16, 32 to 256 channels by 1x1 "
    "convolutions without activation, adds the coarser map by nearest upsampling, "
    "and smooths by 3x3; P6, for the RPN alone, is M5 max-pooled with stride 2.",
    places=(Place.BLOG, Place.WALK),
    verdict=Verdict.CONDITION,
    right="All of it but for P6: it is taken from P5, behind the 3x3 convolution; with "
    "a kernel of 1 the max-pool is every second cell.",
    paper="Lin et al. 2017, section 3 and figure 3; P6 is a stride-two subsampling of "
    "P5, for anchors of 512 pixels (section 4.1).",
    lesson="07_fpn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
