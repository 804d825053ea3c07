"""Views that Feast took out of its registry, whose rows stay online while a live plan reads them.

Feast's own stores drop a view's rows with the view, while the model that serves was published with
a plan that reads them. Here `feast apply` drops nothing: it notes what was removed, in the online
store itself, and `zeroskew apply` drops what is noted once no live plan needs it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from feast import RepoConfig

from zeroskew.contract.manifest import ViewPlan

__all__ = ["KeepsRemovedViews"]


@runtime_checkable
class KeepsRemovedViews(Protocol):
    """An online store that keeps the rows of a removed view until it is told to drop them."""

    def drop_removed_views(self, config: RepoConfig, needed: Collection[ViewPlan]) -> list[str]:
        """Drop the rows of removed views, but not of those that are needed.

        Parameters
        ----------
        config
            Feast's configuration of the project.
        needed
            The views that live plans read.

        Returns
        -------
        dropped
            What was dropped: names of tables, or of views.
        """
        ...
