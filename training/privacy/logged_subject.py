"""What the prediction log and the labels have of a subject."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, Table, and_, delete, or_, select, update

from training.families.progress import Progress
from training.live.open_log import LiveLog
from training.privacy.subject import Subject
from zeroskew.contract.manifest import Manifest
from zeroskew.records.database.open_database import writing
from zeroskew.records.database.write_ahead_log import empty_write_ahead_log
from zeroskew.records.labels.tables import StoredLabel
from zeroskew.records.prediction_log.logged_row import list_numbers
from zeroskew.records.prediction_log.tables import LoggedPrediction

__all__ = [
    "LoggedSubject",
    "find_logged",
    "find_places",
    "forget_labels",
    "forget_logged",
    "take_out",
]

_ARRAYS: Final = {
    "features": "<f4",
    "request_inputs": "<f8",
    "statuses": "u1",
    "event_times": "<i8",
    "output": "<f8",
}
_BATCH: Final = 500
_PREDICTIONS: Final[Table] = LoggedPrediction.__table__  # type: ignore[attr-defined]  # SQLModel makes it
_LABELS: Final[Table] = StoredLabel.__table__  # type: ignore[attr-defined]  # as above


class _Found(NamedTuple):
    """Instances of a row of the log: their places in it, and the numbers that labels name."""

    id: str
    part: int
    label_id: str
    places: tuple[int, ...]
    numbers: tuple[int, ...]


@dataclass
class LoggedSubject:
    """Instances of the log and labels that are the subject's, as JSON can have them."""

    predictions: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)


def find_logged(log: LiveLog, subject: Subject) -> LoggedSubject:
    """Return what is there, without what only the model reads."""
    found = LoggedSubject()
    with log.engine.connect() as connection:
        for model in log.registry.list_models():
            for row, one in _find_rows(connection, log, subject, model):
                values = json.loads(row.request)
                fields = [field.name for field in log.read_manifest(model, row.version).request]
                scores = np.frombuffer(row.output, "<f8").reshape(row.n_rows, -1)
                for place, number in zip(one.places, one.numbers, strict=True):
                    found.predictions.append(
                        {
                            "id": row.id,
                            "row": number,
                            "time": row.time.isoformat(),
                            "model": model,
                            "version": row.version,
                            "request": dict(zip(fields, values[place], strict=True)),
                            "score": scores[place].tolist() if scores.size else None,
                        }
                    )
                found.labels += [
                    _describe_label(label) for label in connection.execute(_labels_of(one))
                ]
        found.labels += [_describe_label(label) for label in _find_by_key(connection, subject)]
    return found


def forget_logged(log: LiveLog, subject: Subject, progress: Progress) -> tuple[int, int]:
    """Erase the subject's instances and labels; return how many of each.

    Labels go in one transaction with the instances that they are about: whoever is interrupted
    finds the rest the next time.
    """
    n_instances, n_labels = 0, 0
    for model in log.registry.list_models():
        with log.engine.connect() as connection:
            found = [one for _, one in _find_rows(connection, log, subject, model)]
        for start in range(0, len(found), _BATCH):
            with writing(log.engine).begin() as connection:
                _overwrite_what_goes(connection)
                for one in found[start : start + _BATCH]:
                    n_labels += connection.execute(_delete_labels(one)).rowcount
                    n_instances += _take_out_of_row(connection, one)
            progress(start, len(found))
    with writing(log.engine).begin() as connection:
        _overwrite_what_goes(connection)
        numbers = [label.number for label in _find_by_key(connection, subject)]
        for number in numbers:
            connection.execute(delete(_LABELS).where(_LABELS.c.number == number))
    _clean_up(log)
    return n_instances, n_labels + len(numbers)


def forget_labels(log: LiveLog, about: Iterable[tuple[str, tuple[int, ...]]]) -> int:
    """Erase the labels about some rows of predictions, and return how many there were."""
    with writing(log.engine).begin() as connection:
        _overwrite_what_goes(connection)
        return sum(
            connection.execute(delete(_LABELS).where(_about(prediction, numbers))).rowcount
            for prediction, numbers in about
        )


def find_places(subject: Subject, fields: Sequence[str], request: str) -> tuple[int, ...]:
    """Return the places in a logged request that are the subject's."""
    return tuple(
        place
        for place, values in enumerate(json.loads(request))
        if subject.matches(dict(zip(fields, values, strict=True)))
    )


def take_out(row: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any] | None:
    """Return the columns of a row of the log without some of its instances.

    ``None`` where none is left. What stays is as it was, to the bit.
    """
    n_rows = row["n_rows"]
    kept = [place for place in range(n_rows) if place not in set(places)]
    if not kept:
        return None
    numbers = list_numbers(n_rows, row["numbers"])
    changed: dict[str, Any] = {
        "n_rows": len(kept),
        "numbers": json.dumps([numbers[place] for place in kept], separators=(",", ":")),
    }
    for name in ("request", "overrides"):
        if row[name] is not None:
            values = json.loads(row[name])
            changed[name] = json.dumps([values[place] for place in kept], separators=(",", ":"))
    for name, dtype in _ARRAYS.items():
        if row[name]:
            values = np.frombuffer(row[name], dtype).reshape(n_rows, -1)
            changed[name] = values[kept].tobytes()
    return changed


def _find_rows(
    connection: Connection, log: LiveLog, subject: Subject, model: str
) -> Iterator[tuple[Any, _Found]]:
    manifests: dict[int, Manifest] = {}
    query = select(_PREDICTIONS).where(_PREDICTIONS.c.model == model)
    query = query.order_by(_PREDICTIONS.c.time, _PREDICTIONS.c.id, _PREDICTIONS.c.part)
    # Text is looked for as JSON has it, before each row is read for good.
    query = query.where(*_mentions(_PREDICTIONS.c.request, subject))
    for row in connection.execution_options(yield_per=_BATCH).execute(query):
        if row.version not in manifests:
            manifests[row.version] = log.read_manifest(model, row.version)
        fields = [field.name for field in manifests[row.version].request]
        places = find_places(subject, fields, row.request)
        if places:
            numbers = list_numbers(row.n_rows, row.numbers)
            yield (
                row,
                _Found(
                    row.id,
                    row.part,
                    row.answer_id or row.id,
                    places,
                    tuple(numbers[place] for place in places),
                ),
            )


def _take_out_of_row(connection: Connection, one: _Found) -> int:
    where = and_(_PREDICTIONS.c.id == one.id, _PREDICTIONS.c.part == one.part)
    row = connection.execute(select(_PREDICTIONS).where(where).with_for_update()).mappings().first()
    if row is None:
        return 0
    # Another erasure may have taken others out of it since it was looked at.
    taken = set(one.numbers)
    numbers = list_numbers(row["n_rows"], row["numbers"])
    places = [place for place, number in enumerate(numbers) if number in taken]
    changed = take_out(dict(row), places)
    if changed is None:
        connection.execute(delete(_PREDICTIONS).where(where))
    else:
        connection.execute(update(_PREDICTIONS).where(where).values(changed))
    return len(places)


def _labels_of(one: _Found) -> Any:
    return select(_LABELS).where(_about(one.label_id, one.numbers))


def _delete_labels(one: _Found) -> Any:
    return delete(_LABELS).where(_about(one.label_id, one.numbers))


def _about(prediction: str, numbers: Sequence[int]) -> Any:
    return and_(_LABELS.c.prediction_id == prediction, _LABELS.c.row.in_(numbers))


def _find_by_key(connection: Connection, subject: Subject) -> list[Any]:
    query = select(_LABELS).where(_LABELS.c.entity_key.is_not(None))
    query = query.where(*_mentions(_LABELS.c.entity_key, subject))
    return [row for row in connection.execute(query) if subject.matches(json.loads(row.entity_key))]


def _mentions(column: Any, subject: Subject) -> Iterator[Any]:
    for spellings in subject.values.values():
        texts = [json.dumps(text)[1:-1] for text in spellings]
        yield or_(*[column.contains(text, autoescape=True) for text in texts])


def _describe_label(row: Any) -> dict[str, Any]:
    label = row._mapping
    return {
        "prediction_id": label["prediction_id"],
        "row": label["row"],
        "entity_key": label["entity_key"] and json.loads(label["entity_key"]),
        "value": label["value_text"] if label["value_number"] is None else label["value_number"],
        "observed_at": label["observed_at"].isoformat(),
        "received_at": label["received_at"].isoformat(),
    }


def _overwrite_what_goes(connection: Connection) -> None:
    """Let SQLite write zeros over what is deleted; by itself it only forgets where it is."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def _clean_up(log: LiveLog) -> None:
    """Take what was erased out of the database's files, not only out of its tables."""
    with log.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            empty_write_ahead_log(
                lambda: connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            )
        else:
            connection.exec_driver_sql("VACUUM prediction")
            connection.exec_driver_sql("VACUUM label")
