"""What a GPU holds of a layer beyond its checkpoint's bytes once an engine has loaded it. ``docs/model.md``, section 2.

Other home: ``verify/common/loaded.py``; docs/model.md, section 2.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.model import LayerKind, ModelFacts

LARGE = 10 * 2**20
"""Bytes from which a tensor has memory of its own (``kMinLargeAlloc`` of PyTorch's c10/core/AllocatorConfig.h)."""
ROUND = 2 * 2**20
"""Such memory is rounded up to a multiple (``kRoundLarge``)."""
KEPT = 2**20
"""Up to so many bytes of the rest stay with the tensor (``kSmallSize``); more are given to others."""


def beyond_checkpoint(model: ModelFacts, tp: Ints, published: Bools, whole: bool) -> Ints:
    """Bytes of a layer of each kind on a GPU of each shape, (S, K).

    Args:
        published: shapes that serve the weights as the checkpoint stores them, (S,).
        whole: the engine takes what the driver has given for tensors, not what they hold.
    """
    kept = ROUND if whole else KEPT
    found = [_copies(kind, tp) + np.where(published, _rounding(model, kind, tp, kept), 0) for kind in model.kinds]
    return np.stack(found, axis=1).astype(np.int64)


def _copies(kind: LayerKind, tp: Ints) -> Ints:
    return -(-2 * kind.copied_parameters // tp)


def _rounding(model: ModelFacts, kind: LayerKind, tp: Ints, kept: int) -> Ints:
    """What PyTorch's allocator leaves unused behind the tensors of a layer, (S,)."""
    heads = kind.kv_heads or model.kv_heads
    here = np.maximum(1, -(-heads // tp))
    total = np.zeros_like(tp)
    for product in kind.products:
        size = -(-product.cut_bytes // tp) + -(-product.key_value_bytes * here // heads)
        rest = -size % ROUND
        total = total + np.where((size >= LARGE) & (rest <= kept), rest, 0)
    return total
