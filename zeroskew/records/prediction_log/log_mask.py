"""What of a model's predictions is left out of the log, or only told apart."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import structlog

from zeroskew.contract.log_policy import LogPolicy
from zeroskew.contract.manifest import Column, FieldType, Manifest, RequestInput

__all__ = ["HASHED", "LogMask", "MaskFinder", "hash_text"]

HASHED: Final = "hmac:"
"""What a hashed text begins with."""

_DIGEST_CHARS: Final = 32
_log: Final = structlog.get_logger(__name__)
Way = Callable[[Any], Any]


class LogMask:
    """Leaves out or hashes a version's request fields.

    A field that is left out or hashed and goes into the model's matrix stands there too, as a
    number: then the matrix is left out as well, whatever the policy says. So it is with a policy
    that does not fit the model: nothing is kept of a request that a name was misspelt for.

    Parameters
    ----------
    policy
        The model's.
    manifest
        The version's.
    key
        A secret: who does not have it cannot find out which text a hash is of by trying.
    """

    def __init__(self, policy: LogPolicy, manifest: Manifest, key: bytes) -> None:
        kinds = {field.name: field.type for field in manifest.request}
        hashed = set(policy.hashed_fields)
        kept = set(kinds) - hashed if policy.fields is None else set(policy.fields)
        unfit = sorted(
            (kept | hashed) - set(kinds)
            | {name for name in hashed & set(kinds) if kinds[name] is not FieldType.STRING}
        )
        if unfit:
            _log.error(
                "log_policy_unfit",
                model=manifest.model,
                fields=unfit,
                reason="they are no fields of the model, or to be hashed and no texts; "
                "no field of its requests is logged",
            )
            kept = hashed = set()
        self._key = key
        self._ways: list[Way] = [
            self._hash if name in hashed else _keep if name in kept else _drop for name in kinds
        ]
        changed = set(kinds) - (kept - hashed)
        sources: tuple[Column | RequestInput, ...] = (
            *manifest.plan.columns,
            *manifest.plan.request_inputs,
        )
        self.keeps_inputs = (
            policy.inputs and not unfit and not any(source.field in changed for source in sources)
        )
        self.is_needed = bool(changed) or not self.keeps_inputs

    def mask(self, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Return the values of a request as they are kept."""
        return [[way(value) for way, value in zip(self._ways, row, strict=True)] for row in rows]

    def _hash(self, value: Any) -> Any:
        return None if value is None else hash_text(str(value), self._key)


class MaskFinder:
    """Finds the mask of a version, by its model's policy.

    Parameters
    ----------
    policy, policies
        For every model that has none of its own, and models' own, by name.
    key
        See `LogMask`.
    """

    def __init__(
        self, policy: LogPolicy, policies: Mapping[str, LogPolicy], key: bytes = b""
    ) -> None:
        self._policy = policy
        self._policies = policies
        self._key = key
        self._masks: dict[tuple[str, int], LogMask | None] = {}

    def find(self, manifest: Manifest, version: int) -> LogMask | None:
        """Return the mask of a version, ``None`` where everything is kept."""
        # Versions with the same file may have their fields in another order.
        key = (manifest.model, version)
        if key not in self._masks:
            policy = self._policies.get(manifest.model, self._policy)
            mask = LogMask(policy, manifest, self._key)
            self._masks[key] = mask if mask.is_needed else None
        return self._masks[key]


def hash_text(text: str, key: bytes) -> str:
    """Return what stands for a text that is hashed."""
    return HASHED + hmac.new(key, text.encode(), sha256).hexdigest()[:_DIGEST_CHARS]


def _keep(value: Any) -> Any:
    return value


def _drop(_: Any) -> None:
    return None
