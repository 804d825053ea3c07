"""A prediction log and labels, made up: who was answered by which arm, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
from sqlmodel import Session

from tests.support.manifests import make_manifest, publish, sum_graph
from zeroskew.contract.arm_choice import ArmChooser, encode_json
from zeroskew.contract.manifest import Output
from zeroskew.contract.rollout import Rollout
from zeroskew.records.database.open_database import open_database
from zeroskew.records.labels.tables import StoredLabel
from zeroskew.records.prediction_log.logged_row import LoggedRow
from zeroskew.records.prediction_log.sqlite_log import SqliteLog

__all__ = ["MATURES_AFTER", "START", "Traffic", "publish_versions"]

START: Final = datetime(2013, 10, 1, tzinfo=UTC)
MATURES_AFTER: Final = timedelta(hours=6)
_GRAPH: Final = sum_graph(6, 2)
_N_STORED: Final = 4


def publish_versions(folder: Path, n: int, *, kind: str = "value") -> None:
    """Publish versions of ``arrival_delay``, whose labels are mature after `MATURES_AFTER`."""
    outputs = {
        "value": Output(kind="value", description="Minutes."),
        "probability": Output(kind="probability", description="P.", threshold=0.5),
        "probabilities": Output(kind="probabilities", description="P.", classes=("early", "late")),
    }
    for number in range(1, n + 1):
        manifest = make_manifest(
            _GRAPH,
            description=f"Number {number}.",
            output=outputs[kind],
            label_matures_after_sec=MATURES_AFTER.total_seconds(),
        )
        publish(folder, manifest, _GRAPH, alias="champion" if number == 1 else None)


@dataclass
class Traffic:
    """Writes what a service of ``arrival_delay`` would have logged, in ``folder``'s database.

    ``score`` gives a version's score for a label, ``label`` what really happens.
    """

    folder: Path
    rollout: Rollout
    versions: dict[str, int]
    score: Callable[[int, float], float | Sequence[float]]
    label: Callable[[int], float]
    n_done: int = 0
    _rows: list[LoggedRow] = field(default_factory=list)
    _labels: list[StoredLabel] = field(default_factory=list)

    def run(
        self,
        n_requests: int,
        *,
        every: timedelta = timedelta(minutes=1),
        labels_after: timedelta = timedelta(hours=1),
        latency_us: Callable[[str], int] = lambda _arm: 3000,
        fails: Callable[[str, int], bool] = lambda _arm, _number: False,
    ) -> datetime:
        """Answer requests, one each `every`, and label them; return when the last one was."""
        chooser = ArmChooser(self.rollout)
        time = START
        for _ in range(n_requests):
            number = self.n_done
            self.n_done += 1
            time = START + number * every
            key = {"carrier": "UA", "dest": f"D{number % 997}", "origin": f"O{number % 89}"}
            arm = self.rollout.arms[chooser.choose(encode_json(key))]
            actual = self.label(number)
            failed = fails(arm.name, number)
            self._log(arm.name, number, key, time, actual, latency_us(arm.name), failed)
            for shadow in self.rollout.shadows:
                self._log(shadow.name, number, key, time, actual, 9000, False, role="shadow")
            if not failed:
                self._labels.append(_make_label(number, time + labels_after, actual))
        self._flush()
        return time

    def _log(
        self,
        arm: str,
        number: int,
        key: dict[str, Any],
        time: datetime,
        actual: float,
        latency_us: int,
        failed: bool,
        role: str = "answer",
    ) -> None:
        version = self.versions[arm]
        score = np.atleast_1d(np.asarray(self.score(version, actual), "<f8"))
        request = [key["carrier"], key["origin"], key["dest"], 100, 1.5, False, time.timestamp()]
        self._rows.append(
            LoggedRow(
                id=_id(number, role, arm),
                part=0,
                time=time,
                model="arrival_delay",
                version=version,
                arm=arm,
                role=role,
                answer_id=_id(number) if role == "shadow" else None,
                n_rows=1,
                numbers=None,
                request=encode_json([request]),
                overrides=None,
                features=b"" if failed else np.zeros(6, "<f4").tobytes(),
                request_inputs=b"" if failed else np.zeros(2, "<f8").tobytes(),
                statuses=b"" if failed else bytes(_N_STORED),
                event_times=b"" if failed else np.zeros(_N_STORED, "<i8").tobytes(),
                output=b"" if failed else score.tobytes(),
                error="deadline_exceeded" if failed else None,
                degraded=False,
                latency_us=latency_us,
                request_id="abc",
                caller="",
                logged_at=datetime.now(UTC),
            )
        )

    def _flush(self) -> None:
        log = SqliteLog(str(self.folder / "zeroskew.db"), timeout_sec=5)
        log.write(self._rows)
        log.close()
        engine = open_database(f"sqlite:///{self.folder}/zeroskew.db")
        with Session(engine) as session:
            session.add_all(self._labels)
            session.commit()
        engine.dispose()
        self._rows, self._labels = [], []


def _id(number: int, role: str = "answer", arm: str = "") -> str:
    of_shadow = int.from_bytes(arm.encode()[-4:]) if role == "shadow" else 0
    return str(UUID(int=(of_shadow << 90) | (7 << 76) | (2 << 62) | number))


def _make_label(number: int, observed_at: datetime, actual: float) -> StoredLabel:
    return StoredLabel(
        idempotency_key=f"label-{number}",
        body_sha256="0" * 64,
        prediction_id=_id(number),
        row=0,
        model="arrival_delay",
        kind="number",
        value_number=actual,
        observed_at=observed_at,
        received_at=observed_at,
        request_id="abc",
    )
