"""Judges statements of the strategy itself: its degrees, the GPUs it takes, its layers per stage, what it leaves idle."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import after, claim, judged
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import NAMES, Mention, Proposed, digits, hypothetical, mentions
from optimizer.auditing.units import plain_number
from optimizer.results.audit import Claim

_NEGATED = re.compile(
    r"\b(?:not|no|never|without|cannot|can't|infeasible|too many|exceeds?|reject\w*)\b", re.IGNORECASE
)


_CHOSEN = re.compile(
    r"\b(?:we|the (?:deployment|cluster|service|replicas?|plan)) (?:use|run|chose|choose|deploy|propose|serve|will use)s?\b"
    r"|\b(?:is|are|was) (?:set|configured|split|sharded|deployed)\b|\bset to\b|\b(?:chosen|selected|final|configured)\b"
    r"|\b(?:wir|man) (?:nutzen|verwenden|betreiben|fahren|wählen)\b|\bgewählt\b|\bnous (?:utilisons|déployons|retenons)\b"
    r"|^\W*(?:TP|PP|DP|EP|tensor|pipeline|data|expert)\b[^.:=|]{0,24}[:=|]",
    re.IGNORECASE,
)
"""Words by which a sentence says which strategy is used; another degree in any other one may be a variant."""


def judge_strategy(statement: Statement, context: Context) -> Iterator[Claim]:
    """Every strategy or degree named in a statement."""
    proposed = context.strategy
    if (
        proposed is None
        or statement.line in context.command_lines
        or (statement.kind == "row" and len(statement.cells) > 2)
    ):
        return
    aside = context.about_other(statement)
    seen: set[str] = set()
    for mention in list(mentions(statement.text)) or list(mentions(digits(statement.text))):
        if mention.text in seen:
            continue
        seen.add(mention.text)
        degrees = mention.as_dict
        ours = all(getattr(proposed, which) == value for which, value in degrees.items())
        if aside:
            continue
        if ours:
            yield from _ours(statement, context, proposed, mention)
        elif len(degrees) == 1 and not _NEGATED.search(statement.text):
            which, value = next(iter(degrees.items()))
            if which == "dp" and "replica" in mention.text.lower() and proposed.dp == 1 and "dp" not in proposed.named:
                continue
            alone = {k: getattr(proposed, k) for k in ("tp", "pp", "dp")} | {which: value}
            needed = alone["tp"] * alone["pp"] * alone["dp"]
            if which == "pp" and which not in proposed.named and needed > context.problem.hardware.gpus:
                yield claim(
                    statement,
                    "refuted",
                    f"With TP{alone['tp']} and DP{alone['dp']}, {value} stages would take {needed} GPUs; there are "
                    f"{context.problem.hardware.gpus}.",
                    f"PP{value}",
                    "PP1",
                )
            elif (
                which in proposed.named
                and proposed.line != statement.line
                and _CHOSEN.search(statement.text)
                and not _local(statement)
            ):
                right = getattr(proposed, which)
                yield claim(
                    statement,
                    "contradicted",
                    f"Line {proposed.line} proposes {proposed.label}: {which.upper()} is {right}, not {value}.",
                    f"{which.upper()}{value}",
                    f"{which.upper()}{right}",
                )
    yield from _product(statement)
    if all(_ours_alone(mention, proposed) for mention in mentions(statement.text)):
        yield from _gpus(statement, context, proposed)


def _ours_alone(mention: Mention, proposed: Proposed) -> bool:
    return all(getattr(proposed, which) == value for which, value in mention.degrees)


_TAKES = re.compile(
    r"\s*(?P<sign>=|uses?|takes?|requires?|needs?|occupies)\s*(?:all |exactly |a total of )*(?P<gpus>\d{1,6}) GPUs\b(?! per| each)",
    re.IGNORECASE,
)


def _product(statement: Statement) -> Iterator[Claim]:
    """A whole strategy with the GPUs it is said to take, whichever strategy it is."""
    for mention in mentions(statement.text):
        degrees = mention.as_dict
        place = statement.text.lower().find(mention.text.strip().lower())
        takes = _TAKES.match(statement.text, place + len(mention.text.strip())) if place >= 0 else None
        if takes is None or not {"tp", "pp"} <= set(degrees):
            continue
        gpus, stated = degrees["tp"] * degrees["pp"] * degrees.get("dp", 1), int(takes["gpus"])
        # Replicas that are not named may explain a multiple.
        if stated == gpus or ("dp" not in degrees and not stated % gpus and takes["sign"] != "="):
            continue
        product = " × ".join(str(degrees[which]) for which in ("tp", "pp", "dp") if which in degrees)
        reason = f"{mention.text.strip()} takes {product} = {gpus} GPUs, not {stated}."
        yield claim(statement, "refuted", reason, f"{stated} GPUs", f"{gpus} GPUs")


def _local(statement: Statement) -> bool:
    """Whether a degree may be about a part (prefill and decode pools, other phases)."""
    return bool(
        re.search(
            r"\b(?:prefill|decode|draft|training|attention|MoE|pool|per node|within)\b", statement.text, re.IGNORECASE
        )
    )


def _ours(statement: Statement, context: Context, proposed: Proposed, mention: Mention) -> Iterator[Claim]:
    degrees, hardware, model = mention.as_dict, context.problem.hardware, context.problem.model
    if len(degrees) == 1:
        which, value = next(iter(degrees.items()))
        if which == "tp" and model.attention_heads % value:
            yield claim(
                statement,
                "refuted",
                f"TP has to divide the {model.attention_heads} attention heads; {value} does not.",
                f"TP{value}",
                f"a divisor of {model.attention_heads}",
            )
            return
        if which == "ep" and value > 1 and not model.experts:
            yield claim(
                statement,
                "refuted",
                f"{model.name} is dense: it has no experts to spread, EP is 1.",
                f"EP{value}",
                "EP1",
            )
            return
        yield claim(
            statement,
            "confirmed",
            f"{NAMES[which].capitalize()} parallelism of {value} belongs to {proposed.label}.",
            f"{which.upper()}{value}",
            f"{which.upper()}{value}",
        )
        return
    needs = f"{proposed.label} takes {proposed.tp} × {proposed.pp} × {proposed.dp} = {proposed.gpus} GPUs"
    if proposed.gpus > hardware.gpus:
        yield claim(
            statement,
            "refuted",
            f"{needs}; there are {hardware.gpus}.",
            mention.text.strip(),
            f"at most {hardware.gpus} GPUs",
        )
    elif model.attention_heads % proposed.tp:
        yield claim(
            statement,
            "refuted",
            f"TP has to divide the {model.attention_heads} attention heads; {proposed.tp} does not.",
            mention.text.strip(),
            f"TP a divisor of {model.attention_heads}",
        )
    elif proposed.ep > 1 and not model.experts:
        yield claim(
            statement,
            "refuted",
            f"{model.name} is dense: it has no experts to spread, EP is 1.",
            mention.text.strip(),
            "EP1",
        )
    else:
        yield claim(
            statement,
            "confirmed",
            f"{needs} of {hardware.gpus}, and TP {proposed.tp} divides the {model.attention_heads} attention heads.",
            mention.text.strip(),
            proposed.label,
        )


def _gpus(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    """GPUs required or used, and the share of all of them."""
    text, total = statement.text, context.problem.hardware.gpus
    aside = hypothetical(statement)
    found = after(text, r"\b(?:total )?GPUs (?:required|needed|used|in use)\b", "") or after(
        text,
        r"\b(?:uses?|requires?|needs?|occup(?:y|ies)|takes?|consumes?) (?:all |exactly |a total of )*(?=\d+ GPUs)",
        "",
    )
    if (
        found
        and not aside
        and not re.search(
            r"\b(?:not|never|hardly)\b|n't\b|\bper\b|\beach\b|replica|stage|\bmore\b|additional|redundan",
            text,
            re.IGNORECASE,
        )
    ):
        right = found.amount.value == proposed.gpus
        what = f"{proposed.label} takes {proposed.tp} × {proposed.pp} × {proposed.dp} = {proposed.gpus} GPUs"
        if re.search(r"×\s*EP", text):
            what += " (expert parallelism spreads over GPUs that already exist and multiplies nothing)"
        yield judged(statement, found.amount, right, f"{proposed.gpus}", what)
    busy = re.search(
        r"\b(?:only )?(\d{1,5}) of (?:the )?(\d{1,5}) GPUs (?:are |is )?(?:used|in use|busy)\b", text, re.IGNORECASE
    )
    if busy and not aside and int(busy[2]) == total:
        yield claim(
            statement,
            "confirmed" if int(busy[1]) == proposed.gpus else "refuted",
            f"{proposed.label} uses {proposed.gpus} of {total} GPUs.",
            busy[1],
            f"{proposed.gpus}",
        )
    share = re.search(r"(\d+(?:\.\d+)?)\s?% of (?:the |all )?(?:available |total )?GPUs\b", text, re.IGNORECASE)
    if share and not aside:
        value = 100 * proposed.gpus / total
        right = abs(float(share[1]) - value) < 0.6
        yield claim(
            statement,
            "confirmed" if right else "refuted",
            f"{proposed.label} uses {proposed.gpus} of {total} GPUs, {plain_number(value)} %.",
            f"{share[1]} %",
            f"{plain_number(value)} %",
        )
    if (
        not aside
        and re.search(r"\bno redundancy\b|\bsingle replica\b|\bno replication\b|\bno replicas\b", text, re.IGNORECASE)
        and not any(True for _ in mentions(text))
    ):
        one = proposed.dp == 1
        yield claim(
            statement,
            "confirmed" if one else "refuted",
            f"{proposed.label} runs {proposed.dp} replica{'s' if proposed.dp > 1 else ''} of the model.",
            None,
            f"{proposed.dp}",
        )
