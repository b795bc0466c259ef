"""The longer of reading and computing, and what of the shorter does not hide behind it. ``docs/model.md``, section 3."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from optimizer.verify.common.arithmetic import constant


def roof(x: Decimal, y: Decimal, overlap: Decimal) -> Decimal:
    """Milliseconds of reading ``x`` and computing ``y`` together; ``overlap`` is the constant, converted once."""
    return x + overlap * y if x > y else y + overlap * x


def float_roof(x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The same in floats."""
    found: NDArray[np.float64] = np.maximum(x, y) + float(constant("overlap")) * np.minimum(x, y)
    return found
