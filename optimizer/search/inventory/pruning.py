"""Dominated candidates of no plan worth having, found before the proof looks at such plans: ``docs/inventories.md``, section 6.

With what beats them in their places, a plan of dominated candidates becomes one without, whose bound at a multiplier γ is lower by
what each of them earns less than its winner. So any plan with such a candidate is at least that much above the least bound of
all plans without; and where it is so slow that it earns nothing, what its share of the requests costs is added.
"""

from __future__ import annotations

from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.counts import Terms
from optimizer.search.inventory.master import Master


def few_terms(candidates: Candidates, full: Master, few: Master, terms: Terms) -> Terms:
    """The terms of the candidates that no other beats, none of them earning less than what it stands for: no share of slow ones.

    Args:
        offers: of the problem.
        full: a model with every candidate.
        few: one without those that others beat.
        terms: of the full model, each candidate's own.
    """

    def kept(earned_ns: tuple[int, ...]) -> tuple[int, ...]:
        earned: dict[tuple[int, int], int] = {}
        for item, term in zip(full.items, earned_ns, strict=True):
            winner, times = _winner(candidates, item.place, item.position)
            # Bounds of what is earned are rounded up: never let that put the winner below.
            earned[item.place, winner] = max(earned.get((item.place, winner), 0), -(-term // times))
        return tuple(earned[item.place, item.position] for item in few.items)

    by_class = tuple(kept(one) for one in terms.by_class_ns)
    return Terms(terms.gamma_ms, kept(terms.earned_ns), (0,) * len(few.items), by_class)


def pruned(
    candidates: Candidates, full: Master, few: Master, terms: Terms, kept: Terms, *, least_ns: int, most_ns: int
) -> frozenset[tuple[int, int]]:
    """(place, position) of the candidates whose every plan has a bound above ``most_ns``.

    Args:
        offers: of the problem.
        full: a model with every candidate.
        few: one without those that others beat.
        terms: of the full model, each candidate's own.
        kept: ``few_terms``.
        least_ns: the least bound of any plan of the few with these terms alone.
        most_ns: of the objective.
    """
    at = {(item.place, item.position): number for number, item in enumerate(few.items)}
    found = set()
    for number, (item, extra) in enumerate(zip(full.items, terms.extra_ns, strict=True)):
        position, times = _winner(candidates, item.place, item.position)
        winner = at[item.place, position]
        loss = 0
        if position != item.position:
            lines = zip((kept.earned_ns, *kept.by_class_ns), (terms.earned_ns, *terms.by_class_ns), strict=True)
            whole, *classes = (times * best[winner] - own[number] for best, own in lines)
            # The objective is above the larger of two bounds: that of all states at once, and that class by class.
            loss = min(whole, sum(classes)) if classes else whole
            loss += full.gpu_ns * (item.candidate.gpus - times * few.items[winner].candidate.gpus)
        if least_ns + loss + extra > most_ns:
            found.add((item.place, item.position))
    return frozenset(found)


def _winner(candidates: Candidates, place: int, position: int) -> tuple[int, int]:
    """What beats a candidate on a place, and how many of it in place of one; itself where nothing does."""
    return candidates.group_types[candidates.places[place].kind].dominated.get(position, (position, 1))
