"""Joins modules of this package to one file that runs without it."""

from __future__ import annotations

import ast
import pprint
from importlib.resources import files
from typing import TYPE_CHECKING

from optkit.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OWN = "optkit"
# Takes the place of the one in optkit.errors.
_ERROR = '''class InputError(Exception):
    """Something that was given cannot be used; the message says what to do."""'''
_WIDTH = 118


def assembled(modules: Sequence[str], values: Mapping[str, object] | None = None) -> str:
    """The source of one file with the content of several modules, in their order.

    Imports of the standard library and of packages come once each and at the top; those of optkit are left out, since
    what they name is in the file.

    Args:
        modules: Names of modules of this package, each after those that it needs; the last one's docstring is kept.
        values: Values to write into assignments of the last module, by name (``SETTINGS``).

    Returns:
        Source for Python 3.11 and later.

    Raises:
        InternalError: Two of the modules define the same name.
    """
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    bodies: list[str] = []
    defined: set[str] = set()
    docstring = ""
    for name in modules:
        source = files(__package__).joinpath(f"{name}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        docstring = ast.get_docstring(tree, clean=False) or ""
        for node in ast.walk(tree):
            _note_import(node, plain, named)
        kept = [node for node in tree.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom | ast.If)]
        twice = defined & (names := {found for node in kept if (found := _defined(node))})
        if twice:
            raise InternalError(f"optkit.device.{name} defines {sorted(twice)} as another module of the same file does")
        defined |= names
        bodies.append(_body(source, kept, (values or {}) if name == modules[-1] else {}))
        # The command itself stands at the end.
        bodies += [ast.unparse(node) + "\n" for node in tree.body if _is_main(node)] if name == modules[-1] else []
    imports = sorted(plain) + [f"from {one} import {', '.join(sorted(names))}" for one, names in sorted(named.items())]
    head = f'"""{docstring}"""\n\nfrom __future__ import annotations\n\n' + "\n".join(imports)
    return head + f"\n\n\n{_ERROR}\n\n\n" + "\n\n".join(bodies)


def _note_import(node: ast.AST, plain: set[str], named: dict[str, set[str]]) -> None:
    """Note an import at the top of a module; those inside functions stay there."""
    if not isinstance(node, ast.Import | ast.ImportFrom) or node.col_offset > len("    "):
        return
    if isinstance(node, ast.Import):
        if not node.col_offset:
            plain.add(ast.unparse(node))
        return
    module = node.module or ""
    # In functions these are the heavy ones; below `if TYPE_CHECKING` they are light and annotations name them.
    wanted = not node.col_offset or module == "collections.abc"
    if wanted and module.split(".")[0] not in {"__future__", _OWN}:
        found = (one.name + (f" as {one.asname}" if one.asname else "") for one in node.names)
        named.setdefault(module, set()).update(name for name in found if name != "TYPE_CHECKING")


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _body(source: str, kept: Sequence[ast.stmt], values: Mapping[str, object]) -> str:
    """The source of statements, with the comments before them."""
    lines = source.splitlines()
    pieces: list[str] = []
    for node in kept:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        text = "\n".join(lines[first : node.end_lineno])
        name = _defined(node)
        if name is not None and name in values:
            text = f"{name} = {pprint.pformat(values[name], width=_WIDTH, sort_dicts=False)}"
        block = isinstance(node, ast.FunctionDef | ast.ClassDef)
        pieces.append(f"\n\n{text}\n\n" if block else text)
    joined = "\n".join(pieces).strip("\n") + "\n"
    while "\n\n\n\n" in joined:
        joined = joined.replace("\n\n\n\n", "\n\n\n")
    return joined


def _defined(node: ast.stmt) -> str | None:
    """The name that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None
