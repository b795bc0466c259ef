"""Which candidates there are: rows of (replica shape, data-parallel degree). ``docs/model.md``, section 8.

A row is one pool of equal replicas. Bounds come from the facts and from what the person allowed the search to
consider, never from requirements, so that a conflict cannot hide in a domain.

Other home: ``verify/common/space.py``; docs/model.md, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from optimizer.costs.load import chain_length
from optimizer.costs.shapes import Ints, Shape
from optimizer.engines.kernels import kernels_of
from optimizer.engines.registry import engine_of
from optimizer.engines.sixteen_bit import sixteen_bit_note
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import LayerKind
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed

DEFAULT_PIPELINES = (*range(1, 9), 10, 12, 16)
WIDEST_FIRST = ("fp16", "bf16", "fp8", "fp8_e5m2", "int8", "int6", "int5", "nvfp4", "mxfp4", "int4", "int3", "int2")
LARGEST_SPACE_ROWS = 200_000


class SpaceTooLargeError(ValueError):
    """More rows than the model is built for; the message says what to narrow."""


@dataclass(frozen=True, slots=True)
class Space:
    """The candidates of one problem: R rows over S shapes, and 1…slots sequences for each."""

    shapes: tuple[Shape, ...]
    row_shape: Ints  # (R,)
    row_dp: Ints  # (R,)
    slots: int
    offered: tuple[Shape, ...] = ()
    """Every shape that was considered, where those that can be no row were left out; empty: ``shapes``."""
    _columns: dict[str, Ints] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rows(self) -> int:
        """Number of rows R."""
        return len(self.row_dp)

    @property
    def candidates(self) -> int:
        """Rows times sequences per replica: what exhaustive enumeration would compare."""
        return self.rows * self.slots

    def column(self, name: str) -> Ints:
        """An integer attribute of the row's shape (``tp``, ``pp``, ``ep``, ``engine_ranks``, ``instance_gpus``), (R,)."""
        values = self._columns.get(name)
        if values is None:
            values = self._columns[name] = np.array([getattr(s, name) for s in self.shapes], dtype=np.int64)
        column: Ints = values[self.row_shape]
        return column

    def with_rows(self, row_shape: Ints, row_dp: Ints) -> Space:
        """The same shapes in other rows."""
        return replace(self, row_shape=row_shape, row_dp=row_dp)

    @property
    def gpus(self) -> Ints:
        """GPUs in use, (R,)."""
        used: Ints = self.column("tp") * self.column("pp") * self.row_dp
        return used

    @property
    def instances(self) -> Ints:
        """Engine instances, (R,)."""
        coupled: Ints = np.maximum(1, self.row_dp // self.column("engine_ranks"))
        return coupled


def tensor_degrees(problem: Problem) -> tuple[int, ...]:
    """TP degrees the search may use."""
    if problem.search.tensor_parallel is not None:
        return tuple(sorted(set(problem.search.tensor_parallel)))
    heads = problem.model.attention_heads
    largest = max(8, problem.hardware.nvlink_domain_gpus)
    return tuple(t for t in range(1, min(heads, largest) + 1) if heads % t == 0)


def pipeline_degrees(problem: Problem) -> tuple[int, ...]:
    """PP degrees the search may use."""
    if problem.search.pipeline_parallel is not None:
        return tuple(sorted(set(problem.search.pipeline_parallel)))
    return tuple(p for p in DEFAULT_PIPELINES if p <= problem.model.layers)


def evenly(layers: int, stages: int) -> tuple[int, ...]:
    """Layers shared evenly, the first stages one more where they do not divide."""
    low, more = divmod(layers, stages)
    return (low + 1,) * more + (low,) * (stages - more)


def layer_splits(layers: int, stages: int, imbalance: int) -> list[tuple[int, ...]]:
    """Layer counts per stage that the search may use; the most even first. ``docs/model.md``, section 1."""
    if stages == 1:
        return [(layers,)]
    if stages > layers:
        return [(1,) * layers + (0,) * (stages - layers)]
    low, more = divmod(layers, stages)
    if imbalance == 0:
        return [evenly(layers, stages)]
    smallest, largest = max(1, low - imbalance), low + (1 if more else 0) + imbalance
    splits = []
    for first in range(smallest, largest + 1):
        for last in range(smallest, largest + 1):
            rest = layers - first - last
            if stages == 2:
                middle: tuple[int, ...] = ()
                if rest or first < last:
                    continue
            else:
                middle = evenly(rest, stages - 2)
                if rest < 0 or min(middle) < smallest or not max(first, last) <= max(middle) <= largest:
                    continue
            splits.append((first, *middle, last))
    return sorted(splits, key=lambda split: (unevenness(split), split))


def unevenness(split: tuple[int, ...]) -> int:
    """Sum of squared layer counts: smallest for the even split of a given number of layers and stages."""
    return sum(layers * layers for layers in split)


def within_split_rule(problem: Problem, split: tuple[int, ...]) -> bool:
    """Whether rule ``layer_split`` allows the split: all layers placed, none empty, near enough to even."""
    layers, imbalance = problem.model.layers, problem.search.layer_imbalance
    low, more = divmod(layers, len(split))
    if imbalance == 0 and more:
        return False
    high = low + (1 if more else 0) + imbalance
    return sum(split) == layers and min(split) >= max(1, low - imbalance) and max(split) <= high


def sharded_inside(problem: Problem) -> bool:
    """Whether the engine spreads experts over a part of a TP group and slices them over the rest."""
    return engine_of(problem.engine).experts_inside_tp


def shared_across(problem: Problem, tp: int) -> bool:
    """Whether the engine runs replicas of a TP degree that share their experts."""
    return tp == 1 or engine_of(problem.engine).experts_across == "any"


def expert_degrees(problem: Problem, tp: int) -> tuple[int, ...]:
    """EP degrees the search may use at a TP degree: with ``any``, every one that an engine runs on some number of replicas."""
    mode, experts = problem.search.expert_parallel, problem.model.experts
    if experts == 0 or mode == "off":
        return (1,)
    if mode == "replica":
        return tuple(sorted({1, tp}))
    inside, most = sharded_inside(problem), experts if shared_across(problem, tp) else min(tp, experts)
    divisors = {ep for ep in range(1, most + 1) if experts % ep == 0 and (ep % tp == 0 or (inside and tp % ep == 0))}
    return tuple(sorted({1, tp} | divisors))


def slicing_degrees(problem: Problem, tp: int, ep: int) -> tuple[int, ...]:
    """Data-parallel ranks of one engine that may slice every expert among them: with ``any``, where experts are not spread."""
    model = problem.model
    if not model.experts or ep > 1 or problem.search.expert_parallel != "any" or not shared_across(problem, 2):
        return (1,)
    width, most = model.expert_ffn_width, problem.hardware.gpus // tp
    return (1, *(ranks for ranks in range(2, most + 1) if width % (tp * ranks) == 0))


def context_degrees(problem: Problem, tp: int, kv_format: str) -> tuple[int, ...]:
    """Degrees of decode context parallelism that the engine runs with the model at a TP degree; 1 among them."""
    model, known = problem.model, kernels_of(problem.engine).context_parallel
    if known is None or problem.workload.guessed or not known.gpus.runs_on(problem.hardware.gpu.capability):
        return (1,)
    if kv_format not in (known.latent_caches if model.mla else known.head_caches):
        return (1,)
    if not all(keeps_every_token(kind) for kind in model.kinds):
        return (1,)
    copies, queries = tp, tp
    if not model.mla:
        heads = max(model.kv_head_counts)
        if len(set(model.kv_head_counts)) > 1 or tp % heads:
            return (1,)
        copies, queries = tp // heads, model.attention_heads // heads
    return tuple(n for n in range(1, copies + 1) if tp % n == 0 and queries % n == 0)


def keeps_every_token(kind: LayerKind) -> bool:
    """Whether a layer keeps every token of a sequence, and nothing else of it."""
    other = kind.state_values_per_sequence + kind.state_values_replicated + kind.unread_bytes_per_sequence
    return not (other or kind.window_tokens or kind.bytes_per_token_in_flight)


def shape_ranges(problem: Problem, fixed: Fixed | None = None) -> list[tuple[Shape, Sequence[int]]]:
    """Every replica shape the search may choose, with the DP degrees it may be repeated to.

    Shapes that couple d data-parallel ranks come in multiples of d: no other number fills whole engine instances.

    Args:
        fixed: decisions that replace the corresponding list of candidates.
    """
    if problem.serving != "joint":
        raise ProblemError(
            "serving",
            f"{problem.serving} is taken by optimizer solve, check, deploy, report, graph, sweep and recommend; for this question "
            "state serving: joint",
        )
    fixed = fixed or Fixed()
    search, model = problem.search, problem.model
    tensor = (fixed.tensor_parallel,) if fixed.tensor_parallel else tensor_degrees(problem)
    pipeline = (fixed.pipeline_parallel,) if fixed.pipeline_parallel else pipeline_degrees(problem)
    if fixed.layers_per_stage and not fixed.pipeline_parallel:
        pipeline = (len(fixed.layers_per_stage),)
    weights = (fixed.weight_precision,) if fixed.weight_precision else search.weight_precision
    caches = (fixed.kv_precision,) if fixed.kv_precision else search.kv_precision
    formats = dict.fromkeys(
        (w, k) for w in weights or (model.native_weight_format,) for k in caches or (model.native_kv_format,)
    )
    found: list[tuple[Shape, Sequence[int]]] = []
    for tp in tensor:
        for pp in pipeline:
            splits = (
                [fixed.layers_per_stage]
                if fixed.layers_per_stage
                else layer_splits(model.layers, pp, search.layer_imbalance)
            )
            for ep in (fixed.expert_parallel,) if fixed.expert_parallel else expert_degrees(problem, tp):
                for ranks in (
                    (fixed.expert_slice_ranks,) if fixed.expert_slice_ranks else slicing_degrees(problem, tp, ep)
                ):
                    degrees = _data_degrees(problem, fixed, tp * pp, max(1, ep // tp), ranks)
                    if degrees:
                        found += [
                            (Shape(tp, pp, ep, str(w), str(k), split, (), ranks, shared), degrees)
                            for w, k in formats
                            for shared in contexts_for(problem, fixed, tp, str(k))
                            for split in splits
                        ]
    return found


def contexts_for(problem: Problem, fixed: Fixed, tp: int, kv_format: str) -> tuple[int, ...]:
    """Degrees of decode context parallelism that are asked for and that the engine runs."""
    wanted = problem.search.decode_context_parallel
    if fixed.decode_context_parallel is not None:
        wanted = (fixed.decode_context_parallel,)
    return tuple(n for n in context_degrees(problem, tp, kv_format) if wanted is None or n in wanted)


def _data_degrees(problem: Problem, fixed: Fixed, replica_gpus: int, spread: int, slicing: int) -> Sequence[int]:
    """DP degrees of a shape, ascending: those that fit, in whole engine instances.

    Where a fixed TP, PP or EP leaves none there is one to be judged all the same.
    """
    ranks = spread * slicing
    # A person who fixes how experts are shared is told what is wrong with it.
    asked = fixed.expert_slice_ranks is not None or (fixed.expert_parallel is not None and slicing == 1)
    if fixed.data_parallel is not None:
        whole = fixed.data_parallel % ranks == 0 or asked
        return (fixed.data_parallel,) if whole else ()
    most = problem.hardware.gpus // replica_gpus
    listed = problem.search.data_parallel
    degrees: Sequence[int] = range(ranks, most + 1, ranks)
    if listed is not None:
        degrees = tuple(d for d in sorted(set(listed)) if d <= most and d % ranks == 0)
    if degrees or (ranks > 1 and not asked):
        return degrees
    if asked and ranks > 1:
        degrees = range(1, most + 1) if listed is None else tuple(d for d in sorted(set(listed)) if d <= most)
    pinned = fixed.tensor_parallel is not None or fixed.pipeline_parallel is not None
    return degrees or ((1,) if pinned else ())


def build_space(problem: Problem, fixed: Fixed | None = None) -> Space:
    """Every row the search may choose.

    Args:
        fixed: decisions that replace the corresponding list of candidates.

    Raises:
        SpaceTooLargeError: more rows than the model is built for.
    """
    ranges = shape_ranges(problem, fixed)
    if sum(len(degrees) for _, degrees in ranges) > LARGEST_SPACE_ROWS:
        raise SpaceTooLargeError(
            f"more than {LARGEST_SPACE_ROWS:,} combinations of TP, PP, DP, EP, formats and layer splits; "
            "narrow search.data_parallel, search.pipeline_parallel or search.layer_imbalance"
        )
    return space_of(problem, ranges, fixed)


def space_of(problem: Problem, ranges: Sequence[tuple[Shape, Sequence[int]]], fixed: Fixed | None = None) -> Space:
    """The space of some shapes, each with some DP degrees."""
    every = [np.array(degrees, dtype=np.int64) for _, degrees in ranges]
    counts = np.array([len(degrees) for degrees in every], dtype=np.int64)
    return Space(
        shapes=tuple(shape for shape, _ in ranges),
        row_shape=np.repeat(np.arange(len(ranges), dtype=np.int64), counts),
        row_dp=np.concatenate(every) if every else np.zeros(0, dtype=np.int64),
        slots=max(chain_length(problem), (fixed and fixed.max_num_seqs) or 1),
    )


def tie_rank(space: Space) -> Ints:
    """Order of rows among equal objectives, (R,): fewer GPUs, then smaller PP, TP, EP, slicing and context degrees, wider formats,
    more even layers."""
    order = {name: position for position, name in enumerate(WIDEST_FIRST)}
    of_shape = [
        (
            s.pp,
            s.tp,
            s.ep,
            s.slice_ranks,
            s.dcp,
            order[s.weight_format],
            order[s.kv_format],
            unevenness(s.layers_per_stage),
            s.layers_per_stage,
        )
        for s in space.shapes
    ]
    shape_rank = np.empty(len(of_shape), dtype=np.int64)
    shape_rank[sorted(range(len(of_shape)), key=of_shape.__getitem__)] = np.arange(len(of_shape))
    by_row = np.lexsort((shape_rank[space.row_shape], space.gpus))
    rank = np.empty(space.rows, dtype=np.int64)
    rank[by_row] = np.arange(space.rows)
    return rank


def search_limits(problem: Problem, space: Space) -> list[str]:
    """Sentences naming what was not considered, so that it is never mistaken for what the hardware cannot do."""
    search = problem.search
    said = []
    offered = space.offered or space.shapes
    if offered:
        degrees = {
            name: sorted({getattr(s, name) for s in offered}) for name in ("tp", "pp", "ep", "slice_ranks", "dcp")
        }
        experts = f"; EP degrees: {_words(degrees['ep'])}" if problem.model.experts else ""
        said.append(f"TP degrees considered: {_words(degrees['tp'])}; PP degrees: {_words(degrees['pp'])}{experts}.")
        if degrees["slice_ranks"] != [1]:
            said.append(
                f"Replicas of one engine that slice every expert among them (MoE tensor parallel): {_words(degrees['slice_ranks'])}; "
                "with EP above 1 experts stay whole."
            )
        if degrees["dcp"] != [1]:
            said.append(
                f"TP ranks that share the tokens of a sequence's cache (decode context parallel): {_words(degrees['dcp'])}; physics, "
                "never measured."
            )
    if problem.requirements.max_batch is None and "max_batch" not in search.disabled_rules:
        engine, gpu = engine_of(problem.engine).title, problem.hardware.gpu.name
        said.append(
            f"Sequences per replica considered: 1 to {problem.max_batch:,}, {engine}'s own default on {gpu} (requirements.max_batch "
            "is left out); a limit of the scheduler, for which no cache is reserved."
        )
    else:
        said.append(f"Sequences per replica considered: 1 to {space.slots:,}.")
    said.append(
        "All replicas are alike; the same nodes stated as cluster: may hold instances of different shapes side by side."
    )
    weights = search.weight_precision or (problem.model.native_weight_format,)
    caches = search.kv_precision or (problem.model.native_kv_format,)
    said.append(f"Weight formats considered: {_words(weights)}; KV cache formats: {_words(caches)}.")
    note = sixteen_bit_note(problem.model, problem.engine)
    said += [note] if note else []
    if search.layer_imbalance == 0:
        said.append("Only even layer splits were considered (search.layer_imbalance is 0).")
    if problem.model.experts and search.expert_parallel != "any":
        said.append(f"Expert parallelism was limited to '{search.expert_parallel}' (search.expert_parallel).")
    if search.disabled_rules:
        said.append(f"Rules switched off in the problem file: {_words(search.disabled_rules)}.")
    if problem.costs is not None:
        said += problem.costs.notes
    return said


def _words(values: object) -> str:
    return ", ".join(str(value) for value in values)  # type: ignore[attr-defined]
