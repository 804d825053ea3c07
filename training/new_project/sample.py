"""Orders of a shop that is made up: the small table that a new project begins with."""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["sample_orders"]

_FIRST_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
_DAYS: Final = 182
_CUSTOMERS: Final = 160
_MONTH: Final = timedelta(days=30)


def sample_orders() -> str:
    """Return some 4,000 orders as CSV, in the order of their time; always the same.

    Who has ordered much within 30 days, and who orders for much, sends more back: there is
    something to learn, and it is known when an order is made.
    """
    lines = ["order_id,customer_id,ordered_at,amount,returned,decided_at"]
    for number, row in enumerate(_draw_orders(random.Random(20240101)), start=1):  # noqa: S311 - made up
        lines.append(f"{number},{row}")
    return "\n".join(lines) + "\n"


def _draw_orders(drawn: random.Random) -> Iterator[str]:
    rates = [drawn.uniform(0.02, 0.3) for _ in range(_CUSTOMERS)]
    moments = sorted(
        (_FIRST_DAY + timedelta(days=day, seconds=drawn.randrange(86_400)), customer)
        for customer, rate in enumerate(rates)
        for day in range(_DAYS)
        if drawn.random() < rate
    )
    recent: defaultdict[int, deque[datetime]] = defaultdict(deque)
    for moment, customer in moments:
        before = recent[customer]
        while before and before[0] <= moment - _MONTH:
            before.popleft()
        amount = round(drawn.gammavariate(2.0, 30.0), 2)
        strength = (len(before) - 4) / 2 + (amount - 60) / 50
        is_returned = drawn.random() < 1 / (1 + math.exp(-strength))
        before.append(moment)
        decided = moment + timedelta(days=3)
        yield f"{customer},{_text(moment)},{amount},{str(is_returned).lower()},{_text(decided)}"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
