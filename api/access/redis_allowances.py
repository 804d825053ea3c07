"""How many requests a caller may make, counted in Redis for all replicas."""

from __future__ import annotations

import asyncio
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.access.allowances import Allowances, Bound, Grant
from zeroskew.contract.errors.access import LimitsUnavailableError

__all__ = ["RedisAllowances"]

# A caller's hash holds the moment at which its bucket is full again, in microseconds (the
# generic cell rate algorithm of ITU-T I.371), and what it has used of a day. Time is the
# server's, so that replicas with other clocks count alike; "%.0f" keeps all digits of it.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local per_day, granted = tonumber(ARGV[3]), tonumber(ARGV[4])
local today = math.floor(now / 86400000000)
local stored = redis.call('HMGET', KEYS[1], 'full_at', 'day', 'used')
-- What is further away than a burst was written by a clock that has been set back since.
local full_at = math.min(math.max(now, tonumber(stored[1]) or 0), now + burst * interval)
local used = 0
if tonumber(stored[2]) == today then used = tonumber(stored[3]) end
local left_now, left_today = -1, -1
if per_day >= 0 then left_today = math.max(0, per_day - used) end
if interval > 0 then
  left_now = math.floor((now + burst * interval - full_at) / interval + 0.000001)
  if left_now < 1 then
    return {0, 0, left_today, 'second', math.ceil(full_at - now - (burst - 1) * interval)}
  end
  granted = math.min(granted, left_now)
end
if left_today == 0 then
  return {0, left_now, 0, 'day', (today + 1) * 86400000000 - now}
end
if left_today > 0 then
  granted = math.min(granted, left_today)
  left_today = left_today - granted
end
if left_now > 0 then left_now = left_now - granted end
redis.call('HSET', KEYS[1], 'full_at', string.format('%.0f', full_at + granted * interval),
           'day', today, 'used', used + granted)
redis.call('EXPIRE', KEYS[1], 172800)
return {granted, left_now, left_today, '', 0}
"""
_PREFIX: Final = "zeroskew:allowance:"
_MICROSECONDS: Final = 1e6
_BOUNDS: Final[dict[bytes, Bound]] = {b"second": "second", b"day": "day"}


class RedisAllowances:
    """Counts in Redis, one script a time.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` or ``unix://``, with the options of redis-py.
    timeout_sec
        How long a count may take.
    """

    def __init__(self, url: str, *, timeout_sec: float) -> None:
        self._client = Redis.from_url(
            url,
            socket_timeout=timeout_sec,
            socket_connect_timeout=timeout_sec,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = self._client.register_script(_TAKE)
        self._timeout_sec = timeout_sec

    async def take(self, caller_id: str, allowances: Allowances, n_wanted: int) -> Grant:
        """Give a caller up to `n_wanted` requests.

        Raises
        ------
        LimitsUnavailableError
            If Redis does not answer in time.
        """
        per_sec = allowances.per_sec
        arguments = (
            0 if per_sec is None else _MICROSECONDS / per_sec,
            0 if per_sec is None else allowances.burst,
            -1 if allowances.per_day is None else allowances.per_day,
            n_wanted,
        )
        try:
            async with asyncio.timeout(self._timeout_sec):
                reply = await self._take(keys=[_PREFIX + caller_id], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise LimitsUnavailableError("Requests cannot be counted.") from error
        n_granted, left_now, left_today, refused_by, retry_us = reply
        return Grant(
            n_granted,
            None if left_now < 0 else left_now,
            None if left_today < 0 else left_today,
            _BOUNDS.get(refused_by),
            retry_us / _MICROSECONDS,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
