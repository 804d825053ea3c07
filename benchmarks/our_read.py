"""The service's own reading of features, without HTTP: keys, store, matrix."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import uvloop

from tests.support.flights_project import CLOCK
from zeroskew.contract.manifest import FeaturePlan, Manifest
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.schemes import open_store

__all__ = ["OurRead", "as_request_rows"]


class OurRead:
    """Reads by a plan, on the event loop that the service uses.

    Parameters
    ----------
    manifest
        The model's manifest.
    url
        The online store, as in ``ZEROSKEW_ONLINE_STORE``.
    plan
        Another plan than the manifest's.
    """

    def __init__(self, manifest: Manifest, url: str, *, plan: FeaturePlan | None = None) -> None:
        self.plan = ReadPlan(manifest.request, plan or manifest.plan)
        self._now_us = to_epoch_us(CLOCK)
        self._loop = uvloop.new_event_loop()
        # No measurement may fail because another program had the core for a moment.
        self._reader = open_store(url).open_reader(timeout_sec=5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.run_until_complete(self._reader.close())
        self._loop.close()

    def read(self, requests: Sequence[Sequence[RequestRow]]) -> list[FeatureMatrix]:
        """Read some requests one after another; return their matrices."""
        return self._loop.run_until_complete(self._read_all(requests))

    async def _read_all(self, requests: Sequence[Sequence[RequestRow]]) -> list[FeatureMatrix]:
        return [await self._read_one(rows) for rows in requests]

    async def _read_one(self, rows: Sequence[RequestRow]) -> FeatureMatrix:
        stored = await self._reader.read(self.plan.layout, self.plan.serialize_keys(rows))
        return self.plan.assemble(rows, self.plan.at(stored, self._now_us), self._now_us)


def as_request_rows(manifest: Manifest, rows: Sequence[dict[str, Any]]) -> list[RequestRow]:
    """Return rows as the service has them once a request is parsed."""
    return [
        tuple(
            value.timestamp() if isinstance(value := row[field.name], datetime) else value
            for field in manifest.request
        )
        for row in rows
    ]
