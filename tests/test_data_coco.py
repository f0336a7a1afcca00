"""COCO folders to images and targets.

Faults tried -> the test that caught them:
- box taken for x1, y1, x2, y2, labels from 0 -> test_an_item
- labels by order in the file -> test_labels_go_by_rising_id
- images by order in the file -> test_images_without_objects_stay
- crowds for objects -> test_crowds_are_marked
- polygons of 4 numbers reach pycocotools, which takes them for boxes
  -> test_what_has_no_area_is_left_out
- boxes cut with height and width exchanged -> test_boxes_are_cut_to_their_image...
- keypoints without the half pixel, unlabelled ones moved, no left and right
  -> test_keypoints
- masks transposed -> test_all_forms_of_segmentation_agree
- the sum of run lengths without differences, or from the second number on
  -> test_run_lengths_are_counted
- augmentation from the global generator, or without seed, epoch or index
  -> test_augmentation_depends_on_seed_epoch_and_index_alone
- one image cached for all -> test_the_cache_changes_nothing
- without masks: outlines wanted all the same, boxes without extent kept
  -> test_boxes_need_no_outlines
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tiny_coco
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from maskrcnn_scratch.data import CocoDataset, TrainTransform
from maskrcnn_scratch.data.annotations import (
    decode_masks,
    run_length_total,
    to_rle,
)
from maskrcnn_scratch.data.transforms import Sample, boxes_around

HEIGHT, WIDTH = tiny_coco.HEIGHT, tiny_coco.WIDTH
SIZE = (HEIGHT, WIDTH)


@st.composite
def bitmaps(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = st.lists(st.booleans(), min_size=width, max_size=width)
    rows = draw(st.lists(bits, min_size=height, max_size=height))
    return np.array(rows, np.uint8)


def column_runs(mask: np.ndarray) -> list[int]:
    """COCO's plain run lengths: zeros first, down the columns."""
    flat = mask.T.reshape(-1)
    ends = [*(np.flatnonzero(np.diff(flat)) + 1), len(flat)]
    runs = np.diff([0, *ends]).tolist()
    return [0, *runs] if flat[0] else runs


@given(mask=bitmaps())
def test_all_forms_of_segmentation_agree(mask: np.ndarray) -> None:
    size = (mask.shape[0], mask.shape[1])
    compressed = mask_utils.encode(np.asfortranarray(mask))
    text = {**compressed, "counts": compressed["counts"].decode()}
    plain = {"size": list(size), "counts": column_runs(mask)}
    rles = [to_rle(text, size), to_rle(plain, size)]
    expected = torch.from_numpy(mask).expand(2, *size)
    assert torch.equal(decode_masks(rles, size), expected)


@given(mask=bitmaps())
def test_run_lengths_are_counted(mask: np.ndarray) -> None:
    counts = mask_utils.encode(np.asfortranarray(mask))["counts"]
    assert run_length_total(counts) == mask.size
    assert run_length_total(counts.decode()) == mask.size


@pytest.mark.parametrize(
    ("counts", "message"),
    [("5~", "character"), ("0P", "break off"), ("O", "negative")],
)
def test_broken_run_lengths_are_told(counts: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_length_total(counts)


def test_an_item(tmp_path: Path) -> None:
    dataset = CocoDataset(tiny_coco.write(tmp_path, tiny_coco.contents()), "train")
    image, target = dataset[0]
    assert image.shape == (3, HEIGHT, WIDTH)
    assert image[:, 0, 5].tolist() == pytest.approx([5 / 255] * 3)
    assert target.boxes.tolist() == [[4, 6, 14, 14]]
    assert torch.equal(target.boxes, boxes_around(target.masks))
    assert int(target.masks.sum()) == 80
    assert (target.image_id, target.labels.tolist()) == (1, [1])
    assert target.crowd.tolist() == [False]
    assert target.keypoints is None


def test_crowds_are_marked(tmp_path: Path) -> None:
    crowd = tiny_coco.annotation(
        2, iscrowd=1, segmentation={"size": [24, 32], "counts": [100, 60, 608]}
    )
    data = tiny_coco.contents(annotations=[tiny_coco.annotation(1), crowd])
    _, target = CocoDataset(tiny_coco.write(tmp_path, data), "train")[0]
    assert target.crowd.tolist() == [False, True]
    assert target.masks.sum((1, 2)).tolist() == [80, 60]


def test_labels_go_by_rising_id(tmp_path: Path) -> None:
    categories = [{"id": i, "name": name} for i, name in ((90, "z"), (7, "a"))]
    annotations = [
        tiny_coco.annotation(1, category_id=90),
        tiny_coco.annotation(2, category_id=7),
    ]
    data = tiny_coco.contents(annotations=annotations, categories=categories)
    dataset = CocoDataset(tiny_coco.write(tmp_path, data), "train")
    assert dataset.class_names == ["a", "z"]
    assert dataset.category_ids == [7, 90]
    assert dataset[0][1].labels.tolist() == [2, 1]


def test_images_without_objects_stay(tmp_path: Path) -> None:
    data = tiny_coco.contents(images=[tiny_coco.image(n) for n in (3, 1, 2)])
    dataset = CocoDataset(tiny_coco.write(tmp_path, data), "train")
    assert [target.image_id for _, target in dataset] == [1, 2, 3]
    _, target = dataset[2]
    assert target.boxes.shape == (0, 4)
    assert target.masks.shape == (0, HEIGHT, WIDTH)
    assert target.labels.dtype == torch.int64
    assert target.crowd.dtype == torch.bool


def test_boxes_are_cut_to_their_image_with_a_warning(tmp_path: Path) -> None:
    square = [[20, -3, 40, -3, 40, 30, 20, 30]]
    wide = tiny_coco.annotation(1, bbox=[20, -3, 20, 33], segmentation=square)
    folder = tiny_coco.write(tmp_path, tiny_coco.contents(annotations=[wide]))
    with pytest.warns(UserWarning, match="1 protruding-box"):
        dataset = CocoDataset(folder, "train")
    assert dataset[0][1].boxes.tolist() == [[20, 0, WIDTH, HEIGHT]]


def test_what_has_no_area_is_left_out(tmp_path: Path) -> None:
    annotations = [
        tiny_coco.annotation(1),
        tiny_coco.annotation(2, bbox=[4, 6, 0, 8]),
        tiny_coco.annotation(3, bbox=[4, 6, 10, -8]),
        tiny_coco.annotation(4, bbox=[40, 6, 10, 8]),
        tiny_coco.annotation(5, segmentation=[[4, 6, 14, 14]]),
        tiny_coco.annotation(
            6, segmentation=[[0, 0, 30, 20], [4, 6, 14, 6, 14, 14, 4, 14]]
        ),
    ]
    data = tiny_coco.contents(annotations=annotations)
    with pytest.warns(UserWarning, match="2 empty-box, 1 outside-box, 2 short-poly"):
        dataset = CocoDataset(tiny_coco.write(tmp_path, data), "train")
    _, target = dataset[0]
    assert target.boxes.tolist() == [[4, 6, 14, 14]] * 2
    assert target.masks.sum((1, 2)).tolist() == [80, 80]


def test_keypoints(tmp_path: Path) -> None:
    person = {"id": 1, "name": "person", "keypoints": ["nose", "left_ear", "right_ear"]}
    annotations = [
        tiny_coco.annotation(1, keypoints=[5, 7, 2, 0, 0, 0, 9, 8, 1]),
        tiny_coco.annotation(2),
    ]
    data = tiny_coco.contents(annotations=annotations, categories=[person])
    dataset = CocoDataset(tiny_coco.write(tmp_path, data), "train")
    assert dataset.keypoint_swap == (0, 2, 1)
    _, target = dataset[0]
    assert target.keypoints is not None
    expected = [[5.5, 7.5, 2], [0, 0, 0], [9.5, 8.5, 1]]
    assert target.keypoints.tolist() == [expected, [[0, 0, 0]] * 3]


def test_boxes_need_no_outlines(tmp_path: Path) -> None:
    """Missing and broken outlines matter only where masks are asked for."""
    bare = tiny_coco.annotation(1)
    del bare["segmentation"]
    annotations = [
        bare,
        tiny_coco.annotation(2, segmentation=[[1, 2, 3]]),
        tiny_coco.annotation(3, bbox=[4, 6, 0, 8]),
        tiny_coco.annotation(4, segmentation=[[0, 0, 1, 0, 1, 1]]),
    ]
    folder = tiny_coco.write(tmp_path, tiny_coco.contents(annotations=annotations))
    with pytest.raises(ValueError, match="annotation 1: its segmentation is None"):
        CocoDataset(folder, "train")
    with pytest.warns(UserWarning, match=": 1 empty-box$"):
        dataset = CocoDataset(folder, "train", masks=False)
    _, target = dataset[0]
    assert target.masks is None
    assert target.boxes.tolist() == [[4, 6, 14, 14]] * 3


def test_masks_are_all_that_is_left_away(tmp_path: Path) -> None:
    person = {"id": 1, "name": "person", "keypoints": ["nose"]}
    annotations = [
        tiny_coco.annotation(1, keypoints=[5, 7, 2], num_keypoints=1),
        tiny_coco.annotation(2, keypoints=[0, 0, 0], num_keypoints=0),
        tiny_coco.annotation(
            3, iscrowd=1, segmentation={"size": [24, 32], "counts": [100, 60, 608]}
        ),
    ]
    data = tiny_coco.contents(annotations=annotations, categories=[person])
    folder = tiny_coco.write(tmp_path, data)
    image, target = CocoDataset(folder, "train")[0]
    same_image, boxes = CocoDataset(folder, "train", masks=False)[0]
    assert torch.equal(image, same_image)
    assert boxes.masks is None
    for field in ("boxes", "labels", "crowd", "keypoints"):
        assert torch.equal(getattr(boxes, field), getattr(target, field)), field
    assert target.keypoints is not None
    assert target.keypoints[:, 0, 2].tolist() == [2, 0, 0]


@pytest.mark.parametrize("place", ["train", "train2017", "images", "."])
@pytest.mark.parametrize(
    "name", ["instances_train", "instances_train2017", "person_keypoints_train"]
)
def test_known_layouts(tmp_path: Path, place: str, name: str) -> None:
    tiny_coco.write(tmp_path, tiny_coco.contents())
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / "train/1.png").rename(tmp_path / place / "1.png")
    annotations = tmp_path / "annotations"
    (annotations / "instances_train.json").rename(annotations / f"{name}.json")
    assert len(CocoDataset(tmp_path, "train")) == 1


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no annotations of split 'train'.*or"):
        CocoDataset(tmp_path, "train")
    data = tiny_coco.contents(images=[tiny_coco.image(1), tiny_coco.image(2)])
    tiny_coco.write(tmp_path, data, pixels=False)
    with pytest.raises(
        FileNotFoundError, match=r"none of the 2 images, such as 1\.png"
    ):
        CocoDataset(tmp_path, "train")
    tiny_coco.write(tmp_path, data)
    (tmp_path / "train/2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images .* first is 2.png"):
        CocoDataset(tmp_path, "train")


def test_faulty_annotations_are_refused(tmp_path: Path) -> None:
    data = tiny_coco.contents(annotations=[tiny_coco.annotation(5, category_id=3)])
    folder = tiny_coco.write(tmp_path, data)
    with pytest.raises(ValueError, match="annotation 5: its category_id 3 is not lis"):
        CocoDataset(folder, "train")
    (folder / "annotations/instances_train.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"instances_train.json is no valid JSON"):
        CocoDataset(folder, "train")


def jittered(folder: Path, *, seed: int = 0, cache: bool = False) -> CocoDataset:
    transform = TrainTransform(
        min_sizes=(20, 30), scale_jitter=(0.5, 2), crop=24, color_jitter=0.3
    )
    return CocoDataset(folder, "train", transform, seed=seed, cache=cache)


def same(one: Sample, other: Sample) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1].masks, other[1].masks)


def test_augmentation_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    images = [tiny_coco.image(n) for n in (1, 2)]
    annotations = [tiny_coco.annotation(n, image_id=n) for n in (1, 2)]
    folder = tiny_coco.write(tmp_path, tiny_coco.contents(images, annotations))
    dataset = jittered(folder)
    first = dataset[3, 1]
    torch.manual_seed(5)
    _ = dataset[0]
    assert same(dataset[3, 1], first)
    assert same(pickle.loads(pickle.dumps(dataset))[3, 1], first)  # as in a worker
    for other in (dataset[2, 1], dataset[3, 0], jittered(folder, seed=1)[3, 1]):
        assert not same(other, first)
    assert same(dataset[1], dataset[0, 1])


def test_the_cache_changes_nothing(tmp_path: Path) -> None:
    images = [tiny_coco.image(1), tiny_coco.image(2, 32, 24)]
    folder = tiny_coco.write(tmp_path, tiny_coco.contents(images))
    plain, cached = jittered(folder), jittered(folder, cache=True)
    for key in [(0, 0), (1, 0), (0, 0), (0, 1), (0, 0), (1, 1)]:
        assert same(plain[key], cached[key])
    (folder / "train/1.png").unlink()
    assert same(cached[2, 0], cached[2, 0])


def iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    union = (one | other).sum((1, 2))
    return (one & other).sum((1, 2)) / union


def test_real_polygons_and_run_lengths_agree(shared_data: Path) -> None:
    folder = shared_data / "dsb2018_fluo256"
    exact_file = folder / "annotations/instances_val_rle.json"
    polygons = CocoDataset(folder, "val")
    exact = CocoDataset(folder, "val", annotations=exact_file)
    agreement = []
    for (image, one), (same_image, other) in zip(polygons, exact, strict=True):
        assert torch.equal(image, same_image)
        assert torch.equal(one.boxes, other.boxes)
        agreement.append(iou(one.masks, other.masks))
    every = torch.cat(agreement)
    assert every.mean() > 0.999
    assert (every > 0.99).float().mean() > 0.99


@pytest.mark.parametrize(
    ("name", "split", "images", "objects"),
    [
        ("dsb2018_fluo256", "train", 268, 7570),
        ("dsb2018_fluo256", "val", 66, 1973),
        ("balloon_640", "train", 61, 255),
        ("balloon_640", "val", 13, 50),
        ("coco_person_small", "train", 240, 322),
        ("coco_person_small", "val", 62, 80),
    ],
)
def test_real_folders_load(
    shared_data: Path, name: str, split: str, images: int, objects: int
) -> None:
    dataset = CocoDataset(shared_data / name, split)
    assert len(dataset) == images
    total = 0
    for image, target in dataset:
        assert 0 <= image.min() <= image.max() <= 1
        assert target.masks.shape[1:] == image.shape[1:]
        total += len(target)
        if len(target):
            # A polygon's tip, thinner than a pixel, leaves its mask some pixels short.
            apart = (boxes_around(target.masks) - target.boxes).abs()
            assert apart.max() < 6
            assert apart.median() < 1
    assert total == objects


def test_real_keypoints_lie_on_their_person(shared_data: Path) -> None:
    dataset = CocoDataset(shared_data / "coco_person_small", "val")
    assert dataset.keypoint_swap is not None
    assert dataset.keypoint_swap[:3] == (0, 2, 1)
    inside = []
    for _, target in dataset:
        assert target.keypoints is not None
        for mask, points in zip(target.masks, target.keypoints, strict=True):
            for x, y, _ in points[points[:, 2] == 2].tolist():
                row, column = int(y), int(x)
                if row < mask.shape[0] and column < mask.shape[1]:
                    inside.append(int(mask[row, column]))
    assert np.mean(inside) > 0.9


def test_annotations_of_another_name(tmp_path: Path) -> None:
    folder = tiny_coco.write(tmp_path, tiny_coco.contents())
    other = tmp_path / "mine.json"
    other.write_text(
        json.dumps(tiny_coco.contents(annotations=[tiny_coco.annotation()]))
    )
    assert CocoDataset(folder, "train", annotations=other).annotation_file == other
