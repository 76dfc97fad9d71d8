"""A browser that is logged in to the UI of the tests' own server, and a stack to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Browser, browser, ensure_chromium
from tests.prefect_lab import PrefectLab


@pytest.fixture(scope="session")
def shop(prefect_lab: PrefectLab) -> str:
    """A compose project of four services, kept by name: its project's name."""
    return prefect_lab.keep("shop")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that has never been here."""
    ensure_chromium()
    with browser(tmp_path_factory.mktemp("chromium")) as window:
        yield window


@pytest.fixture(scope="session")
def page(fresh: Browser, prefect_lab: PrefectLab, shop: str) -> Browser:
    """The same browser, logged in."""
    fresh.open(prefect_lab.url)
    if fresh.wait(lambda: re.search("Login|Deployments", fresh.text()), "page").group() == "Login":
        log_in(fresh, prefect_lab, prefect_lab.home.prefect_auth())
    fresh.says("Dashboard", "Deployments", "Settings")
    return fresh


def log_in(window: Browser, lab: PrefectLab, words: str) -> None:
    """Type the auth string into the UI's one field."""
    window.open(lab.url)
    field = window.one("input[type=password]")
    field.clear()
    field.send_keys(words)
    window.click("button[type=submit]", "Login")
