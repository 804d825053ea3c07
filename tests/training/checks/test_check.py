"""`zeroskew check` on the README's shop: whole, and with one mistake planted at a time."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.readme_project import CLOCK, write_definitions, write_tables
from tests.training.checks.planted_mistakes import MISTAKES
from tests.training.checks.planting import Mistake, Shop
from training.checks.finding import LONGEST_SENTENCE, Finding
from training.checks.run import CheckScope, find_mistakes
from training.project.settings_file import OTHER_SETTINGS
from training.project.workspace import Workspace
from zeroskew.contract.settings_page import describe_misspelt


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    write_tables(folder)
    return folder


@pytest.fixture
def shop(tmp_path: Path, lake: Path) -> Shop:
    write_definitions(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "lake").symlink_to(lake)
    return Shop(
        tmp_path,
        {
            "ZEROSKEW_FEATURE_REPO": str(tmp_path / "feature_repo"),
            "ZEROSKEW_MODELS": str(tmp_path / "models"),
            "ZEROSKEW_HOME": str(tmp_path / "var"),
            "ZEROSKEW_CLOCK": CLOCK,
            "ZEROSKEW_PORT": "0",
        },
    )


Look = Callable[[Shop], list[Finding]]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    def find(shop: Shop) -> list[Finding]:
        with monkeypatch.context() as patched:
            for variable, value in shop.environment.items():
                patched.setenv(variable, value)
            return find_mistakes(Workspace(), CheckScope.ALL)

    return find


def test_clean_project_has_no_finding(shop: Shop, look: Look) -> None:
    assert look(shop) == []


@contextlib.contextmanager
def planted(mistake: Mistake, shop: Shop) -> Iterator[None]:
    done = mistake.plant(shop)
    with done if hasattr(done, "__enter__") else contextlib.nullcontext():
        yield


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_planted_mistake_is_found(mistake: Mistake, shop: Shop, look: Look) -> None:
    with planted(mistake, shop):
        found = look(shop)
    sentences = [str(finding) for finding in found]
    assert any(one.startswith(mistake.place) and mistake.says in one for one in sentences), (
        sentences
    )
    assert all(len(one) <= LONGEST_SENTENCE and "\n" not in one for one in sentences), sentences
    # One cause is not told as many: what hangs on it is left unsaid.
    assert len(sentences) <= 3, sentences


def test_no_setting_of_the_commands_is_refused_by_the_service() -> None:
    names = [*Workspace.model_fields, *OTHER_SETTINGS, "feast_registry", "feast_redis", "root"]
    assert list(describe_misspelt({f"ZEROSKEW_{name.upper()}": "" for name in names})) == []
