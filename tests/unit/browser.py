"""A headless Chromium for tests, spoken to through a pipe (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_SECONDS = 60
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# Chromium reads from 3 and writes to 4: whatever has these numbers here must be another.
_ABOVE = 10
_IN_PLACE = "import os, sys; a, b, *c = sys.argv[1:]; os.dup2(int(a), 3); os.dup2(int(b), 4); os.execv(c[0], c)"


@dataclass
class Browser:
    """A page in a window of its own; as a context manager it ends the browser.

    A window cannot be narrower than 500 pixels, so the width is set for the page itself, as for a phone.

    Attributes:
        console: What the page wrote to the console, errors of its script among it.
        requests: Addresses that it asked for, but for data inside the page.
    """

    folder: Path
    width: int
    scheme: Literal["light", "dark"] = "light"
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        here, there = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, _ABOVE) for end in (here[0], there[1])]
        command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={self.folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _IN_PLACE, *map(str, ends), *command],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (*ends, here[0], there[1]):
            os.close(end)
        self._write, self._read = here[1], there[0]
        self._numbers, self._session, self._rest, self._loaded = itertools.count(1), "", b"", False
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        self.media("screen")
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=self.width,
            height=900,
            deviceScaleFactor=1,
            mobile=self.width < 600,
        )
        return self

    def __exit__(self, *_: object) -> None:
        # Asked, it ends its own processes too.
        self._session = ""
        self._ask("Browser.close")
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def open(self, text: str) -> None:
        """Open a page and wait until it is loaded."""
        path = self.folder / "report.html"
        path.write_text(text, encoding="utf-8")
        self.visit(path.as_uri())

    def visit(self, address: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._loaded = False
        self._ask("Page.navigate", url=address)
        end = time.monotonic() + _SECONDS
        while not self._loaded:
            self._hear(end)
        self.requests = [url for url in self.requests if url != address and not url.startswith("data:")]

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Press the mouse at the first point, move it over the others, and let go at the last."""
        for kind, (x, y) in zip(("mousePressed", *["mouseMoved"] * (len(points) - 1)), points, strict=True):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = points[-1]
        self._ask("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def run(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: Literal["Tab", "Enter"]) -> None:
        """Press a key and let it go."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def media(self, kind: Literal["screen", "print"]) -> None:
        """Show the page as on a screen or on paper."""
        scheme = [{"name": "prefers-color-scheme", "value": self.scheme}]
        self._ask("Emulation.setEmulatedMedia", media=kind, features=scheme)

    def paper(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self._ask("Page.printToPDF")["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        whole = message | ({"sessionId": self._session} if self._session else {})
        os.write(self._write, json.dumps(whole).encode() + b"\0")
        end = time.monotonic() + _SECONDS
        while True:
            answer = self._hear(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _hear(self, end: float) -> dict[str, Any]:
        """The next message; what it tells of the page is noted."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"Chromium said nothing for {_SECONDS} s")
            heard = os.read(self._read, 1 << 20)
            if not heard:
                raise AssertionError("Chromium ended")
            self._rest += heard
        first, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        told = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(one.get("value")) for one in told["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(told["exceptionDetails"]["text"])
            case "Log.entryAdded":
                self.console.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
        return message
