"""What a report proposes for an inventory: for each node group the shape of its instances and how many there are.

``two TP8 replicas on the H100 group, one TP4 on each L40S node``; a row of a table; the launch command below a group's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from optimizer.auditing.inventory.groups import GroupNames
from optimizer.auditing.layouts import NO_PIPELINE
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.reading import Statement
from optimizer.auditing.shell import ShellCommand
from optimizer.auditing.strategies import digits, hypothetical, mentions
from optimizer.facts.inventory import InventoryProblem

_NUMBER = rf"(?:\d{{1,3}}|{NUMBER_WORD})"
_COPY = (
    r"(?:replicas?|copies|copy|instances?|engines?|Exemplare?n?s?|Instanz(?:en)?|Kopien?|Replikate?n?s?|Repliken?|répliques?|moteurs?"
    r"|copies?|exemplaires?)"
)
_CARD = r"(?:GPUs?|cards?|accelerators?|devices|Karten?|Beschleunigern?|cartes?|accélérateurs?)"
_ONES = {"a": 1, "an": 1, "ein": 1, "eine": 1, "einer": 1, "un": 1, "une": 1}
_BESIDE = r"(?:(?!(?:for|per|each|of|je|pro|par|de|and|und|et)\b)[^\W\d][\w-]*\s){0,2}?"
_COUNTS = (
    re.compile(rf"(?<![\w.,/])(?P<n>{_NUMBER}|{'|'.join(_ONES)})\s{_BESIDE}{_COPY}\b", re.IGNORECASE),
    re.compile(rf"(?<![\w.,/])(?P<n>{_NUMBER})\s?[×x*]\s?(?=TP)", re.IGNORECASE),
    re.compile(rf"(?<![\w.,/])(?P<n>{_NUMBER})\s(?:times\s|mal\s|fois\s)?(?=TP\s?[=-]?\d)", re.IGNORECASE),
    re.compile(rf"(?<![\w.,/])(?P<n>{_NUMBER})\s(?:more|further|others?|weitere|zusätzliche|autres)\b", re.IGNORECASE),
)
_LOSS = re.compile(
    r"\b(?:fail\w*|los(?:e|es|t|s|ing|ses)|dead|down|outage|goes (?:down|away|dark|off)\w*|gone|remain\w*|left|survive\w*"
    r"|Ausfall\w*|Ausfälle|fällt|ausf\w+|Verlust\w*"
    r"|verlier\w*|übrig\w*|verbleib\w*|perte|perd\w*|panne|restant\w*|reste\w*)\b",
    re.IGNORECASE,
)
"""Sentences about what a failure takes or leaves say nothing of how many instances there are."""
_EACH_NODE = re.compile(
    r"\b(?:each|every|per|je|jede[rmns]?|pro|chaque|par)\s(?:\S+\s){0,3}?(?:nodes?|servers?|machines?|hosts?|box|Knoten|Servern?|Rechner"
    r"|Maschine|nœud|noeud|serveur)\b",
    re.IGNORECASE,
)
_OF_CARDS = re.compile(
    rf"\b{_COPY}\b[^.;\d]{{0,40}}?\b(?:of|with|on|over|across|onto|spans?|takes?|uses?|needs?|occup(?:y|ies)|has|zu|mit|auf|über|je|à|de|avec"
    rf"|sur|belegt|braucht|nutzt|umfasst|occupe|utilise)\s(?:the |all |je |each )?(?P<n>{_NUMBER})\s{_CARD}\b",
    re.IGNORECASE,
)
_NO_PIPELINE = re.compile(
    r"\b(?:single|one|no|without)\s(?:pipeline|stages?)|\bPP\s?=?1\b|\bohne Pipeline|eine[rn]? (?:einzige[rn]? )?Stufe|sans pipeline",
    re.IGNORECASE,
)
_UNUSED = re.compile(
    r"\b(?:idle|unused|stays? free|in reserve|not used|no instances?|nothing runs|ungenutzt|frei bleib\w*|bleib\w* frei|inutilisée?s?)\b",
    re.IGNORECASE,
)
_CUT = re.compile(r"[,;:.]\s|\s(?:\+|and|und|et|while|whereas|während|tandis que)\s", re.IGNORECASE)
_SHAPE = re.compile(r"\bTP\W?\d")
_COLUMNS = {
    "tp": re.compile(r"^(?:TP|tensor.*)$", re.IGNORECASE),
    "pp": re.compile(r"^(?:PP|pipeline.*|stages?)$", re.IGNORECASE),
    "count": re.compile(r"^(?:instances?|replicas?|copies|count|number|Anzahl|Instanzen|Replikate|répliques?)\b", re.IGNORECASE),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """Equal instances on one group; None: the report does not say."""

    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    count: int | None = None
    line: int = 0
    """Where the report says it first."""

    @property
    def instance_gpus(self) -> int | None:
        """GPUs of one instance; experts over more ranks than TP are over engine replicas of it."""
        return None if self.tp is None else max(self.tp, self.ep or 1) * (self.pp or 1)

    @property
    def used(self) -> int | None:
        """GPUs of all its instances."""
        each = 0 if self.count == 0 else self.instance_gpus
        return None if each is None or self.count is None else self.count * each


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """What is proposed for each group of the inventory, in its order: instances of one shape or of several; at least one entry each."""

    groups: tuple[tuple[GroupPlan, ...], ...]

    @property
    def complete(self) -> bool:
        """Whether every group's instances are known, and there are some."""
        return all(self.used(index) is not None for index in range(len(self.groups))) and any(
            self.used(index) for index in range(len(self.groups))
        )

    def used(self, index: int) -> int | None:
        """GPUs of a group that its instances take."""
        known = [used for one in self.groups[index] if (used := one.used) is not None]
        return sum(known) if len(known) == len(self.groups[index]) else None

    def instances(self, index: int) -> int | None:
        """Instances on a group."""
        known = [one.count for one in self.groups[index] if one.count is not None]
        return sum(known) if len(known) == len(self.groups[index]) else None


@dataclass
class _Shape:
    """A shape while the report is read: what is known of it, and where it was said."""

    what: dict[str, int]
    line: int
    row: bool = False


def read_plan(
    statements: tuple[Statement, ...], commands: tuple[ShellCommand, ...], problem: InventoryProblem, names: GroupNames
) -> ReportPlan:
    """The instances that a report proposes, by group; what it says first of a group counts."""
    found: list[list[_Shape]] = [[] for _ in problem.groups]
    default: dict[str, int] = {}
    over_two: set[int] = set()
    inside = {line for command in commands for line in command.lines}
    for statement in statements:
        if not statement.readable or statement.line in inside:
            continue
        if hypothetical(replace(statement, text=names.without(statement.text))):
            continue
        for groups, what in _told(statement, problem, names):
            if len(groups) > 1 and what.get("pp", 1) > 1:
                over_two |= groups
            elif not groups:
                default = {key: value for key, value in what.items() if value >= 1} | default
            for index in groups:
                _add(found[index], what, statement.line, statement.kind == "row")
    for command in commands:
        degrees = {which: value for which, value, _ in command.degrees() if which in ("tp", "pp", "ep")}
        if "pp" in degrees and any(NO_PIPELINE.search(one.text) for one in statements if one.readable):
            degrees["pp"] = 1  # what is said of the stages goes before a flag
        for index in (groups_of_command(command, statements, names) or range(len(found))) if degrees else ():
            _add(found[index], degrees, 0, False)
    default.pop("count", None)
    plans = []
    for index, group in enumerate(problem.groups):
        shapes = [] if index in over_two else found[index]
        listed = [_planned(default | one.what, one.line) for one in shapes] or [_planned({}, 0)]
        if sum(one.used or 0 for one in listed) > group.gpus:
            listed = [replace(one, count=None) for one in listed]
        plans.append(tuple(listed))
    return ReportPlan(tuple(plans))


def nothing_planned(problem: InventoryProblem) -> ReportPlan:
    """Of a report whose instances are not read."""
    return ReportPlan(tuple((GroupPlan(),) for _ in problem.groups))


def _planned(what: dict[str, int], line: int) -> GroupPlan:
    return GroupPlan(what.get("tp"), what.get("pp"), what.get("ep"), what.get("count"), line)


def _add(shapes: list[_Shape], what: dict[str, int], line: int, row: bool) -> None:
    """Add to what is known of a group's instances; another shape beside it is one only where both are listed together."""
    what = {key: value for key, value in what.items() if value >= 1 or key == "count"}
    of = [
        one
        for one in shapes
        if all(one.what.get(key, what[key]) == what[key] for key in ("tp", "pp", "ep") if key in what)
    ]
    if of:
        one = of[0]
        one.what = what | one.what
        one.line = one.line or line
    elif not shapes or ({"tp", "count"} <= set(what) and (line == shapes[0].line or (row and shapes[0].row))):
        shapes.append(_Shape(dict(what), line, row))


def _told(
    statement: Statement, problem: InventoryProblem, names: GroupNames
) -> Iterator[tuple[frozenset[int], dict[str, int]]]:
    if statement.kind == "row":
        what = _of_row(statement)
        if what:
            yield names.of_line(statement.text, statement.cells), what
        return
    if statement.kind != "code":
        yield from told_by(statement.text, problem, names)


def told_by(text: str, problem: InventoryProblem, names: GroupNames) -> Iterator[tuple[frozenset[int], dict[str, int]]]:
    """Groups with the TP, PP and number of instances that a text gives them, part by part; no groups: of any instance."""
    last: frozenset[int] = frozenset()
    for sentence in re.split(r"(?<=[.!?;])\s+", text):
        if _LOSS.search(sentence) and not _UNUSED.search(sentence):
            continue
        divided = list(_divided(sentence, names))
        if divided:
            yield from divided
            continue
        for part, groups in _parts(sentence, names):
            what = _of_part(part, problem, groups)
            if "count" in what and not groups and last:
                what.pop("count")
            if what:
                yield groups, what
            last = groups or last


_PLACED = re.compile(
    rf"[,:(]?\s(?:and |und |et |davon |of which |of them )?(?P<n>{_NUMBER})\s(?:of them |davon |sind |are )?"
    r"(?:at|on|in|by|for|auf|bei|am|im|à|sur|dans|chez|pour)\s(?:the |our |den |der |dem |die |les? |la )?",
    re.IGNORECASE,
)


def _divided(sentence: str, names: GroupNames) -> Iterator[tuple[frozenset[int], dict[str, int]]]:
    """``four instances with TP4, two at Lyon and two at Ulm``: parts of one number, each of the shape that all have."""
    counted = _COUNTS[0].search(sentence)
    if not counted:
        return
    named = names.find(sentence)
    found: dict[int, int] = {}
    for placed in _PLACED.finditer(sentence, counted.end()):
        cut = _CUT.search(sentence, placed.end())
        end = cut.start() if cut else len(sentence)
        here = next((one.groups for one in named if placed.end() <= one.start < end), frozenset())
        if len(here) != 1 or found.keys() & here:
            return
        found[next(iter(here))] = _value(placed["n"])
    if len(found) < 2 or sum(found.values()) != _value(counted["n"]):
        return
    degrees = {one for mention in mentions(digits(sentence)) for one in mention.degrees if one[0] != "dp"}
    shape = dict(degrees) if len(dict(degrees)) == len(degrees) else {}
    for index, count in found.items():
        yield frozenset((index,)), shape | {"count": count}


def _parts(sentence: str, names: GroupNames) -> Iterator[tuple[str, frozenset[int]]]:
    """Parts of a sentence with one group and one shape in each: ``gpu-east: 2 × TP4 and 1 × TP8``."""
    for segment in _segments(sentence, names):
        groups = names.of(segment)
        shapes = [match.start() for match in _SHAPE.finditer(segment)]
        start = 0
        for one, following in pairwise(shapes):
            cut = _CUT.search(segment, one, following)
            if cut:
                yield segment[start : cut.start()], groups
                start = cut.end()
        yield segment[start:], groups


def _segments(sentence: str, names: GroupNames) -> Iterator[str]:
    """Parts of a sentence with one group in each, cut at the first comma or "and" behind a group that another one follows."""
    named = names.find(sentence)
    start = 0
    for one, following in pairwise(named):
        if one.groups == following.groups and not _SHAPE.search(sentence, one.end, following.start):
            continue
        cut = _CUT.search(sentence, one.end, following.start)
        if cut:
            yield sentence[start : cut.start()]
            start = cut.end()
    yield sentence[start:]


def _of_part(part: str, problem: InventoryProblem, groups: frozenset[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for mention in mentions(digits(part)):
        for which, value in mention.degrees:
            if which != "dp":
                found.setdefault(which, value)
    cards = _OF_CARDS.search(part)
    if "tp" not in found and cards:
        found["tp"] = _value(cards["n"])
    if _NO_PIPELINE.search(part):
        found.setdefault("pp", 1)
    counted = next((match for pattern in _COUNTS if (match := pattern.search(part))), None)
    if counted and groups:
        nodes = {problem.groups[index].nodes for index in groups}
        each = _EACH_NODE.search(part, counted.end())
        each = (
            each if each and "," not in part[counted.end() : each.start()] else None
        )  # "four instances, one per node"
        times = nodes.pop() if each and len(nodes) == 1 else 1
        found["count"] = _value(counted["n"]) * times
    elif groups and _UNUSED.search(part) and len(groups) == 1:
        found["count"] = 0
    return found


def _of_row(statement: Statement) -> dict[str, int]:
    found: dict[str, int] = {}
    for header, cell in zip(statement.header, statement.cells, strict=False):
        for which, pattern in _COLUMNS.items():
            if pattern.match(header.strip()) and re.fullmatch(r"\d{1,3}", cell.strip()):
                found.setdefault(which, int(cell))
        for mention in mentions(cell):
            for which, value in mention.degrees:
                if which != "dp":
                    found.setdefault(which, value)
    return found


_BEFORE = 3
"""Lines above a command that may say which group it is for."""


def groups_of_command(command: ShellCommand, statements: tuple[Statement, ...], names: GroupNames) -> frozenset[int]:
    """The groups that a launch command is for, by its own lines, those right above, or the heading; empty: it is not said."""
    first = min(command.lines)
    own = names.of(" ".join(s.text for s in statements if s.line in command.lines))
    if own:
        return own
    for statement in reversed([s for s in statements if first - _BEFORE <= s.line < first]):
        if groups := names.of(statement.text):
            return groups
    section = next((s.section for s in statements if s.line == first), "")
    return names.of(section)


def _value(word: str) -> int:
    return _ONES.get(word.lower()) or count_of(word)
