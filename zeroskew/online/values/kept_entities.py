"""What a reader keeps of entities that it has read, a bounded number of bytes."""

from __future__ import annotations

from typing import Final

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import EntityRow, ReadLayout

__all__ = ["KeptEntities"]

_BYTES_KEPT: Final = 2 * 1024 * 1024
_BYTES_A_CELL: Final = 100
"""What a cell takes beside its content: the objects around it, and its number."""


class KeptEntities:
    """The entities of a layout that were read last, by their key of each lookup.

    They take some 2 MB; where that is not enough, those of the lookup that takes most are let go.

    Parameters
    ----------
    layout
        What is read. It is not kept, so that its owner decides how long it lives.
    """

    def __init__(self, layout: ReadLayout) -> None:
        self._absent = [
            EntityRow([None] * lookup.n_features, [NEVER_US] * len(lookup.views))
            for lookup in layout.lookups
        ]
        self._sizes = [0] * len(self._absent)
        self.by_lookup: list[dict[bytes | None, EntityRow]] = [{} for _ in self._absent]
        """For each lookup its entities by their key; the null key's is always there."""
        self.clear()

    def clear(self) -> None:
        """Let go of all."""
        for lookup in range(len(self._absent)):
            self._clear_lookup(lookup)

    def put(self, lookup: int, key: bytes, entity: EntityRow) -> None:
        """Keep an entity instead of the one that was kept by this key."""
        before = self.by_lookup[lookup].get(key)
        if before is not None:
            self._sizes[lookup] -= _size(before)
        self._sizes[lookup] += _size(entity)
        if sum(self._sizes) > _BYTES_KEPT:
            self._clear_lookup(self._sizes.index(max(self._sizes)))
        self.by_lookup[lookup][key] = entity

    def _clear_lookup(self, lookup: int) -> None:
        self.by_lookup[lookup].clear()
        self.by_lookup[lookup][None] = self._absent[lookup]
        self._sizes[lookup] = 0


def _size(entity: EntityRow) -> int:
    cells = entity.cells
    return _BYTES_A_CELL * (1 + len(cells)) + sum([len(cell) for cell in cells if cell])
