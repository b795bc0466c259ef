"""The typed results that every command returns: data only, no words beyond rule sentences, no arithmetic beyond differences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from optimizer.facts.model import ModelFacts

SCHEMA_VERSION = "2.0"
"""Of ``--json``: one envelope for every kind of problem, ``render/envelope.py``."""

Status = Literal["optimal", "feasible", "infeasible", "unknown"]


WITHIN_SEARCHED = "searched space"
"""``within`` of an infeasible answer that speaks of what was searched and no more."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One complete choice of decisions; symbols as in ``docs/model.md``, section 1."""

    tensor_parallel: int
    pipeline_parallel: int
    data_parallel: int
    expert_parallel: int
    max_num_seqs: int
    layers_per_stage: tuple[int, ...]
    weight_precision: str
    kv_precision: str
    expert_slice_ranks: int = 1
    """Replicas of one engine that slice every expert among them (MoE tensor parallel beside attention data parallel)."""
    decode_context_parallel: int = 1
    """TP ranks that share the tokens of a sequence's cache among them."""

    @property
    def gpus(self) -> int:
        """GPUs in use: TP x PP x DP."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def label(self) -> str:
        """Short name such as ``TP4·PP1·DP2`` (EP is named when it is used)."""
        return f"TP{self.tensor_parallel}·PP{self.pipeline_parallel}·DP{self.data_parallel}{self.sharing}"

    @property
    def sharing(self) -> str:
        """What of the label names how experts and contexts are shared, where they are."""
        expert = f"·EP{self.expert_parallel}" if self.expert_parallel > 1 else ""
        sliced = f"·MoE-TP{self.tensor_parallel * self.expert_slice_ranks}" if self.expert_slice_ranks > 1 else ""
        context = f"·DCP{self.decode_context_parallel}" if self.decode_context_parallel > 1 else ""
        return expert + sliced + context

    @property
    def engine_ranks(self) -> int:
        """d: replicas that one engine instance couples."""
        return max(1, self.expert_parallel // self.tensor_parallel) * self.expert_slice_ranks


@dataclass(frozen=True, slots=True)
class Fixed:
    """Decisions that a person fixed; None is free."""

    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: int | None = None
    max_num_seqs: int | None = None
    layers_per_stage: tuple[int, ...] | None = None
    weight_precision: str | None = None
    kv_precision: str | None = None
    expert_slice_ranks: int | None = None
    decode_context_parallel: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything is fixed."""
        return any(getattr(self, name) is not None for name in self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule applied to one strategy. ``limit`` and ``actual`` are numbers in ``unit``, or words where no number says it.

    ``slack`` is how far the rule is from breaking, in ``unit``: positive holds, negative is broken; None for yes/no rules.
    """

    id: str
    sentence: str
    limit: float | int | str
    actual: float | int | str
    unit: str
    holds: bool
    slack: float | int | None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a strategy costs and delivers. None: no finite value, because a replica is overloaded."""

    weights_bytes_per_gpu: int
    kv_cache_bytes_per_gpu: int
    kv_cache_tokens: int
    """Tokens that the KV cache of one replica holds, in whole blocks: what the engine prints as its cache size."""
    max_sequence_tokens: int
    """The longest sequence served: as stated, else what fits beside the load, at most the model's context."""
    memory_bytes_per_gpu: int
    memory_utilization: float
    prefill_p50_ms: float | None
    prefill_p99_ms: float | None
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    tpot_full_batch_ms: float
    request_mean_ms: float | None
    tokens_per_s: float
    peak_tokens_per_s: float
    max_request_rate: float
    concurrency_p50: int | None
    concurrency_p99: int | None
    availability: float
    memory_bytes_per_stage: tuple[int, ...]
    weights_bytes_per_stage: tuple[int, ...]
    e2e_p50_ms: float | None = None
    e2e_p99_ms: float | None = None
    """Arrival to last token."""
    prefix_kept_s: float | None = None
    """Seconds for which what the load leaves of the cache keeps a prefix after its last use; None: no prefixes stated."""
    goodput: float | None = None
    """Share of requests within the limits of requirements.goodput, at least; None: not stated, or overloaded."""
    requests_per_s: float | None = None
    """Requests that arrive per second: as stated, or what so many users send (rounded up to a millionth for each replica)."""


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """Value, proven bound and relative gap, in ``unit``; ``terms`` sum to the value."""

    value: float
    bound: float
    gap: float
    unit: str
    terms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A claim that the verifier could not confirm."""

    what: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Outcome of the independent recomputation.

    ``optimality``: ``exhaustive`` (every candidate compared, or ruled out by a bound of the verifier's own), ``bound``
    (value = bound, not compared), ``not claimed``, or ``refuted``. ``candidates`` counts the space, ``compared`` those of
    it that were looked at one by one, ``ruled_out`` the others by what ruled them out.
    """

    passed: bool
    checks: int
    optimality: str
    candidates: int
    resolution: str
    mismatches: tuple[Mismatch, ...] = ()
    compared: int = 0
    ruled_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another strategy and the optimum's lead over it, term by term (positive: the optimum is better)."""

    strategy: Strategy
    objective: float
    difference: float
    difference_terms: dict[str, float]
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a discrete simulation of one replica saw, beside the analytic percentiles.

    ``percentiles`` maps names such as ``ttft_p99_ms`` to (ms, half-width of the 95 % confidence interval in ms).
    """

    percentiles: dict[str, tuple[float, float]]
    arrivals: str
    requests: int
    preemptions: int
    seed: int
    disagreements: tuple[str, ...]
    limits_hold: bool


@dataclass(frozen=True, slots=True)
class PredictionIntervals:
    """Where measurements of such predictions fell, 5th to 95th percentile; ``basis`` says whose.

    ``ranges`` maps names such as ``tpot_p99_ms`` to (low, high) in ms.
    """

    basis: str
    ranges: dict[str, tuple[float, float]]
    factors: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The same as factors of the predictions."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rules that cannot hold together. ``minimal``: each member's removal was proved to make the rest satisfiable.

    ``rules`` holds rule ids and, where what may be considered is part of the conflict, the name of the search limit
    (``weight_precision`` for ``search.weight_precision``). ``gpu_count`` stands for the number of GPUs there are.
    """

    rules: tuple[str, ...]
    sentence: str
    minimal: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One field of the problem file, its value now and the one to set; ``new`` None removes the field."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Repair:
    """Changes that make an infeasible problem feasible, least in each; solved again and verified.

    ``result`` is the best strategy of the changed problem.
    """

    changes: tuple[Change, ...]
    sentence: str
    result: Strategy


@dataclass(frozen=True, slots=True)
class ModelRead:
    """What was read of the model: its size as the checkpoint stores it, and what was assumed or left out."""

    name: str
    parameters: int
    weight_bytes: int
    weight_format: str
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The size in words."""
        size = f"{self.weight_bytes:,} bytes ({self.weight_bytes / 1024**3:,.2f} GiB)"
        return (
            f"{self.name}: {self.parameters:,} parameters, {size} of weights in the checkpoint's {self.weight_format}."
        )


def model_read(model: ModelFacts) -> ModelRead:
    """The same of resolved facts."""
    return ModelRead(model.name, model.parameters, model.weight_bytes, model.native_weight_format, model.notes)


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``solve`` found."""

    problem: str
    status: Status
    strategy: Strategy | None
    metrics: Metrics | None
    objective: ObjectiveResult | None
    rules: tuple[RuleResult, ...]
    verification: Verification
    explanation: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    repairs: tuple[Repair, ...] = ()
    search_limits: tuple[str, ...] = ()
    cost_source: str = "analytic"
    simulation: Simulation | None = None
    breakdown: dict[str, Any] | None = None
    """Terms of memory and time, ``costs.breakdown``."""
    intervals: PredictionIntervals | None = None
    within: str | None = None
    """What an infeasible answer speaks of: ``searched space`` where opening a limit of the search gives a solution; None: of
    every layout that an engine could run."""
    cut_by: tuple[str, ...] = ()
    """The limits of the search, as fields of the problem file, that keep every solution out."""
    model: ModelRead | None = None
    assumed: tuple[str, ...] = ()
    """What the problem did not state of its hardware and is taken as usual."""
    decided: dict[str, int] = field(default_factory=dict)
    """Choices beside the strategy's that were left open: the token budget of a step, tokens guessed."""


@dataclass(frozen=True, slots=True)
class CheckAnswer(Answer):
    """What ``check`` found about a given strategy, with the optimum beside it."""

    feasible: bool | None = None
    optimum: Answer | None = None


SomeAnswer = TypeVar("SomeAnswer")
"""An answer of a kind whose status, strategy, explanation and verification are fields, and ``feasible`` where one was proposed."""


def unverified() -> Verification:
    """Of an answer that no verifier has seen."""
    return Verification(False, 0, "not claimed", 0, "")


def all_confirmed(verifications: Iterable[Verification]) -> Verification:
    """What the verifier found about several answers together; of none, nothing was checked."""
    every = tuple(verifications)
    return Verification(
        passed=bool(every) and all(one.passed for one in every),
        checks=sum(one.checks for one in every),
        optimality="not claimed",
        candidates=0,
        resolution="",
        mismatches=tuple(mismatch for one in every for mismatch in one.mismatches),
    )


def not_confirmed(verification: Verification) -> str:
    """The sentence on the first disagreement of a verification that failed."""
    wrong = verification.mismatches[0]
    return (
        f"The independent verification does not confirm this answer ({len(verification.mismatches)} of "
        f"{verification.checks} checks): {wrong.what} should be {wrong.expected}, not {wrong.actual}. Do not rely on it."
    )


def with_verification(found: SomeAnswer, verification: Verification) -> SomeAnswer:
    """The answer with what the verifier found; one that it does not confirm claims no proof.

    What was called optimal is at most feasible, and what was called infeasible is not known; the first disagreement is said.
    """
    answer: Any = replace(found, verification=verification)  # type: ignore[type-var]
    if verification.passed:
        return answer  # type: ignore[no-any-return]
    status: Status = "feasible" if answer.status in ("optimal", "feasible") else "unknown"
    answer = replace(answer, status=status, explanation=(not_confirmed(verification), *answer.explanation))
    if hasattr(answer, "feasible") and status == "unknown":
        answer = replace(answer, feasible=None)
    return answer  # type: ignore[no-any-return]
