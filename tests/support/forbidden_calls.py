"""Finds in a program what unpickles, executes text, or starts a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Finding", "find_forbidden"]

# Modules that there is no good use of in a service, whatever is called in them.
_MODULES: Final = frozenset(
    {
        *("cloudpickle", "code", "codeop", "commands", "dill", "joblib", "jsonpickle", "marshal"),
        *("pickle", "pickletools", "_pickle", "pty", "runpy", "shelve", "subprocess", "xmlrpc"),
    }
)
_BUILTINS: Final = frozenset({"__import__", "compile", "eval", "exec"})
_FUNCTIONS: Final = frozenset(
    {
        *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
        *("os.popen", "os.startfile", "os.system", "yaml.load", "yaml.unsafe_load"),
        *("yaml.full_load", "importlib.import_module", "numpy.load", "pandas.read_pickle"),
        *("torch.load", "types.CodeType", "types.FunctionType", "ctypes.CDLL"),
    }
)
_PREFIXES: Final = ("os.exec", "os.spawn", "os.posix_spawn")


class Finding(NamedTuple):
    """A line, and what it does."""

    line: int
    what: str


def find_forbidden(source: str) -> list[Finding]:
    """Return what a program does that it must not, by the names that its imports give.

    A name is looked at wherever it stands, called or handed on. What a program puts together
    at run time, ``getattr`` of a module or of builtins with such a name, is found where the
    name is a text in the program.
    """
    tree = ast.parse(source)
    names = dict(_list_imports(tree))
    found = set(_find_imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            what = _name_of(node, names)
            if what is not None and _is_forbidden(what):
                found.add(Finding(node.lineno, what))
    return sorted(found)


def _list_imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname or alias.name.split(".")[0]),
                    (alias.name if alias.asname else alias.name.split(".")[0]),
                )
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for alias in node.names:
                yield (alias.asname or alias.name), f"{node.module}.{alias.name}"


def _find_imports(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            modules = [node.module]
        for module in modules:
            if module.split(".")[0] in _MODULES:
                assert isinstance(node, ast.stmt)
                yield Finding(node.lineno, module)


def _name_of(node: ast.AST, names: dict[str, str]) -> str | None:
    """Return the full name of an expression, as far as the program's text tells it."""
    if isinstance(node, ast.Name):
        return names.get(node.id, f"builtins.{node.id}")
    if isinstance(node, ast.Attribute):
        owner = _name_of(node.value, names)
        return None if owner is None else f"{owner}.{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        owner = _name_of(node.args[0], names) if node.args else None
        name = node.args[1] if len(node.args) > 1 else None
        if owner is not None and isinstance(name, ast.Constant) and isinstance(name.value, str):
            return f"{owner}.{name.value}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        owner = _name_of(node.value, names)
        if owner in ("builtins.__builtins__", "builtins.__dict__"):
            return f"builtins.{node.slice.value!s}"
    return None


def _is_forbidden(what: str) -> bool:
    what = what.replace("builtins.__builtins__", "builtins")
    head, _, rest = what.partition(".")
    if head == "builtins":
        return rest in _BUILTINS
    return what in _FUNCTIONS or what.startswith(_PREFIXES)
