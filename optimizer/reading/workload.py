"""The workload as stated, resolved: laws of lengths with their percentiles, and traces read into classes."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

from optimizer.facts.demand import Requirements
from optimizer.facts.errors import ProblemError
from optimizer.facts.lengths import LengthLaw, length_classes, trace_classes
from optimizer.facts.model import ModelFacts
from optimizer.facts.paths import beside
from optimizer.facts.text import visible
from optimizer.facts.workload import Users, Workload, WorkloadInput
from optimizer.reading import local_files
from optimizer.reading.draft import Resolve, with_draft_model
from optimizer.reading.eagle import with_head
from optimizer.reading.traces import read_requests

_Z99 = NormalDist().inv_cdf(0.99)


def longest_allowed(requirements: Requirements, model: ModelFacts) -> int:
    """Tokens of the longest request that is served: as stated, else the model's context."""
    return requirements.max_sequence_tokens or model.max_context_tokens


def workload_of(
    stated: WorkloadInput, folder: Path, longest: int, model: ModelFacts, resolve: Resolve | None = None
) -> Workload:
    """The workload with what its lengths and its trace say.

    Args:
        folder: where the path of a trace, or of a draft model, starts.
        longest: tokens of the longest request that is served; longer ones of a trace are refused and left out.
        resolve: finds a draft model; None where nothing is guessed.

    Raises:
        ProblemError: something is missing, stated twice, or the trace cannot be used.
    """
    users = _users(stated)
    if users is not None:
        # A number to be there where every rate is one: what the users send at the most, at one answer a second each.
        stated = stated.model_copy(update={"requests_per_s": users.concurrent / (1 + users.think_time_s)})
    found = _of_trace(stated, folder, longest) if stated.trace is not None else _stated(stated)
    if users is not None:
        found = found.model_copy(update={"users": users, "note": _note_of_users(found.note, users)})
    for name, law in (("prompt_tokens", found.prompt_law), ("output_tokens", found.output_law)):
        if law is not None:
            _refuse_what_is_cut(law, f"workload.{name}", longest)
    if found.prefix is not None and found.prefix.shared_tokens >= found.prompt_tokens:
        raise ProblemError(
            "workload.prefix.shared_tokens",
            f"{found.prefix.shared_tokens} is not below the mean prompt of {found.prompt_tokens} tokens",
        )
    if found.speculation is not None and found.speculation.method == "mtp" and not model.mtp_parameters:
        raise ProblemError("workload.speculation.method", f"mtp: {model.name} states no multi-token-prediction module")
    if found.speculation is not None and found.speculation.method == "eagle":
        found = found.model_copy(update={"speculation": with_head(found.speculation, model)})
    if found.speculation is not None and found.speculation.method == "draft" and resolve is not None:
        found = found.model_copy(update={"speculation": with_draft_model(found.speculation, model, folder, resolve)})
    return found


def _users(stated: WorkloadInput) -> Users | None:
    """The closed loop that is stated, if one is."""
    ways = [name for name in ("requests_per_s", "concurrency", "users") if getattr(stated, name) is not None]
    if len(ways) > 1:
        raise ProblemError(
            f"workload.{ways[1]}", f"stands beside {ways[0]}; state one of them: a rate, or users at once"
        )
    if stated.concurrency is not None:
        return Users(concurrent=stated.concurrency)
    return stated.users


def _note_of_users(note: str | None, users: Users) -> str | None:
    """The lengths of a trace, without its rate."""
    return None if note is None else note.split(", at ")[0] + "."


def _stated(stated: WorkloadInput) -> Workload:
    for name in ("prompt_tokens", "output_tokens", "requests_per_s"):
        if getattr(stated, name) is None:
            said = (
                "is missing"
                if name != "requests_per_s"
                else "is missing; state it, or users at once as workload.concurrency"
            )
            raise ProblemError(f"workload.{name}", said)
    prompt, output = stated.prompt_tokens, stated.output_tokens
    if isinstance(prompt, LengthLaw) and stated.prompt_tokens_p99 is not None:
        raise ProblemError(
            "workload.prompt_tokens_p99", "stands beside prompt_tokens with percentiles; state p99 there"
        )
    if isinstance(prompt, int) and stated.prompt_tokens_p99 is not None and stated.prompt_tokens_p99 < prompt:
        raise ProblemError(
            "workload", f"prompt_tokens_p99 = {stated.prompt_tokens_p99} is below the mean prompt_tokens = {prompt}"
        )
    values: dict[str, object] = {
        "requests_per_s": stated.requests_per_s,
        "prefix": stated.prefix,
        "speculation": stated.speculation,
    }
    for name, law in (("prompt", prompt), ("output", output)):
        if isinstance(law, LengthLaw) and not law.spread:
            values[f"{name}_tokens"] = law.mean
        elif isinstance(law, LengthLaw):
            values |= {f"{name}_tokens": law.mean, f"{name}_law": law, f"{name}_tokens_p99": _p99(law)}
        else:
            values[f"{name}_tokens"] = law
    if stated.prompt_tokens_p99 is not None:
        values["prompt_tokens_p99"] = stated.prompt_tokens_p99
    return Workload.model_validate(values)


MOST_CUT = 0.1
"""Share of a law's mean that may be lost to the longest request: of what is beyond it nothing is known."""


def _refuse_what_is_cut(law: LengthLaw, field: str, longest: int) -> None:
    """A law whose mean is made of requests that are longer than any that is served is not the law of what is served."""
    classes = length_classes(law, longest)
    mean = sum(tokens * weight for tokens, weight in classes) / sum(weight for _, weight in classes)
    if mean < law.mean * (1 - MOST_CUT):
        limit = min(longest, law.max or longest)
        raise ProblemError(
            field,
            f"with a mean of {law.mean:,} tokens and none longer than {limit:,} there is no such law: cut there its mean is {mean:,.0f}; "
            "state the mean of the requests that are served, with percentiles or a smaller cv",
        )


def _p99(law: LengthLaw) -> int:
    return max(law.mean, law.p99 or min(law.max or 10**8, round(math.exp(law.line()(_Z99)))))


def _of_trace(stated: WorkloadInput, folder: Path, longest: int) -> Workload:
    for name in ("prompt_tokens", "output_tokens", "prompt_tokens_p99"):
        if getattr(stated, name) is not None:
            raise ProblemError(f"workload.{name}", "stands beside trace, whose lengths are used; state one of them")
    assert stated.trace is not None
    local_files.refuse("workload.trace", "state prompt_tokens, output_tokens and requests_per_s")
    path = beside(stated.trace, folder, "workload.trace")
    requests = read_requests(path, "workload.trace")
    served = [
        (one.prompt_tokens, one.output_tokens) for one in requests if one.prompt_tokens + one.output_tokens <= longest
    ]
    if not served:
        raise ProblemError("workload.trace", f"every request is longer than the {longest:,} tokens that are served")
    seconds = (requests[-1].at_ms - requests[0].at_ms) / 1000
    if stated.requests_per_s is None and seconds <= 0:
        raise ProblemError("workload.requests_per_s", "is missing, and the trace's requests all arrive at once")
    rate = stated.requests_per_s or round(len(served) / seconds, 3)
    prompts, outputs = sorted(p for p, _ in served), sorted(o for _, o in served)
    mean_prompt, mean_output = (max(1, round(sum(many) / len(many))) for many in (prompts, outputs))
    at99 = min(len(served) - 1, round(0.99 * len(served)))
    left_out = len(requests) - len(served)
    refused = f"; {left_out:,} longer than {longest:,} tokens would be refused and are left out" if left_out else ""
    return Workload(
        prompt_tokens=mean_prompt,
        output_tokens=mean_output,
        requests_per_s=rate,
        prompt_tokens_p99=max(mean_prompt, prompts[at99]),
        output_tokens_p99=max(mean_output, outputs[at99]),
        longest_tokens=max(p + o for p, o in served),
        recorded=trace_classes(served),
        prefix=stated.prefix,
        speculation=stated.speculation,
        note=(
            f"Lengths of {len(served):,} requests of {visible(path.name)}: "
            f"{mean_prompt:,} prompt tokens on average (P99 {prompts[at99]:,}) and "
            f"{mean_output:,} output tokens (P99 {outputs[at99]:,}), at {rate:g} requests/s{refused}."
        ),
    )
