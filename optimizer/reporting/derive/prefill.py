"""A prompt through the stages: its own compute, its chunks, and the decodes that share its steps. Section 3."""

from __future__ import annotations

import numpy as np

from optimizer.costs.shapes import Floats
from optimizer.explain.common.numbers import count as counted
from optimizer.reporting.derive.decode import CONSTANTS, MODEL, derive_round, flops, slowdown, stage_wait
from optimizer.reporting.derive.links import all_reduce, all_to_all, exchanged, sends
from optimizer.reporting.derive.memory import layer_counts
from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import ms, number, total
from optimizer.reporting.subject import Subject


def prefill_stage_ms(subject: Subject, tokens: int) -> Floats:
    """Compute of a prompt at a stage of each class, ms."""
    values = subject.analytic.steps.prefill_terms(tokens).values()
    return np.asarray(sum(value[0] for value in values))


def derive_prompt(subject: Subject, tokens: int) -> None:
    """Compute of one prompt at every stage, term by term."""
    if subject.corrected:
        return
    for column, stages in subject.stage_classes.items():
        if f"prefill-s{stages[0]}-m{tokens}" not in subject.ledger:
            _stage(subject, column, stages, tokens)


def derive_prompt_ends(subject: Subject) -> None:
    """O_sum and O_max: the mean prompt through all stages, and at the slowest."""
    ledger, service = subject.ledger, subject.service
    tokens = subject.problem.workload.prompt_tokens
    o_sum, o_max = float(service.prompt_sum_ms[0]), float(service.prompt_max_ms[0])
    mixed = subject.problem.workload.mixed
    if subject.corrected or mixed:
        note = f"Costs: {subject.problem.cost_source}; docs/model.md, section {3 if mixed else 9}"
        ledger.given("prompt-sum", "O_sum: one mean prompt through all stages", o_sum, "ms", note)
        ledger.given("prompt-max", "O_max: one mean prompt at the slowest stage", o_max, "ms", note)
        return
    derive_prompt(subject, tokens)
    parts = [(len(stages), f"prefill-s{stages[0]}-m{tokens}") for stages in subject.stage_classes.values()]
    ids = [part for _, part in parts]
    ledger.derive(
        "prompt-sum",
        f"O_sum: one prompt of {tokens:,} tokens through all stages, compute only",
        "the sum over the stages",
        total([f"{counted(count, 'stage')} × {ms(ledger.value(part))}" for count, part in parts]),
        o_sum,
        "ms",
        note=MODEL,
        inputs=ids,
    )
    ledger.derive(
        "prompt-max",
        f"O_max: one prompt of {tokens:,} tokens at the slowest stage, compute only",
        "the largest over the stages"
        + (", where unequal micro-batches wait for each other" if subject.shape.pp > 1 else ""),
        f"max({', '.join(ms(ledger.value(part)) for part in ids)}){stage_wait(subject)}",
        o_max,
        "ms",
        note=MODEL,
        inputs=ids,
    )


def derive_prefill(subject: Subject, tokens: int, running: int) -> Figure:
    """Prompt scheduled to prompt done, with so many sequences in progress."""
    id = f"prefill-m{tokens}-n{running}"
    if id in subject.ledger:
        return subject.ledger.figure(id)
    ledger, workload = subject.ledger, subject.problem.workload
    table = subject.service.prefill_ms if tokens == workload.prompt_tokens else subject.service.prefill_long_ms
    value = float(table[0, running - 1])
    title = f"Prefill of a prompt of {tokens:,} tokens with {running} sequences in progress"
    if subject.corrected:
        note = f"Costs: {subject.problem.cost_source}; factors on the analytic model's time, docs/model.md, section 9"
        return ledger.given(id, title, value, "ms", note)
    derive_prompt(subject, tokens)
    derive_round(subject, running)
    budget = subject.problem.search.max_num_batched_tokens
    fresh = workload.fresh(tokens)
    chunks = -(-fresh // budget)
    passes, inputs = [], []
    for stages in subject.stage_classes.values():
        prompt, decode = f"prefill-s{stages[0]}-m{tokens}", f"decode-s{stages[0]}-n{running}"
        inputs += [prompt, decode]
        share = f" / {chunks}" if chunks > 1 else ""
        passes.append((len(stages), f"({ms(ledger.value(prompt))}{share} + {ms(ledger.value(decode))})"))
    text = total([one if count == 1 else f"{count} stages × {one}" for count, one in passes])
    if chunks > 1:
        text += f" + ({chunks} − 1) × max({', '.join(one for _, one in passes)})"
    if subject.shape.pp > 1:
        text += f" + {sends(subject, f'ceil({number(fresh)} / {chunks})')}"
    return ledger.derive(
        id,
        title,
        "a pass is (prompt / chunks + decode step): Σ stages' passes + (chunks − 1) × the longest pass + sends",
        text,
        value,
        "ms",
        note=f"{MODEL}; {_found(subject, tokens)}ceil({fresh:,} / {budget:,}) = {chunks} chunk{'s' if chunks > 1 else ''}",
        inputs=inputs,
    )


def _stage(subject: Subject, column: int, stages: list[int], tokens: int) -> None:
    ledger, name = subject.ledger, subject.stages_named(stages)
    values = {term: float(v[0, column]) for term, v in subject.analytic.steps.prefill_terms(tokens).items()}
    written = {
        "dense layers": _dense,
        "experts": _experts,
        "attention": _attention,
        "TP all-reduce": _reduce,
        "expert exchange": _exchange,
    }
    parts = {}
    for term, value in values.items():
        if not value:
            continue
        id = f"prefill-{term.lower().replace(' ', '-')}-s{stages[0]}-m{tokens}"
        title = f"Prompt of {tokens:,} tokens at {name}: {term}"
        if term not in written:
            ledger.given(id, title, value, "ms", f"{MODEL}; {CONSTANTS}")
            parts[id] = value
            continue
        formula, numbers = written[term](subject, column, tokens)
        ledger.derive(id, title, formula, numbers, value, "ms", note=f"{MODEL}; {CONSTANTS}")
        parts[id] = value
    ledger.derive(
        f"prefill-s{stages[0]}-m{tokens}",
        f"Prompt of {tokens:,} tokens at {name}, compute only",
        "the sum of its terms",
        total([ms(value) for value in parts.values()]),
        sum(parts.values()),
        "ms",
        note=MODEL,
        inputs=list(parts),
    )


def _found(subject: Subject, tokens: int) -> str:
    """How much of a prompt is found in the cache, for notes; empty where nothing is."""
    found = subject.problem.workload.cached(tokens)
    return f"{found:,} of {tokens:,} tokens are found in the cache; " if found else ""


def _layers(subject: Subject, column: int) -> list[tuple[int, int]]:
    """Layers that a prompt passes at a stage: a multi-token-prediction module is one more like the last."""
    here = dict(layer_counts(subject, column))
    speculation = subject.problem.workload.speculation
    guessing = speculation is not None and speculation.method == "mtp" and subject.problem.workload.guessed > 0
    if guessing and subject.analytic.table.is_last[0, column]:
        last = subject.model.kind_of_layer[-1]
        here[last] = here.get(last, 0) + 1
    return sorted(here.items())


def _fresh(subject: Subject, tokens: int) -> str:
    """Tokens of a prompt that are computed."""
    return number(subject.problem.workload.fresh(tokens))


def _dense(subject: Subject, column: int, tokens: int) -> tuple[str, str]:
    c, arrays = subject.constants, subject.analytic.arrays
    here = _layers(subject, column)
    done = total([f"{counted(count, 'layer')} × {number(float(arrays.linear_parameters[0, k]))}" for k, count in here])
    text = f"2 FLOP × {_fresh(subject, tokens)} tokens × ({done}) / {flops(float(arrays.linear_peak[0]), c.eta_prefill_flops)}"
    return "2 × tokens × parameters / compute rate", text


def _experts(subject: Subject, column: int, tokens: int) -> tuple[str, str]:
    c, arrays = subject.constants, subject.analytic.arrays
    done = total(
        [
            f"{counted(count, 'layer')} × {int(arrays.experts_per_token[k])} × {number(int(arrays.expert_parameters[k]))} × "
            f"{slowdown(subject, int(arrays.experts[k]))}"
            for k, count in _layers(subject, column)
            if arrays.experts[k]
        ]
    )
    text = (
        f"2 FLOP × {_fresh(subject, tokens)} tokens × {subject.ranks} × ({done}) / {int(subject.analytic.table.expert_gpus[0])} / "
        f"{flops(float(arrays.expert_peak[0]), c.eta_prefill_expert_flops)}"
    )
    return (
        "2 × tokens of all coupled replicas × expert parameters per token / GPUs that share them / compute rate × what "
        "narrow experts and the busiest GPU add",
        text,
    )


def _attention(subject: Subject, column: int, tokens: int) -> tuple[str, str]:
    c, arrays, parts = subject.constants, subject.analytic.arrays, []
    known = subject.problem.workload.cached(tokens)
    for k, count in _layers(subject, column):
        window = int(arrays.windows[k])
        squared = _pairs(tokens, window)
        if known:
            squared = f"({squared} − {_pairs(known, window)})"
        parts.append(f"{counted(count, 'layer')} × {number(int(arrays.prefill_width[k]))} FLOP × {squared}")
    text = f"({total(parts)}) / {subject.shape.tp} / {flops(arrays.peak16, c.eta_prefill_attention)}"
    return "layers × attention width × tokens² / TP / compute rate", text


def _pairs(tokens: int, window: int) -> str:
    """Pairs of tokens that the first so many of a prompt score, doubled, as arithmetic."""
    squared = f"{number(tokens)} × {number(tokens)}"
    return f"min({squared}, 2 × {number(tokens)} × min({number(tokens)}, {window}))" if window else squared


def _reduce(subject: Subject, column: int, tokens: int) -> tuple[str, str]:
    layers = sum(count for _, count in _layers(subject, column))
    size = f"{_fresh(subject, tokens)} × {number(subject.model.hidden_size)} × 2 B"
    return (
        "layers × 2 × all-reduce of tokens × hidden size × 2 bytes",
        f"{counted(layers, 'layer')} × 2 × ({all_reduce(subject, size)})",
    )


def _exchange(subject: Subject, column: int, tokens: int) -> tuple[str, str]:
    arrays = subject.analytic.arrays
    layers = sum(count for k, count in _layers(subject, column) if arrays.experts[k])
    size = f"{_fresh(subject, tokens)} × {exchanged(subject)}"
    return (
        "MoE layers × 2 (there and back) × all-to-all",
        f"{counted(layers, 'layer')} × 2 × ({all_to_all(subject, size)})",
    )
