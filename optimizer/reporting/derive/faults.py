"""What a loss takes, what the rest carries, how often that is, and how long until it serves again. Sections 5 and 6."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from optimizer.costs.failures import STATES, unavailability
from optimizer.facts.recovery import RecoveryFacts
from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import EXACT, byte, number, share
from optimizer.reporting.subject import Subject
from optimizer.results.placement import Placement
from optimizer.search.common.scale import limit_ns, time_ns
from optimizer.search.uniform.quantities import ObjectiveWeights

MODEL = "docs/model.md, section 5"
MOST_NODES = 400
"""Pairs of nodes are counted one by one up to here."""


@dataclass(frozen=True, slots=True)
class Loss:
    """``cases`` of ``of`` ways to lose these parts take ``instances`` engine instances with them."""

    what: str
    cases: int
    of: int
    instances: int


def losses(placement: Placement, hardware_nodes: int, hardware_gpus: int) -> list[Loss]:
    """Every loss of one and of two GPUs, and of one and of two nodes, by the number of instances it takes."""
    found: list[Loss] = []
    used = [len(instance.gpus) for instance in placement.instances]
    idle = hardware_gpus - sum(used)
    one = Counter({1: sum(used), 0: idle})
    both_in_one = sum(size * (size - 1) // 2 for size in used)
    both_used = sum(used) * (sum(used) - 1) // 2
    two = Counter({0: idle * (idle - 1) // 2, 1: both_in_one + idle * sum(used), 2: both_used - both_in_one})
    for what, counts in (("1 GPU", one), ("2 GPUs", two)):
        found += [Loss(what, counts[k], sum(counts.values()), k) for k in sorted(counts) if counts[k]]
    on_node: dict[str, frozenset[int]] = {}
    for number_, instance in enumerate(placement.instances):
        for node in instance.nodes:
            on_node[node] = on_node.get(node, frozenset()) | {number_}
    empty = hardware_nodes - len(on_node)
    single = Counter(len(held) for held in on_node.values())
    single[0] += empty
    found += [Loss("1 node", single[k], sum(single.values()), k) for k in sorted(single) if single[k]]
    if 2 <= hardware_nodes <= MOST_NODES:
        pairs = Counter(len(a | b) for a, b in combinations(on_node.values(), 2))
        for k, count in Counter(len(held) for held in on_node.values()).items():
            pairs[k] += count * empty
        pairs[0] += empty * (empty - 1) // 2
        found += [Loss("2 nodes", pairs[k], sum(pairs.values()), k) for k in sorted(pairs) if pairs[k]]
    return found


def carries(subject: Subject, lost: int) -> bool:
    """Whether the instances left carry the whole demand within the slots and every latency limit that is on."""
    left = subject.instances - lost
    if left < 1:
        return False
    needs, off = subject.problem.requirements, subject.problem.search.disabled_rules
    load = subject.load_at(subject.problem.workload.requests_per_s / (left * subject.ranks))
    if int(load.n99[0]) > subject.strategy.max_num_seqs or not subject.has_cache(load):
        return False
    for limit in needs.latency_limits:
        field = limit.rule
        if field not in off and int(time_ns(load.metric(field))[0]) > limit_ns(limit.limit_ms, needs.margin):
            return False
    return True


def rate_left(subject: Subject, lost: int) -> Figure:
    """The largest rate that the instances left carry within every limit."""
    all_of_them = subject.metrics.max_request_rate
    left = max(0, subject.instances - lost)
    if not lost:
        return subject.ledger.figure("max_request_rate")
    return subject.ledger.derive(
        f"rate-without-{lost}",
        f"Largest request rate within all limits with {lost} of {subject.instances} instances down",
        "largest rate of all instances × instances left / instances",
        f"{number(all_of_them)} requests/s × {left} / {subject.instances}",
        all_of_them * left / subject.instances,
        "requests/s",
        note="requests are shared evenly, so each replica takes the same largest rate",
        inputs=("max_request_rate",),
    )


def derive_availability(subject: Subject) -> None:
    """Unavailability of the parts, the chance that all instances are up, and the share of requests served."""
    ledger, hardware, rates = subject.ledger, subject.hardware, subject.hardware.failures
    for id, words, mtbf in (("u-gpu", "GPU", rates.gpu_mtbf_hours), ("u-node", "node (host)", rates.node_mtbf_hours)):
        value = unavailability(mtbf, rates.repair_hours)
        ledger.derive(
            id, f"Share of time in which a {words} is down", "repair / (time between failures + repair)",
            f"{number(rates.repair_hours)} h / ({number(mtbf)} h + {number(rates.repair_hours)} h)", value * 100, "%",
            text=f"{value * 100:.3g}%", note=f"{MODEL}; rates and sources: failures.yaml, or stated in hardware.failures",
        )  # fmt: skip
    gpu, node = (unavailability(mtbf, rates.repair_hours) for mtbf in (rates.gpu_mtbf_hours, rates.node_mtbf_hours))
    size, count, per_node = subject.instance_gpus, subject.instances, hardware.gpus_per_node
    whole = size <= per_node and count <= hardware.nodes * (per_node // size)
    if whole:
        nodes = min(count, hardware.nodes)
        text = f"(1 − {number(gpu)}) ^ ({size} × {count}) × (1 − {number(node)}) ^ {nodes}"
        note = f"{MODEL}: {count} instances of {size} GPUs, each inside a node, on {nodes} nodes"
    else:
        spans = size // per_node if size % per_node == 0 else -(-(size - 1) // per_node) + 1
        text = f"((1 − {number(gpu)}) ^ {size} × (1 − {number(node)}) ^ {spans}) ^ {count}"
        note = f"{MODEL}: each of {count} instances of {size} GPUs counts as lying on {spans} nodes"
    up = float(subject.down.probability[0, 0])
    ledger.derive(
        "all-up", "Share of time in which every engine instance is up", "(1 − u_gpu)^GPUs × (1 − u_node)^nodes",
        text, up * 100, "%", text=f"{up:.4%}", note=note, inputs=("u-gpu", "u-node"),
    )  # fmt: skip
    _served(subject)
    _how_often(subject)


def _served(subject: Subject) -> None:
    ledger, down, count = subject.ledger, subject.down, subject.instances
    carried = _carried(subject)
    probability = down.probability[0]
    if not carried[0]:
        ledger.given(
            "availability", "Share of requests served, failures counted", 0.0, "%",
            "the demand is not carried even with every instance up, which counts as nothing served (docs/model.md, section 6)",
            text="0%",
        )  # fmt: skip
        return
    lost = [(j, float(probability[j])) for j in range(1, STATES) if not carried[j] and probability[j]]
    for j, chance in lost:
        ledger.given(
            f"p-{j}", f"Share of time in which exactly {j} of {count} engine instances are down", chance * 100, "%",
            f"{MODEL}: coefficient of the generating function over the nodes", text=f"{chance * 100:.3g}%",
        )  # fmt: skip
    rest = float(down.rest_mean[0])
    parts = [f"{j} × {number(chance, EXACT)}" for j, chance in lost] + ([number(rest)] if rest else [])
    value = subject.metrics.availability
    ledger.derive(
        "availability", "Share of requests served, failures counted",
        "1 − Σ over states that are not carried: instances down × share of time / instances",
        f"1 − ({' + '.join(parts) or '0'}) / {count}", value * 100, "%", text=share(value),
        note="docs/model.md, section 6: a state that the instances left carry loses nothing", inputs=[f"p-{j}" for j, _ in lost],
    )  # fmt: skip


def _carried(subject: Subject) -> list[bool]:
    """Whether the demand is carried with 0…4 instances down; carrying that costs more than shedding is shed."""
    weights, count, carried = ObjectiveWeights.of(subject.problem.objective), subject.instances, []
    normal = float(subject.load.mean_ms[0])
    for j in range(STATES):
        left = count - j
        if left < 1:
            carried.append(False)
            continue
        load = subject.load_at(subject.problem.workload.requests_per_s / (left * subject.ranks))
        fits = int(load.n99[0]) <= subject.strategy.max_num_seqs and subject.has_cache(load)
        shed = left / count * weights.latency * (normal if np.isfinite(normal) else 0.0)
        shed += j / count * weights.unserved * weights.penalty_ms
        carried.append(fits and (j == 0 or float(load.mean_ms[0]) * weights.latency <= shed))
    return carried


def _how_often(subject: Subject) -> None:
    rates, gpus = subject.hardware.failures, subject.strategy.gpus
    placement = subject.placement
    nodes = len(placement.nodes) if placement else 0
    if not nodes:
        return
    per_hour = gpus / rates.gpu_mtbf_hours + nodes / rates.node_mtbf_hours
    subject.ledger.derive(
        "between-failures", "Mean time between failures of a part in use", "1 / (GPUs / GPU MTBF + nodes / node MTBF)",
        f"1 / ({gpus} / {number(rates.gpu_mtbf_hours)} h + {nodes} / {number(rates.node_mtbf_hours)} h)",
        1 / per_hour, "h", text=f"{1 / per_hour / 24:,.0f} days", note=MODEL,
    )  # fmt: skip


def derive_recovery(subject: Subject, facts: RecoveryFacts) -> None:
    """Engine start plus weight loading of one instance, where GPUs are free; repair of the part where none are."""
    ledger, shape = subject.ledger, subject.shape
    memory = subject.analytic.memory()
    parts = [(len(stages), int(memory.weights[0, column])) for column, stages in subject.stage_classes.items()]
    bytes_ = sum(count * weights for count, weights in parts) * shape.tp * subject.ranks
    placement = subject.placement
    spans = max(len(instance.nodes) for instance in placement.instances) if placement else 1
    written = " + ".join(f"{count} × {byte(weights)}" for count, weights in parts)
    ledger.derive(
        "instance-weights", "Weights of one engine instance, all its GPUs", "Σ stages × weights of a GPU × TP × replicas",
        f"({written}) × {shape.tp} × {subject.ranks}", bytes_, "B",
        inputs=[f"weights-s{stages[0]}" for stages in subject.stage_classes.values()],
    )  # fmt: skip
    load_s = bytes_ / spans / (facts.storage_gb_per_s * 1e9)
    ledger.derive(
        "weight-loading", "Reading the weights of one engine instance", "weights / nodes it lies on / storage bandwidth of a node",
        f"{byte(bytes_)} / {spans} / ({number(facts.storage_gb_per_s)} GB/s)", load_s, "s", text=duration(load_s),
        note=f"storage bandwidth: {facts.storage_source}", inputs=("instance-weights",),
    )  # fmt: skip
    whole = facts.engine_start_s + load_s
    ledger.derive(
        "recovery", "Restart of an engine instance on GPUs that are there", "engine start + reading the weights",
        f"{number(facts.engine_start_s)} s + {number(load_s)} s", whole, "s", text=duration(whole),
        note=f"engine start: {facts.engine_start_source}", inputs=("weight-loading",),
    )  # fmt: skip
    repair = subject.hardware.failures.repair_hours
    ledger.derive(
        "repair", "Until the part is repaired and the instance serves again", "mean repair time + restart",
        f"{number(repair)} h + {number(whole)} s", repair + whole / 3600, "h",
        text=duration(repair * 3600 + whole), note="mean repair time: failures.yaml, or stated in hardware.failures.repair_hours",
        inputs=("recovery",),
    )  # fmt: skip


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
