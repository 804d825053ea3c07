"""Labels find the predictions that they are about."""

from datetime import datetime, timedelta
from pathlib import Path

from sqlmodel import Session

from tests.support.live_traffic import START, publish_versions
from tests.support.log_rows import make_row
from training.live.logged_predictions import Span
from training.live.open_log import open_log
from training.live.outcomes import read_outcomes
from training.project.workspace import Workspace
from zeroskew.contract.arm_choice import encode_json
from zeroskew.records.labels.tables import StoredLabel
from zeroskew.records.prediction_log.sqlite_log import SqliteLog

HOUR = timedelta(hours=1)
KEY = {"carrier": "UA", "dest": "IAH", "origin": "EWR"}


def label_entity(time: datetime, value: float) -> StoredLabel:
    return StoredLabel(
        idempotency_key=f"{time}",
        body_sha256="0" * 64,
        model="arrival_delay",
        entity_key=encode_json(KEY),
        time=time,
        kind="number",
        value_number=value,
        observed_at=time + HOUR,
        received_at=time + HOUR,
        request_id="abc",
    )


def test_a_label_about_an_entity_is_of_the_newest_prediction_behind_the_span_too(
    tmp_path: Path,
) -> None:
    publish_versions(tmp_path, 1)
    request = encode_json([["UA", "EWR", "IAH", 100, 1.5, False, START.timestamp()]])
    log = SqliteLog(str(tmp_path / "zeroskew.db"), timeout_sec=5)
    rows = [
        make_row(
            number, model="arrival_delay", time=time, request=request, output=bytes(8), error=None
        )
        for number, time in enumerate((START, START + 10 * HOUR))
    ]
    log.write(rows)
    log.close()
    workspace = Workspace(home=tmp_path, artifacts_dir=tmp_path / "artifacts")
    with open_log(f"sqlite:///{tmp_path}/zeroskew.db", workspace) as opened:
        with Session(opened.engine) as session:
            session.add_all([label_entity(START, 1.0), label_entity(START + 11 * HOUR, 2.0)])
            session.commit()

        def read(end: datetime | None) -> list[float | None]:
            span = Span(end=end)
            found = read_outcomes(opened, "arrival_delay", span, START + 48 * HOUR)
            return found["label"].to_list()

        assert read(None) == [1.0, 2.0]
        assert read(START + 5 * HOUR) == [1.0]
