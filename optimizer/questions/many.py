"""``solve`` for many problems that share work: the same answers, each proved and verified, in a fraction of the time.

Problems that differ in nodes, arrival rate, limits, failures or weights only form a family. Its tables of costs and load are
computed once (``search.uniform.shared``), and so are the verifier's own (``verify.uniform.shared``). Every answer rests on
two comparisons of all candidates that share no code: the search's, in whole nanoseconds, and the verifier's. ``docs/sweep.md``.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from optimizer.costs.distinct import distinct
from optimizer.explain.uniform.stated_conflict import stated_conflict
from optimizer.explain.uniform.why import binding_sentences
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.questions.uniform import solve
from optimizer.questions.variants import settled
from optimizer.results.answer import Answer, unverified, with_verification
from optimizer.search.uniform.evaluate import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.shared import SharedTables, SpacePart, best, shared_key
from optimizer.search.uniform.space import Space, SpaceTooLargeError, search_limits
from optimizer.verify.uniform.check import verify_answer
from optimizer.verify.uniform.shared import SharedSurvey

MOST_KEPT = 2
MOST_SHAPES = 6000
"""Larger spaces are not shared: their tables would take gigabytes."""


def family_key(problem: Problem) -> Hashable:
    """Problems with equal keys share work in ``solve_many``."""
    return shared_key(problem)


def solve_many(
    problems: Sequence[Problem], *, beside: Sequence[Problem] = (), kept: dict[Hashable, ProblemFamily] | None = None
) -> Iterator[tuple[int, Answer | ProblemError]]:
    """Solve problems, one that is named several times once, family by family.

    Args:
        problems: in any order.
        beside: problems for which tables should do too, because they come in a later call.
        kept: the families of earlier calls, by key; the latest are put here.

    Yields:
        (position, answer) as they are solved; a ``ProblemError`` stands for an answer where ``solve`` would raise it.
        Answers name their rules, binding rules and conflict, but no alternatives, repairs or breakdown.
    """
    families: dict[Hashable, list[int]] = {}
    keys: dict[int, Hashable] = {}
    problems = list(problems)
    for position, stated in enumerate(problems):
        try:
            problem = problems[position] = settled(stated, "a sweep")
        except ProblemError as error:
            yield position, error
            continue
        if id(problem) not in keys:
            keys[id(problem)] = family_key(problem)
        families.setdefault(keys[id(problem)], []).append(position)
    for key, members in families.items():
        also = [problem for problem in beside if family_key(problem) == key]
        yield from _solve_family(problems, members, key, also, {} if kept is None else kept)


def _family(
    key: Hashable, problems: list[Problem], beside: list[Problem], kept: dict[Hashable, ProblemFamily]
) -> ProblemFamily:
    """A family that has tables for the problems: one that is kept, or a new one."""
    found = kept.get(key)
    if found is None or not all(found.covers(problem) for problem in problems):
        try:
            found = ProblemFamily([*problems, *beside])
        except SpaceTooLargeError:
            if not beside:
                raise
            found = ProblemFamily(problems)
        kept.pop(key, None)
        while len(kept) >= MOST_KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = found
    return found


def _solve_family(
    problems: Sequence[Problem],
    members: list[int],
    key: Hashable,
    beside: list[Problem],
    kept: dict[Hashable, ProblemFamily],
) -> Iterator[tuple[int, Answer | ProblemError]]:
    try:
        family = _family(key, [problems[i] for i in members], beside, kept)
    except SpaceTooLargeError as error:
        counts = sorted({problems[i].hardware.gpus for i in members})
        if len(counts) == 1:
            yield from ((i, ProblemError("search", str(error))) for i in members)
            return
        # Fewer GPUs have fewer candidates.
        middle = counts[len(counts) // 2]
        few = [i for i in members if problems[i].hardware.gpus < middle]
        many = [i for i in members if problems[i].hardware.gpus >= middle]
        yield from _solve_family(problems, few, key, [], kept)
        yield from _solve_family(problems, many, key, [], kept)
        return
    known: dict[int, Answer | ProblemError] = {}
    for i in members:
        if id(problems[i]) not in known:
            known[id(problems[i])] = _tried(family, problems[i])
        yield i, known[id(problems[i])]


def _tried(family: ProblemFamily, problem: Problem) -> Answer | ProblemError:
    """The answer, or what went wrong: one problem never ends the run of the others."""
    try:
        return family.solve(problem)
    except ProblemError as error:
        return error
    except Exception as error:
        if os.environ.get("OPTIMIZER_DEBUG"):
            raise
        return ProblemError("", f"a defect in optimizer ({type(error).__name__}: {error})")


class ProblemFamily:
    """Problems with one ``family_key``, solved one after the other.

    Raises:
        SpaceTooLargeError: the one with the most GPUs has more candidates than are modelled.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._problems = problems
        if any(problem.workload.users is not None for problem in problems):
            # Every row has a rate of its own, for which no table of loads is shared.
            self.shared = False
            return
        self._tables = SharedTables(problems)
        self._survey: SharedSurvey | None = None
        self._all_rows: SharedTables | None = None
        self.shared = len(self._tables.space.shapes) <= MOST_SHAPES

    def covers(self, problem: Problem) -> bool:
        """Whether the tables have all candidates of a problem with the same key."""
        if problem.workload.users is not None:
            return True
        share = max(known.requirements.gpu_memory_utilization for known in self._problems)
        most = self._tables.largest.hardware.gpus
        return problem.hardware.gpus <= most and problem.requirements.gpu_memory_utilization <= share

    def solve(self, problem: Problem) -> Answer:
        """The answer to one of the problems; raises what ``solve`` would raise."""
        known = rule_ids(problem)
        unknown = [rule for rule in problem.search.disabled_rules if rule not in known]
        if unknown or not self.shared or "concurrency" in problem.search.disabled_rules:
            # Without that rule more sequences may cost more, and comparing rows at their most sequences proves nothing.
            return replace(solve(problem, repairs=False), alternatives=(), breakdown=None)
        found = best(self._tables, problem)
        return self.infeasible(problem) if found is None else self.optimal(*found)

    def part(self, problem: Problem) -> SpacePart | None:
        """What the rules on degrees, placement and bytes leave of one of the problems; None: nothing."""
        return self._tables.quantities(problem)

    def optimal(self, part: SpacePart, choice: Choice) -> Answer:
        """The answer that a choice is, claimed to be the best and verified."""
        one, only = part.one(choice.row), Choice(0, choice.max_num_seqs)
        rules = judge_rules(one, only)
        answer = Answer(
            problem=one.problem.name,
            status="optimal",
            strategy=strategy_of(one, only),
            metrics=metrics_of(one, only),
            objective=objective_of(one, only, None),
            rules=rules,
            verification=unverified(),
            explanation=tuple(binding_sentences(one.problem, rules)),
            search_limits=self._limits(one.problem),
            cost_source=one.problem.cost_source,
        )
        return self._verified(one.problem, answer)

    def infeasible(self, problem: Problem) -> Answer:
        """The answer that there is none, with the conflict, verified."""
        if self._all_rows is None:
            self._all_rows = SharedTables(self._problems, every_row=True)
        conflict = stated_conflict(self._all_rows.whole(problem))
        answer = Answer(
            problem=problem.name,
            status="infeasible",
            strategy=None,
            metrics=None,
            objective=None,
            rules=(),
            verification=unverified(),
            explanation=(conflict.sentence,),
            conflicts=(conflict,),
            search_limits=self._limits(problem),
            cost_source=problem.cost_source,
        )
        return self._verified(problem, answer)

    def _limits(self, problem: Problem) -> tuple[str, ...]:
        offered = self._tables.offered
        there = offered.gpus <= problem.hardware.gpus if offered.rows else offered.row_dp > 0
        used, of_used = distinct(offered.row_shape[there])
        shapes = tuple(offered.shapes[i] for i in offered.row_shape[there][used].tolist())
        space = Space(shapes, of_used, offered.row_dp[there], offered.slots)
        return tuple(search_limits(problem, space))

    def _verified(self, problem: Problem, answer: Answer) -> Answer:
        if self._survey is None:
            self._survey = SharedSurvey(self._problems)
        return with_verification(answer, verify_answer(problem, answer, shared=self._survey))
