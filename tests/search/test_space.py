"""Which candidates there are: the search and the verifier agree, and every layout that ``check`` accepts is among them."""

from __future__ import annotations

import random

import pytest

from optimizer.results.answer import Fixed
from optimizer.search.uniform.space import build_space
from optimizer.verify.common.space import rows
from tests.verify.builders import random_problem


def _searched(problem, fixed):  # type: ignore[no-untyped-def]
    space = build_space(problem, fixed)
    return [
        (s.tp, s.pp, s.ep, s.slice_ranks, s.dcp, s.weight_format, s.kv_format, s.layers_per_stage, int(dp))
        for s, dp in ((space.shapes[i], dp) for i, dp in zip(space.row_shape, space.row_dp, strict=True))
    ]


def _verified(problem, fixed):  # type: ignore[no-untyped-def]
    return {
        (
            g.tensor,
            len(row.shape.layers),
            g.expert,
            g.slicing,
            g.contexts,
            g.weight_format,
            g.kv_format,
            row.shape.layers,
            row.replicas,
        )
        for row, g in ((row, row.shape.group) for row in rows(problem, fixed))
    }


@pytest.mark.parametrize("seed", range(40))
def test_the_search_and_the_verifier_consider_the_same_rows(seed: int) -> None:
    problem, pick = random_problem(seed), random.Random(seed)
    for fixed in (
        Fixed(),
        Fixed(tensor_parallel=pick.choice([1, 2, 4, 8, 16])),
        Fixed(expert_parallel=pick.choice([1, 2, 4, 8]), tensor_parallel=pick.choice([None, 1, 2])),
        Fixed(data_parallel=pick.choice([1, 2, 3, 4])),
        Fixed(pipeline_parallel=pick.choice([1, 2, 40])),
        Fixed(expert_slice_ranks=pick.choice([1, 2, 3]), decode_context_parallel=pick.choice([None, 1, 2])),
    ):
        searched = _searched(problem, fixed)
        assert len(set(searched)) == len(searched)
        assert set(searched) == _verified(problem, fixed)
