"""Upper bound on throughput from the cross-sections of layers; proved in integers, found by column generation.

However layers are placed, the nodes that hold one layer carry all tokens through it together, so their throughputs add
up to at least the total: each layer's cross-section is a knapsack cover of it. A node of type t with n layers takes part
in n cross-sections. Give a node of type t the weight w_t and each cross-section that uses it w_t / n of that. If the
cheapest cover of a total F costs c, then layers * c > sum of w_t * (nodes of t) proves that F cannot be carried. Links,
boundaries and the connection rule only restrict further, so the bound holds with every link and under either rule.

Limits on chains enter the same way: a token spends at most K stages (or T microseconds), so the flow through nodes, each
counted with its stages (time), is at most K (T) times F. Weights of these tolls are part of the certificate.

The weights come from a linear program (Gilmore and Gomory's cutting-stock pattern, 1961); the proof needs only them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush

from optimizer.search.chain.crossing import crossing_cost, sites
from optimizer.search.chain.instance import ChainInstance
from optimizer.search.chain.lp import Packing

WEIGHT_SCALE = 10**9
STATES_A_LOOK = 10_000
"""Flows through a cross-section that are tried between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why no throughput above ``bound`` is possible: integer weights per type, per stage and per microsecond.

    ``per_node``, ``stage``, ``micro``: weights of a node of each type, of the stage limit and of the time limit, for
    which no total above ``bound`` (thousandths of a token/s) passes the cross-section test. ``entry`` is set where the
    coordinator's links, and no weights, give the bound.
    """

    bound: int
    per_node: tuple[int, ...]
    stage: int = 0
    micro: int = 0
    entry: bool = False
    crossing: bool = False
    """The weights exclude totals above the bound only together with the links (``crossing``)."""


@dataclass(frozen=True, slots=True)
class _BoundShape:
    """A node of a type with a number of layers: what it carries and what a token spends in it."""

    kind: int
    layers: int
    rate: int
    micros: int


Cover = tuple[tuple[int, int], ...]
"""Shapes of a cross-section with the flow that each one carries."""


def upper_bound(instance: ChainInstance, expired: Callable[[], bool]) -> Certificate:
    """The smallest total that the cross-section test excludes, less one; found by bisection on the total.

    ``expired`` stops the bisection early: the bound is then weaker, and still proved.
    """
    source = sum(instance.source)
    sink = sum(instance.sink)
    low, high = 0, min(source, sink, sum(instance.best_rate(node) for node in range(len(instance.node_type))))
    best = Certificate(high, (0,) * len(instance.rate), entry=True)
    work = by_work(instance)
    if work.bound < high:
        high, best = work.bound, work
    covers: set[Cover] = set()
    # The answer is one of the totals at which a cover stops being enough; from above, each test either proves a smaller
    # bound or shows that this test cannot.
    while low < high and not expired():
        total = (low + high + 1) // 2
        try:
            weights, excluded = _excludes(instance, total, covers, expired)
        except _ExpiredError:
            break
        crossing = not excluded and _excluded_by_links(instance, total, weights[0])
        if excluded or crossing:
            high = total - 1
            best = Certificate(high, *weights, crossing=crossing)
        else:
            low = total
    return best


def by_work(instance: ChainInstance) -> Certificate:
    """The bound of which no cover needs to be looked for: a node does no more layers times tokens than its best number of layers lets it.

    Weighed with that, a shape costs at least what it carries, and so does a cover of a total.
    """
    weights = tuple(
        max((rate * (number + 1) for number, rate in enumerate(table)), default=0) for table in instance.rate
    )
    done = sum(weight * count for weight, count in zip(weights, instance.counts, strict=True))
    return Certificate(done // instance.layers, weights)


def _excluded_by_links(instance: ChainInstance, total: int, weights: tuple[int, ...]) -> bool:
    needed = crossing_cost(instance, total, weights)
    return needed is not None and needed > sum(w * n for w, n in zip(weights, instance.counts, strict=True))


def _shapes(instance: ChainInstance, total: int) -> list[_BoundShape]:
    return [
        _BoundShape(kind, number + 1, min(rate, total), instance.stage_us[kind][number])
        for kind, table in enumerate(instance.rate)
        if instance.counts[kind]
        for number, rate in enumerate(table)
        if rate > 0
    ]


Weights = tuple[tuple[int, ...], int, int]
"""Per node of each type, per stage, per microsecond."""


class _ExpiredError(Exception):
    """The time for the bound is over."""


def _excludes(
    instance: ChainInstance, total: int, covers: set[Cover], expired: Callable[[], bool]
) -> tuple[Weights, bool]:
    """Integer weights, and whether they prove a total impossible; where they do not, the best the test has.

    Raises:
        _ExpiredError: before either was known.
    """
    shapes = _shapes(instance, total)
    if not shapes:
        return ((0,) * len(instance.rate), 0, 0), True
    kinds = range(len(instance.rate))
    most_stages = instance.max_stages
    stock = [float(count) for count in instance.counts]
    stock += [float(limit) for limit in (most_stages, instance.max_us) if limit is not None]
    program = Packing(stock)

    def column(cover: Cover) -> None:
        use = [0.0] * len(instance.rate)
        stages = micros = 0.0
        for number, flow in cover:
            shape = shapes[number]
            use[shape.kind] += 1 / shape.layers
            stages += flow / total / shape.layers
            micros += flow / total * shape.micros / shape.layers
        use += [amount for amount, limit in ((stages, most_stages), (micros, instance.max_us)) if limit is not None]
        program.add(1.0, use)

    # The weights of a test that fails are worth finding where links may make it succeed.
    with_links = not instance.limited and not instance.contained and len(sites(instance, total)) > 1
    known: set[Cover] = set()
    for number, shape in enumerate(shapes):
        whole, rest = divmod(total, shape.rate)
        known.add(((number, shape.rate),) * whole + (((number, rest),) if rest else ()))
    for cover in covers:
        if all(number < len(shapes) for number, _ in cover):
            known.add(_refit(cover, shapes, total))
    known.discard(())
    for cover in sorted(known):
        column(cover)
    while True:
        value, prices = program.solve()
        scaled = [int(price * WEIGHT_SCALE) for price in prices]
        stage = scaled[len(kinds)] if most_stages is not None else 0
        micro = scaled[-1] if instance.max_us is not None else 0
        weights = tuple(scaled[: len(kinds)])
        budget = sum(weight * count for weight, count in zip(weights, instance.counts, strict=True))
        budget += stage * (most_stages or 0) + micro * (instance.max_us or 0)
        cost, cover = cheapest_cover(shapes, total, weights, stage, micro, expired)
        excluded = instance.layers * cost > budget
        settled = value >= instance.layers * (1 - 1e-12) and not with_links
        if excluded or settled or cover in known or cost >= WEIGHT_SCALE * (1 - 1e-7):
            covers |= known
            return (weights, stage, micro), excluded
        known.add(cover)
        column(cover)


def _refit(cover: Cover, shapes: list[_BoundShape], total: int) -> Cover:
    """A cover found for another total, filled again for this one; empty when it is too small."""
    left, filled = total, []
    for number, _ in cover:
        flow = min(left, shapes[number].rate)
        if flow:
            filled.append((number, flow))
        left -= flow
    return tuple(sorted(filled)) if left == 0 else ()


def cheapest_cover(
    shapes: list[_BoundShape], total: int, weights: tuple[int, ...], stage: int, micro: int, expired: Callable[[], bool]
) -> tuple[Fraction, Cover]:
    """The cheapest cross-section that carries a total: exact cost, and one that has it.

    States are (cost, flow carried) by ascending cost; one that carries no more than an earlier one is dropped. All
    shapes but the last carry their full rate, which loses nothing: the flow of a fixed set of shapes is a linear program
    with one row.

    Raises:
        _ExpiredError: rates that hardly divide one another make more states than there was time for.
    """
    fixed = [Fraction(weights[shape.kind], shape.layers) for shape in shapes]
    toll = [Fraction(stage + micro * shape.micros, shape.layers * total) for shape in shapes]
    scale = 1
    for shape in shapes:
        scale = scale * shape.layers // _gcd(scale, shape.layers)
    fix = [int(value * scale * total) for value in fixed]
    per_flow = [int(value * scale * total) for value in toll]
    useful = _undominated(shapes, fix, per_flow)
    heap: list[tuple[int, int, int]] = [(0, 0, 0)]
    trail: list[tuple[int, int, int]] = [(-1, -1, 0)]
    furthest, looked = -1, STATES_A_LOOK
    best: tuple[int, int] | None = None
    while heap:
        cost, negative, at = heappop(heap)
        if len(trail) > looked:
            looked = len(trail) + STATES_A_LOOK
            if expired():
                raise _ExpiredError
        carried = -negative
        if carried >= total:
            best = (cost, at)
            break
        if carried <= furthest:
            continue
        furthest = carried
        for number in useful:
            flow = min(shapes[number].rate, total - carried)
            trail.append((at, number, flow))
            heappush(heap, (cost + fix[number] + per_flow[number] * flow, -(carried + flow), len(trail) - 1))
    if best is None:
        raise RuntimeError("no cross-section carries any flow")
    cover: list[tuple[int, int]] = []
    at = best[1]
    while trail[at][0] >= 0:
        cover.append((trail[at][1], trail[at][2]))
        at = trail[at][0]
    return Fraction(best[0], scale * total), tuple(sorted(cover))


def _undominated(shapes: list[_BoundShape], fix: list[int], per_flow: list[int]) -> list[int]:
    """Shapes for which no other carries at least as much at no more cost."""
    order = sorted(range(len(shapes)), key=lambda n: (fix[n], per_flow[n], -shapes[n].rate, n))
    kept: list[int] = []
    for number in order:
        if not any(shapes[other].rate >= shapes[number].rate and per_flow[other] <= per_flow[number] for other in kept):
            kept.append(number)
    return kept


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a
