"""The catalog says what Feast's registry says, and of what cannot be served, why."""

from pathlib import Path

import pytest

from tests.support.feast_service import TTL, make_flights_store, make_odd_store
from training.project.workspace import Workspace
from training.publish.publish_catalog import publish_catalog
from zeroskew.contract.feature_catalog import FeatureCatalog, PushSource, SourceColumns
from zeroskew.features.plans.compile_catalog import compile_catalog
from zeroskew.records.registry.model_registry import ModelRegistry


@pytest.fixture
def flights(tmp_path: Path) -> FeatureCatalog:
    online = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    return compile_catalog(make_flights_store(tmp_path, online))


@pytest.fixture
def odd(tmp_path: Path) -> FeatureCatalog:
    online = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    return compile_catalog(make_odd_store(tmp_path, online))


def test_views_stand_in_order_with_keys_types_times_and_fields(flights: FeatureCatalog) -> None:
    assert [view.name for view in flights.views] == ["carrier_stats", "gate", "gate_wait", "route"]
    carrier, gate, _, route = flights.views
    assert [(key.name, key.field, key.type) for key in route.join_keys] == [
        ("dest", "dest", "STRING"),
        ("origin", "origin", "STRING"),
        ("tail", "tail", "INT64"),
    ]
    assert route.table == "trial_route"
    assert (route.ttl_us, carrier.ttl_us) == (TTL.total_seconds() * 1_000_000, None)
    assert [(one.name, one.type) for one in carrier.features] == [
        ("mean", "FLOAT"),
        ("size", "STRING"),
    ]
    assert carrier.table == "trial_carrier_stats"
    assert route.source == SourceColumns(
        timestamp="known_at", created="made_at", table="route_source"
    )
    assert gate.source is not None
    assert gate.source.field_mapping == {"walk_m": "walk"}


def test_tables_have_all_that_views_read_of_them(flights: FeatureCatalog) -> None:
    gates = next(table for table in flights.tables if table.name == "gate_source")
    assert [(one.name, one.type) for one in gates.columns] == [
        ("gate_number", "INT64"),
        ("wait", "FLOAT"),
        ("walk", "INT64"),
    ]


def test_push_sources_name_all_that_they_feed(flights: FeatureCatalog) -> None:
    assert flights.push_sources == (
        PushSource(name="carrier_stats_push", views=("carrier_stats",)),
        PushSource(name="gate_push", views=("gate", "gate_wait")),
        PushSource(name="route_push", views=("route",)),
    )


def test_services_have_chosen_features_names_and_mapped_keys(flights: FeatureCatalog) -> None:
    flight, way_back = flights.services
    assert [(v.name, [f.name for f in v.features]) for v in flight.views] == [
        ("carrier_stats", ["mean"]),
        ("route", ["flights"]),
    ]
    (view,) = way_back.views
    assert (view.name, view.table) == ("way_back", "trial_route")
    assert {key.name: key.field for key in view.join_keys} == {
        "dest": "origin",
        "origin": "dest",
        "tail": "tail",
    }


def test_what_cannot_be_served_is_named_with_the_reason(odd: FeatureCatalog) -> None:
    assert [view.name for view in odd.views] == ["lists", "sets"]
    reasons = {view.name: view.reason for view in odd.unserved}
    assert reasons.keys() == {"hidden", "season", "spelled", "times"}
    assert "on demand by code" in reasons["spelled"]
    assert [view.name for view in odd.on_demand] == ["doubled"]
    assert [(one.name, one.view) for one in odd.on_demand[0].inputs] == [("uses", "lists")]
    assert "online=False" in reasons["hidden"]
    assert "no entity" in reasons["season"]
    assert "UNIX_TIMESTAMP" in reasons["times"]
    assert odd.services[0].unserved == ("spelled:text",)
    assert [view.name for view in odd.services[0].views] == ["lists"]
    assert [source.name for source in odd.push_sources] == ["lists_push", "sets_push"]


def test_a_catalog_is_the_same_after_a_round_trip(flights: FeatureCatalog) -> None:
    assert FeatureCatalog.model_validate_json(flights.model_dump_json()) == flights


def test_the_time_to_live_of_entities_is_taken_along(tmp_path: Path) -> None:
    # Nothing listens there: applying does not ask Redis.
    online = {"type": "redis", "connection_string": "127.0.0.1:1", "key_ttl_seconds": 500}
    assert compile_catalog(make_flights_store(tmp_path, online)).key_ttl_seconds == 500


REPO = """
project: small
provider: local
registry: {home}/registry.db
online_store: {{type: sqlite, path: {home}/online.db}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""


def test_publishing_keeps_history_and_changes_nothing_without_a_change(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "feature_store.yaml").write_text(REPO.format(home=tmp_path))
    workspace = Workspace(feature_repo=tmp_path / "repo", home=tmp_path)
    published = [publish_catalog(workspace) for _ in range(2)]
    registry = ModelRegistry.open(workspace.database_url)
    (row,) = registry.list_feature_catalogs()
    assert (row.project, published[0].views) == ("small", ())
    content = workspace.open_artifacts().get(row.sha256)
    assert FeatureCatalog.model_validate_json(content) == published[0] == published[1]
    registry.close()
