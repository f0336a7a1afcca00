"""Formulas as MathML, made by docutils: browsers draw them with no script or network.

A formula that docutils cannot read raises an error, and with it the build fails.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

UNKNOWN = (
    (r"\\t?frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\\Big(?![a-zA-Z])", ""),  # brackets grow by themselves
    (r"\\dots(?![a-zA-Z])", r"\\ldots"),
)
"""To docutils, with what says the same."""


def mathml(tex: str, block: bool = False) -> str:
    """A formula as a ``math`` element."""
    for unknown, known in UNKNOWN:
        tex = re.sub(unknown, known, tex)
    return str(tex2mathml(tex, as_block=block))


def inline(translator: Any, node: nodes.math) -> None:
    """A formula within a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.math_block) -> None:
    """A formula that stands alone; a wide one scrolls."""
    formula = mathml(node.astext(), block=True)
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
