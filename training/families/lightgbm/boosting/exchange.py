"""What goes into LightGBM's process and what comes out: a line of JSON, then numpy's arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

import numpy as np

from training.families.lightgbm.boosting.rounds import Boosted, FitRefusedError, NoSplitError, Rows

__all__ = [
    "BoostingInput",
    "read_given",
    "read_result",
    "write_boosted",
    "write_given",
    "write_refusal",
]

_REFUSALS: Final = {"refused": FitRefusedError, "no_split": NoSplitError}


@dataclass(frozen=True)
class BoostingInput:
    """What `training.families.lightgbm.boosting.rounds.boost` is called with."""

    parameters: Mapping[str, Any]
    rows: Rows
    n_rounds: int
    early_stopping_rounds: int


def write_given(file: IO[bytes], given: BoostingInput) -> None:
    """Write what is to be fitted."""
    _write_line(
        file,
        {
            "parameters": given.parameters,
            "n_rounds": given.n_rounds,
            "early_stopping_rounds": given.early_stopping_rounds,
            "n_train": given.rows.n_train,
            "categorical": given.rows.categorical,
        },
    )
    np.save(file, given.rows.features)
    np.save(file, given.rows.labels)


def read_given(file: IO[bytes]) -> BoostingInput:
    """Read what `write_given` wrote."""
    line = json.loads(file.readline())
    features, labels = np.load(file), np.load(file)
    return BoostingInput(
        parameters=line["parameters"],
        rows=Rows(features, labels, line["n_train"], tuple(line["categorical"])),
        n_rounds=line["n_rounds"],
        early_stopping_rounds=line["early_stopping_rounds"],
    )


def write_boosted(file: IO[bytes], boosted: Boosted) -> None:
    """Write a fitted model."""
    line = asdict(boosted)
    scores = line.pop("validation_scores")
    _write_line(file, {"boosted": line})
    np.save(file, scores)


def write_refusal(file: IO[bytes], refusal: FitRefusedError) -> None:
    """Write why there is no model."""
    kind = next(name for name, error in _REFUSALS.items() if type(refusal) is error)
    _write_line(file, {kind: str(refusal)})


def read_result(file: IO[bytes]) -> Boosted | None:
    """Read what became of it, ``None`` where nothing was written.

    Raises
    ------
    FitRefusedError
        If that was written.
    """
    text = file.readline()
    if not text.endswith(b"\n"):
        return None
    line = json.loads(text)
    for kind, error in _REFUSALS.items():
        if kind in line:
            raise error(line[kind])
    fields = line["boosted"]
    fields["warnings"] = tuple(fields["warnings"])
    return Boosted(**fields, validation_scores=np.load(file))


def _write_line(file: IO[bytes], document: dict[str, Any]) -> None:
    file.write(json.dumps(document).encode() + b"\n")
