"""The claims' pages: the evidence of each, computed when the site is built.

What was computed is kept in the build folder under a hash of the package's sources, so
that a second build with the same sources is quick.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from repository import PACKAGE, title

from maskrcnn_scratch.claims import NUMBERS, find
from maskrcnn_scratch.claims.claim import Claim, Step, Table, borne_out

MARKS = {None: "", True: "yes", False: "no"}
INDEX = """# Claims, and whether they are so

Sentences from five documents on Mask R-CNN that readers come with. Behind each: the
evidence, computed when this site was built, what is right, where the paper says it, and
the lesson that explains it. In a shell:

    maskrcnn-scratch claims        # this list
    maskrcnn-scratch claims 1      # the evidence for one, computed anew

{}

```{{toctree}}
:hidden:

{}
```
"""


def claim_pages(kept: Path) -> dict[str, str | bytes]:
    """Files under ``docs/claims`` with their contents.

    Args:
        kept: the folder for what has been computed.
    """
    folder = kept / sources_hash()
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(kept.iterdir()) - {folder}:
        shutil.rmtree(old)
    missing = [one for one in NUMBERS if not (folder / f"{one}.md").exists()]
    missing.sort(key=lambda one: not find(one).quick)  # trainings take longest
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(compute, missing, [folder] * len(missing)))
    pages: dict[str, str | bytes] = {"index.md": index_page()}
    for number in NUMBERS:
        pages[f"{number}.md"] = (folder / f"{number}.md").read_text("utf-8")
        pages[f"{number}.png"] = (folder / f"{number}.png").read_bytes()
    return pages


def sources_hash() -> str:
    """Of everything that evidence is computed from, and of how it is written."""
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.safetensors"), Path(__file__)]
    contents = [[file.name, file.read_bytes().hex()] for file in sorted(files)]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def compute(number: int, folder: Path) -> None:
    """Write a claim's page and its picture.

    Raises:
        ValueError: the evidence does not bear the verdict out.
    """
    claim = find(number)
    measured = claim.measure(**claim.quick)
    lines = list(claim.evidence(measured))
    if not borne_out(lines):
        raise ValueError(
            f"the evidence does not bear out the verdict on claim {number}"
        )
    claim.draw(measured).savefig(folder / f"{number}.png", dpi=100)
    page = claim_page(claim, lines, claim.alt(measured))
    (folder / f"{number}.md").write_text(page, "utf-8")


def claim_page(claim: Claim[Any], lines: Iterable[Step | Table], alt: str) -> str:
    """The claim, the verdict, the evidence and its picture."""
    parts = [
        f"# {claim.number}. {plain(headline(claim.number))}",
        f"**The claim.** {plain(claim.claim)} So say: {'; '.join(claim.places)}.",
        f"**The verdict: {claim.verdict}.** {plain(claim.right)}",
        f"**The paper.** {plain(claim.paper)}",
        f"**The lesson.** [{title(claim.lesson)}](/lessons/{claim.lesson})",
        "## The evidence",
        "Computed when this site was built; this computes it again:",
        f"    {command(claim)}",
    ]
    if claim.small:
        parts.append(
            f"**In miniature.** {plain(claim.small)} The figures here are of the run"
            " that `--quick` asks for, smaller still; without it the command takes"
            " minutes."
        )
    parts += [*blocks(lines), f"![{plain(alt)}]({claim.number}.png)"]
    return "\n\n".join(parts) + "\n"


def command(claim: Claim[Any]) -> str:
    """What computes a page's figures."""
    quick = " --quick" if claim.quick else ""
    return f"maskrcnn-scratch claims {claim.number}{quick} --figure claim.png"


def headline(number: int) -> str:
    """The claim in short: what its module says of itself."""
    module = import_module(f"maskrcnn_scratch.claims.claim{number:02}")
    return (module.__doc__ or "").partition("\n")[0].rstrip(".")


def blocks(lines: Iterable[Step | Table]) -> Iterator[str]:
    """The evidence in order: neighbouring steps become one table."""
    for of_steps, group in groupby(lines, lambda line: isinstance(line, Step)):
        found = list(group)
        steps = [line for line in found if isinstance(line, Step)]
        if of_steps:
            rows = [
                (plain(step.says), plain(step.value), MARKS[step.holds])
                for step in steps
            ]
            yield table(("what", "comes out", "as the verdict says"), rows)
        for line in found:
            if isinstance(line, Table):
                values = [[plain(value) for value in row] for row in line.rows]
                yield f"{plain(line.title)}:\n\n{table(line.columns, values)}"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """In Markdown."""
    head = [*columns]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text on one line in which no sign is Markdown's."""
    return re.sub(r"([\\`*_\[\]|<>$#~&])", r"\\\1", " ".join(text.split()))


def index_page() -> str:
    """All claims with their verdicts."""
    rows = []
    for claim in map(find, NUMBERS):
        link = f"[{plain(headline(claim.number))}]({claim.number}.md)"
        rows.append([str(claim.number), link, "; ".join(claim.places), claim.verdict])
    columns = ["", "claim", "made in", "verdict"]
    return INDEX.format(table(columns, rows), "\n".join(map(str, NUMBERS)))
