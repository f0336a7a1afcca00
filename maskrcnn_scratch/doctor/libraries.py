"""Libraries: there, new enough, and whether they are the versions that were tested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import maskrcnn_scratch
from maskrcnn_scratch.doctor.check import REINSTALL, Check

DISTRIBUTION = "maskrcnn-scratch"


def check_libraries() -> Iterator[Check]:
    """Every library that the package needs, and the package itself."""
    if installed_version(DISTRIBUTION) is None:
        yield Check(DISTRIBUTION, "fault", "not installed", REINSTALL)
        return
    tested = tested_versions()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        yield check_library(requirement, tested.get(name))


def check_library(requirement: Requirement, tested: str | None) -> Check:
    """One library; another version than the tested one is said, and is no fault."""
    name = requirement.name
    version = installed_version(name)
    if version is None:
        return Check(name, "fault", "not installed", REINSTALL)
    if not requirement.specifier.contains(version, prereleases=True):
        found = f"{version}, needed is {requirement.specifier}"
        return Check(name, "fault", found, REINSTALL)
    # A build such as 2.13.0+cpu counts as 2.13.0.
    if tested and Version(tested).public != Version(version).public:
        return Check(name, "ok", f"{version} (tested with {tested})")
    return Check(name, "ok", version)


def check_extras() -> Iterator[Check]:
    """Optional sets of libraries: what of them is not installed.

    Extras that are extras of a dependency (cuda12) are left to the check of the GPU.
    """
    if installed_version(DISTRIBUTION) is None:
        return
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra", []):
        wanted = requirements(extra)
        if any(one.extras for one in wanted):
            continue
        missing = [one.name for one in wanted if installed_version(one.name) is None]
        found = f"without {', '.join(missing)}" if missing else "installed"
        yield Check(f"extra {extra}", "ok", found)


def requirements(extra: str = "") -> list[Requirement]:
    """What the package needs on this system, or what one of its extras adds."""
    return [
        one
        for line in metadata.requires(DISTRIBUTION) or []
        if ("extra" in str((one := Requirement(line)).marker)) == bool(extra)
        and (one.marker is None or one.marker.evaluate({"extra": extra}))
    ]


def installed_version(name: str) -> str | None:
    """The version that pip installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def tested_versions() -> dict[str, str]:
    """The pins of constraints.txt by name; none without the repository around."""
    path = Path(maskrcnn_scratch.__file__).parents[1] / "constraints.txt"
    if not path.is_file():
        return {}
    pins = re.findall(r"^([\w.-]+)==(\S+)$", path.read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}
