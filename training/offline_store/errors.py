"""What the offline store refuses, and why.

OfflineStoreError              code "offline_store"
├── LabelError                 code "labels": the entity frame cannot be joined
├── SourceError                code "source": a view's table is not what its definition says
└── UnsupportedRequestError    code "unsupported": Feast offers it, this store does not do it
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["LabelError", "OfflineStoreError", "SourceError", "UnsupportedRequestError"]


class OfflineStoreError(Exception):
    """The root of everything this store raises on purpose."""

    code: ClassVar[str] = "offline_store"


class LabelError(OfflineStoreError, ValueError):
    """The entity frame lacks a column, or holds values that cannot be joined."""

    code = "labels"


class SourceError(OfflineStoreError, ValueError):
    """A view's table is missing, or differs from what the view declares."""

    code = "source"


class UnsupportedRequestError(OfflineStoreError, NotImplementedError):
    """A request that Feast's interface allows and this store does not serve."""

    code = "unsupported"
