"""Both pools of an inventory: what requests see, what must hold, what it is worth. ``docs/disaggregated.md``, section 13.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/pools/cluster_answer.py``, ``search/pools/cluster_model.py``; docs/disaggregated.md, section 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.results.cluster_pools import ClusterPoolsStrategy, GroupPool
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.pair import Ruling, _at_most, _stands, _yes, group_of
from optimizer.verify.pools.pool import (
    AnyPool,
    Crossing,
    DecodePool,
    Loaded,
    PoolValue,
    PrefillPool,
    sent_times,
    value_of,
)
from optimizer.verify.pools.shape import PoolShape
from optimizer.verify.pools.site import SHARES, PoolLoss, PoolsSite, cases

ROUNDING = Decimal("0.000005")
"""ms that whole nanoseconds of several parts may add."""


@dataclass(frozen=True, slots=True)
class SitePart:
    """One pool's instances on one group."""

    group: int
    share: Fraction
    pool: AnyPool
    crossing: Crossing


class ClusterPair:
    """Both pools with the links between them."""

    def __init__(self, site: PoolsSite, strategy: ClusterPoolsStrategy) -> None:
        self.site, self.problem, self.strategy = site, site.problem, strategy
        found = [[(site.index(part), part) for part in side] for side in (strategy.prefill, strategy.decode)]
        self.named = all(group is not None for side in found for group, _ in side)
        placed = [[(group or 0, part) for group, part in side] for side in found]
        self.crossing = len({group for side in placed for group, _ in side}) > 1
        receiver = self._shape(*placed[1][0])
        self.parts: tuple[list[SitePart], list[SitePart]] = ([], [])
        for group, part in placed[0]:
            shape, one = self._shape(group, part), part.pool
            moved = Crossing(
                site.hop(group, self.crossing), receiver, sent_times(site.problems[group], shape, receiver)
            )
            pool: AnyPool = PrefillPool(shape, one.instances, one.nodes, moved)
            self.parts[0].append(SitePart(group, _share(part), pool, moved))
        for group, part in placed[1]:
            shape, one = self._shape(group, part), part.pool
            moved = Crossing(site.hop(group, self.crossing), shape, Fraction(1))
            pool = DecodePool(shape, one.instances, one.nodes, one.max_num_seqs, moved)
            self.parts[1].append(SitePart(group, _share(part), pool, moved))
        self.demand = exact(self.problem.workload.requests_per_s)

    def _shape(self, group: int, part: GroupPool) -> PoolShape:
        return self.site.shapes[group].of(group_of(part.pool))

    @property
    def every(self) -> list[SitePart]:
        """Parts of both pools."""
        return [*self.parts[0], *self.parts[1]]

    @property
    def gpus(self) -> int:
        """U."""
        return sum(part.pool.count * part.pool.shape.gpus for part in self.every)

    @property
    def price(self) -> Fraction | None:
        """Of an hour; None where a group has none."""
        total = Fraction(0)
        for part in self.every:
            each = self.problem.groups[part.group].price_per_gpu_hour
            if each is None:
                return None
            total += exact(each) * part.pool.count * part.pool.shape.gpus
        return total

    def loads(self, side: int, rate: Fraction) -> list[Loaded] | None:
        """Every part of a pool at its share of a rate; None where requests pile up in one."""
        found = [part.pool.load(rate * part.share) for part in self.parts[side]]
        kept = [one for one in found if one is not None]
        return kept if len(kept) == len(found) else None

    def transfer(self, name: str) -> Decimal:
        """ms of ``mean``, ``usual`` or ``longest`` on the slowest link."""
        found: Decimal = max(getattr(part.crossing, name) + part.crossing.wire.latency for part in self.every)
        return found

    def latency(self, rule: str, loads: Sequence[Sequence[Loaded]]) -> Decimal:
        """A percentile by its rule's name: the slowest parts of both pools."""
        total = sum((max(one.times[rule] for one in side) for side in loads if rule in side[0].times), Decimal(0))
        if rule.startswith("ttft"):
            total += self.transfer("usual" if rule.endswith("p50") else "longest")
        return total

    def values(self, side: int) -> PoolValue:
        """A pool over its failure states."""
        weights, total = weights_of(self.problem.objective), [Decimal(0), Decimal(0), Decimal(0)]
        for part in self.parts[side]:
            rate, share = self.demand * part.share, decimal(part.share)
            one = value_of(part.pool, weights, lambda j, pool=part.pool, rate=rate: pool.load(rate, j))  # type: ignore[misc]
            wide = self.site.down_wide(part.group)
            lost = weights.unserved * weights.penalty_ms * wide
            for at, value in enumerate((one.served, one.unserved + lost, one.lost + wide)):
                total[at] += share * value
        return PoolValue(*total)

    def terms(self) -> dict[str, Decimal]:
        """The objective by term, ms."""
        weights, first, second = weights_of(self.problem.objective), self.values(0), self.values(1)
        return {
            "prefill": first.served,
            "transfer": weights.latency * self.transfer("mean"),
            "decode": second.served,
            "unserved": first.unserved + second.unserved,
            "gpus": weights.gpu_ms * self.gpus,
        }

    def peak_of(self, part: SitePart) -> Decimal:
        """Requests/s that a part works off at most."""
        pool, shape = part.pool, part.pool.shape
        each = shape.prompts_per_s if isinstance(pool, PrefillPool) else shape.completes_per_s(pool.slots)
        return pool.count * shape.group.ranks * each

    def peak(self) -> Decimal:
        """Requests/s of all at which the first part is full."""
        return min(self.peak_of(part) / decimal(part.share) for part in self.every)

    def within(self, loads: Sequence[Sequence[Loaded]], tolerance: Decimal = Decimal(0)) -> bool:
        """Whether every latency limit that is on holds."""
        limits = self.problem.requirements
        return all(
            self.latency(limit.rule, loads) <= planned(limits, limit.limit_ms) + tolerance
            for limit in limits.latency_limits
            if limit.rule not in self.problem.search.disabled_rules
        )

    def carried(self, rate: Fraction, tolerance: Decimal = Decimal(0)) -> bool:
        """Whether the rules of the load hold at a rate, shares kept."""
        both = []
        for side in (0, 1):
            loads = self.loads(side, rate)
            if loads is None or not all(p.pool.carries(one) for p, one in zip(self.parts[side], loads, strict=True)):
                return False
            both.append(loads)
        return self.within(both, tolerance)

    def shares_nodes(self, group: int) -> bool:
        """Whether both pools stand on the same nodes of a group."""
        nodes = [sum(part.pool.nodes for part in side if part.group == group) for side in self.parts]
        return all(nodes) and sum(nodes) > self.problem.groups[group].nodes

    def survives(self, level: str, count: int) -> bool:
        """Whether every case of losses leaves enough."""
        return all(self.left_after(case) for case in set(cases(self.problem, level, count)))

    def left_after(self, case: PoolLoss) -> bool:
        """Whether what one case leaves carries the demand that must be carried."""
        shared = {g for g in range(len(self.site.names)) if self.shares_nodes(g)}
        if not case.sharing <= shared or case.separate & shared:
            return True
        hits, both = dict(case.hits), []
        rate = self.demand * exact(self.problem.demand_share)
        for side in (0, 1):
            left = []
            for part in self.parts[side]:
                lost = hits.get((side, part.group), 0)
                gone = self.site.taken(part.group, part.pool, case.level, lost) if lost else 0
                if part.group not in case.gone and gone < part.pool.count:
                    left.append((part, gone))
            total = sum((part.share for part, _ in left), Fraction(0))
            if not total:
                return False
            loads = []
            for part, gone in left:
                load = part.pool.load(rate * part.share / total, gone)
                if load is None or not part.pool.carries(load):
                    return False
                loads.append(load)
            both.append(loads)
        return self.within(both, ROUNDING)

    def stands(self, group: int) -> bool:
        """Whether both pools find room on the nodes of a group, by filling them one by one."""
        facts, hardware = self.problem.groups[group], self.site.problems[group].hardware
        pools = [[part.pool for part in side if part.group == group] for side in self.parts]
        on = [pool for side in pools for pool in side]
        if any(len(side) > 1 for side in pools) or not all(_stands(hardware, pool) for pool in on):
            return False
        spanning = [pool for pool in on if pool.shape.gpus > facts.free_gpus]
        if any(pool.shape.gpus // facts.free_gpus > facts.nodes_together for pool in spanning):
            return False
        if any(pool.nodes != pool.count * pool.shape.gpus // facts.free_gpus for pool in spanning):
            return False
        if not self.shares_nodes(group):
            block = sum(self.site.rack_nodes(group, p.count, p.nodes, p.shape.gpus) for p in on)
            return sum(pool.nodes for pool in on) <= facts.nodes and (not spanning or block <= facts.nodes_together)
        if spanning or any(pool.nodes != facts.nodes for pool in on):
            return False
        used = [0] * facts.nodes
        for pool, nodes in zip(on, (range(facts.nodes), reversed(range(facts.nodes))), strict=True):
            each, more = divmod(pool.count, facts.nodes)
            for position, node in enumerate(nodes):
                used[node] += (each + (position < more)) * pool.shape.gpus
        return max(used) <= facts.free_gpus

    def rulings(self) -> Iterator[Ruling]:
        """Every rule, at the part that is nearest to breaking it."""
        problem, limits = self.problem, self.problem.requirements
        groups = range(len(self.site.names))
        used = [sum(p.pool.count * p.pool.shape.gpus for p in self.every if p.group == g) for g in groups]
        yield _worst(_at_most("gpu_count", used[g], problem.groups[g].gpus) for g in groups)
        yield _yes("placement", all(self.stands(g) for g in groups))
        for name, parts in zip(("prefill_memory", "decode_memory"), self.parts, strict=True):
            yield _yes(name, all(part.pool.shape.short_of_memory <= 0 for part in parts))
        yield _yes(
            "prefill_capacity", all(self._rate(part) * _mean(part.pool.shape.services) < 1 for part in self.parts[0])
        )
        loads = [[part.pool.load(self.demand * part.share) for part in side] for side in self.parts]
        first, second = (list(zip(side, one, strict=True)) for side, one in zip(self.parts, loads, strict=True))
        yield _worst(
            _at_most("prefill_kv_cache", None if one is None else one.wanted, p.pool.shape.room) for p, one in first
        )
        yield _yes("link", all(self._rate(part) * part.crossing.mean < 1 for part in self.every))
        slots = [(part.pool.slots if isinstance(part.pool, DecodePool) else 0, one) for part, one in second]
        yield _worst(_at_most("decode_concurrency", None if one is None else one.n99, n) for n, one in slots)
        yield _worst(
            _at_most("decode_kv_cache", None if one is None else one.wanted, p.pool.shape.room) for p, one in second
        )
        states = [(part.pool.shape.states, n) for (part, _), (n, _) in zip(second, slots, strict=True)]
        if any(blocks is not None for blocks, _ in states):
            yield _worst(_at_most("state_blocks", n, blocks) for blocks, n in states if blocks is not None)
        yield _yes("min_batch", all(n >= limits.min_batch for n, _ in slots))
        if limits.tpot_p99_ms is not None:
            most = planned(limits, limits.tpot_p99_ms)
            yield _worst(
                _at_most("tpot_full_batch", part.pool.shape.round(min(n, part.pool.shape.length)), most)
                for (part, _), (n, _) in zip(second, slots, strict=True)
            )
        known = [[one for one in side if one is not None] for side in loads]
        whole = all(len(one) == len(side) for one, side in zip(known, loads, strict=True))
        for limit in limits.latency_limits:
            actual = self.latency(limit.rule, known) if whole else None
            yield _at_most(limit.rule, actual, planned(limits, limit.limit_ms))
        for losses in problem.survive:
            yield _yes(f"survive_{losses.level}", self.survives(losses.level, losses.count))

    def _rate(self, part: SitePart) -> Decimal:
        """Requests/ms of one rank."""
        return decimal(self.demand * part.share / (part.pool.count * part.pool.shape.group.ranks) / 1000)


def _share(part: GroupPool) -> Fraction:
    """The share in the parts that requests are dealt in."""
    return Fraction(round(part.share * SHARES), SHARES)


def _mean(services: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    return sum((share * ms for share, ms in services), Decimal(0))


def _worst(rulings: Iterator[Ruling]) -> Ruling:
    return min(rulings, key=lambda ruling: ruling.slack)
