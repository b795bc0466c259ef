"""``optimizer serve``: the same JSON and errors as the commands, and nothing for whom it is not meant."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from optimizer.questions.check import check
from optimizer.questions.solve import solve
from optimizer.reading.question import question_from_dict
from optimizer.render.envelope import envelope
from optimizer.results.answer import Fixed
from optimizer.server.app import LARGEST_BODY_BYTES, application
from tests.server.here import SMALL, Here

URL = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(application(make=Here, time_limit_s=30), base_url=URL) as found:
        yield found


def plain(data: Any) -> Any:
    return json.loads(json.dumps(data))


def test_check_and_solve_say_what_the_commands_say(client: TestClient) -> None:
    question = question_from_dict(SMALL)
    said = client.post("/api/check", json={"problem": SMALL, "fixed": {"tp": 1, "pp": 4, "dp": 1}})
    assert said.status_code == 200 and said.headers["optimizer-exit-code"] == "1"
    assert said.json() == plain(envelope(check(question.problem, Fixed(1, 4, 1), stated=question.stated)))
    best = client.post("/api/solve", json={"problem": SMALL, "simulate": False})
    assert best.headers["optimizer-exit-code"] == "0"
    assert best.json() == plain(envelope(solve(question.problem, stated=question.stated)))


def test_a_line_and_a_text_ask_the_same(client: TestClient) -> None:
    line = {"gpu": "h100-sxm-80gb", "gpus": 2, "model": "llama3-8b", "prompt": 512, "output": 128, "rate": 2}
    of_line = client.post("/api/solve", json={"line": line, "simulate": False}).json()
    of_text = client.post("/api/solve", json={"problem": json.dumps(SMALL), "simulate": False}).json()
    assert of_line["strategy"] == of_text["strategy"] and of_line["objective"] == of_text["objective"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("why-not", {"fixed": {"tp": 1, "dp": 1}}),
        ("why-this", {}),
        pytest.param("how-sure", {}, marks=pytest.mark.long),
        ("sweep", {"gpus": "1..2"}),
        ("recommend", {"gpus": "1,2"}),
        ("pareto", {"axes": "latency,gpus"}),
        ("report", {"html": False}),
    ],
)
def test_every_question_is_answered(client: TestClient, name: str, more: dict[str, Any]) -> None:
    said = client.post(f"/api/{name}", json={"problem": SMALL, **more})
    assert said.status_code == 200, said.text
    assert said.headers["optimizer-exit-code"] == "0" and "schema_version" in said.json()


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("solve", {"problem": {**SMALL, "model": "llama3-80b"}}, "model"),
        ("solve", {"problem": {**SMALL, "modle": 1}}, "modle"),
        ("solve", {"problem": "hardware: [1"}, "problem"),
        ("solve", {}, "problem"),
        ("solve", {"problem": SMALL, "simulat": True}, "simulat"),
        ("solve", {"problem": SMALL, "time_limit_s": 31}, "time_limit_s"),
        ("check", {"problem": SMALL, "fixed": {"tp": 0}}, "fixed.tp"),
        ("sweep", {"problem": SMALL, "gpus": "x"}, "gpus"),
        ("sweep", {"problem": SMALL, "gpus": "1..100000"}, "gpus"),
        ("check", {"problem": SMALL, "fixed": {"kv": "int3"}}, "fixed.kv"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(client: TestClient, name: str, body: Any, field: str) -> None:
    said = client.post(f"/api/{name}", json=body)
    assert said.status_code == 400 and said.headers["optimizer-exit-code"] == "2", said.text
    assert said.json()["error"]["field"] == field and said.json()["error"]["message"]


def test_only_json_of_a_bounded_size_is_read(client: TestClient) -> None:
    post = client.post
    assert post("/api/solve", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert post("/api/solve", data={"problem": "x"}).status_code == 415
    json_type = {"content-type": "application/json"}
    assert post("/api/solve", content=b" " * (LARGEST_BODY_BYTES + 1), headers=json_type).status_code == 413
    parts = (b" " * 65_536 for _ in range(20))  # of no stated length
    assert post("/api/solve", content=parts, headers=json_type).status_code == 413
    for bad in (b"", b"[]", b'{"problem": 1, "problem": 2}', b"\xff", b'{"a": NaN}', b"[" * 100_000):
        assert post("/api/solve", content=bad, headers=json_type).status_code == 400


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"host": "localhost:8765"}, False),
        ({"host": "[::1]:8765"}, False),
        ({"host": "evil.example"}, True),
        ({"host": "localhost.evil.example:8765"}, True),
        ({"host": "127.0.0.1.evil.example"}, True),
        ({"host": "127.0.0.1:80@evil.example"}, True),
        ({"host": ""}, True),
        ({"origin": URL}, False),
        ({"origin": "null"}, True),
        ({"origin": "http://localhost:3000"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
    ],
)
def test_requests_of_other_pages_are_refused(client: TestClient, headers: dict[str, str], refused: bool) -> None:
    # An empty problem: whether it is refused as somebody else's comes first.
    said = client.post("/api/solve", json={}, headers=headers)
    assert said.status_code == (403 if refused else 400)
    assert "access-control-allow-origin" not in said.headers


def test_a_name_can_be_allowed() -> None:
    with TestClient(application(make=Here, names=["Tools.Example"]), base_url="http://tools.example") as found:
        assert found.get("/").status_code == 200


def test_the_page_is_closed_to_scripts_and_frames(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in ("/", "/page.js", "/page.css"):
        text = client.get(path).text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
        assert "innerHTML" not in text and "eval(" not in text
    for path in ("/docs", "/redoc", "/page/../app.py", "/..%2fapp.py", "/etc/passwd"):
        assert client.get(path).status_code == 404


def test_lists_are_those_of_the_commands(client: TestClient) -> None:
    assert any(one["name"] == "h100-sxm-80gb" for one in client.get("/api/catalog/gpus").json())
    assert client.get("/api/schema/hardware").json()["type"] == "object"
    assert client.get("/api/template/cluster").json()["text"].startswith("#")
    assert client.get("/api/catalog/..%2f..%2fpyproject").status_code == 404
    assert client.get("/api/schema/x").status_code == 404
    assert "/api/solve" in client.get("/api/openapi.json").json()["paths"]


class Opened:
    """Files that this process opens or looks for; an audit hook cannot be taken away, so it listens only while asked to."""

    listening: list[str] | None = None


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if (
        Opened.listening is not None
        and event in ("open", "os.listdir", "os.scandir")
        and isinstance(arguments[0], str | bytes)
    ):
        Opened.listening.append(str(arguments[0]))


def hostile(path: str) -> Iterator[dict[str, Any]]:
    """Problems that name a file in every way a problem file can."""
    yield {**SMALL, "model": path}
    yield {**SMALL, "model": f"{path}/config.json"}
    yield {**SMALL, "model": {"config": path}}
    yield {**SMALL, "model": {"config": path, "architecture": "like-llama"}}
    yield {**SMALL, "workload": {"trace": path}}
    speculation = {"method": "draft", "draft_model": path, "acceptance": 0.7}
    yield {**SMALL, "workload": {**SMALL["workload"], "speculation": speculation}}
    yield {**SMALL, "hardware": {"gpu": path}}
    yield {**SMALL, "hardware": {"instance_type": path}}
    yield {**SMALL, "engine": path}
    yield {**SMALL, "engine_version": path}
    cluster = [{"name": "a", "gpu": "h100-sxm-80gb", "nodes": 1}]
    rest = {name: SMALL[name] for name in ("workload",)}
    yield {"cluster": cluster, "model": path, **rest}
    yield {"cluster": [{**cluster[0], "gpu": path}], "model": "llama3-8b", **rest}
    yield {"cluster": cluster, "model": "llama3-8b", "workload": {"trace": path}}
    yield {"kind": "chain", "model": path}
    yield {"kind": "chain", "table": path, "nodes": path}


def test_no_file_that_a_request_names_is_touched(client: TestClient, tmp_path: Path) -> None:
    sys.addaudithook(_heard)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "config.json").write_text('{"model_type": "llama", "secret": "hunter2"}')
    there, not_there = str(secret), str(tmp_path / "nothing")
    for spelled in (
        there,
        f"{there}/config.json",
        f"file://{there}",
        f"../../{there}",
        "~/x",
        "C:\\x",
        "/dev/zero",
        "/proc/self/environ",
    ):
        for body in hostile(spelled):
            Opened.listening = []
            said = client.post("/api/solve", json={"problem": body})
            opened, Opened.listening = Opened.listening, None
            assert said.status_code == 400, said.text
            assert "hunter2" not in said.text
            assert not [one for one in opened if spelled in one or "secret" in one or "environ" in one]
    for here, gone in zip(hostile(there), hostile(not_there), strict=True):
        first = client.post("/api/solve", json={"problem": here}).json()["error"]
        second = client.post("/api/solve", json={"problem": gone}).json()["error"]
        assert first["message"].replace(there, "X") == second["message"].replace(not_there, "X"), (
            "tells that a file exists"
        )
    for name in ("model", "workload.trace"):
        key = {name.partition(".")[0]: there if name == "model" else {"trace": there}}
        error = client.post("/api/solve", json={"problem": {**SMALL, **key}}).json()["error"]
        assert error["field"] == name and "reads none" in error["message"]


def test_a_local_question_may_still_name_files(tmp_path: Path) -> None:
    # The switch is a worker's own: the command, and Python, read what a person's file names.
    from optimizer.reading.local_files import are_refused

    assert not are_refused()


def test_a_relative_name_of_this_folder_is_no_model(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    error = client.post("/api/solve", json={"problem": {**SMALL, "model": "mine"}}).json()["error"]
    assert error["field"] == "model" and error["message"].startswith("no model 'mine'")


def test_questions_of_threads_do_not_read_files_either(client: TestClient) -> None:
    seen: list[bool] = []
    from optimizer.reading.local_files import are_refused
    from tests.server.here import refused_here

    with refused_here():
        thread = threading.Thread(target=lambda: seen.append(are_refused()))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/api/nothing", 404, "nothing is here; ask POST /api/NAME, NAME one of solve, check"),
        ("GET", "/api/check", 405, "GET is not for this address; use POST"),
        ("PUT", "/", 405, "PUT is not for this address; use GET"),
    ],
)
def test_an_address_that_is_none_is_refused_in_the_form_of_every_refusal(
    client: TestClient, method: str, path: str, status: int, said: str
) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status and reply.headers["optimizer-exit-code"] == "2"
    assert reply.json()["error"]["message"].startswith(said)


def test_who_goes_away_within_a_body_is_no_defect() -> None:
    from fastapi import Request

    from optimizer.server.app import _body
    from optimizer.server.pool import NoReply

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    head = [(b"content-type", b"application/json"), (b"content-length", b"50")]
    with pytest.raises(NoReply, match="the client went away") as refused:
        asyncio.run(_body(Request({"type": "http", "method": "POST", "headers": head}, gone)))
    assert refused.value.status == 499
