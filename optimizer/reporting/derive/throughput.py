"""Tokens per second, what is used of the GPUs' compute, and the idle share of pipeline stages."""

from __future__ import annotations

import numpy as np

from optimizer.costs.memory import memory_budget_bytes
from optimizer.reporting.derive.decode import batch_of, derive_round, derive_tpot, stage_ms
from optimizer.reporting.derive.prefill import derive_prefill, prefill_stage_ms
from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import ms, number, total
from optimizer.reporting.subject import Subject

MODEL = "docs/model.md, section 4"
UNKNOWN = Figure("not known")
"""Another source of costs speaks of whole rounds only, so that stages cannot be told apart."""


def derive_throughput(subject: Subject) -> None:
    """Output tokens per second at the demand and at most, in all and per GPU, and the largest request rate."""
    ledger, work, metrics, strategy = subject.ledger, subject.problem.workload, subject.metrics, subject.strategy
    output = work.output_tokens
    ledger.derive(
        "tokens_per_s", "Output tokens per second at the demand", "requests per second × output tokens",
        f"{number(work.requests_per_s)} requests/s × {output}", metrics.tokens_per_s, "tokens/s",
        note="workload.requests_per_s and workload.output_tokens",
    )  # fmt: skip
    _peak(subject)
    for id, words in (("tokens_per_s", "at the demand"), ("peak_tokens_per_s", "at most")):
        value = ledger.value(id)
        ledger.derive(
            f"{id}-gpu", f"Output tokens per second and GPU, {words}", "tokens per second / GPUs in use",
            f"{number(value)} tokens/s / {strategy.gpus}", value / strategy.gpus, "tokens/s", inputs=(id,),
        )  # fmt: skip
    ledger.given(
        "max_request_rate", "Largest request rate within all limits", metrics.max_request_rate, "requests/s",
        f"{MODEL}: the largest rate, in steps of 0.001 requests/s, at which n99 ≤ max_num_seqs, every stated latency limit "
        "holds and no replica is overloaded; found by subdivision, recomputed by the verifier",
        text=f"{metrics.max_request_rate:,.3f} requests/s",
    )  # fmt: skip
    _compute(subject)


def _peak(subject: Subject) -> None:
    """D · output · X(n_max); X is the most that any number of sequences up to n_max completes that the cache holds."""
    ledger, work, strategy = subject.ledger, subject.problem.workload, subject.strategy
    slots, prompt, output = _slots_held(subject), work.prompt_tokens, work.output_tokens
    if slots == 0:
        ledger.given(
            "peak_tokens_per_s", "Output tokens per second at most", 0, "tokens/s",
            f"{MODEL}: the KV cache holds no request of the workload",
        )  # fmt: skip
        return
    n = np.arange(1, slots + 1)
    best = int(np.argmax(n / subject.service.residence_ms[0, :slots])) + 1
    derive_tpot(subject, best)
    derive_prefill(subject, prompt, best)
    residence, rounds = float(subject.service.residence_ms[0, best - 1]), f"round-n{best}"
    title = f"Time of a whole request with {best} sequences in progress: R({best})"
    if subject.corrected or work.mixed:
        ledger.given(f"residence-n{best}", title, residence, "ms", f"{MODEL}, section {9 if subject.corrected else 3}")
    else:
        engine = subject.constants.engine(subject.problem.engine, subject.problem.engine_version)
        derive_round(subject, best)
        ledger.derive(
            f"residence-n{best}", title, "start + admission steps × round + prefill + (output − 1) × time per output token",
            f"{ms(engine.start_ms)} + {number(engine.admit_steps)} × {ms(ledger.value(rounds))} + "
            f"{ms(ledger.value(f'prefill-m{prompt}-n{best}'))} + ({output} − 1) × {ms(ledger.value(f'tpot-n{best}'))}",
            residence, "ms", note="docs/model.md, section 3", inputs=(rounds, f"prefill-m{prompt}-n{best}", f"tpot-n{best}"),
        )  # fmt: skip
    ledger.derive(
        "peak_tokens_per_s", "Output tokens per second at most",
        "DP × output tokens × X, X = the largest n / R(n) over n up to max_num_seqs and to what the KV cache holds",
        f"{strategy.data_parallel} × {output} tokens × {best} / ({ms(residence)})",
        subject.metrics.peak_tokens_per_s, "tokens/s", note=f"{MODEL}; most at n = {best}", inputs=(f"residence-n{best}",),
    )  # fmt: skip


def _slots_held(subject: Subject) -> int:
    """max_num_seqs, or as many requests in progress as the cache of a replica holds, if those are fewer."""
    problem, slots, memory = subject.problem, subject.strategy.max_num_seqs, subject.analytic.memory()
    if memory.held is None or "kv_cache" in problem.search.disabled_rules:
        return slots
    room = memory_budget_bytes(problem) - memory.base
    return int(memory.held.most(room, problem.requirements.preemption_share, slots)[0])


def _compute(subject: Subject) -> None:
    """The share of the GPUs' peak that useful matrix products use."""
    ledger, work, model, strategy = subject.ledger, subject.problem.workload, subject.model, subject.strategy
    active = sum(model.kinds[k].active_parameters for k in model.kind_of_layer)
    head = model.vocabulary * model.hidden_size
    done = 2 * (work.prompt_tokens + work.output_tokens - 1) * active + 2 * work.output_tokens * head
    ledger.derive(
        "flop-request", "FLOP of the matrix products of one request",
        "2 × (prompt + output − 1) tokens × parameters of the layers that a token passes + 2 × output tokens × output head",
        f"2 FLOP × ({number(work.prompt_tokens)} + {number(work.output_tokens)} − 1) × {number(active)} + "
        f"2 FLOP × {number(work.output_tokens)} × {number(head)}",
        done, "FLOP", text=f"{done / 1e12:,.1f} TFLOP", note="attention scores are not counted",
    )  # fmt: skip
    peak = subject.analytic.arrays.peak16
    share = work.requests_per_s * done / (strategy.gpus * peak)
    ledger.derive(
        "compute-share", "Compute used at the demand, of the 16-bit peak of all GPUs in use",
        "requests per second × FLOP of a request / (GPUs × peak)",
        f"{number(work.requests_per_s)} requests/s × {number(done / 1e12)} TFLOP / "
        f"({strategy.gpus} × {number(peak / 1e12)} TFLOP/s)",
        share * 100, "%", inputs=("flop-request",),
    )  # fmt: skip


def decode_bubble(subject: Subject, running: int) -> Figure:
    """Idle share of the stages in a round: what micro-batches leave free."""
    ledger, shape = subject.ledger, subject.shape
    derive_round(subject, running)
    if subject.corrected:
        return UNKNOWN
    whole = ledger.value(f"round-n{running}")
    by_class = stage_ms(subject, running)
    parts = [
        (len(stages), f"decode-s{stages[0]}-n{running}", column) for column, stages in subject.stage_classes.items()
    ]
    busy = float(sum(count * by_class[column] for count, _, column in parts))
    turns = min(running, shape.pp)
    written = total([f"{count} × {ms(ledger.value(id))}" for count, id, _ in parts])
    return ledger.derive(
        f"bubble-n{running}",
        f"Pipeline bubble of decoding with {running} sequences in progress: idle share of the stages in a round",
        "1 − micro-batches × Σ decode steps of the stages / (PP × round)",
        f"1 − {turns} × ({written}) / ({shape.pp} × {ms(whole)})",
        (1 - turns * busy / (shape.pp * whole)) * 100,
        "%",
        note=f"docs/model.md, section 3: {turns} micro-batches of up to {batch_of(subject, running)} sequences",
        inputs=(*(id for _, id, _ in parts), f"round-n{running}"),
    )


def prefill_bubble(subject: Subject, running: int) -> Figure:
    """Idle share of the stages while the chunks of one prompt pass, no other prompt beside it."""
    ledger, shape = subject.ledger, subject.shape
    tokens = subject.problem.workload.longest_prompt_tokens
    id = f"prefill-bubble-m{tokens}-n{running}"
    derive_prefill(subject, tokens, running)
    if subject.corrected:
        return UNKNOWN
    whole = ledger.value(f"prefill-m{tokens}-n{running}")
    chunks = -(-subject.problem.workload.fresh(tokens) // subject.problem.search.max_num_batched_tokens)
    decode, prompt = stage_ms(subject, running), prefill_stage_ms(subject, tokens)
    busy = float(
        sum(
            len(stages) * (prompt[column] / chunks + decode[column]) for column, stages in subject.stage_classes.items()
        )
    )
    written, inputs = [], []
    for stages in subject.stage_classes.values():
        first, second = f"prefill-s{stages[0]}-m{tokens}", f"decode-s{stages[0]}-n{running}"
        inputs += [first, second]
        written.append(f"{len(stages)} × ({ms(ledger.value(first))} / {chunks} + {ms(ledger.value(second))})")
    return ledger.derive(
        id,
        f"Pipeline bubble of one prompt of {tokens:,} tokens alone, in {chunks} chunk{'s' if chunks > 1 else ''}",
        "1 − chunks × Σ passes of the stages / (PP × prefill)",
        f"1 − {chunks} × ({total(written)}) / ({shape.pp} × {ms(whole)})",
        (1 - chunks * busy / (shape.pp * whole)) * 100,
        "%",
        note="docs/model.md, section 3; other prompts in the pipeline fill part of it",
        inputs=(*inputs, f"prefill-m{tokens}-n{running}"),
    )
