"""Text, JSON and Markdown of the command, its exit codes, odd input, and the shipped flag lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from optimizer.engines.flags import engine_flags
from tests import command
from tests.audit.problems import PROBLEMS
from tests.command import Ran
from tests.conftest import ROOT

REPORTS = Path(__file__).parent / "reports"
EXAMPLE = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")


def run(*arguments: str) -> Ran:
    return command.run("audit", *arguments)


@pytest.fixture
def problem(tmp_path: Path) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(PROBLEMS["qwen_l40s_note"]))
    return str(path)


def test_json_has_the_promised_fields(problem: str) -> None:
    result = run(str(REPORTS / "qwen_l40s_note.md"), "--problem", problem, "--json")
    assert result.returncode == 1, result.stderr
    data = json.loads(result.stdout)
    assert isinstance(data["unrecognised"], int) and data["unrecognised"] == len(data["unrecognised_lines"])
    for claim in data["claims"]:
        read_as = {"subject", "quantity", "value", "unit", "relation"}
        assert set(claim) == {"line", "text", "verdict", "reason", "stated", "expected"} | read_as
        assert claim["verdict"] in ("confirmed", "refuted", "contradicted", "unsupported")
        assert claim["line"] >= 1 and claim["text"] and claim["reason"].endswith((".", "?"))
    parsed = [claim for claim in data["claims"] if claim["quantity"]]
    assert len(parsed) == len(data["claims"]) > 10 and all(
        claim["subject"] and claim["relation"] in ("=", "≤", "≥", "has", "has not") for claim in parsed
    )
    assert [claim["line"] for claim in data["claims"]] == sorted(claim["line"] for claim in data["claims"])


def test_markdown_keeps_the_report_and_adds_verdicts(problem: str) -> None:
    report = REPORTS / "qwen_l40s_note.md"
    result = run(str(report), "--problem", problem, "--markdown")
    assert result.returncode == 1
    written = result.stdout.splitlines()
    position = 0
    for line in report.read_text().splitlines():
        position = written.index(line, position) + 1
    assert "**refuted**" in result.stdout and "**confirmed**" in result.stdout
    table = next(i for i, line in enumerate(written) if line.startswith("| Check"))
    assert all(line.startswith("|") for line in written[table : table + 6])


def test_text_names_line_and_reason(problem: str) -> None:
    result = run(str(REPORTS / "qwen_l40s_note.md"), "--problem", problem)
    assert "refuted (" in result.stdout and "line   13" in result.stdout and "not recognised" in result.stdout


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        bytes(range(256)) * 20,
        b"x" * 1_000_000,
        b"Dear Anna,\n\nthe weather is fine. 3 apples = lunch.\n",
        b"= = =\n| = |\n" * 50,
    ],
)
def test_odd_input_is_unrecognised_not_an_error(content: bytes, tmp_path: Path) -> None:
    report = tmp_path / "r.md"
    report.write_bytes(content)
    result = run(str(report), "--problem", EXAMPLE, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["claims"] == []


@pytest.mark.parametrize(
    "arguments",
    [("missing.md", "--problem", EXAMPLE), (".", "--problem", EXAMPLE), (EXAMPLE, "--problem", "missing.yaml")],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_nothing_wrong_is_exit_code_0(tmp_path: Path) -> None:
    report = tmp_path / "r.md"
    report.write_text("TP2-PP4-DP1 on 8 GPUs: 2 × 4 × 1 = 8.\n")
    assert run(str(report), "--problem", EXAMPLE).returncode == 0


FIELDS_ONLY = {
    "---radix-eviction-policy-explicitly-set", "---speculative-draft-quantization-explicitly-set",
    "---swa-full-tokens-ratio-explicitly-set", "--aux-hidden-state-capture", "--custom-sigquit-handler",
    "--enable-cp-tp-group-sharing", "--grpc-worker-threads", "--speculative-boundary-reduction", "--stat-loggers",
    "--uses-mamba-radix-cache", "--watermark-context-window", "--watermark-default-enabled", "--watermark-enforce-all",
    "--watermark-key", "--watermark-key-b", "--watermark-max-probability", "--watermark-mixing-probability",
}  # fmt: skip
"""Fields of SGLang's server arguments (callables, states, keys) that its parser takes no flag for: it refuses them."""


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_shipped_flags_are_those_of_the_released_package(engine: str, shared: Path) -> None:
    name = {"vllm": "vllm_serve_flags.json", "sglang": "sglang_launch_flags.json"}[engine]
    released = json.loads((shared / "engines" / name).read_text())
    unknown = {flag for entry in released["flags"] for flag in entry["flags"]} - engine_flags(engine).known
    assert unknown == (FIELDS_ONLY if engine == "sglang" else set())
    assert engine_flags(engine).version == released["version"]
    for entry in released["flags"]:
        if entry.get("choices"):
            assert set(engine_flags(engine).choices[entry["flags"][0]]) == {str(c) for c in entry["choices"]}
