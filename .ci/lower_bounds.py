"""Print the lowest version that pyproject.toml allows of each dependency, as pins.

    python .ci/lower_bounds.py dev tensorboard > lowest.txt
    pip install -c lowest.txt -e ".[dev,tensorboard]"

The arguments are the extras to include. A dependency without a lower bound, and an
unknown extra, are errors: a bound that nobody tests is a guess.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<version>[\w.]+)")


def pin(requirement: str) -> str:
    """``"numba-cuda>=0.30; sys_platform != 'darwin'"`` -> ``"numba-cuda==0.30"``."""
    found = REQUIREMENT.match(requirement.replace(" ", ""))
    if not found:
        raise SystemExit(f"no lower bound in {requirement!r}; write NAME>=VERSION")
    return f"{found['name']}=={found['version']}"


def main(extras: list[str]) -> None:
    """Pins of the dependencies and of the extras named."""
    path = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        if extra not in project["optional-dependencies"]:
            raise SystemExit(f"pyproject.toml has no extra {extra!r}")
        requirements += project["optional-dependencies"][extra]
    print("\n".join(sorted(pin(requirement) for requirement in requirements)))


if __name__ == "__main__":
    main(sys.argv[1:])
