"""GPUs and models that a text names, by the names of the catalogs as people shorten them (``A100``, ``Llama-3.1-70B``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts

_GPU = re.compile(
    r"(?<![\w-])(?:GB[23]00|[ABHLV]\d{2,3}S?|T4|L4|MI\d{3}X?|(?:GeForce )?RTX[ -]?(?:PRO[ -]?)?[A-Z]?\d{4}(?: Ada)?|A[456]000"
    r"|A10G|Gaudi ?\d?|TPU ?v\d\w?)s?(?![\w])"
)
_FORM = re.compile(r"\b(?:SXM\d?|PCIe|NVL)\b", re.IGNORECASE)
_FORM_BEFORE = re.compile(r"\b(?:SXM|PCIe|NVL)(?=\d?[\s-]$)", re.IGNORECASE)
_FAMILY = (
    r"(?:meta-)?llama|mixtral|mistral(?:[- ](?:small|large|nemo))?|ministral|qwen|deepseek|gemma|falcon|phi"
    r"|kimi|glm|gpt-oss|gpt|minimax|nemotron"
    r"|yi|olmo|command-r|dbrx|jamba|grok|bloom|opt|vicuna"
)
_MODEL = re.compile(rf"(?<![\w-])(?P<name>(?:{_FAMILY})(?:[-\s]?[A-Za-z]*\d[\w.]*|-[A-Za-z]\w*)*)", re.IGNORECASE)
_SIZE = re.compile(
    r"(?<![\w.,-])(\d{1,4}(?:\.\d+)?)\s?-?(?:B|b|billion|Milliarden|milliards)[- ]?(?:parameter\s"
    r"|Parameter-)?(?:model|models|modell|Modell|class|variant|version|sibling)\b"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A GPU or model named in a text; ``facts`` None where the catalogs do not have it."""

    start: int
    end: int
    text: str
    facts: tuple[GpuFacts | ModelFacts, ...]


def gpus_named(text: str) -> list[Named]:
    """GPU types in a text, with every catalog entry that the name may mean."""
    found = []
    for match in _GPU.finditer(text):
        bare = re.sub(r"s$", "", match.group()) if not re.match(r"L40S$", match.group()) else match.group()
        after = text[match.end() : match.end() + 28]
        size = re.match(r"[\s-]*(?:SXM\d?|PCIe|NVL)?[\s-]*(\d{2,3})\s?(?:GB|Go)\b", after)
        form = _FORM.match(after.strip()[:5]) or _FORM_BEFORE.search(text[: match.start()])
        found.append(
            Named(
                match.start(), match.end(), match.group(), _gpus(bare, size[1] if size else "", form[0] if form else "")
            )
        )
    return found


@cache
def _gpus(name: str, size: str, form: str) -> tuple[GpuFacts, ...]:
    short = re.sub(r"[^a-z0-9]", "", name.lower())
    entries = [one for one in catalog.names("gpus") if one.split("-")[0] == short]
    if not entries and re.fullmatch(r"(?:rtx)?(?:pro)?\w?\d{4}(?:ada)?", short):
        full = short if short.startswith("rtx") else f"rtx{short}"
        entries = [one for one in catalog.names("gpus") if re.match(rf"{full}(?!\d)", one.replace("-", ""))]
        entries = entries or [
            one for one in catalog.names("gpus") if re.match(rf"{full}(?=\D|\d+gb)", one.replace("-", ""))
        ]
    if size:
        entries = [one for one in entries if f"-{size}gb" in one] or entries
    if form:
        entries = [one for one in entries if f"-{form.lower()[:3]}" in one] or entries
    return tuple(catalog.gpu(one) for one in entries)


def models_named(text: str) -> list[Named]:
    """Models in a text; a bare size ("a 7B model") is a model that is not known."""
    found = []
    for match in _MODEL.finditer(text):
        name = match["name"].rstrip(".-")
        if not re.search(r"\d", name) and name.casefold() not in ("mixtral", "gpt-oss"):
            continue
        found.append(Named(match.start(), match.start() + len(name), name, _models(name)))
    for match in _SIZE.finditer(text):
        found.append(Named(match.start(), match.end(), match.group(), ()))
    return found


@cache
def _models(name: str) -> tuple[ModelFacts, ...]:
    key = _key(name)
    close = [one for one in catalog.names("models") if _key(one) == key]
    close = close or [one for one in catalog.names("models") if key.startswith(_key(one)) or _key(one).startswith(key)]
    longest = [one for one in close if len(_key(one)) == max(len(_key(other)) for other in close)] if close else []
    found = []
    for one in longest if close and key.startswith(_key(longest[0])) else close[:3]:
        try:
            found.append(catalog.model(one))
        except (ProblemError, KeyError, ValueError):
            continue
    return tuple(found)


def _key(name: str) -> str:
    bare = re.sub(r"^(?:meta-)", "", name.lower())
    bare = re.sub(r"-(?:instruct|chat|base|it|hf)\b.*$", "", bare)
    return re.sub(r"[^a-z0-9.]", "", bare)
