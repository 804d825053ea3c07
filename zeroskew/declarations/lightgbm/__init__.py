"""A model's LightGBM parameters: which there are, what they may be, and what LightGBM is given.

Nothing here imports LightGBM, so that a model file is checked at once.
"""

from typing import Final

from zeroskew.declarations.lightgbm.check import check_columns, check_parameters, find_problems
from zeroskew.declarations.lightgbm.complete import complete_parameters, drop_columns
from zeroskew.declarations.lightgbm.names import (
    resolve_alias,
    resolve_metric,
    resolve_names,
    resolve_objective,
)

__all__ = [
    "FITS_IN_ROUNDS",
    "check_columns",
    "check_parameters",
    "complete_parameters",
    "drop_columns",
    "find_problems",
    "resolve_alias",
    "resolve_metric",
    "resolve_names",
    "resolve_objective",
]

FITS_IN_ROUNDS: Final = True
