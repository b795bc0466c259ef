"""Judges what a report says of its own instances: their shape and their number on each group."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim
from optimizer.auditing.inventory.groups import GroupNames
from optimizer.auditing.inventory.plan import GroupPlan, ReportPlan, told_by
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.strategies import HYPOTHETICAL
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.audit import Claim

_ASIDE = re.compile(
    r"\b(?:fail\w*|los(?:e|t|s|ing)\w*|dead|down|outage|goes|gone|takes? with|Ausfall|Verlust\w*|fällt|ausf\w+|verlier\w*|perd\w*|panne"
    r"|only|nur|seule\w*|at least|further|additional|instead|rather|not|kein\w*|pas)\b",
    re.IGNORECASE,
)
_RUNS = re.compile(
    r"\b(?:runs?|stands?|hosts?|holds?|carr(?:y|ies)|gets?|placed?|has|have|deploy\w*|laufen|läuft|stehen|steht|trägt|tragen|bekommt"
    r"|tournent|tourne|porte|héberge)\b|×|\bTP",
    re.IGNORECASE,
)
_WORDS = {"tp": "TP{}", "pp": "PP{}", "ep": "EP{}", "count": "{} instances"}


def judge_proposed(
    sentence: Sentence, problem: InventoryProblem, plan: ReportPlan, names: GroupNames
) -> Iterator[Claim]:
    """Instances of one group, against the plan as the report says it first, and against what the group has room for."""
    if HYPOTHETICAL.search(names.without(sentence.text)) or _ASIDE.search(sentence.text):
        return
    for groups, what in told_by(sentence.text, problem, names):
        if len(groups) != 1 or not {"tp", "count"} & set(what):
            continue
        (index,) = groups
        group, shapes = problem.groups[index], plan.groups[index]
        stated = ", ".join(_WORDS[which].format(value) for which, value in what.items())
        said, used = label_of(shapes), plan.used(index)
        if said is None:
            continue
        if any(_agrees(what, one) for one in shapes) or what == {"count": plan.instances(index)}:
            if used is not None:
                reason = f"{said} on {group.name}: {used} of its {group.gpus} GPUs."
                yield subject_claim(sentence, "confirmed", reason, group.name, "instances", "=", said, stated)
        elif shapes[0].line != sentence.statement.line and _RUNS.search(sentence.text):
            reason = f"Line {shapes[0].line} proposes {said} on {group.name}."
            yield subject_claim(sentence, "contradicted", reason, group.name, "instances", "=", said, stated)


def _agrees(what: dict[str, int], one: GroupPlan) -> bool:
    known = {"tp": one.tp, "pp": one.pp or 1, "ep": one.ep or what.get("ep"), "count": one.count}
    return all(known[which] in (None, value) for which, value in what.items())


def label_of(shapes: tuple[GroupPlan, ...]) -> str | None:
    """``2 × TP4·PP1``, shapes joined by a plus; None: the report does not say it."""
    if any(one.tp is None or not one.count for one in shapes):
        return None
    return " + ".join(
        f"{one.count} × TP{one.tp}·PP{one.pp or 1}" + (f"·EP{one.ep}" if (one.ep or 1) > 1 else "") for one in shapes
    )
