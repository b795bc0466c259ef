"""Judges where groups are said to stand: their zones and racks, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.inventory.groups import GroupNames
from optimizer.auditing.sentences import Sentence
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.audit import Claim

_NAME = r"[\"'`“„«]?(?P<name>[\w-]+)"
_WHERE = {
    level: (
        re.compile(
            rf"\b{level}s?\s(?:(?:is|are|that is|which is)\s)?(?:called\s|named\s|heißt\s|namens\s|appelée\s|nommée\s)?{_NAME}",
            re.IGNORECASE,
        ),
        re.compile(rf"{_NAME}[\"'`”“»]?[\s-]{level}\b", re.IGNORECASE),
    )
    for level in ("zone", "rack")
}


def judge_places(sentence: Sentence, problem: InventoryProblem, names: GroupNames) -> Iterator[Claim]:
    """A zone or rack beside one group; a name that is no zone of the inventory is not judged."""
    for level, patterns in _WHERE.items():
        known = {name.casefold(): name for group in problem.groups if (name := _place(group, level))}
        found = sorted(
            (one for pattern in patterns for one in pattern.finditer(sentence.text)), key=lambda one: one.start()
        )
        before = 0
        for match in found:
            said = match["name"]
            if said.casefold() not in known or sentence.has("negation") or sentence.has("hypothetical"):
                continue
            groups = names.of(sentence.text[before : match.end()]) or names.of(sentence.text)
            before = match.end()
            places = {_place(problem.groups[index], level) for index in groups}
            if len(places) != 1 or None in places:
                continue
            right = places.pop()
            assert right is not None
            agrees = right.casefold() == said.casefold()
            who = " and ".join(problem.groups[index].name for index in sorted(groups))
            reason = f"{who} stands in {level} {right}" + ("." if agrees else f", not in {said}.")
            yield subject_claim(sentence, verdict_of(agrees), reason, who, level, "=", right, said)


def _place(group: NodeGroup, level: str) -> str | None:
    return group.zone if level == "zone" else group.rack
