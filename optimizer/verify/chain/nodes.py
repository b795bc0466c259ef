"""Independent tables of a chain's nodes from the facts of GPUs and model, in exact fractions and 60 digits.

Other home: ``costs/chain_nodes.py``; docs/model.md, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import decimal, sixty_digits
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.groups import Group, ReplicaShape, Row
from optimizer.verify.common.rules import row_findings
from optimizer.verify.common.space import formats_offered
from optimizer.verify.common.stage import Stage, StageKind, Stages
from optimizer.verify.common.times import StageDecode

NOT_OF_A_NODE = frozenset({"layer_split"})
"""Rules that speak of pipelines of one instance."""


@dataclass(frozen=True, slots=True)
class CheckedNode:
    """What a node carries with some number of layers, wherever they are."""

    tokens_per_s: Decimal
    step_ms: Decimal


def broken_rule(problem: Problem) -> str | None:
    """The first rule of the engine that one group of all GPUs of the node breaks, None where it may run."""
    whole = ReplicaShape(_group(problem), (problem.model.layers,))
    wrong = [one.id for one in row_findings(problem, Row(whole, 1)) if not one.holds and one.id not in NOT_OF_A_NODE]
    return wrong[0] if wrong else None


@sixty_digits()
def checked_table(problem: Problem, batch: int, batches: int) -> dict[int, CheckedNode]:
    """By layers held, from 1 until the cache of so many batches of so many requests fits no more."""
    stages, group, model = Stages(problem), _group(problem), problem.model
    found: dict[int, CheckedNode] = {}
    for layers in range(1, model.layers + 1):
        sorts = dict.fromkeys(_sort(problem, start, layers) for start in range(model.layers - layers + 1))
        held = [stages.stage(group, sort) for sort in sorts]
        if not all(_holds(problem, stage, batch * batches) for stage in held):
            break
        steps = [StageDecode(stage, 1).at(batch) for stage in held]
        found[layers] = CheckedNode(
            min(_rate(problem, stage, step, batch) for stage, step in zip(held, steps, strict=True)), max(steps)
        )
    return found


def _group(problem: Problem) -> Group:
    weight, cache = next(formats_offered(problem, Fixed()))
    return Group(problem.hardware.gpus, 1, weight, cache)


def _sort(problem: Problem, start: int, layers: int) -> StageKind:
    model = problem.model
    held = model.kind_of_layer[start : start + layers]
    counts = tuple(held.count(kind) for kind in range(len(model.kinds)))
    return StageKind(counts, start == 0, start + layers == model.layers)


def _holds(problem: Problem, stage: Stage, requests: int) -> bool:
    """Whether the cache of so many requests fits, each at its whole length."""
    budget = budget_bytes(problem)
    blocks = stage.state_sequences(budget)
    needed = stage.beside_cache(0) + requests * stage.sequence_bytes
    return needed <= budget and (blocks is None or requests <= blocks)


def _rate(problem: Problem, stage: Stage, step: Decimal, batch: int) -> Decimal:
    work = problem.workload
    spent = decimal(stage.prefill_ms(work.prompt_tokens)) + (work.output_tokens - 1) * step / batch
    return 1000 * (work.prompt_tokens + work.output_tokens - 1) / spent
