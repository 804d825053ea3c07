"""What the service and training share; a project's definitions import what is named here.

A name is loaded when it is first asked for: who declares a model does not load what joins tables.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from zeroskew.contract.errors.project import PrepareError
    from zeroskew.contract.errors.sentences import first_line
    from zeroskew.contract.log_policy import LogPolicy
    from zeroskew.contract.manifest import FieldType, Output, RequestField
    from zeroskew.declarations.model_spec import Gate, LabelTable, ModelSpec, TimeSplit
    from zeroskew.features.array_math import (
        arcsin,
        arctan2,
        cos,
        cos_degrees,
        sin,
        sin_cos,
        sin_cos_degrees,
        sin_degrees,
    )
    from zeroskew.features.offline_store.parquet.part_files import publish_files, stage_file
    from zeroskew.features.request_time import request_time_view
    from zeroskew.features.windows.declare import Window, windowed_view

__all__ = [
    "FieldType",
    "Gate",
    "LabelTable",
    "LogPolicy",
    "ModelSpec",
    "Output",
    "PrepareError",
    "RequestField",
    "TimeSplit",
    "Window",
    "arcsin",
    "arctan2",
    "cos",
    "cos_degrees",
    "first_line",
    "publish_files",
    "request_time_view",
    "sin",
    "sin_cos",
    "sin_cos_degrees",
    "sin_degrees",
    "stage_file",
    "windowed_view",
]

_HOMES: Final = {
    "zeroskew.contract.errors.project": ("PrepareError",),
    "zeroskew.contract.errors.sentences": ("first_line",),
    "zeroskew.contract.log_policy": ("LogPolicy",),
    "zeroskew.contract.manifest": ("FieldType", "Output", "RequestField"),
    "zeroskew.declarations.model_spec": ("Gate", "LabelTable", "ModelSpec", "TimeSplit"),
    "zeroskew.features.array_math": (
        "arcsin",
        "arctan2",
        "cos",
        "cos_degrees",
        "sin",
        "sin_cos",
        "sin_cos_degrees",
        "sin_degrees",
    ),
    "zeroskew.features.offline_store.parquet.part_files": ("publish_files", "stage_file"),
    "zeroskew.features.request_time": ("request_time_view",),
    "zeroskew.features.windows.declare": ("Window", "windowed_view"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Return a name of the public face from the module where it is defined."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'zeroskew' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
