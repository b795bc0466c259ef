"""Which candidates there are: rows of (replica shape, data-parallel degree). ``docs/model.md``, section 8.

A row is one pool of equal replicas. Bounds come from the facts and from what the person allowed the search to
consider, never from requirements, so that a conflict cannot hide in a domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Ints, Shape
from optimizer.engines.sixteen_bit import sixteen_bit_note
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed

DEFAULT_PIPELINES = (*range(1, 9), 10, 12, 16)
LARGEST_DEFAULT_DP = 1024
SMALLEST_HORIZON = 512
WIDEST_FIRST = ("fp16", "bf16", "fp8", "int8", "int6", "int5", "nvfp4", "mxfp4", "int4", "int3", "int2")
LARGEST_SPACE_ROWS = 200_000


def chain_length(problem: Problem) -> int:
    """N: requests in progress at a replica beyond which the load model calls it overloaded."""
    return max(SMALLEST_HORIZON, 2 * problem.requirements.max_batch)


class SpaceTooLargeError(ValueError):
    """More rows than the model is built for; the message says what to narrow."""


@dataclass(frozen=True, slots=True)
class Space:
    """The candidates of one problem: R rows over S shapes, and 1…slots sequences for each."""

    shapes: tuple[Shape, ...]
    row_shape: Ints  # (R,)
    row_dp: Ints  # (R,)
    slots: int

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
        values = np.array([getattr(shape, name) for shape in self.shapes], dtype=np.int64)
        column: Ints = values[self.row_shape]
        return column

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


def _expert_degrees(problem: Problem, tp: int, dp: int) -> tuple[int, ...]:
    mode = problem.search.expert_parallel
    if problem.model.experts == 0 or mode == "off":
        return (1,)
    if mode == "replica":
        return tuple(sorted({1, tp}))
    return tuple(sorted({1, tp, tp * dp}))


def build_space(problem: Problem, fixed: Fixed | None = None) -> Space:
    """Every row the search may choose.

    Args:
        fixed: decisions that replace the corresponding list of candidates.

    Raises:
        SpaceTooLargeError: more rows than the model is built for.
    """
    fixed = fixed or Fixed()
    search, model = problem.search, problem.model
    tensor = (fixed.tensor_parallel,) if fixed.tensor_parallel else tensor_degrees(problem)
    pipeline = (fixed.pipeline_parallel,) if fixed.pipeline_parallel else pipeline_degrees(problem)
    if fixed.layers_per_stage and not fixed.pipeline_parallel:
        pipeline = (len(fixed.layers_per_stage),)
    pinned = fixed.tensor_parallel is not None or fixed.pipeline_parallel is not None
    weights = (fixed.weight_precision,) if fixed.weight_precision else search.weight_precision
    caches = (fixed.kv_precision,) if fixed.kv_precision else search.kv_precision
    formats = [(w, k) for w in weights or (model.native_weight_format,) for k in caches or (model.native_dtype,)]
    shapes: dict[Shape, int] = {}
    row_shape: list[int] = []
    row_dp: list[int] = []
    for tp in tensor:
        for pp in pipeline:
            splits = (
                [fixed.layers_per_stage]
                if fixed.layers_per_stage
                else layer_splits(model.layers, pp, search.layer_imbalance)
            )
            for dp in _data_degrees(problem, fixed, tp * pp, pinned):
                degrees = (fixed.expert_parallel,) if fixed.expert_parallel else _expert_degrees(problem, tp, dp)
                for ep in degrees:
                    for weight, cache in formats:
                        for split in splits:
                            shape = Shape(tp, pp, ep, str(weight), str(cache), split)
                            row_shape.append(shapes.setdefault(shape, len(shapes)))
                            row_dp.append(dp)
                    if len(row_dp) > LARGEST_SPACE_ROWS:
                        raise SpaceTooLargeError(
                            f"more than {LARGEST_SPACE_ROWS:,} combinations of TP, PP, DP, EP, formats and layer splits; "
                            "narrow search.data_parallel, search.pipeline_parallel or search.layer_imbalance"
                        )
    horizon = max(chain_length(problem), fixed.max_num_seqs or 1)
    return Space(
        shapes=tuple(shapes),
        row_shape=np.array(row_shape, dtype=np.int64),
        row_dp=np.array(row_dp, dtype=np.int64),
        slots=horizon,
    )


def _data_degrees(problem: Problem, fixed: Fixed, replica_gpus: int, pinned: bool) -> tuple[int, ...]:
    if fixed.data_parallel is not None:
        return (fixed.data_parallel,)
    most = problem.hardware.gpus // replica_gpus
    if problem.search.data_parallel is not None:
        degrees = tuple(d for d in sorted(set(problem.search.data_parallel)) if d <= most)
    else:
        degrees = tuple(range(1, min(most, LARGEST_DEFAULT_DP) + 1))
    return degrees or ((1,) if pinned else ())


def tie_rank(space: Space) -> Ints:
    """Order of rows among equal objectives: fewer GPUs, then smaller PP, TP, EP, wider formats, more even layers, (R,)."""
    order = {name: position for position, name in enumerate(WIDEST_FIRST)}
    of_shape = [
        (
            s.pp,
            s.tp,
            s.ep,
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
    hardware, search = problem.hardware, problem.search
    said = []
    if space.rows:
        tensor = sorted(set(space.column("tp").tolist()))
        pipeline = sorted(set(space.column("pp").tolist()))
        said.append(f"TP degrees considered: {_words(tensor)}; PP degrees: {_words(pipeline)}.")
    if search.data_parallel is None and hardware.gpus > LARGEST_DEFAULT_DP:
        said.append(f"DP degrees considered: 1 to {LARGEST_DEFAULT_DP:,}; search.data_parallel widens that.")
    said.append(f"Sequences per replica considered: 1 to {space.slots}.")
    said.append(
        "All replicas are alike; the same nodes stated as cluster: may hold instances of different shapes side by side."
    )
    weights = search.weight_precision or (problem.model.native_weight_format,)
    caches = search.kv_precision or (problem.model.native_dtype,)
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
