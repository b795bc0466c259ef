"""Section 7, the rules of the engine's kernels: formats against GPUs, blocks and groups against slices.

What the kernels need is data of the engine; the comparisons and divisions are made here anew.

Other home: ``search/uniform/kernel_rules.py``; docs/model.md, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.engines.kernels import SliceRule, Support, kernels_of, quantised_modules
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.groups import Group


def weights_run(problem: Problem, group: Group) -> bool:
    """The engine runs the group's weight format on the GPU."""
    needed = kernels_of(problem.engine).of_weights(group.weight_format, problem.model.quantization)
    return not any(lacks(problem.hardware.gpu, one) for one in needed)


def caches_run(problem: Problem, group: Group) -> bool:
    """The engine runs the group's KV cache format on the GPU."""
    needed = kernels_of(problem.engine).of_caches(group.kv_format, problem.model.quantization)
    return not any(lacks(problem.hardware.gpu, one) for one in needed)


def lacks(gpu: GpuFacts, needed: Support) -> bool:
    """Whether a GPU is not among those that something runs on."""
    target = gpu.capability
    if not target[0].isdigit():
        return target not in (*needed.rocm, *needed.gaudi)
    version = _version(target)
    oldest, first_without = needed.cuda_from, needed.cuda_below
    if oldest is None or version < _version(oldest):
        return True
    return first_without is not None and version >= _version(first_without)


def _version(capability: str) -> int:
    """``8.6`` as 806."""
    major, _, minor = capability.partition(".")
    return 100 * int(major) + int(minor)


def slice_findings(problem: Problem, group: Group) -> Iterator[tuple[str, bool]]:
    """(rule, whether it holds) for every rule on slices that says something of the checkpoint."""
    model = problem.model
    for rule in kernels_of(problem.engine).slices_of(model):
        stored = model.quantization
        served_as_stored = stored is not None and stored.weight_format == group.weight_format
        yield rule.id, not served_as_stored or all(_whole(model, rule, *cut) for cut in _cuts(model, rule, group))


def _cuts(model: ModelFacts, rule: SliceRule, group: Group) -> Iterator[tuple[int, int]]:
    """(dimension, GPUs that share it) of quantised layers."""
    t, families = group.tensor, quantised_modules(model) & set(rule.modules)
    if "attention" in families and not model.mla:
        yield model.head_dim * model.attention_heads, t
        if rule.multiple_of == "block":
            for kind in model.kinds:
                if kind.kv_values_per_token_per_kv_head:
                    heads = kind.kv_heads or model.kv_heads
                    yield model.head_dim * heads, min(heads, t)
    if "attention" in rule.modules:
        # MLA, delta nets and Mamba: the checkpoint's facts tell which of their matrices are not in 16 bit.
        for dimension in model.attention_inputs + (model.attention_outputs if rule.multiple_of == "block" else ()):
            yield dimension, t
    if "mlp" in families:
        yield from ((width, t) for width in model.ffn_widths)
    if "experts" in families:
        yield model.expert_ffn_width, group.slices


def _whole(model: ModelFacts, rule: SliceRule, dimension: int, parts: int) -> bool:
    """A part of the dimension is a whole number of units."""
    if parts == 1:
        return True
    stored = model.quantization
    assert stored is not None
    if rule.multiple_of == "block":
        units = set(stored.weight_block or ())
    else:
        size = stored.group_size or 1
        if rule.multiple_of == "halved_group":
            least = rule.smallest_group or 1
            while size % 2 == 0 and size >= 2 * least:
                size = size // 2
        units = {size}
    part = exact(dimension) / parts
    return all((part / unit).denominator == 1 for unit in units)
