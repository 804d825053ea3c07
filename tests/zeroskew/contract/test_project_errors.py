"""The tree of errors in `zeroskew.contract.errors.project` is the tree of the classes."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType

import training
import zeroskew.declarations
import zeroskew.features
from zeroskew.contract.errors import project as errors


def drawn_tree() -> Iterator[tuple[int, str]]:
    for line in (errors.__doc__ or "").splitlines():
        if drawn := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            yield len(drawn[1]) // 4, drawn[2]


def tree_of(error: type[BaseException], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, error.__name__
    for child in error.__subclasses__():
        yield from tree_of(child, depth + 1)


def defined_errors() -> Iterator[type[BaseException]]:
    for package in (training, zeroskew.declarations, zeroskew.features):
        yield from defined_in(package)


def defined_in(package: ModuleType) -> Iterator[type[BaseException]]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.startswith("training.models."):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, Exception)
                and value.__module__ == module.name
            ):
                yield value


def test_every_error_is_a_training_error_and_drawn() -> None:
    defined = list(defined_errors())
    assert len(defined) > 10
    strays = {error.__name__ for error in defined if not issubclass(error, errors.TrainingError)}
    assert strays == set()
    assert sorted(drawn_tree()) == sorted(tree_of(errors.TrainingError))
