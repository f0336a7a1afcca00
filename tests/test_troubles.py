"""Troubles and answers: what the page quotes is what the package says.

Every box on the page that quotes a message has a fault here that provokes it.

Deliberate faults, and the test that caught each:

- another word in the message of a loss that is nan, a quote that nobody says, label 0
  taken for a class, masks of any size -> test_the_page_quotes_what_is_said
- a box of no height taken, one outside on one axis alone, width and height of the image
  exchanged -> test_what_cannot_be_learnt_is_refused
- targets that the model does not look at -> test_the_model_checks_its_targets
- masks looked at where there are no objects -> test_good_targets_are_taken
"""

from __future__ import annotations

import doctest
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from pages import AS_SHOWN, blocks, read_page
from PIL import Image
from tiny_coco import annotation, contents, image, write
from tiny_training import TINY_MODEL, tiny_config

from maskrcnn_scratch.commands import doctor as doctor_command
from maskrcnn_scratch.data import CocoDataset, check_dataset, read_image, report
from maskrcnn_scratch.doctor import libraries
from maskrcnn_scratch.evaluation import evaluate_coco
from maskrcnn_scratch.inference.found import dataset_labels
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.target_checks import checked_targets
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training import TrainingDiverged, load_config
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.folder import check_same_settings
from maskrcnn_scratch.training.initial_weights import load_initial_weights
from maskrcnn_scratch.training.loop import check_finite, make_scaler
from maskrcnn_scratch.training.metrics import MetricsLog
from maskrcnn_scratch.training.prepare import fit_to_classes, plan_text
from maskrcnn_scratch.weights.model_file import write_model_file

Said = list[str]
PAGE = read_page("troubles.md")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


def refused(call: Callable[[], object]) -> str:
    """What a call says that must fail."""
    with pytest.raises((ValueError, OSError, RuntimeError)) as caught:
        call()
    return str(caught.value)


def findings(folder: Path, *kinds: str) -> str:
    """What the check says of these kinds."""
    found = [one for one in check_dataset(folder, "train") if one.kind in kinds]
    assert {one.kind for one in found} == set(kinds)
    return "\n".join(map(str, found))


def target(**changes: object) -> Target:
    """Image 7, 24 x 32 pixels, with one good object."""
    good = Target(
        image_id=7,
        boxes=torch.tensor([[4.0, 6, 14, 14]]),
        labels=torch.tensor([1]),
        masks=torch.ones(1, 24, 32, dtype=torch.uint8),
        crowd=torch.tensor([False]),
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def learn(one: Target) -> list[Target]:
    """Hand it to a model."""
    return checked_targets([torch.zeros(3, 24, 32)], [one], ModelConfig())


def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """An old NumPy; no TensorBoard."""
    monkeypatch.setattr(libraries, "installed_version", lambda name: "1.26.4")
    old = libraries.check_library(Requirement("numpy>=2.0"), None)
    monkeypatch.setattr("maskrcnn_scratch.doctor.examine", lambda data: [old])
    with redirect_stdout(StringIO()) as out, pytest.raises(BaseException, match="1"):
        doctor_command.doctor(None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = tmp_path / "metrics.jsonl"
    told = out.getvalue().rpartition("1 faults")[0]
    return [told, refused(lambda: MetricsLog(log, tensorboard=True))]


def nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Two images on one GPU; a loss that is no number."""
    small = load_config("coco-r50-fpn", ["train.batch_size=2"]).train
    config = TrainConfig()
    scaler = make_scaler(config, torch.device("cpu"))

    def step() -> None:
        values = {"mask": float("nan")}
        check_finite(values, 3, [target(image_id=43)], config, scaler)

    with pytest.raises(TrainingDiverged):
        step()
    return [plan_text(small, 20), refused(step)]


def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """As corners; without area, outside and beyond the border; in Python."""
    corners = [annotation(n, bbox=[4, 6, 14, 14]) for n in (1, 2, 3)]
    as_corners = write(tmp_path / "corners", contents(annotations=corners))
    wrong = ([4, 6, 0, 8], [40, 6, 10, 8], [28, 6, 10, 8])
    single = [annotation(n, bbox=box) for n, box in enumerate(wrong, start=1)]
    single.append(annotation(4))
    faulty = write(tmp_path / "single", contents(annotations=single))
    with pytest.warns(UserWarning, match="left out or cut") as warned:
        assert len(CocoDataset(faulty, "train")[0][1]) == 2
    with pytest.raises(ValueError, match="better as"):
        CocoDataset(as_corners, "train")
    bad = target(boxes=torch.tensor([[10.0, 20, 5, 8]]))
    return [
        findings(as_corners, "xyxy-boxes"),
        findings(faulty, "empty-box", "outside-box", "protruding-box"),
        str(warned[0].message),
        refused(lambda: learn(bad)),
    ]


def masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Of another size, in the file and in Python; label 0; other classes."""
    rle = {"size": [48, 64], "counts": [0, 48 * 64]}
    folder = write(tmp_path, contents(annotations=[annotation(segmentation=rle)]))
    half = torch.ones(1, 12, 16, dtype=torch.uint8)
    config = load_config("shapes-tiny", ["model.num_classes=5"])
    return [
        findings(folder, "bad-rle"),
        refused(lambda: learn(target(masks=half))),
        refused(lambda: learn(target(labels=torch.tensor([0])))),
        refused(lambda: fit_to_classes(config, ["thing"])),
        refused(lambda: dataset_labels(["cat", "dog"], ["dog", "cat"])),
    ]


def no_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """One of two images."""
    folder = write(tmp_path, contents(images=[image(1), image(2)]))
    assert len(CocoDataset(folder, "train")[1][1]) == 0
    return [report(check_dataset(folder)).partition("\n")[0]]


def average_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Ids of another file; an annotation 0 without area."""
    truth = contents()
    good = {"image_id": 1, "category_id": 1, "bbox": [4, 6, 10, 8], "score": 0.9}
    other_image, label = good | {"image_id": 7}, good | {"category_id": 2}
    zero = [annotation(0, area=None), annotation(1)]
    folder = write(tmp_path, contents(annotations=zero))
    return [
        refused(lambda: evaluate_coco(truth, [other_image], ["bbox"])),
        refused(lambda: evaluate_coco(truth, [label], ["bbox"])),
        findings(folder, "zero-annotation-id", "no-area"),
    ]


def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """A batch that does not divide; an image beyond Pillow's bound."""
    path = tmp_path / "large.png"
    Image.new("L", (50, 50)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    return [
        refused(lambda: load_config("coco-r50-fpn", ["train.accumulate=3"])),
        refused(lambda: read_image(path)),
    ]


def reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Weights of a model whose norms add nothing."""
    model = MaskRCNN(tiny_config().model)
    theirs = tiny_config().model_dump(mode="json")
    theirs["model"]["norm_eps"] = 0.0
    path = tmp_path / "theirs.safetensors"
    write_model_file(path, model, theirs, ["thing"])
    assert "norm_eps" not in TINY_MODEL  # so the model here has the default
    return [load_initial_weights(model, path).text().splitlines()[-1]]


def runs_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Resumed with another learning rate."""
    old, new = tiny_config(), tiny_config(learning_rate=0.01)
    assert old.train.learning_rate == 0.02
    return [refused(lambda: check_same_settings(old, new))]


PROVOKED: dict[str, Callable[[Path, pytest.MonkeyPatch], Said]] = {
    "It does not install, or its extension does not load": installation,
    "The loss becomes NaN, or explodes": nan,
    "Boxes as corners, without area, or outside the image": boxes,
    "Masks of another shape, labels that do not fit": masks,
    "Images without objects": no_objects,
    "AP is 0, or -1": average_precision,
    "Out of memory, with many objects or large images": memory,
    "AP cannot be reproduced": reproduced,
    "Two runs differ": runs_differ,
}


@pytest.mark.parametrize("heading", PROVOKED)
def test_the_page_quotes_what_is_said(
    heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = [one.text for one in blocks(SECTIONS[heading]) if one.kind == "output"]
    said = PROVOKED[heading](tmp_path, monkeypatch)
    for shown, came in zip(quoted, said, strict=True):
        same = doctest.OutputChecker().check_output(shown, came + "\n", AS_SHOWN)
        assert same, f"the page has\n{shown}and said was\n{came}"


def test_every_message_on_the_page_is_provoked() -> None:
    for heading, section in SECTIONS.items():
        quotes = any(one.kind == "output" for one in blocks(section))
        assert quotes == (heading in PROVOKED), heading


def test_every_trouble_has_a_symptom_and_an_answer() -> None:
    """And where no message tells of it, a block of Python that shows it."""
    assert len(SECTIONS) == 13
    for heading, section in SECTIONS.items():
        assert "**Elsewhere:**" in section, heading
        assert re.search(r"\*\*Here\*\*", section), heading
        assert blocks(section), heading


def test_good_targets_are_taken() -> None:
    """An image without objects may have masks of any size: there are none."""
    assert len(learn(target())) == 1
    nothing = target().select(torch.tensor([False]))
    learn(replace(nothing, masks=torch.zeros(0, 1, 1, dtype=torch.uint8)))
    beyond = target(boxes=torch.tensor([[-1.0, 6, 14, 30]]))  # in part
    learn(beyond)
    boxes_alone = ModelConfig(mask_head="none")
    checked_targets([torch.zeros(3, 24, 32)], [target(masks=None)], boxes_alone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": None}, "missing"),
        ({"boxes": torch.tensor([[32.0, 6, 40, 14]])}, "outside its 32 x 24"),
        ({"boxes": torch.tensor([[-9.0, 6, 0, 14]])}, "outside"),
        ({"boxes": torch.tensor([[4.0, 24, 14, 30]])}, "outside"),
        ({"boxes": torch.tensor([[4.0, 6, 14, 6]])}, "no area"),
        ({"boxes": torch.tensor([[float("nan"), 6, 14, 9]])}, "no area"),
        ({"labels": torch.tensor([81])}, "label 81 of image 7"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    changes: dict[str, object], message: str
) -> None:
    assert message in refused(lambda: learn(target(**changes)))


def test_the_model_checks_its_targets() -> None:
    model = MaskRCNN(tiny_config().model).train()
    wrong = target(boxes=torch.tensor([[10.0, 20, 5, 8]]))
    assert "no area" in refused(lambda: model([torch.zeros(3, 24, 32)], [wrong]))
