"""From step times to percentiles under random arrivals, and how busy a replica is. ``docs/model.md``, section 4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Floats
from optimizer.reporting.derive.decode import derive_round, derive_tpot
from optimizer.reporting.derive.prefill import derive_prefill, derive_prompt_ends
from optimizer.reporting.ledger import EXACT, ms, number
from optimizer.reporting.subject import Subject

MODEL = "docs/model.md, section 4"


@dataclass(frozen=True, slots=True)
class QueueChain:
    """The stationary birth–death chain of requests in progress; None of it where it has no stationary state."""

    idle: float
    mean: float
    c50: int
    c99: float


def chain_of(residence: Floats, rate_per_ms: float) -> QueueChain | None:
    """Its summary at an arrival rate, from the time of a request by number in progress (N,); None: overloaded."""
    slots = len(residence)
    n = np.arange(1, slots + 1)
    growth = rate_per_ms * residence / n
    ratio = float(growth[-1])
    if ratio >= 1:
        return None
    logs = np.concatenate([[0.0], np.cumsum(np.log(growth))])
    weights = np.exp(logs - logs.max())
    tail = float(weights[-1]) * ratio / (1 - ratio)
    whole = float(weights.sum()) + tail
    reached = np.cumsum(weights) / whole
    k = int((reached < 0.99).sum())
    if k > slots:
        return None
    c99 = k - 1 + (0.99 - float(reached[k - 1])) * whole / float(weights[k]) if k else 0.0
    more = float(weights[-1]) * (slots * ratio / (1 - ratio) + ratio / (1 - ratio) ** 2)
    mean = (float((weights[1:] * n).sum()) + more) / whole
    return QueueChain(float(weights[0]) / whole, mean, int((reached < 0.5).sum()), c99)


def derive_load(subject: Subject) -> bool:
    """Every latency percentile, the mean request and the sequences in progress; False where the replica is overloaded."""
    derive_prompt_ends(subject)
    metrics, ledger = subject.metrics, subject.ledger
    slots = subject.strategy.max_num_seqs
    derive_tpot(subject, slots)
    rate = subject.rate_per_replica / 1e3
    work = subject.problem.workload
    ledger.derive(
        "arrival-rate",
        "Requests that arrive at one replica",
        "requests per second / DP",
        f"{number(work.requests_per_s)} requests/s / {subject.strategy.data_parallel}",
        subject.rate_per_replica,
        "requests/s",
        note="workload.requests_per_s; the router shares evenly",
    )
    chain = chain_of(subject.service.residence_ms[0], rate)
    n50, n99 = metrics.concurrency_p50, metrics.concurrency_p99
    if chain is None or n50 is None or n99 is None:
        return False
    _in_progress(subject, chain, n50, n99)
    _queue(subject, n99)
    _latencies(subject, n50, n99)
    _whole(subject, chain)
    return True


def _in_progress(subject: Subject, chain: QueueChain, n50: int, n99: int) -> None:
    ledger = subject.ledger
    method = (
        f"{MODEL}: birth–death chain π_n ∝ π_(n−1) · λ · R(n) / n over 0 to {subject.chain:,} requests at the replica, "
        "R(n) the time of a whole request with n in progress; summed numerically"
    )
    ledger.given("idle", "Share of time in which a replica has no request", chain.idle * 100, "%", method)
    ledger.given("mean-in-progress", "Requests in progress at a replica, mean: E[n]", chain.mean, "", method)
    ledger.given("c50", "Requests in progress at a replica, median: c50", chain.c50, "requests", method)
    ledger.given("c99", "Requests in progress at a replica, 99th percentile, interpolated: c99", chain.c99, "", method)
    ledger.derive(
        "n50", "Sequences in progress that an arriving request sees, itself included, P50", "c50 + 1",
        f"{chain.c50} + 1", n50, "sequences", note=MODEL, inputs=("c50",),
    )  # fmt: skip
    rate, o_sum, o_max = _rate(subject), ms(ledger.value("prompt-sum")), ms(ledger.value("prompt-max"))
    alone = float(subject.service.prompt_sum_ms[0])
    most, c = float(subject.service.prompt_max_ms[0]), float(subject.service.overlap[0])
    value = most + (alone - most) / (1 + 2 * c * subject.rate_per_replica / 1e3 * alone)
    ledger.derive(
        "occupancy", "O: what one prompt keeps the pipeline busy", "O_max + (O_sum − O_max) / (1 + 2 c · λ · O_sum)",
        f"{o_max} + ({o_sum} − {o_max}) / (1 + 2 × {number(c)} × {rate} × {o_sum})", value, "ms", note=MODEL,
        inputs=("prompt-sum", "prompt-max", "arrival-rate"),
    )  # fmt: skip
    busy = subject.rate_per_replica / 1e3 * value
    ledger.derive(
        "prompt-load", "ρ_p: share of time in which a prompt is worked on", "λ · O",
        f"{rate} × {ms(value)}", busy * 100, "%", note=MODEL, inputs=("arrival-rate", "occupancy"),
    )  # fmt: skip
    spread = f"max(0, {number(chain.c99)} − {number(chain.mean)}) / (1 − {number(busy)})"
    ledger.derive(
        "n99", "Sequences in progress that an arriving request sees, itself included, P99",
        "1 + ceil(E[n] + max(0, c99 − E[n]) / (1 − ρ_p))", f"1 + ceil({number(chain.mean)} + {spread})",
        n99, "sequences", note=MODEL, inputs=("mean-in-progress", "c99", "prompt-load"),
    )  # fmt: skip


METRICS = {"prefill": "Prefill", "ttft": "Time to first token", "tpot": "Time per output token"}
MIXED = f"{MODEL}, section 4, mixed lengths: mean, variance and skewness of what requests wait and take"


def _rate(subject: Subject) -> str:
    return f"{number(subject.rate_per_replica)} requests/s"


def _queue(subject: Subject, n99: int) -> None:
    """θ, ρ, the mean wait and the 99th percentile of the wait for the prefill budget."""
    derive_round(subject, n99)
    ledger, service = subject.ledger, subject.service
    occupancy, round99 = ledger.value("occupancy"), ledger.value(f"round-n{n99}")
    fit = max(1, int(service.prompts_per_step))
    hold = occupancy + service.chunks * round99 / fit
    work = subject.problem.workload
    prompt, budget = work.fresh(work.prompt_tokens), subject.problem.search.max_num_batched_tokens
    ledger.derive(
        "hold", "θ: what one prompt keeps the engine", "O + chunks · round(n99) / max(1, floor(token budget / prompt))",
        f"{ms(occupancy)} + {service.chunks} × {ms(round99)} / max(1, floor({number(budget)} / {number(prompt)}))", hold, "ms",
        note=MODEL, inputs=("occupancy", f"round-n{n99}"),
    )  # fmt: skip
    use = subject.rate_per_replica / 1e3 * hold
    ledger.derive("use", "ρ: load of the prefill queue", "λ · θ", f"{_rate(subject)} × {ms(hold)}", use * 100, "%",
                  note=MODEL, inputs=("arrival-rate", "hold"))  # fmt: skip
    mean = hold * use / (2 * (1 - use))
    ledger.derive(
        "mean-wait", "Mean wait for the prefill budget", "θ · ρ / (2 (1 − ρ))",
        f"{ms(hold)} × {number(use)} / (2 × (1 − {number(use)}))", mean, "ms", note=MODEL, inputs=("hold", "use"),
    )  # fmt: skip
    if use > 0.01:
        wait = max(hold * np.log(100 * use) / (2 * (1 - use)), hold * (1 - 1 / (100 * use)))
        u = number(use)
        text = f"max({ms(hold)} × ln(100 × {u}) / (2 × (1 − {u})), {ms(hold)} × (1 − 1 / (100 × {u})))"
    else:
        wait, text = 0.0, ""
    ledger.derive(
        "wait-99", "w: P99 of the wait for the prefill budget",
        "max(θ · ln(100ρ) / (2(1−ρ)), θ · (1 − 1/(100ρ))), 0 where ρ ≤ 1 %", text, float(wait), "ms",
        note=MODEL, inputs=("hold", "use"),
    )  # fmt: skip


def _latencies(subject: Subject, n50: int, n99: int) -> None:
    ledger, metrics, service, work = subject.ledger, subject.metrics, subject.service, subject.problem.workload
    if work.mixed:
        for metric, title in METRICS.items():
            for percentile in (50, 99):
                name = f"{metric}_p{percentile}_ms"
                ledger.given(name, f"{title}, P{percentile}", getattr(metrics, name), "ms", MIXED)
        return
    prompt, longest = work.prompt_tokens, work.longest_prompt_tokens
    base50, base = derive_prefill(subject, prompt, n50), derive_prefill(subject, longest, n99)
    p50, p99 = float(base50.value or 0), float(base.value or 0)
    first, last = f"prefill-m{prompt}-n{n50}", f"prefill-m{longest}-n{n99}"
    wait, mean_wait, use = (ledger.value(name) for name in ("wait-99", "mean-wait", "use"))
    round99, occupancy = ledger.value(f"round-n{n99}"), ledger.value("occupancy")
    _metric(subject, "prefill_p50_ms", "Prefill, P50", "prefill of the mean prompt at n50", ms(p50), [first])
    near = f"min(1, max(0, 100 × {_rate(subject)} × ({ms(round99)} + {ms(occupancy)}) − 1))"
    full = (
        f"(ceil({number(work.fresh(longest))} / {number(subject.problem.search.max_num_batched_tokens)}) + 1) × "
        f"({number(service.prompts_per_step)} × {ms(occupancy)} + {ms(round99)})"
    )
    late = f"max({ms(wait)}, {ms(occupancy)} × {near})" if wait else f"{ms(occupancy)} × {near}"
    _metric(
        subject, "prefill_p99_ms", "Prefill, P99",
        "max(base, min(base + max(w, pair), cap)), base = prefill of the longest prompt at n99",
        f"max({ms(p99)}, min({ms(p99)} + {late}, {full}))", [last, "wait-99", "occupancy", f"round-n{n99}"],
    )  # fmt: skip
    engine = subject.constants.engine(subject.problem.engine, subject.problem.engine_version)
    start = f"{ms(engine.start_ms)} + {number(engine.admit_steps)}"
    if subject.corrected:
        ledger.given(
            "admission-50", "A(n50): start and admission", float(service.admission_ms[0, n50 - 1]), "ms", MODEL
        )
        ledger.given(
            "admission-99", "A(n99): start and admission", float(service.admission_ms[0, n99 - 1]), "ms", MODEL
        )
        begin50 = ms(ledger.value("admission-50"))
        begin99 = f"{ms(ledger.value('admission-99'))} + {ms(round99)} / 2"
        inputs50, inputs99 = ["admission-50"], ["admission-99", f"round-n{n99}"]
    else:
        derive_round(subject, n50)
        begin50 = f"{start} × {ms(ledger.value(f'round-n{n50}'))}"
        begin99 = f"{ms(engine.start_ms)} + ({number(engine.admit_steps)} + 1 / 2) × {ms(round99)}"
        inputs50, inputs99 = [f"round-n{n50}"], [f"round-n{n99}"]
    _metric(
        subject, "ttft_p50_ms", "Time to first token, P50", "start + admission steps × round(n50) + mean wait + prefill P50",
        f"{begin50} + {ms(mean_wait)} + {ms(p50)}", [*inputs50, "mean-wait", first],
    )  # fmt: skip
    queued = f" + (1 + {number(use / 100)}) × {ms(wait)}" if wait else ""
    _metric(
        subject, "ttft_p99_ms", "Time to first token, P99",
        "start + (admission steps + ½) × round(n99) + (1 + ρ) × w + prefill of the longest prompt at n99",
        f"{begin99}{queued} + {ms(p99)}", [*inputs99, "use", "wait-99", last],
    )  # fmt: skip
    for percentile, running in ((50, n50), (99, n99)):
        found = derive_tpot(subject, running)
        name = f"tpot_p{percentile}_ms"
        _metric(subject, name, f"Time per output token, P{percentile}", f"time per output token at n{percentile}",
                ms(float(found.value or 0)), [f"tpot-n{running}", f"n{percentile}"])  # fmt: skip
    assert metrics.ttft_p99_ms is not None


def _metric(subject: Subject, name: str, title: str, formula: str, numbers: str, inputs: list[str]) -> None:
    value = getattr(subject.metrics, name)
    subject.ledger.derive(name, title, formula, numbers, value, "ms", note=MODEL, inputs=inputs)


def _whole(subject: Subject, chain: QueueChain) -> None:
    ledger, mean = subject.ledger, subject.metrics.request_mean_ms
    assert mean is not None
    if subject.problem.workload.mixed:
        ledger.given("request_mean_ms", "A whole request, mean", mean, "ms", MIXED)
    else:
        _mean_request(subject, chain, mean)
    ledger.derive(
        "busy", "Share of time in which a replica works on at least one request", "1 − share without requests",
        f"1 − {number(chain.idle * 100, EXACT)} %", (1 - chain.idle) * 100, "%", note=MODEL, inputs=("idle",),
    )  # fmt: skip


def _mean_request(subject: Subject, chain: QueueChain, mean: float) -> None:
    ledger = subject.ledger
    ledger.derive(
        "request_mean_ms", "A whole request, mean", "E[n] / λ + mean wait (Little's law)",
        f"{number(chain.mean)} requests / ({_rate(subject)}) + {ms(ledger.value('mean-wait'))}", mean, "ms",
        note=MODEL, inputs=("mean-in-progress", "arrival-rate", "mean-wait"),
    )  # fmt: skip
