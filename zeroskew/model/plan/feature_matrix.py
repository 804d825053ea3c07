"""The graph's inputs, and what is told of each feature in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureMatrix", "FeatureOrigins"]


class FeatureOrigins(NamedTuple):
    """Where the stored features of ``n_rows`` rows came from.

    ``status`` is uint8 and ``event_us`` int64 ``(n_rows, n_features)``, both in the order of
    `ReadPlan.features`; ``event_us`` is microseconds since the Unix epoch, `NEVER_US` where
    there is none.
    """

    status: NDArray[np.uint8]
    event_us: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class FeatureMatrix:
    """The graph's inputs for ``n_rows`` rows, and where the stored features came from.

    Parameters
    ----------
    values
        The graph's ``features``, float32 ``(n_rows, n_columns)``.
    request
        Its ``request``, float64 ``(n_rows, n_request_inputs)``.
    origins
        Where they came from, or what finds it out: few ask.
    """

    values: NDArray[np.float32]
    request: NDArray[np.float64]
    _origins: FeatureOrigins | Callable[[], FeatureOrigins]

    @classmethod
    def allocate(cls, n_rows: int, like: FeatureMatrix) -> FeatureMatrix:
        """Return room for so many rows as wide as those of another matrix; `put` fills it."""

        def room(array: NDArray[Any]) -> NDArray[Any]:
            return np.empty((n_rows, array.shape[1]), array.dtype)

        origins = FeatureOrigins(room(like.status), room(like.event_us))
        return cls(room(like.values), room(like.request), origins)

    def put(self, rows: slice, part: FeatureMatrix) -> None:
        """Copy a part to its rows."""
        self.values[rows] = part.values
        self.request[rows] = part.request
        self.status[rows] = part.status
        self.event_us[rows] = part.event_us

    @property
    def origins(self) -> FeatureOrigins:
        """Where the stored features came from."""
        if not isinstance(self._origins, FeatureOrigins):
            self._origins = self._origins()
        return self._origins

    @property
    def status(self) -> NDArray[np.uint8]:
        """Each feature's `FeatureStatus`, uint8 ``(n_rows, n_features)``."""
        return self.origins.status

    @property
    def event_us(self) -> NDArray[np.int64]:
        """Each feature's event time, int64 ``(n_rows, n_features)``."""
        return self.origins.event_us
