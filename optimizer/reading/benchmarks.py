"""Results of serving benchmarks as rows of the measurement file: vLLM, SGLang, GuideLLM, AIPerf, GenAI-Perf, InferenceMAX.

Each tool is told by the names that only its results have. What a result does not say (GPU, precision, layout) has to be
stated by the person; nothing is guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.text import name_of, shown
from optimizer.reading.files import read_text

COLUMNS = (
    "id", "model", "system", "backend", "backend_version", "precision", "kind", "isl", "osl", "concurrency", "request_rate",
    "tp", "pp", "attention_dp", "ep", "gpus", "ttft_ms", "ttft_p50_ms", "ttft_p99_ms", "tpot_ms", "tpot_p50_ms", "tpot_p99_ms",
    "output_tok_s", "protocol", "source",
)  # fmt: skip
NEEDED = ("model", "system", "backend", "isl", "osl", "tp")
LARGEST_BYTES = 64 * 1024 * 1024

Row = dict[str, Any]


def benchmark_rows(path: Path, stated: Mapping[str, Any]) -> list[Row]:
    """Rows of one result file; ``stated`` fills what the file leaves open.

    Raises:
        ProblemError: the file cannot be read, is of no known tool, or leaves open what nobody stated.
    """
    rows: list[Row] = []
    for number, result in enumerate(_results(path)):
        read = next((reader for known, reader in _TOOLS if known(result)), None)
        if read is None:
            raise ProblemError(
                str(path),
                "is no result of vllm bench serve, SGLang bench_serving, GuideLLM, AIPerf, GenAI-Perf or InferenceMAX",
            )
        for row in read(result):
            row |= {name: value for name, value in stated.items() if value is not None}
            row = {name: _cell(row.get(name, ""), name, str(path)) for name in COLUMNS}
            row["id"] = f"{path.stem}-{number}-{len(rows)}"
            row["source"] = path.name
            row["protocol"] = "inferencemax" if read is _inferencemax else "fixed"
            missing = [name for name in NEEDED if row[name] in ("", None)]
            if row["concurrency"] in ("", None) and row["request_rate"] in ("", None):
                missing.append("concurrency")
            if missing:
                flags = ", ".join(f"--{name.replace('backend', 'engine')}" for name in missing)
                raise ProblemError(str(path), f"does not say {', '.join(missing)}; state {flags}")
            rows.append(row)
    return rows


def _cell(value: Any, name: str, path: str) -> Any:
    """A figure or a name, as a result or the person states it.

    Raises:
        ProblemError: a list or mapping, or a name with what cannot be seen in it.
    """
    if value is None or isinstance(value, int | float):
        return value
    try:
        return name_of(value) if value else ""
    except (AttributeError, ValueError) as error:
        said = error if isinstance(error, ValueError) else f"{shown(value)} is no name"
        raise ProblemError(f"{path}: {name}", str(said)) from None


def _results(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON object of a file, those of its list, or those of its lines."""
    text = read_text(path, str(path), largest=LARGEST_BYTES, what="benchmark's summary")
    try:
        whole: Any = _loaded(text)
    except (ValueError, RecursionError):
        try:
            whole = [_loaded(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise ProblemError(str(path), "is neither JSON nor JSON lines in which each name stands once") from None
    found = whole if isinstance(whole, list) else [whole]
    if not found or not all(isinstance(one, dict) for one in found):
        raise ProblemError(str(path), "holds no result: an object, or a list or lines of objects, is needed")
    yield from found


def _loaded(text: str) -> Any:
    """JSON as benchmarks write it, a missing figure as NaN; a name that stands twice in one mapping makes it none."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _number(value: Any, scale: float = 1.0) -> Any:
    """A finite number above zero, else nothing."""
    if isinstance(value, bool):
        return ""
    try:
        number = float(value) * scale
    except (TypeError, ValueError, OverflowError):
        return ""
    return number if math.isfinite(number) and number > 0 else ""


def _whole(value: Any) -> Any:
    number = _number(value)
    return round(number) if number != "" else ""


def _mean_tokens(total: Any, count: Any) -> Any:
    number, of = _number(total), _number(count)
    return max(1, round(number / of)) if number != "" and of != "" else ""


def _serving(result: dict[str, Any], backend: str) -> Row:
    """What vLLM's and SGLang's tools have in common: times in ms, totals of tokens."""
    rate = result.get("request_rate")
    open_loop = _number(rate) != "" and result.get("max_concurrency") in (None, "")
    completed = result.get("completed") or result.get("num_prompts")
    return {
        "backend": backend,
        "kind": "open_loop" if open_loop else "closed_loop",
        "request_rate": _number(rate) if open_loop else "",
        "concurrency": _whole(completed) if open_loop else _whole(result.get("max_concurrency") or completed),
        "isl": _mean_tokens(result.get("total_input_tokens"), completed),
        "osl": _mean_tokens(result.get("total_output_tokens"), completed),
        "ttft_ms": _number(result.get("mean_ttft_ms")),
        "ttft_p50_ms": _number(result.get("median_ttft_ms")),
        "ttft_p99_ms": _number(result.get("p99_ttft_ms")),
        "tpot_ms": _number(result.get("mean_tpot_ms")),
        "tpot_p50_ms": _number(result.get("median_tpot_ms")),
        "tpot_p99_ms": _number(result.get("p99_tpot_ms")),
        "output_tok_s": _number(result.get("output_throughput")),
    }


def _vllm(result: dict[str, Any]) -> list[Row]:
    row = _serving(result, "vllm")
    row["model"] = result.get("model_id", "")
    row["tp"] = _whole(result.get("tensor_parallel_size"))
    return [row]


def _sglang(result: dict[str, Any]) -> list[Row]:
    row = _serving(result, "sglang")
    server = result.get("server_info")
    if isinstance(server, dict):
        row |= {
            "model": server.get("model_path", ""),
            "tp": _whole(server.get("tp_size")),
            "ep": _whole(server.get("ep_size")),
        }
        row |= {"pp": _whole(server.get("pp_size")), "backend_version": server.get("version", "")}
    return [row]


def _inferencemax(result: dict[str, Any]) -> list[Row]:
    """Times in seconds; ``conc`` requests always in progress."""
    gpus = _whole(result.get("tp"))
    coupled = str(result.get("dp_attention", "")).lower() == "true"
    rate = _number(result.get("output_tput_per_gpu"))
    return [
        {
            "model": result.get("model", ""),
            "system": str(result.get("hw", "")).split("-")[0].split("_")[0],
            "backend": result.get("framework", ""),
            "precision": result.get("precision", ""),
            "kind": "closed_loop",
            "concurrency": _whole(result.get("conc")),
            "isl": _whole(result.get("isl")),
            "osl": _whole(result.get("osl")),
            "tp": 1 if coupled else gpus,
            "attention_dp": gpus if coupled else 1,
            "ep": _whole(result.get("ep")),
            "gpus": gpus,
            "ttft_ms": _number(result.get("mean_ttft"), 1e3),
            "ttft_p50_ms": _number(result.get("median_ttft"), 1e3),
            "ttft_p99_ms": _number(result.get("p99_ttft"), 1e3),
            "tpot_ms": _number(result.get("mean_tpot"), 1e3),
            "tpot_p50_ms": _number(result.get("median_tpot"), 1e3),
            "tpot_p99_ms": _number(result.get("p99_tpot"), 1e3),
            "output_tok_s": rate * gpus if rate != "" and gpus != "" else "",
        }
    ]


def _perf(result: dict[str, Any]) -> list[Row]:
    """GenAI-Perf and AIPerf: a record with ``avg`` and percentiles for each metric."""

    def of(metric: str, statistic: str) -> Any:
        found = result.get(metric)
        if not isinstance(found, dict):
            return ""
        scale = {"s": 1e3, "sec": 1e3, "us": 1e-3, "ns": 1e-6}.get(str(found.get("unit", "ms")), 1.0)
        return _number(found.get(statistic), scale if metric.endswith(("token", "latency")) else 1.0)

    said = result.get("input_config")
    config = said if isinstance(said, dict) else {}
    names = _deep(config, "model_names")
    rate = _number(_deep(config, "request_rate"))
    return [
        {
            "model": names[0] if isinstance(names, list) and names else _deep(config, "model") or "",
            "backend": "",
            "kind": "open_loop" if rate != "" else "closed_loop",
            "request_rate": rate,
            "concurrency": _whole(_deep(config, "request_count") if rate != "" else _deep(config, "concurrency")),
            "isl": _whole(of("input_sequence_length", "avg")),
            "osl": _whole(of("output_sequence_length", "avg")),
            "ttft_ms": of("time_to_first_token", "avg"),
            "ttft_p50_ms": of("time_to_first_token", "p50"),
            "ttft_p99_ms": of("time_to_first_token", "p99"),
            "tpot_ms": of("inter_token_latency", "avg"),
            "tpot_p50_ms": of("inter_token_latency", "p50"),
            "tpot_p99_ms": of("inter_token_latency", "p99"),
            "output_tok_s": of("output_token_throughput", "avg"),
        }
    ]


def _guidellm(result: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for benchmark in result["benchmarks"]:
        metrics = benchmark.get("metrics", {}) if isinstance(benchmark, dict) else {}

        def of(metric: str, statistic: str, metrics: Any = metrics) -> Any:
            found = metrics.get(metric, {}) if isinstance(metrics, dict) else {}
            found = found.get("successful", {}) if isinstance(found, dict) else {}
            if statistic.startswith("p"):
                found = found.get("percentiles", {}) if isinstance(found, dict) else {}
            return _number(found.get(statistic)) if isinstance(found, dict) else ""

        strategy = _deep(benchmark, "strategy")
        strategy = strategy if isinstance(strategy, dict) else {}
        kind = str(strategy.get("type_") or strategy.get("type") or "")
        rate = _number(strategy.get("rate"))
        streams = 1 if kind == "synchronous" else _whole(strategy.get("streams") or strategy.get("max_concurrency"))
        rows.append(
            {
                "model": _deep(benchmark, "model") or "",
                "kind": "open_loop" if rate != "" else "closed_loop",
                "request_rate": rate,
                "concurrency": _whole(of("requests_per_second", "total_sum")) if rate != "" else streams,
                "isl": _whole(of("prompt_token_count", "mean")),
                "osl": _whole(of("output_token_count", "mean")),
                "ttft_ms": of("time_to_first_token_ms", "mean"),
                "ttft_p50_ms": of("time_to_first_token_ms", "p50"),
                "ttft_p99_ms": of("time_to_first_token_ms", "p99"),
                "tpot_ms": of("inter_token_latency_ms", "mean"),
                "tpot_p50_ms": of("inter_token_latency_ms", "p50"),
                "tpot_p99_ms": of("inter_token_latency_ms", "p99"),
                "output_tok_s": of("output_tokens_per_second", "mean"),
            }
        )
    return rows


def _deep(values: Any, name: str, depth: int = 6) -> Any:
    """The first value of this name in nested mappings; None where there is none."""
    if not isinstance(values, dict) or depth == 0:
        return None
    if values.get(name) not in (None, ""):
        return values[name]
    for inner in values.values():
        found = _deep(inner, name, depth - 1)
        if found is not None:
            return found
    return None


_TOOLS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], list[Row]]], ...] = (
    (lambda r: "mean_ttft_ms" in r and "model_id" in r, _vllm),
    (lambda r: "mean_ttft_ms" in r, _sglang),
    (lambda r: "conc" in r and "hw" in r, _inferencemax),
    (lambda r: isinstance(r.get("time_to_first_token"), dict), _perf),
    (lambda r: isinstance(r.get("benchmarks"), list), _guidellm),
)
