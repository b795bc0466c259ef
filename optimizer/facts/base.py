"""What every fact has in common: frozen, closed to unknown keys, and finite."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from optimizer.facts.text import name_of, sentence_of


class Facts(BaseModel):
    """A frozen record. Unknown keys, NaN and infinities are refused; numbers are not guessed from text."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        strict=False,
        validate_default=False,
        hide_input_in_errors=False,
        defer_build=True,  # a command uses few of the records: built on first use, they cost a start 45 ms less
    )


# Counts above this are refused: nothing built has them, and integer costs stay far from 64-bit overflow below it.
LARGEST_COUNT = 1_000_000

Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT, strict=True)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT, strict=True)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000, strict=True)]
Positive = Annotated[float, Field(gt=0, le=1e15, strict=True)]
NonNegative = Annotated[float, Field(ge=0, le=1e15, strict=True)]
Milliseconds = Annotated[float, Field(gt=0, le=1e9, strict=True)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]


def _name(text: str) -> str:
    return name_of(text)


Name = Annotated[str, AfterValidator(_name)]
"""What something is called: one line that can be seen."""
Sentence = Annotated[str, AfterValidator(sentence_of)]
