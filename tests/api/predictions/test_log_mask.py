"""A model's policy leaves fields out of the log, or keeps a keyed hash of them."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, sum_graph
from tests.support.settings import make_settings
from tests.support.whole_service import publish_every_kind
from zeroskew.contract.log_policy import LogPolicy
from zeroskew.contract.settings import Settings
from zeroskew.records.prediction_log.log_mask import HASHED, LogMask, MaskFinder

KEY = "k" * 32
MANIFEST = make_manifest(sum_graph(6, 2))
NAMES = [field.name for field in MANIFEST.request]
ROW = [EXAMPLE[name] for name in NAMES]
KEYS = MANIFEST.plan.list_key_fields()
COLUMNS = {column.field for column in MANIFEST.plan.columns} | {
    source.field for source in MANIFEST.plan.request_inputs
}


def make_mask(**policy: Any) -> LogMask:
    return LogMask(LogPolicy(**policy), MANIFEST, KEY.encode())


def masked(mask: LogMask) -> dict[str, Any]:
    return dict(zip(NAMES, mask.mask([ROW])[0], strict=True))


def test_only_what_is_allowed_is_kept_and_the_matrix_goes_with_what_is_not() -> None:
    mask = make_mask(fields=["carrier"])
    assert masked(mask) == dict.fromkeys(NAMES) | {"carrier": EXAMPLE["carrier"]}
    assert not mask.keeps_inputs
    whole = make_mask(fields=NAMES)
    assert not whole.is_needed
    assert not make_mask().is_needed


def test_a_hash_tells_apart_and_depends_on_the_secret() -> None:
    kept = [name for name in NAMES if name not in COLUMNS]
    assert kept, "a field that is an entity key alone"
    mask = make_mask(hashed_fields=[kept[0]])
    first = masked(mask)[kept[0]]
    assert first.startswith(HASHED)
    assert str(EXAMPLE[kept[0]]) not in first
    assert masked(make_mask(hashed_fields=[kept[0]]))[kept[0]] == first
    other = LogMask(LogPolicy(hashed_fields=[kept[0]]), MANIFEST, b"x" * 32)
    assert masked(other)[kept[0]] != first
    assert mask.keeps_inputs


@pytest.mark.parametrize("policy", [{"fields": ["carier"]}, {"hashed_fields": ["carier"]}])
def test_a_misspelt_field_keeps_nothing(policy: dict[str, Any]) -> None:
    mask = make_mask(**policy)
    assert masked(mask) == dict.fromkeys(NAMES)
    assert not mask.keeps_inputs


def test_what_is_no_text_is_not_hashed_but_left_out() -> None:
    mask = make_mask(hashed_fields=["scheduled_departure"])
    assert masked(mask) == dict.fromkeys(NAMES)


def test_a_model_without_a_policy_of_its_own_has_the_common_one() -> None:
    finder = MaskFinder(LogPolicy(), {"other": LogPolicy(inputs=False)})
    assert finder.find(MANIFEST, 1) is None
    mask = MaskFinder(LogPolicy(), {MANIFEST.model: LogPolicy(inputs=False)}).find(MANIFEST, 1)
    assert mask is not None
    assert not mask.keeps_inputs


def test_versions_with_one_file_have_masks_of_their_own() -> None:
    finder = MaskFinder(LogPolicy(fields=["dest"]), {})
    turned = MANIFEST.model_copy(update={"request": MANIFEST.request[::-1]})
    masks = [finder.find(MANIFEST, 1), finder.find(turned, 2)]
    values = [EXAMPLE[name] for name in NAMES]
    kept = []
    for mask, row in zip(masks, (values, values[::-1]), strict=True):
        assert mask is not None
        kept += [value for value in mask.mask([row])[0] if value is not None]
    assert kept == [EXAMPLE["dest"]] * 2


def test_hashing_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="ZEROSKEW_LOG_HASH_KEY"):
        Settings.model_validate({"log_models": {"m": {"hashed_fields": ["a"]}}})


def test_the_log_and_its_replay_have_nothing_of_it(tmp_path: Path, online_store: Path) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(
        tmp_path,
        online_store,
        log_hash_key=KEY,
        log_mode="durable",
        log_spool_dir=tmp_path / "spool",
        log_models={
            "is_late": {"mode": "durable", "fields": ["dest"], "hashed_fields": ["carrier"]}
        },
    )
    with AppClient(create_app(settings)) as client:
        path = "/v1/models/is_late:predict"
        answer = client.post(path, json={"instances": [EXAMPLE]}).json()
        told = client.get(f"/v1/predictions/{answer['id']}").json()["rows"][0]
        assert told["request"]["dest"] == EXAMPLE["dest"]
        assert told["request"]["carrier"].startswith(HASHED)
        assert told["request"]["origin"] is None
        assert told["features"] == {}
        assert told["output"] == [answer["predictions"][0]["probability"]]
        replayed = client.post(f"/v1/predictions/{answer['id']}:replay")
        assert (replayed.status_code, replayed.json()["code"]) == (409, "prediction_failed")
        assert "leaves out" in replayed.json()["detail"]
    with contextlib.closing(sqlite3.connect(tmp_path / "zeroskew.db")) as database:
        (stored,) = database.execute("SELECT * FROM prediction").fetchall()
    assert str(EXAMPLE["origin"]) not in repr(stored)
    assert str(EXAMPLE["dest"]) in repr(stored)
