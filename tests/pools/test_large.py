"""Pools on thousands of GPUs: proved or with a gap, never refused for their number."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer.costs.failures import down_states
from optimizer.facts.errors import ProblemError
from optimizer.questions.pools import refuse
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.pools import cluster_solve, options, solve, tables
from optimizer.search.pools.cluster_solve import best_of, columns_on, keeps, measured, own_masks, rules_on
from optimizer.search.pools.solve import active_rules, best, columns_of, feasible
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.pools.pair import Shapes
from optimizer.verify.pools.survey import offered
from tests.pools.clusters import cluster_with
from tests.pools.problems import problem_with


def large(nodes: int, **changes: Any) -> dict[str, Any]:
    """A question about two groups of so many nodes of 8 GPUs."""
    group = {"nodes": nodes, "gpus_per_node": 8, "internode_gbit_per_s": 3200}
    groups = [{"name": "a", "gpu": "h100-sxm-80gb"} | group, {"name": "b", "gpu": "h200-sxm-141gb"} | group]
    return {
        "cluster": groups,
        "model": "qwen3-32b",
        "workload": {"prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 6 * nodes},
        "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 60},
        "search": {"weight_precision": ["fp8"], "tensor_parallel": [4, 8]},
    } | changes


def test_more_than_a_thousand_gpus_are_proved() -> None:
    columns = columns_on(cluster_with(**large(64)))
    found = best_of(columns, Clock())
    assert found.outcome == "optimal" and found.picked is not None


def test_too_much_load_is_proved_without_a_model_of_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices of GPUs alone show that no pools have room."""
    problem = cluster_with(**large(64, workload={"prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 3000}))
    columns, rules = columns_on(problem), rules_on(problem)
    assert columns is not None and all(mask.any() for mask in own_masks(columns, rules))
    monkeypatch.setattr(cluster_solve, "run", None)  # no model may be solved
    assert best_of(columns, Clock()).outcome == "infeasible" and keeps(columns, rules) is False


@pytest.mark.parametrize("preset", ["balanced", "throughput", "fewest-gpus"])
def test_few_options_at_a_time_find_what_all_at_once_find(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cluster_with(objective=preset, workload={"requests_per_s": 20})
    columns = columns_on(problem)
    whole = best_of(columns, Clock())
    monkeypatch.setattr(cluster_solve, "CORE", 12)
    monkeypatch.setattr(cluster_solve, "SMALL", 24)
    parts = best_of(columns, Clock())
    assert columns is not None and whole.picked is not None and parts.picked is not None
    tier = {"throughput": "peak", "fewest-gpus": "gpus"}.get(preset, "value")
    assert measured(columns, whole.picked, tier) == measured(columns, parts.picked, tier)
    assert measured(columns, whole.picked, "value") == measured(columns, parts.picked, "value")


def test_states_of_pools_on_their_own_nodes_are_those_of_so_many_nodes() -> None:
    hardware = problem_with(hardware={"nodes": 4, "gpus_per_node": 4, "internode_gbit_per_s": 100}).hardware
    sizes, counts, nodes = (np.array(one) for one in ([1, 2, 1, 4, 1], [3, 4, 8, 2, 3], [1, 2, 4, 2, 3]))
    found = down_states(hardware, sizes, counts, nodes)
    for at in range(len(sizes)):
        alone = hardware.model_copy(update={"nodes": int(nodes[at])})
        one = down_states(alone, sizes[at : at + 1], counts[at : at + 1])
        for name in type(one).__dataclass_fields__:
            assert (getattr(one, name)[0] == getattr(found, name)[at]).all(), name


ON_EQUAL_NODES: list[dict[str, Any]] = [
    {"hardware": {"nodes": 3, "gpus_per_node": 2, "internode_gbit_per_s": 100}, "workload": {"requests_per_s": 9}},
    {"hardware": {"nodes": 2, "gpus_per_node": 4}, "objective": "cheapest"},
    {"hardware": {"nodes": 2, "gpus_per_node": 4}, "objective": "throughput"},
    {"hardware": {"nodes": 2, "gpus_per_node": 4}, "objective": "capacity"},
    {"hardware": {"nodes": 2}, "objective": "capacity", "requirements": {"survive": {"node": 1}, "ttft_p99_ms": 900}},
    {"hardware": {"gpus_per_node": 2}, "workload": {"requests_per_s": 150}},
    {"hardware": {"gpus_per_node": 2}, "workload": {"requests_per_s": 150}, "objective": "capacity"},
]


@pytest.mark.parametrize("case", range(len(ON_EQUAL_NODES)))
def test_many_equal_nodes_are_one_group(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_with(**ON_EQUAL_NODES[case])
    columns, rules = columns_of(problem), active_rules(problem)
    pairs, feasible_then = best(problem, FixedPools(), columns, Clock()), feasible(columns, rules)
    monkeypatch.setattr(solve, "MOST_ROWS", 0)
    assert best(problem, FixedPools(), columns, Clock()) == pairs
    assert feasible(columns, rules) is feasible_then is (case < 5)


def test_thousands_of_equal_nodes_are_not_refused() -> None:
    hardware = {"nodes": 128, "gpus_per_node": 8, "internode_gbit_per_s": 3200}
    problem = problem_with(hardware=hardware, workload={"requests_per_s": 3000})
    refuse(problem)
    refuse(problem_with(hardware=hardware, objective="capacity"))
    with pytest.raises(ProblemError, match="NVLink domains over nodes"):
        refuse(problem_with(hardware=hardware | {"nvlink_domain_gpus": 64}))


@sixty_digits()
def test_a_chain_cut_where_nothing_is_seen_has_the_digits_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_with()
    shape = next(iter(offered(problem, Shapes(problem), FixedPool())))
    for rate in (Fraction(1, 1000), Fraction(1, 2), Fraction(10), Fraction(40)):
        cut = shape._chain(rate)
        with monkeypatch.context() as whole:
            whole.setattr("optimizer.verify.pools.shape.UNSEEN", Decimal(10) ** 9000)
            assert len(shape._weights(Decimal(1) / 100000)) == shape.length + 1
            assert cut is not None and shape._chain(rate) == cut
    assert len(shape._weights(Decimal(1) / 100000)) < 100


@pytest.mark.parametrize("changes", [{}, {"workload": {"requests_per_s": 60}, "objective": {"gpu_ms": 5.0}}])
def test_numbers_of_instances_that_are_left_out_are_bounded(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound lies below the best of every number, which lies below the best of those that are tabulated."""
    nodes = {"nodes": 2, "gpus_per_node": 8, "internode_gbit_per_s": 400}
    groups = [{"name": "a", "gpu": "h100-sxm-80gb"} | nodes, {"name": "b", "gpu": "l40s-48gb"} | nodes]
    problem = cluster_with(
        cluster=groups, search={"tensor_parallel": [1]}, **({"workload": {"requests_per_s": 40}} | changes)
    )
    every = columns_on(problem)
    monkeypatch.setattr(tables, "EVERY_COUNT", 4)
    some = columns_on(problem, spacings=(1.3,))
    assert every is not None and some is not None and some.options.thinned and not every.options.thinned
    whole, thin = best_of(every, Clock()), best_of(some, Clock())
    assert whole.outcome == "optimal" and thin.outcome == "feasible" and thin.bound_ns is not None
    assert whole.picked is not None and thin.picked is not None
    best_value, thin_value = measured(every, whole.picked, "value"), measured(some, thin.picked, "value")
    assert thin.bound_ns <= best_value <= thin_value
    assert thin_value - thin.bound_ns < 0.1 * thin_value
    for option in range(0, len(some.options.share[1]), 7):
        block, row = some.options.located(1, option)
        if block.rows.fewest[row] == block.rows.count[row]:
            continue  # every spread of its own number is tabulated
        least, gpus = (column[option] for column in some.least_of_fewer(1))
        for other in np.flatnonzero(
            (every.options.group[1] == block.group)
            & (every.options.crossing[1] == int(block.crossing))
            & (every.options.share[1] == block.share[row])
            & (every.options.of_rows(1, "count") >= block.rows.fewest[row])
            & (every.options.of_rows(1, "count") <= block.rows.count[row])
        ):
            assert least <= every.values[1][other] and gpus <= every.options.of_rows(1, "gpus")[other]


def test_too_many_options_are_thinned_and_too_much_load_stays_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cluster_with(**large(24))
    monkeypatch.setattr(options, "LARGEST_OPTIONS", 8_000)
    monkeypatch.setattr(tables, "EVERY_COUNT", 8)
    columns = columns_on(problem)
    assert columns is not None and columns.options.thinned and 0 < sum(map(len, columns.options.share)) <= 8_000
    found = best_of(columns, Clock())
    assert found.outcome == "feasible" and found.picked is not None and found.bound_ns is not None
    assert measured(columns, found.picked, "value") * 0.99 < found.bound_ns
    heavy = large(24, workload={"prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 1500})
    assert best_of(columns_on(cluster_with(**heavy)), Clock()).outcome == "infeasible"
