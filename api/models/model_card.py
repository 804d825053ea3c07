"""A model card: what a version is for, what it was made of, and how good it is, for people.

The headings are those of Mitchell et al., "Model Cards for Model Reporting", 2019, as far as a
manifest can fill them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zeroskew.contract.manifest import Manifest, Metric
from zeroskew.records.registry.registered_version import RegisteredVersion

__all__ = ["write_model_card"]


def write_model_card(
    registered: RegisteredVersion, manifest: Manifest, aliases: Sequence[str]
) -> str:
    """Return the card of a version in Markdown."""
    parts = [
        f"# {manifest.model}, version {registered.version}\n\n{manifest.description}",
        _section("Version", _describe_version(registered, manifest, aliases)),
        _section("Answer", _describe_output(manifest)),
        _section("Request", _describe_request(manifest)),
        _section("Metrics", _describe_metrics(manifest)),
        _section("Data", _describe_data(manifest)),
        _section("Features", _describe_features(manifest)),
        _section("How it was made", _describe_making(manifest)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, content: str) -> str:
    return f"## {title}\n\n{content}"


def _describe_version(
    registered: RegisteredVersion, manifest: Manifest, aliases: Sequence[str]
) -> str:
    parent = registered.parent_version
    facts = [
        ("state", registered.state),
        ("aliases", ", ".join(aliases) or "none"),
        ("follows", "none" if parent is None else f"version {parent}"),
        ("published", f"{registered.created_at:%Y-%m-%d %H:%M} UTC by {registered.created_by}"),
        ("reason", registered.reason),
        ("model file", f"sha256 {registered.model_sha256}"),
        ("manifest", f"sha256 {registered.manifest_sha256}"),
        ("signed", "yes" if registered.signature else "no"),
        ("code", manifest.code_revision),
    ]
    if registered.refused_reason is not None:
        facts.append(("refused", registered.refused_reason))
    return _list(facts)


def _describe_output(manifest: Manifest) -> str:
    output = manifest.output
    facts: list[tuple[str, str]] = [(output.kind, output.description)]
    if output.threshold is not None:
        facts.append(("threshold", f"the label is true from {output.threshold:.6g} on"))
    if output.unit is not None:
        facts.append(("unit", output.unit))
    if output.classes is not None:
        facts.append(("classes", ", ".join(output.classes)))
    if manifest.label_matures_after_sec is not None:
        hours = manifest.label_matures_after_sec / 3600
        facts.append(("labels", f"are mature {hours:g} h after the prediction"))
    return _list(facts)


def _describe_request(manifest: Manifest) -> str:
    rows = [
        (
            f"`{field.name}`",
            field.type.value + (", nullable" if field.nullable else ""),
            ", ".join(field.choices or ()),
            field.description,
        )
        for field in manifest.request
    ]
    return _table(("field", "type", "choices", ""), rows)


def _describe_metrics(manifest: Manifest) -> str:
    names = [*manifest.baselines]
    rows = [
        (
            name,
            _say_metric(metric),
            *[_say_metric(manifest.baselines[one].get(name)) for one in names],
        )
        for name, metric in manifest.metrics.items()
    ]
    table = _table(("on the test span", "model", *names), rows)
    return f"{table}\n\nIntervals of 95 %, by resampling whole days."


def _describe_data(manifest: Manifest) -> str:
    rows = [
        (span, f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}", f"{manifest.data.rows.get(span, 0):,}")
        for span, (start, end) in manifest.data.spans.items()
    ]
    table = _table(("span", "from", "until", "rows"), rows)
    return f"{table}\n\nSnapshot: sha256 {manifest.data.sha256}."


def _describe_features(manifest: Manifest) -> str:
    plan = manifest.plan
    rows = [
        (
            f"`{view.name}`",
            ", ".join(f"`{key.field}`" for key in view.join_keys) or "none",
            "for ever" if view.ttl_us is None else f"{view.ttl_us / 3.6e9:g} h",
            view.when_stale,
            ", ".join(f"`{feature.name}`" for feature in view.features),
        )
        for view in plan.views
    ]
    table = _table(("view", "keys", "lives", "when stale", "features"), rows)
    computed = ", ".join(f"`{name}`" for name in plan.request_features) or "none"
    return f"{table}\n\nComputed in the graph when asked for: {computed}."


def _describe_making(manifest: Manifest) -> str:
    return _list(
        [
            ("family", manifest.family),
            ("objective", manifest.objective),
            *[(name, str(value)) for name, value in manifest.parameters.items()],
            *[(f"parity: {name}", str(value)) for name, value in manifest.parity.items()],
            *[(f"library: {name}", value) for name, value in manifest.libraries.items()],
        ]
    )


def _say_metric(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"


def _list(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {_inline(text)}" for name, text in facts)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_inline, line))} |" for line in lines)


def _inline(text: str) -> str:
    """Keep a text within its line and its cell."""
    return " ".join(text.split()).replace("|", "\\|")
