"""Long files are read piece by piece, as if they were parsed at once.

Faults tried -> the test that caught them:
- cuts that are not tried by parsing, a piece twice, the last one lost
  -> test_pieces_are_the_whole
- an end of a list within an object taken for the list's -> test_pieces_are_the_whole
- values that are no lists, or stand twice, not noticed
  -> test_other_files_are_irregular
- annotations before their images taken for unknown -> test_any_order_of_lists
- a Python object kept an annotation, the text kept twice
  -> test_memory_is_bounded_by_the_text
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_coco
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.benchmarks.annotations import write_annotations
from maskrcnn_scratch.data import json_lists
from maskrcnn_scratch.data.annotation_file import Annotations, read_annotations
from maskrcnn_scratch.data.json_lists import Irregular, object_lists

Json = dict[str, Any]

# What may be mistaken for the end of an object or of a list, and the rest.
texts = st.sampled_from(["", "}, {", "}]", '"', "\\", "{", "ü", "a"])
numbers = st.integers(-5, 5) | st.sampled_from([0.1, -2.5e-7, 1e20])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner),
    max_leaves=6,
)
rows = st.lists(st.dictionaries(texts, values, max_size=3), max_size=5)
names = st.sampled_from(["images", "annotations", "categories", "licenses"])


def joined(path: Path) -> Json:
    """All lists of the file."""
    lists: Json = {}
    for name, piece in object_lists(path):
        lists.setdefault(name, []).extend(piece)
    return lists


@given(
    contents=st.dictionaries(names, rows, min_size=1),
    info=scalars | st.dictionaries(texts, scalars),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    chunk=st.sampled_from([0, 1, 7, 40, 1000]),
)
def test_pieces_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    contents: Json,
    info: Any,
    indent: int | None,
    ascii_only: bool,
    chunk: int,
) -> None:
    path = tmp_path_factory.mktemp("lists") / "a.json"
    whole = {"info": info} | contents
    path.write_text(json.dumps(whole, indent=indent, ensure_ascii=ascii_only), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "CHUNK", chunk)
        assert joined(path) == contents


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"images": [{"id": 1}',
        '{"images": [{"id": 1}, 3]}',
        '{"images": [{"id": 1}, 3, {"id": 2}]}',
        '{"images": [{"id": 1}]} 5',
        '{"images": [{"id": 1}], "images": [{"id": 2}]}',
        '{"images": [{"id": nothing}]}',
        '{"images": }',
        '{"images": [{"id": 1}] "annotations": []}',
        "{}",
    ],
)
def test_other_files_are_irregular(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(Irregular):
        joined(tmp_path / "a.json")


def test_an_object_of_very_many_is_irregular(tmp_path: Path) -> None:
    """Each of the inner ones ends as an outer one might; it is read as a whole."""
    data = tiny_coco.contents()
    data["images"][0]["people"] = [{"age": age} for age in range(150)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    with pytest.raises(Irregular, match="no object in images"):
        joined(path)
    assert len(read_annotations(path).objects.rows) == 1


def test_reading_may_end_early(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tiny_coco.contents()))
    lists = object_lists(path)
    assert next(lists)[0] == "images"
    lists.close()  # type: ignore[attr-defined]


def assert_same(one: Annotations, other: Annotations) -> None:
    assert list(one.images) == list(other.images)
    assert one.categories == other.categories
    assert one.repaired == other.repaired
    for index, image in enumerate(one.images):
        targets = [a.objects.target(index, image["id"]) for a in (one, other)]
        for field in ("boxes", "labels", "crowd"):
            first, second = (getattr(target, field).tolist() for target in targets)
            assert first == second
        first, second = (a.objects.segmentations(index) for a in (one, other))
        assert first == second


@pytest.mark.parametrize(
    "order",
    [
        ("images", "annotations", "categories"),
        ("categories", "images", "annotations"),
        ("annotations", "categories", "images"),
    ],
)
def test_any_order_of_lists(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Of lists, and of rows; the last is read as a whole."""
    data = tiny_coco.contents(
        images=[tiny_coco.image(n) for n in (5, 2, 9)],
        annotations=[
            tiny_coco.annotation(n, image_id=i, bbox=[n, 6, 10, 8], category_id=c)
            for n, i, c in ((1, 9, 7), (2, 5, 3), (3, 9, 3), (4, 2, 7))
        ],
        categories=[{"id": 7, "name": "b"}, {"id": 3, "name": "a"}],
    )
    path = tmp_path / "a.json"
    path.write_text(json.dumps({name: data[name] for name in order}))
    read = read_annotations(path)
    assert [image["id"] for image in read.images] == [2, 5, 9]
    assert [image["id"] for image in read.images[1:]] == [5, 9]
    last = read.objects.target(2, 9)
    assert last.boxes.tolist() == [[1, 6, 11, 14], [3, 6, 13, 14]]
    assert last.labels.tolist() == [2, 1]
    (tmp_path / "b.json").write_text(json.dumps(data))
    assert_same(read, read_annotations(tmp_path / "b.json"))


def test_a_large_file_is_read_as_it_stands(tmp_path: Path) -> None:
    """With as many annotations an image as COCO's; every tenth image is compared."""
    path = tmp_path / "a.json"
    write_annotations(path, 300, 2175)
    contents = json.loads(path.read_text())
    read = read_annotations(path)
    assert read.repaired == {}
    assert list(read.images) == [
        {key: image[key] for key in ("id", "file_name", "height", "width")}
        for image in contents["images"]
    ]
    for index in range(0, 300, 10):
        image_id = index + 1
        own = [a for a in contents["annotations"] if a["image_id"] == image_id]
        target = read.objects.target(index, image_id)
        assert target.labels.tolist() == [a["category_id"] for a in own]
        assert target.crowd.tolist() == [bool(a["iscrowd"]) for a in own]
        boxes = np.array([a["bbox"] for a in own]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_allclose(target.boxes.numpy(), boxes, rtol=1e-6)
        assert read.objects.segmentations(index) == [a["segmentation"] for a in own]


MEASURE = """
import gc, sys, tracemalloc
from pathlib import Path
from maskrcnn_scratch.data.annotation_file import read_annotations

for masks in (False, True):
    gc.collect()
    objects = len(gc.get_objects())
    tracemalloc.start()
    read = read_annotations(Path(sys.argv[1]), masks)
    print(len(read.objects.rows), *tracemalloc.get_traced_memory())
    tracemalloc.stop()
    gc.collect()
    print(len(gc.get_objects()) - objects)
"""


def test_memory_is_bounded_by_the_text(tmp_path: Path) -> None:
    """Kept: less than the file, and 100 bytes an annotation without its outlines.

    Python's objects would take six times the file. None is kept for each annotation,
    since a worker would copy all that it looks at.
    """
    path = tmp_path / "a.json"
    write_annotations(path, 2000, 14_500)
    size = path.stat().st_size
    # In a process of its own, where nothing checks types, which takes its time.
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = [int(word) for word in done.stdout.split()]
    count, boxes_alone, _, _, same_count, kept, peak, objects = figures
    assert count == same_count == 14_500
    assert boxes_alone < 100 * count
    assert kept < size
    assert peak < kept + 40e6  # one piece of 2 MiB in Python's objects
    assert objects < 1000
