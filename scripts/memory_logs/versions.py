"""Which version of an engine a log is of, and what that version takes where nothing is said.

Sources: ``EngineArgs`` of the versions (``vllm/engine/arg_utils.py``) and ``vllm/config.py``; numbers of issues by the version that was
current when they were filed (https://github.com/vllm-project/vllm/releases).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LARGE_GPU_MIB = 70 * 1024
LARGEST_GPU_MIB = 160 * 1024
LARGEST_FROM = (0, 28)
"""Version since which a server on the largest GPUs works on 16,384 tokens a step (vLLM pull request 51726)."""
ISSUES = (
    (2600, "0.2.7"),
    (5000, "0.3.3"),
    (6900, "0.5.3"),
    (9000, "0.6.1"),
    (11500, "0.6.4"),
    (14000, "0.7.2"),
    (16200, "0.8.3"),
    (18500, "0.8.5"),
    (24500, "0.10.0"),
    (30000, "0.11.0"),
    (34000, "0.14.0"),
    (38000, "0.18.0"),
    (45000, "0.22.0"),
    (50000, "0.25.0"),
    (54000, "0.28.0"),
)
RECIPES = ((60, "0.10.0"), (250, "0.11.0"), (330, "0.15.0"), (420, "0.20.0"), (700, "0.23.0"), (850, "0.26.0"))
"""The same of https://github.com/vllm-project/recipes."""
UNNAMED = "0.25.0"
"""Where neither the note nor an issue's number tells the version: the middle of what ran while most logs were written, the last that asks
room for one step in flight."""
UNNAMED_V0 = "0.6.3"
NEWEST = "0.32.0"
CHUNKED_FROM = 32768
"""Longest sequence above which vLLM 0 cuts prompts into chunks by itself."""


@dataclass(frozen=True)
class Defaults:
    """max_num_seqs and max_num_batched_tokens."""

    sequences: int
    tokens: int


def version_of(engine: str, source: str, note: str) -> str:
    """The version that a note names, else the one that was current when the issue was filed."""
    if engine == "sglang":
        return "0.5.0"
    said = re.search(r"\bV[01][ ,]+(?:dev )?(\d+\.\d+(?:\.\d+)?)", note) or re.search(
        r"\bvLLM (\d+\.\d+(?:\.\d+)?)", note
    )
    if said:
        return "0.7.3" if re.search(r"\bV0\b", note) and _parts(said.group(1)) >= (0, 8) else said.group(1)
    issue = re.search(r"vllm-project/(vllm|recipes)#(\d+)", source)
    if not issue:
        return UNNAMED_V0 if re.search(r"\bV0\b", note) else UNNAMED
    number = int(issue.group(2))
    version = next((name for most, name in (ISSUES if issue.group(1) == "vllm" else RECIPES) if number < most), NEWEST)
    if re.search(r"\bV1\b", note) and _parts(version) < (0, 8):
        return "0.8.0"
    if re.search(r"\bV0\b", note) and _parts(version) >= (0, 8):
        return "0.7.3"
    return version


def defaults_of(
    engine: str, version: str, memory_mib: int, gpu: str, longest: int, note: str, latent: bool, first_v1: bool = False
) -> Defaults:
    """What the engine takes where nothing is said.

    Args:
        longest: max_model_len, the model's context where a case does not know it.
        latent: the model has latent attention, whose prompts vLLM 0 never cut.
        first_v1: vLLM 1 before 0.8, whose defaults were still those of vLLM 0.
    """
    stated = re.search(r"max-model-len (\d+)", note)
    longest = int(stated.group(1)) if stated else longest
    large = _large(version, gpu.lower(), memory_mib)
    said = re.search(r"(?:max[-_]num[-_])?batched[-_ ]tokens[ =]+(\d+)", note) or re.search(
        r"chunked[-_]prefill[-_]size[ =]+(\d+)", note
    )
    run = re.search(r"max[-_](?:num[-_]seqs|running[-_]requests)[ =]+(\d+)", note)
    usual = _usual(engine, version, large, longest, latent, "LLM class" in note, first_v1)
    if engine == "vllm" and memory_mib >= LARGEST_GPU_MIB and _parts(version) >= LARGEST_FROM:
        usual = Defaults(usual.sequences, 16384)
    return Defaults(int(run.group(1)) if run else usual.sequences, int(said.group(1)) if said else usual.tokens)


def _large(version: str, gpu: str, memory_mib: int) -> bool:
    """Whether a version takes its larger defaults on a GPU: up to 0.8.4 by its name, in 0.8.5 by its memory, since then not on A100."""
    here = _parts(version)
    if (0, 8) <= here < (0, 8, 5):
        return "h100" in gpu or "h200" in gpu
    return memory_mib >= LARGE_GPU_MIB and (here[:3] == (0, 8, 5) or "a100" not in gpu)


def _usual(
    engine: str, version: str, large: bool, longest: int, latent: bool, library: bool, first_v1: bool
) -> Defaults:
    if engine == "sglang":
        return Defaults(2048, 8192 if large else 2048)
    here = _parts(version)
    if here < (0, 8):
        chunked = longest > CHUNKED_FROM and here >= (0, 5) and not (latent and here < (0, 7, 3))
        return Defaults(256, max(2048, longest) if not chunked else 512 if here < (0, 6, 6) else 2048)
    if first_v1:
        return Defaults(256, 8192 if library else 2048)
    tokens = (16384 if library else 8192) if large else (8192 if library else 2048)
    return Defaults(1024 if large or here < (0, 8, 4) else 256, tokens)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def before_v1_defaults(source: str, note: str) -> bool:
    """Whether a log is of vLLM 1 from before 0.8, when it was an option of 0.6 and 0.7."""
    issue = re.search(r"vllm-project/vllm#(\d+)", source)
    early = issue is not None and int(issue.group(1)) < ISSUES[5][0]
    return early and bool(re.search(r"\bV1\b", note)) and not re.search(r"\bV1[ ,]+(?:dev )?0\.[89]", note)
