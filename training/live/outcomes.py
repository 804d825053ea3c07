"""Joins logged predictions with what really happened, as far as it was known at a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from sqlalchemy import select

from training.live.logged_predictions import LoggedRows, Span, read_logged, where_logged
from training.live.open_log import LiveLog
from zeroskew.contract.arm_choice import encode_json
from zeroskew.contract.manifest import Manifest
from zeroskew.records.labels.tables import StoredLabel
from zeroskew.records.prediction_log.tables import LoggedPrediction

__all__ = ["read_outcomes"]

_KEY: Final = ["id", "row"]
_NO_CLASS: Final = -1
"""The number of a class that a version does not know: whatever it said was wrong."""
_LABELS: Final[dict[str, Any]] = {
    "id": pl.String,
    "row": pl.Int64,
    "entity_key": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "value_number": pl.Float64,
    "value_text": pl.String,
    "observed_at": pl.Datetime("us", "UTC"),
    "number": pl.Int64,
}


def read_outcomes(
    log: LiveLog, model: str, span: Span, as_of: datetime, *, role: str = "answer"
) -> pl.DataFrame:
    """Return a model's logged predictions with their labels.

    A label belongs to the prediction whose id it names, or else to the newest prediction for its
    entity key that was made at its time or before. Of several labels the one that was observed
    last is in force. A shadow has the label of the answer that it stood behind.

    Parameters
    ----------
    as_of
        Labels observed later count as not known yet.

    Returns
    -------
    DataFrame
        One row an instance: ``id``, ``row``, ``time``, ``version``, ``kind`` (the output's),
        ``arm``, ``latency_us``,
        ``score`` (float64; of classes the number of the likeliest), ``probabilities`` (list of
        float64, one for each class; null but for classes), ``hit_threshold`` (float64, the
        version's; null but for probabilities), ``label`` (float64, of classes its number, -1 of
        a class that the version does not know; null where none is known), ``is_mature``, and
        each request field as ``request.<name>``.
    """
    labels = _read_labels(log, model, span, as_of)
    parts = []
    classes: dict[int, Sequence[str]] = {}
    for rows in read_logged(log, model, _reach_labels(span, labels), role=role):
        parts.append(_describe(rows, as_of, role))
        classes[rows.version] = rows.manifest.output.classes or ()
    if not parts:
        return pl.DataFrame()
    outcomes = pl.concat(parts, how="diagonal_relaxed").with_row_index("place")
    given = labels.filter(pl.col("id").is_not_null()).select(
        *_KEY, "value_number", "value_text", "observed_at", "number"
    )
    matched = outcomes.select("place", *_KEY).join(given, on=_KEY)
    by_entity = _match_entities(outcomes, labels.filter(pl.col("id").is_null()))
    in_force = (
        pl.concat([matched, by_entity], how="diagonal")
        .sort("observed_at", "number")
        .unique("place", keep="last")
        .select("place", "value_number", "value_text")
    )
    joined = outcomes.join(in_force, on="place", how="left", maintain_order="left")
    if span.end is not None:
        joined = joined.filter(pl.col("time") < span.end)
    return joined.with_columns(_to_label(joined, classes)).drop(
        "place", "entity_key", "value_number", "value_text"
    )


def _describe(rows: LoggedRows, as_of: datetime, role: str) -> pl.DataFrame:
    manifest = rows.manifest
    requests = rows.requests
    matures_after = timedelta(seconds=manifest.label_matures_after_sec or 0)
    scores = rows.scores
    of_classes = manifest.output.kind == "probabilities"
    return pl.DataFrame(
        {
            "id": rows.answer_ids if role == "shadow" else rows.ids,
            "row": rows.numbers,
            "time": rows.times,
            "arm": pl.Series(rows.arms, dtype=pl.String),
            "latency_us": [part.latency_us for part in rows.parts for _ in range(part.n_rows)],
            "score": scores.argmax(axis=1).astype(np.float64) if of_classes else scores[:, 0],
            "probabilities": pl.Series(
                scores.tolist() if of_classes else [None] * len(scores), dtype=pl.List(pl.Float64)
            ),
            "entity_key": list(_entity_keys(manifest, requests)),
            "is_mature": rows.times <= as_of - matures_after,
        }
    ).with_columns(
        pl.lit(rows.version).alias("version"),
        pl.lit(manifest.output.kind).alias("kind"),
        pl.lit(manifest.output.threshold, pl.Float64).alias("hit_threshold"),
        *[requests[name].alias(f"request.{name}") for name in requests.columns],
    )


def _entity_keys(manifest: Manifest, requests: pl.DataFrame) -> Iterator[str]:
    """Yield each instance's entity keys as a label names them."""
    for values in requests.select(manifest.plan.list_key_fields()).iter_rows(named=True):
        yield encode_json(values)


def _read_labels(log: LiveLog, model: str, span: Span, as_of: datetime) -> pl.DataFrame:
    label = StoredLabel.__table__  # type: ignore[attr-defined]  # SQLModel makes it
    logged = LoggedPrediction.__table__  # type: ignore[attr-defined]  # as above
    ids = select(logged.c.id).where(*where_logged(model, span))
    columns = (
        label.c.prediction_id.label("id"),
        *[label.c[name] for name in list(_LABELS)[1:]],
    )
    is_wanted = label.c.prediction_id.in_(ids) | (
        label.c.prediction_id.is_(None) & (label.c.model == model)
    )
    query = select(*columns).where(is_wanted, label.c.observed_at <= as_of)
    with log.engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=_LABELS, orient="row")


def _reach_labels(span: Span, labels: pl.DataFrame) -> Span:
    """Return the span up to the last label about an entity: it may be a later prediction's."""
    last: Any = labels.filter(pl.col("id").is_null())["time"].max()
    if span.end is None or last is None or last < span.end:
        return span
    return replace(span, end=last + timedelta(microseconds=1))


def _match_entities(outcomes: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Give each label that names an entity the newest prediction made at its time or before."""
    wanted = ["place", "value_number", "value_text", "observed_at", "number"]
    if labels.is_empty():
        return pl.DataFrame(schema={"place": pl.UInt32} | {n: _LABELS[n] for n in wanted[1:]})
    return (
        labels.drop("row")
        .sort("time")
        .join_asof(
            outcomes.select("place", "entity_key", "time").sort("time"),
            on="time",
            by="entity_key",
            strategy="backward",
            check_sortedness=False,
        )
        .drop_nulls("place")
        .select(wanted)
    )


def _to_label(joined: pl.DataFrame, classes: Mapping[int, Sequence[str]]) -> pl.Series:
    """Return labels as numbers; a class is its number among those of the version, -1 if none."""
    texts = joined["value_text"]
    if texts.null_count() == joined.height:
        return joined["value_number"].alias("label")
    numbers = {
        (version, name): place
        for version, names in classes.items()
        for place, name in enumerate(names)
    }
    places = [
        None if text is None else numbers.get((version, text), _NO_CLASS)
        for text, version in zip(texts, joined["version"], strict=True)
    ]
    return pl.Series("label", places, pl.Float64)
