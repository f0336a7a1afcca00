"""What a stranger meets first: README, pins, packaging, and the rules of the house.

Deliberate faults, and the test that caught each:

- a pin below the lower bound, or forgotten -> test_pins_meet_every_bound
- a dependency without a lower bound -> test_lower_bounds_become_pins
- a config left out of the wheel -> test_every_file_is_packaged
- a command in the README that does not exist -> test_the_readme_tells_the_truth
- reference importing models -> test_floors_import_downward_only
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import maskrcnn_scratch
from maskrcnn_scratch.cli import main

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "maskrcnn_scratch"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
UNPINNED = {"cuda12", "cuda13"}  # NVIDIA's libraries for one driver or the other


def pins() -> dict[str, str]:
    """constraints.txt by name."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Of the package and of its extras but those left out of the pins."""
    extras = [line for name in EXTRAS.keys() - UNPINNED for line in EXTRAS[name]]
    return [
        Requirement(line) for line in [*PROJECT["project"]["dependencies"], *extras]
    ]


def test_pins_meet_every_bound() -> None:
    for requirement in requirements():
        pin = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), f"{requirement} but pinned {pin}"
    assert pins()["torch"] == "2.13.0"


def test_pins_name_versions_alone() -> None:
    """No address, no local build, and nothing twice."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
    assert len(pins()) == len(lines)


def lower_bounds(*extras: str) -> subprocess.CompletedProcess[str]:
    """What the script prints."""
    script = [sys.executable, ROOT / ".ci" / "lower_bounds.py", *extras]
    return subprocess.run(script, capture_output=True, text=True)


def test_lower_bounds_become_pins() -> None:
    """One pin a requirement, at its bound; every extra can be asked for."""
    done = lower_bounds(*(EXTRAS.keys() - UNPINNED))
    assert done.returncode == 0, done.stderr
    found = dict(line.split("==") for line in done.stdout.split())
    assert found.keys() == {requirement.name for requirement in requirements()}
    for requirement in requirements():
        assert requirement.specifier.contains(found[requirement.name])
        (bound,) = requirement.specifier
        assert Version(bound.version) == Version(found[requirement.name])
    assert lower_bounds("no-such-extra").returncode == 1


def test_the_extras_of_the_plan_are_there() -> None:
    expected = {"dev", "docs", "h5", "instructor", "cuda12", "cuda13", "ptx"}
    expected.add("tensorboard")
    assert expected <= EXTRAS.keys()
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_one_version() -> None:
    assert maskrcnn_scratch.__version__ == PROJECT["project"]["version"]
    assert metadata.version("maskrcnn-scratch") == maskrcnn_scratch.__version__


def test_every_file_is_packaged() -> None:
    """A wheel holds modules, and the data files that pyproject.toml names."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["maskrcnn_scratch"]
    files = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".py"
    ]
    assert "configs/nuclei.toml" in files
    for file in files:
        assert any(fnmatch(file, pattern) for pattern in patterns), file
    for module in PACKAGE.rglob("*.py"):
        assert (module.parent / "__init__.py").is_file(), f"{module} is in no package"


def test_licence() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


README = (ROOT / "README.md").read_text("utf-8")


def readme_commands() -> list[list[str]]:
    """The words of every maskrcnn-scratch command that the README shows."""
    code = re.findall(r"^ {4,}(maskrcnn-scratch .*)$", README, re.MULTILINE)
    inline = re.findall(r"`(maskrcnn-scratch [^`]*)`", README)
    return [shlex.split(line, comments=True)[1:] for line in [*code, *inline]]


@pytest.mark.parametrize("words", readme_commands(), ids=" ".join)
def test_the_readme_tells_the_truth(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command exists, with every option that is shown."""
    options = [word for word in words if word.startswith("--")]
    command = words[:2] if words[0] in ("course", "data", "weights") else words[:1]
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    for option in options:
        assert option in out


def test_the_readme_s_links_and_folders_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
    for row in re.findall(r"^\| (`.*?) \|", README, re.MULTILINE):
        for folder in re.findall(r"`(\w+)/`", row):
            assert (PACKAGE / folder).is_dir(), folder
    for path in re.findall(r"`((?:tests|maskrcnn_scratch)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_make_has_the_commands_of_the_readme() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert set(re.findall(r"make (demo|lab|test)", README)) == {"demo", "lab", "test"}
    assert {"demo", "lab", "notebooks", "test", "lint", "lowest", "clean"} <= set(
        targets
    )


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    done = subprocess.run(["bash", "-n", ROOT / ".ci" / "run"])
    assert done.returncode == 0


# From the ground up. A floor may import itself, those before it, and what has no floor:
# records, files, processes and the version.
FLOORS = [
    {"reference"},
    {"cpu", "cuda", "data", "figures"},
    {"ops", "learning"},
    {"models"},
    {"weights"},
    {"evaluation"},
    {"inference"},
    {"training"},
    {"benchmarks", "demo", "doctor", "experiments"},
    {"claims"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
NO_FLOOR = {"structures", "files", "processes", "__init__"}


def imported(module: Path) -> set[str]:
    """The parts of the package that a module imports, wherever it does so."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {
            name.split(".")[1] for name in names if name.startswith("maskrcnn_scratch.")
        }
    return parts


def test_floors_import_downward_only() -> None:
    """DESIGN: a student reads from the ground up and never needs the floor above."""
    height = {name: level for level, floor in enumerate(FLOORS) for name in floor}
    for module in PACKAGE.rglob("*.py"):
        part = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part in NO_FLOOR:
            continue
        for other in imported(module) & height.keys():
            assert height[other] <= height[part], f"{module} imports {other}"


def test_all_parts_have_a_floor() -> None:
    known = NO_FLOOR.union(*FLOORS)
    names = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert names - known - {"__pycache__", "py.typed", "configs"} == set()


def test_modules_are_read_in_one_sitting() -> None:
    """DESIGN: about 250 lines a module, at most 60 a function."""
    for module in PACKAGE.rglob("*.py"):
        text = module.read_text("utf-8")
        assert len(text.splitlines()) <= 275, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{module}: {node.name} has {length} lines"
