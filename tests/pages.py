"""Pages of docs/ as tests see them: fenced blocks, which run, and links."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn_scratch.cli import main

DOCS = Path(__file__).parents[1] / "docs"

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AS_SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """What a fence holds: sh, python, toml; text, which is what came out of the block
    before; or output, a message that stands by itself."""

    kind: str
    text: str
    line: int


def read_page(name: str) -> str:
    """The page's Markdown."""
    return (DOCS / name).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """All fences, from top to bottom."""
    return [
        Block(found[1], found[2], page.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(page)
    ]


def run_page(name: str) -> None:
    """Run the page's blocks in the current folder, and compare what they print.

    Commands must end with 0. Python blocks share their names. A toml block is the file
    that its first line names. A text block is all that the block before printed; three
    dots stand for anything.
    """
    names: dict[str, Any] = {}
    printed = ""
    for block in blocks(read_page(name)):
        place = f"{name}, line {block.line}"
        if block.kind == "output":
            continue  # a message, which another test provokes
        if block.kind == "text":
            checker = doctest.OutputChecker()
            assert checker.check_output(block.text, printed, AS_SHOWN), (
                f"{place}: the page shows\n{block.text}\nand out came\n{printed}"
            )
        elif block.kind == "toml":
            Path(block.text.split()[1]).write_text(block.text, "utf-8")
        else:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                run_block(block, names, place)
            printed = out.getvalue()


def run_block(block: Block, names: dict[str, Any], place: str) -> None:
    """Commands in this process, as the shell would name them; or Python."""
    if block.kind == "python":
        exec(compile("\n" * block.line + block.text, place, "exec"), names)
        return
    assert block.kind == "sh", f"{place}: nobody runs {block.kind}"
    for line in block.text.splitlines():
        program, *words = shlex.split(line)
        assert program == "maskrcnn-scratch", place
        assert main(words) == 0, f"{place}: {line}"
