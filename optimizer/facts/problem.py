"""The whole question: hardware, model, workload, requirements, objective and search limits, resolved and checked."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from optimizer.facts.base import Facts
from optimizer.facts.cost_table import CostTable
from optimizer.facts.demand import Objective, Requirements, SearchLimits, Workload
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.model import ModelFacts

Engine = Literal["vllm", "sglang"]


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
    costs: CostTable | None = None

    @model_validator(mode="after")
    def _tokens_fit(self) -> Problem:
        needed = self.workload.longest_prompt_tokens + self.workload.output_tokens
        if needed > self.max_sequence_tokens:
            raise ValueError(
                f"the workload's prompt plus output is {needed} tokens, more than the "
                f"{self.max_sequence_tokens} of requirements.max_sequence_tokens (or the model's context)"
            )
        return self

    @property
    def cost_source(self) -> str:
        """The source of costs in words: ``analytic``, or what corrects it."""
        return self.costs.label if self.costs is not None else "analytic"

    @property
    def max_sequence_tokens(self) -> int:
        """Longest sequence to serve: the stated limit, else the model's context."""
        return self.requirements.max_sequence_tokens or self.model.max_context_tokens
