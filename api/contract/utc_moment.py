"""A moment with an offset that has a place in the calendar of UTC, too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime

__all__ = ["UtcMoment"]


def _check_calendar(moment: datetime) -> datetime:
    try:
        moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("it lies beyond the years 1 to 9999 in UTC") from error
    return moment


UtcMoment: TypeAlias = Annotated[AwareDatetime, AfterValidator(_check_calendar)]
