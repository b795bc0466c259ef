"""Judges figures of a sentence by the ledger of the inventory: of the groups that its clause names, or of all together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from optimizer.auditing.claims import ledger_claim
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import is_operand, is_whole_of_count
from optimizer.auditing.inventory.groups import GroupNames
from optimizer.auditing.inventory.ledger import InventoryLedger, Values
from optimizer.auditing.lexicon import DATA
from optimizer.auditing.measures import Measure
from optimizer.auditing.refutable import relation_of
from optimizer.auditing.scopes import Scope
from optimizer.auditing.scored.entries import LedgerEntry, entry_of
from optimizer.auditing.scored.judge import ENOUGH, may_be_wrong, surroundings_of
from optimizer.auditing.scored.local import Local, local_figures, values_with
from optimizer.auditing.scored.scores import Surroundings, score
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import about
from optimizer.results.audit import Claim

_TOTAL = frozenset({"total", "both"})
_NOUNS = frozenset(
    {"card", "host", "copy", "rack", "nodegroup", "layer", "request", "sequence", "token", "head", "expert"}
)


@cache
def _entries() -> tuple[LedgerEntry, ...]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((DATA / "inventory.yaml").read_text(encoding="utf-8"))
    return tuple(entry_of(id, given) for id, given in loaded.items())


@dataclass(frozen=True, slots=True)
class ClauseSubject:
    """What a clause is about: ``meant`` are the values it states, ``others`` those that may explain a figure as well."""

    meant: tuple[Values, ...]
    others: tuple[Values, ...]
    named: bool


def judge_whole(
    sentence: Sentence, context: Context, own: Situation, ledger: InventoryLedger, names: GroupNames, inherited: frozenset[int]
) -> Iterator[Claim]:  # fmt: skip
    """Every figure of a sentence that the words around it tell to be one of the inventory's.

    Args:
        inherited: groups that the sentence goes on about without naming them.
    """
    recent = context.before(sentence)
    for measure in sentence.measures:
        part = not measure.dimension and measure.start > 0 and _PARTITIVE.match(sentence.text)
        if is_operand(sentence.text, measure) or _is_an_index(sentence, measure) or part:
            continue
        said = _judge(sentence, measure, context, own, ledger, names, inherited, recent)
        if said is not None:
            yield said
    context.recent.append(sentence)


_PARTITIVE = re.compile(
    r"\W*(?:of|von|sur)\s(?:its|the|all|den|seinen|ihren|ses|les)\s\d+\s[^,]{3,40},\s", re.IGNORECASE
)
"""``Of its 40 attention heads, each GPU of an instance computes ten``: numbers of what the sentence begins with."""


def _is_an_index(sentence: Sentence, measure: Measure) -> bool:
    """Numbers of GPUs and rows count nothing: ``0,1,2,3``, the first cell of a row."""
    text = sentence.text
    if not measure.dimension and re.match(r"\d[.,]\d", measure.text):
        return True
    if re.match(r",\d", text[measure.end :]) or re.search(r"\d,$", text[: measure.start]) or measure.value == 0:
        return True
    return sentence.statement.kind == "row" and not text[: measure.start].strip() and len(sentence.statement.cells) > 2


def _counts_another(sentence: Sentence, measure: Measure, around: Surroundings, entry: LedgerEntry) -> bool:
    """Whether the first word behind a number that has a class is of another one than what the entry counts: ``1 node in use``."""
    behind = [w for w in around.words if measure.end <= w.start <= measure.end + 12]
    return bool(entry.counted and behind and not behind[0].classes & entry.counted and behind[0].classes & _NOUNS)


def _subject(
    sentence: Sentence, measure: Measure, around: Surroundings, ledger: InventoryLedger, names: GroupNames,
    inherited: frozenset[int],
) -> ClauseSubject:  # fmt: skip
    start, end = sentence.clause(measure.start)
    named = names.of(sentence.text[start:end]) or names.of(sentence.text) or inherited
    groups = tuple(ledger.groups[index] for index in sorted(named))
    clause = {name for word in around.words if start <= word.start < end for name in word.classes}
    if not groups or len(groups) == len(ledger.groups) > 1:
        return ClauseSubject((ledger.whole,), (*groups, *ledger.groups), False)
    if clause & _TOTAL:
        return ClauseSubject((*groups, ledger.whole), (), True)
    return ClauseSubject(groups, (ledger.whole,), True)


def _judge(
    sentence: Sentence, measure: Measure, context: Context, own: Situation, ledger: InventoryLedger, names: GroupNames,
    inherited: frozenset[int], recent: tuple[Sentence, ...],
) -> Claim | None:  # fmt: skip
    listed = [one for one in _entries() if one.unit == measure.dimension]
    if not listed or (not measure.dimension and is_whole_of_count(sentence, measure)):
        return None
    local = local_figures(sentence, measure, recent)
    around = surroundings_of(sentence, recent, local)
    scored = [(one, points) for one in listed if (points := score(one, sentence, measure, around)) > 0]
    scored = [pair for pair in scored if not _counts_another(sentence, measure, around, pair[0])]
    scored.sort(key=lambda pair: -pair[1])
    subject = _subject(sentence, measure, around, ledger, names, inherited)
    if subject.named:
        scored = [pair for pair in scored if pair[0].unless != "named"]
    possible = [(one, points, _values(one, subject.meant, local)) for one, points in scored]
    possible = [one for one in possible if one[2] or (one[0].confirms_only and not subject.named)]
    if not possible or possible[0][1] < ENOUGH:
        return None
    best = possible[0][1]
    for one, points, values in possible:
        known = values + (() if subject.named or not one.confirms_only else _values(one, subject.others, local))
        value = next((v for v in known if measure.says(v, one.near)), None)
        if value is not None:
            sure = points >= max(ENOUGH, 0.6 * best) and relation_of(sentence, measure) == "="
            return ledger_claim(sentence, measure, one, value, True) if sure else None
    first, points, expected = next((one for one in possible if not one[0].confirms_only), possible[0])
    if first.confirms_only or points < ENOUGH or (measure.word and measure.value == 1):
        return None
    others = [value for one, _ in scored for value in _values(one, subject.others, local)]
    apart = 0.02 if measure.dimension else 0.0
    if any(measure.near(value, apart) for value in (*(v for _, _, values in possible for v in values), *others)):
        return None
    if measure.dimension and any(measure.says(v, one.near) for one in listed for v in _values(one, subject.meant, {})):
        return None  # another figure of the same unit, whatever the words say
    span = sentence.clause(measure.start)
    meant = about(sentence, span, context, own)
    if not may_be_wrong(sentence, measure, first, meant, Scope(frozenset(), False, False), around, span):
        return None
    value = expected[0]
    told = [one for _, _, values in possible for one in values if one > 0]
    if first.unit in ("money/h", "W") and told and measure.value > 0:  # said of one GPU and of all alike: the nearest
        value = min(told, key=lambda one: abs(math.log(one / measure.value)))
    return ledger_claim(sentence, measure, first, value, False)


def _values(entry: LedgerEntry, sets: tuple[Values, ...], local: Local) -> tuple[float, ...]:
    formulas = [formula for listed in entry.values.values() for formula in listed]
    return tuple(value for names in sets for formula in formulas for value in values_with(formula, names, local))
