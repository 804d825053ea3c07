"""Whether the service can answer predictions."""

from __future__ import annotations

import json
from contextlib import suppress

from api.models.active_models import ActiveModels
from zeroskew.contract.errors.service import StaleFeatureError, UnavailableError
from zeroskew.contract.time.clock import Clock
from zeroskew.model.load_gate import ActiveModel
from zeroskew.online.reader import OnlineFeatureReader
from zeroskew.records.background_work import BackgroundWork

__all__ = ["Readiness"]


class Readiness:
    """Checks that what a prediction needs is there.

    Parameters
    ----------
    models
        Say which models answer.
    reader
        Reads the online store.
    clock
        Says what time it is for predictions.
    work
        What goes on beside the requests.
    """

    def __init__(
        self,
        *,
        models: ActiveModels,
        reader: OnlineFeatureReader,
        clock: Clock,
        work: BackgroundWork,
    ) -> None:
        self._models = models
        self._reader = reader
        self._clock = clock
        self._work = work

    async def require(self) -> None:
        """Check that a model is loaded and the online store has what models read, as they read it.

        What is stored for each model's example is read and decoded: a feature whose type was
        changed since the model was published would fail every request for an entity that is stored.

        Raises
        ------
        UnavailableError
            If not, or if work beside the requests does not go on; it says what is missing.
        """
        for name, trouble in self._work.list_troubles().items():
            raise UnavailableError(f"The background work {name!r} does not go on: {trouble}.")
        serving = self._models.list_serving()
        if not serving:
            raise UnavailableError("No model is loaded; publish one and give it an alias.")
        for model in serving:
            await self.require_store(model)
            await self._read_example(model)

    async def require_store(self, model: ActiveModel) -> None:
        """Check that the online store has every view that a model reads.

        Raises
        ------
        OnlineStoreUnavailableError
            If it has not.
        """
        await self._reader.check(model.plan.layout)

    async def _read_example(self, model: ActiveModel) -> None:
        plan = model.plan
        if not plan.features:
            return
        rows = model.schema.parse(json.dumps(model.schema.example).encode()).rows
        stored = await self._reader.read(plan.layout, plan.serialize_keys(rows))
        # How old it is, is a matter of each answer.
        with suppress(StaleFeatureError):
            now_us = self._clock.now_us()
            plan.assemble(rows, plan.at(stored, now_us), now_us)
