"""Rules of the engine's kernels: which formats run on the GPU, and how quantised layers may be sliced. ``docs/model.md``, section 7.

What the kernels need is data of the engine (``engines.kernels``); here it becomes rules like any other, each behind its
switch, so that a broken format is neither chosen nor offered as a repair.

Other home: ``verify/common/kernels.py``; docs/model.md, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.engines.kernels import Kernels, SliceRule, kernels_of, quantised_modules
from optimizer.engines.registry import engine_of
from optimizer.facts.demand import KvFormat
from optimizer.facts.model import ModelFacts, WeightFormat
from optimizer.facts.problem import Problem
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Rule, yes_no


def kernel_rules(problem: Problem) -> list[Rule]:
    """Every rule of the kernels that says something of the problem."""
    rules = [weight_format_rule(problem), kv_format_rule(problem)]
    kernels = kernels_of(problem.engine)
    return rules + [slice_rule(problem, kernels, rule) for rule in kernels.slices_of(problem.model)]


def weight_format_rule(problem: Problem) -> Rule:
    kernels, model, gpu = kernels_of(problem.engine), problem.model, problem.hardware.gpu

    def good(weights: str) -> bool:
        return kernels.runs_weights(weights, model.quantization, gpu)

    return _format_rule("weight_format", "weights", problem, good, get_args(WeightFormat), lambda s: s.weight_format)


def kv_format_rule(problem: Problem) -> Rule:
    kernels, model, gpu = kernels_of(problem.engine), problem.model, problem.hardware.gpu

    def good(cache: str) -> bool:
        return kernels.runs_cache(cache, model.quantization, gpu)

    return _format_rule("kv_format", "KV cache", problem, good, get_args(KvFormat), lambda s: s.kv_format)


def _format_rule(
    rule_id: str,
    noun: str,
    problem: Problem,
    good: Callable[[str], bool],
    formats: Iterable[str],
    of: Callable[..., str],
) -> Rule:
    engine, gpu = engine_of(problem.engine), problem.hardware.gpu
    version = kernels_of(problem.engine).version

    def allowed(quantities: Quantities) -> Bools:
        names = [of(shape) for shape in quantities.space.shapes]
        runs = {name: good(name) for name in set(names)}
        of_shape = np.array([runs[name] for name in names], dtype=np.bool_)
        result: Bools = of_shape[quantities.space.row_shape]
        return result

    return yes_no(
        rule_id,
        f"{engine.title} {version} runs the format of the {noun} on {gpu.name} (compute capability {gpu.capability}).",
        allowed,
        " or ".join(name for name in formats if good(name)) or "no format",
        lambda quantities, row: f"{of(quantities.space.shapes[quantities.space.row_shape[row]])} {noun}",
    )


def slice_rule(problem: Problem, kernels: Kernels, rule: SliceRule) -> Rule:
    """Sliced dimensions are multiples of the checkpoint's blocks or groups, where its own format is served."""
    model, stored = problem.model, problem.model.quantization
    assert stored is not None  # the rule says something of the checkpoint
    block, group = stored.weight_block or (1, 1), stored.group_size or 1
    unit = group
    if rule.multiple_of == "halved_group":
        while unit % 2 == 0 and unit // 2 >= (rule.smallest_group or 1):
            unit //= 2
    outputs, inputs = block if rule.multiple_of == "block" else (1, unit)

    def allowed(quantities: Quantities) -> Bools:
        tp, ep, ranks = (quantities.space.column(name) for name in ("tp", "ep", "slice_ranks"))
        fits: Bools = np.full(len(tp), True)
        for width, slices in _sliced(model, rule, tp, ep, ranks):
            each = width // slices
            fits &= (slices == 1) | ((width % slices == 0) & (each % outputs == 0) & (each % inputs == 0))
        own = np.array([s.weight_format == stored.weight_format for s in quantities.space.shapes], dtype=np.bool_)
        result: Bools = fits | ~own[quantities.space.row_shape]
        return result

    sentence = rule.sentence.format(block=f"{block[0]} × {block[1]}", group=group, smallest=min(unit, group))
    repair = f"{engine_of(problem.engine).title} {kernels.version} stops at load otherwise; {rule.repair}"
    return yes_no(
        rule.id,
        f"{sentence.rstrip('.')} ({repair}).",
        allowed,
        f"multiples of {max(outputs, inputs)}",
        lambda quantities, row: _widths(
            model, rule, *(int(quantities.space.column(name)[row]) for name in ("tp", "ep", "slice_ranks"))
        ),
    )


def _sliced(model: ModelFacts, rule: SliceRule, tp: Ints, ep: Ints, ranks: Ints) -> list[tuple[int, Ints]]:
    """(dimension, slices that it is cut into) of every quantised layer family of the rule, (R,) each."""
    quantised, found = quantised_modules(model), []
    if "attention" in rule.modules and "attention" in quantised and not model.mla:
        found.append((model.attention_heads * model.head_dim, tp))
        if rule.multiple_of == "block":  # outputs of k and v; their inputs are not sliced
            heads = {kind.kv_heads or model.kv_heads for kind in model.kinds if kind.kv_values_per_token_per_kv_head}
            found += [(count * model.head_dim, np.minimum(tp, count)) for count in sorted(heads)]
    if "attention" in rule.modules:
        found += [(width, tp) for width in model.attention_inputs]
        found += [(width, tp) for width in model.attention_outputs if rule.multiple_of == "block"]
    if "mlp" in rule.modules and "mlp" in quantised:
        found += [(width, tp) for width in model.ffn_widths]
    if "experts" in rule.modules and "experts" in quantised:
        found.append((model.expert_ffn_width, np.maximum(1, tp // ep) * ranks))
    return found


def _widths(model: ModelFacts, rule: SliceRule, tp: int, ep: int, ranks: int) -> str:
    """What each GPU holds of the dimensions: ``1,536 / 8 = 192 of each expert``."""
    one = np.array([1], dtype=np.int64)
    cut = [(width, int(slices[0])) for width, slices in _sliced(model, rule, one * tp, one * ep, one * ranks)]
    return ", ".join(f"{width:,} / {slices} = {width / slices:,g}" for width, slices in dict.fromkeys(cut))
