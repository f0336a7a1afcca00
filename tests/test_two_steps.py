"""An RPN first, then heads on what it proposed; and people with points.

The commands of docs/models.md, on tiny models.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_coco
from tiny_training import TINY_MODEL

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.data import CocoDataset, write_shapes
from maskrcnn_scratch.data.layout import annotation_file
from maskrcnn_scratch.data.proposals import read_proposals


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few generated images."""
    folder = tmp_path_factory.mktemp("shapes")
    return write_shapes(folder, train=4, val=3, size=64)


def write_config(folder: Path) -> Path:
    """The tiny model's, as TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in TINY_MODEL.items()]
    text = ["[model]", *lines, "[data]", "workers = 0", "[data.transform]"]
    text += ["min_sizes = [64]", "[train]", "iterations = 3", "batch_size = 2"]
    path = folder / "tiny.toml"
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def test_heads_learn_from_the_proposals_of_another_model(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, data = str(write_config(tmp_path)), ["--data", str(shapes)]
    rpn, heads = str(tmp_path / "rpn"), str(tmp_path / "heads")
    alone = ["--set", "model.box_head=none", "--set", "model.mask_head=none"]
    assert main(["train", config, *data, "--out", rpn, *alone]) == 0
    assert main(["evaluate", rpn, *data]) == 0
    files = {
        split: str(tmp_path / f"{split}.safetensors") for split in ("train", "val")
    }
    for split, file in files.items():
        asked = ["proposals", rpn, *data, "--split", split, "--out", file]
        assert main([*asked, "--most", "7"]) == 0
    assert capsys.readouterr().out.count("AR@1000, small") == 3
    found = read_proposals(files["train"])
    assert len(found.image_ids) == 4
    assert found.offsets.diff().max() <= 7
    given = ["--set", "model.rpn=false", "--set", f"data.proposals={files['train']}"]
    assert main(["train", config, *data, "--out", heads, *given]) == 0
    assert main(["evaluate", heads, *data, "--proposals", files["val"]]) == 0
    rows = (Path(heads) / "metrics.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == 3
    losses = {"class", "box", "mask"}
    assert json.loads(rows[0]).keys() & {*losses, "rpn_objectness"} == losses


def test_what_does_not_fit_is_refused(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, data = str(write_config(tmp_path)), ["--data", str(shapes)]
    out = ["--out", str(tmp_path / "run")]
    lonely = ["train", config, *data, *out, "--set", "model.rpn=false"]
    assert main(lonely) == 1
    assert "data.proposals must name a file" in capsys.readouterr().err
    pose = ["train", config, *data, *out, "--set", "model.keypoints=17"]
    assert main(pose) == 1
    assert "model.keypoints is 17, but objects in" in capsys.readouterr().err


def test_of_two_kinds_of_annotations_a_model_with_points_reads_its_own(
    tmp_path: Path,
) -> None:
    tiny_coco.write(tmp_path, tiny_coco.contents())
    plain = annotation_file(tmp_path, "train")
    assert plain.name == "instances_train.json"
    assert annotation_file(tmp_path, "train", keypoints=True) == plain
    people = plain.with_name("person_keypoints_train.json")
    people.write_bytes(plain.read_bytes())
    assert annotation_file(tmp_path, "train") == plain
    assert CocoDataset(tmp_path, "train", keypoints=True).annotation_file == people
