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
    r"\b(?:fail\w*|los[ets]\w*|dead|down|outage|goes|gone|takes? with|Ausfall|fällt|ausf\w+|verlier\w*|perd\w*|panne|only|nur|seule\w*"
    r"|at least|further|additional|instead|rather|not|kein\w*|pas)\b",
    re.IGNORECASE,
)
_RUNS = re.compile(
    r"\b(?:runs?|stands?|hosts?|holds?|carr(?:y|ies)|gets?|placed?|has|have|deploy\w*|laufen|läuft|stehen|steht|trägt|tragen|bekommt"
    r"|tournent|tourne|porte|héberge)\b|×|\bTP",
    re.IGNORECASE,
)
_WORDS = {"tp": "TP{}", "pp": "PP{}", "count": "{} instances"}


def judge_proposed(
    sentence: Sentence, problem: InventoryProblem, plan: ReportPlan, names: GroupNames
) -> Iterator[Claim]:
    """Instances of one group, against the plan as the report says it first, and against what the group has room for."""
    if HYPOTHETICAL.search(sentence.text) or _ASIDE.search(sentence.text):
        return
    for groups, what in told_by(sentence.text, problem, names):
        shapes = {plan.groups[index] for index in groups}
        if len(groups) != 1 or not {"tp", "count"} & set(what):
            continue
        index, proposed = next(iter(groups)), shapes.pop()
        group = problem.groups[index]
        known = {"tp": proposed.tp, "pp": proposed.pp or 1, "count": proposed.count}
        wrong = [which for which, value in what.items() if known[which] not in (None, value)]
        stated = ", ".join(_WORDS[which].format(value) for which, value in what.items())
        said = label_of(proposed)
        used = proposed.used
        if not wrong and said is not None and used is not None:
            reason = f"{said} on {group.name}: {used} of its {group.gpus} GPUs."
            yield subject_claim(sentence, "confirmed", reason, group.name, "instances", "=", said, stated)
        elif wrong and said is not None and proposed.line != sentence.statement.line and _RUNS.search(sentence.text):
            reason = f"Line {proposed.line} proposes {said} on {group.name}."
            yield subject_claim(sentence, "contradicted", reason, group.name, "instances", "=", said, stated)


def label_of(plan: GroupPlan) -> str | None:
    """``2 × TP4·PP1``; None: the report does not say it."""
    if plan.tp is None or not plan.count:
        return None
    return f"{plan.count} × TP{plan.tp}·PP{plan.pp or 1}"
