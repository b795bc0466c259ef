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
    """TP, t: GPUs that slice every layer among them."""
    pipeline_parallel: int
    """PP, p: stages that a replica's layers are cut into."""
    data_parallel: int
    """DP, r: copies of the model, each of TP × PP GPUs."""
    expert_parallel: int
    """EP, e: GPUs that the routed experts are spread over; 1: not spread."""
    max_num_seqs: int
    """n: most sequences in progress at one replica."""
    layers_per_stage: tuple[int, ...]
    """Layers of each stage, first stage first; they add up to the model's."""
    weight_precision: str
    """Format of the weights, as ``search.weight_precision`` names it (``fp8``)."""
    kv_precision: str
    """Format of the KV cache, as ``search.kv_precision`` names it."""
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
    """TP."""
    pipeline_parallel: int | None = None
    """PP."""
    data_parallel: int | None = None
    """DP."""
    expert_parallel: int | None = None
    """EP."""
    max_num_seqs: int | None = None
    """Most sequences in progress at one replica."""
    layers_per_stage: tuple[int, ...] | None = None
    """Layers of each stage, first stage first."""
    weight_precision: str | None = None
    """Format of the weights."""
    kv_precision: str | None = None
    """Format of the KV cache."""
    expert_slice_ranks: int | None = None
    """Replicas of one engine that slice every expert among them."""
    decode_context_parallel: int | None = None
    """TP ranks that share the tokens of a sequence's cache."""

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
    """Name of the rule (``docs/model.md``, section 7), as ``search.disabled_rules`` takes it."""
    sentence: str
    """What has to hold, with this problem's numbers."""
    limit: float | int | str
    """What may not be passed, in ``unit``."""
    actual: float | int | str
    """What the strategy has, in ``unit``."""
    unit: str
    """Of ``limit``, ``actual`` and ``slack``: ``GPUs``, ``ms`` …; "" where there is none."""
    holds: bool
    """Whether the strategy keeps it."""
    slack: float | int | None
    """How far it is from breaking, in ``unit``."""
    enabled: bool = True
    """False where the problem file switches it off: it is judged and asked of nothing."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a strategy costs and delivers. None: no finite value, because a replica is overloaded."""

    weights_bytes_per_gpu: int
    """Bytes of weights on a GPU of the stage with the most."""
    kv_cache_bytes_per_gpu: int
    """Bytes of KV cache on a GPU of the stage with the most."""
    kv_cache_tokens: int
    """Tokens that the KV cache of one replica holds, in whole blocks: what the engine prints as its cache size."""
    max_sequence_tokens: int
    """The longest sequence served: as stated, else what fits beside the load, at most the model's context."""
    memory_bytes_per_gpu: int
    """Bytes that the engine holds on the fullest GPU: weights, cache, activations and what it takes beside them."""
    memory_utilization: float
    """``memory_bytes_per_gpu`` as a share of the GPU's memory, 0 to 1."""
    prefill_p50_ms: float | None
    """Time that a prompt is worked on, waiting left out, median, ms."""
    prefill_p99_ms: float | None
    """The same at the 99th percentile, ms."""
    ttft_p50_ms: float | None
    """Arrival to first token, median, ms."""
    ttft_p99_ms: float | None
    """Arrival to first token, 99th percentile, ms."""
    tpot_p50_ms: float | None
    """From one output token to the next, median, ms."""
    tpot_p99_ms: float | None
    """From one output token to the next, 99th percentile, ms."""
    tpot_full_batch_ms: float
    """From one output token to the next with every sequence slot of the replica taken, ms."""
    request_mean_ms: float | None
    """Arrival to last token, mean, ms."""
    tokens_per_s: float
    """Output tokens/s of all replicas at the stated request rate."""
    peak_tokens_per_s: float
    """Output tokens/s of all replicas with every sequence slot taken, whatever the latencies."""
    max_request_rate: float
    """Requests/s of all replicas up to which every limit holds."""
    concurrency_p50: int | None
    """Sequences in progress at one replica, median."""
    concurrency_p99: int | None
    """Sequences in progress at one replica, 99th percentile."""
    availability: float
    """Share of requests that are served with failures counted, 0 to 1."""
    memory_bytes_per_stage: tuple[int, ...]
    """``memory_bytes_per_gpu`` of a GPU of each stage, bytes."""
    weights_bytes_per_stage: tuple[int, ...]
    """Bytes of weights of a GPU of each stage."""
    e2e_p50_ms: float | None = None
    """Arrival to last token, median, ms."""
    e2e_p99_ms: float | None = None
    """Arrival to last token, 99th percentile, ms."""
    prefix_kept_s: float | None = None
    """Seconds for which what the load leaves of the cache keeps a prefix after its last use; None: no prefixes stated."""
    goodput: float | None = None
    """Share of requests within the limits of requirements.goodput, at least; None: not stated, or overloaded."""
    requests_per_s: float | None = None
    """Requests that arrive per second: as stated, or what so many users send (rounded up to a millionth for each replica)."""
    price_per_hour: float | None = None
    """Of the GPUs in use, in the currency of hardware.price_per_gpu_hour; None: no price is stated."""
    price_per_million_output_tokens: float | None = None
    """At the demand, of tokens that are served, failures counted."""
    kilowatts_at_most: float | None = None
    """Board power of the GPUs in use together, as the vendor states it, kW; None where it states none."""
    kwh_per_million_output_tokens_at_most: float | None = None
    """That power for as long as a million output tokens take at the demand, kWh."""


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """Value, proven bound and relative gap, in ``unit``; ``terms`` sum to the value."""

    value: float
    """Of the answer."""
    bound: float
    """What no candidate comes below."""
    gap: float
    """(value − bound) / value; 0: proved best."""
    unit: str
    """Of ``value``, ``bound`` and ``terms``: ms expected per request."""
    terms: dict[str, float]
    """Name of a term (``served``, ``unserved``, ``gpus``) → its part of the value."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A claim that the verifier could not confirm."""

    what: str
    """Which figure or rule."""
    expected: str
    """What the verifier found, in words."""
    actual: str
    """What the answer claims, in words."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Outcome of the independent recomputation.

    ``optimality``: ``exhaustive`` (every candidate compared, or ruled out by a bound of the verifier's own), ``bound``
    (value = bound, not compared), ``not claimed``, or ``refuted``. ``candidates`` counts the space, ``compared`` those of
    it that were looked at one by one, ``ruled_out`` the others by what ruled them out.
    """

    passed: bool
    """Whether everything that was checked agrees."""
    checks: int
    """Figures and rules that were recomputed."""
    optimality: str
    """What was found of the claim to be best."""
    candidates: int
    """Candidates of the space that a claim to be best is about; 0: none were counted."""
    resolution: str
    """Within what figures count as equal, in words."""
    mismatches: tuple[Mismatch, ...] = ()
    """What does not agree."""
    compared: int = 0
    """Candidates looked at one by one."""
    ruled_out: dict[str, int] = field(default_factory=dict)
    """What ruled candidates out → how many."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another strategy and the optimum's lead over it, term by term (positive: the optimum is better)."""

    strategy: Strategy
    """The other strategy."""
    objective: float
    """Its objective, ms per request."""
    difference: float
    """Its objective less the optimum's, ms per request."""
    difference_terms: dict[str, float]
    """The same by term, ms per request."""
    metrics: Metrics
    """Of the other strategy."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a discrete simulation of one replica saw, beside the analytic percentiles.

    ``percentiles`` maps names such as ``ttft_p99_ms`` to (ms, half-width of the 95 % confidence interval in ms).
    """

    percentiles: dict[str, tuple[float, float]]
    """Name → (simulated ms, half-width of its interval in ms)."""
    arrivals: str
    """How requests came, in words (``Poisson``)."""
    requests: int
    """Requests measured, the warm-up left out."""
    preemptions: int
    """Times that a request was put back because the cache was full."""
    seed: int
    """Of the random numbers: the same gives the same run."""
    disagreements: tuple[str, ...]
    """Sentences on limits that fail and percentiles far from the analytic ones."""
    limits_hold: bool
    """Whether every stated limit holds in the simulation."""


@dataclass(frozen=True, slots=True)
class PredictionIntervals:
    """Where measurements of such predictions fell, 5th to 95th percentile; ``basis`` says whose.

    ``ranges`` maps names such as ``tpot_p99_ms`` to (low, high) in ms.
    """

    basis: str
    """Which measured runs, in words."""
    ranges: dict[str, tuple[float, float]]
    """Name → (5th, 95th percentile), ms."""
    factors: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The same as factors of the predictions."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rules that cannot hold together. ``minimal``: each member's removal was proved to make the rest satisfiable.

    ``rules`` holds rule ids and, where what may be considered is part of the conflict, the name of the search limit
    (``weight_precision`` for ``search.weight_precision``). ``gpu_count`` stands for the number of GPUs there are.
    """

    rules: tuple[str, ...]
    """Ids of the rules, or names of limits of the search."""
    sentence: str
    """Why they cannot hold together, with the numbers."""
    minimal: bool
    """Whether each of them is needed for it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field of the problem file, its value now and the one to set; ``new`` None removes the field."""

    field: str
    """Dotted name in the problem file."""
    old: Any
    """Its value now; None where it is not stated."""
    new: Any
    """The value to set."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Changes that make an infeasible problem feasible, least in each; solved again and verified.

    ``result`` is the best strategy of the changed problem.
    """

    changes: tuple[Change, ...]
    """What to set, all together."""
    sentence: str
    """The changes in words."""
    result: Strategy
    """The best strategy of the changed problem."""


@dataclass(frozen=True, slots=True)
class ModelRead:
    """What was read of the model: its size as the checkpoint stores it, and what was assumed or left out."""

    name: str
    """Name of the model."""
    parameters: int
    """Parameters of the checkpoint."""
    weight_bytes: int
    """Bytes of its weights as stored."""
    weight_format: str
    """The checkpoint's format of its weights."""
    notes: tuple[str, ...] = ()
    """Sentences on what was assumed or left out."""

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
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    strategy: Strategy | None
    """The best that was found; None where there is none."""
    metrics: Metrics | None
    """Of the strategy."""
    objective: ObjectiveResult | None
    """Of the strategy, ms per request."""
    rules: tuple[RuleResult, ...]
    """Every rule applied to the strategy."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person, the most important first."""
    alternatives: tuple[Alternative, ...] = ()
    """Next best strategies of other degrees, best first."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible; empty where something is."""
    repairs: tuple[Repair, ...] = ()
    """What would make it feasible."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    cost_source: str = "analytic"
    """Where times come from: ``analytic``, or the name of a table."""
    simulation: Simulation | None = None
    """One replica request by request; None: not asked for, or not possible."""
    breakdown: dict[str, Any] | None = None
    """Terms of memory and time, ``costs.breakdown``."""
    intervals: PredictionIntervals | None = None
    """Where measurements of such predictions fell; None: there are none of this kind."""
    within: str | None = None
    """What an infeasible answer speaks of: ``searched space`` where opening a limit of the search gives a solution; None: of
    every layout that an engine could run."""
    cut_by: tuple[str, ...] = ()
    """The limits of the search, as fields of the problem file, that keep every solution out."""
    model: ModelRead | None = None
    """What was read of the model."""
    assumed: tuple[str, ...] = ()
    """What the problem did not state of its hardware and is taken as usual."""
    decided: dict[str, int] = field(default_factory=dict)
    """Choices beside the strategy's that were left open: the token budget of a step, tokens guessed."""


@dataclass(frozen=True, slots=True)
class CheckAnswer(Answer):
    """What ``check`` found about a given strategy, with the optimum beside it."""

    feasible: bool | None = None
    """Whether the strategy keeps every rule; None: not settled."""
    optimum: Answer | None = None
    """The answer without the fixed decisions."""


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
