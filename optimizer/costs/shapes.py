"""Replica shapes as arrays: one row per (TP, PP, EP, slices, DCP, formats, layer split), stages grouped into classes of equal ones.

A stage's cost depends only on how many layers of each kind it holds and on whether it is first or last, so equal stages
are computed once: arrays over (shape, stage class) stay small for any pipeline length.

Other home: ``verify/common/groups.py``; docs/model.md, section 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.facts.model import ModelFacts
from optimizer.results.answer import Strategy

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shape:
    """What one replica looks like. ``docs/model.md``, section 1."""

    tp: int
    pp: int
    ep: int
    weight_format: str
    kv_format: str
    layers_per_stage: tuple[int, ...]
    part_stages: tuple[int, ...] = ()
    """Stages on each of two node groups (``docs/inventories.md``, section 2); empty: all on one kind of GPU."""
    slice_ranks: int = 1
    """Data-parallel ranks of an engine that slice every expert among them."""
    dcp: int = 1
    """Decode context parallel: TP ranks that share the tokens of a sequence's cache."""

    @classmethod
    def of(cls, strategy: Strategy, part_stages: tuple[int, ...] = ()) -> Shape:
        """One replica of a strategy."""
        s = strategy
        degrees = s.tensor_parallel, s.pipeline_parallel, s.expert_parallel
        shared = s.expert_slice_ranks, s.decode_context_parallel
        return cls(*degrees, s.weight_precision, s.kv_precision, s.layers_per_stage, part_stages, *shared)

    def strategy(self, data_parallel: int, max_num_seqs: int) -> Strategy:
        """So many replicas of it."""
        return Strategy(
            tensor_parallel=self.tp,
            pipeline_parallel=self.pp,
            data_parallel=data_parallel,
            expert_parallel=self.ep,
            max_num_seqs=max_num_seqs,
            layers_per_stage=self.layers_per_stage,
            weight_precision=self.weight_format,
            kv_precision=self.kv_format,
            expert_slice_ranks=self.slice_ranks,
            decode_context_parallel=self.dcp,
        )

    @property
    def engine_ranks(self) -> int:
        """d: data-parallel ranks that one engine instance couples."""
        return max(1, self.ep // self.tp) * self.slice_ranks

    @property
    def instance_gpus(self) -> int:
        """S: GPUs that fail as one."""
        return self.tp * self.pp * self.engine_ranks


@dataclass(frozen=True, slots=True)
class ShapeTable:
    """Arrays over S shapes, C stage classes (padded) and K layer kinds."""

    shapes: tuple[Shape, ...]
    tp: Ints  # (S,)
    pp: Ints  # (S,)
    ep: Ints  # (S,)
    ranks: Ints  # (S,) d
    expert_gpus: Ints  # (S,) G_e
    slice_ranks: Ints  # (S,) ranks that slice every expert among them
    dcp: Ints  # (S,) ranks that share the tokens of a sequence's cache
    kind_counts: Ints  # (S, C, K) layers of each kind in a stage of the class
    multiplicity: Ints  # (S, C) stages of the class; 0 pads
    is_first: Bools  # (S, C)
    is_last: Bools  # (S, C)
    on_part: Ints  # (S, C) part of the pipeline that the class belongs to, from 0
    class_of_stage: tuple[tuple[int, ...], ...]

    @property
    def stage_layers(self) -> Ints:
        """Layers in a stage of each class, (S, C)."""
        layers: Ints = self.kind_counts.sum(axis=2)
        return layers

    def part(self, rows: Ints) -> ShapeTable:
        """The same for some of the shapes, with only the stage classes that these have."""
        width = max(1, int((self.multiplicity[rows] > 0).sum(axis=1).max(initial=1)))
        chosen = rows.tolist()
        return ShapeTable(
            shapes=tuple(self.shapes[row] for row in chosen),
            tp=self.tp[rows],
            pp=self.pp[rows],
            ep=self.ep[rows],
            ranks=self.ranks[rows],
            expert_gpus=self.expert_gpus[rows],
            slice_ranks=self.slice_ranks[rows],
            dcp=self.dcp[rows],
            kind_counts=self.kind_counts[rows, :width],
            multiplicity=self.multiplicity[rows, :width],
            is_first=self.is_first[rows, :width],
            is_last=self.is_last[rows, :width],
            on_part=self.on_part[rows, :width],
            class_of_stage=tuple(self.class_of_stage[row] for row in chosen),
        )


_Split = tuple[tuple[int, ...], tuple[int, ...]]
"""Layers of each stage, and stages of each part."""
_Class = tuple[tuple[int, ...], bool, bool, int]
"""Layers of each kind, whether first, whether last, and the part."""


def tabulate(model: ModelFacts, shapes: Sequence[Shape]) -> ShapeTable:
    """Arrays for the given shapes; their stages hold contiguous layers in order."""
    kinds = len(model.kinds)
    prefix = np.zeros((model.layers + 1, kinds), dtype=np.int64)
    for layer, kind in enumerate(model.kind_of_layer):
        prefix[layer + 1] = prefix[layer]
        prefix[layer + 1, kind] += 1
    by_split: dict[_Split, tuple[list[_Class], tuple[int, ...], list[int]]] = {}
    for shape in shapes:
        split = shape.layers_per_stage
        if (split, shape.part_stages) in by_split:
            continue
        classes: dict[_Class, int] = {}
        part_of = [part for part, stages in enumerate(shape.part_stages or (len(split),)) for _ in range(stages)]
        of_stage: list[int] = []
        start = 0
        for stage, layers in enumerate(split):
            end = min(start + layers, model.layers)
            counts = tuple(int(v) for v in prefix[end] - prefix[min(start, model.layers)])
            key = (counts, stage == 0, stage == len(split) - 1, part_of[stage])
            of_stage.append(classes.setdefault(key, len(classes)))
            start = end
        by_split[split, shape.part_stages] = (
            list(classes),
            tuple(of_stage),
            [of_stage.count(c) for c in range(len(classes))],
        )
    width = max((len(entry[0]) for entry in by_split.values()), default=1)
    count = len(shapes)
    kind_counts = np.zeros((count, width, kinds), dtype=np.int64)
    multiplicity = np.zeros((count, width), dtype=np.int64)
    first = np.zeros((count, width), dtype=np.bool_)
    last = np.zeros((count, width), dtype=np.bool_)
    on_part = np.zeros((count, width), dtype=np.int64)
    for row, shape in enumerate(shapes):
        class_list, _, sizes = by_split[shape.layers_per_stage, shape.part_stages]
        for column, (counts, is_first, is_last, part) in enumerate(class_list):
            on_part[row, column] = part
            kind_counts[row, column] = counts
            multiplicity[row, column] = sizes[column]
            first[row, column] = is_first
            last[row, column] = is_last
    tp = np.array([s.tp for s in shapes], dtype=np.int64)
    ep = np.array([s.ep for s in shapes], dtype=np.int64)
    slices = np.array([s.slice_ranks for s in shapes], dtype=np.int64)
    return ShapeTable(
        shapes=tuple(shapes),
        tp=tp,
        pp=np.array([s.pp for s in shapes], dtype=np.int64),
        ep=ep,
        ranks=np.maximum(1, ep // tp) * slices,
        expert_gpus=np.maximum(tp, ep) * slices,
        slice_ranks=slices,
        dcp=np.array([s.dcp for s in shapes], dtype=np.int64),
        kind_counts=kind_counts,
        multiplicity=multiplicity,
        is_first=first,
        is_last=last,
        on_part=on_part,
        class_of_stage=tuple(by_split[s.layers_per_stage, s.part_stages][1] for s in shapes),
    )
