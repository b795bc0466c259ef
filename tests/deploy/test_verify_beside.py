"""``verify-deployment`` of joint instances beside pools: what either router tells, which part an engine is of, the rate of the whole."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optimizer.deployment import pool_router
from optimizer.deployment.comparison import PlanDifference
from optimizer.deployment.memory import planned_caches
from optimizer.deployment.options import resolve_options
from optimizer.deployment.service import Service, build_service
from optimizer.questions.solve import solve
from optimizer.questions.verify_deployment import findings_of
from optimizer.results.side_by_side import SideBySideAnswer
from tests.command import run
from tests.deploy.beside_cases import beside
from tests.pools.problems import problem_with, values_with
from tests.pools.test_side_by_side import NEAR_SATURATION


@contextmanager
def answering(pages: dict[str, str]) -> Iterator[int]:
    """A server with these pages; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def service_of(case: str) -> Service:
    stated, both, _, _ = beside(case)
    return build_service(both.together, resolve_options(stated.model, "vllm", "shell"), "")


def workers(prefill: int, decode: int, down: int = 0) -> str:
    told = [("prefill", number >= down) for number in range(prefill)] + [("decode", True)] * decode
    return json.dumps({"workers": [{"worker_type": kind, "is_healthy": up} for kind, up in told]})


@pytest.mark.parametrize(("up", "down", "same"), [("3 of 3", 0, True), ("2 of 3", 0, False), ("3 of 3", 1, False)])
def test_both_routers_are_asked(up: str, down: int, same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two joint instances and the pools' router on one node; a joint engine answers, with the cache that joint ones have."""
    service = service_of("one node")
    caches = planned_caches(service)
    info = f'vllm:cache_config_info{{block_size="1",num_gpu_blocks="{caches[0]}"}} 1.0\n'
    model = {"data": [{"id": service.options.model_id, "max_model_len": 4096}]}
    front = {"/router/health": f"{up} engines up\n", "/v1/models": json.dumps(model), "/metrics": info}
    with answering(front) as port, answering({"/workers": workers(2, 1, down)}) as pools:
        monkeypatch.setattr(pool_router, "BESIDE_PORT", pools)
        found = findings_of(service, _Told(), f"127.0.0.1:{port}")
    assert all(one.same is not False for one in found) == same, found
    assert {one.what for one in found} >= {"instances up", "prefill instances up", "decode instances up", "KV cache"}


class _Told:
    """An answer of which nothing but its percentiles is asked."""

    metrics = None


def test_a_router_of_pools_that_stands_elsewhere_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_of("one node")
    model = {"data": [{"id": service.options.model_id, "max_model_len": 4096}]}
    front = {"/router/health": "3 of 3 engines up\n", "/v1/models": json.dumps(model)}
    with answering(front) as port, answering({}) as other:
        monkeypatch.setattr(pool_router, "BESIDE_PORT", other)
        found: list[PlanDifference] = findings_of(service, _Told(), f"127.0.0.1:{port}")
    assert {one.what: one.same for one in found}["prefill instances up"] is None
    assert all(one.same is not False for one in found)


def test_a_load_is_held_against_the_percentiles_and_the_rate_of_both(tmp_path: Path) -> None:
    problem = problem_with(**NEAR_SATURATION)
    answer = solve(problem, repairs=False)
    assert isinstance(answer, SideBySideAnswer)
    path, bench = tmp_path / "p.json", tmp_path / "bench.json"
    path.write_text(json.dumps(values_with(**NEAR_SATURATION)))
    bench.write_text(
        json.dumps({"request_throughput": 23.9, "completed": 500, "median_ttft_ms": answer.metrics.ttft_p50_ms})
    )
    model = {"data": [{"id": "meta-llama/Meta-Llama-3-8B-Instruct"}]}
    front = {"/router/health": "2 of 2 engines up\n", "/v1/models": json.dumps(model)}
    with answering(front) as port:
        shown = run("verify-deployment", f"http://127.0.0.1:{port}", str(path), "--load", str(bench), "--json")
    rows = {one["what"]: one for one in json.loads(shown.stdout)["findings"]}
    assert rows["requests/s completed"] == {
        "where": str(bench), "what": "requests/s completed", "planned": "24", "found": "23.9", "same": True,
    }  # fmt: skip
    assert "(+0% of the prediction)" in rows["time to first token P50"]["found"]
    assert rows["instances up"]["same"] is True
