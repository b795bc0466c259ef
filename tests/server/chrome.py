"""Chromium driven over its DevTools protocol on two pipes (``--remote-debugging-pipe``), with nothing beyond the standard library."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.report.browser import chromium


class Chrome:
    """A browser with one page."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        def take_pipes() -> None:
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        plain = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
        )
        quiet = ("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        self._process = subprocess.Popen(
            [chromium(), *plain, *quiet, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=take_pipes,
            pass_fds=(3, 4, to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._last = 0
        self.session: str | None = None
        self.logged: list[str] = []
        self.asked_for: list[str] = []
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chrome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._last:
                assert "error" not in heard, heard
                found: dict[str, Any] = heard["result"]
                return found

    def run(self, script: str) -> Any:
        """What a script in the page comes to, awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def look(self, width: int, dark: bool) -> None:
        """The page at a width and in a colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 16)
            assert part, "the browser ended"
            self._buffer += part
        one, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(one)
        method, said = heard.get("method"), heard.get("params", {})
        if method == "Log.entryAdded":
            self.logged.append(said["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.logged.append(str(said["exceptionDetails"]))
        elif method == "Network.requestWillBeSent":
            self.asked_for.append(said["request"]["url"])
        return heard
