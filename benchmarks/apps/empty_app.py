"""A FastAPI endpoint that does nothing: what the framework and the server cost alone."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """Say that the application is up."""
    return {"ready": True}


@app.post("/empty")
async def answer_nothing() -> dict[str, str]:
    """Answer an empty object, whatever was sent."""
    return {}
