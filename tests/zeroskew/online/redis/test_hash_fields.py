"""The fields of an entity's hash are those that Feast's own store writes."""

import random

import mmh3
from feast.infra.online_stores.helpers import _mmh3

from zeroskew.online.reader import StoredView
from zeroskew.online.redis.hash_fields import name_hash_fields


def test_fields_are_feasts_for_names_of_every_length_and_alphabet() -> None:
    draw = random.Random(6)  # noqa: S311 - test data
    names = [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyz_0123456789:é漢🜚", k=length))
        for length in range(64)
        for _ in range(20)
    ]
    for view in ("v", "carrier_stats", "sales_v3"):
        named = name_hash_fields("trial", StoredView("alias", f"trial_{view}", tuple(names)))
        assert named.features == tuple(_mmh3(f"{view}:{name}") for name in names)
        numbers = [mmh3.hash(f"{view}:{name}", signed=False) for name in names]
        assert [int.from_bytes(field, "little") for field in named.features] == numbers
        assert named.event_time == f"_ts:{view}".encode()


def test_only_the_projects_own_prefix_is_taken_off() -> None:
    named = name_hash_fields("shop", StoredView("v", "shop_shop_v", ("a",)))
    assert named.event_time == b"_ts:shop_v"
