"""From lessons to notebooks: cells, pictures, what is refused, whose files they are.

Deliberate faults, and the test that caught each:

- an id from the place of a cell -> test_an_edit_changes_one_id
- the solution in the blank notebook -> test_an_exercise_becomes_three_cells
- a check that students may edit -> test_exercise_cells_carry_nbgrader_s_metadata
- a misspelt exercise taken for an ordinary cell -> test_a_wrong_cell_is_named
- dithering where the palette has the colour -> test_a_drawing_stays_as_it_is
- transparent pixels turned black -> test_a_picture_lies_on_white_and_says_nothing_else
- warnings, or paths inside HTML, let through -> test_what_must_not_be_shown
- a widget kept beside its picture -> test_pictures_replace_widgets
- a lesson that fails written -> test_of_a_broken_lesson_nothing_is_written
- times of execution kept -> test_a_second_build_is_the_same_and_check_agrees
- a hash of code alone, or of sorted cells -> test_an_edited_notebook_survives
- a file without a hash overwritten -> test_a_file_that_no_build_wrote_survives
- ids or metadata not compared -> test_differences_are_found
- exit status 0 where a notebook was left -> test_the_command_says_what_it_did
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.notebooks import build as builder
from maskrcnn_scratch.learning.notebooks import execute, expand
from maskrcnn_scratch.learning.notebooks.build import Report, build, check, write
from maskrcnn_scratch.learning.notebooks.committed import difference
from maskrcnn_scratch.learning.notebooks.execute import Stopped, executed
from maskrcnn_scratch.learning.notebooks.expand import expanded
from maskrcnn_scratch.learning.notebooks.outputs import (
    WIDGET,
    BadCell,
    BadNotebook,
    clean,
)
from maskrcnn_scratch.learning.notebooks.pictures import recompressed
from maskrcnn_scratch.learning.notebooks.source import (
    Cell,
    Lesson,
    Notebook,
    lesson_paths,
    read_lesson,
)


def half(x: float) -> float:
    """Half of ``x``."""
    quotient = x / 2
    return quotient


def third(x: float) -> float:
    """A third of ``x``."""
    return x / 3


def stand_in(name: str, solution: Callable[[float], float]) -> Exercise:
    """An exercise without laws: its check is not run here."""
    return Exercise(
        id=name,
        title="Parts",
        objective="Divide.",
        difficulty=2,
        minutes=5,
        task="Write it.",
        hints=("Divide by a number.", "By which?"),
        solution=solution,
        laws=(),
        mistakes=(),
        imports="",
        points=3,
    )


EXERCISES = {
    "ex01_1": stand_in("ex01_1", half),
    "ex01_2": stand_in("ex01_2", third),
    "ex02_1": stand_in("ex02_1", half),
}

LESSON = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # A lesson

# %%
import base64
import io

from IPython.display import display
from PIL import Image


def check(name, function):
    try:
        print(name, function(3.0))
    except NotImplementedError:
        print(name, "is not solved yet")


# %%
buffer = io.BytesIO()
Image.linear_gradient("L").convert("RGB").save(buffer, "PNG")
png = base64.b64encode(buffer.getvalue()).decode()
widget = {"model_id": "0", "version_major": 2, "version_minor": 0}
view = "application/vnd.jupyter.widget-view+json"
pictures = {"image/png": png, "image/jpeg": png}
display({**pictures, "text/plain": "grey", view: widget}, raw=True)

# %% exercise="ex01_1"
exercise("ex01_1")

# %% exercise="ex01_2"
exercise("ex01_2")

# %%
import time

print("the", flush=True)
time.sleep(0.3)
print("end")
"""
BROKEN = """\
# %%
def check(name, function):
    pass

# %% exercise="ex02_1"
exercise("ex02_1")

# %%
# what goes wrong
try:
    half(3.0)
except NotImplementedError:
    pass
else:
    raise RuntimeError("it broke")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Report]]:
    """A folder with tutorial/ and notebooks/, and the reports of the build."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "tutorial").mkdir()
    (folder / "tutorial" / "01_parts.py").write_text(LESSON, "utf-8")
    (folder / "tutorial" / "02_broken.py").write_text(BROKEN, "utf-8")
    out = folder / "notebooks"
    return folder, list(build(folder / "tutorial", out, EXERCISES, jobs=2))


def read(path: Path) -> Any:
    """A notebook, valid in its format."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def parts_of(text: str) -> Notebook:
    """A notebook of cells with | between them; # begins one in Markdown."""
    cells: list[Cell] = [
        {
            "cell_type": "markdown" if one.startswith("#") else "code",
            "source": one,
            "metadata": {},
        }
        for one in text.split("|")
    ]
    return expanded(Lesson("01_parts", cells), EXERCISES, expand.blank)


def with_outputs(*outputs: dict[str, Any]) -> Notebook:
    """A notebook of one cell."""
    notebook = parts_of("line one\nline two")
    notebook["cells"][0]["outputs"] = list(outputs)
    return notebook


# Cells


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8), st.data())
def test_an_edit_changes_one_id(letters: list[str], data: st.DataObject) -> None:
    """Ids are valid, differ, and stay when another cell is edited, put in or taken."""
    before = [cell["id"] for cell in parts_of("|".join(letters))["cells"]]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in before)
    assert len(set(before)) == len(before)
    place = data.draw(st.integers(0, len(letters) - 1))
    edited = [*letters[:place], "new", *letters[place + 1 :]]
    after = [cell["id"] for cell in parts_of("|".join(edited))["cells"]]
    assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1
    longer = [cell["id"] for cell in parts_of("|".join(["new", *letters]))["cells"]]
    assert longer[1:] == before


def test_markdown_and_code_of_one_text_have_two_ids() -> None:
    cells: list[Cell] = [
        {"cell_type": kind, "source": "same", "metadata": {}}
        for kind in ("code", "markdown")
    ]
    one, other = expanded(Lesson("01_parts", cells), {}, expand.blank)["cells"]
    assert one["id"] != other["id"]


def exercise_cells(solved: bool) -> list[Cell]:
    """The three cells of ex01_1."""
    text = {"exercise": "ex01_1"}
    cell = {"cell_type": "code", "source": 'exercise("ex01_1")', "metadata": text}
    answer = expand.solved if solved else expand.blank
    cells: list[Cell] = expanded(Lesson("01_parts", [cell]), EXERCISES, answer)["cells"]
    return cells


def test_an_exercise_becomes_three_cells() -> None:
    text, blank, checked = exercise_cells(solved=False)
    solved = exercise_cells(solved=True)
    assert [cell["id"] for cell in (text, blank, checked)] == [
        "ex01_1-text",
        "ex01_1",
        "ex01_1-check",
    ]
    assert [text, checked] == [solved[0], solved[2]]
    assert blank["source"] == EXERCISES["ex01_1"].stub().strip()
    assert solved[1]["source"] == EXERCISES["ex01_1"].solved().strip()
    assert "NotImplementedError" in blank["source"]
    assert "quotient" not in blank["source"]
    assert checked["source"] == 'check("ex01_1", half)'
    for part in ("Exercise 1.1: Parts", "middling", "5 minutes", "Divide.", "Write it"):
        assert part in text["source"]
    assert text["source"].count("<details>") == text["source"].count("</details>") == 2


NBGRADER = {
    "grade": bool,
    "solution": bool,
    "locked": bool,
    "task": bool,
    "schema_version": int,
    "grade_id": str,
    "cell_type": str,
}


@pytest.mark.parametrize("solved", [False, True])
def test_exercise_cells_carry_nbgrader_s_metadata(solved: bool) -> None:
    """What its schema 3 asks: these keys, points where there is a grade, and no more.

    A graded cell that is no solution is locked, or students could rewrite their tests.
    """
    cells = exercise_cells(solved)
    for cell in cells:
        marks = dict(cell["metadata"]["nbgrader"])
        points = marks.pop("points", None)
        assert {key: type(value) for key, value in marks.items()} == NBGRADER
        assert marks["schema_version"] == 3
        assert marks["cell_type"] == cell["cell_type"]
        assert marks["grade_id"] == cell["id"]
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", marks["grade_id"])
        assert (points is not None) == marks["grade"]
    kinds = [
        {key for key in NBGRADER if cell["metadata"]["nbgrader"][key] is True}
        for cell in cells
    ]
    assert kinds == [{"locked"}, {"solution"}, {"grade", "locked"}]
    assert cells[2]["metadata"]["nbgrader"]["points"] == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('# %% exercise="ex01_9"\nexercise("ex01_9")', "chapter 01 has no ex01_9"),
        ('# %% exercise="ex02_1"\nexercise("ex02_1")', "chapter 01 has no ex02_1"),
        ('# %% exercise="ex01_1"\nexercise("ex01_2")', "a cell of an exercise is"),
        ('# %% exercise="ex01_1"\nexercise("ex01_1")\nx = 1', "a cell of an exercise"),
        ('# %%\nexercise("ex01_1")', "a cell of an exercise is"),
        ('# %% excercise="ex01_1"\nexercise("ex01_1")', "excercise"),
        ("\n".join(['# %% exercise="ex01_1"\nexercise("ex01_1")'] * 2), "twice"),
    ],
)
def test_a_wrong_cell_is_named(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "01_parts.py"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"01_parts.*{re.escape(says)}"):
        expanded(read_lesson(path), EXERCISES, expand.blank)


def test_lessons_are_chosen_by_number_or_name(tmp_path: Path) -> None:
    for name in ("03_c", "01_a", "02_b", "helper", "4_d"):
        (tmp_path / f"{name}.py").touch()

    def chosen(*wanted: str) -> list[str]:
        return [path.stem for path in lesson_paths(tmp_path, wanted)]

    assert chosen() == ["01_a", "02_b", "03_c"]
    assert chosen("3", "01_a") == ["01_a", "03_c"]
    assert chosen("02") == ["02_b"]
    with pytest.raises(ValueError, match="no lesson 07, helper"):
        chosen("01", "7", "helper")
    with pytest.raises(ValueError, match="no lessons"):
        lesson_paths(tmp_path / "elsewhere", ())


# Pictures


def png_of(pixels: np.ndarray, **options: Any) -> bytes:
    """A PNG with those pixels."""
    written = BytesIO()
    Image.fromarray(pixels).save(written, "PNG", **options)
    return written.getvalue()


def pixels_of(png: bytes) -> np.ndarray:
    """Red, green and blue."""
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("colours", [1, 2, 40, 128])
def test_a_drawing_stays_as_it_is(rng: np.random.Generator, colours: int) -> None:
    """Where there are no more than 128 colours, no pixel changes."""
    palette = rng.integers(0, 256, (colours, 3), dtype=np.uint8)
    pixels = palette[rng.integers(0, colours, (30, 50))]
    np.testing.assert_array_equal(pixels_of(recompressed(png_of(pixels))), pixels)


def test_neighbouring_greys_stay_apart(rng: np.random.Generator) -> None:
    """White paper does not turn grey because the palette has a grey beside white."""
    greys = rng.integers(128, 256, (30, 50, 1), dtype=np.uint8).repeat(3, axis=2)
    np.testing.assert_array_equal(pixels_of(recompressed(png_of(greys))), greys)


def test_a_photograph_keeps_its_look(rng: np.random.Generator) -> None:
    """At most 128 colours, white stays white, neighbourhoods keep their means.

    Without dithering the means of 8 x 8 pixels would be off by 1.5 on average.
    """
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    pixels = np.array(coarse.resize((128, 96), Image.Resampling.BICUBIC))
    pixels[:24] = 255
    found = pixels_of(recompressed(png_of(pixels)))
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 128
    assert (found[:24] == 255).all()

    def means(array: np.ndarray) -> np.ndarray:
        return array.reshape(12, 8, 16, 8, 3).mean(axis=(1, 3))

    assert np.abs(means(found) - means(pixels)).mean() < 1.25


def test_noise_costs_colours(rng: np.random.Generator) -> None:
    """Of a picture that stays large."""
    noise = rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    found = pixels_of(recompressed(png_of(noise)))
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 64


def test_a_picture_lies_on_white_and_says_nothing_else() -> None:
    """Transparent pixels turn white; author, software and date go."""
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = 200, 100, 50, 255
    said = PngInfo()
    said.add_text("Software", "matplotlib")
    after = recompressed(png_of(pixels, pnginfo=said, dpi=(72, 72)))
    assert Image.open(BytesIO(after)).info == {}
    assert pixels_of(after)[0, 0].tolist() == [200, 100, 50]
    assert (pixels_of(after)[1:] == 255).all()


# What cells publish


def shown(**data: Any) -> dict[str, Any]:
    """An output with text and other data."""
    return {"output_type": "display_data", "metadata": {}, "data": data}


def printed(text: str, name: str = "stdout") -> dict[str, Any]:
    """An output of print."""
    return {"output_type": "stream", "name": name, "text": text}


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (printed("UserWarning: old\n", "stderr"), "writes to stderr: UserWarning: old"),
        (
            {"output_type": "error", "ename": "KeyError", "evalue": "3"},
            "KeyError: 3",
        ),
        (shown(**{WIDGET: {}, "text/plain": "slider"}), "without a picture"),
        (printed(f"in {Path.home()}/x"), "path of this machine"),
        (shown(**{"text/html": f"<b>{sys.prefix}/lib</b>"}), "path of this machine"),
        (printed(f"{Path(__file__).parents[1]}/x.py, 3"), "path of this machine"),
        (shown(**{"text/plain": "<A object at 0x7f0c3b5a>"}), "address in memory"),
    ],
)
def test_what_must_not_be_shown(output: dict[str, Any], says: str) -> None:
    """The message names the cell by id and first line."""
    notebook = with_outputs(printed("well"), output)
    head = re.escape(f"cell {notebook['cells'][0]['id']} (line one): ")
    with pytest.raises(BadCell, match=f"^{head}.*{says}"):
        clean(notebook)


def test_ordinary_outputs_stay() -> None:
    outputs = [printed("3 / 4 = 0.75 at 0x10\n"), shown(**{"text/html": "<b>1</b>"})]
    notebook = with_outputs(*json.loads(json.dumps(outputs)))
    clean(notebook)
    assert notebook["cells"][0]["outputs"] == outputs


# The build


def test_a_lesson_becomes_two_notebooks(built: tuple[Path, list[Report]]) -> None:
    folder, reports = built
    out = folder / "notebooks"
    assert [report.lesson for report in reports] == ["01_parts", "02_broken"]
    assert reports[0].problems == reports[0].kept == []
    assert [re.sub(r"\d+\.\d+ s, \d+ kB", "", run) for run in reports[0].runs] == [
        "student ",
        "solved ",
    ]
    student = read(out / "01_parts.ipynb")
    solved = read(out / "solutions" / "01_parts.ipynb")
    assert [cell["id"] for cell in student.cells] == [
        cell["id"] for cell in solved.cells
    ]
    differ = [
        one["id"]
        for one, other in zip(student.cells, solved.cells, strict=True)
        if one["source"] != other["source"]
    ]
    assert differ == ["ex01_1", "ex01_2"]
    assert outputs_of(student, "ex01_1-check") == "ex01_1 is not solved yet\n"
    assert outputs_of(solved, "ex01_1-check") == "ex01_1 1.5\n"
    assert outputs_of(solved, "ex01_2-check") == "ex01_2 1.0\n"
    for notebook in (student, solved):
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        counts = [cell.execution_count for cell in code]
        assert counts == list(range(1, len(code) + 1))
        assert [one.text for one in code[-1].outputs] == ["the\nend\n"]


def outputs_of(notebook: Any, name: str) -> str:
    """What the cell of that id prints."""
    (cell,) = [cell for cell in notebook.cells if cell["id"] == name]
    return "".join(output["text"] for output in cell.outputs)


def test_pictures_replace_widgets(built: tuple[Path, list[Report]]) -> None:
    """GitHub and print show the picture; the notebook keeps no widget and no state."""
    notebook = read(built[0] / "notebooks" / "01_parts.ipynb")
    (data,) = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert data.keys() == {"image/png", "text/plain"}
    grey = pixels_of(base64.b64decode(data["image/png"]))
    assert grey.shape == (256, 256, 3)
    assert len(np.unique(grey)) <= 128
    assert notebook.metadata.keys() == {
        "kernelspec",
        "language_info",
        "maskrcnn_scratch",
    }
    assert "version" not in notebook.metadata.language_info


def test_of_a_broken_lesson_nothing_is_written(
    built: tuple[Path, list[Report]],
) -> None:
    """Its student's notebook runs; the solved one does not."""
    folder, (_, broken) = built
    (said,) = broken.problems
    assert re.fullmatch(
        r"02_broken, solved: cell [0-9a-f]{12} \(# what goes wrong\): "
        "RuntimeError: it broke",
        said,
    )
    files = {path.relative_to(folder) for path in folder.rglob("*.ipynb")}
    assert files == {Path("notebooks") / file for file in (FILE, SOLVED)}


def test_a_second_build_is_the_same_and_check_agrees(
    built: tuple[Path, list[Report]], tmp_path: Path
) -> None:
    """Byte for byte; then cells are edited, and check names the first difference."""
    folder, _ = built
    (again,) = build(folder / "tutorial", tmp_path, EXERCISES, ["1"], jobs=2)
    assert again.problems == []
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.ipynb"))
    assert files == [Path("01_parts.ipynb"), Path("solutions/01_parts.ipynb")]
    for file in files:
        first = (folder / "notebooks" / file).read_bytes()
        assert (tmp_path / file).read_bytes() == first

    edit(tmp_path / files[0], lambda cells: cells[2].update(source="x = 1"))
    (tmp_path / "09_gone.ipynb").write_text("{}", "utf-8")
    (folder / "tutorial" / "02_broken.py").rename(folder / "broken.txt")
    lesson, others = check(folder / "tutorial", tmp_path, EXERCISES, jobs=2)
    (folder / "broken.txt").rename(folder / "tutorial" / "02_broken.py")
    assert len(lesson.runs) == 2
    (problem,) = lesson.problems
    assert "01_parts.ipynb: the source of cell 3 (" in problem
    assert others.problems == [f"{tmp_path}/09_gone.ipynb has no lesson"]


def edit(path: Path, change: Callable[[list[Any]], Any]) -> None:
    """Change a notebook's cells as a student's Jupyter would, and write the file."""
    notebook = json.loads(path.read_text("utf-8"))
    change(notebook["cells"])
    path.write_text(json.dumps(notebook), "utf-8")


def test_an_endless_notebook_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "PATIENCE", 1)
    notebook = parts_of("import time; time.sleep(60)")
    name = notebook["cells"][0]["id"]
    with pytest.raises(BadCell, match=f"cell {name} .*is not done in time"):
        executed(notebook, 1.0, Event())


def test_a_slow_notebook_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor's seconds; waiting, as on a busy machine, is free."""
    monkeypatch.setattr(execute, "PATIENCE", 50)
    _, seconds = executed(parts_of("import time; time.sleep(2.5)"), 2.5, Event())
    assert seconds < 2.5
    busy = "import time\nwhile time.process_time() < 2.6: pass"
    with pytest.raises(BadNotebook, match=r"it takes 3 seconds, more than 2"):
        executed(parts_of(busy), 2.5, Event())


def test_a_stopped_build_runs_no_further_cell() -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        executed(parts_of("import time; time.sleep(60)"), 60.0, stop)


def test_files_left_behind_are_named() -> None:
    """A lesson writes where it was told to, not where the student happens to be."""
    with pytest.raises(BadNotebook, match=r"it leaves behind made\.txt"):
        executed(parts_of("open('made.txt', 'w').close()"), 60.0, Event())


def test_a_large_notebook_is_refused(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """With the cells that make it large."""
    done = parts_of("small|large")
    letters = "".join(rng.choice(list("abcdefgh"), 600_000))
    done["cells"][1]["outputs"] = [printed(letters)]
    node = nbformat.from_dict(done)  # type: ignore[no-untyped-call]
    monkeypatch.setattr(builder, "executed", lambda *_: (node, 1.0))
    with pytest.raises(BadNotebook, match=r"60\d kB.*\(large\) 600 kB, cell"):
        builder.run("01_parts", done, Event())


# Whose file it is


def text_of(source: str) -> str:
    """A notebook as a build writes it."""
    node = nbformat.from_dict(parts_of(source))  # type: ignore[no-untyped-call]
    return str(nbformat.writes(node))  # type: ignore[no-untyped-call]


FILE, SOLVED = Path("01_parts.ipynb"), Path("solutions/01_parts.ipynb")


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells[0].update(source=["mine\n", "two"]),
        lambda cells: cells[2].update(source=["# mine"]),
        lambda cells: cells.append({**cells[0], "source": "mine"}),
        lambda cells: cells.pop(),
        lambda cells: cells.reverse(),
        lambda cells: cells[0].update(cell_type="markdown"),
    ],
    ids=["changed", "text changed", "put in", "taken", "moved", "other type"],
)
def test_an_edited_notebook_survives(
    tmp_path: Path, change: Callable[[list[Any]], Any]
) -> None:
    """Byte for byte; the notebook beside it is written all the same."""
    write({FILE: text_of("one|two|# three"), SOLVED: text_of("one|two")}, tmp_path)
    edit(tmp_path / FILE, change)
    before = (tmp_path / FILE).read_bytes()
    texts = {FILE: text_of("one|new"), SOLVED: text_of("one|new")}
    assert write(texts, tmp_path) == [tmp_path / FILE]
    assert (tmp_path / FILE).read_bytes() == before
    assert (tmp_path / SOLVED).read_text("utf-8") == texts[SOLVED]


@pytest.mark.parametrize(
    "text",
    ["", "my notes", "[]", "{}", '{"cells": [], "metadata": {}}', '{"cells": 3}'],
)
def test_a_file_that_no_build_wrote_survives(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, "utf-8")
    assert write({FILE: text_of("one")}, tmp_path) == [tmp_path / FILE]
    assert (tmp_path / FILE).read_text("utf-8") == text


def test_a_notebook_that_was_only_run_is_built_anew(tmp_path: Path) -> None:
    """Its outputs are nobody's work; lines may be joined, as Jupyter may do."""

    def run_again(cells: list[Any]) -> None:
        for cell in cells:
            cell["source"] = "".join(cell["source"])
            cell["outputs"] = [printed("mine")]
            cell["execution_count"] = 7

    write({FILE: text_of("one\nmore|two")}, tmp_path)
    edit(tmp_path / FILE, run_again)
    new = text_of("one\nmore|new")
    assert write({FILE: new}, tmp_path) == []
    assert (tmp_path / FILE).read_text("utf-8") == new


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cells: cells[1].update(source="x"), "the source of cell 2"),
        (lambda cells: cells[1].update(id="x"), "the id of cell 2"),
        (lambda cells: cells[0].update(metadata={"a": 1}), "the metadata of cell 1"),
        (lambda cells: cells[0].update(cell_type="raw"), "the cell_type of cell 1"),
        (lambda cells: cells.append(cells[0]), "the number of cells"),
        (lambda cells: cells.pop(), "the number of cells"),
    ],
)
def test_differences_are_found(
    tmp_path: Path, change: Callable[[list[Any]], Any], says: str
) -> None:
    path = tmp_path / FILE
    expected = parts_of("one|two\nthree")
    assert "is missing" in str(difference(expected, path))
    path.write_text(text_of("one|two\nthree"), "utf-8")
    assert difference(expected, path) is None
    edit(path, change)
    assert says in str(difference(expected, path))


def test_a_hash_of_other_sources_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(text_of("one").replace('"sources": "', '"sources": "0'), "utf-8")
    assert "its metadata is not" in str(difference(parts_of("one"), path))


# The command


def test_the_command_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 0, then 1 for an edited notebook, which it names; so does --check."""
    (tmp_path / "tutorial").mkdir()
    lesson = tmp_path / "tutorial" / "07_short.py"
    lesson.write_text("# %%\nprint(1)\n", "utf-8")
    out = tmp_path / "notebooks"
    words = ["course", "build", "--tutorial", str(lesson.parent), "--out", str(out)]
    assert main([*words, "--jobs", "2"]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(
        r"07_short: student [\d.]+ s, 1 kB; solved [\d.]+ s, 1 kB\n", said.out
    )
    edit(out / "07_short.ipynb", lambda cells: cells[0].update(source="print(2)"))
    assert main([*words, "--jobs", "2"]) == 1
    assert "07_short.ipynb was edited since it was built" in capsys.readouterr().err
    assert main([*words, "--jobs", "2", "--check"]) == 1
    assert "07_short.ipynb: the source of cell 1" in capsys.readouterr().err
    assert main([*words, "8"]) == 1
    assert "error: no lesson 08" in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['jupytext'] = None\n"
        "from maskrcnn_scratch.learning.notebooks.source import course_library\n"
        "course_library('jupytext')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'maskrcnn-scratch[course]'" in done.stderr
