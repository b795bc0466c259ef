"""One token for every running sequence: the terms of a decode step, the round through the pipeline, and TPOT. Section 3."""

from __future__ import annotations

import math

import numpy as np

from optimizer.costs.links import CONTEXT_MESSAGES
from optimizer.costs.shapes import Floats
from optimizer.explain.common.numbers import count as counted
from optimizer.reporting.derive.links import all_reduce, all_to_all, exchanged, sends
from optimizer.reporting.derive.memory import layer_counts
from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import byte, ms, number, total
from optimizer.reporting.subject import Subject

MODEL = "docs/model.md, section 3"
CONSTANTS = "constants: optimizer/catalog/data/constants.yaml"


def rate(gb_per_s: float, efficiency: float) -> str:
    """A memory bandwidth at what kernels reach of it."""
    return f"({number(efficiency)} × {number(gb_per_s)} GB/s)"


def flops(per_s: float, efficiency: float) -> str:
    """A compute rate at what kernels reach of it."""
    return f"({number(efficiency)} × {number(per_s / 1e12)} TFLOP/s)"


def roof(subject: Subject, memory: str, compute: str) -> str:
    """The larger of two times, and the overlap constant's share of the smaller."""
    overlap = subject.constants.overlap
    more = f" + {number(overlap)} × min({memory}, {compute})" if overlap else ""
    return f"max({memory}, {compute}){more}"


def batch_of(subject: Subject, running: int) -> int:
    """Sequences of one micro-batch."""
    return -(-running // subject.shape.pp)


def terms_of(subject: Subject, running: int) -> dict[str, Floats]:
    """Milliseconds by term and stage class."""
    batch = np.array([[batch_of(subject, running)]])
    return {name: values[0, :, 0] for name, values in subject.analytic.steps.decode_terms(batch).items()}


def stage_ms(subject: Subject, running: int) -> Floats:
    """A decode step by stage class, ms."""
    return np.asarray(sum(terms_of(subject, running).values()))


def stage_wait(subject: Subject) -> str:
    """How much longer the slowest stage is busy because micro-batches of unequal work wait for each other, as a factor."""
    pp = subject.shape.pp
    return f" × (1 + {number(subject.constants.stage_wait)} × ({pp} − 1))" if pp > 1 else ""


def derive_round(subject: Subject, running: int) -> Figure:
    """One token for so many sequences in progress; every term of every stage on the way."""
    id = f"round-n{running}"
    if id in subject.ledger:
        return subject.ledger.figure(id)
    value = float(subject.service.round_ms[0, running - 1])
    title = f"One token for each of {running} sequences in progress (a round)"
    if subject.corrected:
        note = f"Costs: {subject.problem.cost_source}; factors on the analytic model's time, docs/model.md, section 9"
        return subject.ledger.given(id, title, value, "ms", note)
    for column, stages in subject.stage_classes.items():
        _stage(subject, column, stages, running)
    ledger, shape = subject.ledger, subject.shape
    one = [(len(stages), f"decode-s{stages[0]}-n{running}") for stages in subject.stage_classes.values()]
    if shape.pp == 1:
        return ledger.derive(id, title, "the decode step", ms(ledger.value(one[0][1])), value, "ms",
                             note=MODEL, inputs=[one[0][1]])  # fmt: skip
    batch, turns = batch_of(subject, running), min(running, shape.pp)
    tokens = batch * (1 + subject.problem.workload.guessed)
    ledger.derive(
        f"sends-n{running}",
        f"Sends between the stages of a micro-batch of {batch} sequences",
        "hops × (sequences × hidden size × 2 values × 2 bytes / bandwidth + latency)",
        sends(subject, checked(subject, batch) if tokens > batch else counted(batch, "sequence")),
        float(subject.analytic.steps.send_ms(np.array([[float(tokens)]]))[0, 0]),
        "ms",
        note=f"{MODEL}; {CONSTANTS}",
    )
    through = total([f"{counted(count, 'stage')} × {ms(ledger.value(part))}" for count, part in one])
    slowest = f"max({', '.join(ms(ledger.value(part)) for _, part in one)})"
    passed = [(count, ledger.value(part)) for count, part in one]
    ledger.derive(
        f"through-n{running}",
        f"One micro-batch of {batch} sequences through all stages",
        "the decode step of every stage, and sends",
        f"{through} + {ms(ledger.value(f'sends-n{running}'))}",
        sum(count * value for count, value in passed) + ledger.value(f"sends-n{running}"),
        "ms",
        note=MODEL,
        inputs=[*(part for _, part in one), f"sends-n{running}"],
    )
    return ledger.derive(
        id,
        title,
        "the longer of: one micro-batch through all stages and sends; all micro-batches through the slowest stage"
        + (", where unequal ones wait for each other" if shape.pp > 1 else ""),
        f"max({ms(ledger.value(f'through-n{running}'))}, {turns} × {slowest}{stage_wait(subject)})",
        value,
        "ms",
        note=f"{MODEL}: min({running}, PP {shape.pp}) = {turns} micro-batches of ceil({running} / {shape.pp}) = {batch} sequences",
        inputs=[*(part for _, part in one), f"through-n{running}"],
    )


def derive_tpot(subject: Subject, running: int) -> Figure:
    """Time per output token with so many sequences in progress."""
    ledger, work = subject.ledger, subject.problem.workload
    value = float(subject.service.tpot_ms[0, running - 1])
    title = f"Time per output token with {running} sequences in progress"
    if subject.corrected:
        derive_round(subject, running)
        note = f"Costs: {subject.problem.cost_source}; factors on the analytic model's time, docs/model.md, section 9"
        return ledger.given(f"tpot-n{running}", title, value, "ms", note)
    # It never falls with more in progress: where the formula does, that of fewer holds.
    fewer = int(np.argmax(subject.service.tpot_ms[0, :running] >= value)) + 1
    derive_round(subject, fewer)
    yielded = f"{number(float(work.yielded))}" if work.guessed else ""
    prompts = f"({fewer} − 1) / {work.output_tokens}" + (f" × {yielded}" if yielded else "")
    formula = "round + p × O_max, p = (sequences − 1) / output tokens: prompts that join a round"
    decode = ms(ledger.value(f"round-n{fewer}"))
    text = f"{decode} + {prompts} × {ms(ledger.value('prompt-max'))}"
    inputs = [f"round-n{fewer}", "prompt-max"]
    if subject.shape.pp > 1 and fewer > 1:
        formula = f"the longer of: {formula}; a round in which one micro-batch takes nearly all prompts"
        text = f"max({text}, {_bunched(subject, fewer, decode, prompts)})"
        inputs += [f"through-n{fewer}", "prompt-sum"]
    if yielded:
        formula, text = f"({formula}) / tokens that a step yields", f"({text}) / {yielded}"
    note = MODEL if fewer == running else f"{MODEL}: no less than with {fewer} sequences in progress"
    return ledger.derive(f"tpot-n{running}", title, formula, text, value, "ms", note=note, inputs=inputs)


def _bunched(subject: Subject, running: int, decode: str, prompts: str) -> str:
    """A round whose prompts pass in one micro-batch: half the sum, and the root of its square less what hides behind it."""
    work, pp, ledger = subject.problem.workload, subject.shape.pp, subject.ledger
    budget = subject.problem.search.max_num_batched_tokens
    fresh = work.fresh(work.prompt_tokens)
    room = f"min({prompts}, {number(budget)} / {number(fresh)})"
    o_sum, o_max = ledger.value("prompt-sum"), ledger.value("prompt-max")
    sent = float(subject.analytic.steps.links.send_ms_per_byte[0] * fresh * subject.problem.model.hidden_size * 4)
    waited = f"({decode} − {ms(ledger.value(f'through-n{running}'))})"
    longer = f"({ms(o_sum)} + {ms(sent)} − {ms(o_max)})"
    needed = math.floor(
        (float(subject.service.round_ms[0, running - 1]) - ledger.value(f"through-n{running}")) / (o_sum + sent - o_max)
    )
    more = f"({room} / (1 + {room}))"
    chance = f" × {more} ^ {needed}" if needed else ""
    rest = f"(1 − ({waited} / {longer} − {needed}) × (1 − {more}))"
    together = f"({room} × {ms(o_max)} + {room} × {longer}{chance} × {rest})"
    hidden = f"min(1, {room} / (1 + 2 × {room} / 3))"
    half = f"({decode} + {together}) / 2"
    less = f"{together} × {decode} × (1 − 1 / {pp} − 1 / (2 × {pp} × {pp})) × {hidden} / 1 ms / 1 ms"
    return f"{half} + (({half} / 1 ms) ^ 2 − {less}) ^ 0.5 × 1 ms"


def checked(subject: Subject, batch: int) -> str:
    """Tokens of a micro-batch in a step: one of each sequence, and those it guessed."""
    guessed = subject.problem.workload.guessed
    return f"{batch} × {1 + guessed}" if guessed else f"{batch}"


def _stage(subject: Subject, column: int, stages: list[int], running: int) -> None:
    ledger, values = subject.ledger, terms_of(subject, running)
    name, batch = subject.stages_named(stages), batch_of(subject, running)
    written = {
        "dense weights": _dense,
        "output head": _head,
        "KV cache": _cache,
        "experts": _experts,
        "layer overhead": _overhead,
        "TP all-reduce": _reduce,
        "expert exchange": _exchange,
        "step overhead": _step,
        "context exchange": _contexts,
    }
    parts = {}
    for term, totals in values.items():
        value = float(totals[column])
        if not value:
            continue
        id = f"decode-{term.lower().replace(' ', '-')}-s{stages[0]}-n{running}"
        write = written.get(term)
        if write is None:
            ledger.given(id, f"Decode step of {name}, {batch} sequences: {term}", value, "ms", f"{MODEL}; {CONSTANTS}")
            parts[id] = value
            continue
        formula, numbers, inputs = write(subject, column, batch)
        ledger.derive(
            id,
            f"Decode step of {name}, {batch} sequences: {term}",
            formula,
            numbers,
            value,
            "ms",
            note=f"{MODEL}; {CONSTANTS}",
            inputs=inputs,
        )
        parts[id] = value
    ledger.derive(
        f"decode-s{stages[0]}-n{running}",
        f"Decode step of {name}, {batch} sequences",
        "the sum of its terms",
        total([ms(value) for value in parts.values()]),
        sum(parts.values()),
        "ms",
        note=MODEL,
        inputs=list(parts),
    )


Written = tuple[str, str, list[str]]


def _dense(subject: Subject, column: int, batch: int) -> Written:
    c, arrays = subject.constants, subject.analytic.arrays
    here = layer_counts(subject, column)
    read = total([f"{counted(count, 'layer')} × {byte(float(arrays.read_bytes[0, k]))}" for k, count in here])
    done = total([f"{counted(count, 'layer')} × {number(float(arrays.linear_parameters[0, k]))}" for k, count in here])
    memory = f"({read}) / {rate(float(arrays.linear_bandwidth[0]) / 1e6, c.eta_bw)}"
    compute = (
        f"2 FLOP × {checked(subject, batch)} × ({done}) / {flops(float(arrays.linear_peak[0]), c.eta_decode_flops)}"
    )
    formula = "the longer of: weights read / memory bandwidth; 2 × sequences × parameters / compute rate"
    return formula, roof(subject, memory, compute), [f"linear-{k}" for k, _ in here]


def _head(subject: Subject, column: int, batch: int) -> Written:
    c, arrays = subject.constants, subject.analytic.arrays
    memory = f"{byte(float(arrays.head_bytes[0]))} / {rate(arrays.bandwidth / 1e6, c.eta_bw)}"
    compute = (
        f"2 FLOP × {checked(subject, batch)} × {number(float(arrays.head_parameters[0]))} / "
        f"{flops(arrays.peak16, c.eta_decode_flops)}"
    )
    formula = "the longer of: output head read / memory bandwidth; 2 × sequences × its parameters / compute rate"
    return formula, roof(subject, memory, compute), ["embedding"]


def _cache(subject: Subject, column: int, batch: int) -> Written:
    c, arrays, steps = subject.constants, subject.analytic.arrays, subject.analytic.steps
    read, scored = [], []
    for k, count in layer_counts(subject, column):
        window = int(arrays.windows[k])
        seen = min(steps.context, window) if window else steps.context
        state = float(arrays.state_bytes[0, k])
        more = f" + 2 × {byte(state)}" if state else ""
        read.append(
            f"{counted(count, 'layer')} × ({byte(float(arrays.kv_bytes_per_token[0, k]))} × {number(seen)} tokens{more})"
        )
        scored.append(
            f"{counted(count, 'layer')} × 2 FLOP × {number(int(arrays.decode_width[k]))} / {subject.shape.tp} × {number(seen)} tokens"
        )
    memory = f"({total(read)}) / {rate(arrays.bandwidth / 1e6, c.eta_kv)}"
    guessed = subject.problem.workload.guessed
    each = f"{1 + guessed} × " if guessed else ""
    compute = f"{each}({total(scored)}) / {flops(arrays.peak16, c.eta_decode_flops)}"
    formula = (
        "sequences × the longer of: cached bytes read / memory bandwidth; attention FLOP / compute rate, "
        "at a context of prompt + half the output"
    )
    inputs = [f"kv-token-{k}" for k, _ in layer_counts(subject, column)]
    return formula, f"{counted(batch, 'sequence')} × max({memory}, {compute})", inputs


def touched(subject: Subject, kind: int, batch: int) -> str:
    """Expected distinct experts that the tokens of a step reach, as arithmetic."""
    arrays = subject.analytic.arrays
    experts, per_token = int(arrays.experts[kind]), int(arrays.experts_per_token[kind])
    return f"{experts} × (1 − (1 − {per_token} / {experts}) ^ {batch * subject.ranks * (1 + subject.problem.workload.guessed)})"


def slowdown(subject: Subject, experts: int) -> str:
    """What expert products take beyond their FLOP, as arithmetic: narrow experts, and the busiest GPU of an expert group."""
    c, shape = subject.constants, subject.shape
    narrow = f"(1 + {number(c.expert_width_half)} / {number(subject.analytic.arrays.expert_width)})"
    return narrow + (f" × (1 + {number(c.imbalance)} × ({shape.ep} − 1) / {experts})" if shape.ep > 1 else "")


def _experts(subject: Subject, column: int, batch: int) -> Written:
    c, arrays = subject.constants, subject.analytic.arrays
    group, parts = int(subject.analytic.table.expert_gpus[0]), []
    for k, count in layer_counts(subject, column):
        if not arrays.experts[k]:
            continue
        one = number(float(arrays.expert_parameters[k]))
        size = byte(float(arrays.one_expert_bytes[0, k]))
        bandwidth = rate(float(arrays.expert_bandwidth[0]) / 1e6, c.eta_expert_bw)
        memory = f"{touched(subject, k, batch)} × {size} / {group} / {bandwidth}"
        compute = (
            f"2 FLOP × {checked(subject, batch * subject.ranks)} × {int(arrays.experts_per_token[k])} × {one} / {group} / "
            f"{flops(float(arrays.expert_peak[0]), c.eta_expert_flops)} × {slowdown(subject, int(arrays.experts[k]))}"
        )
        parts.append(f"{counted(count, 'layer')} × ({roof(subject, memory, compute)})")
    formula = (
        "MoE layers × the longer of: experts touched read / memory bandwidth; expert FLOP / compute rate × what narrow "
        "experts and the busiest GPU add"
    )
    return formula, total(parts), []


def _overhead(subject: Subject, column: int, batch: int) -> Written:
    c, arrays, steps = subject.constants, subject.analytic.arrays, subject.analytic.steps
    here = layer_counts(subject, column)
    shared = f" + {ms(c.t_tp)}" if subject.shape.tp > 1 else ""
    parts = [f"{counted(sum(count for _, count in here), 'layer')} × ({ms(c.t_layer)}{shared})"]
    for k, count in here:
        launched = float(arrays.attention_launch_ms[k])
        if launched:
            parts.append(f"{counted(count, 'layer')} × {ms(launched)}")
        experts = int(arrays.experts[k])
        if experts:
            parts.append(
                f"{counted(count, 'layer')} × ({ms(c.t_expert)} × {experts} / (1 + {experts} / {number(c.experts_half)}) + "
                f"{ms(c.t_touched)} × {touched(subject, k, batch)})"
            )
    formula = (
        "layers × time per layer, more where GPUs work together, where attention is latent or sparse, and where tokens are "
        "routed to experts"
    )
    return formula, f"{number(steps.generation)} × ({total(parts)})", []


def _reduce(subject: Subject, column: int, batch: int) -> Written:
    layers = sum(count for _, count in layer_counts(subject, column))
    size = f"{checked(subject, batch)} × {number(subject.model.hidden_size)} × 2 B"
    formula = "layers × 2 × all-reduce of sequences × hidden size × 2 bytes: ring bytes / bandwidth + latency"
    return formula, f"{counted(layers, 'layer')} × 2 × ({all_reduce(subject, size)})", []


def _exchange(subject: Subject, column: int, batch: int) -> Written:
    arrays = subject.analytic.arrays
    layers = sum(count for k, count in layer_counts(subject, column) if arrays.experts[k])
    size = f"{checked(subject, batch)} × {exchanged(subject)}"
    formula = "MoE layers × 2 (there and back) × all-to-all: bytes / bandwidth + latency"
    return formula, f"{counted(layers, 'layer')} × 2 × ({all_to_all(subject, size)})", []


def _contexts(subject: Subject, column: int, batch: int) -> Written:
    c, arrays, dcp = subject.constants, subject.analytic.arrays, subject.shape.dcp
    here = [(k, count) for k, count in layer_counts(subject, column) if arrays.decode_width[k]]
    width = total([f"{counted(count, 'layer')} × {number(int(arrays.decode_width[k]))}" for k, count in here])
    sent = f"2 B × ({dcp} − 1) × ({width}) / {subject.shape.tp} × {checked(subject, batch)}"
    layers, fixed = sum(count for _, count in here), float(subject.analytic.steps.links.context_ms[0])
    late = f"{number(subject.analytic.steps.generation)} × {CONTEXT_MESSAGES} / 2 × {ms(c.t_tp)}" + (
        f" + {ms(fixed)}" if fixed else ""
    )
    per_ms = 1 / float(subject.analytic.steps.links.context_ms_per_byte[0]) / 1e6
    formula = "bytes of queries sent and results returned / bandwidth + layers × what three collectives take"
    return formula, f"{sent} / ({number(per_ms)} GB/s) + {counted(layers, 'layer')} × ({late})", []


def _step(subject: Subject, column: int, batch: int) -> Written:
    c, steps = subject.constants, subject.analytic.steps
    parts = [f"{number(steps.generation)} × {ms(c.t_step)}"] if c.t_step else []
    guessed = subject.problem.workload.guessed
    parts.append((f"{checked(subject, batch)}" if guessed else counted(batch, "sequence")) + f" × {ms(c.t_sequence)}")
    return "time per step + sequences of a rank × time per sequence (last stage)", total(parts), []
