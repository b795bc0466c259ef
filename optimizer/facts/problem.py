"""The whole question: hardware, model, workload, requirements, objective and search limits, resolved and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from optimizer.facts.base import Facts
from optimizer.facts.cost_table import CostTable
from optimizer.facts.demand import Objective, Requirements, SearchLimits
from optimizer.facts.engine import Engine, default_max_batch, token_budgets
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.lengths import RequestClass, law_classes, request_classes
from optimizer.facts.model import ModelFacts
from optimizer.facts.overhead import EngineVersion, StatedOverhead
from optimizer.facts.workload import Workload

Serving = Literal["joint", "disaggregated", "any"]


def too_long(needed: int, requirements: Requirements, model: ModelFacts) -> str:
    """Why a workload whose longest request has so many tokens cannot be served, and what would be right."""
    stated = requirements.max_sequence_tokens
    what = f"the longest request, prompt and output together, has {needed:,} tokens"
    if stated is not None:
        return f"{what}, more than requirements.max_sequence_tokens = {stated:,}; raise that limit or state shorter lengths"
    return (
        f"{what}, more than the context of {model.max_context_tokens:,} tokens that {model.name} was made for; "
        "state shorter lengths or a model with a longer context"
    )


class Problem(Facts):
    """Everything an answer depends on. Built by ``reading.load``; equal problems have equal answers."""

    name: str
    engine: Engine
    hardware: HardwareFacts
    model: ModelFacts
    workload: Workload
    requirements: Requirements
    objective: Objective
    search: SearchLimits
    serving: Serving = "joint"
    """Whether each instance works on prompts and tokens, or prefill and decode are pools of their own; ``any``: the better."""
    costs: CostTable | None = None
    engine_version: EngineVersion | None = None
    """How this version of the engine measures memory; None: the newest that is known."""
    engine_overhead: StatedOverhead = StatedOverhead()

    @model_validator(mode="after")
    def _users_are_served_jointly(self) -> Problem:
        if self.workload.users is not None and self.serving != "joint":
            raise ProblemError(
                "workload.users", f"is for serving: joint so far, not for {self.serving}; state workload.requests_per_s"
            )
        return self

    @model_validator(mode="after")
    def _tokens_fit(self) -> Problem:
        needed = self.longest_request_tokens
        allowed = self.requirements.max_sequence_tokens or self.model.max_context_tokens
        if needed > allowed:
            raise ProblemError("workload", too_long(needed, self.requirements, self.model))
        return self

    @property
    def cost_source(self) -> str:
        """The source of costs in words: ``analytic``, or what corrects it."""
        return self.costs.label if self.costs is not None else "analytic"

    @property
    def paged(self) -> bool:
        """Whether cache is taken block by block; else every slot reserves the longest sequence."""
        return self.search.kv_reservation == "paged"

    @property
    def longest_request_tokens(self) -> int:
        """The longest request that the workload states, prompt plus output."""
        work = self.workload
        return work.longest_tokens or work.longest_prompt_tokens + (work.output_tokens_p99 or work.output_tokens)

    @property
    def max_sequence_tokens(self) -> int:
        """The sequence that memory must hold: the stated limit, else the longest request (``full``: the model's context)."""
        stated = self.requirements.max_sequence_tokens
        return stated or (self.longest_request_tokens if self.paged else self.model.max_context_tokens)

    @property
    def requests(self) -> tuple[RequestClass, ...]:
        """The law of request lengths, cut at the longest sequence that may be served."""
        work = self.workload
        longest = self.requirements.max_sequence_tokens or self.model.max_context_tokens
        if work.recorded:
            return work.recorded
        if work.prompt_law or work.output_law:
            return law_classes(work.prompt_law or work.prompt_tokens, work.output_law or work.output_tokens, longest)
        return request_classes(
            work.prompt_tokens, work.prompt_tokens_p99, work.output_tokens, max(1, longest - work.output_tokens)
        )

    @property
    def held_requests(self) -> tuple[RequestClass, ...]:
        """The law of what requests hold of the cache for themselves: without what all share."""
        shared = self.workload.shared_tokens
        if not shared:
            return self.requests
        return tuple(RequestClass(max(1, p - shared), o, weight) for p, o, weight in self.requests)

    def variants(self) -> tuple[dict[str, int], ...]:
        """The choices left open that change every step time, by name; one empty choice where none is."""
        budgets, speculation = self.search.token_budgets, self.workload.speculation
        found: list[dict[str, int]] = [{}]
        if budgets == "engine":
            budgets = token_budgets(self.engine)
        if budgets is not None:
            found = [{"max_num_batched_tokens": budget} for budget in dict.fromkeys(budgets)]
        if speculation is not None and speculation.tokens is None:
            found = [one | {"speculative_tokens": k} for one in found for k in range(speculation.max_tokens + 1)]
        return tuple(found)

    def decided(self, choice: Mapping[str, int]) -> Problem:
        """The problem with a choice made."""
        if not choice:
            return self
        search, work = self.search, self.workload
        if "max_num_batched_tokens" in choice:
            budget = choice["max_num_batched_tokens"]
            search = search.model_copy(update={"max_num_batched_tokens": budget, "token_budgets": None})
        if "speculative_tokens" in choice and work.speculation is not None:
            guessed = work.speculation.model_copy(update={"tokens": choice["speculative_tokens"]})
            work = work.model_copy(update={"speculation": guessed})
        return self.model_copy(update={"search": search, "workload": work})

    def at_rate(self, requests_per_s: float | None) -> Problem:
        """The same question of requests that arrive at a rate, in place of the users who send as many; itself where a rate is stated."""
        if self.workload.users is None or requests_per_s is None:
            return self
        workload = self.workload.model_copy(update={"users": None, "requests_per_s": requests_per_s})
        return self.model_copy(update={"workload": workload})

    @property
    def max_batch(self) -> int:
        """Most sequences one replica may run at once: the stated limit, else the engine's default on this GPU."""
        return self.requirements.max_batch or default_max_batch(self.engine, self.hardware.gpu)
