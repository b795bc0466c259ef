"""``optimizer verify-deployment`` against stand-in engines: what agrees, what differs, logs, benchmark results, own requests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optimizer import Fixed, check, load_problem
from optimizer.cli.program import app_of
from optimizer.deployment.observed import read_log
from optimizer.facts.errors import ProblemError
from tests.conftest import ROOT
from tests.deploy.running import STAND_IN, free_ports, get, until

FILE = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")
MODEL = "meta-llama/Meta-Llama-3-70B-Instruct"
DECISIONS = ["--tp", "4", "--pp", "1", "--dp", "2", "--max-num-seqs", "64"]
LOG = """\
(APIServer pid=7) INFO 11-28 19:30:09 [api_utils.py:286] non-default args: {{'model_tag': 'm', 'host': '0.0.0.0', 'port': 8001, \
'model': 'meta-llama/Meta-Llama-3-70B-Instruct', 'dtype': 'float16', 'max_model_len': 8192, 'tensor_parallel_size': 4, \
'gpu_memory_utilization': 0.85, 'max_num_batched_tokens': 8192, 'max_num_seqs': {sequences}}}
(EngineCore pid=9) INFO 11-28 19:31:30 [kv_cache_utils.py:1299] GPU KV cache size: {tokens:,} tokens
"""


@pytest.fixture(scope="module")
def tokens() -> int:
    """What the cache of a replica holds by the plan."""
    answer = check(load_problem(FILE), Fixed(4, 1, 2, max_num_seqs=64))
    assert answer.metrics is not None
    return answer.metrics.kv_cache_tokens


@pytest.fixture(scope="module")
def served(tokens: int) -> Iterator[int]:
    """A stand-in engine as the plan says, its steps quick."""
    (port,) = free_ports(1)
    words = ["--model", MODEL, "--length", "8192", "--step", "0.001", "--cache-tokens", str(tokens)]
    process = subprocess.Popen([sys.executable, "-S", str(STAND_IN), str(port), *words])
    until(lambda: get(port, "/health")[0] == 200)
    yield port
    process.kill()
    process.wait()


def _verify(port: int, *words: str) -> tuple[int, dict[str, dict[str, object]], str]:
    found = CliRunner().invoke(
        app_of(), ["verify-deployment", f"http://127.0.0.1:{port}", FILE, *DECISIONS, *words, "--json"]
    )
    if not isinstance(found.exception, SystemExit | None):
        return 2, {}, str(found.exception)
    rows = json.loads(found.output[found.output.index("{") :])["findings"]
    return found.exit_code, {one["what"]: one for one in rows}, ""


def test_what_is_as_planned_and_what_is_missing(served: int, tokens: int) -> None:
    code, rows, _ = _verify(served)
    assert code == 1  # two instances are planned, and no router says that they are up
    assert rows["instances up"]["same"] is False
    assert rows["model"]["same"] is True and rows["longest sequence"]["same"] is True
    assert rows["KV cache"] == {
        "where": f"http://127.0.0.1:{served}",
        "what": "KV cache",
        "planned": f"{tokens:,} tokens",
        "found": f"{tokens:,} tokens",
        "same": True,
    }
    assert rows["sequences at once"]["same"] is None


def test_each_difference_is_named(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    words = ["--model", "another/model", "--length", "4096", "--cache-tokens", "200000"]
    process = subprocess.Popen([sys.executable, "-S", str(STAND_IN), str(port), *words])
    try:
        until(lambda: get(port, "/health")[0] == 200)
        code, rows, _ = _verify(port)
    finally:
        process.kill()
        process.wait()
    assert code == 1
    assert {what for what, row in rows.items() if row["same"] is False} == {
        "instances up",
        "model",
        "longest sequence",
        "KV cache",
    }


def test_a_start_up_log_tells_sizes_and_sequences(served: int, tmp_path: Path, tokens: int) -> None:
    log = tmp_path / "engine.log"
    log.write_text(LOG.format(tokens=tokens, sequences=64))
    _, rows, _ = _verify(served, "--log", str(log))
    assert all(rows[what]["same"] for what in ("sequences at once", "tensor parallel", "pipeline parallel", "KV cache"))
    log.write_text(LOG.format(tokens=tokens, sequences=256))
    code, rows, _ = _verify(served, "--log", str(log))
    assert code == 1 and rows["sequences at once"]["found"] == "256"
    log.write_text("nothing that is known")
    _, _, said = _verify(served, "--log", str(log))
    assert "--log" in said and "has no line that is known" in said
    with pytest.raises(ProblemError, match="no line that is known"):
        read_log("x", "")


def test_measured_percentiles_stand_beside_the_predicted(served: int, tmp_path: Path) -> None:
    bench = tmp_path / "bench.json"
    measured = {
        "request_throughput": 7.9,
        "median_ttft_ms": 170,
        "p99_ttft_ms": 420,
        "median_tpot_ms": 28,
        "p99_tpot_ms": 130,
    }
    bench.write_text(json.dumps(measured))
    code, rows, _ = _verify(served, "--load", str(bench))
    assert code == 1
    assert rows["requests/s completed"]["same"] is True
    assert rows["time per output token P99"]["same"] is False  # the limit is 100 ms
    assert "limit 100 ms" in str(rows["time per output token P99"]["planned"])
    assert "of the prediction)" in str(rows["time to first token P99"]["found"])
    for text in ("{}", "[]", "no JSON"):
        bench.write_text(text)
        assert "--load" in _verify(served, "--load", str(bench))[2]


def test_own_requests_are_timed(served: int) -> None:
    _, rows, said = _verify(served, "--measure", "6")
    assert said == ""
    assert "ms" in str(rows["time to first token P50"]["found"])
    assert rows["time per output token P99"]["same"] is True
    assert "--measure" in _verify(served, "--measure", "1")[2]


def test_nothing_there_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        code, _, said = _verify(free.getsockname()[1])
    assert code not in (0, 1) and "does not answer" in said
