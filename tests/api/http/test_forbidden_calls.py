"""No module on a request's way unpickles, executes text or starts a shell; a plant is found."""

from pathlib import Path

import pytest

from tests.support.forbidden_calls import find_forbidden

ROOT = Path(__file__).parents[3]
ON_THE_WAY = ("api", *(f"zeroskew/{floor}" for floor in ("contract", "records", "online", "model")))
PATHS = sorted(path for folder in ON_THE_WAY for path in (ROOT / folder).rglob("*.py"))


# The module of an online store, by a table of ours and the scheme of the operator's address.
ALLOWED = {"zeroskew/online/schemes.py": ["importlib.import_module"]}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_does_nothing_of_it(path: Path) -> None:
    found = [one.what for one in find_forbidden(path.read_text())]
    assert found == ALLOWED.get(str(path.relative_to(ROOT)), [])


@pytest.mark.parametrize(
    "program",
    [
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads as read",
        "from _pickle import Unpickler",
        "import dill",
        "import cloudpickle",
        "import marshal",
        "import shelve",
        "from joblib import load",
        "import subprocess",
        "from subprocess import run",
        "eval('1')",
        "exec('1')",
        "f = eval",
        "compile('1', '', 'eval')",
        "__import__('pickle')",
        "import builtins\nbuiltins.exec('1')",
        "import builtins as b\ng = b.eval",
        "import builtins\ngetattr(builtins, 'exec')('1')",
        "__builtins__['eval']('1')",
        "__builtins__.eval('1')",
        "import os\nos.system('ls')",
        "from os import system as run\nrun('ls')",
        "import os\nos.popen('ls')",
        "import os\nos.execv('/bin/sh', [])",
        "import os\ngetattr(os, 'system')('ls')",
        "import asyncio\nasyncio.create_subprocess_shell('ls')",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import yaml\nyaml.load(text)",
        "from importlib import import_module\nimport_module(name)",
        "import ctypes\nctypes.CDLL(path)",
        "def f():\n    import pickle",
    ],
)
def test_what_is_planted_is_found(program: str) -> None:
    assert find_forbidden(program)


@pytest.mark.parametrize(
    "program",
    [
        "import re\nre.compile('x')",
        "model.eval()",
        "from zeroskew.model.plan.plan_compiler import compile_plan\ncompile_plan(x)",
        "import json\njson.load(x)",
        "import os\nos.environ",
        "loads = 1\nloads",
    ],
)
def test_what_is_harmless_is_not(program: str) -> None:
    assert find_forbidden(program) == []
