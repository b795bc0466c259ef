"""What a topic is worth: the entries of ``data/topics.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from optimizer.auditing.context import Context
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.lexicon import DATA
from optimizer.auditing.measures import Measure
from optimizer.auditing.said_of import is_one_way, peaks_said
from optimizer.auditing.scored.local import Local, values_with
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


APART = 0.06
"""Relative: nearer figures are not called wrong, whatever the digits; 0.15 where "about" or a round number word stands before."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a figure may be of. ``values`` are formulas; none: it is known and never judged."""

    id: str
    unit: str
    title: str
    values: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    """Least and most: a figure between them may be right for a reason that the report does not give."""
    near: float = 0.0
    confirms_only: bool = False
    unless: str = ""
    limit: bool = False
    told: frozenset[str] = frozenset()
    """Classes of words one of which has to stand in the sentence before a figure is called wrong."""
    far: float = 0.0
    """Factor from the prediction beyond which a forecast is wrong; 0: a prediction makes none wrong."""
    beside: tuple[str, ...] = ()
    """Figures ("s_ms") without which it is not called wrong."""
    most: float = float("inf")
    """Above this it is of something else."""
    one_way: tuple[str, ...] = ()
    """Its values where a figure is said of one direction of a link."""

    @property
    def refutes(self) -> bool:
        """Whether its values can make a figure wrong."""
        return bool(self.values) and (not self.confirms_only or self.far > 0)

    def apart(self, measure: Measure, value: float) -> bool:
        """Whether a figure is as far from one of its values as it has to be to be wrong."""
        if self.far:
            return not value / self.far < measure.value < value * self.far
        relative = 0.15 if measure.hedged or measure.word else APART if measure.dimension else 0.0
        return not measure.near(value, relative)

    def worth(
        self, sentence: Sentence, measure: Measure, meant: About, local: Local, context: Context
    ) -> Iterator[float]:
        """Its values in every situation that is meant, for every choice of the figures beside it."""
        formulas = self.one_way if self.one_way and is_one_way(sentence, measure) else self.values
        for situation in meant.situations:
            if self.unless and self.unless in situation.holds:
                continue
            names = peaks_said(sentence, measure, dict(situation.values))
            if situation.own:
                names |= context.predicted if any("p_" in text for text in self.values) else {}
            for text in formulas:
                yield from values_with(text, names, local)

    def may_be_between(self, measure: Measure, meant: About) -> bool:
        """Whether a figure lies where it may be right in some situation."""
        for situation in meant.situations if self.between else ():
            try:
                low, high = (value_of(one, situation.values) for one in self.between)
            except UnknownName:
                return True
            if any(low <= value <= high * (1 + self.near) for value in measure.values):
                return True
        return False


@cache
def topics() -> dict[str, Topic]:
    """All of them by their ids."""
    loaded: dict[str, dict[str, Any]] = yaml.load((DATA / "topics.yaml").read_text(encoding="utf-8"), _Loader)
    return {
        id: Topic(
            id, given["unit"], given["title"], tuple(str(v) for v in given.get("values", ())), tuple(given.get("between", ())),
            given.get("near", 0.0), given.get("only") == "confirm", given.get("unless", ""), given.get("limit", False),
            frozenset(given.get("told", ())), given.get("far", 0.0), tuple(given.get("with", ())),
            given.get("most", float("inf")), tuple(given.get("one_way", ())),
        )
        for id, given in loaded.items()
    }  # fmt: skip
