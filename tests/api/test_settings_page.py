"""Settings are told as they are, and without what is secret in them."""

from pathlib import Path

import pytest

from api.settings import Settings
from api.settings_page import describe_settings, render_markdown, render_text

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_has_every_setting_as_the_code_has_it() -> None:
    assert PAGE.read_text().endswith("\n\n" + render_markdown())


def test_passwords_are_left_out_and_changes_are_marked() -> None:
    urls = {
        "database_url": "postgresql://ann:s3cret@db/zeroskew",
        "online_store": "rediss://:s3cret@store:6379/1",
        "rate_limit_store": "redis://limits",
    }
    text = render_text(Settings.model_validate(urls | {"cors_origins": "https://a.b,https://c.d"}))
    assert "s3cret" not in text
    assert "* ZEROSKEW_DATABASE_URL=postgresql://ann:***@db/zeroskew\n" in text
    assert "* ZEROSKEW_ONLINE_STORE=rediss://:***@store:6379/1\n" in text
    assert "* ZEROSKEW_CORS_ORIGINS=https://a.b,https://c.d\n" in text
    assert "\n  ZEROSKEW_PORT=8000\n" in text


def test_variables_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in describe_settings(Settings()):
        if row.default.isdigit() and row.variable != "ZEROSKEW_SHUTDOWN_GRACE_SEC":
            monkeypatch.setenv(row.variable, "3")
    values = {row.variable: row.value for row in describe_settings(Settings())}
    assert values["ZEROSKEW_MAX_INSTANCES"] == values["ZEROSKEW_PORT"] == "3"
