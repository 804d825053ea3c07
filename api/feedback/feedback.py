"""Takes labels: checks each against its model, and keeps a batch whole or not at all."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access.caller import Caller
from api.feedback.logged_entities import LoggedEntities
from api.models.active_models import ActiveModels
from api.predictions.prediction_log import PREDICTION_ID, PredictionLog
from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.arm_choice import encode_json
from zeroskew.contract.errors.fields import MAX_FIELDS, describe, expects
from zeroskew.contract.errors.not_found import NotFoundError, UnknownPredictionError
from zeroskew.contract.errors.service import (
    FeedbackUnavailableError,
    FieldError,
    InvalidRequestError,
    LabelConflictError,
    LogUnavailableError,
)
from zeroskew.contract.manifest import FieldType, Manifest, ModelName
from zeroskew.contract.rollout import CHAMPION
from zeroskew.contract.time.clock import Clock
from zeroskew.contract.time.utc_moment import UtcMoment
from zeroskew.records.background_work import WatchedWork
from zeroskew.records.blocking_calls import BlockingCalls
from zeroskew.records.labels.label_row import LabelConflict, LabelRow, hash_label
from zeroskew.records.labels.label_store import LabelStore
from zeroskew.records.labels.label_writer import LabelWriter
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["Feedback", "GivenLabel", "LabelOutcome"]

_KNOWN_MODEL: Final = "a model that is there and has a champion"
_MAX_AHEAD: Final = timedelta(minutes=5)
_Text = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")]
_Value = Annotated[
    bool | int | float | _Text,
    expects("true, false, a number, or text of at most 256 characters without NUL"),
]
_KeyValue = Annotated[
    _Text | int | bool | None,
    expects("text of at most 256 characters without NUL, a whole number, true, false or null"),
]
_Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
_KEY_TYPES: Final[dict[FieldType, tuple[type, str]]] = {
    FieldType.STRING: (str, "text"),
    FieldType.INTEGER: (int, "a whole number"),
}
_Id = Annotated[str, StringConstraints(pattern=f"^{PREDICTION_ID}$")]


class GivenLabel(BaseModel):
    """What really happened, of one predicted instance.

    Either `prediction_id` says which, with `row` in an answer of several; or `model`, `entity_key`
    and `time`: the newest prediction for that entity that was made then or before.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    idempotency_key: _Key | None = Field(
        default=None,
        description="The same again changes nothing. If not given, it is made of the rest.",
    )
    prediction_id: _Id | None = None
    row: int = Field(default=0, ge=0, le=1_000_000)
    model: ModelName | None = None
    entity_key: dict[_Text, _KeyValue] | None = Field(default=None, max_length=16, min_length=1)
    time: UtcMoment | None = Field(default=None, strict=False)
    value: _Value = Field(
        description="True or false for a probability, or a share from 0 to 1 where it learned "
        "shares; a number for a value, a class for classes."
    )
    observed_at: UtcMoment = Field(strict=False, description="When it was known.")


class LabelOutcome(AnswerModel):
    """What became of one label: `created`, or `known` where it had come before."""

    status: Literal["created", "known"]
    idempotency_key: str
    matched: bool | None = Field(
        description="Whether the log has the prediction; a label may come before it is there. "
        "`null` where that is not known: the log cannot be read, or is searched in part."
    )


@dataclass(frozen=True, slots=True)
class _LabelTarget:
    """The model that a label is about, and whether the log has its prediction, if it is known."""

    model: str | None
    is_logged: bool | None


class Feedback:
    """Checks labels and hands them to the writer.

    Parameters
    ----------
    writer
        Keeps them.
    reader
        The database, for reading.
    log
        Knows which prediction is of which model.
    entities
        Know for which entities there are predictions.
    models
        Know what a model's label looks like.
    calls, executor
        Run what blocks beside the event loop: the log, and what asks the registry too.
    clock
        A label may not have been observed in its future.
    """

    def __init__(
        self,
        *,
        writer: LabelWriter,
        reader: LabelStore,
        log: PredictionLog,
        entities: LoggedEntities,
        models: ActiveModels,
        calls: BlockingCalls,
        executor: RegistryExecutor,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._reading = threading.Lock()
        self._log = log
        self._entities = entities
        self._models = models
        self._calls = calls
        self._executor = executor
        self._clock = clock

    async def take(
        self, labels: Sequence[GivenLabel], request_id: str, caller: Caller
    ) -> list[LabelOutcome]:
        """Keep labels, all of them or none; they are on disk when this returns.

        Raises
        ------
        InvalidRequestError
            If one does not say what it is about, has a value that its model's label cannot
            have, or was observed in the future.
        LabelConflictError
            If the key of one stands for another label.
        FeedbackUnavailableError
            If they cannot be stored.
        """
        now = self._clock.now()
        refused: list[FieldError] = []
        rows, targets = [], []
        for number, label in enumerate(labels):
            target = await self._find_target(label)
            found = _check(label, f"/labels/{number}", now)
            if target.model is not None and not caller.sees(target.model):
                # As where there is no such model, or prediction.
                at = "prediction_id" if label.prediction_id is not None else "model"
                expected = "one that is there" if at == "prediction_id" else _KNOWN_MODEL
                got = describe(getattr(label, at))
                found.append(FieldError(f"/labels/{number}/{at}", got, expected))
                target = replace(target, model=None)
            found += await self._check_model(label, f"/labels/{number}", target.model)
            refused += found
            if not found:
                if label.entity_key is not None and label.time is not None:
                    is_logged = await self._executor.run(
                        self._entities.find, target.model, label.entity_key, label.time
                    )
                    target = replace(target, is_logged=is_logged)
                rows.append(_to_row(label, target.model, request_id, caller.tenant))
                targets.append(target)
        if refused:
            raise InvalidRequestError(refused[0].message, tuple(refused[:MAX_FIELDS]))
        given = {
            row.idempotency_key: label.idempotency_key or row.idempotency_key
            for row, label in zip(rows, labels, strict=True)
        }
        outcome = await self._writer.write(rows)
        if isinstance(outcome, LabelConflict):
            raise LabelConflictError(
                f"Got idempotency_key {given[outcome.key]!r}, which stands for another label, but "
                "expected the same label or another key."
            )
        return [
            LabelOutcome(
                status="created" if is_new else "known",
                idempotency_key=given[row.idempotency_key],
                matched=target.is_logged,
            )
            for row, target, is_new in zip(rows, targets, outcome, strict=True)
        ]

    def read(self, prediction_id: str) -> list[LabelRow]:
        """Return the labels about a prediction, in the order in which they came. It blocks.

        Raises
        ------
        FeedbackUnavailableError
            If they cannot be read.
        """
        try:
            with self._reading:
                return self._reader.read(prediction_id)
        except self._reader.failures as error:
            raise FeedbackUnavailableError("Labels cannot be read at the moment.") from error

    @property
    def writing(self) -> WatchedWork:
        """The thread that writes labels."""
        return self._writer.thread

    def close(self) -> None:
        """Write what waits, and close the database."""
        self._writer.stop()
        self._reader.close()

    async def _find_target(self, label: GivenLabel) -> _LabelTarget:
        if label.prediction_id is None:
            return _LabelTarget(label.model, is_logged=False)
        try:
            rows = await self._calls.run(self._log.read, label.prediction_id)
        except UnknownPredictionError:
            return _LabelTarget(label.model, is_logged=False)
        except LogUnavailableError:
            return _LabelTarget(label.model, is_logged=None)
        return _LabelTarget(rows[0].model, is_logged=label.row < sum(row.n_rows for row in rows))

    async def _check_model(
        self, label: GivenLabel, pointer: str, model: str | None
    ) -> list[FieldError]:
        """Refuse a value or an entity key that a model cannot have, where the model is known."""
        if model is None:
            return []
        if label.model not in (None, model):
            whose = f"{model}, whose prediction it is"
            return [FieldError(f"{pointer}/model", describe(label.model), whose)]
        try:
            active = await self._models.by_alias(model, CHAMPION)
        except NotFoundError:
            return [FieldError(f"{pointer}/model", describe(model), _KNOWN_MODEL)]
        found = _check_entity(label.entity_key, pointer, active.manifest)
        expected = _expect(active.manifest, label.value)
        if expected is not None:
            found.append(FieldError(f"{pointer}/value", describe(label.value), expected))
        return found


def _check_entity(
    entity_key: Mapping[str, object] | None, pointer: str, manifest: Manifest
) -> list[FieldError]:
    """Refuse an entity key that no prediction can have, for it would wait for one without end."""
    if entity_key is None:
        return []
    names = manifest.plan.list_key_fields()
    if sorted(entity_key) != names:
        got = ", ".join(sorted(entity_key))
        return [FieldError(f"{pointer}/entity_key", got[:200], f"all of {', '.join(names)}")]
    fields = {field.name: field for field in manifest.request}
    found = []
    for name, value in entity_key.items():
        kind, expected = _KEY_TYPES[fields[name].type]
        is_fit = value is None if fields[name].nullable else False
        if not (is_fit or type(value) is kind):
            found.append(FieldError(f"{pointer}/entity_key/{name}", describe(value), expected))
    return found


def _expect(manifest: Manifest, value: bool | float | str) -> str | None:
    """Return what was expected where `value` is no label of such a model."""
    output = manifest.output
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    if output.kind == "probability":
        if manifest.objective == "cross_entropy":  # Its labels may be shares.
            is_share = is_number and 0 <= value <= 1  # type: ignore[operator]  # a text is no number
            return None if is_share or isinstance(value, bool) else "true, false, or a share"
        return None if isinstance(value, bool) else "true or false"
    if output.kind == "value":
        return None if is_number else "a number"
    return None if value in (output.classes or ()) else f"one of {list(output.classes or ())}"


def _check(label: GivenLabel, pointer: str, now: datetime) -> list[FieldError]:
    found = []
    by_entity = (label.model, label.entity_key, label.time)
    if label.prediction_id is None and None in by_entity:
        found.append(
            FieldError(
                pointer, "a label about nothing", "prediction_id, or model, entity_key and time"
            )
        )
    if label.prediction_id is not None and by_entity[1:] != (None, None):
        found.append(FieldError(pointer, "both", "prediction_id, or entity_key and time"))
    if isinstance(label.value, int | float) and not _is_float64(label.value):
        expected = "a finite number that float64 holds"
        found.append(FieldError(f"{pointer}/value", describe(label.value), expected))
    if label.observed_at > now + _MAX_AHEAD:
        expected = f"a moment until {now.isoformat()}"
        found.append(FieldError(f"{pointer}/observed_at", label.observed_at.isoformat(), expected))
    return found


def _is_float64(number: int | float) -> bool:
    """Tell whether the label's column holds a number as it is; whole ones come in any size."""
    try:
        return math.isfinite(float(number)) and float(number) == number
    except OverflowError:
        return False


def _to_row(label: GivenLabel, model: str | None, request_id: str, tenant: str | None) -> LabelRow:
    kind = "class" if isinstance(label.value, str) else "number"
    if isinstance(label.value, bool):
        kind = "boolean"
    by_entity = label.prediction_id is None
    row = LabelRow(
        idempotency_key="",
        body_sha256="",
        prediction_id=label.prediction_id,
        row=None if by_entity else label.row,
        model=model,
        entity_key=None if label.entity_key is None else encode_json(label.entity_key),
        time=None if label.time is None else label.time.astimezone(UTC),
        kind=kind,
        value_number=None if isinstance(label.value, str) else float(label.value),
        value_text=label.value if isinstance(label.value, str) else None,
        observed_at=label.observed_at.astimezone(UTC),
        received_at=datetime.now(UTC),
        request_id=request_id,
    )
    # The model of a prediction may become known between two tries of one label.
    digest = hash_label(row if by_entity else row._replace(model=None))
    key = label.idempotency_key or digest
    if label.idempotency_key is not None and tenant is not None:
        # Tenants choose their keys without knowing of one another.
        key = hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()
    return row._replace(idempotency_key=key, body_sha256=digest)
