"""What arrives: requests with their lengths, what prompts have in common, and tokens that are guessed.

Other home: ``verify/common/expected_tokens.py``, of prompts found in the cache and guesses accepted; docs/model.md, section 3.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, NonNegative, Positive, Tokens
from optimizer.facts.lengths import LengthLaw, RequestClass

KV_BLOCK_TOKENS = 16
"""Tokens of one block, the unit in which engines share cache (vLLM's default)."""


class Prefix(Facts):
    """What prompts have in common, as far as it is found in the cache. Whole blocks are shared."""

    shared_tokens: CountOrZero = Field(
        default=0,
        description="Tokens at the head of every prompt that are the same in all, such as a system prompt: held once",
    )
    hit_rate: Annotated[float, Field(ge=0, lt=1, strict=True)] = Field(
        default=0.0,
        description="Share of the other prompt tokens that is found in the cache: conversations, documents asked about again",
    )
    reuse_s: Positive | None = Field(
        default=None,
        description="Mean time after which the same prefix comes again, s: says how much of hit_rate the memory left can carry",
    )

    def cached(self, prompt_tokens: int) -> int:
        """Tokens of a prompt that are found in the cache; the last token is always computed.

        What costs read; the verifier's own home is ``verify/common/expected_tokens.py``.
        """
        return _cached(self.shared, self.hit_rate, prompt_tokens)

    @property
    def shared(self) -> int:
        """Tokens held once, in whole blocks."""
        return self.shared_tokens // KV_BLOCK_TOKENS * KV_BLOCK_TOKENS


@lru_cache(maxsize=4096)
def _cached(shared_tokens: int, hit_rate: float, prompt_tokens: int) -> int:
    """``Prefix.cached``: asked for every prompt length at every stage."""
    most = (prompt_tokens - 1) // KV_BLOCK_TOKENS * KV_BLOCK_TOKENS
    shared = min(shared_tokens, most)
    more = int(Fraction(repr(hit_rate)) * (prompt_tokens - shared)) // KV_BLOCK_TOKENS * KV_BLOCK_TOKENS
    return min(shared + more, most)


DRAFT_FIELDS = ("draft_parameters", "draft_layers", "draft_kv_bytes_per_token")


class Speculation(Facts):
    """Tokens that are guessed and checked in one step."""

    method: Literal["mtp", "eagle", "draft", "ngram"] = Field(
        description="mtp: the model's own multi-token-prediction module; eagle: an EAGLE-3 head for the model; draft: another model; "
        "ngram: from the text"
    )
    acceptance: Annotated[float, Field(gt=0, lt=1, strict=True)] = Field(
        description="Chance that a guessed token is accepted, each by itself"
    )
    max_tokens: Annotated[int, Field(ge=1, le=16, strict=True)] = Field(
        default=3, description="Most tokens guessed in a step; how many is a decision, none included"
    )
    draft_parameters: Positive | None = Field(
        default=None,
        description="Parameters of the draft, in 10^9; its weights are held and read in 16 bit. Of an EAGLE head, as the other two: left "
        "out, those of a head with the model's own dimensions; of a draft that draft_model names, the model's own",
    )
    draft_layers: Count | None = Field(default=None, description="Layers of the draft")
    draft_kv_bytes_per_token: CountOrZero | None = Field(
        default=None, description="Cache that the draft keeps of one token, over all its layers, bytes"
    )
    draft_model: str | None = Field(
        default=None,
        description="The draft: a catalog name, or the path of its config or folder, from which what is left out above follows; any other "
        "name is for the launch line alone",
    )
    tokens: Annotated[int, Field(ge=0, le=16, strict=True)] | None = Field(
        default=None, description="Tokens guessed in every step; left out, as many of 0 to max_tokens as is best"
    )

    @model_validator(mode="after")
    def _draft_is_known(self) -> Speculation:
        if self.tokens is not None and self.tokens > self.max_tokens:
            raise ValueError(f"tokens = {self.tokens} is above max_tokens = {self.max_tokens}")
        for name in (*DRAFT_FIELDS, "draft_model"):
            if getattr(self, name) is not None and not self.drafts:
                raise ValueError(f"{name} has no meaning with method {self.method}")
        return self

    @property
    def drafts(self) -> bool:
        """Whether another model guesses, of which parameters, layers and cache are known."""
        return self.method in ("draft", "eagle")

    @property
    def yielded(self) -> Fraction:
        """Tokens that a step yields a sequence on average: (1 − a^(k+1)) / (1 − a).

        What costs read; the verifier's own home is ``verify/common/expected_tokens.py``.
        """
        a, k = Fraction(repr(self.acceptance)), self.tokens or 0
        return (1 - a ** (k + 1)) / (1 - a)


class Users(Facts):
    """A closed loop: each user sends the next request after the answer to the last one, and a pause."""

    concurrent: Count = Field(description="Users at once, each with at most one request in progress")
    think_time_s: NonNegative = Field(
        default=0, description="Mean pause of a user between an answer and the next request, s"
    )

    @property
    def words(self) -> str:
        """Such as ``2,000 users at once``."""
        pause = f" with pauses of {self.think_time_s:g} s" if self.think_time_s else ""
        return f"{self.concurrent:,} user{'s' if self.concurrent > 1 else ''} at once{pause}"


RATE_STEP_PER_S = Fraction(1, 10**6)
"""Requests/s at one replica: the rate that follows from its users is the least multiple of it at which they are that many."""


class Workload(Facts):
    """Requests that arrive at random (Poisson) at a mean rate, stated or what so many users send."""

    prompt_tokens: Tokens = Field(description="Mean prompt length, tokens")
    output_tokens: Tokens = Field(description="Mean output length, tokens")
    requests_per_s: Positive = Field(description="Mean arrival rate over the whole service, requests/s")
    users: Users | None = Field(
        default=None,
        description="In place of the rate, which is then each candidate's own and this one no more than a number",
    )
    prompt_tokens_p99: Tokens | None = Field(
        default=None, description="99th-percentile prompt length; left out, every prompt has the mean length"
    )
    prompt_law: LengthLaw | None = Field(default=None, description="How prompts spread, where more is stated of them")
    output_law: LengthLaw | None = Field(default=None, description="How outputs spread, where more is stated of them")
    recorded: tuple[RequestClass, ...] = Field(default=(), description="Classes of the requests of a trace")
    output_tokens_p99: Tokens | None = Field(default=None, description="99th-percentile output length, where known")
    prefix: Prefix | None = Field(default=None, description="What prompts share")
    speculation: Speculation | None = Field(default=None, description="Tokens guessed ahead")
    longest_tokens: Tokens | None = Field(default=None, description="Longest prompt plus output, where known")
    note: str | None = Field(default=None, description="Where the lengths are from, in words")

    @model_validator(mode="after")
    def _ordered(self) -> Workload:
        if self.prompt_tokens_p99 is not None and self.prompt_tokens_p99 < self.prompt_tokens:
            raise ValueError(
                f"prompt_tokens_p99 = {self.prompt_tokens_p99} is below the mean prompt_tokens = {self.prompt_tokens}"
            )
        return self

    @property
    def longest_prompt_tokens(self) -> int:
        """The prompt length that 99th percentiles are planned for."""
        return self.prompt_tokens_p99 or self.prompt_tokens

    @property
    def mixed(self) -> bool:
        """Whether requests differ in length."""
        return (
            bool(self.recorded or self.prompt_law or self.output_law)
            or self.longest_prompt_tokens != self.prompt_tokens
        )

    def cached(self, prompt_tokens: int) -> int:
        """Tokens of a prompt that are found in the cache."""
        return 0 if self.prefix is None else self.prefix.cached(prompt_tokens)

    def fresh(self, prompt_tokens: int) -> int:
        """Tokens of a prompt that are computed."""
        return prompt_tokens - self.cached(prompt_tokens)

    @property
    def shared_tokens(self) -> int:
        """Tokens that the cache of a replica holds once for all requests."""
        return 0 if self.prefix is None else self.prefix.shared

    @property
    def guessed(self) -> int:
        """k: tokens guessed in a step."""
        return 0 if self.speculation is None else self.speculation.tokens or 0

    @property
    def yielded(self) -> Fraction:
        """Tokens that a step yields a sequence."""
        return Fraction(1) if self.speculation is None else self.speculation.yielded

    def alike(self, prompt_tokens: int, output_tokens: int) -> Workload:
        """The same with every request of these lengths."""
        return Workload(
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            requests_per_s=self.requests_per_s,
            users=self.users,
            prefix=self.prefix,
            speculation=self.speculation,
        )


class WorkloadInput(Facts):
    """Requests that arrive at random (Poisson) at a mean rate, with lengths that are equal, spread, or those of a trace."""

    prompt_tokens: Tokens | LengthLaw | None = Field(
        default=None,
        description="Mean prompt length, tokens, or how prompts spread: {mean, p50, p95, p99} or {mean, cv}",
    )
    output_tokens: Tokens | LengthLaw | None = Field(
        default=None, description="Mean output length, tokens, or how outputs spread, as for prompts"
    )
    requests_per_s: Positive | None = Field(
        default=None,
        description="Mean arrival rate over the whole service, requests/s; with a trace it may be left out: the trace's own",
    )
    concurrency: Count | None = Field(
        default=None,
        description="In place of requests_per_s: so many users at once, each sending its next request as soon as the last is answered",
    )
    users: Users | None = Field(
        default=None,
        description="In place of requests_per_s: {concurrent, think_time_s}; the rate follows from each candidate's own latency",
    )
    prompt_tokens_p99: Tokens | None = Field(
        default=None, description="99th-percentile prompt length; left out, every prompt has the mean length"
    )
    trace: str | None = Field(
        default=None,
        description="File of recorded requests whose lengths stand in place of prompt_tokens and output_tokens: CSV in the form of "
        "the Azure traces, of Vidur or of BurstGPT, or JSON lines in that of Mooncake",
    )
    prefix: Prefix | None = Field(default=None, description="What prompts have in common and is found in the cache")
    speculation: Speculation | None = Field(default=None, description="Speculative decoding")
