"""The audit itself: every recogniser over every statement, in the order in which later ones rely on earlier findings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain, repeat

from optimizer.auditing.added_up import judge_added_up
from optimizer.auditing.advice import judge_advice, judge_verification
from optimizer.auditing.arithmetic import judge_arithmetic
from optimizer.auditing.availability import judge_availability
from optimizer.auditing.cached_lengths import judge_cached_lengths
from optimizer.auditing.capacity import judge_capacity
from optimizer.auditing.carried import judge_carried
from optimizer.auditing.communication import judge_communication
from optimizer.auditing.comparisons import judge_comparisons
from optimizer.auditing.context import Context
from optimizer.auditing.divisions import judge_divisions
from optimizer.auditing.factors import judge_factors
from optimizer.auditing.facts import Situation
from optimizer.auditing.figures import judge_figures
from optimizer.auditing.format_savings import judge_format_savings
from optimizer.auditing.forms import Judge, with_form
from optimizer.auditing.implied import judge_implied
from optimizer.auditing.in_progress import judge_in_progress, judge_together
from optimizer.auditing.labels import shortened
from optimizer.auditing.launch import judge_commands
from optimizer.auditing.layer_counts import judge_layer_counts
from optimizer.auditing.layer_kinds import judge_layer_kinds
from optimizer.auditing.lexicon import Lexicon, lexicon
from optimizer.auditing.link_facts import judge_links
from optimizer.auditing.locality import judge_locality
from optimizer.auditing.losses import judge_losses
from optimizer.auditing.memory import judge_memory, judge_utilisation
from optimizer.auditing.more_or_less import judge_more_or_less
from optimizer.auditing.performance import judge_performance
from optimizer.auditing.period_columns import judge_period_columns
from optimizer.auditing.predicates import judge_predicates
from optimizer.auditing.proportions import judge_proportions
from optimizer.auditing.rates import judge_rates
from optimizer.auditing.reading import Statement, read_report
from optimizer.auditing.remaining_shares import judge_remaining_shares
from optimizer.auditing.replica_counts import judge_occupied, judge_replica_counts
from optimizer.auditing.row_fits import judge_row_fits
from optimizer.auditing.scope_labels import with_scope_labels
from optimizer.auditing.scored import judge_scored
from optimizer.auditing.sections import IN_THAT_CASE, THAT_ONE
from optimizer.auditing.sentences import Sentence, parts_of, sentences_of
from optimizer.auditing.served_rates import LARGEST, ceilings, judge_served_rates
from optimizer.auditing.sheets import with_sheets
from optimizer.auditing.situations import own_situation
from optimizer.auditing.stated_factors import judge_all_lost, judge_stated_factors, without_other_factors
from optimizer.auditing.strategies import Mention
from optimizer.auditing.strategy_claims import judge_strategy
from optimizer.auditing.survivors import judge_survivors
from optimizer.auditing.targets import judge_row
from optimizer.auditing.topics import judge_topics
from optimizer.auditing.variants import judge_variants
from optimizer.auditing.worked_cells import judge_worked_cells
from optimizer.auditing.worked_words import judge_worked_words
from optimizer.facts.problem import Problem
from optimizer.results.audit import VERDICTS, AuditResult, Claim, Unrecognised

# Figures found wrong by the first pass are recognised where the second finds them repeated.
FIRST: tuple[Judge, ...] = (
    with_form("memory", judge_memory),
    with_form("strategy", judge_strategy),
    with_form("link", judge_links),
    with_form("communication", judge_communication),
    with_form("performance", judge_performance),
    with_form("launch", judge_commands),
    with_form("advice", judge_advice),
    with_form("arithmetic", judge_arithmetic),
)
SECOND: tuple[Judge, ...] = (
    with_form("memory share", judge_utilisation),
    with_form("target", judge_row),
    with_form("price over time", judge_period_columns),
    with_form("verification", judge_verification),
)
EVERYWHERE = (FIRST[-1], SECOND[1])
"""What is right or wrong whatever strategy a line is about: arithmetic, and targets beside results."""
worked_cells = with_form("arithmetic", judge_worked_cells)
row_fits = with_form("weights", judge_row_fits)


def audit(report_text: str, problem: Problem) -> AuditResult:
    """Judges each claim of a report that is recognised, and counts the statements that are not.

    Args:
        report_text: the report, Markdown or plain text.
        problem: the facts it is judged by, from ``load_problem``.

    Returns:
        Claims in the order of their lines; of one line the worst verdict first.
    """
    statements = statements_of(report_text)
    context = Context(problem, statements)
    found = {line: [one.claim for one in listed] for line, listed in judged(context).items()}
    label = context.strategy.label if context.strategy else None
    return result_of(problem.name, label, statements, found)


def statements_of(report_text: str) -> tuple[Statement, ...]:
    """The report as the judges read it."""
    return with_scope_labels(with_sheets(read_report(report_text)), report_text.splitlines())


@dataclass(frozen=True, slots=True)
class SentenceClaim:
    """A claim with the sentence it was read from; that is "" for what was read from a line as a whole."""

    claim: Claim
    sentence: str


def judged(context: Context) -> dict[int, list[SentenceClaim]]:
    """Every claim of a report by its line."""
    statements = context.statements
    found: dict[int, list[Claim]] = {statement.line: [] for statement in statements}
    told: dict[int, list[str]] = {statement.line: [] for statement in statements}
    own, words = own_situation(context), lexicon()
    variants = context.variants
    elsewhere = {line for line, mention in variants.of_line.items() if not _ours(mention, own)}
    before: tuple[int, tuple[tuple[int, int, Mention], ...]] = (0, ())
    for statement in statements:
        if statement.readable and _is_prose(statement) and statement.line not in context.command_lines:
            columns = frozenset(variants.of_column.get((statement.section, statement.header), ()))
            for sentence in sentences_of(statement, words, context.language(statement), columns):
                if len(sentence.measures) > MOST_FIGURES:
                    continue
                meant = None if sentence.strategies else variants.meant(statement, sentence.text, sentence.column)
                if statement.line in variants.of_command and not any(
                    "tp" in m.as_dict for *_, m in sentence.strategies
                ):
                    meant = variants.meant(statement, sentence.text)
                if meant:
                    sentence = replace(sentence, strategies=(meant, *sentence.strategies))
                elif not sentence.strategies and THAT_ONE.match(sentence.text) and statement.line - before[0] <= 1:
                    sentence = replace(sentence, strategies=before[1])
                before = (statement.line, sentence.strategies)
                said = _without_heading(sentence, _sentence_claims(sentence, context, words, own))
                if IN_THAT_CASE.match(sentence.text) and not sentence.strategies:
                    said = [one for one in said if one.verdict != "refuted"]  # of what, no line before it tells
                found[statement.line] += _of(sentence, said)
                told[statement.line] += [sentence.text] * (len(found[statement.line]) - len(told[statement.line]))
            found[statement.line] += worked_cells(statement, context)
            found[statement.line] += row_fits(statement, context)
    for judges in (FIRST, SECOND):
        for statement in statements:
            if statement.readable:
                for judge in judges:
                    if statement.line in elsewhere and judge not in EVERYWHERE:
                        continue
                    for part in parts_of(statement):
                        found[statement.line] += judge(part, context)
    return {
        line: [
            SentenceClaim(claim, sentence)
            for claim, sentence in zip(claims, chain(told[line], repeat("")), strict=False)
        ]
        for line, claims in found.items()
    }


def result_of(
    name: str, strategy: str | None, statements: tuple[Statement, ...], found: dict[int, list[Claim]]
) -> AuditResult:
    """The audit of a report whose claims were found, those of a line settled among each other."""
    claims = [claim for line in sorted(found) for claim in _settled(found[line])]
    unknown = tuple(
        Unrecognised(s.line, shortened(s.text)) for s in statements if not found[s.line] and s.kind != "heading"
    )
    return AuditResult(name, strategy, tuple(claims), unknown)


def _sentence_claims(sentence: Sentence, context: Context, words: Lexicon, own: Situation) -> list[Claim]:
    """What the recognisers of single sentences say; the scored core judges the figures that are left."""
    said = [] if sentence.statement.line in context.rows else [*judge_figures(sentence, context, words, own)]
    known = {claim.stated for claim in said if claim.verdict == "confirmed"}
    shares = {one for one in known if one and re.search(re.escape(one) + _PER, sentence.text)}
    rates = {
        one.stated for one in said if one.verdict == "confirmed" and one.parsed and one.parsed.quantity in _TOKEN_RATES
    }
    said += [
        one
        for one in judge_implied(sentence, context, own)
        if not (one.stated in shares and _TIMES_PARTS.search(one.reason))
        and not (one.stated in rates and one.verdict == "refuted")
    ]
    stated = [*judge_predicates(sentence, context, own)]
    said += stated or judge_capacity(sentence, context, own)
    said += judge_locality(sentence, context, own)
    said += judge_carried(sentence, context, own)
    said += judge_comparisons(sentence, context, own)
    said += judge_variants(sentence, own)
    said += judge_rates(sentence)
    said += judge_remaining_shares(sentence)
    said += judge_availability(sentence)
    said += judge_proportions(sentence, own, words)
    said += judge_losses(sentence, own)
    said += judge_survivors(sentence, context, own)
    said += judge_replica_counts(sentence, own)
    said += judge_occupied(sentence, context, own)
    said += judge_divisions(sentence, own)
    said += judge_served_rates(sentence, context, own)
    said += judge_factors(sentence, context, own)
    said += judge_more_or_less(sentence, context, own)
    said += judge_cached_lengths(sentence, context, own)
    said += judge_layer_kinds(sentence, context, own)
    said += judge_layer_counts(sentence, own)
    said += judge_worked_words(sentence, own)
    said += judge_in_progress(sentence, own)
    said += judge_together(sentence, own)
    said += judge_added_up(sentence)
    said += judge_format_savings(sentence, own)
    said += judge_stated_factors(sentence)
    said += judge_all_lost(sentence, own)
    taken = {claim.stated for claim in said if claim.stated}
    said += judge_topics(sentence, context, own, taken)
    taken |= {claim.stated for claim in said if claim.stated}
    said += judge_scored(sentence, context, own, taken)
    said = without_other_factors(sentence, said)
    most = ceilings(sentence)
    if sentence.has("opinion"):
        said = [one for one in said if one.verdict != "refuted"]  # of what somebody finds, no fact decides
    return [c for c in said if not (c.stated in most and c.verdict == "refuted" and not _of_largest(c))]


def _without_heading(sentence: Sentence, claims: list[Claim]) -> list[Claim]:
    """A cell's claims without those that only confirm figures of its column's heading, which say nothing of the cell."""
    start = sentence.text.find(" | ")
    if sentence.statement.kind != "row" or not sentence.column or start < 0:
        return claims
    header = next((one for one in sentence.statement.header if sentence.text.startswith(f"{one}: ", start + 3)), "")
    rest = sentence.text.replace(header, "", 1)
    return [
        one
        for one in claims
        if not (one.verdict == "confirmed" and one.stated and one.stated in header and one.stated not in rest)
    ]


def _of_largest(claim: Claim) -> bool:
    return claim.parsed is not None and claim.parsed.quantity == LARGEST


def _of(sentence: Sentence, claims: list[Claim]) -> list[Claim]:
    """Claims about a sentence, in its words where its line has others beside it; a table row is quoted whole."""
    if sentence.statement.kind == "row":
        return claims
    return [replace(claim, text=shortened(sentence.text)) for claim in claims]


_PER = r"\s(?:per|each|every|je|pro|par|chaque)\b"
_TIMES_PARTS = re.compile(r"×\s\d+ (?:replicas|gpus) =.*, not ")
"""A share that the ledger confirms is no product of the whole and the number of parts."""
_TOKEN_RATES = ("output_rate", "prompt_rate")
"""What the ledger gives of tokens generated or read is no product of the requests with the other of the two lengths."""
MOST_FIGURES = 30
"""Of a sentence with more nothing can be told, and every pair of them would be tried."""
_OPTION = re.compile(r"(?:^|\s)--[a-z]")


def _is_prose(statement: Statement) -> bool:
    """Not code, or a block without a language, in which reports set out figures and formulas; commands are not."""
    if statement.kind == "code" and _OPTION.search(statement.text):
        return False
    return statement.kind != "code" or statement.language in ("", "text", "txt", "plain", "plaintext")


def _ours(mention: Mention, own: Situation) -> bool:
    return own.degrees is not None and all(getattr(own.degrees, which) == n for which, n in mention.degrees)


def _settled(claims: list[Claim]) -> list[Claim]:
    """One line's claims, worst first: none twice, and no praise for the arithmetic of a figure that is wrong or judged."""
    unique = list(dict.fromkeys(claims))
    judged = {claim.stated for claim in unique if claim.reason not in _ARITHMETIC}
    accused = any(claim.verdict in ("refuted", "contradicted") for claim in unique)
    kept = [
        c
        for c in unique
        if not (c.reason in _ARITHMETIC and (accused or _figure(c.stated) in {_figure(j) for j in judged}))
    ]
    return sorted(kept, key=lambda claim: VERDICTS.index(claim.verdict))


_ARITHMETIC = ("The arithmetic is right.", "Both sides are equal.")


def _figure(text: str | None) -> str:
    return (text or "").split(" ")[0].replace(",", "").lower()
