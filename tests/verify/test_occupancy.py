"""What requests in progress hold: moments by enumeration, quantiles by hand, and both homes of the formulas against each other."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Shape
from optimizer.facts.lengths import request_classes
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.occupancy import blocks_in_progress, moments_of_one, standard_normal, wanted_by
from optimizer.verify.uniform.recompute import candidate_of
from tests.verify.builders import LLAMA3_70B, SMALL_DENSE, SMALL_MOE, problem

WINDOWED = {**SMALL_DENSE, "model_type": "mistral", "sliding_window": 256, "use_sliding_window": True}


def test_blocks_are_those_of_every_token() -> None:
    of = problem(workload={"prompt_tokens": 37, "output_tokens": 53, "requests_per_s": 1})
    listed = [-(-(37 + g) // 16) for g in range(53)]
    weight = of.requests[0].weight
    assert blocks_in_progress(of) == {b: weight * listed.count(b) for b in set(listed)}
    found = moments_of_one(blocks_in_progress(of), lambda tokens: Fraction(tokens))
    held = 16 * np.array(listed)
    assert float(found.mean) == pytest.approx(held.mean())
    assert float(found.variance) == pytest.approx(held.var())
    assert float(found.third) == pytest.approx(((held - held.mean()) ** 3).mean())


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001, 1e-6])
def test_normal_quantile(share: float) -> None:
    with sixty_digits():
        assert float(standard_normal(exact(share))) == pytest.approx(norm.isf(share), abs=1e-12)


def test_lognormal_classes_keep_mean_and_percentile() -> None:
    classes = request_classes(1000, 5000, 200, 10**6)
    weights = np.array([one.weight for one in classes])
    prompts = np.array([one.prompt_tokens for one in classes])
    assert np.average(prompts, weights=weights) == pytest.approx(1000, rel=0.002)
    assert weights[prompts > 5000].sum() == pytest.approx(0.01 * weights.sum(), rel=0.2)


@pytest.mark.parametrize("model", [LLAMA3_70B, SMALL_MOE, WINDOWED], ids=["dense", "moe", "window"])
@pytest.mark.parametrize("seed", range(3))
def test_both_homes_agree(model: dict[str, object], seed: int) -> None:
    draw = random.Random(seed)
    prompt = draw.randint(10, 1500)
    of = problem(
        model=model,
        workload={
            "prompt_tokens": prompt,
            "prompt_tokens_p99": draw.choice([None, 2 * prompt]),
            "output_tokens": draw.randint(1, 400),
            "requests_per_s": draw.choice([0.2, 1]),
        },
        requirements={"max_batch": 64},
    )
    stages = draw.choice([1, 2])
    layers = of.model.layers
    split = (layers,) if stages == 1 else (layers // 2, layers - layers // 2)
    shape = Shape(2, stages, 1, of.model.native_weight_format, "fp16", split)
    costs = AnalyticCosts(of, [shape])
    held = costs.memory().held
    assert held is not None
    strategy = Strategy(2, stages, 1, 1, 64, split, of.model.native_weight_format, "fp16")
    facts = candidate_of(of, strategy).facts
    with sixty_digits():
        for stage, column in zip(facts.stages, costs.table.class_of_stage[0], strict=True):
            mine = facts.held(stage)
            assert float(held.mean[0, column]) == pytest.approx(float(mine.mean), rel=1e-12)
            assert float(held.variance[0, column]) == pytest.approx(float(mine.variance), rel=1e-9, abs=1e-3)
            assert float(held.third[0, column]) == pytest.approx(float(mine.third), rel=1e-6, abs=1e3)
            for share in (0.01, 1e-6):
                several = held.of_number(np.array([17]), share)[0, column]
                assert float(several) == pytest.approx(float(wanted_by(17, mine, share)), rel=1e-12)


def test_windows_and_states_hold_what_they_hold() -> None:
    """Beyond its window a layer keeps no more, so the variance of a windowed model is that of its first tokens alone."""
    lengths = {"prompt_tokens": 2000, "output_tokens": 100, "requests_per_s": 0.1}
    full, windowed = (problem(model=model, workload=lengths) for model in (SMALL_DENSE, WINDOWED))
    layers = full.model.layers
    strategy = Strategy(1, 1, 1, 1, 16, (layers,), "bf16", "bf16")
    with sixty_digits():
        everything = candidate_of(full, strategy).facts
        some = candidate_of(windowed, strategy).facts
        of_full, of_window = everything.held(everything.stages[0]), some.held(some.stages[0])
    assert of_window.variance == 0
    assert of_window.mean * 2048 <= of_full.mean * (256 + 32)
