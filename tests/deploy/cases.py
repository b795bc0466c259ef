"""Deployments of many shapes, made from a strategy without solving; and readers of what was written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from optimizer.deployment import Options, launch_files
from optimizer.deployment.chosen import Chosen
from optimizer.deployment.losses import may_lose
from optimizer.deployment.options import resolve_options
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Strategy
from optimizer.results.placement import Placement, place_evenly

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LLAMA = "llama3-70b"
DEEPSEEK = "deepseek-v3"
QWEN = "qwen3-235b-a22b"


def problem(model: str, nodes: int, engine: str = "vllm", gpu: str = "h100-sxm-80gb", **requirements: Any) -> Problem:
    return problem_from_dict(
        {
            "name": f"{model} on {nodes}",
            "engine": engine,
            "hardware": {"gpu": gpu, "nodes": nodes, "gpus_per_node": 8},
            "model": model,
            "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4},
            "requirements": {"max_sequence_tokens": 4096, "gpu_memory_utilization": 0.87, **requirements},
            "search": {"max_num_batched_tokens": 4096},
        }
    )


def strategy(
    model: Problem,
    tp: int,
    pp: int,
    dp: int,
    ep: int = 1,
    n: int = 24,
    weights: str = "",
    kv: str = "",
    split: Any = None,
) -> Strategy:
    layers = model.model.layers
    even = tuple(layers // pp + (stage < layers % pp) for stage in range(pp))
    return Strategy(
        tp, pp, dp, ep, n, split or even, weights or model.model.native_weight_format, kv or model.model.native_dtype
    )


CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "one instance": (LLAMA, 1, {"tp": 8, "pp": 1, "dp": 1}),
    "two instances": (LLAMA, 1, {"tp": 4, "pp": 1, "dp": 2}),
    "uneven layers": (LLAMA, 1, {"tp": 2, "pp": 4, "dp": 1, "split": (19, 21, 21, 19)}),
    "fp8 made on loading": (LLAMA, 1, {"tp": 2, "pp": 1, "dp": 4, "weights": "fp8", "kv": "fp8"}),
    "many nodes, spread": (LLAMA, 3, {"tp": 4, "pp": 1, "dp": 4}),
    "stages on two nodes": (LLAMA, 4, {"tp": 8, "pp": 2, "dp": 2}),
    "four nodes, one instance": (LLAMA, 4, {"tp": 8, "pp": 4, "dp": 1}),
    "experts in each replica": (QWEN, 1, {"tp": 4, "pp": 1, "dp": 2, "ep": 4}),
    "one engine for all replicas": (DEEPSEEK, 2, {"tp": 8, "pp": 1, "dp": 2, "ep": 16}),
    "small replicas, one engine": (DEEPSEEK, 2, {"tp": 2, "pp": 1, "dp": 8, "ep": 16}),
    "two such engines": (DEEPSEEK, 4, {"tp": 4, "pp": 1, "dp": 8, "ep": 16}),
    "one engine, replicas of two stages": (QWEN, 1, {"tp": 2, "pp": 2, "dp": 2, "ep": 4}),
}


def files_of(
    name: str, engine: str, target: str, survive: dict[str, int] | None = None, **options: Any
) -> tuple[dict[str, str], Problem, Strategy]:
    """Files of one of the cases."""
    model, nodes, decisions = CASES[name]
    stated = problem(model, nodes, engine, **({"survive": survive} if survive else {}))
    return (*written(stated, strategy(stated, **decisions), target, **options), strategy(stated, **decisions))


def written(stated: Problem, chosen: Strategy, target: str, **options: Any) -> tuple[dict[str, str], Problem]:
    placement = place_evenly(stated, chosen)
    resolved: Options = resolve_options(stated.model, stated.engine, target, **options)
    lost = may_lose(stated, placement)
    stages = (stated,) * chosen.pipeline_parallel
    return launch_files(placed([stages], placement, may_lose=lost), resolved, "a test"), stated


def placed(
    problems: Sequence[Sequence[Problem]], placement: Placement, *, may_lose: int = 0, name: str = "", said: str = ""
) -> Chosen:
    """What is to be launched, without an answer; ``said`` is a rule that is not kept."""
    stages = tuple(tuple(one) for one in problems)
    broken = (said,) if said else ()
    return Chosen(name or stages[0][0].name, "a strategy", stages, placement, may_lose, "a test", broken)


def commands_in(files: dict[str, str]) -> list[dict[str, Any]]:
    """Every engine process: ``words``, ``environment`` and, where the target says so, ``gpus``."""
    found: list[dict[str, Any]] = []
    for name, text in files.items():
        if name.startswith("start-node") or (name.endswith(".sbatch") and "router" not in name):
            found += _in_script(text)
        if name.endswith(".yaml"):
            for document in yaml.load_all(text, Loader=LOADER):
                found += _in_document(document)
    return found


def _in_script(text: str) -> list[dict[str, Any]]:
    found = []
    for body in re.findall(r"^run_\w+\(\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        body = re.sub(r"^  until .*?^  done\n", "", body, flags=re.MULTILINE | re.DOTALL)
        words = shlex.split(body.replace("\\\n", " "))
        environment = {}
        while words[0] == "export":
            key, value = words[1].split("=", 1)
            environment[key] = value
            words = words[2:]
        assert words.pop(0) == "exec"
        found.append({"words": words, "environment": environment})
    return found


def _in_document(document: dict[str, Any]) -> list[dict[str, Any]]:
    if "services" in document:
        return [
            {"words": one["command"], "environment": one["environment"], "service": one}
            for one in document["services"].values()
            if "command" in one
        ]
    spec = document.get("spec", {})
    template = spec.get("leaderWorkerTemplate", {})
    pods = [template.get("leaderTemplate"), template.get("workerTemplate"), spec.get("template")]
    containers = [one["spec"]["containers"][0] for one in pods if one]
    return [
        {
            "words": one["command"],
            "environment": {e["name"]: e["value"] for e in one["env"] if "value" in e},
            "gpus": int(next(iter(one["resources"]["limits"].values()))),
        }
        for one in containers
        if one["name"] == "engine"
    ]


def value(words: list[str], flag: str) -> str | None:
    return words[words.index(flag) + 1] if flag in words else None
