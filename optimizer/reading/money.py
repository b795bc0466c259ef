"""Weights in money, as the weights in milliseconds that they are: what a second of waiting, a lost request and a GPU-hour cost.

A GPU at p an hour costs p / (3600 · requests/s) for each request; at v for a second of a request's time that is as much as
1000 · p / (3600 · requests/s · v) ms, and a lost request at u counts 1000 · u / v ms. ``docs/model.md``, section 6.
"""

from __future__ import annotations

from optimizer.facts.demand import Objective
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import FailureRates, Pricing

_OF_MS = ("latency_weight", "unserved_weight", "unserved_penalty_ms", "gpu_ms")
HOUR_S = 3600


MOST_MS_UNSERVED, MOST_MS_OF_GPUS = 1e9, 1e9
"""What an unserved request, and all GPUs in use, may count as together with their weights: beyond, whole nanoseconds of an objective
would no longer be compared exactly."""


def in_ms(
    objective: Objective, prices: list[float | None], requests_per_s: float | None, where: str, gpus: int
) -> Objective:
    """The objective with its prices turned into weights; as it is where it states none.

    Args:
        gpus: there are.
        prices: of a GPU-hour, of every group there is.
        requests_per_s: that arrive; None: they follow from each answer.
        where: the field that states a price, for the message.

    Raises:
        ProblemError: weights in money and in ms together, a price that is needed is not stated, or something counts as more than an
            objective can hold.
    """
    return _countable(_in_ms(objective, prices, requests_per_s, where), gpus)


def _countable(objective: Objective, gpus: int) -> Objective:
    each = objective.gpu_ms or 0.0
    if each * gpus > MOST_MS_OF_GPUS:
        said = f"{each:g} ms for each of {gpus:,} GPUs are {each * gpus:.3g} ms; at most {MOST_MS_OF_GPUS:g} ms together are allowed"
        raise ProblemError("objective.gpu_ms", said)
    weight = 1.0 if objective.unserved_weight is None else objective.unserved_weight
    lost = objective.unserved_penalty_ms or 0.0
    if max(1.0, weight) * lost > MOST_MS_UNSERVED:
        said = f"{lost:g} ms at a weight of {weight:g} are not allowed; together at most {MOST_MS_UNSERVED:g} ms"
        raise ProblemError("objective.unserved_penalty_ms", said)
    return objective


def _in_ms(objective: Objective, prices: list[float | None], requests_per_s: float | None, where: str) -> Objective:
    second, lost = objective.price_of_a_second, objective.price_of_an_unserved_request
    if second is None and lost is None:
        return objective
    for name in _OF_MS:
        if getattr(objective, name) is not None:
            raise ProblemError(f"objective.{name}", "is a weight in ms; beside price_of_a_second state prices only")
    if second is None:
        raise ProblemError("objective.price_of_an_unserved_request", "needs objective.price_of_a_second beside it")
    if requests_per_s is None:
        raise ProblemError(
            "objective.price_of_a_second", "needs workload.requests_per_s: a GPU-hour is shared by requests"
        )
    if None in prices:
        raise ProblemError("objective.price_of_a_second", f"needs the price of every GPU; state {where}")
    if len(set(prices)) > 1:
        said = "is for GPUs of one price; where groups differ in price, objective: cheapest puts the price first"
        raise ProblemError("objective.price_of_a_second", said)
    weights = {"gpu_ms": 1000 * (prices[0] or 0.0) / (HOUR_S * requests_per_s * second)}
    if lost is not None:
        weights["unserved_penalty_ms"] = 1000 * lost / second
    prices_gone = {"price_of_a_second": None, "price_of_an_unserved_request": None}
    return objective.model_copy(update={**weights, **prices_gone})


def interruptions(pricing: Pricing, stated: float | None, field: str) -> float:
    """How often an hour the provider takes a node away; 0 where it does not.

    Args:
        field: of the hardware or group, for messages.

    Raises:
        ProblemError: nothing is stated of spot nodes, or it is stated of others.
    """
    if pricing == "spot" and stated is None:
        said = "is needed with pricing: spot: the provider's rate, such as 0.05; the choice rests on it"
        raise ProblemError(f"{field}.interruptions_per_hour", said)
    if pricing != "spot" and stated is not None:
        raise ProblemError(f"{field}.interruptions_per_hour", f"is of spot nodes; state pricing: spot, not {pricing}")
    return stated or 0.0


def with_interruptions(failures: FailureRates, per_hour: float) -> FailureRates:
    """Failures of nodes together with how often they are taken away."""
    if not per_hour:
        return failures
    return failures.model_copy(update={"node_mtbf_hours": 1 / (1 / failures.node_mtbf_hours + per_hour)})
