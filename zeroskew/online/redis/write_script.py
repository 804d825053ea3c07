"""How all that write a Redis online store compare event times: in the step in which they write.

The latest event time stands, and among equal ones the last write. The service and Feast's store of
`zeroskew.features.online_store` write side by side.
"""

from __future__ import annotations

from typing import Final

__all__ = ["WRITE_IF_STANDING"]

WRITE_IF_STANDING: Final = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if tonumber(ARGV[3]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
"""Writes a hash if the event time that was compared still stands; returns whether it did.

KEYS: the entity's hash. ARGV: the field of the event time, the event time that was compared
(empty for none), the entity's time to live in seconds (0 for none), then fields and values.
"""
