"""Proposals come back from their file as they were, best first, image by image.

Faults tried -> the test that caught them:
- sorted by rising score, offsets shifted by an image, the limit forgotten
  -> test_what_is_written_is_read
- an image that is not there gives its neighbour's boxes -> test_other_images_...
- a fault in the file not looked for -> test_faulty_files_are_told
- proposals left in the frame of the unscaled image -> test_they_follow_their_image
"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import strategies
import tiny_coco
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from maskrcnn_scratch.data import (
    CocoDataset,
    TrainTransform,
    read_proposals,
    write_proposals,
)

Found = dict[int, tuple[Tensor, Tensor]]


@st.composite
def findings(draw: st.DrawFn) -> Found:
    """Boxes with scores in eighths for a few images, some without any."""
    found = {}
    for image_id in draw(st.lists(st.integers(1, 9), unique=True, max_size=4)):
        boxes = torch.from_numpy(draw(strategies.boxes(smallest=1 / 16))).float()
        eighths = st.integers(0, 8).map(lambda n: n / 8)
        scores = draw(st.lists(eighths, min_size=len(boxes), max_size=len(boxes)))
        found[image_id] = boxes, torch.tensor(scores, dtype=torch.float32)
    return found


@given(found=findings(), most=st.integers(1, 7))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, found: Found, most: int
) -> None:
    path = tmp_path_factory.mktemp("p") / "proposals.safetensors"
    write_proposals(path, "some model", found)
    read = read_proposals(path)
    assert read.model == "some model"
    assert read.image_ids.tolist() == sorted(found)
    for image_id, (boxes, scores) in found.items():
        best_first = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
        assert torch.equal(read.of(image_id, most), boxes[best_first[:most]])


def write_two(path: Path) -> None:
    """Of images 1 and 3."""
    boxes = torch.tensor([[4.0, 6, 14, 14], [0, 0, 8, 4]])
    found = {3: (boxes[:1], torch.ones(1)), 1: (boxes, torch.tensor([0.25, 0.75]))}
    write_proposals(path, "RPN", found)


def test_other_images_have_none(tmp_path: Path) -> None:
    write_two(tmp_path / "p.safetensors")
    read = read_proposals(tmp_path / "p.safetensors")
    for image_id in (0, 2, 4):
        with pytest.raises(KeyError, match=f"no proposals for image {image_id}"):
            read.of(image_id, 5)
    read.require([1, 3])
    with pytest.raises(ValueError, match="for 2 of 3 images, the first is 2; are they"):
        read.require([1, 2, 4])


@pytest.mark.parametrize("box", [[0, 0, 0, 4], [0, 4, 4, 4], [0, 0, float("nan"), 1]])
def test_boxes_without_extent_are_not_written(tmp_path: Path, box: list[float]) -> None:
    with pytest.raises(ValueError, match="image 5 has proposals that are not finite"):
        write_proposals(
            tmp_path / "p", "RPN", {5: (torch.tensor([box]).float(), torch.ones(1))}
        )
    assert not list(tmp_path.iterdir())


def faulty(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with one fault."""
    if name == "lacks scores":
        return {key: value for key, value in tensors.items() if key != "scores"}
    changes = {
        "boxes of five numbers": {"boxes": torch.zeros(3, 5)},
        "doubles": {"boxes": tensors["boxes"].double()},
        "a score too many": {"scores": torch.ones(4)},
        "an offset too few": {"offsets": tensors["offsets"][:-1]},
        "offsets that fall": {"offsets": torch.tensor([0, 4, 3])},
        "offsets from 1": {"offsets": torch.tensor([1, 2, 3])},
        "images twice": {"image_ids": torch.tensor([1, 1])},
    }
    return tensors | changes[name]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lacks scores", "expected a file of proposals"),
        ("doubles", "expected a file of proposals"),
        ("boxes of five numbers", "do not fit together"),
        ("a score too many", "do not fit together"),
        ("an offset too few", "do not fit together"),
        ("offsets that fall", "do not fit together"),
        ("offsets from 1", "do not fit together"),
        ("images twice", "do not fit together"),
    ],
)
def test_faulty_files_are_told(tmp_path: Path, fault: str, message: str) -> None:
    path = tmp_path / "p.safetensors"
    write_two(path)
    save_file(faulty(fault, load_file(path)), path, {"model": "RPN"})
    with pytest.raises(ValueError, match=message):
        read_proposals(path)


def test_other_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    with pytest.raises(FileNotFoundError, match="no proposals at"):
        read_proposals(path)
    write_two(path)
    save_file(load_file(path), path)
    with pytest.raises(ValueError, match="and the model's name"):
        read_proposals(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_proposals(path)


def test_they_follow_their_image(tmp_path: Path) -> None:
    """The proposal that is the object's box stays on it, and only the best come."""
    path = tmp_path / "p.safetensors"
    write_two(path)
    images = [tiny_coco.image(1), tiny_coco.image(3)]
    annotations = [tiny_coco.annotation(n, image_id=n) for n in (1, 3)]
    folder = tiny_coco.write(tmp_path, tiny_coco.contents(images, annotations))
    wild = TrainTransform(horizontal_flip=1, quarter_turns=True, min_sizes=(30, 50))
    dataset = CocoDataset(folder, "train", wild, proposals=path, most_proposals=1)
    for epoch in range(4):
        _, target = pickle.loads(pickle.dumps(dataset))[epoch, 1]
        assert target.proposals is not None
        assert torch.equal(target.proposals, target.boxes)
    dataset.transform = None
    assert dataset[0][1].proposals.tolist() == [[0, 0, 8, 4]]
    assert CocoDataset(folder, "train")[0][1].proposals is None


def test_proposals_of_another_split_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    write_two(path)
    of_it = tiny_coco.annotation(image_id=2)
    folder = tiny_coco.write(
        tmp_path, tiny_coco.contents([tiny_coco.image(2)], [of_it])
    )
    with pytest.raises(ValueError, match="for 1 of 1 images, the first is 2"):
        CocoDataset(folder, "train", proposals=path)
