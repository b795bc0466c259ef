"""Which models fit some hardware: each in the first of its formats in which a strategy keeps every rule, one solve after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.questions.solve import solve
from optimizer.questions.variants import FIRST
from optimizer.reading.load import resolve_model
from optimizer.reading.stated import Stated
from optimizer.results.answer import Answer
from optimizer.sweeps.points import Point, Spec, failed, point_of

_OF_THE_MODEL = ("requirements.", "workload.")
"""Fields that may ask for more than a model has, such as its context or its own drafts."""
SMALLER = ("fp8", "int4")
"""Formats that are tried after the published one, wider ones first: narrower weights cost quality, which nothing here measures."""


@dataclass(frozen=True, slots=True)
class ModelFit:
    """One model with the point of its answer; figures are None where it does not fit."""

    model: str
    parameters: int
    weight_format: str
    published: bool
    """Whether that is the format of the published checkpoint; another one has to be found or made."""
    point: Point
    left_bytes: int | None
    """Of the fullest GPU: what weights, engine and one longest request leave to the cache of the others."""
    tokens_per_s_of_a_user: float | None
    """Output tokens per second that one request sees, at the median."""


def fit(
    stated: Stated, models: Sequence[str] | None = None, told: Callable[[str], None] = lambda model: None
) -> tuple[ModelFit, ...]:
    """Every model on the stated hardware under the stated workload and limits; those that fit first, best objective first.

    Args:
        stated: a problem on equal nodes; the model that it names is left out of account.
        models: catalog names or paths; left out, every model of the catalog.
        told: called with each model before it is solved for.

    Raises:
        ProblemError: the problem cannot be used, or a named model is not known.
    """
    if "hardware" not in stated.values:
        raise ProblemError(
            "PROBLEM",
            "fit is for hardware: (equal nodes); state a group of cluster: as hardware:; optimizer solve answers for one model",
        )
    found = []
    for index, model in enumerate(models or catalog.names("models")):
        told(model)
        found += _all_of(stated, index, model)
    fits = [one for one in found if one.point.objective is not None]
    fits.sort(key=lambda one: (*_rank(one.point), one.model))
    rest = sorted((one for one in found if one.point.objective is None), key=lambda one: (one.parameters, one.model))
    return (*fits, *rest)


def _rank(point: Point) -> tuple[float, float]:
    """What the preset puts first, then the objective; lower is better."""
    first = FIRST.get(point.preset)
    return (0.0 if first is None else float(first(point))), point.objective.value if point.objective else 0.0


def _all_of(stated: Stated, index: int, model: str) -> list[ModelFit]:
    """The published format where it fits; else every smaller one that does, or the published one with why it does not."""
    first = _one(stated, index, model, None)
    if first.point.objective is not None or first.point.status == "error":
        return [first]
    smaller = [_one(stated, index, model, weights) for weights in SMALLER]
    return [one for one in smaller if one.point.objective is not None] or [first]


def _one(stated: Stated, index: int, model: str, weights: str | None) -> ModelFit:
    """A model in a format; None: the published one."""
    changes = {"model": model, "search.weight_precision": None if weights is None else [weights]}
    spec = Spec(
        index, {"model": model} | ({} if weights is None else {"search.weight_precision": weights}), None, model
    )
    try:
        problem = replace(stated.changed(changes), model=None).problem()
    except ProblemError as error:
        if not error.field.startswith(_OF_THE_MODEL):
            raise
        # What the file asks for is beyond this model: it does not fit, and the others are tried all the same.
        facts = resolve_model(model, stated.folder)
        point = failed(spec, str(error))
        return ModelFit(model, facts.parameters, facts.native_weight_format, True, point, None, None)
    if problem.serving != "joint":
        raise ProblemError(
            "serving",
            f"{problem.serving} is taken by optimizer solve, check, deploy, report, graph, sweep and recommend; state joint here",
        )
    answer = solve(problem, repairs=False)
    assert isinstance(answer, Answer)
    word = answer.strategy.weight_precision if answer.strategy else weights or problem.model.native_weight_format
    point = point_of(spec, problem, answer)
    return ModelFit(model, problem.model.parameters, word, weights is None, point, _left(answer), _rate(answer))


def _left(answer: Answer) -> int | None:
    if answer.metrics is None:
        return None
    return next((int(rule.slack) for rule in answer.rules if rule.id == "memory" and rule.slack is not None), None)


def _rate(answer: Answer) -> float | None:
    if answer.metrics is None or not answer.metrics.tpot_p50_ms:
        return None
    return 1000 / answer.metrics.tpot_p50_ms
