"""What a named rule is: an id, a sentence for people, a way to post itself and a way to judge a finished strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from optimizer.costs.shapes import Bools, Ints
from optimizer.results.answer import RuleResult
from optimizer.search.uniform.quantities import Quantities


class Poster(Protocol):
    """Where rules post themselves: the CP-SAT model, or the screen that looks at rows one by one."""

    def forbid_rows(self, rule: str, forbidden: Bools) -> None: ...
    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None: ...
    def slots_at_most(self, rule: str, limit: int) -> None: ...
    def slots_at_most_rows(self, rule: str, limits: Ints) -> None: ...
    def slots_at_least_rows(self, rule: str, needed: Ints) -> None: ...
    def memory_at_most(self, rule: str, budget: int) -> None: ...


UNBOUNDED = "no finite value: requests pile up"


@dataclass(frozen=True, slots=True)
class Choice:
    """A finished strategy inside the space: a row and the sequences per replica."""

    row: int
    max_num_seqs: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for one problem."""

    id: str
    sentence: str
    post: Callable[[Poster, Quantities], None]
    judge: Callable[[Quantities, Choice], RuleResult]
    demand: str = ""
    """The sentence as what has to be, for the reasons of a conflict; empty where both read alike."""

    @property
    def clause(self) -> str:
        """What has to be, as a part of a longer sentence."""
        said = (self.demand or self.sentence).rstrip(".")
        return said if said[1:2].isupper() else said[0].lower() + said[1:]


@dataclass(frozen=True, slots=True)
class Told:
    """A rule in words: as what is so, and as what has to be."""

    sentence: str
    demand: str


def told(*parts: str | tuple[str, str]) -> Told:
    """A sentence from its parts; of a pair the first is what is so, the second what has to be."""
    return Told(*("".join(part if isinstance(part, str) else part[way] for part in parts) for way in (0, 1)))


DIVIDES = ("divides", "has to divide")


def yes_no(
    rule_id: str,
    text: str | Told,
    allowed: Callable[[Quantities], Bools],
    limit: str,
    actual: Callable[[Quantities, int], str],
) -> Rule:
    """A rule that each row keeps or breaks, whatever the sequences; ``text`` where it reads alike as a demand."""
    said = text if isinstance(text, Told) else Told(text, text)

    def post(model: Poster, quantities: Quantities) -> None:
        model.forbid_rows(rule_id, ~allowed(quantities))

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        holds = bool(allowed(quantities)[choice.row])
        return RuleResult(rule_id, said.sentence, limit, actual(quantities, choice.row), "", holds, None)

    return Rule(rule_id, said.sentence, post, judge, said.demand)


def at_most(rule_id: str, text: str | Told, limit: int, unit: str, values: Callable[[Quantities], Ints]) -> Rule:
    """A rule that bounds a whole-number quantity of the row from above; ``text`` as for ``yes_no``."""
    said = text if isinstance(text, Told) else Told(text, text)

    def post(model: Poster, quantities: Quantities) -> None:
        model.rows_at_most(rule_id, values(quantities), limit)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        actual = int(values(quantities)[choice.row])
        return RuleResult(rule_id, said.sentence, limit, actual, unit, actual <= limit, limit - actual)

    return Rule(rule_id, said.sentence, post, judge, said.demand)
