"""Prompts that pass a pipeline in one micro-batch.

Other home: ``verify/common/times.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Floats, Ints


@dataclass(frozen=True, slots=True)
class PassingPrompts:
    """Prompts of a round of S shapes with up to N sequences in progress, times in ms."""

    slowest: Floats
    """O_max: how long a prompt keeps the slowest stage, (S, 1)."""
    longer: Floats
    """By how much longer it passes the stages, sends included, (S, 1)."""
    many: Floats
    """b: how many of a round, as far as a step has room for them, (1, N)."""

    def bunched_ms(self, rounds: Floats, waited: Floats, stages: Ints) -> Floats:
        """What they add to a round where one micro-batch takes nearly all of them, (S, N).

        It passes the stages for longer than it keeps any of them, and has the time for which it would wait for its turn to make
        up for that, once a round. T = D + a·(1 − f·h·D/T), f = 1 − 1/P − 1/(2P²), the larger root: the other micro-batches
        follow it closely, so that only what arrives while they come back goes to them, and hides behind it where there is one,
        h = min(1, b / (1 + 2b/3)).

        Args:
            rounds: D, (S, N).
            waited: of each round what a micro-batch waits for its turn, (S, N).
            stages: P, (S,).
        """
        pp = stages.astype(np.float64)
        work = self.many * self.slowest + self._left_over(np.maximum(0.0, waited))
        follow = np.maximum(0.0, 1 - 1 / pp - 1 / (2 * pp**2))[:, None]
        hidden = follow * np.minimum(1.0, self.many / (1 + self.many * 2 / 3))
        together = rounds + work
        result: Floats = (together + np.sqrt(together**2 - 4 * hidden * work * rounds)) / 2 - rounds
        return result

    def _left_over(self, waited: Floats) -> Floats:
        """E[(k · longer − waited)⁺] for a geometric number k of prompts in a round, (S, N).

        Long rounds gather more prompts than short ones, so their number varies by more than a Poisson number.
        """
        more = self.many / (1 + self.many)
        needed = np.divide(waited, self.longer, out=np.zeros_like(waited), where=self.longer > 0)
        whole = np.floor(needed)
        chance = np.where(whole > 0, more**whole, 1.0)
        result: Floats = self.many * self.longer * chance * (1 - (needed - whole) * (1 - more))
        return result
