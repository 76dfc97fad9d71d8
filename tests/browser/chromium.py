"""Debian's Chromium, steered by its driver: fresh, silent, and watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")
PATIENCE = 90.0
DISTURBED = "ERR_NETWORK_CHANGED"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1000",
    "--force-color-profile=srgb",
)
MOVING = [StaleElementReferenceException, ElementClickInterceptedException, ElementNotInteractableException]
"""What happens to an element while the page is still drawing itself."""
Answer = TypeVar("Answer")


def ensure_chromium() -> None:
    """Debian's packages, where they are missing and we may install them."""
    if all(shutil.which(program) for program in PROGRAMS):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip(f"needs {' and '.join(PACKAGES[:2])}: sudo apt-get install {' '.join(PACKAGES)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *words], env=environment, capture_output=True, check=True)


class Browser:
    """One window, with the waiting that a page needs.

    To Chromium a container that starts is a change of the network, at which it drops all that it has under
    way (ERR_NETWORK_CHANGED): a page that suffered so is loaded again.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._requests: dict[str, str] = {}
        self._console: list[str] = []
        self._loaded = 0.0

    def open(self, url: str) -> None:
        """Go to a page."""
        self.driver.get(url)
        self._console.clear()
        self._loaded = time.monotonic()

    def wait(self, found: Callable[[], Answer], what: str, limit: float = PATIENCE) -> Answer:
        """Wait until something is there; the page's text when it never is."""

        def look(_: object) -> Answer | None:
            self._load_again_if_disturbed()
            return found()

        try:
            return WebDriverWait(self.driver, limit, ignored_exceptions=MOVING).until(look)
        except Exception as error:
            said = "\n".join(self._console[-10:])
            place = self.driver.current_url
            raise AssertionError(f"no {what} on {place}:\n{self.text()[:3000]}\n{said}") from error

    def _load_again_if_disturbed(self) -> None:
        self._console += [entry["message"] for entry in self.driver.get_log("browser")]
        disturbed = any(DISTURBED in line for line in self._console) or DISTURBED in self.text()
        if disturbed and time.monotonic() - self._loaded > 8:
            self.open(self.driver.current_url)

    def one(self, css: str, limit: float = PATIENCE) -> WebElement:
        """The first visible element of this kind."""
        return self.wait(lambda: next((e for e in self.all(css) if e.is_displayed()), None), css, limit)

    def all(self, css: str) -> list[WebElement]:
        """All elements of this kind, now."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def says(self, *words: str) -> str:
        """Wait until the page says all these words; its text."""
        self.wait(lambda: all(word in self.text() for word in words), f"words {words}")
        return self.text()

    def text(self) -> str:
        """What a person reads."""
        return str(self.driver.execute_script("return document.body ? document.body.innerText : ''"))

    def click(self, css: str, text: str = "") -> None:
        """Click the first visible element of this kind that says this."""

        def done() -> bool:
            element = next((e for e in self.all(css) if e.is_displayed() and text in e.text), None)
            if element is None:
                return False
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click()
            return True

        self.wait(done, f"{css} {text!r} to click")

    def hosts(self) -> set[str]:
        """Every host and port that the window asked for anything, by the browser's own network log.

        What the page's policy kept the browser from asking is not among them.
        """
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            method, told = event["method"], event["params"]
            if method in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                self._requests[told["requestId"]] = told.get("request", told)["url"]
            elif method == "Network.loadingFailed" and told.get("blockedReason"):
                self._requests.pop(told["requestId"], None)
        places = [urlsplit(url) for url in self._requests.values()]
        return {place.netloc for place in places if place.scheme not in ("data", "blob", "chrome")}

    def settled(self) -> None:
        """Wait until the page has nothing more under way."""
        state = "return document.readyState === 'complete' && performance.getEntriesByType('resource').length"
        last = [-1, 0.0]

        def quiet() -> bool:
            count = self.driver.execute_script(state)
            if count != last[0]:
                last[:] = [count, time.monotonic()]
            return bool(count) and time.monotonic() - last[1] > 0.7

        self.wait(quiet, "end of loading")

    def picture(self, path: Path) -> None:
        """Keep what is seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A fresh Chromium with a profile of its own."""
    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
