"""The interpreter, cores, disk and data."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from maskrcnn_scratch.doctor.check import Check, trial

ENOUGH_DISK, LEAST_DISK = 2.0, 0.25  # GiB
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def check_python() -> Check:
    """The interpreter and the system."""
    found = (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}"
        f" ({sys.executable})"
    )
    if platform.system() == "Windows":
        advice = "untested there; the Windows Subsystem for Linux should do"
        return Check("Python", "warning", found, advice)
    return Check("Python", "ok", found)


def check_threads() -> Check:
    """The cores that this process may use, and limits that the shell has set."""
    cores = available_cores()
    limits = {name: os.environ[name] for name in THREAD_LIMITS if name in os.environ}
    found = ", ".join([f"{cores} cores", *(f"{k}={v}" for k, v in limits.items())])
    for name, value in limits.items():
        if not (value.isdecimal() and 1 <= int(value) <= cores):
            advice = f"unset {name}, or set it to a number from 1 to {cores}"
            return Check("threads", "warning", found, advice)
    return Check("threads", "ok", found)


def available_cores() -> int:
    """Fewer than the machine has, where the process is bound to some of them."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_disk(folder: Path) -> Check:
    """Room for runs in the folder, and leave to write there."""
    free = shutil.disk_usage(folder).free / 2**30
    found = f"{free:.1f} GiB free in {folder}"
    if not os.access(folder, os.W_OK):
        advice = "go to a folder that is yours, or give --out"
        return Check("disk", "fault", f"{folder} cannot be written to", advice)
    if free < LEAST_DISK:
        return Check("disk", "fault", found, "make room: a run does not fit")
    if free < ENOUGH_DISK:
        return Check("disk", "warning", found, "make room: a long run needs more")
    return Check("disk", "ok", found)


def check_data(folder: Path) -> Check:
    """The splits of a COCO-format folder, without opening the images."""

    def count() -> str:
        from maskrcnn_scratch.data.layout import annotation_file, read_json, splits

        # Without any split, ask for one: the error says what was looked for.
        counts = []
        for split in splits(folder) or ["train"]:
            contents = read_json(annotation_file(folder, split))
            images, objects = len(contents["images"]), len(contents["annotations"])
            counts.append(f"{split} {images} images, {objects} objects")
        return "; ".join(counts)

    advice = f"maskrcnn-scratch data check {folder}"
    return trial("data", count, advice=advice)
