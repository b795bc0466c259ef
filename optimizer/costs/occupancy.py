"""What requests in progress hold of the KV cache: moments of one request, and quantiles of all together. Section 4 of
``docs/model.md``.

In a server whose speed depends only on how many are in progress (processor sharing), the requests in progress are, given their
number, independent of each other, each drawn with a weight proportional to its output length, and equally likely at each of its
output tokens (Kelly, Reversibility and Stochastic Networks, 1979, chapter 3). The quantile of their sum is Cornish and Fisher's
with the skewness of both (Revue de l'Institut International de Statistique, 1938).

Other homes: ``verify/common/occupancy.py``, ``verify/common/float_cache.py``; docs/model.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from optimizer.costs.load import LoadPoints
from optimizer.costs.parameters import LayerArrays, LongFloats
from optimizer.costs.shapes import Floats, Ints, ShapeTable
from optimizer.engines.memory import overhead_on
from optimizer.facts.problem import Problem
from optimizer.facts.workload import KV_BLOCK_TOKENS


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that one request in progress holds on a GPU of each shape and stage class, (S, C): mean and central moments."""

    mean: Floats
    variance: Floats
    third: Floats
    shared: Floats
    """Bytes that are held once, whatever the number of requests."""

    def wanted(self, shape: Ints, load: LoadPoints, share: float) -> Floats:
        """Bytes that the requests in progress pass for ``share`` of the time, (Q, C); infinite where overloaded.

        Args:
            shape: (Q,) rows of this table.
            load: (Q,) load of a replica.
        """
        result = self.of_law(shape, load.mean_number, load.number_variance, load.number_third, share)
        wanted: Floats = np.where(load.overloaded[:, None], np.inf, result)
        return wanted

    def of_law(self, shape: Ints, mean: Floats, variance: Floats, third: Floats, share: float) -> Floats:
        """The same for a random number in progress of these moments, (Q,) each; no figure of a number that is not finite."""
        number, spread, cube = (values[:, None] for values in (mean, variance, third))
        one, own, skew = self.mean[shape], self.variance[shape], self.third[shape]
        total = number * own + spread * one**2
        with np.errstate(invalid="ignore"):
            bent = number * skew + 3 * spread * one * own + cube * one**3
            result: Floats = self.shared[shape] + _quantile(number * one, total, bent, share)
        return result

    def of_number(self, number: Ints, share: float) -> Floats:
        """The same for exactly so many requests in progress in each shape, (S, C)."""
        n = number[:, None].astype(np.float64)
        return self.shared + _quantile(n * self.mean, n * self.variance, n * self.third, share)

    def most(self, room: Ints, share: float, limit: int) -> Ints:
        """The most requests in progress, up to a limit, that want no more than ``room`` (S, C), (S,)."""
        low, high = np.zeros(len(room), dtype=np.int64), np.full(len(room), limit + 1, dtype=np.int64)
        while (high - low > 1).any():
            middle = (low + high) // 2
            fits = (self.of_number(middle, share) <= room).all(axis=1)
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return low


def _quantile(mean: Floats, variance: Floats, third: Floats, share: float) -> Floats:
    """What is passed for ``share`` of the time; the term of the skewness is third · (z² − 1) / (6 · variance)."""
    z = -NormalDist().inv_cdf(share)  # 1 - share loses the digits of a small one
    skew = np.divide(third, variance, out=np.zeros_like(variance), where=variance > 0)
    result: Floats = mean + z * np.sqrt(np.maximum(variance, 0.0)) + np.maximum(0.0, (z * z - 1) / 6 * skew)
    return result


def kept_tokens(tokens: Ints, windows: Ints, in_flight: int = 0) -> Ints:
    """Tokens that a layer of each kind keeps of a sequence of so many, in whole blocks, (…, K).

    Args:
        in_flight: tokens of a step that a window holds beside itself until they are worked on.
    """
    windows = np.where(windows > 0, windows + in_flight, 0)
    whole = -(-tokens // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS
    most = -(-windows // KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS + KV_BLOCK_TOKENS
    kept: Ints = np.where(windows > 0, np.minimum(whole[..., None], most), whole[..., None])
    return kept


def in_flight(problem: Problem) -> int:
    """Tokens of a prompt's step that a window layer holds beside its window: what an engine asks room for when it starts."""
    if not problem.paged:
        return 0
    known = overhead_on(problem)
    return known.steps_in_flight * problem.search.max_num_batched_tokens - 1


def sequence_bytes(
    tokens: Ints, table: ShapeTable, arrays: LayerArrays, rows: slice = slice(None), in_flight: int = 0
) -> LongFloats:
    """Cache of one sequence of so many tokens (T,) on a GPU of each stage class of some shapes, (T, S, C)."""
    kept = kept_tokens(tokens, arrays.windows, in_flight)[:, None, :]
    per_layer = arrays.kv_bytes_per_token[rows] * kept + _whole_over_ranks(arrays.state_bytes[rows], table.tp[rows])
    per_layer = (
        per_layer + arrays.unread_bytes[rows] + np.minimum(tokens, in_flight)[:, None, None] * arrays.in_flight_bytes
    )
    result: LongFloats = np.einsum("sck,tsk->tsc", table.kind_counts[rows].astype(np.longdouble), per_layer)
    return result


def _whole_over_ranks(per_gpu: Floats, tp: Ints) -> LongFloats:
    """Values of each GPU that are whole over the TP ranks together, (S, K), as near as the longer floats hold them."""
    whole: LongFloats = np.rint(per_gpu * tp[:, None]).astype(np.longdouble) / tp[:, None]
    return whole


def held(problem: Problem, table: ShapeTable, arrays: LayerArrays) -> Held:
    """Moments of what one request in progress holds."""
    blocks, shares = _blocks_in_progress(problem)
    # Layers that keep equally much of every sequence are one column: few columns, whatever the shapes.
    columns, column_of = _distinct_columns(kept_tokens(blocks * KV_BLOCK_TOKENS, arrays.windows))
    mean = shares @ columns
    off = columns - mean
    second = np.einsum("b,bi,bj->ij", shares, off, off)
    third = np.einsum("b,bi,bj,bk->ijk", shares, off, off, off)
    per_kind = table.kind_counts * arrays.kv_bytes_per_token[:, None, :]
    slopes = np.stack([per_kind[:, :, column_of == i].sum(axis=2) for i in range(columns.shape[1])], axis=2)
    state = np.einsum("sck,sk->sc", table.kind_counts, arrays.state_bytes + arrays.unread_bytes)
    return Held(
        mean=slopes @ mean + state,
        variance=np.einsum("sci,scj,ij->sc", slopes, slopes, second),
        third=np.einsum("sci,scj,sck,ijk->sc", slopes, slopes, slopes, third),
        shared=_held_once(problem, table, arrays),
    )


def _held_once(problem: Problem, table: ShapeTable, arrays: LayerArrays) -> Floats:
    """Cache of the tokens that all requests share, rounded up, (S, C)."""
    tokens = problem.workload.shared_tokens
    if not tokens:
        return np.zeros(table.multiplicity.shape)
    once = sequence_bytes(np.array([tokens]), table, arrays)[0].astype(np.float64)
    result: Floats = np.where(table.multiplicity > 0, np.ceil(once - 1e-6), 0.0)
    return result


def _blocks_in_progress(problem: Problem) -> tuple[Ints, Floats]:
    """Blocks that a request in progress may hold, and how likely each number is."""
    longest = max(one.prompt_tokens + one.output_tokens for one in problem.held_requests)
    steps = np.zeros(longest + 1)
    for one in problem.held_requests:
        # Its output tokens are equally likely: it holds prompt, prompt + 1, … prompt + output - 1.
        steps[one.prompt_tokens] += one.weight
        steps[one.prompt_tokens + one.output_tokens] -= one.weight
    weight = np.cumsum(steps)
    of_block = -(-np.arange(longest + 1) // KV_BLOCK_TOKENS)
    total = np.bincount(of_block, weights=weight)
    blocks = np.flatnonzero(total > 0)
    return blocks, total[blocks] / total.sum()


def _distinct_columns(values: Ints) -> tuple[Floats, Ints]:
    """Columns that differ, as floats, and which of them each of the given columns is."""
    known: dict[bytes, int] = {}
    which = [known.setdefault(values[:, i].tobytes(), len(known)) for i in range(values.shape[1])]
    first = [which.index(i) for i in range(len(known))]
    return values[:, first].astype(np.float64), np.array(which, dtype=np.int64)
