"""The public check of an answer about several models on one inventory: each model recomputed, GPUs counted once, and the split compared.

Other homes: ``search/several/cluster_model.py``, ``search/several/cluster_place.py``; docs/several.md, section 8.
"""

from __future__ import annotations

from decimal import Decimal

from optimizer.facts.cluster_models import ClusterModelEntry, ClusterModelsProblem
from optimizer.results.answer import Mismatch, Verification
from optimizer.results.cluster_models import ClusterModelsAnswer, InventoryShare
from optimizer.results.placement import Placement
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.check import verify_inventory
from optimizer.verify.inventory.power import power_figures
from optimizer.verify.several.cluster_survey import TIERS, survey

RESOLUTION = "objectives of each model count in whole milliseconds, rounded up"
TINY = Decimal("1e-9")


@sixty_digits()
def verify_cluster_models(
    problem: ClusterModelsProblem,
    answer: ClusterModelsAnswer,
    *,
    exhaustive: bool = True,
    deadline: float | None = None,
) -> Verification:
    """Recompute every claim about every model from the facts, that no GPU is used twice, and go through other splits where there are few.

    Args:
        exhaustive: False leaves out other splits.
        deadline: of the monotonic clock, after which no better split is looked for.

    Returns:
        ``optimality`` is ``exhaustive`` where every split of instances within groups that bounds do not rule out was stood on the nodes
        and valued, ``bound`` (claimed, not gone through), ``not claimed`` or ``refuted``.
    """
    ledger = CheckLedger()
    if answer.models:
        names = [one.name for one in problem.models]
        if ledger.same("models", names, [one.name for one in answer.models]):
            for served, share in zip(problem.models, answer.models, strict=True):
                _check_share(ledger, served, share, answer, deadline)
            _check_gpus(ledger, problem, answer)
            _check_sums(ledger, problem, answer)
    else:
        ledger.that("status", answer.status in ("infeasible", "unknown"), "infeasible or unknown", answer.status)
        ledger.that("objective", answer.objective is None, "none without a split", answer.objective)
    claims = answer.feasible is None and answer.status in ("optimal", "infeasible") and not ledger.mismatches
    optimality, sets, compared = ("bound" if claims else "not claimed"), 0, 0
    if claims and exhaustive and problem.objective.preset not in TIERS:
        value = None if answer.objective is None else answer.objective.value
        seen = survey(problem, value, Budget(deadline=deadline))
        sets, compared = seen.choices, seen.compared
        optimality = "exhaustive" if seen.complete else "bound"
        if seen.rival is not None:
            optimality = "refuted"
            what = "optimality" if answer.models else "status"
            ledger.that(what, False, f"{seen.rival} is feasible", answer.label or "infeasible")
    return Verification(
        passed=not ledger.mismatches,
        checks=ledger.checks,
        optimality=optimality,
        candidates=sets,
        resolution=RESOLUTION,
        mismatches=tuple(ledger.mismatches),
        compared=compared,
    )


def _check_share(
    ledger: CheckLedger,
    served: ClusterModelEntry,
    share: InventoryShare,
    answer: ClusterModelsAnswer,
    deadline: float | None,
) -> None:
    """Everything that the answer says of one model, as of a model that has the inventory to itself."""
    ledger.same(f"{share.name}: weight", served.weight, share.weight)
    proposed = answer.feasible is not None
    if proposed and not share.answer.pools:
        return  # nothing of it can stand: there are no figures to recompute
    found = verify_inventory(served.problem, share.answer, exhaustive=False, deadline=deadline, proposed=proposed)
    ledger.checks += found.checks
    for one in found.mismatches:
        ledger.mismatches.append(Mismatch(f"{share.name}: {one.what}", one.expected, one.actual))
    if not proposed:
        ledger.that(
            f"{share.name}: pools", bool(share.answer.pools), "instances of every model", len(share.answer.pools)
        )


def _check_gpus(ledger: CheckLedger, problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> None:
    """No GPU is used twice, by whichever models; what is left of each group."""
    seen: dict[str, str] = {}
    twice: list[str] = []
    taken = dict.fromkeys((group.name for group in problem.groups), 0)
    groups = {group.node_name(node): group.name for group in problem.groups for node in range(group.nodes)}
    for share in answer.models:
        for one in share.answer.placement.instances if share.answer.placement else ():
            for place in one.gpus:
                if place.name in seen:
                    twice.append(place.name)
                seen[place.name] = share.name
                if place.node in groups:
                    taken[groups[place.node]] += 1
    _check_power(ledger, problem, answer)
    claimed = answer.feasible is False and any("placement" in one.rules for one in answer.conflicts)
    ledger.that("placement", bool(twice) is claimed or not twice, "every GPU used once", ", ".join(twice[:5]))
    expected = [(group.name, group.gpus, group.gpus - taken[group.name]) for group in problem.groups]
    ledger.same("left", expected, [(one.group, one.free_gpus, one.left_gpus) for one in answer.left])


def _check_power(ledger: CheckLedger, problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> None:
    """What the GPUs of all models draw together."""
    instances = [one for share in answer.models if share.answer.placement for one in share.answer.placement.instances]
    off = {rule for served in problem.models for rule in served.problem.search.disabled_rules}
    for rule, (limit, drawn, *_) in power_figures(problem.inventory, Placement(tuple(instances))).items():
        kept = rule in off or drawn <= limit
        said = any(rule in one.rules for one in answer.conflicts)
        ledger.that(rule, kept or (answer.feasible is False and said), f"at most {float(limit)} W", float(drawn))


def _check_sums(ledger: CheckLedger, problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> None:
    """The weighted sum of the models' objectives, and the price of all GPUs in use."""
    values = [share.answer.objective for share in answer.models]
    claimed = answer.objective
    if None in values:
        ledger.that("objective", claimed is None, "none where a model has none", claimed)
    elif ledger.that("objective", claimed is not None, "an objective of the split", None) and claimed is not None:
        total = Decimal(0)
        for served, value in zip(problem.models, values, strict=True):
            term = Decimal(repr(served.weight)) * Decimal(repr(value.value if value else 0.0))
            total += term
            said = claimed.terms.get(served.name)
            close = said is not None and abs(Decimal(repr(said)) - term) <= TINY * max(Decimal(1), abs(term))
            ledger.that(f"objective.terms.{served.name}", close, term, said)
        ledger.same("objective.terms", {one.name for one in problem.models}, set(claimed.terms))
        close = abs(Decimal(repr(claimed.value)) - total) <= TINY * max(Decimal(1), abs(total))
        ledger.that("objective.value", close, total, claimed.value)
        ledger.that("objective.bound", claimed.bound <= claimed.value, f"at most {claimed.value}", claimed.bound)
        if answer.status == "optimal" and answer.feasible is None:
            ledger.that("objective.bound", claimed.bound == claimed.value, claimed.value, claimed.bound)
    prices = [share.answer.price_per_hour for share in answer.models]
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        ledger.same("price_per_hour", None, answer.price_per_hour)
    else:
        said = answer.price_per_hour
        total_price = sum((Decimal(repr(price)) for price in known), Decimal(0))
        close = said is not None and abs(Decimal(repr(said)) - total_price) <= TINY * max(Decimal(1), abs(total_price))
        ledger.that("price_per_hour", close, total_price, said)
