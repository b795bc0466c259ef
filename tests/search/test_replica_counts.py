"""DP as a count gives the same best rows as every row enumerated, and decides feasibility under any subset of the rules."""

from __future__ import annotations

import random

import numpy as np
import pytest

from optimizer.costs.load import chain_length
from optimizer.facts.problem import Problem
from optimizer.search.uniform import replica_counts
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.replica_counts import BEST_KEPT, CountBlock, any_allowed, considered
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots
from optimizer.search.uniform.space import build_space
from tests.verify.builders import random_problem

PRESETS = ("balanced", "latency", "fault-tolerance", "throughput", "fewest-gpus")


def large(seed: int) -> Problem:
    """A random problem on more nodes, with a load to match."""
    pick, problem = random.Random(seed), random_problem(seed)
    nodes = pick.choice([3, 7, 20, 45])
    hardware = problem.hardware.model_copy(update={"nodes": nodes})
    work = problem.workload.model_copy(
        update={"requests_per_s": problem.workload.requests_per_s * pick.choice([0.1, 1, 5])}
    )
    objective = problem.objective.model_copy(
        update={"preset": pick.choice(PRESETS), "gpu_ms": pick.choice([None, None, 0.5, 20.0])}
    )
    return problem.model_copy(update={"hardware": hardware, "workload": work, "objective": objective})


def best_rows(quantities: Quantities) -> list[tuple[int, ...]]:
    """(first tier, objective, GPUs) of the best rows with different degrees."""
    screen = Screen(quantities)
    keys = np.stack(
        [first_tier(quantities, screen.most), objective_at_most_slots(quantities, screen.most), quantities.space.gpus],
        axis=1,
    )
    degrees = np.stack(
        [quantities.space.column(name) for name in ("tp", "pp", "ep", "slice_ranks", "dcp")]
        + [quantities.space.row_dp],
        axis=1,
    )
    rows = sorted(np.flatnonzero(screen.viable).tolist(), key=lambda row: tuple(keys[row]))
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    for row in rows:
        seen.setdefault(tuple(degrees[row].tolist()), tuple(keys[row].tolist()))
    return list(seen.values())[:BEST_KEPT]


@pytest.mark.parametrize("seed", range(60))
def test_the_same_best_rows_as_every_row_enumerated(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_counts, "MOST_ENUMERATED", 0)
    problem = large(seed)
    whole, few = Quantities(problem, build_space(problem)), considered(problem)
    assert best_rows(few) == best_rows(whole)


@pytest.mark.parametrize("seed", range(40))
def test_whether_any_row_is_allowed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some shapes at a time and no further than to the first, with counts and with every row; as all rows at once say."""
    problem = large(seed + 3000)
    if seed % 2:
        tight = problem.requirements.model_copy(update={"tpot_p99_ms": 0.4 + seed})
        problem = problem.model_copy(update={"requirements": tight})
    wanted = bool(Screen(Quantities(problem, build_space(problem))).viable.any())
    monkeypatch.setattr(replica_counts, "CELLS_AT_ONCE", 3 * chain_length(problem))
    assert any_allowed(problem) == wanted
    monkeypatch.setattr(replica_counts, "MOST_ENUMERATED", 0)
    assert any_allowed(problem) == wanted


@pytest.mark.parametrize("seed", range(20))
def test_upper_ends_decide_feasibility_under_any_subset_of_the_rules(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_counts, "MOST_ENUMERATED", 0)
    pick, problem = random.Random(seed), large(seed + 1000)
    whole = Quantities(problem, build_space(problem))
    few = Quantities(problem, replica_counts.decisive_rows(problem))
    rules = [rule.id for rule in rules_for(problem)]
    for _ in range(12):
        active = {rule for rule in rules if pick.random() < 0.7}
        assert Screen(few, None, active).viable.any() == Screen(whole, None, active).viable.any()


@pytest.mark.parametrize("seed", range(20))
def test_what_the_load_decides_only_improves_with_more_instances(seed: int) -> None:
    """The property on which blocks of counts rest."""
    problem = large(seed + 2000)
    quantities = Quantities(problem, build_space(problem))
    names = ("n99", "n50", "mean_ms", "prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
    shape, dp = quantities.space.row_shape, quantities.space.row_dp
    next_of_shape = (np.diff(shape) == 0) & (np.diff(dp) > 0)
    for name in names:
        values = getattr(quantities.normal, name).astype(np.float64)
        if problem.workload.mixed and name[-4:] in ("_p50", "_p99"):
            # Quantiles from cumulants are not sure to shrink: blocks say nothing of them, so that nothing rests on it.
            block = CountBlock(quantities, quantities.space.instances)
            assert not getattr(block.normal, name)[~block.normal.overloaded].any(), name
            continue
        if name == "prefill_p99":
            # Prompts overlap less in a pipeline that is less loaded; blocks take that into account.
            values = np.where(quantities.space.column("pp") == 1, values, 0.0)
        with np.errstate(invalid="ignore"):
            worse = next_of_shape & (np.diff(values) > 1e-9 * np.abs(values[1:]))
        assert not worse.any(), name
