"""What the offline store refuses; `zeroskew.contract.errors.project` draws the whole tree."""

from zeroskew.contract.errors.project import TrainingError

__all__ = ["EntityRowError", "OfflineStoreError", "SourceError", "UnsupportedRequestError"]


class OfflineStoreError(TrainingError):
    """The root of everything this store raises on purpose."""


class EntityRowError(OfflineStoreError):
    """The entity frame lacks a column, or holds values that cannot be joined."""


class SourceError(OfflineStoreError):
    """A view's table is missing, or differs from what the view declares."""


class UnsupportedRequestError(OfflineStoreError):
    """A request that Feast's interface allows and this store does not serve."""
