"""Bytes and time on each link: what a GPU sends, per token, per step, and per second at the demand. Section 3."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.explain.common.numbers import count as counted
from optimizer.reporting.derive.decode import batch_of, terms_of
from optimizer.reporting.derive.links import LinkClass, copies_of_a_token, group_link, hops
from optimizer.reporting.derive.memory import layer_counts
from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import byte, number
from optimizer.reporting.subject import Subject


@dataclass(frozen=True, slots=True)
class Flow:
    """One pattern of communication on one link class."""

    id: str
    title: str
    link: LinkClass
    per_layer: Figure | None
    """One collective or message of a decode step."""
    step: Figure
    """Bytes per decode step, of a GPU (collectives) or a hop (sends)."""
    prompt: Figure
    second: Figure
    step_ms: float
    prompt_ms: float


def derive_traffic(subject: Subject) -> list[Flow]:
    """Every flow there is; none where every GPU works alone."""
    flows = []
    widest = max(subject.stage_classes, key=lambda column: sum(count for _, count in layer_counts(subject, column)))
    if subject.shape.tp > 1:
        flows.append(_collective(subject, widest, exchange=False))
    if subject.ranks > 1:
        flows.append(_collective(subject, widest, exchange=True))
    for _, link in hops(subject):
        flows.append(_send(subject, link))
    return flows


def _collective(subject: Subject, column: int, *, exchange: bool) -> Flow:
    """All-reduce of the TP group, or all-to-all of coupled replicas, at the stage with the most layers."""
    model, shape, arrays = subject.model, subject.shape, subject.analytic.arrays
    here = layer_counts(subject, column)
    if exchange:
        group = int(subject.analytic.table.expert_gpus[0])
        layers = sum(count for k, count in here if arrays.experts[k])
        copies, width = copies_of_a_token(subject)
        share, words = f"{copies} × ({group} − 1) / {group}", "copies of a token × (G − 1)/G"
        factor, term, id = copies * (group - 1) / group, "expert exchange", "exchange"
        title, what = f"expert all-to-all over {group} GPUs", "all-to-alls"
    else:
        group, layers = shape.tp, sum(count for _, count in here)
        share, words = f"2 × ({group} − 1) / {group}", "2 (t − 1)/t (ring)"
        factor, term, id = 2 * (group - 1) / group, "TP all-reduce", "reduce"
        title, what, width = f"TP all-reduce over {group} GPUs", "all-reduces", 2.0
    link, batch, prompt = (
        group_link(subject, group),
        batch_of(subject, subject.running),
        subject.problem.workload.prompt_tokens,
    )
    once = factor * model.hidden_size * width
    ledger = subject.ledger
    formula = f"tokens × hidden size × {width:g} bytes × {words}"
    one = ledger.derive(
        f"{id}-one", f"{title}: bytes that a GPU sends in one, {counted(batch, 'sequence')}", formula,
        f"{batch} × {number(model.hidden_size)} × {number(width)} B × {share}", batch * once, "B", note="docs/model.md, section 3",
    )  # fmt: skip
    step = ledger.derive(
        f"{id}-step", f"{title}: bytes that a GPU sends in a decode step", f"layers × 2 {what} × bytes in one",
        f"{counted(layers, 'layer')} × 2 × {byte(batch * once)}", layers * 2 * batch * once, "B", inputs=(f"{id}-one",),
    )  # fmt: skip
    whole = ledger.derive(
        f"{id}-prompt", f"{title}: bytes that a GPU sends for one prompt", f"layers × 2 {what} × {formula}",
        f"{counted(layers, 'layer')} × 2 × {number(prompt)} × {number(model.hidden_size)} × {number(width)} B × {share}",
        layers * 2 * prompt * once, "B",
    )  # fmt: skip
    second = _per_second(subject, id, title, layers * 2 * once, f"{counted(layers, 'layer')} × 2 × {byte(once)}")
    steps = terms_of(subject, subject.running)[term]
    prefill = subject.analytic.steps.prefill_terms(prompt)[term][0]
    return Flow(id, title, link, one, step, whole, second, float(steps[column]), float(prefill[column]))


def _send(subject: Subject, link: LinkClass) -> Flow:
    """Hidden state and residual from one stage to the next, 16 bit each."""
    ledger, hidden, batch = subject.ledger, subject.model.hidden_size, batch_of(subject, subject.running)
    prompt = subject.problem.workload.prompt_tokens
    id, title = f"send-{link.id}", f"send to the next stage over {link.title}"
    formula = "tokens × hidden size × 2 values × 2 bytes"
    step = ledger.derive(
        f"{id}-step", f"{title}: bytes of a decode step's micro-batch, one hop", formula,
        f"{batch} × {number(hidden)} × 2 × 2 B", batch * hidden * 4, "B", note="docs/model.md, section 3",
    )  # fmt: skip
    whole = ledger.derive(
        f"{id}-prompt", f"{title}: bytes of one prompt, one hop", formula,
        f"{number(prompt)} × {number(hidden)} × 2 × 2 B", prompt * hidden * 4, "B",
    )  # fmt: skip
    second = _per_second(subject, id, title, hidden * 4, f"{number(hidden)} × 2 × 2 B")
    per_ms = link.gb_per_s * 1e6
    times = [tokens * hidden * 4 / per_ms + link.latency_ms for tokens in (batch, prompt)]
    return Flow(id, title, link, None, step, whole, second, times[0], times[1])


def _per_second(subject: Subject, id: str, title: str, per_token: float, written: str) -> Figure:
    work, rate = subject.problem.workload, subject.rate_per_replica
    tokens = work.prompt_tokens + work.output_tokens - 1
    value = rate * tokens * per_token
    return subject.ledger.derive(
        f"{id}-second",
        f"{title}: bytes per second at the demand",
        "requests per second of a replica × (prompt + output − 1) tokens × bytes per token",
        f"{number(rate)} requests/s × ({number(work.prompt_tokens)} + {number(work.output_tokens)} − 1) × ({written})",
        value / 1e9,
        "GB/s",
        text=f"{value / 1e9:,.3g} GB/s",
        inputs=("arrival-rate",),
    )


def derive_utilisation(subject: Subject, link: LinkClass, flows: list[Flow]) -> Figure:
    """Share of a link's bandwidth, one direction, that is used on average at the demand."""
    here = [flow for flow in flows if flow.link.id == link.id]
    per_s = sum(float(flow.second.value or 0) for flow in here)
    per_node = min(subject.hardware.gpus_per_node, subject.strategy.gpus)
    shared = link.id == "network" and any(flow.id in ("reduce", "exchange") for flow in here)
    times = per_node if shared else 1
    written = " + ".join(f"{number(float(flow.second.value or 0))} GB/s" for flow in here)
    return subject.ledger.derive(
        f"utilisation-{link.id}",
        f"{link.title}: share of the bandwidth in use on average at the demand",
        "bytes per second / bandwidth of one direction" + (" (all GPUs of a node share it)" if shared else ""),
        (
            f"{times} × ({written}) / ({number(link.gb_per_s)} GB/s)"
            if shared
            else f"({written}) / ({number(link.gb_per_s)} GB/s)"
        )
        if here
        else f"0 GB/s / ({number(link.gb_per_s)} GB/s)",
        per_s * times / link.gb_per_s * 100,
        "%",
        note="" if here else "nothing crosses it",
        inputs=[f"{flow.id}-second" for flow in here],
    )
