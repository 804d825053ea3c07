"""The service's pages in a real browser that can reach no other host."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.api.v1.test_predict import EXAMPLE_SCORE
from tests.support.chromium import open_page
from tests.support.service_process import Server

OPERATION = "#operations-arrival_delay-v1_models_arrival_delay_predict"


def test_a_prediction_can_be_tried_on_the_documentation_page(
    browser: Browser, server: Server, screenshots: Path
) -> None:
    with open_page(browser, server.url) as (page, faults):
        page.goto("/docs")
        operation = page.locator(OPERATION)
        operation.get_by_role("button", name="post").first.click()
        page.screenshot(path=screenshots / "docs_operation.png", full_page=True)
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table .response")
        expect(answer.locator(".response-col_status").first).to_contain_text("200")
        body = json.loads(answer.locator("pre.microlight").first.inner_text())
        page.screenshot(path=screenshots / "docs_answer.png", full_page=True)
        assert body["predictions"] == [{"value": EXAMPLE_SCORE}]
        assert faults == []


def test_the_reference_page_shows_every_operation(
    browser: Browser, server: Server, screenshots: Path
) -> None:
    with open_page(browser, server.url) as (page, faults):
        page.goto("/redoc")
        heading = page.get_by_role("heading", name="Score with arrival_delay").first
        expect(heading).to_be_visible()
        page.screenshot(path=screenshots / "redoc.png")
        # ReDoc wants its maker's logo; the page's policy refuses that before anything is sent.
        assert [fault for fault in faults if "redoc/logo-mini.svg' violates" not in fault] == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_landing_page_shows_what_is_served_and_leads_on(
    browser: Browser, server: Server, screenshots: Path, dark: bool
) -> None:
    with open_page(browser, server.url, dark=dark) as (page, faults):
        page.goto("/")
        name = f"landing_{'dark' if dark else 'light'}.png"
        page.screenshot(path=screenshots / name, full_page=True)
        expect(page.get_by_role("heading", name="arrival_delay")).to_be_visible()
        addresses = [link.get_attribute("href") for link in page.locator("a").all()]
        assert {"docs", "redoc", "openapi.json", "v1/models", "readyz"} <= set(addresses)
        for address in addresses:
            page.goto("/")
            with page.expect_navigation() as navigation:
                page.locator(f'a[href="{address}"]').click()
            response = navigation.value
            assert response is not None
            assert response.status == 200, address
        assert faults == []
