"""Another source of costs than the analytic model, as facts: factors on its times. ``docs/model.md``, section 9.

A source (a person's own measurements, a package's tables) is read once and becomes these numbers on the ``Problem``.
Search and verifier each apply them to times of their own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from optimizer.facts.base import LARGEST_COUNT, Count, Facts
from optimizer.facts.demand import KvFormat
from optimizer.facts.model import WeightFormat

CostSource = Literal["analytic", "measured", "table"]

Factor = Annotated[float, Field(ge=0.01, le=100)]
"""Source over analytic model, with few digits: the decimal number is exact."""


def _increasing(knots: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    if any(left[0] >= right[0] for left, right in pairwise(knots)):
        raise ValueError("a curve's sequences must increase")
    return knots


Curve = Annotated[
    tuple[tuple[Annotated[int, Field(ge=1, le=LARGEST_COUNT)], Factor], ...],
    Field(min_length=1),
    AfterValidator(_increasing),
]
"""(sequences in progress at a replica, factor): straight between two knots, constant before the first and after the last."""


class Correction(Facts):
    """Factors on the times of one replica layout, whatever its layer split."""

    tensor_parallel: Count
    pipeline_parallel: Count
    expert_parallel: Count
    weight_precision: WeightFormat
    kv_precision: KvFormat | None = Field(
        description="None: every KV format, where the source does not tell them apart"
    )
    round: Curve = Field(description="On round(n)")
    token: Curve = Field(description="On tpot(n)")
    admission: Curve = Field(description="On T_START + ADMIT_STEPS · round(n)")
    prefill: Curve = Field(description="On prefill(m, n), for mean and longest prompts alike")
    prompt: Factor = Field(description="On O_sum and O_max, what one prompt adds to every running sequence")
    least: float = Field(gt=0, description="Fewest sequences of a replica that the source speaks of")
    most: float = Field(gt=0, description="Most of them; the factors fade to 1 outside")
    samples: Count = Field(description="Measured runs or table queries behind the factors")

    @property
    def key(self) -> tuple[int, int, int, str, str | None]:
        """What layouts it is for."""
        return (
            self.tensor_parallel,
            self.pipeline_parallel,
            self.expert_parallel,
            self.weight_precision,
            self.kv_precision,
        )


class CostTable(Facts):
    """Everything that a source of costs says about one problem; layouts it does not name keep the analytic model."""

    source: Literal["measured", "table"]
    origin: str = Field(description="File or package, in words")
    corrections: tuple[Correction, ...]
    notes: tuple[str, ...] = Field(default=(), description="Sentences on what the source does not cover")

    @model_validator(mode="after")
    def _one_each(self) -> CostTable:
        keys = [one.key for one in self.corrections]
        if len(set(keys)) < len(keys):
            raise ValueError("a layout has more than one correction")
        return self

    @property
    def label(self) -> str:
        """The name of the source in answers."""
        return f"{self.source}: {self.origin}"
