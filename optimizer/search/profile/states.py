"""What may run in an hour: a shape and a number of instances that keeps every rule at that hour's rate, with its time.

Other home: ``verify/profile/states.py``; docs/profile.md, sections 2 and 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from optimizer.costs.shapes import Bools, Ints, Shape
from optimizer.facts.errors import ProblemError
from optimizer.facts.profile import HOUR_S, ProfileProblem
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.uniform.oracle import derived, subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import Screen, objective_at_most_slots
from optimizer.search.uniform.space import Space, SpaceTooLargeError, build_space, tie_rank

_NEVER = 2**50
"""In place of a time where a row may not run."""


@dataclass(frozen=True, slots=True)
class ShapeInDay:
    """One shape over the day: what a start and a stop of an instance take."""

    shape: Shape
    lead_s: int
    """Engine start and reading its weights, whole seconds, rounded up."""
    start_gpu_s: int
    """GPU-seconds of a start, its price counted."""
    stop_gpu_s: int
    """GPU-seconds of a stop."""


class DayStates:
    """Rows of the space over the distinct rates of the day, as whole numbers.

    Raises:
        ProblemError: the space is too large, or a start takes longer than an hour.
    """

    def __init__(self, day: ProfileProblem) -> None:
        self.day, problem = day, day.problem
        try:
            space = build_space(problem)
        except SpaceTooLargeError as error:
            raise ProblemError("search", str(error)) from None
        rows = (
            np.flatnonzero(Screen(Quantities(problem, space), None, STATIC_RULES).viable)
            if space.rows
            else np.zeros(0, np.int64)
        )
        self.space: Space = subspace(space, rows)
        self.rates = day.distinct_rates
        self.tables: dict[float, Quantities] = {}
        self.viable: dict[float, Bools] = {}
        self.value: dict[float, Ints] = {}
        self.most: Ints = np.zeros(self.space.rows, dtype=np.int64)
        known: Quantities | None = None
        for rate in reversed(self.rates) if self.space.rows else ():
            at = day.at(rate)
            quantities = Quantities(at, self.space) if known is None else derived(known, at)
            screen = Screen(quantities)
            known = known or quantities
            self.tables[rate], self.viable[rate] = quantities, screen.viable
            self.value[rate] = np.where(screen.viable, objective_at_most_slots(quantities, screen.most), 0)
            self.most = screen.most
        self.shapes = [self._in_day(number) for number in range(len(self.space.shapes))]
        self.rank = tie_rank(self.space) if self.space.rows else np.zeros(0, dtype=np.int64)
        self.kept = self._kept() if self.space.rows else np.zeros(0, dtype=np.int64)

    def _in_day(self, number: int) -> ShapeInDay:
        day, shape = self.day, self.space.shapes[number]
        stored = int(self._memory_weights(number)) * shape.instance_gpus
        lead = math.ceil(exact(day.recovery.engine_start_s) + exact_bytes(stored, day.recovery.storage_gb_per_s))
        if lead > HOUR_S:
            raise ProblemError(
                "schedule.storage_gb_per_s",
                f"a start takes {lead:,} s, longer than the hour before it is needed, which is not modelled; state a faster one",
            )
        price = Fraction(0)
        if day.schedule.start_price:
            price = exact(day.schedule.start_price) / exact(day.problem.hardware.price_per_gpu_hour or 1) * HOUR_S
        size = shape.instance_gpus
        return ShapeInDay(shape, lead, math.ceil(size * lead + price), math.ceil(size * exact(day.schedule.drain_s)))

    def _memory_weights(self, number: int) -> int:
        """Bytes of weights on the fullest GPU of a shape: each GPU of an instance reads at most as much."""
        quantities = next(iter(self.tables.values()))
        return int(quantities.memory.weights[number].max())

    def _kept(self) -> Ints:
        """Rows of shapes of which no other is as good everywhere: as many GPUs, no dearer starts, allowed wherever it is, no slower."""
        space = self.space
        instances = space.instances
        most = int(instances.max())
        count = len(space.shapes)
        columns = np.full((len(self.rates), count, most + 1), _NEVER, dtype=np.int64)
        for number, rate in enumerate(self.rates):
            allowed = np.flatnonzero(self.viable[rate])
            columns[number, space.row_shape[allowed], instances[allowed]] = self.value[rate][allowed]
        flat = columns.transpose(1, 0, 2).reshape(count, -1)
        sizes = np.array([one.shape.instance_gpus for one in self.shapes])
        starts = np.array([one.start_gpu_s for one in self.shapes])
        order = np.lexsort((np.arange(count), starts, flat.sum(axis=1) // 1000))
        kept: list[int] = []
        for shape in order.tolist():
            if (flat[shape] >= _NEVER).all():
                continue
            beside = [other for other in kept if sizes[other] == sizes[shape] and starts[other] <= starts[shape]]
            if not any((flat[other] <= flat[shape]).all() for other in beside):
                kept.append(shape)
        return np.flatnonzero(np.isin(space.row_shape, kept))

    def allowed(self, hour: int) -> Ints:
        """Rows that may run in an hour."""
        rate = self.day.rates[hour]
        rows: Ints = self.kept[self.viable[rate][self.kept]] if self.space.rows else self.kept
        return rows

    def time_us(self, hour: int, rows: Ints) -> Ints:
        """Expected time of all requests of an hour, µs of requests, for each row."""
        rate = self.day.rates[hour]
        whole = [math.ceil(exact(rate) * HOUR_S * int(value) / 1000) for value in self.value[rate][rows]]
        return np.array(whole, dtype=np.int64)

    def per_node(self, row: int) -> int | None:
        """GPUs that a row takes on its fullest node, spread evenly; None where an instance spans nodes."""
        hardware = self.day.problem.hardware
        size, instances = int(self.space.column("instance_gpus")[row]), int(self.space.instances[row])
        node = hardware.gpus_per_node
        if size > node or instances > hardware.nodes * (node // size):
            return None
        return -(-instances // hardware.nodes) * size


def exact(value: float) -> Fraction:
    """The decimal that a number prints as."""
    return Fraction(repr(value))


def exact_bytes(stored: int, gb_per_s: float) -> Fraction:
    """Seconds in which so many bytes are read."""
    return stored / (exact(gb_per_s) * 10**9)
