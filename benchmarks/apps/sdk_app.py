"""FastAPI, Feast's SDK and LightGBM, as most people write it, and the same with more care.

Each of the two is there with every way to call the SDK from FastAPI: in a thread
(``def``), in the event loop (``async def``), and awaited. The benchmark takes the fastest.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from benchmarks.apps.sdk_scorer import SdkScorer

scorer = SdkScorer(
    Path(os.environ["BENCH_FEATURE_REPO"]),
    Path(os.environ["BENCH_BOOSTER"]),
    Path(os.environ["BENCH_MANIFEST"]),
)
store = scorer.store


class Flight(BaseModel):
    """What the caller knows of a flight."""

    model_config = ConfigDict(extra="allow")
    carrier: str
    origin: str
    dest: str
    tailnum: str | None
    scheduled_departure: datetime


class Flights(BaseModel):
    """Flights to score."""

    instances: list[Flight]


class Scores(BaseModel):
    """A probability for each flight."""

    predictions: list[float]


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    await store.initialize()
    yield
    await store.close()


app = FastAPI(lifespan=_lifespan)


def _rows(flights: Flights) -> list[dict[str, Any]]:
    return [flight.model_dump() for flight in flights.instances]


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Say that the application is up."""
    return {"ready": True}


@app.post("/service/thread")
def score_service_in_thread(flights: Flights) -> Scores:
    """Look the feature service up in a thread of FastAPI's pool."""
    rows = _rows(flights)
    online = store.get_online_features(**scorer.ask_service(rows)).to_dict()
    return Scores(predictions=scorer.score_service(rows, online).tolist())


@app.post("/service/loop")
async def score_service_in_loop(flights: Flights) -> Scores:
    """Look the feature service up in the event loop."""
    return score_service_in_thread(flights)


@app.post("/service/await")
async def score_service_awaited(flights: Flights) -> Scores:
    """Await the SDK's look-up of the feature service."""
    rows = _rows(flights)
    answer = await store.get_online_features_async(**scorer.ask_service(rows))
    return Scores(predictions=scorer.score_service(rows, answer.to_dict()).tolist())


@app.post("/stored/thread")
def score_stored_in_thread(flights: Flights) -> Scores:
    """Look the stored features up in a thread of FastAPI's pool."""
    rows = _rows(flights)
    online = store.get_online_features(**scorer.ask_stored(rows)).to_dict()
    return Scores(predictions=scorer.score_stored(rows, online).tolist())


@app.post("/stored/loop")
async def score_stored_in_loop(flights: Flights) -> Scores:
    """Look the stored features up in the event loop."""
    return score_stored_in_thread(flights)


@app.post("/stored/await")
async def score_stored_awaited(flights: Flights) -> Scores:
    """Await the SDK's look-up of the stored features."""
    rows = _rows(flights)
    answer = await store.get_online_features_async(**scorer.ask_stored(rows))
    return Scores(predictions=scorer.score_stored(rows, answer.to_dict()).tolist())
