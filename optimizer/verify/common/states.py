"""Section 2, blocks of states: what one takes on a GPU of a stage. The engine wants one for each sequence that it may run.

Other home: ``costs/states.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from optimizer.engines.memory import state_blocks_of
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil, ceil_ratio
from optimizer.verify.common.layer import LayerFacts


def block_of_states(problem: Problem, layers: Sequence[LayerFacts], counts: Sequence[int], last: bool) -> int:
    """Bytes of a block; 0 where a stage has no recurrent layer, or the engine wants no block.

    Args:
        layers: of each kind of the model.
        counts: layers of each kind on the stage.
        last: the stage is the last one.
    """
    rule = state_blocks_of(problem)
    if rule is None:
        return 0
    kinds = problem.model.kinds
    held: Counter[str | int] = Counter()
    for kind, layer, count in zip(kinds, layers, counts, strict=True):
        if count and kind.state_values_per_sequence:
            held["states"] += count
        if count and layer.token_bytes:
            held[layer.window] += count
    if not held["states"]:
        return 0
    speculation, final = problem.workload.speculation, layers[problem.model.kind_of_layer[-1]]
    module = speculation is not None and speculation.method == "mtp" and problem.workload.guessed > 0
    if last and module and final.token_bytes:
        held[final.window] += 1
    fewest, most = min(held.values()), max(held.values())
    group = most if 2 * most < 3 * fewest else fewest
    state = max(
        ceil(layer.state_bytes - kind.unread_bytes_per_sequence)
        for kind, layer in zip(kinds, layers, strict=True)
        if kind.state_values_per_sequence
    )
    unit = (rule.tokens_latent if problem.model.mla else rule.tokens) * max(layer.token_bytes for layer in layers)
    return group * (ceil_ratio(state, unit) * unit if unit else state)
