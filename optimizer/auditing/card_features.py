"""Judges what a GPU has: number formats in hardware, and NVLink."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About, about
from optimizer.results.audit import Claim, Verdict

_NATIVE = re.compile(
    r"\b(?:native(?:ly)?|tensor[- ]?cores?|hardware support|in hardware|supports?|supported|compute|runs?"
    r"|accelerat\w+|accéléré\w*|beschleunigt|offers?|has|have|not available|unavailable|available|unterstützt|beherrscht|nativ|rechnet"
    r"|Hardware|Tensorkerne|prend en charge|gère|nativement|matériel|exécute|lacks?|without|knows?|calculates?|computes?"
    r"|kennt|kann|calcul\w*|sait"
    r"|connaît|cœurs? (?:tenseurs?|tensoriels?)|dispose)\b",
    re.IGNORECASE,
)

_LINK = re.compile(r"\bNVLink(?:s|ed)?\b|\bNVSwitch\b", re.IGNORECASE)

_IN_HARDWARE = re.compile(
    r"\b(?:natively|native|nativ|in hardware|in Hardware|nativement|tensor[- ]cores?|Tensorkerne\w*|cœurs? tensoriels?"
    r"|matrix[- ]?cores?)\b",
    re.IGNORECASE,
)

_OF_THE_CARD = re.compile(
    r"\W*(?:it|they|the (?:card|GPU|accelerator)s?|th[eo]se (?:cards|GPUs)|our (?:cards|GPUs)|die (?:Karten?|GPUs?)|sie|la carte"
    r"|les (?:cartes|GPU)|elles?)\s",
    re.IGNORECASE,
)

_THESE_CARDS = re.compile(
    r"\b(?:these|those|our|the|diesen?|unseren?|den|ces|nos|les)\s(?:cards|GPUs?|accelerators|Karten|GPUs|cartes)\b",
    re.IGNORECASE,
)

_CORES_OF = re.compile(
    r"\bFP8[- ](?:tensor[- ]?cores?|Tensorkerne)\b|\b(?:tensor[- ]?cores?|Tensorkerne\w*"
    r"|cœurs? (?:tenseurs?|tensoriels?)|matrix[- ]?cores?)\b[^.;]*\bFP8\b|\bFP8\b[^.;]*\b(?:matrix|tensor)[- ]?cores?\b"
    r"|\bFP8\b[^.;]*\b(?:in hardware|natively|in Hardware"
    r"|nativ\w*|nativement)\b",
    re.IGNORECASE,
)
"""Tensor cores are those of the report's cards where it names no others."""
_OF_STORAGE = re.compile(r"\b(?:weights?|memory|storage|cache|Gewichte|poids)\b", re.IGNORECASE)

_WITHOUT_HARDWARE = re.compile(
    r"\b(?:weight-only|emulat\w+|Marlin|dequant\w+|only stored|nur gespeichert)\b", re.IGNORECASE
)
"""Ways to use a format that the tensor cores do not have."""

_FORMAT_WORDS = {"fp8": "fp8", "int8": "int8", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4", "bf16": "bf16"}


_EMULATED = re.compile(
    r"\b(?P<format>FP8|INT8|FP4|NVFP4|MXFP4|BF16)\b[^,.;:]{0,40}?\b(?:(?:has|have|needs?|must|had) (?:to )?be (?:emulated|simulated)"
    r"|(?:is|are) (?:only |merely )?(?:emulated|simulated)|(?:wird|muss|müsste)\b[^,.;]{0,30}?\b(?:emuliert|simuliert)"
    r"|(?:est|doit être) (?:seulement )?(?:émulé|simulé)e?)\b",
    re.IGNORECASE,
)
"""What tensor cores do not compute in has to be emulated."""


def emulated(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """``FP8 has to be emulated on this generation``: of a GPU that computes in it, or not."""
    found = _EMULATED.search(sentence.text)
    if not found or sentence.models or len(sentence.gpus) > 1 or sentence.has("negation"):
        return
    if any(t.start < found.start() and t.id("hypothetical") for t in sentence.terms):
        return
    name = _FORMAT_WORDS[found["format"].lower()]
    meant = about(sentence, (0, len(sentence.text)), context, own)
    have = {name in one.gpu.dense_tflops for one in meant.situations}
    if len(have) != 1:
        return
    gpu, has = meant.situations[0].gpu, have.pop()
    listed = ", ".join(key.upper() for key in gpu.dense_tflops)
    reason = f"{gpu.name} computes in {listed}{'' if has else f', not in {name.upper()}'}."
    yield subject_claim(
        sentence, "refuted" if has else "confirmed", reason, gpu.name, f"compute in {name.upper()}", "has not", listed
    )


def formats_had(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    named = [(t, _FORMAT_WORDS[id]) for t in sentence.terms if (id := t.id("precisions")) in _FORMAT_WORDS]
    if len({name for _, name in named}) != 1 or len(sentence.gpus) > 1:
        return
    if not sentence.gpus and not (
        not sentence.models
        and (
            _CORES_OF.search(sentence.text)
            or (
                (_OF_THE_CARD.match(sentence.text) or _THESE_CARDS.search(sentence.text))
                and context.speaks_of_gpu(sentence.statement)
            )
        )
    ):
        return
    if sentence.gpus and not sentence.gpus[0].facts:
        return
    if (
        not _NATIVE.search(sentence.text)
        or any(m.dimension or not m.word for m in sentence.measures)
        or (
            any(t.id("hypothetical") and t.text.casefold() != "option" for t in sentence.terms)
            and not (sentence.gpus and _IN_HARDWARE.search(sentence.text))
        )
        or _WITHOUT_HARDWARE.search(sentence.text)
        or (_OF_STORAGE.search(sentence.text) and not _IN_HARDWARE.search(sentence.text))
    ):
        return
    _term, name = named[0]
    meant = about(sentence, (0, len(sentence.text)), context, own)
    have = {name in one.gpu.dense_tflops for one in meant.situations}
    if len(have) != 1:
        return
    has, gpu = have.pop(), meant.situations[0].gpu.name
    aside = _ASIDE.search(sentence.text, named[0][0].end)
    denied = sentence.has("negation", 0, aside.start() if aside else None)
    listed = ", ".join(key.upper() for key in meant.situations[0].gpu.dense_tflops)
    reason = f"{gpu} computes in {listed}{'' if has else f', not in {name.upper()}'}."
    yield subject_claim(
        sentence,
        "confirmed" if has != denied else "refuted",
        reason,
        gpu,
        f"compute in {name.upper()}",
        "has not" if denied else "has",
        listed,
    )


_ASIDE = re.compile(
    r",\s(?:which|that|though|although|but|die|das|den|was|aber|obwohl|qui|que|dont|mais|ce que)\b", re.IGNORECASE
)
"""Behind what a card can do: what is said besides, e.g. that it is not used."""
_NO_NVLINK = re.compile(
    r"\b(?:(?:cards?|GPUs?|[ABHL]\d{2,3}S?(?: SXM\d?)?|MI\d{3}X?|it|they)\s(?:have|has|offers?|come with|comes with)\sno NVLink"
    r"|(?:Karten?|GPUs?|[ABHL]\d{2,3}S?)\s(?:hat|haben)\skein NVLink|(?:n'a|n'ont) pas (?:de |d')?NVLink)\b(?!\s(?:bridge|switch"
    r"|between|across|zwischen|entre))",
    re.IGNORECASE,
)


def rates_had(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """``FP8 dense: 624 TFLOPS`` of a GPU that has no such rate."""
    named = {_FORMAT_WORDS[id] for t in sentence.terms if (id := t.id("precisions")) in _FORMAT_WORDS}
    rates = [m for m in sentence.measures if m.dimension == "FLOP/s"]
    if len(named) != 1 or len(rates) != 1 or len(sentence.gpus) > 1 or sentence.models:
        return
    kinds = ("negation",) if _IN_HARDWARE.search(sentence.text) else ("negation", "hypothetical", "other")
    if any(sentence.has(kind) for kind in kinds) or _WITHOUT_HARDWARE.search(sentence.text):
        return
    name = named.pop()
    meant = about(sentence, (0, len(sentence.text)), context, own)
    if not meant.situations or any(name in one.gpu.dense_tflops for one in meant.situations):
        return
    gpu = meant.situations[0].gpu
    listed = ", ".join(f"{key.upper()} {rate:g}" for key, rate in gpu.dense_tflops.items())
    reason = f"{gpu.name} does not compute in {name.upper()}; its dense TFLOPS are {listed}."
    yield subject_claim(
        sentence, "refuted", reason, gpu.name, f"compute in {name.upper()}", "has", listed, rates[0].text
    )


_DIRECT = re.compile(
    r"\b(?P<no>no|without(?: any)?|lack|keine?(?:rlei)?|ohne|pas de|aucune?|sans)\s(?:direct|fast|dedicated|direkte[nr]?|schnelle[nr]?|)\s?"
    r"(?:GPU-to-GPU |card-to-card )?(?:links?|connections?|interconnect|bridges?|Verbindung(?:en)?|liens?"
    r"|liaisons?)(?:\s(?:directe?s?))?\b",
    re.IGNORECASE,
)
_OVER_PCIE = re.compile(r"\b(?:PCIe|PCI Express|PCI-Express)\b")


def _direct_links(sentence: Sentence, meant: About) -> Iterator[Claim]:
    """``there are no direct links between the cards, everything crosses PCIe``."""
    named = re.search(r"\b(?:cards|GPUs|accelerators|Karten|cartes)\b", sentence.text) or sentence.gpus
    if not (
        _DIRECT.search(sentence.text)
        and named
        and (_OVER_PCIE.search(sentence.text) or "direct" in sentence.text.lower())
    ):
        return
    rates = [one.nvlink_gb_per_s for one in meant.situations]
    if (
        rates
        and len({bool(one) for one in rates}) == 1
        and not re.search(r"\b(?:servers|nodes|Knoten|nœuds|serveurs)\b", sentence.text)
    ):
        gpu, rate = meant.situations[0].gpu.name, rates[0]
        has = f"GPUs of {gpu} are linked directly, at {rate:g} GB/s each" if rate else f"{gpu} has no direct links"
        yield subject_claim(
            sentence, "refuted" if rate else "confirmed", has + ".", gpu, "direct links", "has not", f"{rate:g} GB/s"
        )


def links_had(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    if not sentence.has("hypothetical") and _DIRECT.search(sentence.text):
        yield from _direct_links(sentence, about(sentence, (0, len(sentence.text)), context, own))
    if not _LINK.search(sentence.text) or sentence.has("hypothetical"):
        return
    meant = about(sentence, (0, len(sentence.text)), context, own)
    if not meant.situations or (sentence.has("other") and re.search(r"\butili[sz]", sentence.text)):
        return
    denied = sentence.has("negation") or bool(
        re.search(
            r"\binstead of NVLink|rather than NVLink|statt NVLink|au lieu de NVLink", sentence.text, re.IGNORECASE
        )
    )
    if _NO_NVLINK.search(sentence.text) and all(one.nvlink_gb_per_s for one in meant.situations):
        gpu, rate = meant.situations[0].gpu.name, meant.situations[0].nvlink_gb_per_s
        yield subject_claim(
            sentence, "refuted", f"{gpu} has NVLink, {rate:g} GB/s.", gpu, "NVLink", "has not", f"{rate:g} GB/s"
        )
        return
    without = all(one.nvlink_gb_per_s == 0 for one in meant.situations)
    gpu = meant.situations[0].gpu.name
    if without:
        verdict: Verdict = "confirmed" if denied else "refuted"
        reason = f"{gpu} has no NVLink; its GPUs reach each other over PCIe."
        named = dict.fromkeys(found.group() for found in _LINK.finditer(sentence.text))
        for word in named:  # of several, each may stand beside another group of an inventory
            stated = word if len(named) > 1 else None
            yield subject_claim(
                sentence, verdict, reason, gpu, "NVLink", "has not" if denied else "has", "none", stated
            )
