"""Computes logged predictions again, from the model's file and the logged inputs alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnxruntime

from training.families.progress import Progress
from training.live.logged_predictions import LoggedRows, Span, count_logged, read_logged
from training.live.open_log import LiveLog
from zeroskew.features.onnx_graph import open_session

__all__ = ["ReplayReport", "replay"]

_MAX_NAMED: Final = 20


@dataclass
class ReplayReport:
    """How many instances came out the same, and the first of those that did not.

    ``rows`` counts by version; ``differing`` are the answer's id, the instance's number, the
    logged scores and those computed now.
    """

    rows: dict[int, int] = field(default_factory=dict)
    n_differing: int = 0
    differing: list[tuple[str, int, list[float], list[float]]] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        """How many instances were computed again."""
        return sum(self.rows.values())


def replay(
    log: LiveLog,
    model: str,
    span: Span,
    progress: Progress,
) -> ReplayReport:
    """Compute what was logged of a model again, and compare it to the bit.

    Shadows are computed again as well. The model file is the one whose sha256 the registry has
    for the version.

    Raises
    ------
    ArtifactError
        If a model file is gone or damaged.
    """
    report = ReplayReport()
    sessions: dict[int, onnxruntime.InferenceSession] = {}
    total = sum(count_logged(log, model, span, role=role) for role in ("answer", "shadow"))
    done = 0
    for role in ("answer", "shadow"):
        for rows in read_logged(log, model, span, role=role, with_inputs=True):
            if rows.version not in sessions:
                sha256 = rows.manifest.model_file.sha256
                sessions[rows.version] = open_session(log.artifacts.get(sha256))
            _compare(sessions[rows.version], rows, report)
            done += len(rows.parts)
            progress(done, total)
    return report


def _compare(session: onnxruntime.InferenceSession, rows: LoggedRows, report: ReplayReport) -> None:
    inputs: dict[str, Any] = {"features": rows.features}
    if rows.manifest.plan.request_inputs:
        inputs["request"] = rows.request
    (found,) = session.run(["scores"], inputs)
    scores = np.asarray(found, "<f8").reshape(rows.n_rows, -1)
    # Bits, not values: a NaN equals itself here, and -0.0 does not equal 0.0.
    differs = (scores.view(np.uint64) != rows.scores.view(np.uint64)).any(axis=1)
    report.rows[rows.version] = report.rows.get(rows.version, 0) + rows.n_rows
    report.n_differing += int(differs.sum())
    for place in np.flatnonzero(differs)[: _MAX_NAMED - len(report.differing)]:
        report.differing.append(
            (
                rows.ids[place],
                rows.numbers[place],
                rows.scores[place].tolist(),
                scores[place].tolist(),
            )
        )
