"""What moves in the registry: guarded, on record, and never to what is not there."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.support.databases import DATABASES, open_database_url
from zeroskew.contract.errors.not_found import UnknownAliasError, UnknownRolloutError
from zeroskew.contract.errors.service import RegistryConflictError, RevisionConflictError
from zeroskew.contract.rollout import Arm, Rollout, Shadow
from zeroskew.records.registry.model_registry import ModelRegistry


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with open_database_url(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def registry(url: str) -> Iterator[ModelRegistry]:
    """Three versions of ``delay``, the first of them the champion."""
    opened = ModelRegistry.open(url)
    for digit in "abc":
        opened.register(model="delay", manifest_sha256=digit * 64, model_sha256="f" * 64)
    opened.set_alias("delay", "champion", 1, actor="Ann", reason="The first.")
    yield opened
    opened.close()


def canary(weight: float = 0.1, *, version: int = 2, shadow: int | None = None) -> Rollout:
    return Rollout(
        kind="canary",
        arms=(
            Arm(name="champion", alias="champion", weight=1 - weight),
            Arm(name="candidate", version=version, weight=weight),
        ),
        shadows=() if shadow is None else (Shadow(name="shadow", version=shadow),),
    )


def test_a_move_that_saw_the_present_revision_is_made(registry: ModelRegistry) -> None:
    seen = registry.get_alias("delay", "champion").revision
    moved = registry.set_alias("delay", "champion", 2, if_match=seen)
    assert (moved.version, moved.revision > seen) == (2, True)
    with pytest.raises(RevisionConflictError, match=f"at revision {moved.revision}, but .* {seen}"):
        registry.set_alias("delay", "champion", 3, if_match=seen)
    with pytest.raises(RevisionConflictError, match="which is not there"):
        registry.set_alias("delay", "fresh", 3, if_match=seen)
    with pytest.raises(RevisionConflictError, match="but expected none"):
        registry.set_alias("delay", "champion", 3, if_match=0)
    assert registry.list_aliases("delay") == {"champion": 2}


def test_an_alias_that_comes_back_has_a_revision_of_its_own(registry: ModelRegistry) -> None:
    first = registry.set_alias("delay", "challenger", 2, if_match=0).revision
    registry.delete_alias("delay", "challenger", if_match=first)
    with pytest.raises(UnknownAliasError):
        registry.delete_alias("delay", "challenger")
    assert registry.set_alias("delay", "challenger", 2, if_match=0).revision > first


def test_each_change_raises_the_generation_and_none_does_not(registry: ModelRegistry) -> None:
    before = registry.read_generation()
    registry.set_alias("delay", "champion", 1)
    registry.register(model="delay", manifest_sha256="a" * 64, model_sha256="f" * 64)
    registry.record_refusal("delay", 3, "Got a graph that fails.")
    assert registry.read_generation() == before
    registry.set_rollout("delay", canary())
    registry.set_rollout("delay", canary())
    assert registry.read_generation() == before + 1


def test_a_rollout_is_stored_replaced_and_ended(registry: ModelRegistry) -> None:
    with pytest.raises(UnknownRolloutError):
        registry.get_rollout("delay")
    first = registry.set_rollout("delay", canary(shadow=3), if_match=0)
    assert registry.get_rollout("delay") == first
    with pytest.raises(RevisionConflictError, match="the rollout, which is at revision"):
        registry.set_rollout("delay", canary(0.5), if_match=first.revision - 1)
    second = registry.set_rollout("delay", canary(0.5), if_match=first.revision)
    (model,) = registry.read_snapshot().models
    assert (model.rollout, model.rollout_revision) == (canary(0.5), second.revision)
    registry.delete_rollout("delay", if_match=second.revision)
    with pytest.raises(UnknownRolloutError):
        registry.delete_rollout("delay")


@pytest.mark.parametrize(
    ("rollout", "told"),
    [
        (canary(version=9), "Got version 9 of 'candidate'"),
        (canary(shadow=9), "Got version 9 of 'shadow'"),
        (canary(version=3), "version 3 .*retired"),
        (
            Rollout(kind="ab", arms=(Arm(name="a", alias="nobody", weight=1.0),)),
            "Got alias 'nobody' of 'a'",
        ),
    ],
)
def test_a_rollout_names_only_what_can_answer(
    registry: ModelRegistry, rollout: Rollout, told: str
) -> None:
    registry.retire("delay", 3)
    with pytest.raises(RegistryConflictError, match=told):
        registry.set_rollout("delay", rollout)


def test_what_is_pointed_to_stays(registry: ModelRegistry) -> None:
    registry.set_rollout("delay", canary(shadow=3))
    for call, told in (
        (lambda: registry.retire("delay", 1), "to which champion points"),
        (lambda: registry.retire("delay", 2), "names as 'candidate'"),
        (lambda: registry.retire("delay", 3), "names as 'shadow'"),
        (lambda: registry.delete_alias("delay", "champion"), "names as 'champion'"),
    ):
        with pytest.raises(RegistryConflictError, match=told):
            call()
    registry.delete_rollout("delay")
    assert registry.retire("delay", 3).state == "retired"
    with pytest.raises(RegistryConflictError, match="reactivate it first"):
        registry.set_alias("delay", "champion", 3)
    assert registry.reactivate("delay", 3).state == "staged"
    registry.set_alias("delay", "champion", 3)


def test_states_and_parents_follow_the_versions_life(registry: ModelRegistry) -> None:
    assert [registry.get_version("delay", v).state for v in (1, 2)] == ["live", "staged"]
    added = registry.register(model="delay", manifest_sha256="d" * 64, model_sha256="f" * 64)
    assert (added.parent_version, added.state) == (1, "staged")
    registry.set_rollout("delay", canary())
    assert registry.get_version("delay", 2).state == "live"


def test_a_version_is_deprecated_with_or_without_a_sunset(registry: ModelRegistry) -> None:
    sunset = datetime(2100, 1, 1, tzinfo=UTC)
    assert registry.deprecate("delay", 2).sunset_at is None
    first = registry.get_version("delay", 2).deprecated_at
    again = registry.deprecate("delay", 2, sunset_at=sunset)
    assert (again.deprecated_at, again.sunset_at) == (first, sunset)
    with pytest.raises(RegistryConflictError, match="in the future"):
        registry.deprecate("delay", 2, sunset_at=datetime.now(UTC) - timedelta(seconds=1))
    assert registry.reactivate("delay", 2).deprecated_at is None


def test_every_change_is_on_record_with_what_was_there_before(registry: ModelRegistry) -> None:
    registry.set_alias("delay", "champion", 2, actor="Bob", reason="It is better.")
    registry.set_rollout("delay", canary(version=3), actor="Bob")
    changes = registry.list_changes("delay")
    assert [change.action for change in changes] == [
        *("set_rollout", "set_alias", "set_alias", "register", "register", "register")
    ]
    moved = changes[1]
    assert (moved.actor, moved.reason, moved.subject) == ("Bob", "It is better.", "champion")
    assert (moved.before, moved.after) == ({"version": 1}, {"version": 2})
    assert changes[0].before is None
    assert Rollout.model_validate(changes[0].after) == canary(version=3)
    assert registry.list_changes("delay", limit=2, before=moved.number) == changes[2:4]


def move_ten_times(arguments: tuple[str, int]) -> list[int]:
    """Move an alias ten times, each time from the revision just seen."""
    url, start = arguments
    registry = ModelRegistry.open(url)
    revisions: list[int] = []
    version = start
    while len(revisions) < 10:
        version = version % 3 + 1
        found = registry.get_alias("delay", "champion")
        if found.version == version:
            continue
        try:
            moved = registry.set_alias("delay", "champion", version, if_match=found.revision)
        except RevisionConflictError:
            continue
        revisions.append(moved.revision)
    registry.close()
    return revisions


def test_of_movers_that_saw_the_same_only_one_moves(registry: ModelRegistry, url: str) -> None:
    before = registry.read_generation()
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(move_ten_times, [(url, start) for start in range(4)]))
    revisions = sorted(revision for row in rows for revision in row)
    assert revisions == list(range(before + 1, before + 41))
    moves = [one for one in registry.list_changes("delay") if one.action == "set_alias"]
    for later, earlier in itertools.pairwise(moves):
        assert later.before == earlier.after


@pytest.mark.parametrize("text", ["O'Brien; DROP TABLE model", "ünïcode 🦉", "x" * 1000])
def test_actor_and_reason_are_kept_as_they_are(registry: ModelRegistry, text: str) -> None:
    registry.set_alias("delay", "challenger", 2, actor=text, reason=text)
    change = registry.list_changes("delay", limit=1)[0]
    assert (change.actor, change.reason) == (text, text)
