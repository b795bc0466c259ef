"""Kernel times with PyTorch, on a GPU or, at toy sizes, on a CPU."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from optimizer.facts.model import ModelFacts
from profiling.entry import AllReduce, Product, Profile

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    tokens: tuple[int, ...]
    shrink: int
    """Widths are divided by this."""
    copy_bytes: int
    batch: int
    context: int
    launches: int
    repeats: int
    reduce_bytes: tuple[int, ...]


FULL = Sizes((1, 8, 16, 256, 2048, 8192), 1, 1 << 30, 64, 4096, 2000, 20, (1 << 16, 1 << 22, 1 << 28))
TOY = Sizes((1, 8, 1024), 32, 1 << 22, 2, 64, 50, 3, (1 << 12,))


class Clock:
    """Median milliseconds of a call, after two that are not counted."""

    def __init__(self, device: str, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def wait(self) -> None:
        """Until the device has nothing left to do."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def ms(self, call: Callable[[], Any], times: int = 1) -> float:
        """One of ``times`` calls in a row."""
        found = []
        for turn in range(self.repeats + 2):
            self.wait()
            start = time.perf_counter()
            for _ in range(times):
                call()
            self.wait()
            if turn > 1:
                found.append((time.perf_counter() - start) * 1e3 / times)
        return median(found)


def widths(model: ModelFacts) -> list[tuple[int, int]]:
    """(inner, outer) of the products of a layer: attention in and out, feed-forward in and out, without repeats."""
    hidden, heads = model.hidden_size, (model.attention_heads + 2 * model.kv_heads) * model.head_dim
    ffn = model.ffn_widths[0] if model.ffn_widths else model.expert_ffn_width
    return list(
        dict.fromkeys(
            [(hidden, heads), (model.attention_heads * model.head_dim, hidden), (hidden, 2 * ffn), (ffn, hidden)]
        )
    )


def profile(model: ModelFacts, device: str, sizes: Sizes) -> Profile:
    """Measure this machine with the products of a model."""
    clock = Clock(device, sizes.repeats)
    properties = torch.cuda.get_device_properties(0) if device == "cuda" else None
    memory = properties.total_memory if properties else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpus = torch.cuda.device_count() if device == "cuda" else 1
    return Profile(
        name=(properties.name if properties else "cpu").lower().replace(" ", "-") + "-measured",
        memory_mib=memory >> 20,
        gpus=gpus,
        products=tuple(_products(model, device, sizes, clock)),
        copy_gb_per_s=_copy(device, sizes, clock),
        attention_gb_per_s=_attention(model, device, sizes, clock),
        launch_us=_launch(device, sizes, clock),
        all_reduces=all_reduces(gpus, device, sizes) if gpus > 1 else (),
    )


def _products(model: ModelFacts, device: str, sizes: Sizes, clock: Clock) -> list[Product]:
    found = []
    names = ["fp16"] if device == "cuda" and not torch.cuda.is_bf16_supported() else ["bf16", "fp16"]
    for inner, outer in widths(model):
        inner, outer = max(16, inner // sizes.shrink // 16 * 16), max(16, outer // sizes.shrink // 16 * 16)
        for name in names if device == "cuda" else ["bf16"]:
            # Enough copies of the weights that none is still in the cache when its turn comes again.
            copies = max(1, min(16, (1 << 29) // (2 * inner * outer))) if device == "cuda" else 1
            held = [torch.randn(inner, outer, dtype=TYPES[name], device=device) for _ in range(copies)]
            for tokens in sizes.tokens:
                x = torch.randn(tokens, inner, dtype=TYPES[name], device=device)
                ms = clock.ms(lambda x=x, held=held: [x @ w for w in held]) / copies
                found.append(Product(name, tokens, inner, outer, 2, ms))
        found += _eight_bit(inner, outer, sizes, clock) if device == "cuda" else []
    return found


def _eight_bit(inner: int, outer: int, sizes: Sizes, clock: Clock) -> list[Product]:
    """Products in fp8 where the GPU and this PyTorch have them."""
    if torch.cuda.get_device_capability() < (8, 9) or not hasattr(torch, "_scaled_mm"):
        return []
    one, found = torch.ones((), device="cuda"), []
    for tokens in (tokens for tokens in sizes.tokens if tokens >= 1024):
        x = torch.randn(tokens, inner, device="cuda").to(torch.float8_e4m3fn)
        w = torch.randn(outer, inner, device="cuda").to(torch.float8_e4m3fn).t()
        try:
            ms = clock.ms(lambda x=x, w=w: torch._scaled_mm(x, w, scale_a=one, scale_b=one, out_dtype=torch.bfloat16))
        except RuntimeError:
            return []
        found.append(Product("fp8", tokens, inner, outer, 1, ms))
    return found


def _copy(device: str, sizes: Sizes, clock: Clock) -> float:
    source = torch.zeros(sizes.copy_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * sizes.copy_bytes / clock.ms(lambda: target.copy_(source)) / 1e6


def _attention(model: ModelFacts, device: str, sizes: Sizes, clock: Clock) -> float:
    """Cache read per second while each of a batch of sequences computes one token."""
    heads, groups = model.kv_heads, max(1, model.attention_heads // model.kv_heads)
    shape = (sizes.batch, heads, sizes.context, model.head_dim)
    kind = TYPES["bf16"] if device == "cpu" or torch.cuda.is_bf16_supported() else TYPES["fp16"]
    keys, values = (torch.randn(shape, dtype=kind, device=device) for _ in range(2))
    # The queries that share a KV head stand in for a longer query: the cache is read once for all of them.
    queries = torch.randn((sizes.batch, heads, groups, model.head_dim), dtype=kind, device=device)
    ms = clock.ms(lambda: torch.nn.functional.scaled_dot_product_attention(queries, keys, values))
    return 2 * keys.numel() * keys.element_size() / ms / 1e6


def _launch(device: str, sizes: Sizes, clock: Clock) -> float:
    x = torch.zeros(1, device=device)
    return clock.ms(lambda: x.add_(1), times=sizes.launches) * 1e3


def all_reduces(ranks: int, device: str, sizes: Sizes) -> tuple[AllReduce, ...]:
    """Sums over all GPUs (on a CPU: over so many processes), one process each."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times"
        arguments = (ranks, device, sizes, f"file://{folder}/meet", str(out))
        torch.multiprocessing.spawn(_rank, args=arguments, nprocs=ranks)
        times = [float(line) for line in out.read_text().split()]
    return tuple(AllReduce(ranks, size, ms) for size, ms in zip(sizes.reduce_bytes, times, strict=True))


def _rank(rank: int, ranks: int, device: str, sizes: Sizes, meet: str, out: str) -> None:
    if device == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo", init_method=meet, rank=rank, world_size=ranks
    )
    clock = Clock(device, sizes.repeats)
    times = []
    for size in sizes.reduce_bytes:
        data = torch.zeros(size // 4, device=device)
        times.append(clock.ms(lambda data=data: torch.distributed.all_reduce(data)))
    if rank == 0:
        Path(out).write_text("\n".join(map(str, times)))
    torch.distributed.destroy_process_group()
