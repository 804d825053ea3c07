"""A FastAPI endpoint that takes its time, to be stopped in the middle of a request."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """Say that the application is up."""
    return {"ready": True}


@app.get("/sleep")
async def answer_after_a_second() -> dict[str, str]:
    """Answer after one second."""
    await asyncio.sleep(1.0)
    return {}
