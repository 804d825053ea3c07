"""How a version's callers are told that it is on its way out."""

from __future__ import annotations

from email.utils import format_datetime

from zeroskew.records.registry.registered_version import RegisteredVersion

__all__ = ["describe_deprecation"]


def describe_deprecation(version: RegisteredVersion) -> dict[str, str]:
    """Return the headers ``Deprecation`` (RFC 9745) and ``Sunset`` (RFC 8594); none if it stays.

    >>> from datetime import UTC, datetime
    >>> made = datetime(2026, 1, 1, tzinfo=UTC)
    >>> version = RegisteredVersion(
    ...     model="delay", version=1, manifest_sha256="0" * 64, model_sha256="0" * 64,
    ...     created_at=made, created_by="", reason="", deprecated_at=made,
    ...     sunset_at=datetime(2026, 3, 1, tzinfo=UTC),
    ... )
    >>> describe_deprecation(version)
    {'Deprecation': '@1767225600', 'Sunset': 'Sun, 01 Mar 2026 00:00:00 GMT'}
    """
    headers = {}
    if version.deprecated_at is not None:
        headers["Deprecation"] = f"@{int(version.deprecated_at.timestamp())}"
    if version.sunset_at is not None:
        headers["Sunset"] = format_datetime(version.sunset_at, usegmt=True)
    return headers
