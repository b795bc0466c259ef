"""What bounds the rate that an instance is sent: goodput as any other limit; and times next to saturation, which have no bound."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import optimizer
from optimizer.search.inventory.states import Spread
from optimizer.search.inventory.valuation import MOST_UNTIMED_MS, _States
from optimizer.verify.inventory.instance import Instances, shape_of

L4S: dict[str, Any] = {
    "name": "l4s",
    "cluster": [{"name": "a", "gpu": "l4-24gb", "nodes": 3, "gpus_per_node": 1}],
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 281, "output_tokens": 40, "requests_per_s": 0.8},
    "requirements": {"max_sequence_tokens": 2048, "goodput": {"share": 0.95, "tpot_ms": 75, "ttft_ms": 400}},
}
FREE = {**L4S, "requirements": {"max_sequence_tokens": 2048}}
TIGHT = {**L4S, "requirements": {"max_sequence_tokens": 2048, "goodput": {"share": 0.95, "tpot_ms": 50}}}


def test_goodput_bounds_what_an_instance_is_sent() -> None:
    """Inventories took every rate within the slots, as if no goodput were asked for, and the verifier refuted them."""
    answer: Any = optimizer.solve(optimizer.problem_from_dict(L4S))
    assert answer.status == "optimal" and answer.verification.passed, answer.verification.mismatches
    free: Any = optimizer.solve(optimizer.problem_from_dict(FREE))
    (pool,) = answer.pools
    assert pool.strategy.tensor_parallel == 1 and pool.capacity < 0.9 * pool.slots_capacity
    assert free.pools[0].capacity > pool.capacity
    stated: Any = optimizer.problem_from_dict(L4S)
    instance = Instances(stated).of(stated.groups[0], shape_of(pool.strategy))
    assert float(instance.capacity(pool.strategy.max_num_seqs)) == pool.capacity


def test_a_goodput_that_no_rate_keeps_leaves_nothing() -> None:
    answer: Any = optimizer.solve(optimizer.problem_from_dict(TIGHT), repairs=False)
    assert answer.status == "infeasible" and answer.verification.passed, answer.verification.mismatches
    assert "goodput" in " ".join(answer.explanation) or "each" in " ".join(answer.explanation)


@pytest.mark.parametrize("at_saturation_ms", [1e4, 1e9, 1e15])
def test_rare_states_add_nothing_that_is_not_theirs(at_saturation_ms: float) -> None:
    """A state of 4 in 100 billion was timed at the most its instances carry: a billion milliseconds next to saturation."""

    def means(families: object, rates: Any) -> Any:
        return np.where(rates >= 100.0, at_saturation_ms, 120.0 + rates)

    valuation: Any = SimpleNamespace(
        demand=10.0, weights=SimpleNamespace(latency=1.0, unserved=1.0, penalty_ms=6e4), means=means
    )
    down = np.array([[0], [1], [2]])
    probability = np.array([1 - 1e-4, 1e-4, 3.8e-11])
    spread = Spread(down=down, probability=probability, lumped=0.0)
    asked = ((0, 0),), np.array([3]), np.array([10 / 3]), np.array([100.0]), spread
    states = _States(valuation, *asked)
    exact = probability @ np.array([120 + 10 / 3, 125.0, 130.0])
    assert states.served.min() == 1.0
    assert probability @ states.latency_ms == pytest.approx(exact, abs=2 * MOST_UNTIMED_MS)
    # Where what is not served costs nothing, no state with fewer instances takes on their requests, however rare it is.
    valuation.weights.unserved = 0.0
    assert _States(valuation, *asked).served.tolist() == pytest.approx([1.0, 2 / 3, 1 / 3])
