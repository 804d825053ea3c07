"""What a reader keeps of entities that it has read, a bounded number of bytes."""

from __future__ import annotations

from typing import Final
from weakref import WeakSet

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import EntityRow, ReadLayout

__all__ = ["KeptBytes", "KeptEntities"]

_MAX_BYTES: Final = 8 * 1024 * 1024
_BYTES_AN_ENTITY: Final = 700
_BYTES_A_CELL: Final = 100
"""What an entity and a cell take beside key and content, by measurement."""

_MOST_ROWS: Final = 16
_MOST_CELLS: Final = 1024
_WIDEST: Final = 128
"""Beyond, arrays are quicker than single numbers, and few entities would take all the room."""


class KeptBytes:
    """How much the entities of all layouts of a reader take together.

    Parameters
    ----------
    max_bytes
        How much they may take. An entity that would take a quarter of it is not kept.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        """What they take, and perhaps what layouts took that are gone."""
        self._of_layouts: WeakSet[KeptEntities] = WeakSet()

    def join(self, kept: KeptEntities) -> None:
        """Count a layout's entities from now on."""
        self._of_layouts.add(kept)

    def make_room(self, n_bytes: int) -> None:
        """Let go of those of the lookups that take most until there is room."""
        if self.n_bytes + n_bytes <= self.max_bytes:
            return
        self.n_bytes = sum([sum(kept.sizes) for kept in self._of_layouts])
        while self.n_bytes and self.n_bytes + n_bytes > self.max_bytes:
            largest = max(self._of_layouts, key=lambda kept: max(kept.sizes, default=0))
            largest.clear_largest()


class KeptEntities:
    """The entities of a layout that were read before, by their key of each lookup.

    Parameters
    ----------
    layout
        What is read. It is not kept, so that its owner decides how long it lives.
    bytes_together
        Counts what the layouts of a reader keep.
    """

    def __init__(self, layout: ReadLayout, bytes_together: KeptBytes) -> None:
        widths = [lookup.n_features for lookup in layout.lookups]
        self.most_rows = 0
        """How many rows at once entities are kept of."""
        if 0 < max(widths, default=0) <= _WIDEST:
            self.most_rows = min(_MOST_ROWS, _MOST_CELLS // sum(widths))
        self._absent = [
            EntityRow([None] * lookup.n_features, [NEVER_US] * len(lookup.views))
            for lookup in layout.lookups
        ]
        self.sizes = [0] * len(widths)
        """How many bytes those of each lookup take."""
        self.by_lookup: list[dict[bytes | None, EntityRow]] = [{} for _ in widths]
        """For each lookup its entities by their key; the null key's is always there."""
        self._bytes_together = bytes_together
        bytes_together.join(self)
        self.clear()

    def clear(self) -> None:
        """Let go of all."""
        for lookup in range(len(self.sizes)):
            self._clear_lookup(lookup)

    def clear_largest(self) -> None:
        """Let go of those of the lookup that takes most."""
        self._clear_lookup(self.sizes.index(max(self.sizes)))

    def put(self, lookup: int, key: bytes, entity: EntityRow) -> None:
        """Keep an entity instead of the one that was kept by this key."""
        before = self.by_lookup[lookup].pop(key, None)
        if before is not None:
            self._count(lookup, -_size(key, before))
        size = _size(key, entity)
        if size > self._bytes_together.max_bytes // 4:
            return
        self._bytes_together.make_room(size)
        self.by_lookup[lookup][key] = entity
        self._count(lookup, size)

    def _count(self, lookup: int, n_bytes: int) -> None:
        self.sizes[lookup] += n_bytes
        self._bytes_together.n_bytes += n_bytes

    def _clear_lookup(self, lookup: int) -> None:
        self.by_lookup[lookup].clear()
        self.by_lookup[lookup][None] = self._absent[lookup]
        self._count(lookup, -self.sizes[lookup])


def _size(key: bytes, entity: EntityRow) -> int:
    """Return about how much an entity takes, with the bytes that it came in beside its cells."""
    cells = entity.cells
    content = sum([len(cell) for cell in cells if cell])
    return _BYTES_AN_ENTITY + len(key) + _BYTES_A_CELL * len(cells) + 2 * content
