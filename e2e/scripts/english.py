"""Real English text that every machine with Python has: the documentation in its own library."""

import ast
import inspect
import sysconfig
from pathlib import Path
from typing import Iterator, NamedTuple


class Entry(NamedTuple):
    """What the library says of one module, class or function."""

    name: str
    text: str


def entries() -> Iterator[Entry]:
    """Every documented thing of the standard library, always in the same order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if relative.parts[0] in {"site-packages", "test", "lib2to3", "idlelib"}:
            continue
        if "tests" in relative.parts or "test" in relative.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        yield from _documented(tree, module)


def _documented(node: ast.AST, name: str) -> Iterator[Entry]:
    text = ast.get_docstring(node)
    if text:
        yield Entry(name, inspect.cleandoc(text))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if not child.name.startswith("_"):
                yield from _documented(child, f"{name}.{child.name}")
