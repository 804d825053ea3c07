"""Debian's Chromium, steered by Playwright, with no way to any other host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from tests.support.debian_programs import need_program
from tests.support.waiting import PATIENCE_SEC

__all__ = ["need_chromium", "open_browser", "open_browser_that_resolves", "open_page"]

NAMES = ("chromium", "chromium-browser", "google-chrome")


def need_chromium() -> str:
    """Return the path of Chromium, installing Debian's package where root may."""
    return need_program("chromium", NAMES)


@contextmanager
def open_browser(*arguments: str) -> Iterator[Browser]:
    """Yield a headless Chromium that runs until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=need_chromium(),
            args=["--no-sandbox", *arguments],  # Chromium refuses to sandbox what root starts.
        )
        yield browser
        browser.close()


@contextmanager
def open_browser_that_resolves(name: str) -> Iterator[Browser]:
    """Yield a Chromium for which a host's `name` leads here, as its owner may have it."""
    with open_browser(f"--host-resolver-rules=MAP {name} 127.0.0.1") as browser:
        yield browser


@contextmanager
def open_page(
    browser: Browser, url: str, *, dark: bool = False
) -> Iterator[tuple[Page, list[str]]]:
    """Yield a page for the service at `url`, and what it did wrong so far.

    A request to another host is aborted and noted, and so is everything that the page writes
    to its console as an error, such as what its policy refused.
    """
    faults: list[str] = []
    expect.set_options(timeout=PATIENCE_SEC * 1000)
    context = browser.new_context(
        base_url=url,
        color_scheme="dark" if dark else "light",
        viewport={"width": 1200, "height": 900},
    )

    context.set_default_timeout(PATIENCE_SEC * 1000)

    def keep_at_home(route: Route) -> None:
        if urlsplit(route.request.url).netloc == urlsplit(url).netloc:
            route.continue_()
        else:
            faults.append(f"asked for {route.request.url}")
            route.abort()

    context.route("**/*", keep_at_home)
    page = context.new_page()

    def note(line: ConsoleMessage) -> None:
        if line.type == "error":
            faults.append(line.text)

    page.on("console", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page, faults
    context.close()
