"""Counts of the problem and the strategy that a sentence leaves unsaid: its GPUs, its replicas, its demand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from optimizer.auditing.dimensions import PARTS, Typed
from optimizer.auditing.facts import Situation


def of_result(result: Typed, operands: list[Typed]) -> list[Typed]:
    """A "per" that a bare result shares with what it is computed from is its own: ``at 5 requests/s each replica gets 1.25``."""
    if result.measure is None or result.measure.unit or not result.kinds:
        return operands
    own = {part for part in PARTS if result.kinds[0].get(part, 0) < 0}
    if not own:
        return operands
    return [
        replace(one, kinds=tuple({n: e for n, e in kind.items() if n not in own} for kind in one.kinds))
        if one.measure is not None and one.measure.dimension and one.kinds and own <= set(one.kinds[0])
        else one
        for one in operands
    ]  # fmt: skip


FOR_ALL = re.compile(
    r"\b(?:all|of them|(?:the|die|les|alle) (?:two|four|eight|twelve|sixteen|zwei|vier|acht|zwölf|sechzehn|deux|quatre|huit|douze"
    r"|seize)|together|in total|total|altogether|for the (?:two|four|eight|sixteen|lot|node|box)|alle|insgesamt|zusammen"
    r"|gesamt|au total"
    r"|en tout|pour (?:toutes|les (?:deux|quatre|huit|seize)))\b",
    re.IGNORECASE,
)


def _of_all(result: Typed, typed: list[Typed], own: Situation, text: str) -> bool:
    """Whether a size or a power is said of one GPU or node of the problem and then of more: ``700 W each, 11.2 kW for all``."""
    if result.measure is None or not own.own_hardware or result.measure.dimension not in ("bytes", "W"):
        return False
    whole = FOR_ALL.search(text[max(0, result.measure.start - 24) : result.measure.end + 24])
    if not (whole or any(kind.get("node") == -1 for kind in result.kinds)) or "%" in text:
        return False
    known = own.values
    nominal = {"bytes": known.get("nominal_memory"), "W": known.get("tdp")}[result.measure.dimension]
    each = [one for one in typed if one is not result and any(kind.get("gpu") == -1 for kind in one.kinds)]
    counted = any(
        (kind.get("gpu", 0) > 0 or kind.get("node", 0) > 0) and one.value != own.problem.hardware.gpus
        for one in typed
        for kind in one.kinds
    )
    return bool(
        nominal
        and not counted
        and len(each) == 1
        and each[0].measure is not None
        and each[0].measure.dimension == result.measure.dimension
        and each[0].measure.says(nominal, 0.01)
    )


def _machines(result: Typed, typed: list[Typed], own: Situation) -> Iterator[Typed]:
    """How many GPUs the problem has, on a node or in all, for a result that is said of those."""
    hardware = own.problem.hardware
    if any(kind.get("node") == -1 for kind in result.kinds):
        yield Typed(float(hardware.gpus_per_node), ({"gpu": 1, "node": -1},), f"{hardware.gpus_per_node} GPUs", None)
    elif not any(kind.get("gpu", 0) < 0 for kind in result.kinds):
        yield Typed(float(hardware.gpus), ({"gpu": 1},), f"{hardware.gpus} GPUs", None)


LOST = re.compile(
    r"\b(?:remaining|surviving|left|others?|verbleibend\w*|übrig\w*|restlich\w*|restantes?|survivant\w*|autres?)\b[^.;]{0,30}"
    r"\b(?:replicas?|instances?|Replikate?n?|Instanzen|répliques?)|\b(?:replicas?|instances?|Replikate?|répliques?)\s(?:remaining"
    r"|left|that remain|restantes?)\b",
    re.IGNORECASE,
)
"""``the two remaining replicas get 4 requests/s each``: they share the demand."""


def own_counts(result: Typed, typed: list[Typed], own: Situation, sentence_text: str) -> list[Typed]:
    """The strategy's GPUs and replicas, where a result is per one of them and the sentence does not count them."""
    degrees = own.degrees
    assert degrees is not None
    counts = {"gpu": degrees.gpus, "replica": degrees.dp}
    if _of_all(result, typed, own, sentence_text):
        return list(_machines(result, typed, own))
    work = own.problem.workload
    demand = []
    if (
        LOST.search(sentence_text)
        and any(kind.get("request") == 1 and kind.get("s") == -1 and "replica" in kind for kind in result.kinds)
    ) or (
        any(kind.get("token") == 1 and kind.get("s") == -1 for kind in result.kinds)
        and not any(kind.get("request", 0) > 0 or kind.get("sequence", 0) > 0 for one in typed for kind in one.kinds)
        and any(
            one.measure is not None and one.measure.value in (work.output_tokens, work.prompt_tokens) for one in typed
        )
    ):
        demand = [Typed(work.requests_per_s, ({"request": 1, "s": -1},), f"{work.requests_per_s:g} requests/s", None)]
    of_batch = not FOR_ALL.search(sentence_text) and any(
        kind.get("sequence", 0) > 0 and "s" not in kind for one in typed if one is not result for kind in one.kinds
    )  # a batch is one replica's already
    return demand + [
        Typed(float(count), ({part: 1},), f"{count} {part}s", None)
        for part, count in counts.items()
        if count > 1
        and not (part == "replica" and of_batch)
        and any(kind.get(part, 0) < 0 for kind in result.kinds)
        and not any(kind.get(part, 0) > 0 for one in typed for kind in one.kinds)
    ]
