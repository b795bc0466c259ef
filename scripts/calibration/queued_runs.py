"""Runs whose requests were all queued at the start, and their output tokens per second by any constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.catalog.constants import CostConstants
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.queued import highest_throughput, static_batch
from optimizer.costs.shapes import Bools, Floats
from optimizer.reading.measurements import STATIC_BATCH


class QueuedRuns:
    """Runs of the kinds offline_max and static_batch."""

    def __init__(self, runs: Sequence[MeasuredRun]) -> None:
        self.runs = tuple(runs)
        self.corpus = Corpus(runs)
        self.model = self.corpus.model
        self.measured = np.array([run.row.output_tok_s for run in runs])
        self._concurrency = np.array([[run.row.concurrency] for run in runs])
        self._output = np.array([run.row.output_tokens for run in runs])
        self._static = np.array([run.row.kind == STATIC_BATCH for run in runs], dtype=np.bool_)

    def subset(self, keep: Bools) -> QueuedRuns:
        """The runs where ``keep`` holds."""
        return QueuedRuns([run for run, wanted in zip(self.runs, keep, strict=True) if wanted])

    def predict(self, values: CostConstants) -> Floats:
        """Output tokens per second of every run."""
        steps = self.corpus.steps_by_run(self.corpus.step_times(values))
        most, batch = (kind(steps, self._concurrency, self._output) for kind in (highest_throughput, static_batch))
        result: Floats = np.where(self._static, batch.output_tok_s[:, 0], most.output_tok_s[:, 0])
        return result
