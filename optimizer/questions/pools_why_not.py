"""``why_not`` of pools: why other pools, or joint instances, are not the answer; term by term, which rule, or how much worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from optimizer.explain.common.fixed import fixed_words
from optimizer.explain.common.numbers import milliseconds
from optimizer.explain.pools.compare import NOTHING_MS, TERM_WORDS, said_terms, term_by_term
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, not_split, tenths_of
from optimizer.questions.cluster_mix_beside import against_mix_on
from optimizer.questions.pools_chosen import (
    TIER_WORDS,
    AnyPoolsProblem,
    BestOf,
    chosen_joint,
    chosen_pools,
)
from optimizer.questions.side_by_side_chosen import FixedBoth, SplitsTried, chosen, chosen_both, tried, verified
from optimizer.questions.side_by_side_why import between_mix, both_broken
from optimizer.results.answer import Change, Conflict, Fixed, all_confirmed
from optimizer.results.pools import FixedPool, FixedPools, PoolsRepair
from optimizer.results.pools_why import PoolsKind, PoolsWhyNot
from optimizer.search.common.clock import Clock

if TYPE_CHECKING:
    from optimizer.reading.stated import Stated

TOO_MANY = Conflict(("gpu_count",), "", True)
SAME_MS = 1e-5
"""Objectives within it are equal."""
RATES = (0.9, 1.1, 0.75, 1.25, 0.5, 1.5, 0.25, 2.0, 3.0, 4.0)
"""Parts and multiples of the stated request rate at which it is asked whether the foil wins, nearest first."""
Foil = FixedPools | Fixed | FixedBoth
OFFERED = {"joint": "joint", "disaggregated": "pools"}
"""The instances that a ``serving`` of one kind offers."""
Kind = Literal["joint", "disaggregated", "side-by-side"]
"""What ``serving`` may name: the best of one kind, or of both side by side."""


def pools_why_not(
    problem: AnyPoolsProblem,
    fixed: Fixed,
    pools: FixedPools | None,
    serving: Kind | None = None,
    *,
    share: float | None = None,
    stated: Stated | None = None,
    time_limit_s: float | None = None,
) -> PoolsWhyNot:
    """Why pools, joint instances, or both side by side with the given decisions are not the answer.

    Args:
        problem: equal nodes or an inventory, whatever its ``serving``.
        fixed: decisions of joint instances.
        pools: decisions of pools; with ``fixed``, of those beside the joint instances.
        serving: in place of both, the best of one kind, or of both side by side.
        share: of the requests, what joint instances beside pools are sent, in tenths.
        stated: the problem file, by whose fields changes are named.
        time_limit_s: of everything together.

    Raises:
        ProblemError: no decision, or one that has no meaning here.
    """
    foil = _asked(problem, fixed, pools, serving, share)
    clock = Clock(time_limit_s)
    return against_mix_on(problem, _held_against(problem, foil, stated, clock), clock)


def _held_against(problem: AnyPoolsProblem, foil: Foil, stated: Stated | None, clock: Clock) -> PoolsWhyNot:
    """The verdict on a foil among what is compared: on an inventory either kind alone."""
    best, found = chosen(problem, clock), _best_with(problem, foil, clock)
    if clock.over and (best is None or found is None):
        said = (f"The time limit was reached before {_named(foil)} was decided; allow more.",)
        return _answer(problem, "undecided", found, best, said=said)
    if found is None and isinstance(foil, FixedBoth) and not _best_both(problem, foil, clock).settled:
        said = (f"Not every split of {_named(foil)} was settled: whether one keeps every rule is not known.",)
        return _answer(problem, "undecided", found, best, said=said)
    if found is None:
        return _not_allowed(problem, foil, best, stated, clock)
    seen = all_confirmed(verified(problem, one, of) for one, of in ((found, foil), (best, None)) if one is not None)
    offered = problem.serving == "any" or found.instances == OFFERED[problem.serving]
    if not offered:
        return _answer(problem, "not allowed", found, best, said=_kept_out(problem, found, best), seen=seen,
                       repairs=_opened(problem, found, best))  # fmt: skip
    if best is None:
        said = (f"{found.label} keeps every rule, but it is outside what may be considered, where nothing does.",)
        return _answer(problem, "no optimum", found, None, said=said, seen=seen)
    if _same(found, best):
        said = (f"{best.label} is the best itself: nothing speaks against {_named(foil)}.",)
        return _answer(problem, "best", found, best, said=said, seen=seen)
    if found.first == best.first and abs(found.value_ms - best.value_ms) <= SAME_MS:
        said = (f"{found.label} is a tie with {best.label}: as many ms a request, to the nanosecond.",)
        return _answer(problem, "tie", found, best, said=said, seen=seen, decided="tie-break")
    if found.rank < best.rank:
        said = (f"{found.label} would be better, but it was outside what may be considered: a limit of search.",)
        return _answer(problem, "not allowed", found, best, said=said, seen=seen, decided="search limit")
    decided, worse = _worse(problem, found, best)
    at = _wins_at(problem, foil, clock)
    return _answer(
        problem, "worse", found, best, said=(*worse, *_when(problem, at)), seen=seen, decided=decided, wins_at=at
    )


def _same(foil: BestOf, best: BestOf) -> bool:
    """Whether both are the same decisions, sequences and all."""
    strategies = [getattr(one.answer, "strategy", one.layout) for one in (foil, best)]
    return foil.instances == best.instances and strategies[0] == strategies[1]


def _asked(
    problem: AnyPoolsProblem, fixed: Fixed, pools: FixedPools | None, serving: Kind | None, share: float | None
) -> Foil:
    """Raises ``ProblemError``: no decision, or one that has no meaning here."""
    if serving is not None and (fixed.any or pools is not None):
        raise ProblemError(
            "why-not",
            "asks about one thing: pools (--prefill, --decode), joint instances (--tp, --dp), both of them side by side, or --serving",
        )
    if serving == "side-by-side" or (fixed.any and pools is not None):
        _refuse_both(problem, "--serving" if serving else "--prefill")
        return FixedBoth(fixed, pools or FixedPools(), None if share is None else tenths_of(share))
    if share is not None:
        raise ProblemError(
            "--share", "is for joint instances beside pools: state --tp and --prefill, or --serving side-by-side"
        )
    if not (fixed.any or pools is not None or serving is not None):
        raise ProblemError(
            "why-not", "needs at least one decision, e.g. --prefill tp=4,count=2, --tp 8, or --serving joint"
        )
    if pools is not None or serving == "disaggregated":
        return pools or FixedPools()
    return fixed


def _refuse_both(problem: AnyPoolsProblem, option: str) -> None:
    """Raises ``ProblemError``: joint instances beside pools are not compared here."""
    if isinstance(problem, InventoryProblem):
        raise ProblemError(
            option, "joint instances beside pools are compared on hardware: alone; state one kind of cluster:"
        )
    if not tried(problem):
        why = not_split(problem) or "on one GPU"
        raise ProblemError(option, f"joint instances beside pools are not compared {why}; state either kind alone")


def _best_with(problem: AnyPoolsProblem, foil: Foil, clock: Clock) -> BestOf | None:
    if isinstance(foil, FixedBoth):
        return _best_both(problem, foil, clock).best
    return chosen_pools(problem, foil, clock) if isinstance(foil, FixedPools) else chosen_joint(problem, foil, clock)


def _best_both(problem: AnyPoolsProblem, foil: FixedBoth, clock: Clock) -> SplitsTried:
    return chosen_both(cast("Problem", problem), clock=clock, fixed=foil)


def _named(foil: Foil) -> str:
    if isinstance(foil, FixedBoth):
        sent = "" if foil.tenths is None else f" for {foil.tenths / TENTHS:.0%} of the requests"
        return f"{_named(foil.joint)}{sent} beside {_named(foil.pools)}"
    if isinstance(foil, Fixed):
        return f"joint instances with {fixed_words(foil)}" if foil.any else "joint instances"
    parts = [f"{side} {_words(one)}" for side, one in (("prefill", foil.prefill), ("decode", foil.decode)) if one.any]
    return " and ".join(parts) or "prefill and decode pools"


def _words(pool: FixedPool) -> str:
    shape = "".join(
        f"{name}{value}" for name, value in (("TP", pool.tensor_parallel), ("·EP", pool.expert_parallel)) if value
    )
    words = [f"{pool.count} × {shape or 'any shape'}" if pool.count else shape]
    words += [f"{pool.max_num_seqs} sequences a rank"] if pool.max_num_seqs else []
    words += [f"{pool.weight_precision} weights"] if pool.weight_precision else []
    words += [f"{pool.kv_precision} KV cache"] if pool.kv_precision else []
    words += [f"on {pool.group}"] if pool.group else []
    return ", ".join(word for word in words if word)


def kind_of_pools(problem: AnyPoolsProblem) -> PoolsKind:
    """How answers about pools of a problem are called."""
    return "cluster_pools" if isinstance(problem, InventoryProblem) else "pools"


def _answer(
    problem: AnyPoolsProblem,
    verdict: Any,
    foil: BestOf | None,
    best: BestOf | None,
    *,
    said: tuple[str, ...],
    seen: Any = None,
    decided: str | None = None,
    conflicts: tuple[Conflict, ...] = (),
    repairs: tuple[PoolsRepair, ...] = (),
    wins_at: float | None = None,
) -> PoolsWhyNot:
    difference, terms = None, {}
    if foil is not None and best is not None:
        difference, terms = foil.value_ms - best.value_ms, _difference(foil, best)
    return PoolsWhyNot(
        problem=problem.name,
        kind=kind_of_pools(problem),
        verdict=verdict,
        foil=foil.label if foil is not None else None,
        optimum=best.label if best is not None else None,
        difference_ms=difference,
        difference_terms=terms,
        decided_by=decided,
        conflicts=conflicts,
        repairs=repairs,
        wins_at=wins_at,
        sentences=tuple(f"{one[:1].upper()}{one[1:]}" for one in said),
        verification=seen,
    )


def _difference(foil: BestOf, best: BestOf) -> dict[str, float]:
    one, other = (foil.terms, best.terms) if foil.instances == best.instances else (foil.folded, best.folded)
    found = {name: value - other.get(name, 0.0) for name, value in one.items()}
    # Joint instances on an inventory are counted in whole milliseconds: no term of theirs says so.
    rest = foil.value_ms - best.value_ms - sum(found.values())
    return found | ({"rounding": rest} if abs(rest) >= NOTHING_MS else {})


def _worse(problem: AnyPoolsProblem, foil: BestOf, best: BestOf) -> tuple[str, list[str]]:
    """(what decides, sentences)."""
    terms = _difference(foil, best)
    if foil.first != best.first:
        unit = TIER_WORDS[problem.objective.preset]
        mine, its = (f"{abs(one.first):,.2f}".rstrip("0").rstrip(".") for one in (foil, best))
        decided = "price" if unit == "per hour" else unit
        head = (
            f"{foil.label} keeps every rule, but has {mine} {unit} where {best.label} has {its}; "
            f"objective: {problem.objective.preset} looks at that first."
        )
    else:
        decided = TERM_WORDS.get(*[max(terms, key=lambda term: terms[term])] * 2)
        head = (
            f"{foil.label} keeps every rule, but takes {milliseconds(foil.value_ms)} a request where {best.label} takes "
            f"{milliseconds(best.value_ms)}: {milliseconds(foil.value_ms - best.value_ms)} more ({said_terms(terms)})."
        )
    return decided, [head, *_behind(problem, foil, best, terms)]


def _behind(problem: AnyPoolsProblem, foil: BestOf, best: BestOf, terms: dict[str, float]) -> list[str]:
    if foil.instances == best.instances == "pools":
        return term_by_term(foil.answer, best.answer, terms)
    if foil.instances == best.instances == "joint":
        return []
    if "both" in (foil.instances, best.instances):
        return between_mix(foil, best)
    from optimizer.questions.pools_against import between

    return between(problem, foil, best)


def _kept_out(problem: AnyPoolsProblem, foil: BestOf, best: BestOf | None) -> tuple[str, ...]:
    """That ``serving`` leaves out what keeps every rule, and whether it would win."""
    kind = {"joint": "joint instances", "pools": "prefill and decode pools"}.get(
        foil.instances, "joint instances beside pools"
    )
    said = f"What is stated as serving: {problem.serving} leaves out {kind}."
    if best is None:
        return (said, f"{foil.label} keeps every rule, where nothing that is offered does: state serving: any.")
    if foil.rank < best.rank:
        return (said, f"{foil.label} would be better: {_against(problem, foil, best)}. State serving: any.",
                *_behind(problem, foil, best, {}))  # fmt: skip
    return (said, *_worse(problem, foil, best)[1])


def _against(problem: AnyPoolsProblem, foil: BestOf, best: BestOf) -> str:
    if foil.first != best.first:
        unit = TIER_WORDS[problem.objective.preset]
        return f"{abs(foil.first):,.2f} {unit} against {abs(best.first):,.2f} of {best.label}"
    return f"{milliseconds(foil.value_ms)} a request against {milliseconds(best.value_ms)} of {best.label}"


def _opened(problem: AnyPoolsProblem, foil: BestOf, best: BestOf | None) -> tuple[PoolsRepair, ...]:
    if best is not None and foil.rank >= best.rank:
        return ()
    change = Change("serving", problem.serving, "any")
    return (PoolsRepair((change,), f"Set serving to any (now {problem.serving}): {foil.label}.", foil.label),)


def _not_allowed(
    problem: AnyPoolsProblem, foil: Foil, best: BestOf | None, stated: Stated | None, clock: Clock
) -> PoolsWhyNot:
    """Which rules keep the foil out, and the least changes that would let it in."""
    if isinstance(foil, FixedBoth):
        conflicts, said = both_broken(cast("Problem", problem), foil, clock)
        repairs: tuple[PoolsRepair, ...] = ()
    elif isinstance(foil, Fixed):
        conflicts, repairs, said = _joint_conflict(problem, foil, stated, clock)
    else:
        conflicts, repairs, said = _pools_conflict(problem, foil, clock)
    seen = None
    if best is not None:
        said = [*said, f"The best there is: {best.label}, {milliseconds(best.value_ms)} a request."]
        seen = all_confirmed([verified(problem, best)])
    return _answer(
        problem, "not allowed", None, best, said=tuple(said), seen=seen, conflicts=conflicts, repairs=repairs
    )


def _pools_conflict(
    problem: AnyPoolsProblem, foil: FixedPools, clock: Clock
) -> tuple[tuple[Conflict, ...], tuple[PoolsRepair, ...], list[str]]:
    """Raises ``ProblemError``: no pools have these decisions."""
    if isinstance(problem, InventoryProblem):
        from optimizer.explain.pools.cluster_conflict import cluster_conflict, nearest_pools
        from optimizer.explain.pools.cluster_repair import cluster_repairs
        from optimizer.search.pools.cluster_solve import columns_on

        options = columns_on(problem, foil)
        if options is None:
            return _too_many(cluster_repairs(problem, foil, TOO_MANY, clock)[0], "a group has")
        conflict = cluster_conflict(problem, options, clock)
        nearest = nearest_pools(options, clock)
        repairs, left = cluster_repairs(problem, foil, conflict, clock, nearest.enough)
        return (conflict,), repairs, [conflict.sentence, *nearest.words, *([left] if left else [])]
    from optimizer.explain.pools.conflict import conflict_of, nearest_pair
    from optimizer.explain.pools.repair import repairs_of
    from optimizer.search.pools.solve import columns_of

    columns = columns_of(problem, foil)
    if columns is None:
        return _too_many(repairs_of(problem, foil, TOO_MANY, clock), "there are")
    conflict = conflict_of(problem, columns, clock)
    said = [conflict.sentence, *nearest_pair(problem, columns, clock)]
    return (conflict,), repairs_of(problem, foil, conflict, clock), said


def _too_many(
    repairs: tuple[PoolsRepair, ...], there: str
) -> tuple[tuple[Conflict, ...], tuple[PoolsRepair, ...], list[str]]:
    """Pools that more nodes would allow take more GPUs than there are; others are no pools at all.

    Raises:
        ProblemError: no pools have these decisions, on however many nodes.
    """
    if repairs:
        said = f"These pools take more GPUs than {there}."
        return (Conflict(("gpu_count",), said, True),), repairs, [said]
    raise ProblemError(
        "--prefill", "no pools have these decisions: a shape that the engine does not run, a pair that its connector does not join "
        f"(docs/disaggregated.md, section 8), or more GPUs than {there}"
    )  # fmt: skip


def _joint_conflict(
    problem: AnyPoolsProblem, foil: Fixed, stated: Stated | None, clock: Clock
) -> tuple[tuple[Conflict, ...], tuple[PoolsRepair, ...], list[str]]:
    from optimizer.questions.check import check
    from optimizer.questions.inventory import solve_inventory
    from optimizer.questions.solve import solve

    plain: Any = problem.model_copy(update={"serving": "joint"})
    joint = stated.changed({"serving": None}) if stated is not None else None
    found: Any
    if foil.any:
        found = check(plain, foil, stated=joint, time_limit_s=clock.left_s)
    elif isinstance(plain, InventoryProblem):
        found = solve_inventory(plain, time_limit_s=clock.left_s)
    else:
        found = solve(plain, stated=joint, time_limit_s=clock.left_s)
    repairs = tuple(
        PoolsRepair(one.changes, one.sentence, getattr(one.result, "label", one.result)) for one in found.repairs
    )
    said = [conflict.sentence for conflict in found.conflicts] or [f"{_named(foil)} keeps no rule set of this problem."]
    return found.conflicts, repairs, said


def _wins_at(problem: AnyPoolsProblem, foil: Foil, clock: Clock) -> float | None:
    """The nearest request rate tried at which the foil is best; asked on equal nodes, where a search takes little."""
    if isinstance(problem, InventoryProblem):
        return None
    for factor in RATES:
        if clock.over:
            return None
        rate = round(problem.workload.requests_per_s * factor, 6)
        workload = problem.workload.model_copy(update={"requests_per_s": rate})
        changed = problem.model_copy(update={"workload": workload})
        best = chosen(changed, clock)
        found = _best_with(changed, foil, clock) if best is not None else None
        if best is not None and found is not None and (found.instances, found.layout) == (best.instances, best.layout):
            return rate
    return None


def _when(problem: AnyPoolsProblem, at: float | None) -> list[str]:
    if at is not None:
        return [
            f"It would be the best at {at:g} requests/s (now {problem.workload.requests_per_s:g}), the nearest rate tried."
        ]
    if isinstance(problem, InventoryProblem):
        return []
    low, high = (problem.workload.requests_per_s * factor for factor in (min(RATES), max(RATES)))
    return [f"At no rate tried, from {low:g} to {high:g} requests/s, is it the best."]
