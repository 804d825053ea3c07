"""What happens to documents and bytes on their way: pieces changed, lost, moved and doubled."""

from __future__ import annotations

import copy
from typing import Any, Final

from hypothesis import strategies as st

__all__ = ["break_bytes", "break_member"]

_NUMBERS: Final = st.sampled_from([-1, 0, 1, 2, 3, 6, 12, 24, 48, 255, 2**31, 2**63, 2**70, 1e308])


def _values(names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | _NUMBERS | names,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
        max_leaves=4,
    )


def break_member(draw: st.DrawFn, document: Any, names: st.SearchStrategy[str]) -> None:
    """Set, take out or double one member somewhere in a JSON document."""
    place: Any = document
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
            place = inner
            continue
        match draw(st.sampled_from(["set", "set", "set", "take out", "double"])):
            case "set":
                place[key] = draw(_values(names))
            case "take out":
                del place[key]
            case _ if isinstance(place, list):
                place.append(copy.deepcopy(inner))
            case _:
                place[draw(names)] = copy.deepcopy(inner)
        return


def break_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Replace, take out or insert some bytes somewhere."""
    at = draw(st.integers(0, len(content)))
    n_lost = draw(st.integers(0, 9))
    pieces = [b"", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\xc3", b"1e999", b"\\ud8"]
    piece = draw(st.sampled_from(pieces) | st.binary(min_size=n_lost, max_size=n_lost))
    return content[:at] + piece + content[at + n_lost :]
