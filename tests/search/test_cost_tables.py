"""Row by row, every table of the costs equals what the verifier computes by itself: the losers too, not only the winner."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.space import Space, build_space
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.candidate import RowFacts
from optimizer.verify.common.failures import COUNTED, down_of, killed_by_nodes
from optimizer.verify.common.groups import Group, ReplicaShape, Row
from optimizer.verify.common.stage import Stages
from tests.verify.builders import random_problem

LATENCIES = ("prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
CATALOG = (
    ("llama3-70b", "h100-sxm-80gb", {}),
    ("deepseek-v3", "h200-sxm-141gb", {"weight_precision": ["fp8", "int4"], "kv_precision": ["bf16", "fp8"]}),
    ("gpt-oss-120b", "h100-sxm-80gb", {}),
    ("qwen3-235b-a22b", "mi300x-192gb", {"weight_precision": ["bf16", "fp8"]}),
    ("nemotron-super-49b", "a100-sxm-80gb", {}),
    ("mixtral-8x22b", "l40s-48gb", {"weight_precision": ["int4", "nvfp4"]}),
)


def _catalog_problem(number: int) -> Problem:
    model, gpu, search = CATALOG[number]
    stated: dict[str, Any] = {
        "engine": ("vllm", "sglang")[number % 2],
        "hardware": {"gpu": gpu, "nodes": 3},
        "model": model,
        "workload": {"prompt_tokens": 900, "prompt_tokens_p99": 3000, "output_tokens": 150, "requests_per_s": 4},
        "requirements": {"max_sequence_tokens": 4096, "max_batch": 64},
        "search": search,
    }
    return problem_from_dict(stated)


def _problem(seed: int) -> Problem:
    return _catalog_problem(seed) if seed < len(CATALOG) else random_problem(seed)


def _row(space: Space, row: int) -> Row:
    shape = space.shapes[int(space.row_shape[row])]
    group = Group(shape.tp, shape.ep, shape.weight_format, shape.kv_format, shape.slice_ranks, shape.dcp)
    return Row(ReplicaShape(group, shape.layers_per_stage), int(space.row_dp[row]))


def near(mine: float, exact: Decimal | float, relative: float = 1e-9) -> bool:
    return mine == pytest.approx(float(exact), rel=relative, abs=1e-12)


@pytest.mark.parametrize("seed", range(24))
def test_memory_is_the_same_to_the_byte(seed: int) -> None:
    problem = _problem(seed)
    space, stages = build_space(problem), Stages(problem)
    quantities = Quantities(problem, space)
    for number, shape in enumerate(space.shapes):
        group = Group(shape.tp, shape.ep, shape.weight_format, shape.kv_format, shape.slice_ranks, shape.dcp)
        columns = quantities.costs.table.class_of_stage[number]
        for column, stage in zip(columns, stages.of(group, shape.layers_per_stage), strict=True):
            fixed, each = (
                int(quantities.memory.fixed[number, column]),
                int(quantities.memory.per_sequence[number, column]),
            )
            assert int(quantities.memory.weights[number, column]) == stage.weights_bytes, shape
            assert (fixed, fixed + each) == (stage.memory_bytes(0), stage.memory_bytes(1)), shape


@pytest.mark.parametrize("seed", range(24))
def test_times_and_losses_of_rows_are_the_same(seed: int) -> None:
    problem, pick = _problem(seed), random.Random(seed)
    space = build_space(problem)
    quantities, stages = Quantities(problem, space), Stages(problem)
    with sixty_digits():
        for row in pick.sample(range(space.rows), min(6, space.rows)):
            _same_row(problem, quantities, _row(space, row), row, stages)


def test_rows_whose_prefill_reaches_its_cap_are_the_same() -> None:
    """One of the seeds above that is in every run: nothing else notices where the cap of the 99th percentile is dropped."""
    test_times_and_losses_of_rows_are_the_same(8)


def _same_row(problem: Problem, quantities: Quantities, row: Row, at: int, stages: Stages) -> None:
    facts, shape = RowFacts(problem, row, stages), int(quantities.space.row_shape[at])
    for n in (1, 2, 17, 200):
        assert near(float(quantities.service.round_ms[shape, n - 1]), facts.times.round(n)), (row, n)
        assert near(float(quantities.service.tpot_ms[shape, n - 1]), facts.times.tpot(n)), (row, n)
        assert near(float(quantities.service.residence_ms[shape, n - 1]), facts.times.residence(n)[n - 1]), (row, n)
    down = down_of(problem.hardware, row.shape.instance_gpus, row.instances)
    for j in range(min(COUNTED, row.instances) + 1):
        assert near(float(quantities.down.probability[at, j]), down.probabilities[j], 1e-8), (row, j)
    assert float(quantities.down.rest_mean[at]) == pytest.approx(float(down.beyond_instances), rel=1e-6, abs=1e-12)
    for lost, mine in ((1, quantities.down.lost_with_node), (2, quantities.down.lost_with_two_nodes)):
        killed = killed_by_nodes(problem.hardware, row.shape.instance_gpus, row.instances, lost)
        assert int(mine[at]) == killed, (row, lost)
    demand = exact(problem.workload.requests_per_s)
    for j in range(min(2, row.instances - 1) + 1):
        load, points = facts.load(demand, j), quantities.states[j]
        assert bool(points.overloaded[at]) == (load is None), (row, j)
        if load is not None:
            assert (int(points.n50[at]), int(points.n99[at])) == (load.n50, load.n99), (row, j)
            assert near(float(points.mean_ms[at]), load.mean, 1e-8), (row, j)
            for name in LATENCIES:
                assert near(float(points.metric(name)[at]), getattr(load, name), 1e-8), (row, j, name)


def test_the_activations_beside_a_compressed_cache_are_the_same() -> None:
    """What a config with ``head_dim`` beside MLA gave: 4,017,116,672 on one side and 4,184,888,832 bytes on the other.

    Heads so wide that what attention makes of a token is more than the copies for its experts.
    """
    problem = _catalog_problem(1)
    model = problem.model.model_copy(update={"head_dim": 1024})
    problem = problem.model_copy(update={"model": model})
    space = build_space(problem)
    quantities, stages = Quantities(problem, space), Stages(problem)
    for number, shape in enumerate(space.shapes):
        group = Group(shape.tp, shape.ep, shape.weight_format, shape.kv_format, shape.slice_ranks, shape.dcp)
        first = stages.of(group, shape.layers_per_stage)[0]
        assert int(
            quantities.memory.fixed[number, quantities.costs.table.class_of_stage[number][0]]
        ) == first.memory_bytes(0)


def test_a_fraction_of_a_byte_is_a_byte() -> None:
    """A weight of 226 GB was rounded down where a share of its size, not of a byte, counted as noise."""
    from optimizer.costs.memory import _up

    assert _up(np.array([226_000_000_000.2], dtype=np.longdouble)).tolist() == [226_000_000_001]
    assert _up(np.array([226_000_000_000], dtype=np.longdouble)).tolist() == [226_000_000_000]
