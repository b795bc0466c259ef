"""Section 3, the replica: rounds, prefill, time per token and residence as functions of the sequences in progress.

Callers work inside ``arithmetic.sixty_digits``.

Other homes: ``costs/bunched.py``, ``costs/steps.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from decimal import Decimal

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, constant, decimal, exact, facts_of_costs
from optimizer.verify.common.expected_tokens import computed_tokens, tokens_of_a_step
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.layer import LayerExperts
from optimizer.verify.common.mixed import law_of, of_prompts
from optimizer.verify.common.roof import roof
from optimizer.verify.common.stage import Stage, Stages


def chunks_of(problem: Problem, tokens: int) -> int:
    """j: steps that a prompt is cut into."""
    return ceil_ratio(computed_tokens(problem.workload, tokens), problem.search.max_num_batched_tokens)


class StageDecode:
    """Decode time of one stage as a function of b; 60 digits."""

    def __init__(self, stage: Stage, ranks: int) -> None:
        self._ranks = ranks
        self._fixed, self._slope = decimal(stage.step.fixed), decimal(stage.step.slope)
        self._roofs = [(decimal(memory), decimal(compute)) for memory, compute in stage.roofs]
        self._experts = [(experts, n, tokens, _of(experts)) for experts, n, tokens in stage.experts]
        self._overlap = decimal(constant("overlap"))

    def at(self, b: int) -> Decimal:
        total = self._fixed + self._slope * b
        for memory, compute in self._roofs:
            total += roof(memory, compute * b, self._overlap)
        for experts, n, tokens, (read, token, touch) in self._experts:
            missed = (Decimal(experts.count - experts.per_token) / experts.count) ** (b * self._ranks * tokens)
            touched = experts.count * (1 - missed)
            total += n * (roof(touched * read, token * b * tokens, self._overlap) + touched * touch)
        return total


def _of(experts: LayerExperts) -> tuple[Decimal, Decimal, Decimal]:
    return decimal(experts.read_ms), decimal(experts.token_ms), decimal(experts.touch_ms)


class ReplicaTimes:
    """One replica of a shape. Times are milliseconds to 60 digits; ``n`` counts sequences in progress."""

    def __init__(self, problem: Problem, shape: ReplicaShape, stages: Stages) -> None:
        group, held = shape.group, stages.of(shape.group, shape.layers)
        self._problem, self._stages = problem, shape.stages
        self._kinds = [(stage, held.count(stage), StageDecode(stage, group.ranks)) for stage in dict.fromkeys(held)]
        crossings = stages.sends(shape)
        self._send_slope, self._send_fixed = decimal(crossings.slope), decimal(crossings.fixed)
        engine = facts_of_costs().engine(problem.engine, problem.engine_version)
        self.start = decimal(exact(engine.start_ms))
        self.admit_steps = decimal(exact(engine.admit_steps))
        self._decoded: dict[int, list[tuple[int, Decimal]]] = {}
        self._prefilled: dict[int, list[Decimal]] = {}
        self._rounds: dict[int, Decimal] = {}
        self._residence: list[Decimal] = []
        self._tokens: list[Decimal] = []
        prompt = problem.workload.prompt_tokens
        stage_ms = zip(self._kinds, self._prefill_of(prompt), strict=True)
        chunks = chunks_of(problem, prompt)
        each = [(count, ms * chunks) for (_, count, _), ms in stage_ms]
        self.prompt_mean = sum((count * ms for count, ms in each), Decimal(0))
        self.law = law_of(problem.requests)
        self.prompts = [self.prompt_mean]
        if problem.workload.mixed:
            counts = [count for _, count, _ in self._kinds]
            table = [[decimal(stage.prefill_ms(m)) for stage, _, _ in self._kinds] for m in self.law.prompts]
            self.prompts = [sum((n * ms for n, ms in zip(counts, line, strict=True)), Decimal(0)) for line in table]
            shares = [decimal(share) for share in self.law.prompt_shares]
            of_kind = [
                sum((s * line[k] for s, line in zip(shares, table, strict=True)), Decimal(0))
                for k in range(len(counts))
            ]
            each = list(zip(counts, of_kind, strict=True))
        self.prompt, self.prompt_moments, self.overlap = of_prompts(self.prompts, self.law)
        self.prompt_sum = sum((count * ms for count, ms in each), Decimal(0))
        # Micro-batches of unequal work wait for each other at the slowest stage.
        self._wait = 1 + decimal(constant("stage_wait")) * (self._stages - 1)
        self.prompt_max = max(ms for _, ms in each) * self._wait
        self._output = problem.workload.output_tokens
        self._checked, self.yielded = 1 + problem.workload.guessed, decimal(tokens_of_a_step(problem.workload))

    def _decode_of(self, n: int) -> list[tuple[int, Decimal]]:
        """(stages, decode time) of each kind of stage."""
        b = ceil_ratio(n, self._stages)
        found = self._decoded.get(b)
        if found is None:
            found = self._decoded[b] = [(count, decode.at(b)) for _, count, decode in self._kinds]
        return found

    def _prefill_of(self, tokens: int) -> list[Decimal]:
        """Prefill time of one chunk at each kind of stage."""
        found = self._prefilled.get(tokens)
        if found is None:
            j = chunks_of(self._problem, tokens)
            found = self._prefilled[tokens] = [decimal(stage.prefill_ms(tokens) / j) for stage, _, _ in self._kinds]
        return found

    def round(self, n: int) -> Decimal:
        """One token for each of n sequences."""
        found = self._rounds.get(n)
        if found is None:
            turns = min(n, self._stages) * max(ms for _, ms in self._decode_of(n)) * self._wait
            found = self._rounds[n] = max(self._through(n), turns)
        return found

    def _through(self, n: int) -> Decimal:
        """One micro-batch of n sequences in progress through all stages."""
        stages = sum((count * ms for count, ms in self._decode_of(n)), Decimal(0))
        return stages + self._send_fixed + self._send_slope * ceil_ratio(n, self._stages) * self._checked

    def prefill(self, tokens: int, n: int) -> Decimal:
        """From a prompt's first step to its last, n sequences in progress."""
        j = chunks_of(self._problem, tokens)
        passes = [
            (count, chunk + ms) for (count, ms), chunk in zip(self._decode_of(n), self._prefill_of(tokens), strict=True)
        ]
        total = sum((count * ms for count, ms in passes), Decimal(0)) + (j - 1) * max(ms for _, ms in passes)
        return (
            total + self._send_fixed + self._send_slope * ceil_ratio(computed_tokens(self._problem.workload, tokens), j)
        )

    @property
    def stages(self) -> int:
        """P."""
        return self._stages

    @property
    def length(self) -> int:
        """States of the load model's chain before its tail."""
        stated = self._problem.requirements.max_batch
        return max(512, self._problem.max_batch if stated is None else 2 * stated)

    def usual_prefill(self, n: int) -> Decimal:
        """``prefill`` of a prompt of mean length."""
        return self.prefill(self._problem.workload.prompt_tokens, n)

    def tpot(self, n: int) -> Decimal:
        """Time per output token: never less than with fewer in progress."""
        for m in range(len(self._tokens) + 1, n + 1):
            token = self._with_prompts(m) / self.yielded
            self._tokens.append(max(token, self._tokens[-1]) if self._tokens else token)
        return self._tokens[n - 1]

    def _with_prompts(self, n: int) -> Decimal:
        """A round and the prompts that pass in it."""
        per_round = Decimal(n - 1) / self._output * self.yielded
        decode = self.round(n)
        least = decode + per_round * self.prompt_max
        if self._stages == 1 or n == 1:
            return least
        fresh = computed_tokens(self._problem.workload, self._problem.workload.prompt_tokens)
        prompts = min(per_round, Decimal(self._problem.search.max_num_batched_tokens) / fresh)
        return max(least, self._bunched(decode, prompts, decode - self._through(n), fresh))

    def _bunched(self, decode: Decimal, prompts: Decimal, waited: Decimal, fresh: int) -> Decimal:
        """A round whose prompts pass in one micro-batch, less what goes to those that follow it.

        Args:
            decode: the round without them.
            prompts: of a round, as far as a step has room for them.
            waited: what a micro-batch waits for its turn.
            fresh: tokens of a prompt that are computed.
        """
        longer = max(Decimal(0), self.prompt_sum + self._send_slope * fresh - self.prompt_max)
        work = prompts * self.prompt_max
        if longer:
            # A geometric number of prompts, of which some first make up for the wait.
            more = prompts / (1 + prompts)
            needed = waited / longer
            whole = int(needed)
            work += prompts * longer * more**whole * (1 - (needed - whole) * (1 - more))
        stages = Decimal(self._stages)
        follow = max(Decimal(0), 1 - 1 / stages - 1 / (2 * stages * stages))
        less = work * decode * follow * min(Decimal(1), prompts / (1 + 2 * prompts / 3))
        half = (decode + work) / 2
        return half + (half * half - less).sqrt()

    def admission(self, n: int) -> Decimal:
        """From arrival to the first step, no prompt ahead."""
        return self.start + self.admit_steps * self.round(n)

    def occupancy(self, rate: Decimal) -> Decimal:
        """O: what one prompt costs the pipeline when so many arrive per ms."""
        beside = 2 * self.overlap * rate * self.prompt_sum
        return (self.prompt_sum + beside * self.prompt_max) / (1 + beside)

    def residence(self, upto: int) -> list[Decimal]:
        """R(1) ... R(upto), the list possibly longer."""
        work = self._problem.workload
        for n in range(len(self._residence) + 1, upto + 1):
            admitted = self.admission(n) + self.prefill(work.prompt_tokens, n) + self.prompt_sum - self.prompt_mean
            self._residence.append(admitted + (work.output_tokens - 1) * self.tpot(n))
        return self._residence
