"""Which pictures a report has, and the data that each is drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.explain.common.numbers import count
from optimizer.reporting.curves import FrontRow, SweepPoint
from optimizer.reporting.derive.decode import batch_of, stage_ms
from optimizer.reporting.derive.memory import TERMS
from optimizer.reporting.document import Picture, Report
from optimizer.reporting.limits import limit_bars
from optimizer.reporting.pictures.cluster import cluster_picture
from optimizer.reporting.pictures.curves import front_picture, sweep_picture
from optimizer.reporting.pictures.latency import Panel, latency_picture
from optimizer.reporting.pictures.limits import limits_picture
from optimizer.reporting.pictures.memory import MemoryBar, memory_picture
from optimizer.reporting.pictures.timeline import timeline_picture
from optimizer.reporting.subject import Subject


def pictures_of(
    report: Report, subject: Subject | None, front: Sequence[FrontRow], curve: Sequence[SweepPoint]
) -> dict[str, str]:
    """HTML of every picture that the report has a place for, by id; those without data are left out."""
    places = {block.id: block for section in report.sections for block in section.blocks if isinstance(block, Picture)}
    drawn = {}
    for id, place in places.items():
        found = _one(place, subject, front, curve)
        if found is not None:
            drawn[id] = found
    return drawn


def _one(place: Picture, subject: Subject | None, front: Sequence[FrontRow], curve: Sequence[SweepPoint]) -> str | None:
    words = (place.title, place.alt)
    if place.id == "pareto":
        return front_picture(front, *words)
    if place.id == "sweep":
        return sweep_picture(curve, *words)
    if subject is None:
        return None
    if place.id == "limits":
        return limits_picture(limit_bars(subject), *words)
    if place.id == "cluster":
        return _cluster(subject, *words)
    if place.id == "memory":
        return _memory(subject, *words)
    if place.id == "latency":
        return _latency(subject, *words)
    return _timeline(subject, *words) if place.id == "timeline" else None


def _cluster(subject: Subject, title: str, alt: str) -> str | None:
    if subject.placement is None:
        return None
    nodes = {f"node-{i}": subject.hardware.gpus_per_node for i in range(subject.hardware.nodes)}
    return cluster_picture(subject.placement, nodes, title, alt)


def _memory(subject: Subject, title: str, alt: str) -> str | None:
    parts = subject.answer.breakdown
    if parts is None:
        return None
    bars = [
        MemoryBar(
            subject.stages_named(group), [parts["memory_bytes_by_stage"][group[0]].get(term, 0) for term in TERMS]
        )
        for group in subject.stage_classes.values()
    ]
    budget = int(subject.ledger.value("memory-budget"))
    return memory_picture(bars, TERMS, budget, subject.hardware.gpu.memory_bytes, title, alt)


def _latency(subject: Subject, title: str, alt: str) -> str | None:
    parts = subject.answer.breakdown
    if parts is None:
        return None
    prompt, running = subject.problem.workload.prompt_tokens, parts["sequences_in_progress"]
    panels = [
        Panel(f"One token for each of {count(running, 'sequence')}", list(parts["decode_ms"].items())),
        Panel(f"One prompt of {prompt:,} tokens, compute only", list(parts["prefill_ms"].items())),
    ]
    first = first_token_terms(subject)
    if first:
        panels.append(Panel("Time to first token, P99", first))
    return latency_picture(panels, title, alt)


def first_token_terms(subject: Subject) -> list[tuple[str, float]]:
    """Terms of TTFT P99, ms; they sum to it. Empty where the replica is overloaded, and where lengths are mixed: no sum then."""
    if subject.problem.workload.mixed:
        return []
    ledger, n99, total = subject.ledger, subject.metrics.concurrency_p99, subject.metrics.ttft_p99_ms
    if n99 is None or total is None or "wait-99" not in ledger:
        return []
    longest = subject.problem.workload.longest_prompt_tokens
    prompt = ledger.value(f"prefill-m{longest}-n{n99}")
    queue = (1 + ledger.value("use") / 100) * ledger.value("wait-99")
    named = [("waiting for other prompts", queue), ("the prompt itself", prompt)]
    return [("start and admission", total - prompt - queue), *[(name, value) for name, value in named if value]]


def _timeline(subject: Subject, title: str, alt: str) -> str | None:
    if subject.corrected:
        return None
    running = subject.running
    by_class, steps = stage_ms(subject, running), subject.analytic.steps
    of_stage = subject.analytic.table.class_of_stage[0]
    batch = np.array([[float(batch_of(subject, running))]])
    hops = max(1, subject.shape.pp - 1)
    sends = float(steps.send_ms(batch)[0, 0]) / hops if subject.shape.pp > 1 else 0.0
    turns = min(running, subject.shape.pp)
    whole = float(subject.service.round_ms[0, running - 1])
    return timeline_picture([float(by_class[column]) for column in of_stage], sends, whole, turns, title, alt)
