"""The audit of a report about an inventory.

The report is read once for each node group as if all of it were about that group (``views``); what is true of a group that a sentence
may mean is confirmed, and what is wrong for all of them is wrong. Figures of all groups together, and of what the report
proposes for each, are judged by the inventory's own ledger.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from optimizer.auditing.context import Context
from optimizer.auditing.inventory.groups import GroupNames
from optimizer.auditing.inventory.ledger import InventoryLedger, answer_about, ledger_of
from optimizer.auditing.inventory.places import judge_places
from optimizer.auditing.inventory.plan import GroupPlan, ReportPlan, groups_of_command, nothing_planned, read_plan
from optimizer.auditing.inventory.proposed import judge_proposed, label_of
from optimizer.auditing.inventory.views import GroupContext, group_context
from optimizer.auditing.inventory.whole import judge_whole
from optimizer.auditing.judge import SentenceClaim, judged, result_of, statements_of
from optimizer.auditing.lexicon import lexicon, quantities
from optimizer.auditing.reading import Statement
from optimizer.auditing.scored.entries import entries
from optimizer.auditing.sentences import Sentence, sentences_of
from optimizer.auditing.situations import own_situation
from optimizer.auditing.stated_factors import RELATIONS
from optimizer.auditing.strategies import HYPOTHETICAL
from optimizer.auditing.topics.ledger import topics
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.audit import AuditResult, Claim

_BAD = ("refuted", "contradicted")
_BACK = re.compile(
    r"^\W*(?:that|this|it|its|which|these|they|their|those|so|each|das|dies|diese|sie|ihr\w*|davon|deren|cela|ce|elles?|ils?|leur)\b",
    re.IGNORECASE,
)
_EVERY = re.compile(
    r"\b(?:either|both|each of|every|all (?:of them|groups|cards|GPUs|nodes)|in (?:any|every) case|beide\w*|jeweils|alle\w*|tous|toutes"
    r"|chaque|chacun\w*|les deux)\b",
    re.IGNORECASE,
)
_OF_ALL = frozenset({"requests/s", "tokens/s", "money/h", "money/million", "money/request", "W", "%", "ms"})
"""Units of what differs between all groups together and each of them: what one group's facts say does not make it wrong."""
_COUNTS_OF_ALL = frozenset(
    {
        "strategy",
        "gpus",
        "nodes",
        "replicas",
        "gpus_used",
        "gpus_per_node",
        "total_memory",
        "request_rate",
        "losses",
        "idle GPUs",
        "advice",
        "node_memory",
        "tp",
        "stages",
        "gpus_per_replica",
    }
)


_OF_WHOLE = frozenset({"gpus_spare", "replicas_left", "replicas_per_node", "requests_period", "output_period"})
"""Counts that one group's facts never make wrong."""


def audit_inventory(report_text: str, problem: InventoryProblem) -> AuditResult:
    """Judges each claim of a report about an inventory.

    Args:
        report_text: the report, Markdown or plain text.
        problem: from ``load_inventory``.
    """
    statements = statements_of(report_text)
    names = GroupNames(problem)
    first = Context(problem.instance_problem(problem.groups[0], problem.groups[0].nodes), statements)
    plan = (
        read_plan(statements, first.commands, problem, names)
        if problem.serving == "joint"
        else nothing_planned(problem)
    )
    answer = answer_about(problem, plan)
    ledger = ledger_of(problem, plan, answer)
    views = [
        (index, group_context(problem, index, one, _share(ledger, index, shapes), first))
        for index, shapes in enumerate(plan.groups)
        for one in shapes
    ]
    told = [(index, judged(view)) for index, view in views]
    meant = _groups_meant(statements, first, names)
    by_sentence = _own_claims(statements, first, views[0][1], problem, plan, ledger, names)
    found: dict[int, list[Claim]] = {}
    for statement in statements:
        found[statement.line] = [
            *by_sentence[statement.line],
            *_agreed(
                [(index, view[statement.line]) for index, view in told],
                meant[statement.line],
                by_sentence[statement.line],
                names,
            ),
        ]
    return result_of(problem.name, _label(plan, problem), statements, found)


def _share(ledger: InventoryLedger, index: int, shapes: tuple[GroupPlan, ...]) -> float | None:
    """The part of all requests that the instances of one shape get; None where it is not known."""
    share = ledger.groups[index].get("share")
    return None if share is None or len(shapes) > 1 else share / 100


def _label(plan: ReportPlan, problem: InventoryProblem) -> str | None:
    parts = [
        f"{said} on {g.name}" for one, g in zip(plan.groups, problem.groups, strict=True) if (said := label_of(one))
    ]
    return " + ".join(parts) or None


def _sentences(statements: tuple[Statement, ...], context: Context) -> Iterator[tuple[Statement, Sentence]]:
    words = lexicon()
    for statement in statements:
        if statement.readable and statement.kind != "code" and statement.line not in context.command_lines:
            for sentence in sentences_of(statement, words, context.language(statement)):
                yield statement, sentence


def _groups_meant(
    statements: tuple[Statement, ...], context: Context, names: GroupNames
) -> dict[int, dict[str, frozenset[int]]]:
    """By line and sentence the groups that it is about: those that it names, or goes on about; under "" those of the line as a whole."""
    found: dict[int, dict[str, frozenset[int]]] = defaultdict(dict)
    for command in context.commands:
        for line in command.lines:
            found[line][""] = groups_of_command(command, statements, names)
    last: frozenset[int] = frozenset()
    line = 0
    for statement, sentence in _sentences(statements, context):
        groups = names.of_line(sentence.text, statement.cells)
        if not groups and _BACK.match(sentence.text) and statement.line - line <= 1:
            groups = last
        groups = groups or names.of(statement.section.split(" / ")[-1])
        found[statement.line][sentence.text] = groups
        last, line = groups, statement.line
    for statement in statements:
        found[statement.line].setdefault("", names.of_line(statement.text, statement.cells))
    return found


def _own_claims(
    statements: tuple[Statement, ...], first: Context, view: GroupContext, problem: InventoryProblem, plan: ReportPlan,
    ledger: InventoryLedger, names: GroupNames,
) -> dict[int, list[Claim]]:  # fmt: skip
    """What the inventory's own ledger, places and plan say."""
    found: dict[int, list[Claim]] = defaultdict(list)
    own = own_situation(view)
    meant = _groups_meant(statements, first, names)
    for statement, sentence in _sentences(statements, first):
        here = found[statement.line]
        if sentence.has("opinion"):
            continue
        here += judge_proposed(sentence, problem, plan, names)
        here += judge_places(sentence, problem, names)
        here += judge_whole(sentence, first, own, ledger, names, meant[statement.line].get(sentence.text, frozenset()))
    return found


def _agreed(
    views: list[tuple[int, list[SentenceClaim]]], meant: dict[str, frozenset[int]], own: list[Claim], names: GroupNames
) -> Iterator[Claim]:
    """One verdict for each figure of a line, from the views of the groups that its sentence may mean."""
    taken = {claim.stated for claim in own if claim.stated}
    keys = dict.fromkeys(_key(one) for _, view in views for one in view)
    for key in keys:
        sentence = key[0]
        listed = [(index, [one.claim for one in view if _key(one) == key]) for index, view in views]
        groups = _of_clause(sentence, key[1], names) or meant.get(sentence) or frozenset(index for index, _ in views)
        relevant = [claims for index, claims in listed if index in groups]
        right = [claim for claims in relevant for claim in claims if claim.verdict == "confirmed"]
        wrong = [[claim for claim in claims if claim.verdict in _BAD] for claims in relevant]
        same = set(listed[0][1]).intersection(*(claims for _, claims in listed[1:]))
        certain = [claim for claim in same if claim.verdict in _BAD and not _of_ledger(claim)]
        everywhere = _EVERY.search(sentence) and len(groups) > 1
        if certain:
            yield from dict.fromkeys(certain)
        elif right and not (everywhere and any(wrong)):
            yield right[0]
        elif (all(wrong) or (everywhere and any(wrong))) and key[1] not in taken:
            first = next(claims[0] for claims in wrong if claims)
            aside = HYPOTHETICAL.search(names.without(sentence)) and not _of_weights(first)
            relation = first.parsed is not None and first.parsed.quantity in RELATIONS
            of_some = bool(meant.get(sentence)) and (
                bool(everywhere) or len(groups) < len({index for index, _ in views})
            )
            if (relation or not aside) and not _may_be_of_all(first, of_some, sentence):
                yield first
        else:
            yield from dict.fromkeys(c for claims in relevant for c in claims if c.verdict == "unsupported")


def _key(one: SentenceClaim) -> tuple[str, str]:
    stated = one.claim.stated or (one.claim.parsed.quantity if one.claim.parsed else one.claim.reason)
    return one.sentence, stated


def _of_clause(sentence: str, stated: str, names: GroupNames) -> frozenset[int]:
    """The one group that is named between the commas around a figure."""
    place = sentence.find(stated)
    if place < 0:
        return frozenset()
    for marks in ((", ", "; ", ": "), ("; ",)):  # "…; à Ulm, un NVSwitch": or between the semicolons
        start = max(sentence.rfind(mark, 0, place) for mark in marks) + 1
        ends = [end for mark in marks if (end := sentence.find(mark, place)) >= 0]
        groups = names.of(sentence[start : min(ends, default=len(sentence))])
        if groups:
            return groups if len(groups) == 1 else frozenset()
    return frozenset()


@cache
def _ledger_ids() -> frozenset[str]:
    return frozenset(quantities()) | frozenset(one.id for one in entries()) | frozenset(topics()) | _COUNTS_OF_ALL


def _of_ledger(claim: Claim) -> bool:
    """Whether a claim is about a fact, and not arithmetic over the report's own figures."""
    return claim.parsed is None or claim.parsed.quantity.split("/")[0] in _ledger_ids() or ":" in claim.parsed.quantity


def _of_weights(claim: Claim) -> bool:
    """Whether it is about what holds the weights, which is so whatever is proposed."""
    return claim.parsed is not None and claim.parsed.quantity == "weights" and claim.parsed.relation in ("≤", ">")


def _may_be_of_all(claim: Claim, named: bool, sentence: str) -> bool:
    """Whether a figure that is wrong for each group may be one of all together, or of what one group or stage gets of it."""
    if claim.parsed is None:
        return False
    quantity = claim.parsed.quantity.split("/")[0]
    if quantity == "advice":
        return "GPUs" in claim.reason
    if quantity in ("strategy", "idle GPUs") and not _DEGREE.match(claim.stated or ""):
        return True  # GPUs in use and idle: the inventory's own ledger has them
    if quantity in ("layers", "blocks") and _STAGES.search(sentence):
        return True
    return claim.parsed.unit in _OF_ALL or quantity in _OF_WHOLE or (quantity in _COUNTS_OF_ALL and not named)


_DEGREE = re.compile(r"(?:TP|PP|EP)\W?\d|DP\W?\d")
_STAGES = re.compile(r"\b(?:stages?|Stufen?|étages?)\b", re.IGNORECASE)
