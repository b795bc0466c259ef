"""What a further request/s costs in the bounds of section 6 of ``docs/inventories.md``: while everything is up, and otherwise.

While the whole inventory is up all requests are carried, and γ may be anything. In other states some may be shed, and γ is at most what a
request costs that is not served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from optimizer.verify.common.float_times import Floats

Figures = TypeVar("Figures", float, Floats)


@dataclass(frozen=True, slots=True)
class Multiplier:
    """ms per further request/s while the whole inventory is up, a share ``often`` of the time, and in every other state."""

    up: float
    down: float
    often: float

    @property
    def mean(self) -> float:
        """Over all states."""
        return self.down + self.often * (self.up - self.down)

    @property
    def both(self) -> tuple[float, ...]:
        """Those that differ."""
        return (self.up,) if self.up == self.down else (self.up, self.down)

    def in_states(self, availability: Figures, gain_up: Figures, gain_down: Figures) -> Figures:
        """What instances take off in the mean over the states, by how often they are up and Γ at either multiplier."""
        if self.up == self.down:
            return availability * gain_up
        others: Figures = np.maximum(0.0, availability - self.often)
        return self.often * gain_up + others * gain_down
