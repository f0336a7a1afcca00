"""The API's pages, from the sources: signatures and docstrings as they stand there.

Nothing is imported, so a page needs no GPU, compiled functions look like the others,
and shapes are written as their author wrote them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from textwrap import indent
from typing import Any, TypeGuard

from repository import FLOORS, PACKAGE, lessons, modules, title
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring

NAPOLEON: Any = Config(napoleon_use_ivar=True)
FORMULA = re.compile(r"^(\S.*)\n\n(?= {4}\S)", re.MULTILINE)
"""The line before what is indented."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def api_pages() -> dict[str, str]:
    """Files under ``docs/api`` with their text."""
    pages = {f"{name}.rst": module_page(name) for name in modules()}
    pages |= {f"{floor}/index.rst": floor_page(floor) for floor in FLOORS}
    lines = [docstring(package(floor)).partition("\n\n")[0] for floor in FLOORS]
    rows = [
        (f":doc:`{f} <{f}/index>`", line) for f, line in zip(FLOORS, lines, strict=True)
    ]
    rows.append((":doc:`structures`", docstring(modules()["structures"])))
    inside = "".join(f"   {floor}/index\n" for floor in FLOORS)
    toc = f"\n.. toctree::\n   :hidden:\n\n{inside}"
    told = "The package by its folders. A floor imports only those below.\n\n"
    return pages | {"index.rst": heading("API reference") + told + glance(rows) + toc}


def floor_page(floor: str) -> str:
    """What a folder is for, and a table of its modules."""
    rows = [
        (f":doc:`{short(name)} </api/{name}>`", docstring(tree))
        for name, tree in modules().items()
        if name.startswith(f"{floor}/")
    ]
    return heading(floor) + docstring(package(floor)) + "\n\n" + glance(rows)


def module_page(name: str) -> str:
    """A module: where else its component is, then its docstring and its members.

    It is in no table of contents: with some 250 of them in the sidebar of every page
    the site would take minutes more to build, and the sidebar be of no use.
    """
    tree = modules()[name]
    full = "maskrcnn_scratch." + name.replace("/", ".")
    parts = [":orphan:", heading(short(name)), f".. py:module:: {full}"]
    parts += [elsewhere(name), docstring(tree)]
    parts += members(tree.body, imported(tree), "")
    return "\n\n".join(part for part in parts if part) + "\n"


def elsewhere(name: str) -> str:
    """Links to the component's other floors and to the lessons that use it."""
    component = name.rpartition("/")[2]
    others = [
        f":doc:`{other.replace('/', '.')} </api/{other}>`"
        for floor in ("reference", "cpu", "cuda", "ops", "models", "figures")
        if (other := f"{floor}/{component}") in modules() and other != name
    ]
    spoken = [
        f":doc:`{title(lesson)} </lessons/{lesson}>`"
        for lesson, text in lessons().items()
        if f"maskrcnn_scratch.reference.{component} import" in text
        or f"maskrcnn_scratch.{name.replace('/', '.')} import" in text
    ]
    floor = name.partition("/")[0]
    lines = [f"| In: :doc:`{floor} </api/{floor}/index>`"] if floor in FLOORS else []
    if others:
        lines.append(f"| Also: {', '.join(others)}")
    if spoken:
        lines.append(f"| Lessons: {', '.join(spoken)}")
    return "\n".join(lines)


def members(body: list[ast.stmt], known: dict[str, str], owner: str) -> Iterator[str]:
    """The public functions, classes and documented values of a module or a class."""
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield function(statement, known, owner)
            case ast.ClassDef(name=name) if not name.startswith("_"):
                inner = members(statement.body, known, name)
                told = "\n\n".join([docstring(statement), *filter(None, inner)])
                yield directive("class", name + fields(statement, known), told)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                words = str(ast.literal_eval(after.value)) if is_text(after) else ""
                if is_alias(value, name):
                    full = f"   :canonical: {annotation(value, known)}\n"
                    yield directive("type", name, words, full)
                elif words:
                    yield directive("attribute" if owner else "data", name, words)


def is_text(statement: ast.stmt | None) -> TypeGuard[ast.Expr]:
    """Whether a statement is a string alone: the docstring of what stands before it."""
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def is_alias(value: ast.expr | None, name: str) -> bool:
    """Whether it is a name for a type, such as ``Box = Float[np.ndarray, " 4"]``."""
    kinds = (ast.Subscript, ast.BinOp, ast.Attribute, ast.Name)
    return name[0].isupper() and not name.isupper() and isinstance(value, kinds)


def function(node: Function, known: dict[str, str], owner: str) -> str:
    """A function or a method; "" where it is nobody else's business."""
    marks = {ast.unparse(mark) for mark in node.decorator_list}
    if node.name.startswith("_") or marks & {"overload", "typing.overload"}:
        return ""
    kind, options = ("method" if owner else "function"), ""
    if marks & {"property", "cached_property"}:
        kind = "property"
        gives = f"   :type: {annotation(node.returns, known)}\n"
        return directive(
            kind, node.name, docstring(node), gives if node.returns else ""
        )
    for mark in marks & {"staticmethod", "classmethod"}:
        options = f"   :{mark}:\n"
    bound = bool(owner) and "staticmethod" not in marks
    gives = f" -> {annotation(node.returns, known)}" if node.returns else ""
    signature = f"{node.name}({arguments(node.args, known, bound)}){gives}"
    return directive(kind, signature, docstring(node), options)


def fields(node: ast.ClassDef, known: dict[str, str]) -> str:
    """What a class is made from, in brackets; "" where neither way tells."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return f"({arguments(one.args, known, True)})"
    if not any("dataclass" in ast.unparse(mark) for mark in node.decorator_list):
        return ""
    told = []
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            default = f" = {ast.unparse(one.value)}" if one.value else ""
            told.append(
                f"{one.target.id}: {annotation(one.annotation, known)}{default}"
            )
    return f"({', '.join(told)})"


def arguments(args: ast.arguments, known: dict[str, str], bound: bool) -> str:
    """What stands in the brackets, less ``self`` where it is ``bound``."""
    new = ast.parse(f"def f({ast.unparse(args)}): ...").body[0]
    assert isinstance(new, ast.FunctionDef)
    for one in ast.walk(new.args):
        if isinstance(one, ast.arg) and one.annotation:
            one.annotation = Linked(known).visit(one.annotation)
    if bound:
        first = new.args.posonlyargs or new.args.args
        del first[0]
    return ast.unparse(new.args)


def annotation(node: ast.expr | None, known: dict[str, str]) -> str:
    """A type, with imported names in full; "" without one."""
    if node is None:
        return ""
    return ast.unparse(Linked(known).visit(ast.parse(ast.unparse(node), mode="eval")))


class Linked(ast.NodeTransformer):
    """Writes ``~package.module.Class`` for ``Class``: Sphinx shows the last part."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.known:
            return node
        return ast.parse(f"~{self.known[node.id]}", mode="eval").body


def imported(tree: ast.Module) -> dict[str, str]:
    """The names that a module has from others, with their full names."""
    return {
        one.asname or one.name: f"{node.module}.{one.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for one in node.names
    }


def package(floor: str) -> ast.Module:
    """The ``__init__`` of a folder."""
    return ast.parse((PACKAGE / floor / "__init__.py").read_text("utf-8"))


def docstring(node: ast.Module | ast.ClassDef | Function) -> str:
    """As reStructuredText; sections such as Args as field lists, formulas as blocks."""
    text = FORMULA.sub(r"\1\n\n::\n\n", ast.get_docstring(node) or "")
    text = re.sub(r"(``\S(?:[^`]*\S)?``)(?=[\w^])", r"\1\\ ", text)  # ``size``^2
    return str(GoogleDocstring(text, NAPOLEON))


def directive(kind: str, signature: str, told: str, options: str = "") -> str:
    """An object of the Python domain."""
    return f".. py:{kind}:: {signature}\n{options}\n{indent(told, '   ')}"


def heading(text: str) -> str:
    """A page's title."""
    return f"{text}\n{'=' * len(text)}\n\n"


def short(name: str) -> str:
    """A module's name within its floor: ``roi_align``, ``recorder.races``."""
    return name.partition("/")[2].replace("/", ".") or name


def glance(rows: list[tuple[str, str]]) -> str:
    """A table of pages, each with the first paragraph it says."""
    table = ".. list-table::\n   :widths: auto\n\n"
    for link, told in rows:
        first = " ".join(told.partition("\n\n")[0].split())
        table += f"   * - {link}\n     - {first}\n"
    return table
