"""Times of engine steps: a decode step per stage, a prefill per stage, and the pipeline they form. Section 3.

Other homes: ``verify/common/stage.py``, ``verify/common/layer_share.py``, ``verify/common/times.py``,
``verify/common/float_times.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cached_property

import numpy as np

from optimizer.catalog.constants import CostConstants
from optimizer.costs.bunched import PassingPrompts
from optimizer.costs.links import CONTEXT_MESSAGES, LinkCosts
from optimizer.costs.mixed import length_moments
from optimizer.costs.parameters import LayerArrays
from optimizer.costs.service import ServiceTable, joined
from optimizer.costs.shapes import Bools, Floats, Ints, ShapeTable
from optimizer.facts.problem import Problem

ARRAYS_BY_SHAPE = frozenset(
    {
        "linear_parameters", "resident_bytes", "read_bytes", "kv_bytes_per_token", "state_bytes", "unread_bytes", "embedding_bytes",
        "head_bytes", "head_parameters", "first_bytes", "tower_bytes", "linear_bytes", "small_bytes", "one_expert_bytes", "linear_peak",
        "expert_peak", "linear_bandwidth", "expert_bandwidth",
    }
)  # fmt: skip
"""Fields of ``LayerArrays`` with one row for each shape."""


class StepModel:
    """Section 3 for a fixed problem and table of shapes; each term is a method so that answers can show it."""

    def __init__(
        self, problem: Problem, constants: CostConstants, table: ShapeTable, arrays: LayerArrays, links: LinkCosts
    ) -> None:
        self.problem, self.constants, self.table, self.arrays, self.links = problem, constants, table, arrays, links
        self.counts = table.kind_counts.astype(np.float64)
        self.present: Bools = table.multiplicity > 0
        gpu = problem.hardware.gpu
        self.bytes_per_ms = arrays.bandwidth
        self.generation = gpu.layer_time_factor
        self.layers = table.stage_layers.astype(np.float64)
        self.moe_layers = self.counts @ (arrays.experts > 0).astype(np.float64)
        self.context = mean_context(problem)
        self.checked = 1 + problem.workload.guessed
        self.yielded = float(problem.workload.yielded)
        self.coupled = table.ranks > 1
        self.shares_contexts = bool((table.dcp > 1).any())
        self.slowest: Floats = 1 + constants.stage_wait * (table.pp.astype(np.float64) - 1)
        """(S,) longer that the slowest stage is busy: micro-batches of unequal work wait for each other."""

    def _roof(self, memory_ms: Floats, compute_ms: Floats) -> Floats:
        result: Floats = np.maximum(memory_ms, compute_ms) + self.constants.overlap * np.minimum(memory_ms, compute_ms)
        return result

    def decode_terms(self, batch: Ints | Floats, context: Floats | None = None) -> dict[str, Floats]:
        """Terms of a decode step per shape, stage class and batch: arrays (S, C, B) in ms.

        Args:
            batch: (S, B) sequences of each rank in the micro-batch.
            context: (S,) tokens each sequence has in its cache; left out, the workload's mean.
        """
        present = self.present[:, :, None]
        return {name: np.where(present, value, 0.0) for name, value in self._decode(batch, context).items()}

    def _decode(self, batch: Ints | Floats, context: Floats | None = None) -> dict[str, Floats]:
        """The same with meaningless values where a stage class only pads."""
        c, arrays, model = self.constants, self.arrays, self.problem.model
        sequences = batch[:, None, :].astype(np.float64)
        b = sequences * self.checked
        last = self.table.is_last[:, :, None]
        read = np.einsum("sck,sk->sc", self.counts, arrays.read_bytes)
        linear = np.einsum("sck,sk->sc", self.counts, arrays.linear_parameters)
        peak = arrays.linear_peak[:, None] / 1e3
        dense = self._roof(
            (read / (c.eta_bw * arrays.linear_bandwidth[:, None]))[:, :, None],
            (2 * linear / (c.eta_decode_flops * peak))[:, :, None] * b,
        )
        head = self._roof(
            arrays.head_bytes.astype(np.float64)[:, None, None] / (c.eta_bw * self.bytes_per_ms),
            2 * arrays.head_parameters[:, None, None] * b / (c.eta_decode_flops * arrays.peak16 / 1e3),
        )
        reach = np.full(len(self.table.shapes), float(self.context)) if context is None else context
        seen = np.where(arrays.windows > 0, np.minimum(reach[:, None], arrays.windows), reach[:, None])
        per_layer = arrays.kv_bytes_per_token * seen + 2 * arrays.state_bytes
        cached_ms = np.einsum("sck,sk->sc", self.counts, per_layer) / (c.eta_kv * self.bytes_per_ms)
        scored = 2 * np.einsum("sck,sk->sc", self.counts, arrays.decode_width * seen) / self.table.tp[:, None]
        cache = np.maximum(cached_ms, self.checked * scored / (c.eta_decode_flops * arrays.peak16 / 1e3))
        reduced = 2 * (
            self.links.all_reduce_ms_per_byte[:, None, None] * b * model.hidden_size * 2
            + self.links.all_reduce_ms[:, None, None]
        )
        beside = {"context exchange": self._context_ms(b)} if self.shares_contexts else {}
        drafted = {} if self.checked == 1 else {"draft": np.where(last, self._draft_ms(batch), 0.0)}
        return (
            beside
            | drafted
            | {
                "dense weights": dense,
                "output head": np.where(last, head, 0.0),
                "KV cache": cache[:, :, None] * sequences,
                "experts": self._expert_ms(b),
                "layer overhead": self._overhead_ms(b),
                "TP all-reduce": self.layers[:, :, None] * reduced,
                "expert exchange": self.moe_layers[:, :, None] * self._exchange_ms(b),
                "step overhead": np.where(last, self.generation * c.t_step + b * c.t_sequence, 0.0),
            }
        )

    def _draft_ms(self, batch: Ints | Floats) -> Floats:
        """What guessing takes on the last stage, (S, C, B): as many guesses as tokens are guessed, one after the other."""
        speculation, c, arrays = self.problem.workload.speculation, self.constants, self.arrays
        b = batch[:, None, :].astype(np.float64)
        none: Floats = np.zeros((*self.counts.shape[:2], b.shape[2]))
        if speculation is None or speculation.method == "ngram":
            return none
        if speculation.method == "mtp":
            one = copy(self)
            one.checked, one.counts = 1, one_like_the_last(self.problem, self.table)
            one.layers = one.counts.sum(axis=2)
            one.moe_layers = one.counts @ (arrays.experts > 0).astype(np.float64)
            terms = one._decode(batch)
            terms["step overhead"] = b * c.t_sequence + none
            return (self.checked - 1) * np.asarray(sum(terms.values()))
        tp = self.table.tp.astype(np.float64)[:, None, None]
        parameters, layers = (speculation.draft_parameters or 0) * 1e9 / tp, speculation.draft_layers or 0
        token = np.ceil((speculation.draft_kv_bytes_per_token or 0) / tp - 1e-9)
        weights = self._roof(
            2 * parameters / (c.eta_bw * self.bytes_per_ms) + 0 * b,
            2 * parameters * b / (c.eta_decode_flops * arrays.peak16 / 1e3),
        )
        cache = b * self.context * token / (c.eta_kv * self.bytes_per_ms)
        launch = self.generation * layers * (c.t_layer + np.where(tp > 1, c.t_tp, 0.0))
        per_byte, fixed = self.links.all_reduce_ms_per_byte[:, None, None], self.links.all_reduce_ms[:, None, None]
        reduced = 2 * layers * (per_byte * b * self.problem.model.hidden_size * 2 + fixed)
        return (self.checked - 1) * (weights + cache + launch + reduced) + none

    def _overhead_ms(self, b: Floats) -> Floats:
        """Launches and synchronisation per layer; latent and sparse attention add some, MoE layers routing, per expert and touched."""
        c, arrays = self.constants, self.arrays
        shared = (self.table.tp > 1)[:, None]
        launched = self.layers * (c.t_layer + np.where(shared, c.t_tp, 0.0)) + self.counts @ arrays.attention_launch_ms
        total: Floats = launched[:, :, None] + np.zeros_like(b)
        for kind, experts in enumerate(arrays.experts.tolist()):
            if experts:
                routing = c.t_expert * experts / (1 + experts / c.experts_half) + c.t_touched * self._touched(kind, b)
                total = total + self.counts[:, :, kind, None] * routing[:, None, :]
        return self.generation * total

    def _touched(self, kind: int, b: Floats) -> Floats:
        """Expected distinct experts that the tokens of all coupled ranks reach, (S, B)."""
        experts, per_token = int(self.arrays.experts[kind]), int(self.arrays.experts_per_token[kind])
        tokens = b[:, 0, :] * self.table.ranks[:, None]
        touched: Floats = experts * (1 - (1 - per_token / experts) ** tokens)
        return touched

    def _expert_ms(self, b: Floats) -> Floats:
        """Routed experts of a decode step: weights of the distinct experts touched, or their FLOP."""
        c, arrays = self.constants, self.arrays
        total: Floats = np.zeros((self.counts.shape[0], self.counts.shape[1], b.shape[2]))
        group = self.table.expert_gpus[:, None].astype(np.float64)
        tokens = b[:, 0, :] * self.table.ranks[:, None]
        for kind, experts in enumerate(arrays.experts.tolist()):
            if not experts:
                continue
            per_token = int(arrays.experts_per_token[kind])
            one = float(arrays.expert_parameters[kind])
            memory = (
                self._touched(kind, b)
                * arrays.one_expert_bytes[:, kind, None]
                / group
                / (c.eta_expert_bw * arrays.expert_bandwidth[:, None])
            )
            compute = 2 * tokens * per_token * one / group / (c.eta_expert_flops * arrays.expert_peak[:, None] / 1e3)
            compute = compute * self._slowdown(experts)[:, None]
            total = total + self.counts[:, :, kind, None] * self._roof(memory, compute)[:, None, :]
        return total

    def _context_ms(self, b: Floats) -> Floats:
        """What ranks that share the tokens of a sequence exchange in a decode step, (S, C, B): queries there, results back.

        Each rank needs the queries of the D ranks' heads, and sends each of the D - 1 others what its tokens make of theirs.
        """
        c, arrays, dcp = self.constants, self.arrays, self.table.dcp
        width = np.einsum("sck,k->sc", self.counts, arrays.decode_width) / self.table.tp[:, None]
        attending = self.counts @ (arrays.decode_width > 0).astype(np.float64)
        sent = 2 * (dcp - 1)[:, None, None] * width[:, :, None] * b
        fixed = self.links.context_ms + self.generation * CONTEXT_MESSAGES / 2 * c.t_tp
        total = self.links.context_ms_per_byte[:, None, None] * sent + (attending * fixed[:, None])[:, :, None]
        result: Floats = np.where((dcp > 1)[:, None, None], total, 0.0)
        return result

    def _gather_ms(self, tokens: Floats, cached: float) -> Floats:
        """What a prompt's chunks gather of the cache before them that other ranks hold, (S, C)."""
        budget, dcp = self.problem.search.max_num_batched_tokens, self.table.dcp
        seen = (tokens * tokens - cached * cached) / (2 * budget) + (tokens - cached) / 2
        kept = np.einsum("sck,sk->sc", self.counts, self.arrays.kv_bytes_per_token) * (dcp - 1)[:, None]
        result: Floats = self.links.context_ms_per_byte[:, None] * kept * seen
        return result

    def _slowdown(self, experts: int) -> Floats:
        """(S,) what expert products take beyond their FLOP: narrow experts, and the busiest GPU of an expert group."""
        c = self.constants
        narrow = 1 + c.expert_width_half / self.arrays.expert_width
        result: Floats = narrow * (1 + c.imbalance * (self.table.ep - 1) / max(1, experts))
        return result

    def _exchange_ms(self, tokens: Floats) -> Floats:
        """All-to-all there and back, for d > 1: ms per MoE layer."""
        model = self.problem.model
        per_token = max(kind.experts_per_token for kind in model.kinds)
        places = self.links.all_to_all_places
        # Sliced experts need every token of every rank, whole and in 16 bit; whole ones only the tokens that chose them.
        whole = 2 * np.minimum(self.table.slice_ranks, places)
        chosen = self.constants.exchange_bytes * np.minimum(per_token, places)
        copies = np.where(self.table.slice_ranks > 1, whole, chosen)[:, None, None]
        sent = tokens * copies * model.hidden_size
        once = self.links.all_to_all_ms_per_byte[:, None, None] * sent + self.links.all_to_all_ms[:, None, None]
        result: Floats = np.where(self.coupled[:, None, None], 2 * once, 0.0)
        return result

    @cached_property
    def _of_prompts(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """What of a prompt's terms does not depend on its length: layers of each kind (S, C, K), layers, layers with experts,
        parameters of linear layers, and of the experts that a token goes through, each (S, C)."""
        arrays = self.arrays
        counts, layers, moe_layers = self.counts, self.layers, self.moe_layers
        speculation = self.problem.workload.speculation
        if speculation is not None and speculation.method == "mtp" and self.checked > 1:
            counts = counts + one_like_the_last(self.problem, self.table)
            layers = layers + self.table.is_last
            moe_layers = counts @ (arrays.experts > 0).astype(np.float64)
        linear = np.einsum("sck,sk->sc", counts, arrays.linear_parameters)
        routed: Floats = np.zeros(self.counts.shape[:2])
        for kind, count in enumerate(arrays.experts.tolist()):
            flop = float(arrays.experts_per_token[kind] * arrays.expert_parameters[kind])
            routed = routed + counts[:, :, kind] * flop * self._slowdown(count)[:, None]
        return counts, layers, moe_layers, linear, routed

    def prefill_terms(self, tokens: int | Floats) -> dict[str, Floats]:
        """Terms of prefilling one prompt of the given tokens (one length, or one per shape), (S, C) in ms.

        The decodes that share the prompt's steps are not in it.
        """
        c, arrays, model = self.constants, self.arrays, self.problem.model
        m = np.broadcast_to(np.asarray(tokens, dtype=np.float64), (len(self.table.shapes),))[:, None]
        cached = float(self.problem.workload.cached(int(tokens))) if isinstance(tokens, int) else 0.0
        counts, layers, moe_layers, linear, routed = self._of_prompts
        seen = _scored(m, arrays.windows) - _scored(np.full_like(m, cached), arrays.windows)
        width = seen * arrays.prefill_width
        m = m - cached
        attention = np.einsum("sck,sk->sc", counts, width) / self.table.tp[:, None]
        attention = attention / (c.eta_prefill_attention * arrays.peak16 / 1e3)
        experts = 2 * m * routed * (self.table.ranks / self.table.expert_gpus)[:, None]
        experts = experts / (c.eta_prefill_expert_flops * arrays.expert_peak[:, None] / 1e3)
        sent = m * model.hidden_size * 2
        reduced = 2 * (self.links.all_reduce_ms_per_byte[:, None] * sent + self.links.all_reduce_ms[:, None])
        exchange = self._exchange_ms(m[:, :, None])[:, :, 0]
        terms = {
            "dense layers": 2 * m * linear / (c.eta_prefill_flops * arrays.linear_peak[:, None] / 1e3),
            "experts": experts,
            "attention": attention,
            "TP all-reduce": layers * reduced,
            "expert exchange": moe_layers * exchange,
        }
        if self.shares_contexts:
            terms["context exchange"] = self._gather_ms(m + cached, cached)
        speculation = self.problem.workload.speculation
        if speculation is not None and speculation.drafts and self.checked > 1:
            sliced = (speculation.draft_parameters or 0) * 1e9 / self.table.tp[:, None]
            compute = 2 * m * sliced / (c.eta_prefill_flops * arrays.peak16 / 1e3)
            terms["draft"] = np.where(self.table.is_last, compute, 0.0)
        return {name: np.where(self.present, value, 0.0) for name, value in terms.items()}

    def send_ms(self, tokens: Floats) -> Floats:
        """All stage-to-stage sends of a replica, one after the other, for (S, …) tokens."""
        shape = (-1,) + (1,) * (tokens.ndim - 1)
        per_byte, fixed = self.links.send_ms_per_byte.reshape(shape), self.links.send_ms.reshape(shape)
        result: Floats = per_byte * tokens * (self.problem.model.hidden_size * 4) + fixed
        return result

    def round_ms(self, decode: Floats, running: Ints | Floats, batch: Ints | Floats) -> Floats:
        """One token for every running sequence, (S, N): micro-batches through the stages, or the slowest stage's turns.

        Args:
            decode: (S, C, N) a decode step of each stage class.
            running: (N,) or (S, N) sequences of a replica.
            batch: (S, N) sequences in one micro-batch.
        """
        turns = np.minimum(running, self.table.pp[:, None]) * decode.max(axis=1) * self.slowest[:, None]
        result: Floats = np.maximum(self._through_ms(decode, batch), turns)
        return result

    def _through_ms(self, decode: Floats, batch: Ints | Floats) -> Floats:
        """One micro-batch through all stages, (S, N)."""
        sent = self.send_ms(np.asarray(batch, dtype=np.float64) * self.checked)
        result: Floats = (decode * self.table.multiplicity[:, :, None]).sum(axis=1) + sent
        return result

    def service(self, slots: int) -> ServiceTable:
        """Every time the load model needs, for 1…slots sequences in progress."""
        degrees = sorted(set(self.table.pp.tolist()))  # np.unique imports masked arrays
        if len(degrees) <= 1:
            return self._service(slots)
        # Shapes of many stages have few distinct batches and those of few stages few classes: by degree, neither pads the other.
        groups = [np.flatnonzero(self.table.pp == degree) for degree in degrees]
        return joined([(rows, self._part(rows)._service(slots)) for rows in groups], len(self.table.shapes))

    def completes_at_most(self, slots: Ints) -> Floats:
        """Requests/s that a replica of each shape never passes with so many sequences, (S,): a quick upper bound of X.

        Of prompts of one length, nothing guessed. R(n) ≥ (o − 1) · (round(n) + (n − 1)/o · O_max) + O_max with o output tokens,
        round(n) ≥ n/b · d(b) with d the slowest stage's step, and d(b)/b falls with b: so n/R(n) is largest at the most sequences, and
        at most this.
        """
        work = self.problem.workload
        batch = np.maximum(1, -(-slots // self.table.pp))
        decode = np.asarray(sum(self.decode_terms(batch[:, None]).values()))[:, :, 0].max(axis=1)
        prefill = np.asarray(sum(self.prefill_terms(work.prompt_tokens).values())).max(axis=1)
        least_ms = (1 - 1 / work.output_tokens) * (work.output_tokens * decode / batch + prefill)
        with np.errstate(divide="ignore"):
            bound: Floats = np.where(least_ms > 0, 1e3 / least_ms, np.inf)
        return bound

    def _part(self, rows: Ints) -> StepModel:
        """The same for some of the shapes."""
        arrays = replace(self.arrays, **{name: getattr(self.arrays, name)[rows] for name in ARRAYS_BY_SHAPE})
        return StepModel(self.problem, self.constants, self.table.part(rows), arrays, self.links.part(rows))

    def _service(self, slots: int) -> ServiceTable:
        workload, budget = self.problem.workload, self.problem.search.max_num_batched_tokens
        n = np.arange(1, slots + 1, dtype=np.int64)[None, :]
        pp = self.table.pp[:, None]
        batch = -(-n // pp)
        largest = int(batch.max())
        # Few distinct batches exist when PP > 1: evaluate each once, then spread over n.
        batches = np.broadcast_to(np.arange(1, largest + 1), (len(self.table.shapes), largest))
        per_batch = np.where(self.present[:, :, None], np.asarray(sum(self._decode(batches).values())), 0.0)
        decode = np.take_along_axis(per_batch, (batch - 1)[:, None, :], axis=2)
        multiplicity = self.table.multiplicity[:, :, None].astype(np.float64)
        rounds = self.round_ms(decode, n, batch)

        prompt = workload.prompt_tokens
        per_stage = np.asarray(sum(self.prefill_terms(prompt).values()))
        prompt_sum = (per_stage * self.table.multiplicity).sum(axis=1)
        of_mean = prompt_sum
        lengths = length_moments(self.problem)
        each = of_mean[:, None]
        if lengths.mixed:
            stages = np.stack([np.asarray(sum(self.prefill_terms(int(m)).values())) for m in lengths.prompts], axis=2)
            per_stage = stages @ lengths.prompt_share
            each = np.einsum("sck,sc->sk", stages, self.table.multiplicity.astype(np.float64))
            prompt_sum = each @ lengths.prompt_share
        prompt_max = per_stage.max(axis=1) * self.slowest
        overlap = overlap_of(each, lengths.prompt_share)
        chunks = -(-workload.fresh(prompt) // budget)
        prompts = (n - 1) / workload.output_tokens * self.yielded
        per_step = budget / workload.fresh(prompt)
        together = prompts * prompt_max[:, None]
        if int(self.table.pp.max()) > 1:
            waited = rounds - self._through_ms(decode, batch)
            sent = self.links.send_ms_per_byte * (workload.fresh(prompt) * self.problem.model.hidden_size * 4)
            longer = np.maximum(0.0, prompt_sum + sent - prompt_max)
            passed = PassingPrompts(prompt_max[:, None], longer[:, None], np.minimum(prompts, per_step))
            together = np.maximum(together, passed.bunched_ms(rounds, waited, self.table.pp))
        tpot = np.maximum.accumulate(rounds + together, axis=1) / self.yielded
        prefill = self._prefill(prompt, decode, multiplicity)
        longest = workload.longest_prompt_tokens
        engine = self.constants.engine(self.problem.engine, self.problem.engine_version)
        admission = engine.start_ms + engine.admit_steps * rounds
        return ServiceTable(
            round_ms=rounds,
            tpot_ms=tpot,
            prefill_ms=prefill,
            prefill_long_ms=prefill if longest == prompt else self._prefill(longest, decode, multiplicity),
            residence_ms=admission + prefill + (prompt_sum - of_mean)[:, None] + (workload.output_tokens - 1) * tpot,
            prompt_sum_ms=prompt_sum,
            prompt_max_ms=prompt_max,
            admission_ms=admission,
            stages=self.table.pp.astype(np.float64),
            prompt_mean_ms=of_mean,
            prompt_each_ms=each,
            overlap=overlap,
            yielded=self.yielded,
            lengths=lengths,
            chunks=chunks,
            prompts_per_step=per_step,
            prompt_cap_steps=-(-workload.fresh(longest) // budget) + 1,
            prompt_moments=_prompt_moments(self.problem),
        )

    def _prefill(self, tokens: int, decode: Floats, multiplicity: Floats) -> Floats:
        """Prompt scheduled to prompt done, its chunks flowing through the stages with the decodes beside them."""
        fresh = self.problem.workload.fresh(tokens)
        chunks = -(-fresh // self.problem.search.max_num_batched_tokens)
        stage = np.asarray(sum(self.prefill_terms(tokens).values()))
        passes = np.where(self.present[:, :, None], stage[:, :, None] / chunks + decode, 0.0)
        per_chunk = np.full((len(self.table.shapes), 1), float(-(-fresh // chunks)))
        result: Floats = (
            (passes * multiplicity).sum(axis=1) + (chunks - 1) * passes.max(axis=1) + self.send_ms(per_chunk)
        )
        return result


def one_like_the_last(problem: Problem, table: ShapeTable) -> Floats:
    """One layer like the model's last on the last stage, (S, C, K): what a multi-token-prediction module is."""
    kinds = np.zeros(len(problem.model.kinds))
    kinds[problem.model.kind_of_layer[-1]] = 1
    result: Floats = table.is_last[:, :, None] * kinds
    return result


def _scored(tokens: Floats, windows: Ints) -> Floats:
    """Pairs of tokens that the first so many tokens of a prompt score, doubled, (S, K)."""
    square = tokens * tokens
    result: Floats = np.where(windows > 0, np.minimum(square, 2 * tokens * np.minimum(tokens, windows)), square)
    return result


def mean_context(problem: Problem) -> int:
    """c: tokens that a request in progress has in its cache on average, rounded up."""
    weighted = sum(
        one.weight * one.output_tokens * (2 * one.prompt_tokens + one.output_tokens) for one in problem.requests
    )
    return -(-weighted // (2 * sum(one.weight * one.output_tokens for one in problem.requests)))


def overlap_of(each: Floats, share: Floats) -> Floats:
    """c = E[min(X, X')] / (2 · E[X]) for two prompts side by side, (S,), from X of each distinct prompt (S, C)."""
    if each.shape[1] == 1:
        return np.full(len(each), 0.5)
    order = np.argsort(each, axis=1, kind="stable")
    ordered, weights = np.take_along_axis(each, order, axis=1), share[order]
    above = 1 - np.cumsum(weights, axis=1)
    smaller = (ordered * weights * (weights + 2 * above)).sum(axis=1)
    result: Floats = smaller / (2 * (each @ share))
    return result


def _prompt_moments(problem: Problem) -> tuple[float, float]:
    """Second and third moment of the prompt length over powers of its mean."""
    prompts, weights = np.array([(one.prompt_tokens, one.weight) for one in problem.requests], dtype=np.float64).T
    mean = np.average(prompts, weights=weights)
    square, cube = (float(np.average((prompts / mean) ** k, weights=weights)) for k in (2, 3))
    return square, cube
