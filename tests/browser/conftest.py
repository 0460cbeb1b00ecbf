"""Chromium on the running system's demo page."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from chatctl.running import Running
from deploy.local.seed import seed
from deploy.local.system import System

ARGUMENTS = [
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
# Chromium itself logs every request that fails. These do on purpose: a send to somebody who blocked, all that
# is tried without a network, and what a session asks for that was just ended.
EXPECTED_ON_CONSOLE = re.compile(
    "Failed to load resource: .* status of 40[13]|.*net::ERR_INTERNET_DISCONNECTED"
)
LIMIT_MS = 60_000

OpenPage = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    executable = shutil.which("chromium")
    assert executable, "Debian's chromium is missing: apt-get install chromium"
    home = str(tmp_path_factory.mktemp("chromium"))  # it leaves files where it finds its home
    environment = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=ARGUMENTS, env={**environment}
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seeded(system: System) -> System:
    """The system with the demo's people and conversations."""
    await seed(Running.of(system.describe()))
    return system


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, seeded: System) -> AsyncIterator[OpenPage]:
    """Opens the demo for two people in a browser of their own; the test fails on whatever the page logs."""
    contexts: list[BrowserContext] = []
    logged: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED_ON_CONSOLE.match(message.text):
            logged.append(f"{message.type}: {message.text}")

    async def open_for(
        left: str, right: str, *, width: int = 1440, height: int = 860, dark: bool = False
    ) -> Page:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(LIMIT_MS)
        page = await context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: logged.append(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: logged.append(f"dialog: {dialog.message}"))
        await page.goto(f"{seeded.edge_url}/demo/#{left}/{right}")
        for side in ("left", "right"):
            live = page.locator(f'.pane[data-side="{side}"] .connection[data-state="live"]')
            await live.wait_for(state="attached")
        return page

    yield open_for
    for context in contexts:
        await context.close()
    assert logged == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page are kept for a person to look at."""
    return tmp_path_factory.mktemp("screenshots")
