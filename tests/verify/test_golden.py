"""Numbers worked out by hand from docs/model.md."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from optimizer.catalog.constants import constants
from optimizer.facts.hardware import MIB
from optimizer.facts.overhead import StatedOverhead
from optimizer.results.answer import Fixed, Strategy
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.failures import down_of, killed_by_nodes, straddles
from optimizer.verify.common.groups import Group
from optimizer.verify.common.layer import rates_of
from optimizer.verify.common.links import all_reduce, all_to_all, exchange_places, sends
from optimizer.verify.common.space import rows, splits
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.recompute import candidate_of, metrics_of
from tests.verify.builders import LLAMA3_70B, SMALL_MOE, problem

LLAMA = problem(model=LLAMA3_70B, requirements={"max_sequence_tokens": 4096, "max_batch": 64})
RESERVED = problem(
    model=LLAMA3_70B,
    requirements={"max_sequence_tokens": 4096, "max_batch": 64},
    search={"kv_reservation": "full"},
)
LAYER = 2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28672
TABLE = 128256 * 8192
ROTARY = 8192 * 128 * 2
ENGINE = (160 + 528) * MIB + ROTARY
"""Libraries' workspaces and CUDA graphs as on Ada (850 MiB of 48 layers and 51 sizes; 64 sequences of 80 layers: 19 sizes up to
128), and the table of positions; the context stands before vLLM measures."""
BUFFERS = 160 * MIB
"""Of the model's all-reduces over several GPUs."""


def strategy(t: int, p: int, d: int, n: int, layers: tuple[int, ...], ep: int = 1) -> Strategy:
    return Strategy(t, p, d, ep, n, layers, "fp16", "fp16")


def test_weights_of_llama3_70b_on_tp2_pp4() -> None:
    middle = 20 * (LAYER * 2 // 2 + 2 * 8192 * 2)
    table = TABLE * 2 // 2
    metrics = metrics_of(candidate_of(LLAMA, strategy(2, 4, 1, 16, (20, 20, 20, 20))))
    assert metrics.weights_bytes_per_stage == (middle + table, middle, middle, middle + table + 8192 * 2)
    assert metrics.weights_bytes_per_gpu == pytest.approx(18.16e9, abs=5e6)
    assert metrics.weights_bytes_per_stage[1] == pytest.approx(17.11e9, abs=5e6)


def test_cache_of_llama3_70b_is_320_kib_per_token() -> None:
    metrics = metrics_of(candidate_of(RESERVED, strategy(8, 1, 1, 7, (80,))))
    assert metrics.kv_cache_bytes_per_gpu * 8 == 7 * 4096 * 320 * 1024


def test_memory_is_the_sum_of_its_parts() -> None:
    metrics = metrics_of(candidate_of(RESERVED, strategy(4, 1, 2, 10, (80,))))
    weights = 80 * (LAYER * 2 // 4 + 2 * 8192 * 2) + 2 * TABLE * 2 // 4 + 8192 * 2
    activations = 8192 * 2 * (3 * 8192 + 3 * 28672 // 4)
    sequence = 4096 * 320 * 1024 // 4 + 128256 * 6
    assert metrics.memory_bytes_per_gpu == weights + activations + ENGINE + BUFFERS + 10 * sequence


def test_paged_cache_takes_what_the_budget_leaves() -> None:
    found = candidate_of(LLAMA, strategy(4, 1, 2, 10, (80,)))
    weights = 80 * (LAYER * 2 // 4 + 2 * 8192 * 2) + 2 * TABLE * 2 // 4 + 8192 * 2
    activations = 8192 * 2 * (3 * 8192 + 3 * 28672 // 4)
    assert (
        activations > 64 * 128256 * 6 + 8192 * 2 * 8192
    )  # sampling max_batch sequences takes less than a forward pass
    beside = weights + activations + ENGINE + BUFFERS
    budget = int(exact(0.9) * 81559 * 1024 * 1024)
    blocks = (budget - beside) // (16 * 320 * 1024 // 4)
    metrics = metrics_of(found)
    assert metrics.kv_cache_tokens == 16 * blocks
    assert metrics.kv_cache_bytes_per_gpu == 16 * blocks * 320 * 1024 // 4
    assert metrics.memory_bytes_per_gpu == beside + metrics.kv_cache_bytes_per_gpu <= budget
    assert found.needed_bytes == (beside + 4096 * 320 * 1024 // 4,)


def test_communication_buffers_count_where_the_engine_counts_them() -> None:
    one, two = Group(1, 1, "fp16", "fp16"), (40, 40)
    newest = Stages(LLAMA)
    assert newest.of(one, two)[0].fixed_bytes == newest.of(one, (80,))[0].fixed_bytes
    older = Stages(LLAMA.model_copy(update={"engine_version": "0.9.2"}))
    assert older.of(one, two)[0].fixed_bytes - older.of(one, (80,))[0].fixed_bytes == 160 * MIB


def test_measured_overheads_replace_those_of_the_data() -> None:
    said = StatedOverhead(non_torch_mib=300, cuda_graphs_mib=500, activations_mib=2000)
    stage = Stages(LLAMA.model_copy(update={"engine_overhead": said})).of(Group(1, 1, "fp16", "fp16"), (80,))[0]
    assert (stage.fixed_bytes, stage.logits_bytes) == (2800 * MIB + ROTARY, 0)


def test_sampling_all_sequences_may_take_more_than_a_forward_pass() -> None:
    """Qwen3-235B on four H100 in vLLM 0.9: 1,024 sequences over 151,936 tokens at 38.4 B, beside the hidden states."""
    many = LLAMA.requirements.model_copy(update={"max_batch": 1024})
    older = LLAMA.model_copy(update={"engine_version": "0.9.2", "requirements": many})
    stage = Stages(older).of(Group(4, 1, "fp16", "fp16"), (80,))[0]
    sampled = -(-1024 * 128256 * 384 // 10)
    assert stage.logits_bytes == sampled + 8192 * 2 * 8192 - 8192 * 2 * (3 * 8192 + 3 * 28672 // 4)


def test_decode_step_of_one_gpu_by_hand() -> None:
    """Dense 16-bit model on one GPU, b = 1: every part bound by memory."""
    c = constants()
    bandwidth = 3350e6
    weights = 80 * (LAYER * 2 + 2 * 8192 * 2)
    expected = weights / (c.eta_bw * bandwidth) + TABLE * 2 / (c.eta_bw * bandwidth)
    flop = 2 * 80 * LAYER / (c.eta_decode_flops * 989.4e9), 2 * TABLE / (c.eta_decode_flops * 989.4e9)
    expected += c.overlap * sum(flop)
    expected += 320 * 1024 * (900 + 64) / (c.eta_kv * bandwidth)
    expected += 80 * c.t_layer + c.t_step + c.t_sequence
    times = candidate_of(LLAMA, strategy(1, 1, 1, 1, (80,))).times
    with sixty_digits():
        assert float(times.round(1)) == pytest.approx(expected, rel=1e-12)
        assert times.tpot(1) == times.round(1)
        work = 2 * 900 * 80 * LAYER / (c.eta_prefill_flops * 989.4e9)
        work += 80 * 2 * 64 * 128 * 900**2 / (c.eta_prefill_attention * 989.4e9)
        assert float(times.occupancy(Decimal("0.001"))) == pytest.approx(work, rel=1e-12)
        assert float(times.prefill(900, 1)) == pytest.approx(work + expected, rel=1e-12)


def test_links_by_hand() -> None:
    hardware = LLAMA.hardware
    factor = exact(constants().ar_factor)
    assert all_reduce(hardware, 1).at(10**9) == 0
    assert all_reduce(hardware, 4).at(10**6) == factor * Fraction(2 * 3, 4) * Fraction(10**6, 450 * 10**6)
    far = problem(hardware={"gpu": {**LLAMA.hardware.gpu.model_dump(), "nvlink_gb_per_s": 0}, "nodes": 2}).hardware
    late = exact(constants().pcie_latency_us) / 1000
    pcie = factor * Fraction(2 * 7, 8) * Fraction(10**6, 64 * 10**6) + 2 * 7 * late
    steps = exact(constants().network_reduce_steps)
    network = Fraction(2, 2) * Fraction(10**6, 12_500_000) + 2 * steps * Fraction(10, 1000)
    assert all_reduce(far, 8).at(10**6) == pcie
    assert all_reduce(far, 16).at(10**6) == pcie + network
    start = exact(constants().exchange_latency_us) / 1000
    assert all_to_all(far, 16).at(10**6) == Fraction(8 * 10**6, 12_500_000) + Fraction(1, 100) + start
    assert exchange_places(far, 16) == 2 and exchange_places(far, 8) == 8
    assert sends(far, 8, 4, 8192).at(3) == 3 * (Fraction(3 * 8192 * 4, 12_500_000) + Fraction(1, 100))
    assert sends(far, 2, 4, 8192).at(1) == 3 * (Fraction(8192 * 4, 64 * 10**6) + late)


def test_failures_by_hand() -> None:
    hardware = problem(
        hardware={
            "gpu": LLAMA.hardware.gpu.model_dump(),
            "nodes": 2,
            "failures": {"gpu_mtbf_hours": 98.0, "node_mtbf_hours": 48.0, "repair_hours": 2.0},
        }
    ).hardware
    with sixty_digits():
        up = Decimal("0.98") ** 4
        down = down_of(hardware, 4, 2).probabilities
        one = Decimal("0.96") * up
        assert [float(p) for p in down] == pytest.approx(
            [float(one**2), float(2 * one * (1 - one)), float((1 - one) ** 2)]
        )
        assert sum(down) == pytest.approx(Decimal(1))
        many = down_of(hardware, 1, 16)
        assert float(many.probabilities[0]) == pytest.approx(float((Decimal("0.96") * Decimal("0.98") ** 8) ** 2))
        # Beyond the counted states: expectation and total probability close.
        mean = sum(j * p for j, p in enumerate(many.probabilities)) + many.beyond_instances
        assert float(mean) == pytest.approx(16 * (1 - 0.96 * 0.98))
    assert not straddles(hardware, 4, 4)
    assert straddles(hardware, 3, 5)
    assert killed_by_nodes(hardware, 4, 3, 1) == 2
    assert killed_by_nodes(hardware, 4, 3, 2) == 3, "the second node holds one less"
    assert killed_by_nodes(hardware, 3, 5, 1) == 4
    assert killed_by_nodes(hardware, 16, 1, 1) == 1


def test_layer_splits() -> None:
    assert list(splits(7, 1, 1)) == [(7,)]
    assert list(splits(7, 2, 0)) == [(4, 3)]
    assert set(splits(7, 2, 1)) == {(4, 3), (5, 2)}
    assert set(splits(80, 4, 1)) == {(20, 20, 20, 20), (19, 21, 20, 20), (20, 21, 20, 19), (19, 21, 21, 19)}
    assert list(splits(2, 4, 1)) == [(1, 1, 0, 0)]
    assert (3, 4, 4, 4) not in set(splits(16, 4, 0))
    assert all(sum(split) == 80 and len(split) == 6 for split in splits(80, 6, 1))
    assert (13, 14, 14, 13, 13, 13) in set(splits(80, 6, 1))


def test_expert_memory_does_not_depend_on_where_experts_are() -> None:
    stated = problem(model=SMALL_MOE)
    stages = Stages(stated)
    weights = {ep: stages.of(Group(4, ep, "bf16", "bf16"), (9,))[0].weights_bytes for ep in (1, 2, 4, 8)}
    assert weights[1] == weights[2] == weights[4]
    assert weights[4] - weights[8] == 9 * 3 * 2048 * 4096 * 8 * 2 // 8


def test_space_counts_degrees() -> None:
    offered = rows(problem(search={"pipeline_parallel": [1], "layer_imbalance": 0}), Fixed())
    assert {(r.shape.group.tensor, r.replicas) for r in offered} == {
        (t, d) for t in (1, 2, 4, 8) for d in range(1, 9) if t * d <= 8
    }


def test_expert_parallel_step_by_hand() -> None:
    """Mixtral-like, TP 4, EP 8 over two replicas: the second of three stages, two sequences of each rank."""
    c = constants()
    stated = problem(model=SMALL_MOE)
    held = Strategy(4, 3, 2, 8, 6, (3, 3, 3), "bf16", "fp8")
    times = candidate_of(stated, held).times
    bandwidth, flop, b, d, links = 3350e6, 989.4e9, 2, 2, 450e6
    linear, small = (2 * 2048 * 2048 + 2 * 2048 * 8 * 128) / 4, 2 * 2048 + 2048 * 8
    dense = 3 * (linear + small) * 2 / (c.eta_bw * bandwidth), 2 * b * 3 * linear / (c.eta_decode_flops * flop)
    context = 900 + 64  # below the window of 1024
    cache = b * 3 * (2 * 128 * 2) * context / (c.eta_kv * bandwidth)
    attend = b * 3 * 2 * (2 * 16 * 128 / 4) * context / (c.eta_decode_flops * flop)
    expert = 3 * 2048 * 4096 / 8
    touched = 8 * (1 - (1 - 2 / 8) ** (b * d))
    # One expert of 4,096 on each of the eight GPUs: the busiest has the most tokens.
    slow = (1 + c.expert_width_half / 4096) * (1 + c.imbalance * 7 / 8)
    products = 2 * b * d * 2 * expert / (c.eta_expert_flops * flop) * slow
    work = touched * expert * 2 / (c.eta_expert_bw * bandwidth), products
    layers = 3 * (c.t_layer + c.t_tp + c.t_expert * 8 / (1 + 8 / c.experts_half) + c.t_touched * touched)
    reduce = 3 * 2 * c.ar_factor * 2 * 3 / 4 * b * 2048 * 2 / links
    exchange = 3 * 2 * ((b * 2 * 2048 * c.exchange_bytes) * 7 / 8 / links + c.exchange_latency_us / 1000)
    middle = max(dense) + c.overlap * min(dense) + max(cache, attend)
    middle += 3 * (max(work) + c.overlap * min(work)) + layers + reduce + exchange
    table = 32064 * 2048 * 2 / 4
    head = table / (c.eta_bw * bandwidth), b * table / (c.eta_decode_flops * flop)
    last = middle + max(head) + c.overlap * min(head) + c.t_step + b * c.t_sequence
    # 12 GPUs as a replica are more than a node holds: both sends may cross the network.
    far = 2 * (b * 2048 * 4 / 12.5e6 + 0.01)
    with sixty_digits():
        assert float(times.round(6)) == pytest.approx(
            max(2 * middle + last + far, 3 * last * (1 + 2 * c.stage_wait)), rel=1e-12
        )


def test_kernel_shares_by_generation_and_format() -> None:
    """A dense 4-bit model on B200: the shares of Blackwell and of narrow weights, worked by hand."""
    c = constants()
    gpu = {"name": "b200", "memory_mib": 183_000, "memory_bandwidth_gb_per_s": 7700, "nvlink_gb_per_s": 1800}
    gpu |= {"dense_tflops": {"bf16": 2250.0, "fp8": 4500.0, "fp4": 9000.0}, "compute_capability": "10.0"}
    stated = problem(hardware={"gpu": gpu})
    share = c.generations["blackwell"]
    rates = {name: rates_of(stated, name) for name in ("bf16", "fp8", "nvfp4")}
    assert float(rates["bf16"].linear_bandwidth) == pytest.approx(7700e6 * share.bandwidth)
    assert float(rates["fp8"].linear_bandwidth) == pytest.approx(7700e6 * share.bandwidth * c.bandwidth_8bit)
    assert float(rates["nvfp4"].linear_bandwidth) == pytest.approx(7700e6 * share.bandwidth * c.bandwidth_4bit)
    assert float(rates["nvfp4"].bandwidth) == pytest.approx(7700e6 * share.bandwidth), "what stays in 16 bit"
    assert float(rates["bf16"].linear) == pytest.approx(2250e9 * share.flops)
    assert float(rates["nvfp4"].linear) == pytest.approx(2250e9 * share.flops * c.speedup_4bit)
    gpu |= {"compute_capability": "12.0"}
    cards, share = rates_of(problem(hardware={"gpu": gpu}), "nvfp4"), c.generations["blackwell-rtx"]
    assert share.flops_4bit is not None and share.flops_4bit > share.flops
    assert float(cards.linear) == pytest.approx(2250e9 * share.flops_4bit * c.speedup_4bit)
    assert float(cards.sixteen) == pytest.approx(2250e9 * share.flops)
