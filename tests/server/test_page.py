"""The page of ``optimizer serve`` in a browser: asked and answered, on a phone and a desk, light and dark."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from optimizer.server.answering import Reply
from optimizer.server.app import application
from tests.report.browser import SCRIPT
from tests.server.chrome import Chrome
from tests.server.here import Here


class Patient(Here):
    """A worker that takes its time over one question, until it is ended."""

    ended = threading.Event()
    began = threading.Event()

    def ask(self, name: str, body: bytes) -> Reply:
        if name != "how-sure":
            return super().ask(name, body)
        self.began.set()
        self.ended.wait(20)
        raise EOFError

    def end(self) -> None:
        if self.began.is_set():
            self.ended.set()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(make=Patient), log_level="warning", ws="none", http="h11")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def chrome(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with Chrome(tmp_path_factory.mktemp("profile")) as found:
        found.call("Page.navigate", url=f"http://127.0.0.1:{port}/")
        until(found, "document.readyState === 'complete' && document.querySelectorAll('datalist').length === 2")
        found.run(
            "document.querySelector('[name=model]').value = 'llama3-8b'; document.querySelector('[name=gpus]').value = 2"
        )
        yield found


def until(chrome: Chrome, condition: str, most_s: float = 60) -> None:
    end = time.monotonic() + most_s
    while not chrome.run(f"Boolean({condition})"):
        assert time.monotonic() < end, chrome.run("document.body.innerText")
        time.sleep(0.05)


def ask(chrome: Chrome, button: str) -> str:
    chrome.run(f"document.querySelector('button[value={button}]').click()")
    until(chrome, "document.body.getAttribute('aria-busy') === 'false' && !document.getElementById('answer').hidden")
    return str(chrome.run("document.getElementById('answer').innerText"))


def test_it_asks_and_shows(chrome: Chrome) -> None:
    assert "proved best" in ask(chrome, "solve")
    assert chrome.run("document.querySelectorAll('#tables tbody tr').length") > 10
    chrome.run("document.querySelector('[name=tp]').value = 1; document.querySelector('[name=pp]').value = 4")
    said = ask(chrome, "check")
    assert "is not feasible" in said and "✗ broken" in said
    assert "What would help" in said and "Looking for" not in said
    chrome.run("document.getElementById('counts').value = '1..2'")
    assert "2 of 2 points" in ask(chrome, "sweep")
    assert chrome.run("document.querySelectorAll('#curve circle').length") == 2
    chrome.run("document.querySelector('[name=model]').value = '<img src=x onerror=alert(1)>'")
    said = ask(chrome, "solve")
    assert said.startswith("model: ") and "<img" in said and chrome.run("document.images.length") == 0
    chrome.run("document.querySelector('[name=model]').value = 'llama3-8b'")
    assert [one for one in chrome.logged if "400" not in one] == []


def test_the_report_stands_in_it(chrome: Chrome) -> None:
    pytest.importorskip("matplotlib")
    ask(chrome, "solve")
    chrome.run("document.getElementById('report').click()")
    until(chrome, "document.body.getAttribute('aria-busy') === 'false'")
    until(chrome, "document.getElementById('pictures').contentDocument?.querySelectorAll('svg').length > 3")
    height = "document.getElementById('pictures').getBoundingClientRect().height"
    until(chrome, f"{height} > 2000")
    assert chrome.run("document.getElementById('pictures').contentDocument.querySelector('script')") is None
    assert [one for one in chrome.logged if "400" not in one] == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_everything_fits_and_can_be_read(chrome: Chrome, width: int, dark: bool) -> None:
    chrome.look(width, dark)
    chrome.run("document.getElementById('as-file').open = true")
    ask(chrome, "sweep") if width == 390 else ask(chrome, "solve")
    measured = (
        "new Promise((done) => addEventListener('message', (event) => done(JSON.parse(event.data)), { once: true }))"
    )
    seen = chrome.run(
        f"(() => {{ const FOLDED = true, said = {measured}; {SCRIPT.read_text()}; dispatchEvent(new Event('load')); return said; }})()"
    )
    assert seen["width"] == width and seen["dark"] == dark
    assert seen["scroll"] <= width and seen["overflow"] == [] and seen["contrast"] == [] and seen["small"] == []
    assert seen["clipped"] == [] and seen["overlaps"] == []
    assert all(one["role"] == "img" and min(one["words"]) > 10 for one in seen["pictures"])


def test_nothing_is_loaded_from_elsewhere(chrome: Chrome, port: int) -> None:
    assert chrome.asked_for
    assert [
        one for one in chrome.asked_for if not one.startswith((f"http://127.0.0.1:{port}/", "data:", "about:"))
    ] == []


def test_who_goes_away_leaves_nothing_running(port: int) -> None:
    client = socket.create_connection(("127.0.0.1", port))
    head = f"POST /api/how-sure HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    client.sendall(head.encode())
    assert Patient.began.wait(10)
    client.close()
    assert Patient.ended.wait(10)


def test_a_long_head_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000)
        client.settimeout(10)
        try:
            said = client.recv(64)
        except ConnectionResetError:
            said = b""
        assert said == b"" or b" 4" in said


def test_the_page_is_as_it_is_packaged() -> None:
    from optimizer.server.app import PAGE

    assert sorted(one.name for one in Path(PAGE).iterdir()) == ["index.html", "page.css", "page.js"]
