"""Measured runs arranged for the vectorised model: grouped by model and GPU, predicted together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from optimizer.catalog.constants import ClosedLoopConstants, CostConstants
from optimizer.costs.closed_loop import ClosedLoop, StepTimes
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.engines.registry import measured_as

METRICS = ("tpot", "e2e", "ttft")
Times = dict[str, Floats]
_Key = tuple[Shape, int, int, int, str, int, bool]
"""Shape, ranks, prompt, output, engine, waves, whether requests begin and end together."""


class _Group:
    """Runs of one model on one GPU type: layouts × concurrencies, and where each run stands in that grid."""

    def __init__(self, runs: Sequence[MeasuredRun], rows: Sequence[int]) -> None:
        layouts: dict[_Key, list[int]] = {}
        position: dict[_Key, int] = {}
        cells: list[tuple[int, int]] = []
        for run in runs:
            row = run.row
            key = (run.shape, row.ranks, row.prompt_tokens, row.output_tokens, row.engine, row.waves, row.together)
            column = layouts.setdefault(key, [])
            if row.concurrency not in column:
                column.append(row.concurrency)
            cells.append((position.setdefault(key, len(position)), column.index(row.concurrency)))
        width = max(len(column) for column in layouts.values())
        self.rows = np.array(rows)
        self.at = tuple(np.array(cells).T)
        self.concurrency: Ints = np.array([column + column[-1:] * (width - len(column)) for column in layouts.values()])
        self.engines = [key[4] for key in layouts]
        ranks, prompt, output, waves = (np.array([key[i] for key in layouts], dtype=np.int64) for i in (1, 2, 3, 5))
        shapes = [key[0] for key in layouts]
        nodes = runs[0].row.nodes
        per_node = -(-runs[0].row.gpus // nodes) if nodes > 1 else None
        together = np.array([key[6] for key in layouts], dtype=np.bool_)
        self.output = output
        """Stated output tokens: what a file's end-to-end times count, whatever the mean was."""
        known = [measured_as(name) for name in self.engines]
        reserves = np.array([engine is not None and engine.reserves for engine in known], dtype=np.bool_)
        self.loop = ClosedLoop(
            runs[0].model,
            runs[0].gpu,
            shapes,
            ranks,
            prompt,
            output,
            waves=waves,
            reserves=reserves,
            gpus_per_node=per_node,
            guessed=runs[0].row.guessed,
            together=together,
        )

    def steps_by_run(self, steps: StepTimes) -> StepTimes:
        """What the step model says of each run, as columns (runs, 1)."""
        layout, column = self.at
        one = np.zeros_like(column)
        return StepTimes(
            running=steps.running[layout, column][:, None],
            decode_ms=steps.decode_ms[layout, column][:, None],
            prompt_ms=steps.prompt_ms[layout, one][:, None],
            occupancy_ms=steps.occupancy_ms[layout, one][:, None],
        )


class Corpus:
    """Runs with measured times, and their prediction by any constants."""

    def __init__(self, runs: Sequence[MeasuredRun]) -> None:
        self.runs = tuple(runs)
        members: dict[tuple[object, ...], list[int]] = {}
        for index, run in enumerate(runs):
            apart = (run.row.nodes, run.row.gpus, run.row.network) if run.row.nodes > 1 else ()
            members.setdefault((run.model.name, run.gpu.name, run.row.guessed, *apart), []).append(index)
        self._groups = [_Group([runs[i] for i in rows], rows) for rows in members.values()]
        rows = [run.row for run in runs]
        self.measured: Times = {
            "tpot": np.array([r.tpot_ms for r in rows]),
            "e2e": np.array([r.end_to_end_ms for r in rows]),
            "ttft": np.array([r.ttft_ms for r in rows]),
        }
        self.model = np.array([run.model.name for run in runs])
        self.routed: Bools = np.array([run.model.experts > 0 for run in runs], dtype=np.bool_)

    def subset(self, keep: Bools) -> Corpus:
        """The runs where ``keep`` holds."""
        return Corpus([run for run, wanted in zip(self.runs, keep, strict=True) if wanted])

    def weights_fit(self, constants: CostConstants) -> Bools:
        """Of every run, whether its weights fit its GPUs."""
        fit = np.ones(len(self.runs), dtype=np.bool_)
        for group in self._groups:
            fit[group.rows] = group.loop.weights_fit(constants)[group.at[0]]
        return fit

    def step_times(self, constants: CostConstants) -> list[StepTimes]:
        """What the step model says of every group."""
        return [group.loop.step_times(constants, group.concurrency) for group in self._groups]

    def steps_by_run(self, steps: Sequence[StepTimes]) -> StepTimes:
        """The same run by run, columns (runs, 1)."""
        columns = {name: np.empty((len(self.runs), 1)) for name in StepTimes.__dataclass_fields__}
        for group, step in zip(self._groups, steps, strict=True):
            mine = group.steps_by_run(step)
            for name, values in columns.items():
                values[group.rows] = getattr(mine, name)
        return StepTimes(**columns)

    def predict(self, steps: Sequence[StepTimes], engines: Mapping[str, ClosedLoopConstants]) -> Times:
        """TPOT, end-to-end and TTFT of every run, ms; engines that are not in the mapping use its ``other``."""
        times = {metric: np.empty(len(self.runs)) for metric in METRICS}
        for group, step in zip(self._groups, steps, strict=True):
            constants = [engines.get(name) or engines["other"] for name in group.engines]
            found = group.loop.predict(step, group.concurrency, constants)
            whole = found.end_to_end_ms(group.output)
            for metric, values in (("tpot", found.tpot_ms), ("e2e", whole), ("ttft", found.ttft_ms)):
                times[metric][group.rows] = values[group.at]
        return times
