"""What the spools of this machine's services have of a subject."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.live.open_log import LiveLog
from training.privacy.logged_subject import find_places, forget_labels, take_out
from training.privacy.subject import Subject
from zeroskew.records.prediction_log.logged_row import list_numbers
from zeroskew.records.prediction_log.spool import Spool

__all__ = ["SpoolFindings", "forget_spooled"]


class SpoolFindings(NamedTuple):
    """Erased instances and labels, and files that a service holds or that cannot be read."""

    n_instances: int
    n_labels: int
    n_in_use: int


def forget_spooled(log: LiveLog, folders: Sequence[Path], subject: Subject) -> SpoolFindings:
    """Erase the subject's instances from the files that no service holds, and labels about them.

    What a service holds goes to the database when that is back: erase again then.
    """
    about: list[tuple[str, tuple[int, ...]]] = []

    def change(row: dict[str, Any]) -> dict[str, Any] | None:
        manifest = log.read_manifest(row["model"], row["version"])
        fields = [field.name for field in manifest.request]
        places = find_places(subject, fields, row["request"])
        if not places:
            return row
        numbers = list_numbers(row["n_rows"], row["numbers"])
        about.append((row["answer_id"] or row["id"], tuple(numbers[place] for place in places)))
        changed = take_out(row, places)
        return None if changed is None else row | changed

    n_in_use = sum(Spool(folder, max_bytes=1 << 62).rewrite(change) for folder in folders)
    n_instances = sum(len(numbers) for _, numbers in about)
    return SpoolFindings(n_instances, forget_labels(log, about), n_in_use)
