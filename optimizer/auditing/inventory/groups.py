"""Which node groups a text speaks of: by the group's name, by one of its nodes, or by its GPU."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optimizer.auditing.lexicon import common_words, filler_words
from optimizer.auditing.names import gpus_named
from optimizer.facts.inventory import InventoryProblem, NodeGroup

_KINDS = (
    r"(?:groups?|nodes?|servers?|machines?|pool|hosts?|box(?:es)?|GPUs?|cards?|instances?|replicas?|ones|island|cluster|Gruppe|Knoten"
    r"|Servern?|Rechner|Maschinen?|Karten?|Instanz(?:en)?|groupe|nœuds?|noeuds?|serveurs?|cartes?)"
)
_LEADS = r"(?:group|groups|pool|node group|Gruppe|Knotengruppe|groupe|on|auf|sur|of|von|in)"
_UNMISTAKABLE = 4
"""Letters from which on a name that is no common word stands for its group wherever it is."""


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """Where a text names groups: several where two have the GPU that is named."""

    start: int
    end: int
    groups: frozenset[int]


class GroupNames:
    """The ways in which a report may name the groups of an inventory."""

    def __init__(self, problem: InventoryProblem) -> None:
        self._problem = problem
        self._names = [_pattern(group) for group in problem.groups]

    def find(self, text: str) -> list[NamedGroup]:
        """Every place of a text that names groups, in order; of places that overlap the longest."""
        found = [
            NamedGroup(match.start(), match.end(), frozenset({index}))
            for index, pattern in enumerate(self._names)
            for match in pattern.finditer(text)
        ]
        for named in gpus_named(text):
            gpus = {fact.name for fact in named.facts}
            groups = frozenset(i for i, group in enumerate(self._problem.groups) if group.gpu.name in gpus)
            if groups:
                found.append(NamedGroup(named.start, named.end, groups))
        found.sort(key=lambda one: (one.start, one.start - one.end))
        kept: list[NamedGroup] = []
        for one in found:
            if not kept or one.start >= kept[-1].end:
                kept.append(one)
        return kept

    def of(self, text: str) -> frozenset[int]:
        """The groups that a text names; where a GPU leaves several and a name one of these, that one."""
        found = [one.groups for one in self.find(text)]
        sure = frozenset(i for groups in found if len(groups) == 1 for i in groups)
        return sure | frozenset(i for groups in found if not groups & sure for i in groups)

    def without(self, text: str) -> str:
        """A text with an X for every name of a group, whose words then mean nothing else ("the old nodes")."""
        for one in reversed(self.find(text)):
            text = f"{text[: one.start]}X{text[one.end :]}"
        return text

    def of_line(self, text: str, cells: tuple[str, ...]) -> frozenset[int]:
        """The groups of a line; in a row of a table a cell that is nothing but a group's name names it."""
        alone = {cell.strip().casefold() for cell in cells}
        named = frozenset(i for i, group in enumerate(self._problem.groups) if group.name.casefold() in alone)
        return named or self.of(text)


def _pattern(group: NodeGroup) -> re.Pattern[str]:
    words = re.split(r"[\s_-]+", group.name)
    name = r"[\s_-]?".join(map(re.escape, words))
    known = common_words() | filler_words()
    plain = group.name.isalpha() and (len(group.name) < _UNMISTAKABLE or group.name.casefold() in known)
    node = rf"(?<![\w-]){name}-\d+(?![\w-])"
    if plain:
        return re.compile(
            rf"{node}|(?<![\w-]){name}(?=\s{_KINDS}\b)|^\W*{name}(?=\s?[:|])|\b{_LEADS}\s[\"'`“»]?{name}(?![\w-])(?!\s\w)",
            re.IGNORECASE,
        )
    return re.compile(rf"{node}|(?<![\w-]){name}(?![\w-])", re.IGNORECASE)
