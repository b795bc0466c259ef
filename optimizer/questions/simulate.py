"""``simulate``: percentiles of an answer from a simulation request by request, beside the formulas'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem


def simulate(problem: AnyProblem, answer: Any, *, trace: Path | None = None, seed: int = 1) -> Any:
    """The same answer with simulated percentiles; unchanged where there is nothing to simulate.

    An inventory's verifier simulates its instances and their failures as part of every answer, so it comes back as it is.

    Args:
        problem: what the answer is for.
        answer: of ``solve`` or ``check``.
        trace: requests to replay (columns arrived_at, num_prefill_tokens, num_decode_tokens); Poisson when left out.
        seed: of the random arrivals.

    Raises:
        ProblemError: the trace cannot be used, or a trace is given where none can be played.
    """
    if kind_of(problem) == "uniform":
        from optimizer.questions.uniform import simulate as played

        return played(cast("Problem", problem), answer, trace=trace, seed=seed)
    if trace is not None:
        raise ProblemError(
            "--trace",
            "is played on one replica of equal nodes (hardware:); state a pool of this inventory as hardware: to play it",
        )
    return answer
