"""Errors by leave-one-case-out of what was fitted to logs: the constant that an engine takes beside weights, peak and cache.

It is fitted anew for each case as the median of what the others' logs leave for it, on GPUs of its class and with as many GPUs (one, or
several); its value in ``optimizer/engines/data/memory`` cancels out. Bytes of a logit in the profiling run are by version, each from its
source, and are not fitted again.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memory_logs.case import Case, start_of

GIB = 2**30
TOKENS, MEMORY = "KV tokens that fit", "KV memory GiB/GPU"


FITS = "fits (one sequence of max-model-len)"
Sort = tuple[bool, bool]
"""Whether a GPU is of compute capability 9 or above, and whether there are several."""


@dataclass(frozen=True)
class Start:
    """A row whose prediction depends on the constant."""

    case: str
    sort: Sort
    quantity: str
    memory: float
    """Of the cache as predicted, GiB."""
    spare: float
    printed: str
    measured: float | None
    """Of the cache as printed, GiB; tokens at the predicted size of one."""


def starts(rows: Sequence[Mapping[str, str]]) -> list[Start]:
    """The rows that were predicted and print the cache's memory, the tokens that fit, or whether it started."""
    found = []
    for row in rows:
        quantity, printed = row["measured quantity"], row["measured value"]
        if quantity not in (TOKENS, MEMORY, FITS) or not row["predicted value"] or not printed:
            continue
        case = Case.of(row)
        start, capability = start_of(case)
        measured = None
        if quantity != FITS and float(printed) > 0:
            measured = float(printed)
            measured *= start.kv_memory / GIB / start.kv_tokens if quantity == TOKENS and start.kv_tokens else 1
        sort = capability[:1].isdigit() and float(capability) >= 9, case.tp * case.pp * case.dp > 1
        found.append(Start(row["case"], sort, quantity, start.kv_memory / GIB, start.spare / GIB, printed, measured))
    return found


def left_out(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The errors in words."""
    known = starts(rows)
    residuals: dict[Sort, dict[str, float]] = {}
    for one in known:
        if one.measured is not None:
            residuals.setdefault(one.sort, {})[one.case] = one.memory - one.measured
    errors, right, judged = [], 0, 0
    for one in known:
        others = [value for case, value in residuals.get(one.sort, {}).items() if case != one.case]
        shift = statistics.median(others) if others else 0.0
        if one.quantity == FITS:
            judged += 1
            right += (one.spare - shift >= 0) == (one.printed == "yes")
        elif one.quantity == TOKENS and one.measured is not None and others:
            errors.append(abs((one.memory - shift) / one.measured - 1))
    errors.sort()
    said = [f"leave-one-case-out, fits or not: {right} of {judged} right"] if judged else []
    if errors:
        said.append(
            f"leave-one-case-out, tokens that fit: {len(errors)} cases, error median {100 * statistics.median(errors):.2f} %, "
            f"90 % {100 * errors[min(len(errors) - 1, int(0.9 * len(errors)))]:.2f} %, worst {100 * errors[-1]:.2f} %"
        )
    return said or ["leave-one-case-out: no case that others can stand in for"]
