"""The command ``bench data``: COCO's training images, opened and read by workers.

Annotations are generated, as many and as long as COCO's; the 118,287 images are names
of four files. What a worker has for itself is what Linux counts as private: pages that
it has written to, and no longer shares with the process that opened the data set.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset

from maskrcnn_scratch.benchmarks import report
from maskrcnn_scratch.benchmarks.annotations import (
    SIZES,
    image_record,
    write_annotations,
)
from maskrcnn_scratch.benchmarks.memory import resident_bytes
from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.files import replacing_file

COCO_IMAGES, COCO_ANNOTATIONS = 118_287, 860_001
BATCH = 16
MIB = 2**20


def run_data_bench(
    path: Path | None,
    images: int = COCO_IMAGES,
    annotations: int = COCO_ANNOTATIONS,
    workers: int = 2,
    read: int = 3200,
) -> dict[str, float]:
    """Measure, print a table, and write the JSON file where one is wanted.

    Raises ValueError where the system does not tell a process's memory.
    """
    if sys.platform != "linux":
        raise ValueError(
            "bench data reads memory as Linux tells it: not on this system"
        )
    described = report.machine(torch.device("cpu"))
    print("`maskrcnn-scratch bench data`", end="\n\n")
    print(", ".join(f"{key} {value}" for key, value in described.items()), end="\n\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "annotations").mkdir()
        file = folder / "annotations" / "instances_train.json"
        write_annotations(file, images, annotations)
        write_images(folder, images)
        dataset, opening = opened(folder)
        figures: dict[str, float] = {
            "images": images,
            "annotations": annotations,
            "annotation file, MiB": file.stat().st_size / MIB,
            **opening,
            **read_by_workers(dataset, workers, read),
        }
    print("| what | measured |\n| --- | --- |")
    for what, value in figures.items():
        print(
            f"| {what} | {value:,.0f} |" if value > 100 else f"| {what} | {value:.1f} |"
        )
    if path is not None:
        with replacing_file(path) as draft:
            contents = {"machine": described, "figures": figures}
            draft.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    return figures


def write_images(folder: Path, images: int) -> None:
    """A file of each size in ``train``, linked under every name of that size."""
    (folder / "train").mkdir()
    for number, (height, width) in enumerate(SIZES):
        pixels = np.random.default_rng(number).integers(
            0, 256, (height // 8, width // 8, 3)
        )
        picture = Image.fromarray(pixels.astype(np.uint8)).resize((width, height))
        picture.save(folder / f"{number}.jpg")
    for number in range(1, images + 1):
        name = image_record(number)["file_name"]
        os.link(folder / f"{number % len(SIZES)}.jpg", folder / "train" / name)


def opened(folder: Path) -> tuple[CocoDataset, dict[str, float]]:
    """The data set, and what it took beyond the libraries."""
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
    began, worked = time.perf_counter(), time.process_time()
    dataset = CocoDataset(folder, "train")
    return dataset, {
        "opening, s": time.perf_counter() - began,
        "of these on the processor, s": time.process_time() - worked,
        "memory while opening, MiB": (resident_bytes("VmHWM") - before) / MIB,
        "memory kept, MiB": (resident_bytes("VmRSS") - before) / MIB,
    }


def read_by_workers(dataset: CocoDataset, workers: int, read: int) -> dict[str, float]:
    """Images at random in batches; what workers hold after the first and the last."""
    random = torch.Generator().manual_seed(0)
    places = torch.randperm(len(dataset), generator=random)[:read].tolist()
    loader = DataLoader(
        Subset(dataset, places),
        batch_size=BATCH,
        num_workers=workers,
        collate_fn=private_bytes,
    )
    began = time.perf_counter()
    by_worker: dict[int, list[int]] = {}
    for worker, count in loader:
        by_worker.setdefault(worker, []).append(count)
    seconds = time.perf_counter() - began
    first = np.mean([counts[0] for counts in by_worker.values()])
    last = np.mean([counts[-1] for counts in by_worker.values()])
    return {
        f"images read by {workers} workers": len(places),
        "images a second": len(places) / seconds,
        "a worker's own memory after its first batch, MiB": float(first) / MIB,
        "a worker's own memory after its last batch, MiB": float(last) / MIB,
    }


def private_bytes(samples: list[Sample]) -> tuple[int, int]:
    """(process, bytes that it shares with none) once these samples are read."""
    text = Path("/proc/self/smaps_rollup").read_text()
    kilobytes = re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)
    return os.getpid(), sum(map(int, kilobytes)) * 1024
