"""Section 7: every rule of a strategy with its limit, what it is compared with, and whether it holds.

Callers work inside ``arithmetic.sixty_digits``.

Other homes: ``search/uniform/shape_rules.py``, ``search/uniform/power_rules.py``,
``search/uniform/load_rules.py``; docs/model.md, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.engines.registry import engine_of
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, exact
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.candidate import CACHE_NOISE_BYTES, Candidate, planned
from optimizer.verify.common.groups import Row
from optimizer.verify.common.kernels import caches_run, slice_findings, weights_run
from optimizer.verify.common.ledger import RELATIVE, THOUSANDTH, TWO_NANOSECONDS
from optimizer.verify.common.power import watts_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule. ``limit`` and ``actual`` are None where only words say it (yes/no rules, overload)."""

    id: str
    holds: bool
    unit: str = ""
    limit: Decimal | None = None
    actual: Decimal | None = None
    at_most: bool = True
    """Whether ``actual`` may not exceed the limit; else it may not stay below."""


def _at_most(rule: str, unit: str, limit: Decimal | int, actual: Decimal | int | None) -> Finding:
    holds = actual is not None and actual <= limit
    return Finding(rule, holds, unit, Decimal(limit), None if actual is None else Decimal(actual))


def _watts(rule: str, limit: float, actual: Fraction) -> Finding:
    return Finding(rule, actual <= exact(limit), "W", decimal(exact(limit)), decimal(actual))


def _at_least(rule: str, unit: str, limit: Decimal | int, actual: Decimal | int) -> Finding:
    return Finding(rule, actual >= limit, unit, Decimal(limit), Decimal(actual), at_most=False)


def row_findings(problem: Problem, row: Row) -> Iterator[Finding]:
    """The rules that neither load nor max_num_seqs decides."""
    model, hardware, group = problem.model, problem.hardware, row.shape.group
    t, ep = group.tensor, group.expert
    yield _at_most("gpu_count", "GPUs", hardware.gpus, row.gpus)
    if hardware.power_limit_watts is not None:
        yield _watts("power_total", hardware.power_limit_watts, watts_of(hardware, hardware.nodes, row.gpus))
    if hardware.node_power_limit_watts is not None:
        fullest = min(row.gpus, hardware.gpus_per_node)
        yield _watts("power_node", hardware.node_power_limit_watts, watts_of(hardware, 1, fullest))
    yield Finding(
        "attention_heads", all(heads % t == 0 for heads in (model.attention_heads, *model.attention_head_counts))
    )
    every = {kind.kv_heads or model.kv_heads for kind in model.kinds}
    yield Finding("kv_heads", model.mla or all(heads % t == 0 or t % heads == 0 for heads in every))
    yield Finding(
        "ffn_width", all(width % t == 0 for width in model.ffn_widths) and _expert_slices(problem, t, ep, group.slicing)
    )
    yield Finding("vocabulary", ceil_ratio(model.vocabulary, 64) * 64 % t == 0)
    yield Finding("experts", model.experts % ep == 0 if model.experts else ep == 1)
    known = engine_of(problem.engine)
    # Some engines spread experts over all GPUs of an instance or over none; some let only replicas of one GPU a stage share them.
    whole = ep % t == 0 and row.replicas % (ep // t) == 0 and (ep == t or t == 1 or known.experts_across == "any")
    inside = t % ep == 0 and known.experts_inside_tp
    cut = group.slicing == 1 or (known.experts_across == "any" and ep == 1 and row.replicas % group.slicing == 0)
    yield Finding("expert_groups", (ep == 1 or inside or whole) and cut and (group.slicing == 1 or model.experts > 0))
    yield Finding("layer_split", evenly_split(problem, row.shape.layers))
    yield Finding("nvlink_locality", tensor_groups_fit(hardware, t, row.shape.stages * row.replicas))
    yield Finding("weight_format", weights_run(problem, group))
    yield Finding("kv_format", caches_run(problem, group))
    yield from (Finding(rule, holds) for rule, holds in slice_findings(problem, group))
    yield _at_most("context", "tokens", model.max_context_tokens, problem.max_sequence_tokens)


def _expert_slices(problem: Problem, t: int, ep: int, slicing: int) -> bool:
    """Routed experts divide into the slices that one GPU holds."""
    if ep == 1:
        return problem.model.expert_ffn_width % (t * slicing) == 0
    return ep >= t or (t % ep == 0 and problem.model.expert_ffn_width % (t // ep) == 0)


def evenly_split(problem: Problem, layers: tuple[int, ...]) -> bool:
    """Layers are shared as evenly as was asked for."""
    each, over = divmod(problem.model.layers, len(layers))
    slack = problem.search.layer_imbalance
    low, high = max(1, each - slack), each + (over > 0) + slack
    return all(low <= count <= high for count in layers) and (slack > 0 or over == 0)


def tensor_groups_fit(hardware: HardwareFacts, t: int, groups: int) -> bool:
    """So many tensor-parallel groups each fit inside one NVLink domain, or inside one node where they are wider than a domain."""
    return groups <= tensor_groups_room(hardware, t)


def tensor_groups_room(hardware: HardwareFacts, t: int) -> int:
    """Tensor-parallel groups of a width for which there is room."""
    node, nodes = hardware.gpus_per_node, hardware.nodes
    if hardware.nvlink_gb_per_s <= 0:
        return nodes * (node // t)
    domain = hardware.nvlink_domain_gpus
    if domain > node:
        return max(1, hardware.gpus // domain) * (domain // t)
    if t > domain:
        return nodes * (node // t)
    return nodes * (node // domain * (domain // t) + node % domain // t)


def findings(candidate: Candidate) -> Iterator[Finding]:
    """Every rule that the problem states, whether switched on or not, in the order of section 7."""
    problem, slots, load = candidate.problem, candidate.slots, candidate.load
    wanted = problem.requirements
    yield from row_findings(problem, candidate.row)
    yield _at_most("memory", "bytes", budget_bytes(problem), max(candidate.needed_bytes))
    if candidate.paged:
        tightest = candidate.tightest_cache(load)
        yield _at_most("kv_cache", "bytes", tightest.room, tightest.wanted)
    blocks = candidate.facts.state_sequences
    if blocks is not None:
        yield _at_most("state_blocks", "sequences", blocks, slots)
    yield _at_most("max_batch", "sequences", problem.max_batch, slots)
    yield _at_least("min_batch", "sequences", wanted.min_batch, slots)
    yield _at_most("concurrency", "sequences", slots, load.n99 if load else None)
    for limit in wanted.latency_limits:
        actual = load.latency(limit) if load else None
        unit = "share of requests" if limit.metric == "goodput" else "ms"
        yield _at_most(limit.rule, unit, planned(wanted, limit.limit_ms), actual)
    if wanted.tpot_p99_ms is not None:
        full = candidate.times.tpot(slots)
        yield _at_most("tpot_full_batch", "ms", planned(wanted, wanted.tpot_p99_ms), full)
    yield _at_least("request_rate", "requests/s", decimal(candidate.demand), candidate.completions()[0])
    for lost, count in (("gpu", wanted.survive.gpu), ("node", wanted.survive.node)):
        if count:
            left = candidate.survivors_load(lost)
            holds = candidate.keeps(left)
            # With enough slots it is a latency limit that breaks; the answer names it in words.
            short = left is not None and (holds or left.n99 > slots)
            actual_n = Decimal(left.n99) if left and short else None
            yield Finding(f"survive_{lost}", holds, "sequences", Decimal(slots), actual_n)


def barely_holds(candidate: Candidate, rule: Finding) -> bool:
    """The rule holds once the noise of 64-bit floats is forgiven."""
    if rule.id.startswith("survive_"):
        return candidate.keeps(candidate.survivors_load(rule.id.removeprefix("survive_")), RELATIVE)
    if rule.id == "kv_cache" and rule.limit is not None and rule.actual is not None:
        return rule.actual <= rule.limit + CACHE_NOISE_BYTES
    if (
        rule.holds
        or rule.limit is None
        or rule.actual is None
        or rule.unit not in ("ms", "requests/s", "share of requests")
    ):
        return rule.holds
    return abs(rule.limit - rule.actual) <= rule.limit * RELATIVE


def clearly_holds(candidate: Candidate, rule: Finding) -> bool:
    """The rule still holds after times are rounded up to nanoseconds and rates down to thousandths."""
    if rule.id.startswith("survive_"):
        return candidate.keeps(candidate.survivors_load(rule.id.removeprefix("survive_")), -TWO_NANOSECONDS)
    if rule.id == "kv_cache" and rule.limit is not None and rule.actual is not None:
        return rule.actual <= rule.limit - CACHE_NOISE_BYTES
    if rule.limit is None or rule.actual is None or rule.unit not in ("ms", "requests/s", "share of requests"):
        return rule.holds
    if rule.unit != "requests/s":
        return rule.actual + TWO_NANOSECONDS <= rule.limit
    return rule.actual * (1 - TWO_NANOSECONDS) // THOUSANDTH * THOUSANDTH >= rule.limit
