"""The small models that come with the package, and the command that makes them.

Deliberate faults, and the test that caught each:

- weights of another training in the file -> test_the_shapes_model_finds_shapes
- tensors stored in 32 bits -> test_the_command_trains
- the same images again and again -> test_every_image_is_fresh
- the lessons' images trained on -> test_lessons_see_other_images
- the settings of the recipe not used -> test_the_files_are_of_the_recipes
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from safetensors import safe_open

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.data import generate_shapes, write_shapes
from maskrcnn_scratch.data.stick_figures import KEYPOINT_NAMES, generate_figures
from maskrcnn_scratch.experiments.lesson_weights import (
    RECIPES,
    SEED,
    SIZE,
    fresh_batches,
    lesson_config,
    train_lesson_model,
)
from maskrcnn_scratch.inference import Predictor, evaluate_run
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.ops import box_iou
from maskrcnn_scratch.weights.lesson import LessonName, lesson_file, lesson_model
from maskrcnn_scratch.weights.model_file import read_model_file

NAMES: tuple[LessonName, ...] = ("shapes", "figures")
OTHER_SEED = 31
SHAPES_BOX_AP, SHAPES_MASK_AP = 0.78, 0.80
FIGURES_RECALL, FIGURES_NEAR = 0.93, 0.84


def test_the_files_are_small_and_in_16_bits() -> None:
    files = [lesson_file(name) for name in NAMES]
    assert sum(file.stat().st_size for file in files) < 4.5e6
    for file in files:
        tensors = read_model_file(file).tensors.values()
        floats = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        assert floats == {torch.float16}


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_of_the_recipes(name: LessonName) -> None:
    """What the command would train is what lies there."""
    model, class_names = lesson_model(name)
    assert model.config == lesson_config(name).model
    assert class_names == list(RECIPES[name].class_names)
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    stored = read_model_file(lesson_file(name)).config["train"]
    assert stored == lesson_config(name).train.model_dump(mode="json")


def test_the_shapes_model_finds_shapes(tmp_path: Path) -> None:
    """AP of 100 images that it never saw; measured: see docs/weights.md."""
    write_shapes(tmp_path / "data", 1, 100, SIZE, OTHER_SEED)
    scores = evaluate_run(
        lesson_file("shapes"), tmp_path / "data", tmp_path / "out", pictures=0
    )
    assert scores["bbox"].ap > SHAPES_BOX_AP
    assert scores["segm"].ap > SHAPES_MASK_AP


def test_the_figures_model_finds_keypoints() -> None:
    """Of labelled points, how many lie within a tenth of the box's longer side."""
    predictor = Predictor(*lesson_model("figures"))
    near, found_people, people = [], 0, 0
    for image, target in generate_figures(60, SIZE, OTHER_SEED):
        found = predictor(image, 0.5)
        people += len(target)
        if not len(found):
            continue
        assert found.keypoints is not None
        assert found.keypoints.shape[1:] == (len(KEYPOINT_NAMES), 3)
        iou, best = box_iou(target.boxes, found.boxes).max(dim=1)
        matched = iou >= 0.5
        found_people += int(matched.sum())
        assert target.keypoints is not None
        true, mine = target.keypoints[matched], found.keypoints[best[matched]]
        sides = target.boxes[matched]
        reach = 0.1 * (sides[:, 2:] - sides[:, :2]).max(dim=1).values[:, None]
        distances = (mine[..., :2] - true[..., :2]).norm(dim=-1)
        near += (distances <= reach)[true[..., 2] > 0].tolist()
    assert found_people / people > FIGURES_RECALL
    assert sum(near) / len(near) > FIGURES_NEAR


@pytest.mark.parametrize("name", NAMES)
def test_every_image_is_fresh(name: LessonName) -> None:
    batches = fresh_batches(name, 2)
    drawn = [next(batches) for _ in range(3)]
    images = [image for images, _ in drawn for image in images]
    for index, image in enumerate(images):
        assert image.shape == (3, SIZE, SIZE)
        for other in images[:index]:
            assert not torch.equal(image, other)
    ids = [target.image_id for _, targets in drawn for target in targets]
    assert ids == list(range(1, 7))


def test_lessons_see_other_images() -> None:
    """The training draws what ``generate_shapes`` does with its own seed alone."""
    (trained, _), _ = next(fresh_batches("shapes", 2))
    assert torch.equal(trained, generate_shapes(1, SIZE, SEED)[0][0])
    assert SEED not in (0, OTHER_SEED)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_trains(name: LessonName, tmp_path: Path) -> None:
    out = tmp_path / "lesson.safetensors"
    arguments = ["weights", "lesson", name, "--out", str(out)]
    assert main([*arguments, "--set", "train.iterations=1"]) == 0
    made, shipped = read_model_file(out), read_model_file(lesson_file(name))
    assert made.class_names == shipped.class_names
    kinds = [
        {name: (tensor.shape, tensor.dtype) for name, tensor in file.tensors.items()}
        for file in (made, shipped)
    ]
    assert kinds[0] == kinds[1]
    config = TypeAdapter(ModelConfig).validate_python(made.config["model"])
    assert config == lesson_config(name).model


def test_equal_trainings_give_equal_files(tmp_path: Path) -> None:
    """Up to the order in which a header names things, which safetensors leaves open."""
    contents = []
    for name in "ab":
        file = tmp_path / f"{name}.safetensors"
        train_lesson_model("shapes", file, ("train.iterations=2",))
        with safe_open(file, "pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            contents.append((opened.metadata(), tensors))
    (one, first), (other, second) = contents
    assert one == other
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
