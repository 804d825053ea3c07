"""What was given online is judged against the table, to the time that the online store keeps."""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from feast import FeatureService
from feast.types import Float64

from tests.support.feast_repos import at, entity, feature_store, view, write_table
from tests.support.log_rows import make_row
from tests.support.manifests import FIELDS, make_manifest, publish, sum_graph, view_plan
from training.live.logged_predictions import Span
from training.live.open_log import open_log
from training.live.skew.find_skew import FeatureSkew, SkewReport, Verdict, find_skew
from training.live.skew.skew_page import write_skew_page
from training.project.workspace import Workspace
from zeroskew.contract.manifest import Column, FeaturePlan
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.records.prediction_log.sqlite_log import SqliteLog

EVENT = at(0, microseconds=700_000)


def judge(folder: Path, *given: tuple[datetime, float]) -> FeatureSkew:
    """Return the verdicts on what was online, event time and value, where the table has 5."""
    table = pl.DataFrame(
        {"carrier": "UA", "event_timestamp": EVENT, "created": at(1), "delay": 5.0}
    )
    carrier = entity("carrier")
    path = write_table(folder / "delays.parquet", table)
    delays = view("delays", path, [carrier], {"delay": Float64})
    service = FeatureService(name="delay_v1", features=[delays])
    store = feature_store(folder, [carrier, delays, service])
    graph = sum_graph(1, 0)
    plan = FeaturePlan(
        project="trial",
        feature_service="delay_v1",
        views=(view_plan("delays", {"carrier": "STRING"}, {"delay": "DOUBLE"}, ttl_us=None),),
        columns=(Column(name="delay", view="delays", feature="delay"),),
    )
    manifest = make_manifest(graph, plan=plan, request=FIELDS[:1], example={"carrier": "UA"})
    publish(folder, manifest, graph)
    log = SqliteLog(str(folder / "zeroskew.db"), timeout_sec=5)
    log.write(
        [
            make_row(
                number,
                model="arrival_delay",
                time=at(5),
                request='[["UA"]]',
                features=np.array([value], "<f4").tobytes(),
                statuses=bytes(1),
                event_times=np.array([to_epoch_us(event)], "<i8").tobytes(),
            )
            for number, (event, value) in enumerate(given)
        ]
    )
    log.close()
    workspace = Workspace(home=folder, artifacts_dir=folder / "artifacts")
    with open_log(f"sqlite:///{folder}/zeroskew.db", workspace) as opened:
        report = find_skew(opened, store, "arrival_delay", Span(), lambda _done, _total: None)
    return report.features["delays", "delay"]


def test_another_value_at_an_event_time_cut_off_to_the_second_is_wrong(tmp_path: Path) -> None:
    skew = judge(tmp_path, (at(0), 7.0), (at(0), 5.0), (EVENT, 7.0))
    assert (skew.count(Verdict.WRONG), skew.count(Verdict.EQUAL)) == (2, 1)
    assert (skew.n_same_event, skew.shifts_min) == (3, {})


def test_an_older_row_is_behind_by_the_time_that_the_store_keeps(tmp_path: Path) -> None:
    # A store that keeps microseconds tells two rows of a second apart.
    skew = judge(tmp_path, (at(-300), 7.0), (at(0, microseconds=500_000), 7.0))
    assert skew.count(Verdict.BEHIND) == 2
    assert skew.shifts_min[-300] == 1


def test_a_page_has_the_hours_of_all_features(tmp_path: Path) -> None:
    report = SkewReport("model", Span())
    for hour, name in enumerate(("first", "second")):
        counts = np.bincount([Verdict.WRONG] * (2 - hour), minlength=len(Verdict))
        hours = {hour: 2 - hour}
        report.features["view", name] = FeatureSkew(
            "view", name, counts, by_hour=hours, rows_by_hour=hours
        )
    write_skew_page(tmp_path / "skew.html", report, [])
    assert "view:second" in (tmp_path / "skew.html").read_text()
