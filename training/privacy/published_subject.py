"""What published versions have of a subject: their manifests are immutable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from training.privacy.subject import Subject
from zeroskew.contract.manifest import Manifest

__all__ = ["find_published", "name_published"]


def find_published(
    manifests: Iterable[tuple[int, Manifest]], subject: Subject
) -> list[dict[str, Any]]:
    """Return which parts of which versions name the subject.

    Parameters
    ----------
    manifests
        The number of each version and its manifest.
    """
    return [
        {"model": manifest.model, "version": version, "parts": parts}
        for version, manifest in manifests
        if (parts := _find_parts(manifest, subject))
    ]


def name_published(found: dict[str, Any]) -> str:
    """Return how a receipt calls a version that names the subject."""
    return f"{', '.join(found['parts'])} of {found['model']} version {found['version']}"


def _find_parts(manifest: Manifest, subject: Subject) -> list[str]:
    names = {view.name: [key.name for key in view.join_keys] for view in manifest.plan.views}
    records: dict[str, list[dict[str, Any]]] = {
        "golden keys": [
            dict(zip(names.get(key.view, ()), key.values, strict=False))
            for key in manifest.golden_keys
        ],
        "example": [manifest.example],
        "categories": [
            {column.field: category}
            for column in manifest.plan.columns
            if column.field is not None
            for category in column.categories or ()
        ],
    }
    return [part for part, given in records.items() if any(map(subject.matches, given))]
