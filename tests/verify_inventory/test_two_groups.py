"""Pipelines over two groups: costs worked out by hand, and every false claim about one is caught."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest

from optimizer.catalog.constants import constants
from optimizer.results.answer import Fixed, Metrics
from optimizer.results.inventory import InventoryAnswer, Pool, PoolPart
from optimizer.results.placement import GpuPlace, Placement
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.joined import split_of
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.availability import availability_of
from optimizer.verify.inventory.float_times import TimeCurve
from optimizer.verify.inventory.instance import Instance, Instances, pairable
from optimizer.verify.inventory.losses import victims, worst_loss
from optimizer.verify.inventory.restarts import restarts_in_time
from optimizer.verify.inventory.site import CheckedSite
from tests.verify.builders import GPU, SMALL_MOE
from tests.verify_inventory.builders import answer_for, split_shape
from tests.verify_inventory.test_claims import wrong
from tests.verify_inventory.two_groups import CHOSEN, PIPELINE, SMALL, SMALL_FAST, SMALL_SLOW, TRUE, groups, small

C = constants()
PIPE, ALONE = TRUE.pools
assert TRUE.placement is not None
PLACED = TRUE.placement.instances


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims only."""
    monkeypatch.setattr("optimizer.verify.inventory.check._Check._simulate", lambda *_: None)


# --- by hand -------------------------------------------------------------------------------------------------------------

UNEVEN = [
    {"name": "a", "gpu": {**SMALL_FAST, "nvlink_gb_per_s": 600}, "nodes": 2, "gpus_per_node": 2, "nvlink_gb_per_s": 600,
     "internode_gbit_per_s": 200, "internode_latency_us": 10},
    {"name": "b", "gpu": {**SMALL_SLOW, "nvlink_gb_per_s": 0}, "nodes": 1, "gpus_per_node": 2, "nvlink_gb_per_s": 0,
     "pcie_gb_per_s": 32, "internode_gbit_per_s": 100, "internode_latency_us": 5},
]  # fmt: skip
BY_HAND = small(cluster=UNEVEN, domains={})
ON_THREE = small(
    cluster=UNEVEN,
    domains={},
    workload={"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 9},
    requirements={"max_batch": 32, "max_sequence_tokens": 1536},
    search={"pipeline_parallel": [3], "layer_imbalance": 0},
)
THREE, CUT = split_shape(2, (4, 3), (7,))
HIDDEN, VOCABULARY, CONTEXT = 2048, 32000, 900 + 64


def roof(x: float, y: float) -> float:
    return max(x, y) + C.overlap * min(x, y)


class Hand:
    """One stage of ``THREE`` by the formulas of docs/model.md, in ms; both GPUs hold their parts with TP 2."""

    def __init__(self, layers: int, slow: bool, last: bool) -> None:
        kind = BY_HAND.model.kinds[0]
        bandwidth, rate, self.gen = (2000e6, 312e9, 1.25) if slow else (3350e6, 989.4e9, 1.0)
        if slow:  # no 8-bit format: the kernels of the generation before
            shares = C.generations["ampere"]
            bandwidth, rate = bandwidth * shares.bandwidth, rate * shares.flops
        linear = layers * (kind.sharded_parameters / 2 + kind.key_value_parameters / 2 + kind.replicated_parameters)
        self.read = (linear * 2 + layers * kind.unquantized_parameters * 2) / (C.eta_bw * bandwidth)
        self.flop = 2 * linear / (C.eta_decode_flops * rate)
        kv = layers * kind.kv_values_per_token_per_kv_head * 2 * 2  # two of four heads, two bytes
        attend = layers * 2 * kind.attention_flop_width / 2 * CONTEXT / (C.eta_decode_flops * rate)
        self.cache = max(kv * CONTEXT / (C.eta_kv * bandwidth), attend)
        link, latency = (32e6, C.pcie_latency_us / 1000) if slow else (300e6, 0.0)
        self.reduce = [C.ar_factor * HIDDEN * 2 / link, 2 * latency]  # per token, per message: 2·(t-1)/t = 1
        self.layers, self.last = layers, last
        table = VOCABULARY * HIDDEN * 2 / 2
        self.head = (table / (C.eta_bw * bandwidth), table / (C.eta_decode_flops * rate)) if last else (0.0, 0.0)
        self.product = 2 * linear / (C.eta_prefill_flops * rate)
        self.attention = layers * kind.prefill_flop_width / 2 / (C.eta_prefill_attention * rate)

    def messages(self, tokens: int) -> float:
        return 2 * self.layers * (self.reduce[0] * tokens + self.reduce[1])

    def decode(self, b: int) -> float:
        total = roof(self.read, self.flop * b) + roof(self.head[0], self.head[1] * b) + self.cache * b
        total += self.gen * self.layers * (C.t_layer + C.t_tp) + self.messages(b)
        return total + (self.gen * C.t_step + b * C.t_sequence if self.last else 0.0)

    def prefill(self, tokens: int) -> float:
        return self.product * tokens + self.attention * tokens**2 + self.messages(tokens)


def sends_by_hand(tokens: int) -> float:
    """One send between the nodes of a, one from a to b: the narrower network, the longer latency."""
    x = tokens * HIDDEN * 2 * 2
    return (x / 25e6 + 0.010) + (x / 12.5e6 + 0.010)


def three() -> Instance:
    return Instances(BY_HAND).across(BY_HAND.groups[0], BY_HAND.groups[1], CUT, THREE)


@sixty_digits()
def test_times_by_hand() -> None:
    one = three()
    assert one.nodes == (2, 1) and one.gpus_of_segments == (4, 2) and one.gpus == 6
    stages = [Hand(4, False, False), Hand(3, False, False), Hand(7, True, True)]
    curve = TimeCurve(one).times
    waits = 1 + 2 * C.stage_wait
    for n in (1, 2, 3, 7, 20):
        b = ceil(n / 3)
        decode = [stage.decode(b) for stage in stages]
        rounds = max(sum(decode) + sends_by_hand(b), min(n, 3) * max(decode) * waits)
        assert float(one.facts.times.round(n)) == pytest.approx(rounds, rel=1e-12)
        prompt = [stage.prefill(900) for stage in stages]
        prefill = sum(prompt) + sum(decode) + sends_by_hand(900)
        assert float(one.facts.times.prefill(900, n)) == pytest.approx(prefill, rel=1e-12)
        p = (n - 1) / 128
        # One micro-batch takes the prompts of a round, and makes up for its wait for a turn (docs/model.md, section 3).
        longest, wait = max(prompt) * waits, rounds - sum(decode) - sends_by_hand(b)
        more = sum(prompt) + sends_by_hand(900) - sends_by_hand(0) - longest
        missed, whole = p / (1 + p), int(wait / more)
        work = p * longest + p * more * missed**whole * (1 - (wait / more - whole) * (1 - missed))
        follow = (1 - 1 / 3 - 1 / 18) * min(1, p / (1 + 2 * p / 3))
        bunched = (rounds + work) / 2 + (((rounds + work) / 2) ** 2 - follow * work * rounds) ** 0.5
        token = max(rounds + p * longest, bunched)
        assert float(one.facts.times.tpot(n)) == pytest.approx(token, rel=1e-12)
        assert curve.round[0, n - 1] == pytest.approx(rounds, rel=1e-12)
        assert curve.prefill[0, n - 1] == pytest.approx(prefill, rel=1e-12)
        assert curve.tpot[0, n - 1] == pytest.approx(token, rel=1e-12)


@sixty_digits()
def test_memory_by_hand() -> None:
    """Each GPU against its own budget; the fullest by share is not the one that holds the most bytes."""
    one, kind = three(), BY_HAND.model.kinds[0]
    layer = kind.sharded_parameters + (kind.key_value_parameters / 2 + kind.replicated_parameters) * 2
    layer += kind.unquantized_parameters * 2  # two bytes; TP 2 halves the first two of them
    table = VOCABULARY * HIDDEN * 2 // 2
    layer += 2**20  # half of the down projection is 11 MiB, and the allocator takes memory for it in pieces of 2 MiB
    weights = [4 * layer + table, 3 * layer, 7 * layer + table + HIDDEN * 2]
    assert [stage.weights_bytes for stage in one.facts.stages] == [int(w) for w in weights]
    slots = one.most_slots()
    held, total = one.candidate(slots, Fraction(1)).memory_bytes, (4400 << 20, 4400 << 20, 4250 << 20)
    assert all(used <= 0.9 * all_of_it for used, all_of_it in zip(held, total, strict=True))
    more = one.candidate(slots + 1, Fraction(1)).memory_bytes
    assert any(used > 0.9 * all_of_it for used, all_of_it in zip(more, total, strict=True))
    share = max(Fraction(used, all_of_it) for used, all_of_it in zip(held, total, strict=True))
    assert one.candidate(slots, Fraction(1)).memory_share == share


@sixty_digits()
def test_what_an_instance_touches() -> None:
    site, (a, b) = CheckedSite(SMALL), SMALL.groups[:2]
    one = Instances(SMALL).across(a, b, PIPELINE[1], PIPELINE[0])
    hours = {"gpu": 4, "node": 2, "rack": 1, "zone": 1, "domain": 2}  # one zone holds both groups, two switches
    up = Fraction(1)
    for level, count in hours.items():
        mtbf = exact(SMALL.failures.mtbf(level).value)  # type: ignore[union-attr]
        up *= (mtbf / (mtbf + exact(SMALL.failures.repair_hours.value))) ** count
    assert availability_of(SMALL, site, (a, b), one) == up
    for level, names in {"zone": {"east"}, "switch": {"s1", "s2"}, "rack": {"r1"}, "node": {"a-0", "b-0"}}.items():
        assert set(victims(site, level, PLACED[:1])) == names
    assert len(victims(site, "gpu", PLACED[:1])) == 4
    kept = worst_loss(site, SMALL.survive[0], PLACED, [Fraction(2), Fraction(2), Fraction(1)], [False] * 3)
    assert kept.capacity_left == 3 and kept.instances_lost == 1


@sixty_digits()
def test_a_restart_reads_the_heavier_part() -> None:
    """Weights of 4 + 3 layers on two nodes, of 7 and the head on one: that one takes longest."""
    one = three()
    last = one.facts.stages[2].weights_bytes * 2 / 1e9
    assert last > sum(stage.weights_bytes for stage in one.facts.stages[:2]) * 2 / 2e9
    for seconds, back in ((205 + last / 1.12 + 1e-6, True), (205 + last / 1.12 - 1e-6, False)):
        wanted = {"max_batch": 32, "max_sequence_tokens": 1536, "survive": {"gpu": 1, "within_s": seconds}}
        changed = small(
            cluster=UNEVEN, domains={}, requirements=wanted, failures={"engine_start_s": 205, "storage_gb_per_s": 1.12}
        )
        assert restarts_in_time(changed, one) is back


@sixty_digits()
def test_stages_know_their_place_in_the_whole_model() -> None:
    """Kinds of layers by their number in the whole model: on alike groups all is that of one group."""
    both = [{**groups()[0], "gpu": GPU}, {**groups()[0], "name": "b", "gpu": GPU}]
    stated = small(model=SMALL_MOE, cluster=both, domains={})
    instances, there = Instances(stated), stated.groups[0]
    for ep in (1, 2):
        what, cut = split_shape(2, (2, 2), (5,), ep)
        joined = instances.across(there, stated.groups[1], cut, what)
        homogeneous = instances.stages(there, 1)
        assert joined.facts.stages == homogeneous.of(what.group, what.layers)
        kept = homogeneous.kinds(what.layers)
        assert len({kind.counts for kind in kept}) == 3 and kept[0].first and kept[2].last


def test_layers_of_the_parts() -> None:
    assert split_of(14, 7, (2, 1)) == (4, 3, 7)
    assert split_of(14, 5, (2, 2)) is None  # neither part divides
    assert split_of(14, 5, (2, 3)) == (3, 2, 3, 3, 3)
    assert split_of(14, 1, (2, 1)) is None and split_of(14, 13, (2, 2)) is None


def test_which_groups_pair() -> None:
    a, b, c, e = SMALL.groups
    assert pairable(a, b) and pairable(b, a) and pairable(a, e)
    assert not pairable(a, a) and not pairable(a, c)
    nowhere, racks = a.model_copy(update={"rack": None}), b.model_copy(update={"rack": None, "racks": 1})
    assert pairable(nowhere, b.model_copy(update={"rack": None}))
    assert not pairable(nowhere, b) and not pairable(nowhere, racks) and not pairable(racks, a)


# --- claims --------------------------------------------------------------------------------------------------------------


def refused(answer: InventoryAnswer, what: str, stated: Any = SMALL) -> None:
    found = verify_inventory(stated, answer, exhaustive=False)
    assert not found.passed
    assert any(what in mismatch.what for mismatch in found.mismatches), found.mismatches


def with_pool(**changes: Any) -> InventoryAnswer:
    """The answer with another pipeline pool; where its strategy changes, its instances are of that strategy."""
    pool = replace(PIPE, **changes)
    placed = tuple(replace(one, strategy=pool.strategy) if one.pool == 0 else one for one in PLACED)
    return replace(TRUE, pools=(pool, ALONE), placement=Placement(placed))


def with_gpus(*gpus: GpuPlace) -> InventoryAnswer:
    """The answer with the first pipeline on these GPUs."""
    return replace(TRUE, placement=Placement((replace(PLACED[0], gpus=gpus), *PLACED[1:])))


def test_the_true_answer_passes() -> None:
    found = verify_inventory(SMALL, TRUE)
    assert found.mismatches == () and found.checks > 150
    assert PIPE.where == "a and b" and PLACED[0].nodes == ("a-0", "b-0")


@pytest.mark.parametrize("name", [f.name for f in fields(Pool) if f.name not in ("strategy", "metrics", "parts")])
def test_a_wrong_number_of_a_pool(name: str) -> None:
    value = getattr(PIPE, name)
    false = round(value + 1e-6, 6) if name.endswith("capacity") else wrong(value)
    refused(with_pool(**{name: false}), "pools.0")


@pytest.mark.parametrize("name", [field.name for field in fields(Metrics)])
def test_a_wrong_metric(name: str) -> None:
    value = getattr(PIPE.metrics, name)
    false = value + 0.002 if name.endswith("_per_s") or name == "max_request_rate" else wrong(value)
    refused(with_pool(metrics=replace(PIPE.metrics, **{name: false})), f"metrics.{name}")


A, B = PIPE.parts


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ((), "parts"),
        ((A, B, replace(B, group="e")), "parts"),
        ((A,), "parts.stages"),
        ((replace(A, stages=2),), "pools.0"),
        ((replace(A, stages=0), replace(B, stages=2)), "parts.stages"),
        ((replace(A, stages=2), B), "parts.stages"),
        ((replace(A, stages=True), B), "parts.stages"),
        ((replace(A, nodes=2), B), "parts.nodes"),
        ((A, replace(B, nodes=0)), "parts.nodes"),
        ((A, replace(B, group="c")), "parts.group"),  # another rack
        ((A, replace(B, group="a")), "parts.group"),
        ((A, replace(B, group="z")), "parts.group"),
        ((A, replace(B, group=None)), "parts.group"),  # type: ignore[arg-type]
        ((A, replace(B, group="e")), "parts"),  # one GPU a node: no place for TP 2
        ((B, A), "pools.0"),
    ],
)
def test_wrong_parts(parts: tuple[PoolPart, ...], what: str) -> None:
    refused(with_pool(parts=parts), what)


def test_a_pool_on_one_group_has_all_its_stages_there() -> None:
    false = replace(ALONE, parts=(replace(ALONE.parts[0], stages=2),))
    refused(replace(TRUE, pools=(PIPE, false)), "parts.stages")
    false = replace(ALONE, parts=(replace(ALONE.parts[0], nodes=2),))
    refused(replace(TRUE, pools=(PIPE, false)), "parts.nodes")
    refused(replace(TRUE, pools=(PIPE, replace(ALONE, parts=()))), "pools.1: parts")


@pytest.mark.parametrize("layers", [(7, 7), (9, 5), (6, 8), (14, 0), (8, 6, 0)])
def test_layers_moved(layers: tuple[int, ...]) -> None:
    refused(with_pool(strategy=replace(PIPE.strategy, layers_per_stage=layers)), "pools.0")


def test_no_split_over_two_groups() -> None:
    """Within a part the first stages have one more, not the last; and one of the parts divides its layers."""
    stated = ON_THREE
    good = answer_for(stated, [((0, 1), (THREE, CUT), 1)], status="feasible")
    assert verify_inventory(stated, good).mismatches == ()
    for layers in ((3, 4, 7), (5, 2, 7), (5, 3, 7)):
        strategy = replace(good.pools[0].strategy, layers_per_stage=layers)
        false = replace(good, pools=(replace(good.pools[0], strategy=strategy),))
        refused(false, "strategy.layers_per_stage", stated)


@pytest.mark.parametrize("change", [{"tensor_parallel": 1}, {"expert_parallel": 2}, {"expert_parallel": 4}, {"pipeline_parallel": 3},
                                    {"data_parallel": 1}, {"max_num_seqs": 27}, {"max_num_seqs": 25}])  # fmt: skip
def test_another_strategy(change: dict[str, int]) -> None:
    refused(with_pool(strategy=replace(PIPE.strategy, **change)), "pools.0")


def test_degrees_that_are_not_searched() -> None:
    stated = small(search={"pipeline_parallel": [1, 3], "layer_imbalance": 0})
    refused(TRUE, "strategy.pipeline_parallel", stated)
    found = verify_inventory(
        stated, TRUE, Fixed(pipeline_parallel=2), exhaustive=False
    )  # fixed degrees replace the list
    assert not any("pipeline_parallel" in mismatch.what and "pools.0" in mismatch.what and "one of" in mismatch.expected
                   for mismatch in found.mismatches)  # fmt: skip


@pytest.mark.parametrize(("group", "mib"), [("a", 4390), ("b", 4060)])
def test_memory_of_one_of_the_two_gpus(group: str, mib: int) -> None:
    """A little less memory on one side, and its stage does not fit; nothing else changes."""
    gpu = {**(SMALL_FAST if group == "a" else SMALL_SLOW), "memory_mib": mib}
    refused(TRUE, "slots", small(cluster=groups(**{group: {"gpu": gpu}})))


def test_places_of_the_parts() -> None:
    first, second, third, fourth = PLACED[0].gpus
    refused(with_gpus(third, fourth, first, second), "gpus")  # the last stage on the first group
    refused(with_gpus(first, third, second, fourth), "gpus")
    refused(with_gpus(first, second, third, GpuPlace("b-1", 1)), "")
    refused(with_gpus(first, second, GpuPlace("c-0", 0), GpuPlace("c-0", 1)), "gpus")  # alike, but not the group stated
    refused(with_gpus(first, GpuPlace("a-1", 1), third, fourth), "")
    refused(with_gpus(first, second, third), "gpus")
    refused(with_gpus(first, second, third, third), "gpus")
    refused(with_gpus(first, second, third, GpuPlace("b-0", 2)), "gpus")
    swapped = (replace(PLACED[0], gpus=(*PLACED[0].gpus[:2], *PLACED[1].gpus[2:])),
               replace(PLACED[1], gpus=(*PLACED[1].gpus[:2], *PLACED[0].gpus[2:])), PLACED[2])  # fmt: skip
    assert verify_inventory(SMALL, replace(TRUE, placement=Placement(swapped)), exhaustive=False).passed


def test_stages_of_a_part_over_two_nodes() -> None:
    stated = ON_THREE
    good = answer_for(stated, [((0, 1), (THREE, CUT), 1)], status="feasible")
    assert good.placement is not None
    (one,) = good.placement.instances
    assert one.nodes == ("a-0", "a-1", "b-0")
    for order in ((2, 3, 0, 1, 4, 5), (1, 0, 3, 2, 5, 4)):
        moved = replace(one, gpus=tuple(one.gpus[i] for i in order))
        assert verify_inventory(stated, replace(good, placement=Placement((moved,))), exhaustive=False).passed
    for order in ((0, 2, 1, 3, 4, 5), (0, 1, 4, 5, 2, 3), (4, 5, 0, 1, 2, 3)):
        moved = replace(one, gpus=tuple(one.gpus[i] for i in order))
        refused(replace(good, placement=Placement((moved,))), "gpus", stated)


def test_prices_of_both_groups() -> None:
    assert TRUE.price_per_hour == 2 * (2 * 2.0 + 2 * 1.0) + 3.0
    refused(replace(TRUE, price_per_hour=2 * 4 * 2.0 + 3.0), "price_per_hour")


def test_a_pipeline_that_carries_no_more_than_its_places() -> None:
    """With memory enough on one side the same claims are true, but such a pipeline is not one of those considered."""
    for group in ("a", "b"):
        large = small(
            cluster=groups(**{group: {"gpu": {**(SMALL_FAST if group == "a" else SMALL_SLOW), "memory_mib": 20_000}}})
        )
        answer = answer_for(large, CHOSEN, status="feasible")
        found = verify_inventory(large, answer, exhaustive=False)
        assert [mismatch.what for mismatch in found.mismatches] == ["pools.0: capacity"]
        assert "carry otherwise" in found.mismatches[0].expected


def test_families_over_two_groups() -> None:
    """Alike first groups, alike second ones: one family, two pools. Another cut or another order: another family."""
    d = {**groups()[0], "name": "d", "rack": "r2", "zone": "west"}
    wanted = {"max_batch": 32, "max_sequence_tokens": 1536}
    stated = small(cluster=[*groups(), d], domains={}, requirements=wanted)
    chosen = [((0, 1), PIPELINE, 1), ((4, 2), PIPELINE, 2)]
    good = answer_for(stated, chosen, status="feasible")  # type: ignore[arg-type]
    assert verify_inventory(stated, good).mismatches == ()
    assert len({pool.planned_rate for pool in good.pools}) == 1
    assert good.pools[1].share == pytest.approx(2 * good.pools[0].share)
    uneven = (
        replace(good.pools[0], share=0.4, planned_rate=36.0),
        replace(good.pools[1], share=0.6, planned_rate=27.0),
    )
    refused(replace(good, pools=uneven), "share", stated)
    turned = answer_for(stated, [((0, 1), PIPELINE, 1), ((1, 0), split_shape(2, (6,), (8,)), 1)], status="feasible")
    assert verify_inventory(stated, turned).mismatches == ()
    assert len({pool.planned_rate for pool in turned.pools}) == 2
    twice = (PIPE, PIPE, ALONE)
    refused(replace(TRUE, pools=twice), "pools")


def test_the_mean_grows_with_the_rate() -> None:
    """The float curve of a pipeline over two groups is that of its exact load."""
    one = three()
    rates = np.array([0.5, 4.0, 9.0])
    with_digits = sixty_digits()(lambda: [float(one.load(exact(float(r))).mean) for r in rates])()  # type: ignore[union-attr]
    assert TimeCurve(one).mean_ms(rates).tolist() == pytest.approx(with_digits, rel=1e-10)
