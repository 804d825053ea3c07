"""What the spools of this machine's services have of a subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from api.prediction_log.spool import Spool
from training.live.open_log import LiveLog
from training.privacy.logged_subject import take_out
from training.privacy.subject import Subject

__all__ = ["SpoolFindings", "forget_spooled"]


class SpoolFindings(NamedTuple):
    """Erased instances, and files that a living service still writes or drains."""

    n_instances: int
    n_in_use: int


def forget_spooled(log: LiveLog, folder: Path, subject: Subject) -> SpoolFindings:
    """Erase the subject's instances from the files that no service holds.

    What a service holds goes to the database when that is back: erase again then.
    """
    n_instances = 0

    def change(row: dict[str, object]) -> dict[str, object] | None:
        nonlocal n_instances
        manifest = log.read_manifest(str(row["model"]), int(str(row["version"])))
        fields = [field.name for field in manifest.request]
        places = [
            place
            for place, values in enumerate(json.loads(str(row["request"])))
            if subject.matches(dict(zip(fields, values, strict=True)))
        ]
        if not places:
            return row
        n_instances += len(places)
        changed = take_out(row, places)
        return None if changed is None else row | changed

    n_in_use = Spool(folder, max_bytes=1 << 62).rewrite(change)
    return SpoolFindings(n_instances, n_in_use)
