"""Keys fall to arms by their weights, always the same way, and move only where they must."""

import hashlib
import math
from typing import Any

import pytest

from tests.support.manifests import FIELDS, PLAN, make_manifest, sum_graph
from zeroskew.contract.arm_choice import ArmChooser, check_arms_fit, encode_json, list_sticky_fields
from zeroskew.contract.manifest import Output
from zeroskew.contract.rollout import Rollout

KEYS = [encode_json({"tailnum": f"N{number}", "seats": number}) for number in range(10_000)]
GRAPH = sum_graph(6, 2)


def make_rollout(**weights: float) -> Rollout:
    arms = [{"name": name, "version": 1, "weight": weight} for name, weight in weights.items()]
    return Rollout.model_validate({"kind": "ab", "arms": arms, "salt": "spring"})


def deal(rollout: Rollout) -> list[str]:
    chooser = ArmChooser(rollout)
    return [rollout.arms[chooser.choose(key)].name for key in KEYS]


def within(count: int, share: float) -> bool:
    """Tell whether a count lies within the binomial distribution's 99.9 % bounds."""
    expected = share * len(KEYS)
    return abs(count - expected) <= 3.2905 * math.sqrt(expected * (1 - share)) + 0.5


@pytest.mark.parametrize(
    "weights",
    [
        {"champion": 0.9, "canary": 0.1},
        {"champion": 0.99, "canary": 0.01},
        {"a": 0.2, "b": 0.3, "c": 0.5},
        {"a": 0.0, "b": 1.0},
        {f"arm{number}": 1 / 16 for number in range(16)},
    ],
)
def test_each_arm_has_its_share_of_ten_thousand_keys(weights: dict[str, float]) -> None:
    dealt = deal(make_rollout(**weights))
    for name, weight in weights.items():
        assert within(dealt.count(name), weight), (name, dealt.count(name))


def test_a_key_falls_to_the_same_arm_on_every_machine() -> None:
    # What no release may change: half of a rollout's callers would change sides.
    dealt = "".join(name[0] for name in deal(make_rollout(champion=0.5, rival=0.3, third=0.2)))
    assert dealt[:40] == "cccrccttrcrrttcrccrccccctcrtctccrcrctcrc"
    assert (
        hashlib.sha256(dealt.encode()).hexdigest()
        == "23bc5d4f43c3943ae96cfc375b805613430fd07f45f21d14fc36435bb8b17fac"
    )


def test_where_a_weight_grows_keys_move_to_that_arm_alone() -> None:
    before = deal(make_rollout(a=0.5, b=0.4, c=0.1))
    after = deal(make_rollout(a=0.5 * 7 / 9, b=0.4 * 7 / 9, c=0.3))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {"c"}
    assert within(len(moved), 0.2)


def test_another_salt_deals_anew() -> None:
    rollout = make_rollout(a=0.5, b=0.5)
    other = deal(rollout.model_copy(update={"salt": "autumn"}))
    same = sum(one == two for one, two in zip(deal(rollout), other, strict=True))
    assert within(same, 0.5)


def test_the_sticky_fields_are_the_keys_unless_others_are_named() -> None:
    manifest = make_manifest(GRAPH)
    rollout = make_rollout(a=1.0)
    assert list_sticky_fields(rollout, manifest) == ["carrier", "dest", "origin"]
    named = rollout.model_copy(update={"sticky_by": ("seats", "carrier")})
    assert list_sticky_fields(named, manifest) == ["carrier", "seats"]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"request": FIELDS[:-1]}, ["'b'", "scheduled_departure", "the same fields"]),
        (
            {"request": (FIELDS[1], FIELDS[0], *FIELDS[2:])},
            ["'b'", "the order of its fields", "the same fields"],
        ),
        (
            {"request": (FIELDS[0].model_copy(update={"nullable": True}), *FIELDS[1:])},
            ["'b'", "differs from that of 'a' in carrier"],
        ),
        (
            {"output": Output(kind="probability", description="P.", threshold=0.5)},
            ["'b'", "probability", "value as of 'a'"],
        ),
    ],
)
def test_versions_that_take_or_give_something_else_do_not_fit(
    changes: dict[str, Any], parts: list[str]
) -> None:
    first = make_manifest(GRAPH)
    rollout = make_rollout(a=0.5, b=0.5)
    check_arms_fit(rollout, {"a": first, "b": first})
    with pytest.raises(ValueError, match="Got") as raised:
        check_arms_fit(rollout, {"a": first, "b": first.model_copy(update=changes)})
    assert all(part in str(raised.value) for part in parts), str(raised.value)


def test_a_sticky_field_must_be_one_of_the_request() -> None:
    rollout = make_rollout(a=1.0).model_copy(update={"sticky_by": ("cabin",)})
    with pytest.raises(ValueError, match=r"sticky_by cabin, but expected of carrier, origin"):
        check_arms_fit(rollout, {"a": make_manifest(GRAPH, plan=PLAN)})
