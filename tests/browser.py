"""A headless Chromium driven over its devtools protocol, for tests of pages; no driver program is needed."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import websocket

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Page:
    """One browser tab: real mouse, wheel and key events in, the page's state out."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection
        self.count = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.count += 1
        self.connection.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = json.loads(self.connection.recv())
            if message.get("id") == self.count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self.events.append(message)

    def evaluate(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, path: Path, width: int = 1200, height: int = 800) -> None:
        """Open a file that holds a map of papers."""
        self.goto(path.resolve().as_uri(), "!!window.paperMap", width, height)

    def goto(self, url: str, ready: str, width: int = 1200, height: int = 800, seconds: float = 30) -> None:
        """Open an address and wait until it has loaded and the expression `ready` is true."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        self.wait_until(f"document.readyState == 'complete' && ({ready})", seconds)
        self.settle()

    def wait_until(self, expression: str, seconds: float = 30) -> None:
        """Wait until an expression is true in the page; RuntimeError when it is not by then."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise RuntimeError(f"not true within {seconds} s: {expression}; the page said: {self.problems()}")
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait until two frames have been drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float, times: int = 1) -> None:
        self.mouse("mouseMoved", x, y)
        for count in range(1, times + 1):
            self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=count)
            self.mouse("mouseReleased", x, y, button="left", clickCount=count)
        self.settle()

    def drag(self, x: float, y: float, dx: float, dy: float) -> None:
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        for part in (0.3, 0.7, 1.0):
            self.mouse("mouseMoved", x + part * dx, y + part * dy, button="left", buttons=1)
        self.mouse("mouseReleased", x + dx, y + dy, button="left", clickCount=1)
        self.settle()

    def click_on(self, selector: str, text: str | None = None, times: int = 1) -> None:
        """Click the middle of an element, as a reader would; of those with this `text`, if given, once it is there."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        if text is not None:
            found += f".filter(e => e.getClientRects().length && e.textContent.trim() == {json.dumps(text)})"
        self.wait_until(f"{found}.length")
        self.evaluate(f"{found}[0].scrollIntoView({{block: 'nearest'}})")
        x, y = self.evaluate(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found}[0].getBoundingClientRect())")
        self.click(x, y, times)

    def type_into(self, selector: str, text: str) -> None:
        self.click_on(selector)
        self.call("Input.insertText", text=text)
        self.settle()

    def key(self, key: str) -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def screenshot(self, path: Path) -> None:
        """What is in view, as a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def problems(self) -> list[str]:
        """What went wrong in the page so far: exceptions, console errors, violations of its policy."""
        self.evaluate("1")
        bad = [event for event in self.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
        return [json.dumps(event["params"]) for event in bad]

    def requests(self) -> list[str]:
        self.evaluate("1")
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


@contextmanager
def headless_browser(folder: Path) -> Iterator[Page]:
    """A page in a fresh browser whose profile lives in `folder`; skips the test where no Chromium is installed."""
    program = next((found for name in CANDIDATES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium here; on Debian: apt-get install --no-install-recommends chromium")
    options = ["--headless", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium's sandbox refuses to start for root
    process = subprocess.Popen(
        [program, *options, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        connection = websocket.create_connection(_page_address(folder, process), timeout=30, suppress_origin=True)
        yield Page(connection)
        connection.close()
    finally:
        process.terminate()
        process.wait(timeout=20)


def _page_address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    port_file = folder / "DevToolsActivePort"
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the browser ended with status {process.returncode}")
        if port_file.exists() and port_file.read_text().strip():
            port = port_file.read_text().split()[0]
            targets = json.loads(urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10).read())
            pages = [target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page"]
            if pages:
                return str(pages[0])
        time.sleep(0.05)
    raise RuntimeError("the browser did not open its debugging port within 30 s")
