"""docs/features.md says what Feast's definitions say.

``python -m tests.feature_repo.test_features_page`` writes the tables anew, with the
repository root and ``feature_repo`` on ``PYTHONPATH``.
"""

from datetime import timedelta
from pathlib import Path

import feature_views
import pipelines.feature_tables as tables
from feast import FeatureView, Field
from request_features import departure_time, flight_path, plane_rest

from zeroskew.features.windows.declare import window_plan_of

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
BEGIN, END = "<!-- views: begin -->\n", "<!-- views: end -->\n"
VIEWS = [value for value in vars(feature_views).values() if isinstance(value, FeatureView)]


def render_views() -> str:
    return "\n".join(render_view(view) for view in VIEWS)


def render_view(view: FeatureView) -> str:
    keys = ", ".join(f"`{key}`" for key in view.join_keys)
    lines = [
        f"### `{view.name}`",
        "",
        f"{view.description} Key: {keys}. Time to live: {spell(view.ttl)}. {tell_table(view)}",
        "",
        "| Feature | Type | Unit | Window | Meaning |",
        "|---|---|---|---|---|",
        *(render_feature(field) for field in view.projection.features),
        "",
    ]
    return "\n".join(lines)


def tell_table(view: FeatureView) -> str:
    description = str(view.batch_source.description)
    if window_plan_of(view) is None:
        return description
    return f"Windows over `{Path(view.batch_source.path).name}`."


def render_feature(field: Field) -> str:
    unit, window = (field.tags.get(tag, "") for tag in ("unit", "window"))
    return f"| `{field.name}` | {field.dtype} | {unit} | {window} | {field.description} |"


def spell(ttl: timedelta | None) -> str:
    if not ttl:
        return "none"
    hours = ttl // timedelta(hours=1)
    return f"{hours} h" if hours < 24 else f"{hours // 24} d"


def test_the_tables_are_those_of_the_definitions() -> None:
    page = PAGE.read_text()
    assert page[page.index(BEGIN) + len(BEGIN) : page.index(END)] == "\n" + render_views() + "\n"


def test_the_constants_are_those_of_the_pipelines() -> None:
    page = " ".join(PAGE.read_text().split())
    features = sum(len(view.projection.features) for view in VIEWS)
    assert f"{len(VIEWS)} views with {features} stored features" in page
    computed = sum(len(view.features) for view in (departure_time, flight_path, plane_rest))
    assert f"{computed} features computed when asked for" in page
    assert f"{tables.LEAD_TIME // timedelta(hours=1)} hours before" in page
    assert f"{tables.FLIGHT_LAG // timedelta(minutes=1)} minutes after the event" in page
    assert f"{tables.WEATHER_LAG // timedelta(minutes=1)} minutes after the hour" in page
    assert f"{tables.LATE_MINUTES} minutes or more" in page
    assert tables.REGISTERS_KNOWN_AT.strftime("%Y-%m-%d %H:%M UTC") in page


if __name__ == "__main__":
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{before}{BEGIN}\n{render_views()}\n{after}")
