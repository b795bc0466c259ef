"""A question asked on one line, without a file: the values a problem file would hold, and that file with comments.

``optimizer solve --gpu h100-sxm-80gb --gpus 8 --model llama3-70b --prompt 1155 --output 211 --rate 8 --tpot-p99 50``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.facts.engine_names import NAMED
from optimizer.facts.errors import ProblemError

NEEDED = ("gpu", "model", "prompt", "output", "rate")
LIMITS = {
    "ttft_p50": "ttft_p50_ms",
    "ttft_p99": "ttft_p99_ms",
    "tpot_p50": "tpot_p50_ms",
    "tpot_p99": "tpot_p99_ms",
    "max_sequence": "max_sequence_tokens",
}
COMMENTS = {
    "engine": NAMED,
    "hardware": "what there is; optimizer catalog gpus lists the names, optimizer detect reads a machine",
    "hardware.nodes": "equal nodes; unequal ones are stated as cluster: (optimizer init --kind cluster)",
    "model": "a catalog name (optimizer catalog models), a path to a Hugging Face config.json, or its contents",
    "workload": "means of the requests; tokens",
    "workload.requests_per_s": "all requests together",
    "requirements": "limits that are left out do not exist",
    "requirements.ttft_p50_ms": "time to first token of half of the requests, ms",
    "requirements.ttft_p99_ms": "time to first token of 99 % of the requests, ms",
    "requirements.tpot_p50_ms": "time per output token of half of the requests, ms",
    "requirements.tpot_p99_ms": "time per output token of 99 % of the requests, ms",
    "requirements.max_sequence_tokens": "longest prompt plus output that must be served",
    "objective": "balanced, latency, fault-tolerance, throughput, capacity, fewest-gpus or cheapest",
}


def values_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of the problem file that options ask for.

    Args:
        asked: options by name without dashes; None where one is not set.

    Raises:
        ProblemError: one that a question needs is missing, or the GPUs do not make whole nodes.
    """
    if asked.get("users") is None and asked.get("think") is not None:
        raise ProblemError("--think", "is a pause of users; say how many there are with --users")
    if asked.get("users") is not None and asked.get("rate") is not None:
        raise ProblemError("--users", "stands beside --rate; say one of them: requests/s, or users at once")
    missing = [name for name in NEEDED if asked.get(name) is None and (name != "rate" or asked.get("users") is None)]
    if missing:
        options = ", ".join(f"--{name}" for name in missing)
        raise ProblemError(
            "PROBLEM",
            f"needs a problem file, or {options} beside the options given; "
            "e.g. --gpu h100-sxm-80gb --gpus 8 --model llama3-70b --prompt 1155 --output 211 --rate 8",
        )
    values: dict[str, Any] = {"name": _plain(f"{asked['model']} on {asked['gpu']}")}
    if asked.get("engine") is not None:
        values["engine"] = asked["engine"]
    values["hardware"] = _hardware(str(asked["gpu"]), asked.get("gpus"))
    values["model"] = asked["model"]
    values["workload"] = {
        "prompt_tokens": asked["prompt"],
        "output_tokens": asked["output"],
    }
    if asked.get("users") is None:
        values["workload"]["requests_per_s"] = asked["rate"]
    else:
        values["workload"]["users"] = {"concurrent": asked["users"], "think_time_s": asked.get("think") or 0}
    limits = {field: asked[name] for name, field in LIMITS.items() if asked.get(name) is not None}
    if limits:
        values["requirements"] = limits
    if asked.get("objective") is not None:
        values["objective"] = asked["objective"]
    return values


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _hardware(gpu: str, gpus: int | None) -> dict[str, Any]:
    """Whole nodes of the GPU's usual size; fewer GPUs than one node holds are one smaller node."""
    from optimizer.catalog import lookup as catalog
    from optimizer.catalog.instances import node_fields

    node = node_fields({"gpu": gpu}, "--gpu", host=True)
    each = int(node.get("gpus_per_node") or catalog.gpu(str(node["gpu"]), "--gpu").gpus_per_node)
    if gpus is None:
        return {"gpu": gpu, "nodes": 1}
    if gpus < 1:
        raise ProblemError("--gpus", f"{gpus} is not allowed; a whole number from 1")
    if gpus <= each:
        return {"gpu": gpu, "nodes": 1, "gpus_per_node": gpus}
    if gpus % each:
        raise ProblemError(
            "--gpus",
            f"{gpus} GPUs are not whole nodes of {each}, as {gpu} comes; {gpus // each * each} or {-(-gpus // each) * each} are, "
            "and a problem file states any other nodes",
        )
    return {"gpu": gpu, "nodes": gpus // each}


def commented(values: Mapping[str, Any]) -> str:
    """The problem file as YAML, with what each field means behind it."""
    from optimizer.writing.yaml_text import yaml_text

    lines = ["# A problem of optimizer; docs/problem-file.md names every field."]
    for key, value in values.items():
        text = yaml_text({key: value}, width=10_000).rstrip("\n")
        for number, line in enumerate(text.split("\n")):
            field = key if number == 0 else f"{key}.{line.strip().split(':')[0]}"
            comment = COMMENTS.get(field)
            lines.append(f"{line:<34}  # {comment}" if comment else line)
    return "\n".join(lines) + "\n"
