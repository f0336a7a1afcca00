"""The site's own extensions, and what must hold of every page they make.

``make docs`` builds the whole site and checks it; here a small one is built.

Deliberate faults, and the test that caught each:

- a figure's own words left out -> test_every_picture_of_a_lesson_has_words
- words of the last function that draws -> test_words_come_from_the_function_that_draws
- a command of TeX unknown again -> test_every_formula_of_a_lesson_can_be_drawn
- 12 read as 2/1 -> test_formulas
- a link to nothing that becomes plain words -> test_links_into_the_repository
- private functions shown
  -> test_every_public_function_of_the_reference_has_its_place
- a page that names itself as another floor -> test_a_page_of_the_api
- modules left out of a table -> test_every_module_is_on_the_page_of_its_floor
- formulas as running text -> test_a_formula_in_a_docstring_keeps_its_lines
- a bar or an ampersand not escaped -> test_no_sign_of_a_claim_is_markdown
- evidence not looked at -> test_no_page_for_evidence_against_the_verdict
- stale files left, or all files written anew -> test_pages_are_written_when_they_change
- anchors not looked up, folders taken for pages -> test_faults_of_a_site
"""

from __future__ import annotations

import functools
import html
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("sphinx")
pytest.importorskip("myst_nb")

import check_site
import claims_pages
import repository
from api import api_pages
from lessons import lesson_pages
from markdown_it import MarkdownIt
from mathml import mathml
from site_pages import write

from maskrcnn_scratch.claims import find
from maskrcnn_scratch.claims.claim import Step

ROOT = Path(__file__).parents[1]
LESSONS = {
    name: json.loads(text)
    for name, text in lesson_pages().items()
    if name.endswith(".ipynb")
}
each = pytest.mark.parametrize("name", LESSONS)


API = functools.cache(api_pages)


def pictures(notebook: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each picture's words for itself, "" of most, and the cell's alternative text."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                said = output.get("metadata", {}).get("image/png", {}).get("alt", "")
                yield said, cell["metadata"]["mystnb"]["image"]["alt"]


@each
def test_every_picture_of_a_lesson_has_words(name: str) -> None:
    found = list(pictures(LESSONS[name]))
    assert found
    for said, alt in found:
        heading, _, words = alt.partition(": ")
        assert said in alt
        assert len(heading) > 5
        assert len(words.split()) > 3 or "axes" in alt
        assert "``" not in alt
        assert "png" not in alt.lower()


def test_words_come_from_the_function_that_draws() -> None:
    alts = [alt for _, alt in pictures(LESSONS["06_nms.ipynb"])]
    module = importlib.import_module("maskrcnn_scratch.figures.nms")
    first = (module.draw_nms.__doc__ or "").partition("\n")[0]
    assert alts[0] == f"The greedy rule: {first}"
    (first_look, *_) = [alt for _, alt in pictures(LESSONS["00_first_look.ipynb"])]
    assert "masks and boxes" in first_look  # of draw_objects, not draw_pictures


def formulas(notebook: dict[str, Any]) -> list[str]:
    text = "\n\n".join(
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
    )
    text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\$\$(.+?)\$\$|(?<!\$)\$([^$]+)\$", text, re.DOTALL)


@each
def test_every_formula_of_a_lesson_can_be_drawn(name: str) -> None:
    for block, inline in formulas(LESSONS[name]):
        drawn = mathml(block or inline, block=bool(block))
        assert drawn.startswith("<math")
        assert "merror" not in drawn


def test_formulas() -> None:
    assert mathml(r"\tfrac12") == mathml(r"\frac{1}{2}")
    assert ">…<" in mathml(r"1, \dots, n")
    with pytest.raises(Exception, match="nosuch"):
        mathml(r"\nosuch x")


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("[a](../tutorial/03_roi_align.py)", "[a](/lessons/03_roi_align)"),
        ("[a](../tutorial/README.md)", "[a](/lessons/index.md)"),
        (
            "[two\nlines](../maskrcnn_scratch/cpu/roi_mean.py)",
            "[two\nlines](/api/cpu/roi_mean)",
        ),
        ("[a](../maskrcnn_scratch/reference/)", "[a](/api/reference/index)"),
        ("[a](../maskrcnn_scratch/cli.py)", "a"),
        ("[a](../tests/test_nms.py)", "a"),
        ("[a](weights.md#b)", "[a](/weights.md#b)"),
        ("[a](../README.md)", "[a](/index.md)"),
        ("[a](#b)", "[a](#b)"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("[a](no-such-page.md)", "[a](no-such-page.md)"),
        ("kernel[blocks, threads](image, out)", "kernel[blocks, threads](image, out)"),
        (
            "[a](../notebooks/03_roi_align.ipynb)",
            "[a](path:/../notebooks/03_roi_align.ipynb)",
        ),
    ],
)
def test_links_into_the_repository(link: str, becomes: str) -> None:
    assert repository.on_the_site(link, "docs") == becomes


def test_every_public_function_of_the_reference_has_its_place() -> None:
    """By what Python says is there; the pages are made from the source alone."""
    pages = API()
    names = [name for name in repository.modules() if name.startswith("reference/")]
    for name in names:
        module = importlib.import_module(f"maskrcnn_scratch.{name.replace('/', '.')}")
        found = re.findall(r"^\.\. py:function:: (\w+)\(", pages[f"{name}.rst"], re.M)
        there = {
            one: value.__code__.co_firstlineno
            for one, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        }
        public = [one for one in there if not one.startswith("_")]
        assert found == sorted(public, key=there.__getitem__)


def test_a_page_of_the_api() -> None:
    page = API()["ops/nms.rst"]
    assert "Float)[~torch.Tensor, 'n 4']" in page
    assert ":doc:`reference.nms </api/reference/nms>`" in page
    assert "</lessons/06_nms>`" in page
    assert "</api/ops/nms>" not in page


def test_every_module_is_on_the_page_of_its_floor() -> None:
    for name in repository.modules():
        floor, _, rest = name.partition("/")
        if rest:
            assert (
                f":doc:`{rest.replace('/', '.')} </api/{name}>`"
                in (API()[f"{floor}/index.rst"])
            )
    assert "structures" in API()["index.rst"]


def test_a_formula_in_a_docstring_keeps_its_lines() -> None:
    page = API()["reference/losses.rst"]
    assert "::\n\n       d^2 / (2 beta)   where |d| < beta," in page


SIGNS = st.text("ab1 .[]()|*_`<>$#~&\\/^-!{}", min_size=1)


@given(SIGNS)
@example("a &lt; b")
def test_no_sign_of_a_claim_is_markdown(text: str) -> None:
    told = " ".join(text.split())
    page = claims_pages.table(["x"], [[f"x {claims_pages.plain(text)} x"]])
    drawn = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(page)
    cell = re.search(r"<td>(.*)</td>", drawn, re.DOTALL)
    assert cell
    assert " ".join(html.unescape(cell[1]).split()) == " ".join(f"x {told} x".split())


def test_a_page_of_a_claim(tmp_path: Path) -> None:
    claims_pages.compute(1, tmp_path)
    page = (tmp_path / "1.md").read_text("utf-8")
    assert page.startswith("# 1. 665 / 32 = 20.78 becomes 20\n")
    assert "| 665 / 32 | 20.78125 | yes |" in page
    assert "    maskrcnn-scratch claims 1 --figure" in page
    assert f"({'/lessons/' + find(1).lesson})" in page
    assert re.search(r"^!\[[^\]]{40,}\]\(1\.png\)$", page, re.MULTILINE)
    assert (tmp_path / "1.png").read_bytes().startswith(b"\x89PNG")


def test_no_page_for_evidence_against_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    against = replace(find(1), evidence=lambda told: [Step("1 + 1", "3", False)])
    monkeypatch.setattr(claims_pages, "find", lambda number: against)
    with pytest.raises(ValueError, match="claim 1"):
        claims_pages.compute(1, tmp_path)
    assert not (tmp_path / "1.md").exists()


def test_pages_are_written_when_they_change(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "old", "b/c.md": "same", "gone.md": ""})
    before = (tmp_path / "b/c.md").stat().st_mtime_ns
    write(tmp_path, {"a.md": "new", "b/c.md": "same", "d.png": b"\x89"})
    assert (tmp_path / "b/c.md").stat().st_mtime_ns == before
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")}
    assert left == {"a.md", "b/c.md", "d.png"}
    assert (tmp_path / "a.md").read_text("utf-8") == "new"


GOOD = """<img src="a.png" alt="a cell"><a name="old" href="b/c.html#here">x</a>
<a href="#old">x</a> <a href="https://example.org">x</a> <a href="mailto:a@b.c">x</a>
<a href="b/c.html#roi=1">x</a> <img src="data:image/png;base64,AA==" alt="a dot">"""


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("", None),
        ('<a href="b/d.html">x</a>', "leads nowhere: b/d.html"),
        ('<a href="b/c.html#there">x</a>', "leads nowhere: b/c.html#there"),
        ('<a href="#there">x</a>', "leads nowhere: #there"),
        ('<a href="b">x</a>', "leads nowhere: b"),
        ('<img src="d.png" alt="a cell">', "leads nowhere: d.png"),
        ('<img src="a.png">', "no alternative text: a.png"),
        ('<img src="a.png" alt=" ">', "no alternative text: a.png"),
        ('<img src="a.png" alt="a.png">', "no alternative text: a.png"),
        ('<script src="gone.js"></script>', "leads nowhere: gone.js"),
        (
            '<script src="https://example.org/a.js"></script>',
            "comes from elsewhere: https://example.org/a.js",
        ),
        (
            '<link rel="stylesheet" href="//example.org/a.css">',
            "comes from elsewhere: //example.org/a.css",
        ),
    ],
)
def test_faults_of_a_site(tmp_path: Path, more: str, fault: str | None) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.html").write_text('<p id="here">x</p><a href="../a.png">x</a>')
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(GOOD + more)
    found = check_site.faults(tmp_path)
    assert found == ([f"index.html: {fault}"] if fault else [])


def test_a_small_site(tmp_path: Path) -> None:
    """With the real settings: no warning, no fault; words and formulas are there."""
    source, out = tmp_path / "source", tmp_path / "html"
    lesson, api = "06_nms.ipynb", API()["reference/losses.rst"]
    api = re.sub(r"^\| .*\n", "", api, flags=re.MULTILINE)  # to pages left out here
    pages = {lesson: json.dumps(LESSONS[lesson]), "losses.rst": api}
    pages["index.md"] = "# Site\n\n```{toctree}\n06_nms\n```\n"
    write(source, pages)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-c", ROOT / "docs"]
    command += ["-D", "extensions=myst_nb,mathml", source, out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert check_site.faults(out) == []
    built = (out / "06_nms.html").read_text("utf-8")
    for _, alt in pictures(LESSONS[lesson]):
        assert f'alt="{html.escape(alt)}"' in built
    assert built.count("<math") == len(formulas(LESSONS[lesson]))
    assert "jupyter.widget" not in built
    assert 'id="maskrcnn_scratch.reference.losses.smooth_l1"' in (
        out / "losses.html"
    ).read_text("utf-8")
