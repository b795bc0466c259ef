"""Requests that failures leave unserved, of every row, as the solver's integers."""

from __future__ import annotations

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Ints
from optimizer.search.common.scale import lost_parts
from optimizer.search.uniform.quantities import Quantities


def lost(quantities: Quantities) -> tuple[Ints, Ints]:
    """In parts of ``scale.PARTS``: of each state where it is not carried, (R, STATES); of all rarer states, (R,)."""
    instances = quantities.space.instances.astype(np.float64)
    each = quantities.down.probability * np.minimum(1.0, np.arange(STATES) / instances[:, None])
    return lost_parts(each), lost_parts(quantities.down.rest_mean / instances)
