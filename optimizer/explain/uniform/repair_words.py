"""Repairs in words: what to set, from which value, and what the changed problem's answer is."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.fixed import plain
from optimizer.explain.common.numbers import count, listing
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer, Change

UNITS = {
    "requirements.max_sequence_tokens": "tokens",
    "workload.requests_per_s": "requests/s",
    "workload.concurrency": "users",
    "workload.users.concurrent": "users",
    "requirements.max_batch": "sequences",
    "requirements.min_batch": "sequences",
    "hardware.power_limit_watts": "W",
    "hardware.node_power_limit_watts": "W",
}
MEANING = {
    "requirements.max_sequence_tokens": "the longest prompt plus output",
    "workload.requests_per_s": "the arrival rate",
    "workload.concurrency": "the users at once",
    "workload.users.concurrent": "the users at once",
    "requirements.max_batch": "the most sequences a replica may run at once",
    "requirements.min_batch": "the fewest sequences a replica must be able to run at once",
    "requirements.gpu_memory_utilization": "the share of each GPU's memory that may be used",
    "search.layer_imbalance": "layers by which a stage may differ from an even split",
    "search.expert_parallel": "how far experts may be spread",
    "hardware.power_limit_watts": "the power of all nodes together",
    "hardware.node_power_limit_watts": "the power of each node, so that more of its GPUs may work",
    "search.tensor_parallel": "TP degrees to consider",
    "search.pipeline_parallel": "PP degrees to consider",
    "search.data_parallel": "DP degrees to consider",
    "search.weight_precision": "weight formats to consider",
    "search.kv_precision": "KV cache formats to consider",
    "search.disabled_rules": "TP groups may then span NVLink domains",
    "requirements.survive.gpu": "GPU losses to carry the demand through",
    "requirements.survive.node": "node losses to carry the demand through",
}


def repair_sentence(changes: Sequence[Change], old: Problem, new: Problem, result: Answer) -> str:
    """E.g. ``Set hardware.nodes from 1 to 2 (16 GPUs): TP8·PP2·DP1 then keeps every rule.``"""
    what = listing([change_words(change, new) for change in changes])
    strategy = result.strategy
    assert strategy is not None
    formats = []
    if "search.weight_precision" in {change.field for change in changes}:
        formats.append(f"{strategy.weight_precision} weights")
    if "search.kv_precision" in {change.field for change in changes}:
        formats.append(f"{strategy.kv_precision} KV cache")
    with_formats = f" with {' and '.join(formats)}" if formats else ""
    return f"{what[0].upper()}{what[1:]}: {strategy.label}{with_formats} then keeps every rule."


def change_words(change: Change, new: Problem) -> str:
    """One change as an instruction, with units and what the field means."""
    field, old, value = change.field, change.old, change.new
    if value is None:
        name = field.removeprefix("hardware.")
        return f"remove {field} (now {plain(old)}), so that the new GPU's own {plain(getattr(new.hardware, name, None))} holds"
    meaning = MEANING.get(field, "")
    gpus = count(new.hardware.gpus, "GPU")
    if field == "hardware.nodes":
        meaning = gpus
    elif field == "hardware.gpus_per_node":
        meaning = f"{gpus} in {count(new.hardware.nodes, 'node')}"
    elif field == "hardware.gpu":
        meaning = f"{gpus} of {new.hardware.gpu.process_mib / 1024:,.1f} GiB"
    elif field.startswith("requirements.") and field.endswith("_ms"):
        return f"set {field} from {plain(old)} ms to {plain(value)} ms (a later deadline)"
    unit = f" {UNITS[field]}" if field in UNITS else ""
    origin = "" if old is None or isinstance(old, dict) else f" from {plain(old)}"
    return f"set {field}{origin} to {plain(value)}{unit}" + (f" ({meaning})" if meaning else "")
