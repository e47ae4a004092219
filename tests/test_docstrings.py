"""Everything public says what it is for."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jwtguard"
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.name == "__init__.py" or not path.name.startswith("_")
)

Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def undocumented(body, inside=""):
    """Public classes, functions and methods without a docstring, as (line, name)."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from undocumented(node.body, inside)
        if not isinstance(node, Defined) or node.name.startswith("_"):
            continue
        name = f"{inside}{node.name}"
        if ast.get_docstring(node) is None and not is_said_elsewhere(node):
            yield node.lineno, name
        if isinstance(node, ast.ClassDef) and not inherits(node):
            yield from undocumented(node.body, f"{name}.")


def inherits(node):
    """Whether the methods of a class may be those of another, which says what they are for."""
    return [one for one in node.bases if not ast.unparse(one).startswith("Protocol")] != []


def is_said_elsewhere(node):
    """A class that assigns ``__doc__``, or a setter or overload of what has one."""
    if isinstance(node, ast.ClassDef):
        return any(
            isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "__doc__"
            for one in node.body
        )
    said = [ast.unparse(one) for one in node.decorator_list]
    return any(one.endswith(".setter") or one.rpartition(".")[2] == "overload" for one in said)


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree) is not None
    assert list(undocumented(tree.body)) == []


def test_what_has_none_is_found():
    source = """
def a(): ...
class B:
    "b"
    def c(self): ...
    def _d(self): ...
class E(B):
    "e"
    def c(self): ...
async def f(): pass
"""
    assert list(undocumented(ast.parse(source).body)) == [(2, "a"), (5, "B.c"), (10, "f")]
