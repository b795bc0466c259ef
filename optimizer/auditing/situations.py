"""Which model, GPU and strategy a clause is about: the report's own unless it names others, which are judged as themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Degrees, Situation
from optimizer.auditing.names import Named
from optimizer.auditing.sentences import Sentence
from optimizer.catalog.constants import constants
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts


@dataclass(frozen=True)
class About:
    """The situations a clause may mean: a claim is wrong only if it is wrong in all of them. Empty: nothing known."""

    situations: tuple[Situation, ...]
    named_strategy: bool
    named_precision: bool

    @property
    def own(self) -> bool:
        """Whether it is about what the report as a whole is about."""
        return bool(self.situations) and all(one.own for one in self.situations)


def own_situation(context: Context) -> Situation:
    """What the report as a whole is about."""
    problem, proposed = context.problem, context.strategy
    degrees = Degrees(proposed.tp, proposed.pp, proposed.dp, proposed.ep) if proposed else None
    known = [name for name in context.formats if name in constants().formats]
    kv = (problem.search.kv_precision or (problem.model.native_dtype,))[0]
    return Situation(problem, problem.hardware.gpu, problem.model, degrees, known[0], kv)


def about(sentence: Sentence, span: tuple[int, int], context: Context, own: Situation) -> About:
    """What a clause of a sentence is about; names in the clause go before names elsewhere in the sentence."""
    gpus, models = _near(sentence.gpus, span), _near(sentence.models, span)
    found = [own]
    if gpus:
        found = [one for named in gpus for one in on_gpu(own, named)]
    if models:
        found = [other for one in found for named in models for other in _of_model(one, named)]
    formats = [id for term in sentence.terms if (id := term.id("precisions"))]
    weights = [name for name in formats if name in constants().formats]
    if formats:
        kv = "KV" in sentence.text or "cache" in sentence.text.lower()
        readings = [replace(one, weight_format=name) for one in found for name in weights] or found
        if kv and "fp8" in formats:
            readings = [replace(one, kv_format="fp8") for one in found] + readings
        found = readings
    else:
        usable = [name for name in context.formats if name in constants().formats]
        found = [replace(one, weight_format=name) for one in found for name in usable]
    mentioned = [mention for place, _, mention in sentence.strategies if span[0] <= place < span[1]]
    mentioned = mentioned or [mention for _, _, mention in sentence.strategies]
    named_strategy = False
    others: list[Situation] = []
    for mention in mentioned:
        if min(n for _, n in mention.degrees) < 1:
            continue  # "TP0": no strategy
        ours = own.degrees is not None and all(getattr(own.degrees, which) == n for which, n in mention.degrees)
        if ours:
            continue
        named_strategy = True
        if own.own_hardware:
            others += [one.with_degrees(degrees) for one in found for degrees in _completed(mention.as_dict, context)]
    if named_strategy:
        found = others if len(mentioned) == 1 else [*found, *others]
    found = [*found, *(other for one in found for other in _all_gpus(one, context))]
    known = {one.key: context.interned.setdefault(one.key, one) for one in found}
    return About(tuple(known.values()), named_strategy, bool(formats))


_COMPARED_WITH = re.compile(
    r"(?:\b(?:than|compared (?:to|with)|against|versus|vs\.?|as|relative to|als|gegenüber|verglichen mit|wie|que|par rapport à"
    r"|comparée? à|face à|(?:of )?what)\s|\bqu['’]une?\s)(?:\w+\s){0,3}?$",
    re.IGNORECASE,
)


def without_compared(sentence: Sentence, place: int) -> Sentence:
    """The sentence without the GPUs that a figure before them is compared with: ``900 GB/s, half again as much as on an A100``."""
    kept = tuple(
        one for one in sentence.gpus
        if one.start < place or not _COMPARED_WITH.search(sentence.text[place : one.start])
    )  # fmt: skip
    return sentence if len(kept) == len(sentence.gpus) else replace(sentence, gpus=kept)


def _all_gpus(situation: Situation, context: Context) -> Iterator[Situation]:
    """The same with as many replicas as there is room for, where the report does not say how many there are."""
    degrees, proposed = situation.degrees, context.strategy
    if degrees is None or proposed is None or "dp" in proposed.named or not situation.own:
        return
    most = context.problem.hardware.gpus // (degrees.tp * degrees.pp)
    if most > degrees.dp:
        yield replace(situation, degrees=replace(degrees, dp=most))


def _near(named: tuple[Named, ...], span: tuple[int, int]) -> list[Named]:
    inside = [one for one in named if span[0] <= one.start < span[1]]
    return inside or list(named)


def on_gpu(own: Situation, named: Named) -> Iterator[Situation]:
    """The situation on the GPUs that a name may mean."""
    gpus = [one for one in named.facts if isinstance(one, GpuFacts)]
    if any(one.name == own.problem.hardware.gpu.name for one in gpus):
        yield own
        return
    for gpu in gpus:
        yield replace(own, gpu=gpu, own_hardware=False)


def _of_model(situation: Situation, named: Named) -> Iterator[Situation]:
    models = [one for one in named.facts if isinstance(one, ModelFacts)]
    own = situation.problem.model
    if (
        any(one.name == own.name or one.parameters == own.parameters for one in models)
        or own.name in named.text.lower()
    ):
        yield situation
        return
    for model in models:
        yield replace(situation, model=model, own_model=False, weight_format=model.native_weight_format)


def _completed(degrees: dict[str, int], context: Context) -> Iterator[Degrees]:
    """A strategy of which only some degrees are named, in the ways that it may be meant."""
    proposed = context.strategy
    total = context.problem.hardware.gpus
    tps = [degrees["tp"]] if "tp" in degrees else [proposed.tp] if proposed else [1]
    pps = [degrees["pp"]] if "pp" in degrees else sorted({1, proposed.pp if proposed else 1})
    for tp in tps:
        for pp in pps:
            dps = (
                [degrees["dp"]]
                if "dp" in degrees
                else sorted({1, max(1, total // (tp * pp)), proposed.dp if proposed else 1})
            )
            for dp in dps:
                yield Degrees(tp, pp, dp, degrees.get("ep", tp if proposed and proposed.ep > 1 else 1))
