"""A measured run with the facts behind its names: which model, GPU and replica shape it was."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.costs.closed_loop import measured_kv_format
from optimizer.costs.shapes import Shape
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.reading.measured_names import Models, find_gpu, weight_format
from optimizer.reading.measurements import Measurement


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A measurement with the facts behind its names."""

    row: Measurement
    model: ModelFacts
    gpu: GpuFacts
    shape: Shape


def resolve(row: Measurement, models: Models) -> MeasuredRun:
    """The facts of a measurement.

    Raises:
        UnusableRow: the model, the system or the precision is not known.
    """
    return run_of(row, models.find(row.model), find_gpu(row.system))


def run_of(row: Measurement, model: ModelFacts, gpu: GpuFacts) -> MeasuredRun:
    """A measurement of a known model on a known GPU.

    Raises:
        UnusableRow: the precision is not known.
    """
    weights = weight_format(row.precision, model)
    # Data-parallel attention ranks of a MoE model share its experts; ranks of a dense model are replicas.
    ep = row.tp * row.ranks if row.ranks > 1 else row.ep
    layers = [-(-model.layers // row.pp)] * row.pp
    layers[-1] = max(0, model.layers - sum(layers[:-1]))
    shape = Shape(
        tp=row.tp,
        pp=row.pp,
        ep=ep if model.experts else 1,
        weight_format=weights,
        kv_format=measured_kv_format(weights, row.engine, gpu, model.native_dtype),
        layers_per_stage=tuple(layers),
    )
    return MeasuredRun(row, model, gpu, shape)
