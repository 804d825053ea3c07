"""A call that fails says what could not be read, and no other database's name."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from zeroskew.contract.errors.service import RegistryUnavailableError
from zeroskew.records.blocking_calls import BlockingCalls
from zeroskew.records.registry.registry_executor import RegistryExecutor


@pytest.fixture
def calls() -> Iterator[BlockingCalls]:
    with ThreadPoolExecutor(1) as threads:
        yield BlockingCalls(threads)


def fail(error: Exception) -> None:
    raise error


def test_what_failed_is_named(calls: BlockingCalls) -> None:
    for subject in ("The model registry", "The table of keys"):
        executor = RegistryExecutor(calls, failures=(sqlite3.Error,), subject=subject)
        with pytest.raises(RegistryUnavailableError, match=f"^{subject} cannot be read.$"):
            asyncio.run(executor.run(fail, sqlite3.OperationalError("disk I/O error")))


def test_other_errors_are_the_callers(calls: BlockingCalls) -> None:
    executor = RegistryExecutor(calls, failures=(sqlite3.Error,))
    with pytest.raises(KeyError):
        asyncio.run(executor.run(fail, KeyError("name")))
    with pytest.raises(sqlite3.OperationalError):
        asyncio.run(calls.run(fail, sqlite3.OperationalError("of the log")))
