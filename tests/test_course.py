"""A class with the real nbgrader: released without a trace of a solution, and graded.

Deliberate faults, and the test that caught each:

- the solved text in place of the marked one -> test_a_release_holds_no_solution
- the hidden test outside of its marks -> test_a_release_holds_no_solution
- an end mark left out -> test_of_every_exercise_students_get_the_stub
- hidden tests that pass whatever comes -> test_marks
- the seed written into the notebook -> test_the_seed_is_the_config_s_alone
- a folder with files written to -> test_a_folder_in_use_is_left_alone
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.learning.course.create import create_course, for_nbgrader
from maskrcnn_scratch.learning.course.hidden import SEED, hidden_test
from maskrcnn_scratch.learning.exercises import EXERCISES
from maskrcnn_scratch.reference.bilinear import bilinear

TUTORIAL = Path(__file__).parents[1] / "tutorial"
NAME = "01_bilinear"
IDS = [id_ for id_ in EXERCISES if id_.startswith("ex01")]
SECRET = 987654321


def nbgrader(course: Path, *words: str) -> str:
    """Run nbgrader in the course's folder; returns what it said."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    environment.pop(SEED, None)
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=course,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course of one chapter, whose assignment is released."""
    pytest.importorskip("nbgrader")
    folder = tmp_path_factory.mktemp("class") / "course"
    words = ["--chapters", "1", "--seed", str(SECRET), "--tutorial", str(TUTORIAL)]
    assert main(["course", "create", str(folder), *words]) == 0
    nbgrader(folder, "generate_assignment", NAME)
    return folder


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def lines_of_solutions() -> set[str]:
    """Lines of code that stand in a solution and not in its stub, blanks aside."""
    return {
        "".join(line.split())
        for id_ in IDS
        for line in EXERCISES[id_].solved().splitlines()
        if line not in EXERCISES[id_].stub() and len("".join(line.split())) > 8
    }


def code_of(notebook: str) -> str:
    """The text of its code cells, blanks aside; hints may say how a line begins."""
    cells = json.loads(notebook)["cells"]
    code = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    return "".join("".join(code).split())


def test_the_tree(course: Path) -> None:
    """No text source, which would hold the lesson's exercises, inside of it."""
    names = {str(path.relative_to(course)) for path in files_of(course)}
    assert {"nbgrader_config.py", f"source/{NAME}/{NAME}.ipynb"} <= names
    assert [name for name in names if name.endswith(".py")] == ["nbgrader_config.py"]


@pytest.mark.slow
def test_a_release_holds_no_solution(course: Path) -> None:
    (file,) = files_of(course / "release")
    source = (course / "source" / NAME / f"{NAME}.ipynb").read_text("utf-8")
    released = file.read_text("utf-8")
    for trace in ("SOLUTION", "HIDDEN", "hidden_test", str(SECRET)):
        assert trace not in released
    assert len(lines_of_solutions()) > 10
    for line in lines_of_solutions():
        assert line in code_of(source), "the search would find it"
        assert line not in code_of(released)
    cells = {cell["id"]: cell for cell in json.loads(released)["cells"]}
    for id_ in IDS:
        assert "raise NotImplementedError()" in "".join(cells[id_]["source"])
        assert cells[f"{id_}-check"]["metadata"]["nbgrader"]["points"] == 1


@pytest.mark.parametrize("id_", EXERCISES)
@pytest.mark.filterwarnings("ignore")  # of nbgrader's imports
def test_of_every_exercise_students_get_the_stub(id_: str) -> None:
    """nbgrader's own way of clearing, on the marked text of each exercise."""
    preprocessors = pytest.importorskip("nbgrader.preprocessors")
    function, check = for_nbgrader(EXERCISES[id_])
    cells = [nbformat.v4.new_code_cell(text) for text in (function, check)]
    clear = preprocessors.ClearSolutions()
    assert clear._replace_solution_region(cells[0], "python")
    stub = EXERCISES[id_].stub().replace(f'Error("{id_}")', "Error()")
    assert cells[0].source.strip() == stub.strip()
    hide = preprocessors.ClearHiddenTests()
    hide._remove_hidden_test_region(cells[1])
    assert cells[1].source.strip() == f'check("{id_}", {EXERCISES[id_].name})'


def hand_in(course: Path, student: str, answers: dict[str, str]) -> None:
    """A submission: the released notebook with some exercises filled in."""
    notebook = json.loads((course / "release" / NAME / f"{NAME}.ipynb").read_text())
    for cell in notebook["cells"]:
        cell["source"] = answers.get(cell["id"], cell["source"])
    folder = course / "submitted" / student / NAME
    folder.mkdir(parents=True)
    (folder / f"{NAME}.ipynb").write_text(json.dumps(notebook))


def marks(course: Path) -> dict[str, float]:
    """What each student has in the grade book."""
    from nbgrader.api import Gradebook

    url = f"sqlite:///{course / 'gradebook.db'}"
    with Gradebook(url) as book:
        return {one.student.id: one.score for one in book.assignment_submissions(NAME)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # SQLAlchemy's, about nbgrader's tables
def test_marks(course: Path) -> None:
    """Full marks for all, none for nothing, and one for each exercise solved."""
    solved = {id_: EXERCISES[id_].solved() for id_ in IDS}
    first, second, _ = IDS
    wrong = EXERCISES[second].wrong(EXERCISES[second].mistakes[0])
    hand_in(course, "solved", solved)
    hand_in(course, "blank", {})
    hand_in(course, "half", {first: solved[first], second: wrong})
    nbgrader(course, "autograde", NAME)
    assert marks(course) == {"solved": 3, "blank": 0, "half": 1}
    nbgrader(course, "generate_feedback", NAME)
    feedback = {path.parts[-3]: path for path in files_of(course / "feedback")}
    text = feedback["half"].read_text("utf-8")
    assert "The smallest input found that shows it" in text
    assert str(SECRET) not in text


def test_the_seed_is_the_config_s_alone(tmp_path: Path) -> None:
    """Given, or drawn anew for each course."""
    configs = []
    for name, seed in (("given", SECRET), ("one", None), ("other", None)):
        create_course(tmp_path / name, TUTORIAL, EXERCISES, ["01"], seed)
        configs.append((tmp_path / name / "nbgrader_config.py").read_text())
        for path in files_of(tmp_path / name / "source"):
            assert str(SECRET) not in path.read_text("utf-8")
    assert f'"{SECRET}"' in configs[0]
    assert len(set(configs)) == 3


def test_chapters_are_chosen(tmp_path: Path) -> None:
    everything = create_course(tmp_path / "all", TUTORIAL, EXERCISES)
    assert everything == sorted(path.stem for path in TUTORIAL.glob("[0-9]*.py"))
    assert create_course(tmp_path / "one", TUTORIAL, EXERCISES, ["1"]) == [NAME]
    with pytest.raises(ValueError, match="no lesson 98 in"):
        create_course(tmp_path / "none", TUTORIAL, EXERCISES, ["01", "98"])
    assert not (tmp_path / "none").exists()


def test_a_folder_in_use_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    words = ["course", "create", str(tmp_path), "--tutorial", str(TUTORIAL)]
    assert main(words) == 1
    assert "is not empty, and is left as it is" in capsys.readouterr().err
    assert [path.name for path in files_of(tmp_path)] == ["notes.txt"]
    with pytest.raises(ValueError, match="--seed must be 0 or more, not -1"):
        create_course(tmp_path / "new", TUTORIAL, EXERCISES, ["01"], seed=-1)


def test_the_hidden_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public laws on other inputs; without a seed it does not pass in silence."""
    monkeypatch.delenv(SEED, raising=False)
    with pytest.raises(ValueError, match=f"{SEED} is not a number"):
        hidden_test("ex01_2", bilinear)
    seen: set[tuple[Any, ...]] = set()

    def reads(feature_map: np.ndarray, y: float, x: float) -> float:
        seen.add((feature_map.tobytes(), feature_map.shape, y, x))
        return bilinear(feature_map, y, x)

    counts = []
    for seed in (1, 2):
        monkeypatch.setenv(SEED, str(seed))
        hidden_test("ex01_2", reads)
        counts.append(len(seen))
        with pytest.raises(AssertionError, match="not right yet"):
            hidden_test("ex01_2", lambda *inputs: 0.0)
    assert counts[1] > counts[0] + 20

    public = frozenset(seen)

    def learnt(feature_map: np.ndarray, y: float, x: float) -> float:
        """Right on all inputs that were seen, and nowhere else."""
        if (feature_map.tobytes(), feature_map.shape, y, x) not in public:
            return 77.0
        return bilinear(feature_map, y, x)

    monkeypatch.setenv(SEED, "3")
    with pytest.raises(AssertionError, match="not right yet"):
        hidden_test("ex01_2", learnt)
