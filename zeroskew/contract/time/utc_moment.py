"""A moment with an offset that has a place in the calendar of UTC, too."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from zeroskew.contract.errors.fields import expects, unexpected

__all__ = ["UtcMoment"]


def _refuse_numbers(given: object) -> object:
    """Refuse what pydantic would take for seconds or, if it is large, for milliseconds."""
    if isinstance(given, datetime) or (isinstance(given, str) and _DATE.match(given)):
        return given
    raise unexpected(_MOMENT)


def _check_calendar(moment: datetime) -> datetime:
    try:
        moment.astimezone(UTC)
    except OverflowError as error:
        raise unexpected("a moment within the years 1 to 9999 in UTC") from error
    return moment


_MOMENT: Final = "a moment in RFC 3339 with its UTC offset"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]", re.ASCII)

UtcMoment: TypeAlias = Annotated[
    AwareDatetime,
    expects(_MOMENT),
    BeforeValidator(_refuse_numbers),
    AfterValidator(_check_calendar),
]
