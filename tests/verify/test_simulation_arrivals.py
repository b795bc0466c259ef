"""Sources and lengths: rates, distributions, trace files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimizer.verify.simulation.arrivals import PoissonSource, TraceSource
from optimizer.verify.simulation.lengths import FixedLengths, LognormalPrompts
from optimizer.verify.simulation.trace import Arrival, read_trace, share_of_replica
from tests.verify.sources import ClosedLoopSource, SampledLengths, SpreadLengths

HEADER = "arrived_at,num_prefill_tokens,num_decode_tokens\n"


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_poisson_gaps_have_the_stated_mean_and_are_exponential() -> None:
    source = PoissonSource(50, FixedLengths(10, 5), rng())
    gaps = np.diff([source.take().at_ms for _ in range(20_000)])
    assert gaps.mean() == pytest.approx(20, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)
    assert gaps.min() > 0


def test_lognormal_prompts_keep_mean_and_p99() -> None:
    prompts, outputs = LognormalPrompts(1000, 4000, 10**6, 7).draw(200_000, rng())
    assert np.mean(prompts) == pytest.approx(1000, rel=0.02)
    assert np.percentile(prompts, 99) == pytest.approx(4000, rel=0.03)
    assert set(outputs) == {7}


def test_sampled_lengths_keep_prompt_and_output_together() -> None:
    listed = (Arrival(0, 10, 1), Arrival(1, 20, 2))
    assert set(zip(*SampledLengths(listed).draw(100, rng()), strict=True)) == {(10, 1), (20, 2)}


def test_spread_lengths_stay_in_their_range() -> None:
    prompts, outputs = SpreadLengths(100, 10, 0.5).draw(1000, rng())
    assert 50 <= min(prompts) < max(prompts) <= 150
    assert 5 <= min(outputs) < max(outputs) <= 15


def test_closed_loop_keeps_its_users() -> None:
    source = ClosedLoopSource(2, FixedLengths(1, 1), rng())
    assert [source.take().at_ms, source.take().at_ms] == [0, 0]
    assert source.next_ms == float("inf")
    source.completed(7.0)
    assert source.take().at_ms == 7.0


def test_trace_is_read_in_order_and_dealt(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(HEADER + "2.5,30,3\n0.0,10,1\n1.0,20,2\n")
    requests = read_trace(file)
    assert [(r.at_ms, r.prompt_tokens, r.output_tokens) for r in requests] == [(0, 10, 1), (1000, 20, 2), (2500, 30, 3)]
    assert share_of_replica(requests, 2, 0, "round-robin", rng()) == (requests[0], requests[2])
    parts = [share_of_replica(requests, 2, i, "random", rng()) for i in (0, 1)]
    assert sorted(r.at_ms for part in parts for r in part) == [0, 1000, 2500]
    source = TraceSource(requests)
    assert [source.take() for _ in requests] == list(requests)
    assert source.next_ms == float("inf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arrived_at,num_prefill_tokens\n0,1\n", "num_decode_tokens is missing"),
        (HEADER, "no request"),
        (
            HEADER + "0,ten,1\n",
            "line 2: arrived_at, num_prefill_tokens and num_decode_tokens have to be a time and two whole numbers",
        ),
        (HEADER + "0,10,1\n1,10,0\n", "line 3: needs"),
        (HEADER + "nan,10,1\n", "line 2: needs"),
        (
            HEADER + "0,10\n",
            "line 2: arrived_at, num_prefill_tokens and num_decode_tokens have to be a time and two whole numbers",
        ),
    ],
)
def test_a_broken_trace_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_trace(file)
