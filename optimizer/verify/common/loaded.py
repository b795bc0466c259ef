"""Bytes that an engine holds of a layer on one GPU beside what the checkpoint stores of it. Section 2 of ``docs/model.md``.

Other home: ``costs/loaded.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from fractions import Fraction

from optimizer.engines.memory import overhead_on
from optimizer.facts.model import LayerKind
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil, ceil_ratio
from optimizer.verify.common.groups import Group
from optimizer.verify.common.weights import kv_share, served_as_published

MEBIBYTE = 1024 * 1024
OWN_MEMORY = 10 * MEBIBYTE
"""The smallest tensor for which PyTorch's allocator asks the driver for memory of its own, in whole pieces of 2 MiB."""


def beside_checkpoint(problem: Problem, kind: LayerKind, group: Group) -> int:
    """16-bit copies of what decoding absorbs, and what the allocator leaves behind each tensor."""
    model = problem.model
    held = ceil_ratio(kind.copied_parameters * 2, group.tensor)
    if not served_as_published(model, group):
        return held
    _, share = kv_share(model, kind, group.tensor)
    for product in kind.products:
        tensor = ceil(Fraction(product.cut_bytes, group.tensor)) + ceil(product.key_value_bytes * share)
        if tensor < OWN_MEMORY:
            continue
        behind = 2 * MEBIBYTE * ceil_ratio(tensor, 2 * MEBIBYTE) - tensor
        # More than a MiB is cut off and serves other tensors, but stays the process's.
        held += behind if behind <= MEBIBYTE or overhead_on(problem).measures_device else 0
    return held
