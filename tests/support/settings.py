"""Settings of a service that lives at the moment of the example."""

from pathlib import Path

from tests.support.online_stores import EVENT_TIME
from zeroskew.contract.settings import Settings

__all__ = ["make_settings"]


def make_settings(folder: Path, online_store: Path, **changes: object) -> Settings:
    """Return settings for a service on files in `folder` that lives at `EVENT_TIME`."""
    values: dict[str, object] = {
        "database_url": f"sqlite:///{folder}/zeroskew.db",
        "artifacts_dir": folder / "artifacts",
        "online_store": f"sqlite:///{online_store}",
        "clock": EVENT_TIME,
        "port": 0,
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]  # pydantic checks them
