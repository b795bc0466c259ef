"""Judges memory: weights per GPU and per stage, KV cache per token, utilisation, balance between stages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.expressions import relations
from optimizer.auditing.labels import GPU, after, before, claim, judged
from optimizer.auditing.reading import Statement
from optimizer.auditing.stages import judge_balance
from optimizer.auditing.strategies import Proposed, hypothetical
from optimizer.auditing.units import Amount, amounts, gb, plain_number, unit_of
from optimizer.results.audit import Claim

CLOSE = 0.03
_WEIGHTS_LABEL = (
    rf"\b(?:model )?(?:weights?|parameters?|weight memory|parameter memory|model memory"
    rf"|model size|weights? (?:footprint|size|shard)|model footprint|model shard)"
    rf"(?: memory| footprint| size)? (?:per|on each|on every|for each|/) ?{GPU}\b"
    rf"|\bper-{GPU} (?:model )?weights?(?: memory| footprint)?\b|\bweights/{GPU}\b"
)
_OTHER_CONTENT = re.compile(
    r"\bKV\b|\bcache|activation|overhead|workspace|buffer|capacity|VRAM|\btotal memory|headroom|free|remaining|left|available",
    re.IGNORECASE,
)


def judge_memory(statement: Statement, context: Context) -> Iterator[Claim]:
    """Memory figures of the proposed strategy."""
    if statement.line in context.command_lines or context.about_other(statement) or context.other_strategy(statement):
        return
    proposed = context.strategy
    if proposed is None:
        return
    yield from _per_gpu(statement, context, proposed)
    yield from judge_balance(statement, context, proposed)


def _weights_per_gpu(context: Context, proposed: Proposed) -> tuple[float, float, float, str]:
    """(least, even share, most) over the stages in bytes, and how the share follows."""
    name = context.formats[0]
    whole = context.weight_bytes(name)
    parts = proposed.tp * proposed.pp
    share = whole / parts
    each = whole / context.parameters[0]
    degrees = f"TP {proposed.tp} × PP {proposed.pp}"
    how = f"{context.parameters[0] / 1e9:.2f} billion parameters × {each:.3g} bytes ÷ ({degrees}) = {gb(share)} of weights per GPU"
    least = most = share
    if context.costs and context.costs.metrics and context.costs.metrics.weights_bytes_per_stage:
        stages = context.costs.metrics.weights_bytes_per_stage
        least, most = min(share, *stages), max(share, *stages)
        if proposed.ep > proposed.tp:
            share = sum(stages) / len(stages)
            how = f"{proposed.label} leaves {gb(share)} of weights on a GPU"
    if most > 1.02 * share:
        how += f" ({gb(most)} on the fullest stage, which holds the embedding or the head)"
    return least, share, most, how


def _right(amount: Amount, least: float, share: float, most: float, context: Context, proposed: Proposed) -> bool:
    others = [context.weight_bytes(name) / (proposed.tp * proposed.pp) for name in context.formats]
    inside = least * (1 - CLOSE) <= amount.value <= most * (1 + CLOSE)
    return inside or amount.near_any([least, share, most, *others], CLOSE)


def _per_gpu(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    text = statement.text
    if re.search(r"\bper stage\b|\bstage \d|\bbandwidth\b|/s\b", text, re.IGNORECASE):
        return
    found = after(text, _WEIGHTS_LABEL, "bytes") or before(
        text,
        rf"(?:of )?(?:FP16 |BF16 |FP8 |model )*(?:weights?|parameters) (?:per|on each|on every|for each) {GPU}\b",
        "bytes",
    )
    if found is None and re.search(rf"\b(?:each|every|per) {GPU}\b", text, re.IGNORECASE):
        found = before(
            text,
            rf"(?:per {GPU} )?(?:(?:of|for) )(?:the )?(?:FP16 |BF16 |FP8 |model )*(?:weights|parameters)\b",
            "bytes",
        )
    derived = False
    if found is None and not _OTHER_CONTENT.search(re.split(r"[(;,]", text)[0]):
        found = after(text, rf"\b(?:memory|model|size|load) (?:per|on each) {GPU}\b", "bytes")
        derived = bool(found and found.derived and _from_weights(statement, context))
        if found and not derived:
            yield from _bare(statement, context, proposed, found.amount)
            return
    if not found or (
        _OTHER_CONTENT.search(re.split(r"[(;]", text)[0]) and not re.search(_WEIGHTS_LABEL, text, re.IGNORECASE)
    ):
        return
    least, share, most, how = _weights_per_gpu(context, proposed)
    if _right(found.amount, least, share, most, context, proposed):
        yield judged(statement, found.amount, True, gb(share), how)
        return
    whole = context.weight_bytes(context.formats[0])
    missing = ""
    if proposed.pp > 1 and found.amount.near_any([whole / proposed.tp, whole / proposed.tp**2], CLOSE):
        missing = f"; the pipeline degree {proposed.pp} was left out"
    elif proposed.tp > 1 and found.amount.near(whole / proposed.pp, CLOSE):
        missing = f"; the tensor degree {proposed.tp} was left out"
    elif found.amount.near(whole, CLOSE):
        missing = "; that is the whole model"
    elif proposed.dp > 1 and found.amount.near(share / proposed.dp, CLOSE):
        missing = "; data parallelism copies the weights, it does not split them"
    context.wrong.append(("memory", found.amount.value, gb(share), statement.line, how))
    yield claim(statement, "refuted", f"{how}, not {found.amount.text}{missing}.", found.amount.text, gb(share))


def _from_weights(statement: Statement, context: Context) -> bool:
    """Whether an equation starts from a share of the weights: all of them, or all of them by one degree."""
    proposed = context.strategy
    starts = [relation.left for relation in relations(statement.text) if relation.left.operators]
    if not starts or proposed is None:
        return False
    wholes = [context.weight_bytes(name) for name in context.formats]
    origins = [w / d for w in wholes for d in (1, proposed.tp, proposed.pp, proposed.tp * proposed.pp)]
    numbers = list(amounts(starts[0].text))
    first = next((a for a in numbers if a.dimension == "bytes"), None)
    if first:
        return first.near_any(origins, CLOSE)
    if numbers and numbers[0].unit == "":  # 140 / 2 = 70 GB: the unit stands at the result
        return any(abs(numbers[0].number * 1e9 - origin) <= CLOSE * origin for origin in origins)
    return bool(re.search(r"param|weight", statement.text, re.IGNORECASE))


def _bare(statement: Statement, context: Context, proposed: Proposed, amount: Amount) -> Iterator[Claim]:
    """``Memory per GPU: X`` without saying of what: wrong only where no content explains it."""
    least, share, most, how = _weights_per_gpu(context, proposed)
    memory = context.problem.hardware.gpu.memory_bytes
    if _right(amount, least, share, most, context, proposed):
        yield claim(statement, "confirmed", f"{how}; cache and activations come on top.", amount.text, gb(share))
    elif amount.most < least * 0.95:
        context.wrong.append(("memory", amount.value, gb(share), statement.line, how))
        yield judged(statement, amount, False, gb(share), f"{how}, before any cache")
    elif amount.least > memory * 1.001 and not amount.near(memory, 0.1):
        yield judged(statement, amount, False, f"at most {gb(memory)}", f"a GPU offers {gb(memory)}")


def judge_utilisation(statement: Statement, context: Context) -> Iterator[Claim]:
    """Memory utilisation: an equation on a wrong figure, a repeated wrong share, or a share below the weights alone."""
    text, proposed = statement.text, context.strategy
    if proposed is None or statement.line in context.command_lines or hypothetical(statement):
        return
    if not re.search(r"\b(?:memory|VRAM|HBM)\b", text, re.IGNORECASE) or re.search(
        r"bandwidth|KV|saving|reduc|gpu[-_]memory[-_]utilization", text, re.IGNORECASE
    ):
        return
    memory = context.problem.hardware.gpu.memory_bytes
    _, share, _, how = _weights_per_gpu(context, proposed)
    part = f"{share / memory:.1%}"
    expected = f"{part} for the weights alone"
    if context.costs and context.costs.metrics and context.costs.strategy:
        full = context.costs.metrics.memory_utilization
        expected += f", {full:.1%} with the cache for {context.costs.strategy.max_num_seqs} full sequences"
    for relation in relations(text):
        left, right = relation.left, relation.right
        if left.operators != 1 or unit_of(right.unit)[0] != "%":
            continue
        used = next(iter(amounts(left.text)), None)
        for kind, value, true, line, _ in context.wrong if used else ():
            if used and kind == "memory" and abs(used.value - value) <= 1e-6 * value:
                context.wrong.append(("utilisation", right.first, expected, statement.line, how))
                yield claim(
                    statement,
                    "refuted",
                    f"It builds on {used.text} from line {line}; a GPU holds {true} of weights, {part} of the "
                    f"{gb(memory)} it offers, and the KV cache comes on top.",
                    right.text,
                    expected,
                )
                return
    row = context.rows.get(statement.line)
    stated = (
        row.achieved
        if row and row.metric and row.metric.key == "memory"
        else next((a for a in amounts(text) if a.dimension == "%"), None)
    )
    if stated is None or stated.dimension != "%":
        return
    if row is None and not re.search(
        r"\b(?:usage|used|utili[sz]ation|occupancy|efficiency|in use)\b", text, re.IGNORECASE
    ):
        return
    for kind, value, true, line, _ in context.wrong:
        if kind == "utilisation" and line != statement.line and abs(value - stated.value) < 1e-9:
            yield claim(statement, "refuted", f"It repeats {stated.text} of line {line}: {true}.", stated.text, true)
            return
    if stated.value < 100 * share / memory * 0.94 and not re.search(
        r"\b(?:headroom|free|spare|remaining|left|below|under|above|over)\b", text, re.IGNORECASE
    ):
        yield claim(
            statement,
            "refuted",
            f"{how}, which alone is {part} of the {gb(memory)} a GPU offers.",
            stated.text,
            expected,
        )
    elif abs(stated.value - 100 * context.problem.requirements.gpu_memory_utilization) < 0.05 and row is None:
        yield claim(
            statement,
            "confirmed",
            f"The engine may use {plain_number(stated.value)} % of each GPU's memory.",
            stated.text,
            f"{plain_number(stated.value)} %",
        )
