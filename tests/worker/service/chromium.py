"""A real headless Chromium, driven by its DevTools protocol: pages as a person with a browser has them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BOUND_S = 20.0


class Page:
    """One tab. `said` has what the page said on its console, and its errors."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._numbers = itertools.count(1)
        self.said: list[str] = []
        self.requested: list[str] = []

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its answer; events that come meanwhile are noted."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        await self._socket.send(json.dumps({**message, "sessionId": self._session} if self._session else message))
        async with asyncio.timeout(BOUND_S):
            while True:
                told = json.loads(await self._socket.recv())
                self._note(told)
                if told.get("id") == number:
                    assert "error" not in told, told["error"]
                    return dict(told["result"])

    def _note(self, told: dict[str, Any]) -> None:
        match told.get("method"):
            case "Runtime.exceptionThrown":
                self.said.append(str(told["params"]["exceptionDetails"]))
            case "Log.entryAdded":
                self.said.append(told["params"]["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested.append(told["params"]["request"]["url"])

    async def go(self, url: str, *, script: bool = True) -> None:
        """Open a page, with script or without."""
        await self.do("Emulation.setScriptExecutionDisabled", value=not script)
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def js(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Ask again until it is true."""
        async with asyncio.timeout(BOUND_S):
            while not (found := await self.js(expression)):
                await asyncio.sleep(0.05)
        return found

    async def key(self, key: str, code: str = "", text: str = "", modifiers: int = 0) -> None:
        """Press a key, as a person does."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        more = {"key": key, "code": code or key, "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": modifiers}
        await self.do("Input.dispatchKeyEvent", type="keyDown", text=text, **more)
        await self.do("Input.dispatchKeyEvent", type="keyUp", **more)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.do("Input.insertText", text=text)

    async def picture(self, path: Path, width: int, height: int) -> None:
        """Write what is to be seen as a PNG."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.do("Emulation.setDeviceMetricsOverride", **size)
        path.write_bytes(base64.b64decode((await self.do("Page.captureScreenshot", format="png"))["data"]))


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """Start Chromium with a profile in `folder`, and open a tab."""
    assert PROGRAM is not None
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--mute-audio",
        "--window-size=1280,1000",
    )
    quiet = (
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    )
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *options,
        *quiet,
        "--autoplay-policy=no-user-gesture-required",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with connect(await _address(folder, process), max_size=None) as socket:
            root = Page(socket, "")
            targets = (await root.do("Target.getTargets"))["targetInfos"]
            target = next(one["targetId"] for one in targets if one["type"] == "page")
            session = (await root.do("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
            page = Page(socket, session)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await page.do(f"{domain}.enable")
            yield page
            with contextlib.suppress(Exception):
                await root.do("Browser.close")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _address(folder: Path, process: asyncio.subprocess.Process) -> str:
    """Where its DevTools listen: it writes that down."""
    file = folder / "DevToolsActivePort"
    async with asyncio.timeout(BOUND_S):
        while not (file.exists() and len(lines := file.read_text().split()) >= 2):
            assert process.returncode is None, f"chromium ended with {process.returncode}"
            await asyncio.sleep(0.05)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
