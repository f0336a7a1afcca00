"""What floor 0 promises as a whole: it stands on NumPy alone, and every module is told.

Faults tried -> the tests that caught them:

- a module that imports jaxtyping, or numba: it imports numpy alone
- a package that imports torch: that, and importing the package alone is as light
- a module that computes for 0.6 s on import: it imports numpy alone and at once
- a module left out of the package's table: the table of modules is complete
- a function without a docstring: every public function is described
"""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import maskrcnn_scratch.reference as reference

MODULES = sorted(info.name for info in pkgutil.iter_modules(reference.__path__))

IMPORT_EVERYTHING = """
import importlib, json, sys, time
import numpy
before = set(sys.modules)
start = time.process_time()
for name in sys.argv[1:]:
    importlib.import_module("maskrcnn_scratch.reference." + name)
seconds = time.process_time() - start
tops = sorted({module.partition(".")[0] for module in set(sys.modules) - before})
print(json.dumps({"tops": tops, "seconds": seconds}))
"""


def imported() -> tuple[set[str], float]:
    """What a fresh interpreter loads beyond NumPy for all modules, and its seconds."""
    command = [sys.executable, "-c", IMPORT_EVERYTHING, *MODULES]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return set(answer["tops"]), answer["seconds"]


def test_it_imports_numpy_alone_and_at_once() -> None:
    loaded, seconds = imported()
    ours = {"maskrcnn_scratch"}
    assert loaded - ours <= set(sys.stdlib_module_names)
    assert not loaded & {"torch", "numba", "jaxtyping"}
    assert seconds < 0.5


def test_importing_the_package_alone_is_as_light() -> None:
    code = "import sys, maskrcnn_scratch.reference; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert answer.strip() == "False"


def test_the_table_of_modules_is_complete() -> None:
    lines = (reference.__doc__ or "").split("\n")
    rows = [line.split()[0] for line in lines if line[:1].isalpha() and "   " in line]
    assert sorted(rows[1:]) == MODULES  # the first row is the heading


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_is_described(module: str) -> None:
    source = (Path(reference.__path__[0]) / f"{module}.py").read_text()
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "the module"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            private = node.name.startswith("_")
            nested = node.col_offset > 0 and isinstance(node, ast.FunctionDef)
            assert private or nested or ast.get_docstring(node), node.name
