"""What a running service says of itself: /v1/models, /metrics, SGLang's /get_server_info, the router's health, start-up logs.

Names that vLLM prints: ``vllm/v1/metrics/loggers.py`` (``vllm:cache_config_info``),
``entrypoints/.../api_utils.py`` (``non-default args``) of the released 0.32.0 package. Tokens that a cache holds, as engines print
them: ``engines/data/printed``.
"""

from __future__ import annotations

import ast
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from optimizer.engines.printed import every_engine
from optimizer.engines.registry import titled
from optimizer.facts.errors import ProblemError
from optimizer.results.place_pools import ROLES

PATIENCE_S = 10
_INFO = re.compile(r"^vllm:cache_config_info\{(.*)\}", re.M)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_KV_ROLE = re.compile(r"kv_role='(\w+)'")
KV_ROLES = {"kv_producer": "prefill", "kv_consumer": "decode"}
"""vLLM's words for the roles: ``vllm/config/kv_transfer.py`` of 0.32.0."""
_OBJECT = re.compile(r"\b[A-Za-z_]\w*\([^()]*\)")
_ARGUMENTS = re.compile(r"non-default args: (\{.*?\})\s*$", re.M)


@dataclass(slots=True)
class Seen:
    """One engine. None: it does not tell."""

    where: str
    model: str | None = None
    max_sequence_tokens: int | None = None
    kv_cache_tokens: int | None = None
    max_num_seqs: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    """``tensor_parallel``, ``pipeline_parallel``, ``data_parallel`` where they are told."""
    role: str | None = None
    """``prefill`` or ``decode``, where it is told."""


def fetch(url: str) -> str | None:
    """The text of a page; None where the server says that there is none.

    Raises:
        ProblemError: no server answers.
    """
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        return error.read().decode("utf-8", "replace") if error.code == 503 else None
    except (OSError, ValueError) as error:
        raise ProblemError("URL", f"{url} does not answer ({error})") from None


def see(base: str) -> Seen:
    """Ask one engine, or whichever a router chooses.

    Raises:
        ProblemError: no server answers, or not as an OpenAI-compatible one.
    """
    seen = Seen(base)
    text = fetch(f"{base}/v1/models")
    try:
        one = json.loads(text or "")["data"][0]
    except (ValueError, LookupError, TypeError):
        raise ProblemError("URL", f"{base}/v1/models does not answer as an OpenAI-compatible server does") from None
    seen.model, seen.max_sequence_tokens = str(one.get("id")), _int(one.get("max_model_len"))
    found = _INFO.search(fetch(f"{base}/metrics") or "")
    if found:
        labels = dict(_LABEL.findall(found[1]))
        blocks, size = _int(labels.get("num_gpu_blocks")), _int(labels.get("block_size"))
        seen.kv_cache_tokens = blocks * size if blocks and size else None
    info = fetch(f"{base}/get_server_info") if not found else None
    if info and info.startswith("{"):
        _of_sglang(seen, json.loads(info))
    return seen


def _of_sglang(seen: Seen, info: dict[str, Any]) -> None:
    seen.max_sequence_tokens = seen.max_sequence_tokens or _int(info.get("context_length"))
    seen.kv_cache_tokens = _int(info.get("max_total_num_tokens"))
    seen.max_num_seqs = _int(info.get("max_running_requests"))
    seen.role = info.get("disaggregation_mode") if info.get("disaggregation_mode") in ROLES else None
    sizes = {"tensor_parallel": _int(info.get("tp_size")), "pipeline_parallel": _int(info.get("pp_size"))}
    seen.sizes = {name: value for name, value in sizes.items() if value}


def read_log(name: str, text: str) -> Seen:
    """What the start-up log of one engine says; of several starts, the last.

    Raises:
        ProblemError: nothing in it is known.
    """
    seen = Seen(name)
    arguments = _ARGUMENTS.findall(text)
    if arguments:
        try:
            stated = ast.literal_eval(_without_objects(arguments[-1]))
        except (ValueError, SyntaxError):
            stated = {}
        role = _KV_ROLE.search(arguments[-1])
        seen.role = KV_ROLES.get(role[1]) if role else None
        seen.model = stated.get("model")
        seen.max_sequence_tokens = _int(stated.get("max_model_len"))
        seen.max_num_seqs = _int(stated.get("max_num_seqs"))
        # An argument at its default is not printed: sizes of one are.
        names = {"tensor_parallel": "tensor_parallel_size", "pipeline_parallel": "pipeline_parallel_size"}
        seen.sizes = {size: _int(stated.get(key)) or 1 for size, key in names.items()}
    patterns = [pattern for engine in every_engine() for pattern in engine.figures.get("kv_tokens", ())]
    cache = next((found for pattern in patterns if (found := pattern.findall(text))), None)
    if cache:
        seen.kv_cache_tokens = int(cache[-1].replace(",", ""))
    if not arguments and not cache:
        raise ProblemError("--log", f"{name} has no line that is known of a start of {titled()}")
    return seen


def _without_objects(text: str) -> str:
    """Printed arguments without the objects among them, such as ``KVTransferConfig(kv_connector=…)``, which are no literals."""
    while (less := _OBJECT.sub("None", text)) != text:
        text = less
    return text


def pools_up(base: str) -> dict[str, tuple[int, int]] | None:
    """(up, all) of each role by the word of the engine's own router (``/workers``); None where no such router stands there."""
    try:
        workers = json.loads(fetch(f"{base}/workers") or "")["workers"]
        told = [(str(one["worker_type"]), bool(one["is_healthy"])) for one in workers]
    except (ValueError, LookupError, TypeError):
        return None
    return {role: (told.count((role, True)), sum(kind == role for kind, _ in told)) for role in ROLES}


def instances_up(base: str) -> tuple[int, int] | None:
    """(up, all) by the word of our router; None where no such router stands there."""
    found = re.match(r"(\d+) of (\d+) engines up", fetch(f"{base}/router/health") or "")
    return (int(found[1]), int(found[2])) if found else None


def _int(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
