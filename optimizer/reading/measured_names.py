"""From the names in a measurement file to facts: models, GPUs and number formats."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from optimizer.catalog import lookup as catalog
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.reading.files import read_mapping
from optimizer.reading.measurements import NATIVE, UnusableRow

# Parts of a checkpoint's name that change its weights or their format, not its architecture.
VARIANTS = re.compile(
    r"-((nvfp4|fp4|fp8)-v\d+|instruct|chat|it|base|hf|thinking|fp8|fp4|nvfp4|mxfp4|bf16|fp16|int8|int4|awq|gptq|w4a16|w8a8|dynamic|block|kv|"
    r"static|pertensor|per-tensor|preview|w-mxfp4-a-fp8|mxfp8|gguf|text|quantized|v0\.\d|\d{4}|a8|w8|w4|channelwise|fp8dynamic|float8)(?=-|$)"
)
CONFIG_SUFFIX = "_config.json"


def plain(name: str) -> str:
    """A model's name without organisation, variant and punctuation: ``llama3.1-70b`` and ``Llama-3.1-70B`` agree."""
    text = name.strip().lower().rsplit("/", 1)[-1].rsplit("--", 1)[-1].replace("_", "-")
    shorter = VARIANTS.sub("", text)
    return re.sub(r"[-\s]", "", (shorter or text).removeprefix("meta-"))


@cache
def _catalog_names() -> dict[str, str]:
    """Plain name → catalog name; full names first, so that no alias hides another model."""
    names: dict[str, str] = {}
    entries = {name: catalog.entry("models", name) for name in catalog.names("models")}
    for name, entry in entries.items():
        for spelling in (name, entry["huggingface_id"]):
            names.setdefault(plain(spelling), name)
    for name, entry in entries.items():
        for spelling in entry.get("aliases", ()):
            names.setdefault(plain(spelling), name)
    return names


class Models:
    """Models by the name a measurement gives: the catalog's, then those in a folder of ``org--model_config.json``."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise ProblemError("--models-dir", f"{folder} is not a folder")
        files = sorted(folder.glob(f"*{CONFIG_SUFFIX}")) if folder else []
        self._files = {
            plain(file.name.removesuffix(CONFIG_SUFFIX)): file
            for file in reversed(files)
            if not file.name.endswith("_quant" + CONFIG_SUFFIX)
        }
        self._found: dict[str, ModelFacts | str] = {}

    def find(self, name: str) -> ModelFacts:
        """Facts of a model.

        Raises:
            UnusableRow: neither the catalog nor the folder has it, or its config cannot be used.
        """
        if name not in self._found:
            self._found[name] = self._load(name)
        found = self._found[name]
        if isinstance(found, str):
            raise UnusableRow(found)
        return found

    def _load(self, name: str) -> ModelFacts | str:
        try:
            return catalog.model(name)
        except ProblemError:
            pass
        wanted = plain(name)
        try:
            if wanted in _catalog_names():
                return catalog.model(_catalog_names()[wanted])
            if wanted in self._files:
                return model_from_config(read_mapping(self._files[wanted], wanted), name=name)
        except ProblemError as error:
            return f"model {name!r} cannot be used: {error}"
        return f"model {name!r} is not in the catalog; give its config with --models-dir"


@cache
def find_gpu(system: str) -> GpuFacts:
    """Facts of a GPU by a system's name, e.g. ``h100_sxm``.

    Raises:
        UnusableRow: the catalog has no such GPU.
    """
    text = system.strip().lower().replace("_", "-").replace(" ", "-").removeprefix("nvidia-")
    # "NVL" names a rack of Grace Blackwell GPUs, but another card than the SXM module where Hopper is meant.
    suffix = r"-(sxm\d?|nvl\d*|server|hgx|dgx)$" if text.startswith(("gb", "b")) else r"-(sxm\d?|server|hgx|dgx)$"
    bare = re.sub(suffix, "", text)
    # Where the catalog has one card of a name, "PCIe" tells nothing more.
    for name in (system, text, bare, f"{bare}-sxm", text.removesuffix("-pcie")):
        try:
            return catalog.gpu(name)
        except ProblemError:
            continue
    raise UnusableRow(f"system {system!r} is not in the GPU catalog")


SIXTEEN_BIT = frozenset({"bf16", "fp16", "bfloat16", "float16", "half", "16bit", "w16a16"})
NATIVE_NAMES = frozenset({NATIVE, "auto", "default", "mixed"})


def weight_format(precision: str, model: ModelFacts) -> str:
    """The weight format of a run; gpt-oss is mxfp4 whatever the label (it is published in nothing else).

    Raises:
        UnusableRow: the precision is not known.
    """
    text = precision.replace("_", "-").replace(" ", "-")
    if model.native_weight_format == "mxfp4" and (text in SIXTEEN_BIT or text in {"fp8", "fp4"}):
        return "mxfp4"
    if text in NATIVE_NAMES:
        return model.native_weight_format
    if text in SIXTEEN_BIT:
        return model.native_dtype
    if "mxfp4" in text:
        return "mxfp4"
    if any(word in text for word in ("int4", "awq", "gptq", "w4a16", "w4a8", "w4afp8")):
        return "int4"
    if "fp4" in text:
        return "nvfp4"
    if any(word in text for word in ("fp8", "float8", "e4m3")):
        return "fp8"
    if any(word in text for word in ("int8", "w8a8", "smoothquant")):
        return "int8"
    raise UnusableRow(f"precision {precision!r} is not known; known: bf16, fp16, fp8, fp4, nvfp4, mxfp4, int8, int4")
