"""Headless Chromium, with Debian's driver; every name it may know is this machine's."""

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from .certificate import Certificate

APP, SIBLING, ELSEWHERE = "app.example.com", "other.example.com", "elsewhere.example.net"
NAMES = (APP, SIBLING, ELSEWHERE)
PATIENCE = 20.0  # seconds for a page

_RESOLVER = [
    *(f"MAP {name} 127.0.0.1" for name in NAMES),
    "MAP * ~NOTFOUND",
    "EXCLUDE localhost",
    "EXCLUDE 127.0.0.1",
]


def _programs() -> tuple[str, str]:
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in paths.items():
        if path is None:
            if os.environ.get("JWTGUARD_LIVE") == "required":
                pytest.fail(f"{name} is not installed, and JWTGUARD_LIVE=required")
            pytest.skip(f"{name} is not installed")
    return str(paths["chromium"]), str(paths["chromedriver"])


def _options(program: str, certificate: Certificate, *, scripts: bool) -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",  # which root cannot have
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1000,700",
        f"--host-resolver-rules={','.join(_RESOLVER)}",
        f"--ignore-certificate-errors-spki-list={certificate.pin}",
    ):
        options.add_argument(argument)
    if not scripts:
        blocked = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", blocked)
    return options


@contextlib.contextmanager
def chromium(directory: Path, certificate: Certificate, *, scripts: bool) -> Iterator["Browser"]:
    """Run a browser until the block ends.

    Skips with the reason where a program is missing, or fails where it must not be.
    """
    program, driver = _programs()
    service = ChromeService(
        driver,  # selenium would look for one in the network
        log_output=str(directory / "chromedriver.log"),
        popen_kw={"start_new_session": True},
    )
    chrome = None
    try:
        chrome = Chrome(_options(program, certificate, scripts=scripts), service)
        chrome.set_page_load_timeout(PATIENCE)
        yield Browser(chrome, scripts)
    finally:
        if chrome is not None:
            with contextlib.suppress(Exception):
                chrome.quit()
        process = getattr(service, "process", None)
        if process is not None:
            # The session that was begun for it: whatever the browser left behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=5)


class Browser:
    """What a person does with it."""

    def __init__(self, chrome: Chrome, scripts: bool) -> None:
        self.chrome = chrome
        self.scripts = scripts

    @property
    def url(self) -> str:
        return self.chrome.current_url

    @property
    def title(self) -> str:
        return self.chrome.title

    @property
    def source(self) -> str:
        return self.chrome.page_source

    @property
    def text(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "body").text

    def visit(self, url: str) -> None:
        self.chrome.get(url)

    def reload(self) -> None:
        self.chrome.refresh()

    def find(self, css: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, css)

    def follow(self, label: str) -> None:
        """Click the one link or button that says *label*, and wait for the next page."""
        quoted = f"normalize-space()='{label}'"
        found = self.chrome.find_elements(By.XPATH, f"//a[{quoted}] | //button[{quoted}]")
        assert len(found) == 1, f"{len(found)} x {label!r} on {self.url}: {self.text}"
        page = self.find("html")
        found[0].click()
        self.wait(lambda: _is_gone(page) and self._is_loaded())

    def _is_loaded(self) -> bool:
        # The driver's own scripts run where those of pages do not.
        return bool(self.chrome.execute_script("return document.readyState") == "complete")

    def wait(self, what: Callable[[], Any]) -> Any:
        """The first true answer of *what*."""
        waiting = WebDriverWait(self.chrome, PATIENCE, poll_frequency=0.05)
        return waiting.until(lambda _: what(), f"at {self.url}")

    # --- what people can make of a page (WCAG 2.2) ---

    def obstacles(self) -> list[str]:
        """What keeps somebody from reading it or from going on, as far as that can be measured."""
        found = []
        if not self.find("html").get_attribute("lang"):
            found.append("3.1.1 no language")
        if not self.title:
            found.append("2.4.2 no title")
        if len(self.chrome.find_elements(By.CSS_SELECTOR, "main h1")) != 1:
            found.append("1.3.1 no heading")
        if not self.chrome.find_elements(By.CSS_SELECTOR, "main a[href], main button"):
            found.append("3.3.3 nothing to do next")
        for element in self.chrome.find_elements(By.CSS_SELECTOR, "a, button"):
            if not element.accessible_name:
                found.append("4.1.2 nothing to call it by")
        for scheme in ("dark", "light"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            found += [f"1.4.3 {scheme}: {what}" for what in self._faint()]
        narrow = {"width": 320, "height": 600, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
        if int(str(self.find("html").get_property("scrollWidth"))) > 320:
            found.append("1.4.10 wider than 320 pixels")
        self.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        return found

    def _faint(self) -> list[str]:
        """Texts whose contrast is below 4.5."""
        page = self.find("body").value_of_css_property("background-color")
        found = []
        for element in self.chrome.find_elements(By.CSS_SELECTOR, "main :not(:has(*))"):
            own = element.value_of_css_property("background-color")
            ground = page if own.endswith(", 0)") else own
            ratio = _contrast(element.value_of_css_property("color"), ground)
            if ratio < 4.5:
                found.append(f"{element.text!r} {ratio:.1f}")
        return found

    # --- at the provider ---

    def sign_in(self, name: str) -> None:
        """Sign in, and consent where that is asked for."""
        self.find("[name=login]").send_keys(name)
        self.find("[name=password]").send_keys("any")
        self.follow("Sign-in")
        self.consent()

    def consent(self) -> None:
        with contextlib.suppress(NoSuchElementException):
            self.find("[name=prompt][value=consent]")
            self.follow("Continue")

    # --- tabs ---

    @property
    def tab(self) -> str:
        return self.chrome.current_window_handle

    @tab.setter
    def tab(self, handle: str) -> None:
        self.chrome.switch_to.window(handle)

    def new_tab(self) -> str:
        self.chrome.switch_to.new_window("tab")
        return self.tab

    # --- what it keeps ---

    def cookies(self) -> dict[str, dict[str, Any]]:
        """All cookies of all sites, by name."""
        found: Any = self.chrome.execute_cdp_cmd("Storage.getCookies", {})
        return {cookie["name"]: cookie for cookie in found["cookies"]}

    def forget(self) -> None:
        """Be as new: one tab, no cookies."""
        first, *others = self.chrome.window_handles
        for handle in others:
            self.tab = handle
            self.chrome.close()
        self.tab = first
        self.visit("about:blank")
        self.chrome.execute_cdp_cmd("Storage.clearCookies", {})

    def picture(self, path: Path) -> None:
        self.chrome.save_screenshot(str(path))


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except WebDriverException:  # stale, or in the midst of it "does not belong to the document"
        return True
    return False


def _contrast(one: str, other: str) -> float:
    """Of two colours (WCAG 2.2, "contrast ratio")."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
