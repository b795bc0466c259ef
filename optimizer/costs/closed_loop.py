"""Serving under a fixed number of concurrent requests, the setting of benchmarks. ``docs/accuracy.md``.

In this closed loop a new request starts as soon as one ends, so no arrival rate is stated: C requests are always in
progress or waiting for KV memory. Step and prefill times are the ``StepModel``'s; this file adds only the loop:

    n     = min(C, capacity)                       running, the rest wait for memory
    g     = b · (n − 1)                            others' prompts that a newcomer meets before its first token
    TPOT  = D + (n − 1 − g) · p / output           the other prompts are spread over its steps: work is conserved
    TTFT0 = t0 + d · D + p1 + g · p                D: a decode step of n sequences; p1: its own prompt; p: of the slowest
    wait  = (C / n − 1) · (TTFT0 + (output − 1) · TPOT)          stage, per rank.  Little's law past the capacity
    TTFT  = TTFT0 + wait

b (bunching of prompts), t0 (ms) and d (steps) belong to the engine: ``closed_loop`` in ``catalog/data/constants.yaml``. b is 1/2
where requests of one length begin and end together: of n prompts that wait at once, half are before one's own on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.catalog.constants import ClosedLoopConstants, CostConstants
from optimizer.catalog.lookup import failure_defaults
from optimizer.costs.links import link_costs
from optimizer.costs.memory import memory_table
from optimizer.costs.parameters import layer_arrays
from optimizer.costs.shapes import Bools, Floats, Ints, Shape, tabulate
from optimizer.costs.steps import StepModel
from optimizer.engines.registry import measured_as
from optimizer.facts.demand import KvFormat, Objective, Requirements, SearchLimits
from optimizer.facts.hardware import GpuFacts, HardwareFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.facts.workload import Speculation, Workload

# Measured systems join their nodes with one 400 Gbit/s adapter per GPU (the HGX reference design).
NETWORK_GBIT_PER_GPU = 400
INFERENCEMAX_MEAN = 0.9
LENGTH_SPREAD = 0.2 / 0.9
"""Width of the lengths that InferenceMAX draws (0.8 to 1.0 of the stated), over their mean."""
HALF = 0.5
"""Of the prompts that wait at once, those before a request's own, on average."""
GUESS_ACCEPTANCE = 0.8
"""Of guessed tokens where a run says only that there are some: vLLM measured 0.81 to 0.82 for DeepSeek-R1's own module and one
token (https://github.com/vllm-project/vllm/pull/12755), later ones are accepted less often."""
LEAST_KV_BYTES = 1e9  # KV memory a run that did happen must have had, whatever the memory model says


@dataclass(frozen=True, slots=True)
class StepTimes:
    """What the step model says of S layouts and B concurrencies each."""

    running: Floats  # (S, B) n, over all ranks
    decode_ms: Floats  # (S, B) D, over the tokens that a step yields a sequence
    prompt_ms: Floats  # (S, 1) p1
    occupancy_ms: Floats  # (S, 1) p


@dataclass(frozen=True, slots=True)
class Prediction:
    """Mean times in ms, (S, B)."""

    ttft_ms: Floats
    tpot_ms: Floats

    def end_to_end_ms(self, output_tokens: Ints) -> Floats:
        """TTFT + (output − 1) · TPOT, with (S,) output tokens."""
        total: Floats = self.ttft_ms + (output_tokens[:, None] - 1) * self.tpot_ms
        return total


def measured_kv_format(weight_format: str, engine: str, gpu: GpuFacts, native_dtype: str) -> KvFormat:
    """KV format of a measured run that does not state it.

    fp8 if the weights are quantised and the engine is one that does so (TensorRT-LLM) or the GPU a Blackwell (it computes in
    fp4), else 16 bit. Inferred from the training corpus, whose runs do not state it: which of them waited for KV memory fits this
    rule, and the fit asks for 2 bytes from SGLang and 1 from TensorRT-LLM (docs/accuracy.md).
    """
    sixteen: KvFormat = "fp16" if native_dtype == "fp16" else "bf16"
    quantised = weight_format not in {"bf16", "fp16"}
    known = measured_as(engine)
    said = (known is not None and known.unsaid_cache_fp8) or "fp4" in gpu.dense_tflops
    return "fp8" if quantised and said else sixteen


class ClosedLoop:
    """Layouts of one model on one GPU type, each serving one prompt and output length.

    Args:
        model: the model.
        gpu: the GPU type.
        shapes: S replica shapes; ``ep`` above ``tp`` couples ranks of data-parallel attention.
        ranks: (S,) data-parallel ranks or replicas, over which the sequences spread evenly.
        prompt_tokens: (S,) prompt lengths.
        output_tokens: (S,) output lengths.
        memory_utilization: share of GPU memory the engine may use.
        gpus_per_node: GPUs of a node where it is not the usual one.
        guessed: tokens that the model's own multi-token prediction guesses in a step.
        together: (S,) whether the requests of a layout begin and end together; left out, none do.
    """

    def __init__(
        self,
        model: ModelFacts,
        gpu: GpuFacts,
        shapes: Sequence[Shape],
        ranks: Ints,
        prompt_tokens: Ints,
        output_tokens: Ints,
        memory_utilization: float = 0.9,
        waves: Ints | None = None,
        reserves: Bools | None = None,
        gpus_per_node: int | None = None,
        guessed: int = 0,
        together: Bools | None = None,
    ) -> None:
        self.ranks = ranks[:, None].astype(np.float64)
        self.waves = np.zeros_like(ranks)[:, None] if waves is None else waves[:, None]
        mean = np.where(self.waves[:, 0] > 0, INFERENCEMAX_MEAN, 1.0)
        self.prompt_tokens: Floats = prompt_tokens.astype(np.float64) * mean
        self.output_tokens: Floats = output_tokens.astype(np.float64) * mean
        self.table = tabulate(model, shapes)
        gpus = int(max(self.table.tp * self.table.pp * ranks))
        self.problem = _problem(
            model,
            gpu,
            gpus,
            int(max(prompt_tokens)),
            int(max(output_tokens)),
            gpus_per_node or gpu.gpus_per_node,
            guessed,
        )
        self.yielded = float(self.problem.workload.yielded)
        self.memory_bytes = memory_utilization * gpu.memory_bytes
        self.memory_share = memory_utilization
        self.reserves = np.zeros(len(ranks), dtype=np.bool_) if reserves is None else reserves
        self.together = np.zeros(len(ranks), dtype=np.bool_) if together is None else together

    def weights_fit(self, constants: CostConstants) -> Bools:
        """(S,) whether the weights alone fit the whole memory of a GPU: where not, no such run can have happened."""
        weights = memory_table(
            self.problem, constants, self.table, layer_arrays(self.problem, constants, self.table)
        ).weights
        result: Bools = weights.max(axis=1) <= self.problem.hardware.gpu.memory_bytes
        return result

    def cache_bytes(self, constants: CostConstants) -> Floats:
        """(S,) bytes of the prompt's cache on a GPU of the first stage, windows and states not counted apart."""
        arrays = layer_arrays(self.problem, constants, self.table)
        steps = StepModel(
            self.problem, constants, self.table, arrays, link_costs(self.problem.hardware, constants, self.table)
        )
        result: Floats = np.einsum("sk,sk->s", steps.counts[:, 0], arrays.kv_bytes_per_token) * self.prompt_tokens
        return result

    def step_times(self, constants: CostConstants, concurrency: Ints) -> StepTimes:
        """Step and prompt times at (S, B) concurrent requests over all ranks."""
        table = self.table
        arrays = layer_arrays(self.problem, constants, table)
        steps = StepModel(self.problem, constants, table, arrays, link_costs(self.problem.hardware, constants, table))
        memory = memory_table(self.problem, constants, table, arrays)
        prompt = self.prompt_tokens
        context = prompt + self.output_tokens / 2
        present = table.multiplicity > 0

        held = prompt + self.output_tokens * np.where(self.reserves, 1.0, 0.5)
        kept = np.where(arrays.windows > 0, np.minimum(held[:, None], arrays.windows), held[:, None])
        cached = np.einsum("sck,sk->sc", steps.counts, arrays.kv_bytes_per_token * kept + arrays.state_bytes)
        whole = self.problem.hardware.gpu.memory_bytes
        usual = self.memory_bytes - memory.fixed
        free = np.where(self.reserves[:, None], self.memory_share * (whole - memory.fixed), usual)
        free = np.maximum(free, LEAST_KV_BYTES)
        fits = np.floor(free / np.maximum(1.0, cached + memory.logits_per_sequence))
        capacity = np.maximum(1.0, np.where(present, fits, np.inf).min(axis=1))[:, None] * self.ranks

        running = np.minimum(concurrency, capacity)
        per_rank = running / self.ranks
        pipeline = table.pp[:, None]
        batch = np.where(pipeline > 1, np.ceil(per_rank / pipeline), per_rank)
        decode = _total(steps.decode_terms(batch, context))
        prefill = np.where(present, _total(steps.prefill_terms(prompt)), 0.0)
        sends = steps.send_ms(prompt)
        return StepTimes(
            running=running,
            decode_ms=steps.round_ms(decode, per_rank, batch) / self.yielded,
            prompt_ms=((prefill * table.multiplicity).sum(axis=1) + sends)[:, None],
            occupancy_ms=(prefill.max(axis=1) * steps.slowest)[:, None] / self.ranks,
        )

    def predict(self, times: StepTimes, concurrency: Ints, engines: Sequence[ClosedLoopConstants]) -> Prediction:
        """Mean TTFT and TPOT at (S, B) concurrent requests, with the engine constants of each of the S layouts."""
        bunching, start_ms, steps = np.array([(e.bunching, e.start_ms, e.steps) for e in engines]).T[:, :, None]
        n, decode, output = times.running, times.decode_ms, self.output_tokens[:, None]
        met = self._met(times, np.where(self.together[:, None], HALF, bunching) * (n - 1))
        tpot = decode + (n - 1 - met) * times.occupancy_ms / output
        admitted = start_ms + steps * decode * self.yielded + times.prompt_ms + met * times.occupancy_ms
        wait = (concurrency / n - 1) * (admitted + (output - 1) * tpot)
        return Prediction(ttft_ms=admitted + wait, tpot_ms=tpot)

    def _met(self, times: StepTimes, usual: Floats) -> Floats:
        """Others' prompts that a newcomer meets: in runs sent as waves, at least the mean over their queues."""
        n, p, output = times.running, times.occupancy_ms, self.output_tokens[:, None]
        if not self.waves.any():
            return usual
        tpot = times.decode_ms + (n - 1 - usual) * p / output
        spread = LENGTH_SPREAD * output * tpot
        number = np.arange(int(self.waves.max()), dtype=np.float64)
        queue = np.maximum(0.0, n[..., None] * p[..., None] - np.sqrt(number) * spread[..., None]) / (2 * p[..., None])
        mean: Floats = queue.sum(axis=-1) / np.maximum(1, self.waves)
        return np.where(self.waves > 0, np.maximum(np.minimum(mean, n - 1), usual), usual)


def _total(terms: dict[str, Floats]) -> Floats:
    total: Floats = np.zeros(())
    for term in terms.values():
        total = total + term
    return total


def _problem(
    model: ModelFacts, gpu: GpuFacts, gpus: int, prompt: int, output: int, per_node: int, guessed: int
) -> Problem:
    """The problem behind a measured run; demand and objective play no part in step times or memory."""
    speculation = (
        Speculation(method="mtp", acceptance=GUESS_ACCEPTANCE, max_tokens=guessed, tokens=guessed) if guessed else None
    )
    return Problem(
        name="closed loop",
        engine="vllm",
        hardware=HardwareFacts(
            gpu=gpu,
            nodes=max(1, -(-gpus // per_node)),
            gpus_per_node=per_node,
            nvlink_gb_per_s=gpu.nvlink_gb_per_s,
            nvlink_domain_gpus=gpu.nvlink_domain_gpus if gpu.nvlink_gb_per_s else 1,
            pcie_gb_per_s=gpu.pcie_gb_per_s,
            internode_gbit_per_s=NETWORK_GBIT_PER_GPU * per_node,
            internode_latency_us=10,
            host_memory_gb=None,
            cpu_cores=None,
            price_per_gpu_hour=None,
            failures=failure_defaults(),
        ),
        model=model,
        workload=Workload(prompt_tokens=prompt, output_tokens=output, requests_per_s=1, speculation=speculation),
        requirements=Requirements(max_sequence_tokens=prompt + output),
        objective=Objective(),
        search=SearchLimits(kv_reservation="full"),
    )
