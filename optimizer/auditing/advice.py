"""Judges recommendations that presuppose resources, statements that do not apply to serving, and sweeping conclusions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import OPTIMAL, Context
from optimizer.auditing.labels import claim
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import HYPOTHETICAL, Proposed, hypothetical, mentions
from optimizer.auditing.units import plain_number
from optimizer.results.audit import Claim

_MORE = re.compile(
    r"\b(?:more|additional|extra|another|second|new|further|added) (?:\w+ )?(?:GPUs?|nodes?"
    r"|servers?|machines?|hosts?|hardware)\b|\badd(?:ing|s)? [^.]*\b(?:GPUs?|nodes?|hardware)\b"
    r"|\bscal\w+ out\b|\bexpand\w*|\bif (?:\w+ ){0,4}(?:available|added|procured)"
    r"|\bwith \d+ (?:nodes|GPUs|cards)\b|\bold\b|\btested\b|\blegacy\b|\bon \d+ nodes\b|\b(?:two|three|four|multi)[- ]nodes?\b",
    re.IGNORECASE,
)
_TRAINING = re.compile(
    r"\bcheckpoint(?:ing)? (?:interval|frequency|every)|\b(?:steps?|epochs?|hours?) of training"
    r"|\btraining (?:steps?|iterations?|loss|data loss|throughput)|\bepochs?\b|\bgradients?\b"
    r"|\boptimi[sz]er states?\b|\blearning rate\b|\bback-?(?:ward pass|propagation)\b|\bZeRO-?\d?\b|\bactivation (?:re)?checkpointing\b",
    re.IGNORECASE,
)
# What says itself that it needs GPUs, or that it was not chosen, recommends nothing.
_NEEDS = re.compile(
    r"\b(?:if (?:we|one|you)|wenn (?:wir|man)|si (?:nous|on|l'on)|needs?|needed|requires?|required|takes?|would take|had we"
    r"|were we|bräuchte\w*|braucht|benötigt\w*"
    r"|hätte\w*|nécessit\w+|faudrait|demanderai\w+|exige\w*)\b",
    re.IGNORECASE,
)
_NOT_HERE = re.compile(r"\b(?:no|not|never|without|unlike|n/a|irrelevant|neither|nor|free of)\b|n't\b", re.IGNORECASE)


def judge_advice(statement: Statement, context: Context) -> Iterator[Claim]:
    """Recommendations and conclusions."""
    if statement.kind == "code":
        return
    yield from _training(statement)
    proposed = context.strategy
    if proposed is None:
        return
    said = list(_resources(statement, context, proposed))
    yield from said
    if not said:
        yield from _features(statement, context)
    yield from _redundancy(statement, context, proposed)
    yield from _conclusion(statement, context, proposed)


def _training(statement: Statement) -> Iterator[Claim]:
    found = _TRAINING.search(statement.text)
    if found and not _NOT_HERE.search(statement.text):
        yield claim(
            statement,
            "unsupported",
            f"'{found.group().strip()}' "
            f"belongs to training and does not "
            f"apply to serving: weights are "
            f"only read, and a failure loses the "
            "requests in progress.",
            None,
            None,
        )


def _resources(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    text, total = statement.text, context.problem.hardware.gpus
    if _MORE.search(text) or _NEEDS.search(text):
        return
    spare = re.search(
        r"(?<!\bof )(?<!\bvon )\b(\d{1,5}) (?:spare|free|idle|unused|remaining|leftover|available extra) GPUs?\b(?! hours?)",
        text,
        re.IGNORECASE,
    )
    left = total - proposed.gpus
    wishes = hypothetical(statement) or re.search(r"\bconsider|\benable\b|\bimplement", text, re.IGNORECASE)
    for mention in mentions(text) if wishes else ():
        degrees = {"tp": proposed.tp, "pp": proposed.pp, "dp": proposed.dp} | {
            k: v for k, v in mention.degrees if k != "ep"
        }
        if not set(dict(mention.degrees)) - {"ep"} or _NOT_HERE.search(text):
            continue
        if len(mention.degrees) == 1 and any(
            {"tp", "pp"} & set(other.as_dict) for other in mentions(text) if other != mention
        ):
            continue
        # TP or PP without DP takes the replicas that there is room for; a lone DP multiplies what is there.
        if "dp" not in dict(mention.degrees):
            degrees = dict(mention.degrees)
        needed = degrees.get("tp", 1) * degrees.get("pp", 1) * degrees.get("dp", 1)
        if needed > total:
            label = f"TP{degrees.get('tp', 1)}·PP{degrees.get('pp', 1)}·DP{degrees.get('dp', 1)}"
            idle = (
                f"{proposed.label} already uses {proposed.gpus}, so "
                f"{left if left > 0 else 'none'} {'is' if left <= 1 else 'are'} spare"
            )
            yield claim(
                statement,
                "refuted",
                f"{label} takes {needed} GPUs; there are {total}, and "
                f"{idle}. Free memory on GPUs in use is no further GPU.",
                mention.text.strip(),
                f"{needed} GPUs",
            )
            return
    if spare and int(spare[1]) != left:
        yield claim(
            statement,
            "refuted",
            f"{proposed.label} uses {proposed.gpus} of {total} GPUs: {max(left, 0)} {'is' if left == 1 else 'are'} spare.",
            f"{spare[1]} GPUs",
            f"{max(left, 0)} GPUs",
        )
    elif spare:
        yield claim(
            statement,
            "confirmed",
            f"{proposed.label} uses {proposed.gpus} of {total} GPUs.",
            f"{spare[1]} GPUs",
            f"{left} GPUs",
        )


def _features(statement: Statement, context: Context) -> Iterator[Claim]:
    text, model = statement.text, context.problem.model
    wishes = hypothetical(statement) or re.search(r"\bready\b|\bsupports?\b|\benable", text, re.IGNORECASE)
    if not wishes or _NOT_HERE.search(text):
        return
    if (
        not model.experts
        and re.search(r"\bexpert[- ]parallel|\bMoE\b|mixture[- ]of[- ]experts", text, re.IGNORECASE)
        and not re.search(r"model\w* such as|other models?", text, re.IGNORECASE)
    ):
        yield claim(
            statement, "unsupported", f"{model.name} is dense: it has no experts that could be spread.", None, None
        )
    elif (
        re.search(r"\blonger (?:context|sequence|prompt)", text, re.IGNORECASE)
        and context.problem.max_sequence_tokens >= model.max_context_tokens
    ):
        yield claim(
            statement,
            "unsupported",
            f"The {model.max_context_tokens:,} tokens already served are all that {model.name} was made for.",
            None,
            f"{model.max_context_tokens:,} tokens",
        )


def _redundancy(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    text = statement.text
    if hypothetical(statement):
        return
    survives = re.search(
        r"\b(?:tolerates?|survives?|withstands?|continues? (?:serving )?(?:after|through"
        r"|despite))\b[^.]{0,30}\b(?:loss|failure|outage|losing)\b[^.]{0,20}\b(?:GPU|node|server)",
        text,
        re.IGNORECASE,
    )
    if survives and proposed.dp == 1 and not _NOT_HERE.search(text):
        yield claim(
            statement,
            "refuted",
            f"{proposed.label} is a single replica: losing one GPU stops it.",
            None,
            "no redundancy",
        )
    elif (
        re.search(
            r"\brecovery(?: time)?\b[^.]{0,20}\b(?:fast|quick|instant|immediate|rapid|minimal)\b", text, re.IGNORECASE
        )
        and proposed.dp == 1
        and not re.search(r"\d", text)
    ):
        hours = context.problem.hardware.failures.repair_hours
        yield claim(
            statement,
            "unsupported",
            "No time is stated, and with a "
            "single replica nothing serves "
            "until the GPU is replaced and "
            "the weights are loaded again "
            f"(the facts count {plain_number(hours)} hours of repair).",
            None,
            f"{plain_number(hours)} hours",
        )


def judge_verification(statement: Statement, context: Context) -> Iterator[Claim]:
    """``All calculations verified`` beside calculations that do not hold."""
    said = re.search(
        r"\ball (?:the )?(?:calculations|figures|numbers|arithmetic|computations)\b[^.]{0,20}\b(?:verified|correct|checked|accurate)",
        statement.text,
        re.IGNORECASE,
    )
    lines = sorted({line for *_, line, _ in context.wrong})
    if said and lines and not _NOT_HERE.search(statement.text):
        several = len(lines) > 1
        listed = (
            f"calculations of lines {', '.join(map(str, lines))} do"
            if several
            else f"calculation of line {lines[0]} does"
        )
        yield claim(statement, "contradicted", f"The {listed} not hold.")


def _conclusion(statement: Statement, context: Context, proposed: Proposed) -> Iterator[Claim]:
    text = statement.text
    score = re.search(r"\bscore\b\D{0,20}(\d+(?:\.\d+)?)\s?/\s?(100|10|5)\b", text, re.IGNORECASE)
    if score:
        yield claim(
            statement,
            "unsupported",
            "The report does not say how the score is counted.",
            f"{score[1]}/{score[2]}",
            None,
        )
    optimal = OPTIMAL.search(text)
    if (
        not optimal
        or _NOT_HERE.search(text)
        or HYPOTHETICAL.search(text)
        or context.best is None
        or context.costs is None
    ):
        return
    best, ours = context.best.strategy, context.costs
    if best is None or context.best.objective is None or ours.strategy is None or ours.objective is None:
        return
    same = (best.tensor_parallel, best.pipeline_parallel, best.data_parallel) == (proposed.tp, proposed.pp, proposed.dp)
    value, rival = context.best.objective.value, ours.objective.value
    preset = context.problem.objective.preset
    if same:
        yield claim(
            statement,
            "confirmed",
            f"{best.label} is proved best by the problem's objective ({preset}).",
            proposed.label,
            best.label,
        )
    elif not ours.feasible or rival > 1.1 * value:
        broken = [rule for rule in ours.rules if rule.enabled and not rule.holds]
        why = (
            f"; {proposed.label} with {ours.strategy.max_num_seqs} sequences breaks: {broken[0].sentence}"
            if broken and not ours.feasible
            else "."
        )
        yield claim(
            statement,
            "refuted",
            f"By the problem's objective ({preset}) "
            f"{best.label} is proved best "
            f"among the strategies considered, "
            f"at {plain_number(value)} ms per "
            f"request as predicted{why}",
            proposed.label,
            best.label,
        )
