"""Which arm of a rollout answers for a key: the same one in every process, and after a restart.

Each key draws a number for each arm, and the arm with the least draw divided by its weight has it:
an exponential race, or weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted
distributed hash tables", 2005). An arm's share of the keys is its weight. Where one weight grows
and the others shrink in proportion, as with every canary, keys move to that arm alone.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from zeroskew.contract.manifest import Manifest
from zeroskew.contract.rollout import Rollout

__all__ = ["ArmChooser", "check_arms_fit", "encode_json", "list_sticky_fields"]

_DIGEST_BYTES: Final = 8
_UNITS: Final = 2.0**-53

encode_json: Final[Callable[[Any], str]] = json.JSONEncoder(
    separators=(",", ":"), sort_keys=True, allow_nan=False
).encode
"""Return parsed values as the one text that stands for them: names sorted, all of it ASCII."""


class ArmChooser:
    """Deals keys to the arms of a rollout.

    Parameters
    ----------
    rollout
        Its arms, weights and salt.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._arms = [(_seed(rollout.salt, arm.name), arm.weight) for arm in rollout.arms]

    def choose(self, key: str) -> int:
        """Return the number of the arm that answers for a key, which `encode_json` has made."""
        content = key.encode()
        chosen, least = 0, math.inf
        for number, (seed, weight) in enumerate(self._arms):
            if weight <= 0:
                continue
            digest = seed.copy()
            digest.update(content)
            # 53 bits and a half: never 0, so that the logarithm is finite.
            drawn = ((int.from_bytes(digest.digest()) >> 11) + 0.5) * _UNITS
            race = -math.log(drawn) / weight
            if race < least:
                chosen, least = number, race
        return chosen


def _seed(salt: str, name: str) -> hashlib.blake2b:
    return hashlib.blake2b(f"{salt}\0{name}\0".encode(), digest_size=_DIGEST_BYTES)


def list_sticky_fields(rollout: Rollout, manifest: Manifest) -> list[str]:
    """Return the request fields whose values choose the arm, sorted.

    They are those that the rollout names, or else the entity keys, or else, for a model without
    any, all fields.
    """
    if rollout.sticky_by is not None:
        return sorted(rollout.sticky_by)
    return manifest.plan.list_key_fields() or sorted(field.name for field in manifest.request)


def check_arms_fit(rollout: Rollout, manifests: Mapping[str, Manifest]) -> None:
    """Check that any of the rollout's versions may answer a request that was sent to the model.

    Parameters
    ----------
    manifests
        The manifest of each arm and shadow, by its name.

    Raises
    ------
    ValueError
        If a version takes other request fields than the first arm's, or gives another kind of
        output; if `sticky_by` names what is no request field.
    """
    first = rollout.arms[0].name
    fields, output = _describe(manifests[first])
    unknown = sorted(set(rollout.sticky_by or ()) - {name for name, _, _ in fields})
    if unknown:
        names = ", ".join(name for name, _, _ in fields)
        raise ValueError(f"Got sticky_by {', '.join(unknown)}, but expected of {names}.")
    for name, manifest in manifests.items():
        of_fields, of_output = _describe(manifest)
        if of_fields != fields:
            others = sorted({field[0] for field in set(of_fields) ^ set(fields)})
            raise ValueError(
                f"Got {name!r}, whose request differs from that of {first!r} in "
                f"{', '.join(others) or 'the order of its fields'}, but expected the same fields."
            )
        if of_output != output:
            raise ValueError(
                f"Got {name!r}, whose output is {_say(of_output)}, but expected {_say(output)} as "
                f"of {first!r}."
            )


def _describe(manifest: Manifest) -> tuple[list[tuple[str, str, bool]], tuple[str, Sequence[str]]]:
    fields = [(field.name, field.type.value, field.nullable) for field in manifest.request]
    return fields, (manifest.output.kind, tuple(manifest.output.classes or ()))


def _say(output: tuple[str, Sequence[str]]) -> str:
    kind, classes = output
    return f"{kind} of {', '.join(classes)}" if classes else kind
