"""Looks for garbage wait for imports, and go on after them; what nobody uses stays away."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from api.quick_imports import quick_imports

IMPORT_ALL = """
import sys
from api.quick_imports import quick_imports
with quick_imports():
    import api.main
    app = api.main.create_app()
print([name for name in sys.modules if name.startswith(("rich.", "watchfiles.", "pydantic.v1."))])
"""


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Let the process look for garbage, and import, as it did before."""
    before = set(sys.modules)
    yield
    gc.unfreeze()
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("_as_before")
def test_looks_for_garbage_go_on_after_imports() -> None:
    frozen = gc.get_freeze_count()
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()


def test_what_the_service_has_no_use_for_is_not_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
