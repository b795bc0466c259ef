"""Does the prediction choose well? Among measured layouts: the best throughput per GPU within a limit on TPOT.

A group is the same model, system, engine, version, precision, prompt and output length, and, at fixed concurrency, the
same concurrency. Its candidates differ in TP, ranks, EP (and, at free concurrency, in concurrency); repeated runs of a
candidate are averaged. A group counts for a limit if some candidate is measured to keep it. Where no candidate is
predicted to, the one with the lowest predicted TPOT is chosen. Regret is over choices that keep the limit.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from optimizer.costs.corpus import Corpus, Times
from optimizer.costs.shapes import Bools, Floats

LIMITS_MS = (7.5, 10.0, 15.0, 20.0, 30.0, 50.0)


@dataclass(frozen=True, slots=True)
class Choosing:
    """Results over all groups and limits, in percent of the cases; regret in percent of the best throughput."""

    cases: int
    exact: float
    violated: float
    regret: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Candidates of one group: measured and predicted TPOT in ms, throughput in output tokens/s and GPU."""

    measured_tpot: Floats
    predicted_tpot: Floats
    measured_rate: Floats
    predicted_rate: Floats


def choosing(
    corpus: Corpus, times: Times, *, free_concurrency: bool = False, margin: float = 1.0, among: Bools | None = None
) -> Choosing:
    """Score the choices that the predictions make.

    Args:
        corpus: measured runs.
        times: their predictions.
        free_concurrency: concurrency is chosen too.
        margin: predicted TPOT times this has to keep the limit.
        among: which runs take part; all when left out.
    """
    cases = exact = violated = 0
    regrets: list[float] = []
    for group in _groups(corpus, times, free_concurrency, among):
        for limit in LIMITS_MS:
            keeps = group.measured_tpot <= limit
            if not keeps.any():
                continue
            best = int(np.argmax(np.where(keeps, group.measured_rate, -1)))
            expected = group.predicted_tpot * margin <= limit
            chosen = int(
                np.argmax(np.where(expected, group.predicted_rate, -1))
                if expected.any()
                else np.argmin(group.predicted_tpot)
            )
            cases += 1
            exact += chosen == best
            if keeps[chosen]:
                regrets.append(1 - group.measured_rate[chosen] / group.measured_rate[best])
            else:
                violated += 1
    if not cases:
        return Choosing(0, float("nan"), float("nan"), float("nan"))
    regret = 100 * float(np.mean(regrets)) if regrets else float("nan")
    return Choosing(cases, 100 * exact / cases, 100 * violated / cases, regret)


def _groups(corpus: Corpus, times: Times, free: bool, among: Bools | None) -> list[_Group]:
    members: dict[Hashable, dict[Hashable, list[int]]] = {}
    for index, run in enumerate(corpus.runs):
        if among is not None and not among[index]:
            continue
        row = run.row
        key = (row.model, row.system, row.engine, row.version, row.precision, row.prompt_tokens, row.output_tokens)
        layout = (row.tp, row.pp, row.ranks, row.ep)
        if free:
            members.setdefault(key, {}).setdefault((*layout, row.concurrency), []).append(index)
        else:
            members.setdefault((*key, row.concurrency), {}).setdefault(layout, []).append(index)
    return [_group(corpus, times, list(found.values())) for found in members.values() if len(found) > 1]


def _group(corpus: Corpus, times: Times, candidates: list[list[int]]) -> _Group:
    rows = [corpus.runs[runs[0]].row for runs in candidates]
    tokens = np.array([row.concurrency * row.output_tokens / row.gpus for row in rows]) * 1e3

    def mean(values: Floats) -> Floats:
        return np.array([values[runs].mean() for runs in candidates])

    return _Group(
        measured_tpot=mean(corpus.measured["tpot"]),
        predicted_tpot=mean(times["tpot"]),
        measured_rate=tokens / mean(corpus.measured["e2e"]),
        predicted_rate=tokens / mean(times["e2e"]),
    )


def table(corpus: Corpus, times: Times) -> list[tuple[str, Choosing]]:
    """Fixed and free concurrency, all and by kind of model, with and without a margin for the model's error."""
    kinds: list[tuple[str, Bools | None]] = [("all", None), ("dense", ~corpus.routed), ("MoE", corpus.routed)]
    found = [
        (f"fixed concurrency, {name}", choosing(corpus, times, among=chosen))
        for name, chosen in kinds
        if chosen is None or chosen.any()
    ]
    found += [(f"fixed concurrency, TPOT x {m:g}", choosing(corpus, times, margin=m)) for m in (1.05, 1.1, 1.2)]
    found += [
        (f"free concurrency, TPOT x {m:g}", choosing(corpus, times, free_concurrency=True, margin=m))
        for m in (1.0, 1.1, 1.2)
    ]
    return found


def text(found: list[tuple[str, Choosing]]) -> str:
    """The results as text."""
    lines = [
        f"{'choosing: best throughput per GPU, TPOT ≤ 7.5…50 ms':<54}{'cases':>7}{'exact %':>10}{'violated %':>12}{'regret %':>10}"
    ]
    lines += [f"{name:<54}{c.cases:>7}{c.exact:>10.1f}{c.violated:>12.1f}{c.regret:>10.1f}" for name, c in found]
    return "\n".join(lines)
