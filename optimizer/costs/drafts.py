"""What a draft keeps on the GPUs of the last stage, counted as one more kind of layer. ``docs/model.md``, section 3.

Other homes: ``verify/common/layer.py``, ``verify/common/stage.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from optimizer.costs.parameters import LayerArrays
from optimizer.costs.shapes import ShapeTable
from optimizer.facts.problem import Problem


def with_draft(problem: Problem, table: ShapeTable, arrays: LayerArrays) -> tuple[ShapeTable, LayerArrays]:
    """The same with the draft's weights and cache, for memory only; unchanged where no token is guessed."""
    speculation, model = problem.workload.speculation, problem.model
    if speculation is None or not problem.workload.guessed or speculation.method == "ngram":
        return table, arrays
    if speculation.method == "mtp":
        last = model.kind_of_layer[-1]
        weights = arrays.resident_bytes[:, last] + 4 * model.hidden_size**2
        cache, state, window = arrays.kv_bytes_per_token[:, last], arrays.state_bytes[:, last], arrays.windows[last]
        unread, in_flight = arrays.unread_bytes[:, last], arrays.in_flight_bytes[last]
    else:
        tp = table.tp.astype(np.longdouble)
        parameters = (
            Fraction(repr(speculation.draft_parameters or 0)) * 10**9
        )  # as written: a float of it may be a byte more
        weights = 2 * np.longdouble(parameters.numerator) / (parameters.denominator * tp)
        cache = np.ceil((speculation.draft_kv_bytes_per_token or 0) / table.tp)
        state, window, unread, in_flight = np.zeros(len(tp)), 0, np.zeros(len(tp)), 0.0
    counts = np.concatenate([table.kind_counts, table.is_last[:, :, None].astype(table.kind_counts.dtype)], axis=2)
    return replace(table, kind_counts=counts), replace(
        arrays,
        resident_bytes=np.column_stack([arrays.resident_bytes, weights]),
        kv_bytes_per_token=np.column_stack([arrays.kv_bytes_per_token, cache]),
        state_bytes=np.column_stack([arrays.state_bytes, state]),
        unread_bytes=np.column_stack([arrays.unread_bytes, unread]),
        in_flight_bytes=np.append(arrays.in_flight_bytes, in_flight),
        windows=np.append(arrays.windows, window),
    )
