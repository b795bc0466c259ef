"""Headless Chromium for tests: what a page measures of itself at a width and in a colour scheme."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "page.js"
SCHEMES = {"dark": 0, "light": 1}
FRAME = """<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"></head><body style="margin:0">
<iframe src="{page}" style="border:0;width:{width}px;height:2000px"></iframe>
<script>
addEventListener("message", (event) => {{
  const out = document.createElement("script");
  out.type = "application/json";
  out.id = "found";
  out.textContent = event.data;
  document.body.append(out);
}});
</script></body></html>"""
"""A window is at least 500 pixels wide; a frame in it may be as narrow as a phone."""


def chromium() -> str:
    """The browser's path; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip("needs Chromium (Debian: apt-get install chromium)")


def command(profile: Path, *more: str) -> list[str]:
    """Chromium without a window, network or state of its own."""
    plain = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--no-first-run",
    )
    offline = ("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND")
    return [chromium(), *plain, *offline, f"--user-data-dir={profile}", "--enable-logging=stderr", *more]


def measure(page: Path, folder: Path, width: int, scheme: str, *, folded: bool = False) -> dict[str, Any]:
    """What the page says of itself, with ``console``: every line of its console; unfolded first, but where ``folded``."""
    copy = folder / f"measured-{width}-{scheme}.html"
    script = f"<script>\nconst FOLDED = {'true' if folded else 'false'};\n{SCRIPT.read_text()}\n</script>"
    copy.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    frame = folder / f"frame-{width}-{scheme}.html"
    frame.write_text(FRAME.format(width=width, page=copy.name))
    options = ("--window-size=1400,2000", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    run = subprocess.run(
        command(folder / "profile", *options, "--virtual-time-budget=20000", "--dump-dom", frame.as_uri()),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r'<script type="application/json" id="found">(.*?)</script>', run.stdout, re.S)
    assert found is not None, run.stderr[-2000:]
    measured: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    measured["console"] = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    return measured
