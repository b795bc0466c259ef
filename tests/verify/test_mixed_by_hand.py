"""The worked examples of docs/model.md, section 4: residual steps, percentiles and goodput of two kinds of requests, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import pytest

from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.uniform.recompute import candidate_of

Z = NormalDist().inv_cdf(0.99)


def quantile(mean: float, variance: float, third: float) -> float:
    return mean + Z * math.sqrt(variance) + (Z * Z - 1) / 6 * max(0.0, third) / variance


def above(limit: float, mean: float, variance: float, third: float) -> float:
    skew, x = third / variance**1.5, (limit - mean) / math.sqrt(variance)
    return 1 - NormalDist().cdf((math.sqrt(1 + 2 * skew / 3 * (x + skew / 6)) - 1) * 3 / skew)


def test_two_kinds_of_requests_by_hand(tmp_path: Path) -> None:
    """Half of the requests have 500 prompt tokens, half 1,500, all 200 output tokens: one L4, Llama-3.1-8B, 0.4 requests/s."""
    (tmp_path / "two.csv").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,500,200\n1,1500,200\n")
    problem = problem_from_dict(
        {
            "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 1},
            "model": "llama3.1-8b",
            "workload": {"trace": "two.csv", "requests_per_s": 0.4},
            "requirements": {"goodput": {"share": 0.9, "ttft_ms": 1000, "tpot_ms": 100}},
        },
        folder=tmp_path,
    )
    candidate = candidate_of(problem, Strategy(1, 1, 1, 1, 256, (32,), "bf16", "bf16"))
    with sixty_digits():
        load, times = candidate.load, candidate.times
        assert load is not None
        rounds = [float(times.round(n)) for n in range(1, 30)]
        token = [float(times.tpot(n)) for n in range(1, 30)]
        short, long = (float(ms) for ms in times.prompts)

    def at(of: list[float], n: float) -> float:
        return of[int(n) - 1] + (of[int(n)] - of[int(n) - 1]) * (n - int(n))

    number, spread = float(load.number.mean), math.sqrt(float(load.number.variance))
    assert (number, spread) == pytest.approx((6.489, 2.867), abs=5e-4)
    # What the example starts from: the two prompts, a round, a token, and a round with one deviation more in progress.
    d, tau, wider = at(rounds, number + 1), at(token, number + 1), at(rounds, number + 1 + spread)
    assert (short, long, d, tau, wider) == pytest.approx((97.195, 298.529, 72.928, 79.348, 75.078), abs=5e-4)

    rate, x = 0.0004, (short + long) / 2
    rho, e2, e3 = rate * x, (short**2 + long**2) / 2, (short**3 + long**3) / 2
    assert (rho, e2, e3) == pytest.approx((0.07914, 49_283, 13_761_535), rel=1e-4)
    s = d / (1 - rho)
    v = rate * s * e2 / (1 - rho**2)
    k = (rate * s * e3 + 3 * rho * rate * e2 * v) / (1 - rho**3)
    assert (s, v, k) == pytest.approx((79.196, 1571.1, 443_515), rel=1e-4)
    a1, a2 = (s * s + v) / s, (s**3 + 3 * s * v + k) / s
    u = a2 / a1**2 - 1
    a3 = a1**3 * (1 + u) * (1 + 2 * u)
    assert (a1, a2, a3) == pytest.approx((99.033, 16_585.4, 3_912_681), rel=1e-4)

    r1, r2, r3 = 1 / 2 + rho, 1 / 3 + rho + rho**2, 1 / 4 + rho + 1.5 * rho**2 + rho**3
    y = (
        r1 * a1,
        rate * e2 * a1 + r2 * a2 - (r1 * a1) ** 2,
        rate * e3 * a1 + 3 * rate * e2 * r1 * (a2 - a1**2) + r3 * a3 - 3 * r1 * a1 * r2 * a2 + 2 * (r1 * a1) ** 3,
    )
    assert y == pytest.approx((57.355, 5607.7, 1_286_185), rel=1e-4)
    # Start and two steps until it is scheduled, one of them half over on average; its own step; no skewness of two values.
    own = ((long - short) / 2) ** 2
    ttft = 16 + 2 * d - d / 2 + d + x + y[0], own + y[1], y[2]
    assert ttft == pytest.approx((453.54, 15_741.6, 1_286_185), rel=1e-4)
    assert quantile(*ttft) == pytest.approx(805.49, abs=0.01)
    assert float(load.ttft_p99) == pytest.approx(quantile(*ttft), rel=1e-9)

    begun = rho * (d + x + rho * a1) / (1 - rho)
    q2 = tau * rate * e2 / (1 - rho) ** 2
    q3 = tau * (rate * e3 / (1 - rho) ** 3 + 3 * (rate * e2) ** 2 / (1 - rho) ** 4)
    slower = ((wider - d) / (1 - rho)) ** 2
    tpot = tau + begun / 199, 1.2 * (slower + q2 / 199), 1.2 * q3 / 199**2
    assert begun == pytest.approx(23.947, abs=1e-3) and tpot == pytest.approx((79.468, 17.664, 20.848), rel=2e-4)
    assert float(load.tpot_p99) == pytest.approx(quantile(*tpot), rel=1e-9) == pytest.approx(90.113, abs=1e-3)

    missed = above(1000, *ttft), above(100, *tpot)
    assert missed == pytest.approx((5.018e-4, 1.792e-5), rel=1e-3)
    assert float(load.goodput) == pytest.approx(sum(missed), rel=1e-6)

    # A whole request: 199 rounds more. Of the two kinds the shorter is the median, the longer the 99th percentile.
    whole = ttft[0] + 199 * tau + begun
    noise = y[1] + 1.2 * (199**2 * slower + 199 * q2), y[2] + 1.2 * 199 * q3
    beyond = math.hypot((long - short) / 2, quantile(0, *noise))
    assert (whole - (long - short) / 2, whole + beyond) == pytest.approx((16_167.0, 18_396.1), abs=0.1)
    assert float(load.e2e_p50) == pytest.approx(whole - (long - short) / 2, rel=1e-9)
    assert float(load.e2e_p99) == pytest.approx(whole + beyond, rel=1e-9)
