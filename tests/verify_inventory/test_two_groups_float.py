"""The enumeration with pipelines over two groups: what it lists, leaves out, stands on the nodes, and refutes."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any

import numpy as np
import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed
from optimizer.results.inventory import Pool, PoolPart
from optimizer.results.placement import Placement
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.joined import split_of
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.across import candidates_across
from optimizer.verify.inventory.candidates import CheckedInstance, candidates_of, legal
from optimizer.verify.inventory.ceiling import Ceiling
from optimizer.verify.inventory.choices import TooMany, WideChoices, choices
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances, nodes_for
from optimizer.verify.inventory.legality import check_placement
from optimizer.verify.inventory.places import carried_in_place, fits_times
from optimizer.verify.inventory.rates import MILLION, memory_slots, rated
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spread import Unfinished, placements
from optimizer.verify.inventory.stock import Stock, stock_of
from optimizer.verify.inventory.valuer import Valuer
from tests.verify.builders import GPU, SMALL_MOE
from tests.verify_inventory.builders import (
    SLOW_GPU,
    What,
    Where,
    answer_for,
    candidate,
    no_answer,
    problem,
    split_shape,
)
from tests.verify_inventory.two_groups import SMALL_FAST, SMALL_SLOW, groups, small


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No simulation."""
    monkeypatch.setattr("optimizer.verify.inventory.check._Check._simulate", lambda *_: None)


@pytest.mark.parametrize("seed", range(60))
def test_every_choice_is_listed_once(seed: int) -> None:
    """With offers that draw on two pools, or twice on one."""
    rng = random.Random(seed)
    narrow, across, lines, pools = rng.randint(0, 3), rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3)
    pool = np.array(sorted(rng.randrange(pools) for _ in range(narrow)), dtype=np.int64)
    uses = np.zeros((pools, narrow + across), dtype=np.int64)
    for column in range(narrow):
        uses[pool[column], column] = rng.randint(1, 4)
    wide = sorted(tuple(rng.randrange(pools) for _ in range(2)) for _ in range(across))
    for column, both in enumerate(wide):
        for one in both:
            uses[one, narrow + column] += 1 + (both[0] + both[1]) % 2
    room = [rng.randint(1, 6) for _ in range(pools)]
    gain = np.array([[rng.choice([0.0, 1, 2, 5, -1]) for _ in range(narrow + across)] for _ in range(lines)])
    need = np.array([rng.choice([-2.0, 0, 3, 6, 9]) for _ in range(lines)])
    wanted = []
    for x in product(*(range(max(room) + 1) for _ in range(narrow + across))):
        counts = np.array(x, dtype=np.int64)
        if (uses @ counts <= room).all() and (gain @ counts >= need).all():
            wanted.append(x)
    sizes = uses[:, :narrow].sum(axis=0)
    two = WideChoices(uses[:, narrow:], gain[:, narrow:])
    asked = sizes, pool, room, gain[:, :narrow], need
    assert sorted(choices(*asked, 10**6, 10**6, two)) == wanted
    if len(wanted) > 1:
        with pytest.raises(TooMany):
            list(choices(*asked, 10**6, 1, two))


def inventories() -> list[InventoryProblem]:
    """Dense with limits, over nodes and with domains of two GPUs; experts of two kinds of layers; a slot for few only."""
    gpus = {"a": {**SMALL_FAST, "memory_mib": 4450}, "b": {**SMALL_SLOW, "memory_mib": 4250}}
    # More than engines take, so that the small GPUs hold a share of the model only.
    beside = {"non_torch_mib": 3072, "communication_mib": 0, "cuda_graphs_mib": 0, "activations_mib": 152}
    dense = problem(
        engine_overhead=beside,
        cluster=[
            {"name": "a", "gpu": gpus["a"], "nodes": 2, "gpus_per_node": 2, "internode_gbit_per_s": 100},
            {"name": "b", "gpu": gpus["b"], "nodes": 1, "gpus_per_node": 4, "nvlink_domain_gpus": 2},
        ],
        requirements={"max_batch": 24, "max_sequence_tokens": 1536, "ttft_p99_ms": 300, "tpot_p99_ms": 12},
        search={"pipeline_parallel": [1, 2, 3], "layer_imbalance": 1},
    )
    low = {"memory_mib": 5600, "layer_time_factor": 1.5}
    experts = problem(
        engine_overhead=beside,
        model=SMALL_MOE,
        cluster=[
            {"name": "a", "gpu": {**GPU, **low}, "nodes": 1, "gpus_per_node": 2, "nvlink_gb_per_s": 0, "nvlink_domain_gpus": 1},
            {"name": "b", "gpu": {**SLOW_GPU, "memory_mib": 5000}, "nodes": 1, "gpus_per_node": 2},
        ],
        requirements={"max_batch": 8, "min_batch": 2, "tpot_p99_ms": 60, "max_sequence_tokens": 2048},
        search={"expert_parallel": "any", "weight_precision": ["bf16", "fp8"], "pipeline_parallel": [1, 2, 3], "layer_imbalance": 0},
    )  # fmt: skip
    free = problem(
        engine_overhead=beside,
        cluster=[
            {"name": "a", "gpu": {**SMALL_FAST, "memory_mib": 4600}, "nodes": 1, "gpus_per_node": 2},
            {"name": "b", "gpu": {**SMALL_SLOW, "memory_mib": 4300}, "nodes": 1, "gpus_per_node": 2},
        ],
        requirements={"max_batch": 40, "max_sequence_tokens": 3072},
        search={"pipeline_parallel": [1, 2], "layer_imbalance": 0, "disabled_rules": ["request_rate"]},
    )  # fmt: skip
    return [dense, experts, free]


def straight(
    stated: InventoryProblem, instances: Instances, within: Sequence[Sequence[CheckedInstance]]
) -> dict[Any, CheckedInstance]:
    """What section 2 says, with nothing left out early: every pair, cut, split; then c > c₁ + c₂."""
    found: dict[Any, CheckedInstance] = {}
    formats = stated.search.weight_precision or ("bf16",)
    for i, j in ((0, 1), (1, 0)):
        both = stated.groups[i], stated.groups[j]
        for stages in stated.search.pipeline_parallel or ():
            for cut, t, ep, weights in product(range(1, stages), (1, 2, 4, 8), (1, 2), formats):
                counts, nodes = (cut, stages - cut), []
                for there, count in zip(both, counts, strict=True):
                    nodes.append(nodes_for(there, t * count, count))
                if None in nodes or (ep > 1 and (not stated.model.experts or ep != t)):
                    continue
                otherwise = 0
                for side, count, q in zip((i, j), counts, nodes, strict=True):
                    each = t * count // (q or 1)
                    otherwise += carried_in_place(within[side], stated.groups[side], q or 1, each, t)
                for ahead in range(1, stated.model.layers):
                    layers = split_of(stated.model.layers, ahead, counts)
                    if layers is None:
                        continue
                    one = instances.across(both[0], both[1], cut, ReplicaShape(Group(t, ep, weights, "bf16"), layers))
                    if not legal(one.shape, one.segments, stated.search.disabled_rules):
                        continue
                    for seen in rated([one], [0]):
                        if seen.capacity > otherwise:
                            what = seen.slots, seen.capacity, seen.slots_capacity, seen.completes
                            found[i, cut, one.shape] = CheckedInstance((i, j), one, *what, 1.0)
    return found


@pytest.mark.parametrize(
    "number", [pytest.param(0, marks=pytest.mark.long), pytest.param(1, marks=pytest.mark.long), 2]
)
@sixty_digits()
def test_what_is_considered(number: int) -> None:
    """Nothing that is considered is left out early, and the rates are those of exact arithmetic."""
    stated = inventories()[number]
    instances = Instances(stated)
    within = candidates_of(CheckedSite(stated), instances)
    across = candidates_across(CheckedSite(stated), instances, within)
    wanted = straight(stated, instances, within)
    found = {(one.groups[0], one.instance.segments[0].stages, one.instance.shape): one for one in across}
    # Of the second inventory only pipelines that carry more than the faster group alone are left: few.
    assert found.keys() == wanted.keys() and len(across) == len(found) > (10, 3, 10)[number]
    for key, one in found.items():
        assert (one.slots, one.capacity) == (wanted[key].slots, wanted[key].capacity)
    for one in random.Random(number).sample(across, min(5, len(across))):
        assert one.slots == one.instance.most_slots()
        assert one.capacity == one.instance.capacity(one.slots) * MILLION
        assert one.slots_capacity == one.instance.slots_capacity(one.slots) * MILLION


@pytest.mark.parametrize("number", [0, 1, 2])
@sixty_digits()
def test_no_pipeline_passes_the_ceiling(number: int) -> None:
    stated = inventories()[number]
    instances, seen, closest = Instances(stated), 0, 0.0
    for t, (cut, stages), ahead in product((1, 2), ((1, 2), (1, 3), (2, 3)), (2, 4, 5, 7)):
        layers = split_of(stated.model.layers, ahead, (cut, stages - cut))
        if layers is None or None in (
            nodes_for(stated.groups[0], t * cut, cut),
            nodes_for(stated.groups[1], t * (stages - cut), stages - cut),
        ):
            continue  # fmt: skip
        one = instances.across(
            stated.groups[0], stated.groups[1], cut, ReplicaShape(Group(t, 1, "bf16", "bf16"), layers)
        )
        sides = [instances.stages(g, q) for g, q in zip(stated.groups, one.nodes, strict=True)]
        ceiling = Ceiling(stated, one.shape.group, (sides[0], sides[1]), (cut, stages - cut))
        slots = memory_slots(one)
        fewest = stated.requirements.min_batch
        assert ceiling.slots(layers) == (slots if slots >= fewest else 0)
        assert ceiling.fit() or slots < fewest
        for n in range(1, slots + 1):
            most = float(one.completes(n))
            assert most <= ceiling.rate(n)
            seen, closest = seen + 1, max(closest, most / ceiling.rate(n))
    assert seen > 20 and (number == 2 or closest > 0.4)


@sixty_digits()
def test_the_ceiling_is_close_where_nothing_is_lost() -> None:
    """One sequence over two equal GPUs with a fast network between: only sends and starts keep it from the ceiling."""
    near = {"nodes": 2, "gpus_per_node": 1, "rack": "r1", "internode_gbit_per_s": 3200, "internode_latency_us": 0}
    stated = problem(
        cluster=[{"name": name, "gpu": GPU, **near} for name in "ab"],
        workload={"prompt_tokens": 100, "output_tokens": 128, "requests_per_s": 1.0},
        requirements={"max_batch": 8, "max_sequence_tokens": 1536},
        search={"layer_imbalance": 0},
    )
    instances, half = Instances(stated), stated.model.layers // 2
    layers = split_of(stated.model.layers, half, (1, 1))
    assert layers is not None
    one = instances.across(stated.groups[0], stated.groups[1], 1, ReplicaShape(Group(1, 1, "bf16", "bf16"), layers))
    sides = [instances.stages(group, nodes) for group, nodes in zip(stated.groups, one.nodes, strict=True)]
    ceiling = Ceiling(stated, one.shape.group, (sides[0], sides[1]), (1, 1))
    reached = float(one.completes(1)) / ceiling.rate(1)
    assert 0.96 < reached <= 1


def test_instances_in_place_of_a_part() -> None:
    """m of section 2: as many as fit on each node, or one over several."""
    stated = problem(
        cluster=[{"name": "a", "gpu": GPU, "nodes": 4, "gpus_per_node": 8}],
        requirements={"max_batch": 32},
        search={"layer_imbalance": 1},
    )
    group, instances = stated.groups[0], Instances(stated)
    with_t = {
        t: sixty_digits()(
            lambda t=t: candidate(stated, instances, 0, ReplicaShape(Group(t, 1, "bf16", "bf16"), (14,)))
        )()
        for t in (1, 2, 4, 8)
    }
    assert [fits_times(with_t[t], group, 2, 6, 2) for t in (1, 2, 4, 8)] == [12, 6, 2, 0]
    wide = sixty_digits()(lambda: candidate(stated, instances, 0, ReplicaShape(Group(8, 1, "bf16", "bf16"), (7, 7))))()
    assert wide.nodes == 2
    assert [fits_times(wide, group, nodes, each, 8) for nodes, each in ((1, 8), (2, 8), (3, 8), (2, 4))] == [0, 1, 1, 0]
    some = group.model_copy(update={"nvlink_domain_gpus": 4})
    assert [fits_times(with_t[t], some, 1, 8, 2) for t in (1, 2, 4)] == [8, 4, 0]
    assert fits_times(with_t[4], some.model_copy(update={"nvlink_gb_per_s": 0.0}), 1, 8, 2) == 2


@sixty_digits()
def values(stated: InventoryProblem, stock: Stock, most: int) -> list[tuple[float, list[tuple[CheckedInstance, int]]]]:
    """The value of every choice of up to so many kinds of instances, by going through all counts."""
    valuer = Valuer(CheckedSite(stated), TimeCurves(), stock.pool_of_group, math.inf)
    found = []
    limits = [
        int(min(r // u for r, u in zip(stock.room, stock.uses[:, k].tolist(), strict=True) if u))
        for k in range(len(stock.candidates))
    ]
    for counts in product(*(range(limit + 1) for limit in limits)):
        if not 0 < sum(map(bool, counts)) <= most or (stock.uses @ np.array(counts) > stock.room).any():
            continue
        chosen = [(one, n) for one, n in zip(stock.candidates, counts, strict=True) if n]
        value = valuer.value(chosen, math.inf)
        if value is not None:
            found.append((value, chosen))
    return sorted(found, key=lambda entry: entry[0])


def answer_of(stated: InventoryProblem, chosen: list[tuple[CheckedInstance, int]]) -> Any:
    picked: list[tuple[Where, What, int]] = []
    for one, n in chosen:
        two = len(one.groups) == 2
        where: Where = (one.groups[0], one.groups[1]) if two else one.groups[0]
        what: What = (one.instance.shape, one.instance.segments[0].stages) if two else one.instance.shape
        picked.append((where, what, n))
    return answer_for(stated, picked)


FEW: dict[str, Any] = {"tensor_parallel": [2], "pipeline_parallel": [1, 2], "layer_imbalance": 0}


def few(**changes: Any) -> InventoryProblem:
    """Few enough choices to go through all: the second group pairs with the first, and one more stands alone."""
    cluster = [{**group, "nodes": 1} for group in groups() if group["name"] in ("a", "b")]
    cluster.append({"name": "f", "gpu": {**SLOW_GPU, "memory_mib": 7000}, "nodes": 1, "gpus_per_node": 2, "rack": "r3"})
    wanted = {"max_batch": 8, "max_sequence_tokens": 3072, "tpot_p99_ms": 60, **changes.pop("wanted", {})}
    work = {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 8.0}
    return small(cluster=cluster, domains={}, requirements=wanted, workload=work, search=FEW, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.long),
        pytest.param({"objective": "fewest-gpus"}, marks=pytest.mark.long),
        {"wanted": {"survive": {"rack": 1}}},
    ],
)
def test_against_every_choice(changes: dict[str, Any]) -> None:
    """The best choice is confirmed, others are refuted: pipelines over two groups among them, and some beside another instance."""
    stated = few(**changes)
    with sixty_digits():
        stock = stock_of(CheckedSite(stated), Instances(stated), Fixed())
    ordered = values(stated, stock, 2)
    assert any(len(one.groups) == 2 for _, chosen in ordered for one, _ in chosen)
    tier = stated.objective.preset == "fewest-gpus"
    used = lambda chosen: sum(one.gpus * n for one, n in chosen) if tier else 0  # noqa: E731
    ordered.sort(key=lambda entry: (used(entry[1]), entry[0]))
    best = ordered[0]
    found = verify_inventory(stated, answer_of(stated, best[1]))
    assert found.passed and found.optimality == "exhaustive", found.mismatches
    for value, chosen in random.Random(1).sample(ordered[1:], min(4, len(ordered) - 1)):
        found = verify_inventory(stated, answer_of(stated, chosen))
        worse = (used(chosen), math.ceil(value)) > (used(best[1]), math.ceil(best[0]))
        assert (found.optimality == "refuted") == worse
        assert [m.what for m in found.mismatches] == (["optimality"] if worse else [])


def test_a_rival_over_two_groups_refutes() -> None:
    """Without the large GPUs only pipelines over two groups keep the rules: none claimed, and a bad one claimed best."""
    cluster = [{**group, "nodes": 1} for group in groups() if group["name"] in ("a", "b", "c")]
    rest: dict[str, Any] = {
        "domains": {},
        "search": {**FEW, "kv_reservation": "full"},  # paged, two small GPUs would be enough
        "workload": {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 2.0},
        "requirements": {"max_batch": 8, "max_sequence_tokens": 3072, "tpot_p99_ms": 60},
    }
    stated = small(cluster=cluster, **rest)
    found = verify_inventory(stated, no_answer(stated))
    assert found.optimality == "refuted" and " and " in found.mismatches[0].expected
    bad = answer_for(stated, [((1, 0), split_shape(2, (4,), (10,)), 1)])
    found = verify_inventory(stated, bad)
    assert found.optimality == "refuted" and [m.what for m in found.mismatches] == ["optimality"]
    apart = small(cluster=[cluster[0], cluster[2]], **rest)  # their racks are unlike
    found = verify_inventory(apart, no_answer(apart))
    assert found.passed and found.optimality == "exhaustive"


def alike_in_two_racks(**changes: dict[str, Any]) -> InventoryProblem:
    """Two racks, each with a group of either kind. Keywords add to a group."""
    a, b = groups()[0], groups()[1]
    stated = [
        {**a, "name": "a1", "rack": "r1", "zone": None},
        {**b, "name": "b1", "rack": "r1", "zone": None},
        {**a, "name": "a2", "rack": "r2", "zone": None},
        {**b, "name": "b2", "rack": "r2", "zone": None},
    ]
    cluster = [{**group, "nodes": 1, **changes.get(group["name"], {})} for group in stated]
    wanted = {"max_batch": 32, "max_sequence_tokens": 1536, "tpot_p99_ms": 60, "survive": {"rack": 1}}
    work = {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 20.0}
    return small(cluster=cluster, domains={}, requirements=wanted, workload=work, search=FEW)


@sixty_digits()
def test_groups_that_are_alike_share_a_pool_unless_it_matters() -> None:
    both = alike_in_two_racks()
    assert stock_of(CheckedSite(both), Instances(both), Fixed()).supplies == ((0, 2), (1, 3))
    one = alike_in_two_racks(a1={"zone": "east"}, b1={"zone": "east"}, a2={"zone": "east"}, b2={"zone": "west"})
    assert stock_of(CheckedSite(one), Instances(one), Fixed()).supplies == ((0,), (2,), (1,), (3,))


def test_both_racks_are_used() -> None:
    """Losing a rack is survived by one pipeline in each: a pool of alike groups stands in the right pairs."""
    for stated in (
        alike_in_two_racks(),
        alike_in_two_racks(a1={"zone": "east"}, b1={"zone": "east"}, a2={"zone": "east"}, b2={"zone": "west"}),
    ):
        assert verify_inventory(stated, no_answer(stated)).optimality == "refuted"
    broken = alike_in_two_racks(b2={"rack": "r3"})  # a2 and b2 do not pair any more
    found = verify_inventory(broken, no_answer(broken))
    assert found.passed and found.optimality == "exhaustive"


@sixty_digits()
def test_places_are_legal() -> None:
    """Every way in which pipelines are stood keeps every rule about places, and there are several."""
    stated = small(cluster=[{**group, "gpus_per_node": 4} for group in groups()], domains={})
    site, instances = CheckedSite(stated), Instances(stated)
    chosen = [(candidate(stated, instances, (0, 1), split_shape(2, (8,), (6,))), 2),
              (candidate(stated, instances, (1, 0), split_shape(1, (3, 3), (4, 4))), 1)]  # fmt: skip
    numbers = {number: (number,) for number in (0, 1)}
    ways = list(islice(placements(site, chosen, numbers, 2000), 60))
    assert len(ways) > 1
    for placed, stood in ways:
        strategies = {id(one): instance.strategy for instance, one in zip(placed, stood, strict=True)}
        pools = []
        for one, count in chosen:
            pool = answer_pool(stated, one, count)
            pools.append(replace(pool, strategy=strategies[id(one)]))
        index = [next(k for k, (one, _) in enumerate(chosen) if one is mine) for mine in stood]
        standing = tuple(replace(instance, pool=k) for instance, k in zip(placed, index, strict=True))
        ledger = CheckLedger()
        assert check_placement(ledger, site, tuple(pools), Placement(standing)), ledger.mismatches
        assert not ledger.mismatches


def answer_pool(stated: InventoryProblem, one: CheckedInstance, count: int) -> Any:
    """A pool with the places of a candidate; its figures do not matter."""
    names = [stated.groups[number].name for number in one.groups]
    parts = tuple(PoolPart(name, s.stages, s.nodes) for name, s in zip(names, one.instance.segments, strict=True))
    nothing: Any = None
    return Pool(parts, nothing, count, 0.0, 0.0, 0.0, 0.0, 0.0, nothing)


@sixty_digits()
def test_pipelines_that_cannot_all_stand() -> None:
    """Two in a rack that has room for one, although the other rack has room as well: not across racks."""
    stated = alike_in_two_racks(a2={"gpus_per_node": 1}, b1={"gpus_per_node": 1})
    site, instances = CheckedSite(stated), Instances(stated)
    one = candidate(stated, instances, (0, 3), split_shape(2, (8,), (6,)))
    groups_of = {0: (0, 2), 3: (1, 3)}
    ways = placements(site, [(one, 1)], groups_of, 100)
    assert list(ways) == []
    both = alike_in_two_racks()
    one = candidate(both, Instances(both), (0, 1), split_shape(2, (8,), (6,)))
    ways = list(placements(CheckedSite(both), [(one, 2)], {0: (0, 2), 1: (1, 3)}, 100))
    assert ways
    for placed, _ in ways:
        assert all(len({node[-3] for node in instance.nodes}) == 1 for instance in placed)  # a1-0 with b1-0
    with pytest.raises(Unfinished):
        list(placements(CheckedSite(both), [(one, 2)], {0: (0, 2), 1: (1, 3)}, 1))
