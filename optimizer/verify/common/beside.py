"""What an engine takes of a GPU beside weights and cache, in whole bytes. Section 2 of ``docs/model.md``.

Other home: ``costs/memory.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from optimizer.engines.memory import overhead_on
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil, exact
from optimizer.verify.common.groups import Group

MEBIBYTE = 2**20
TOKENS_OF_EXPERTS = 32 * 1024
"""Routed experts work on no more tokens at a time."""
WORKSPACE_FORMATS = ("fp16", "bf16", "int8", "fp8")
"""Formats of experts whose kernels keep workspaces."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Bytes of one GPU."""

    engine: int
    """Its own parts, and the tables of rotary positions."""
    communication: int
    """Where several GPUs work together."""
    forward: int
    """Activations of the largest prefill step."""
    sampling: int
    """On the last stage. Paged: what sampling takes beyond ``forward``; else logits of one slot."""


def beside_of(problem: Problem, group: Group, sampled: int | None = None) -> Beside:
    """All parts, for one strategy's group of GPUs; ``sampled``: sequences of the profiling run, if not the problem's own."""
    known, paged = overhead_on(problem), problem.search.kv_reservation == "paged"
    counted = known.non_torch.value
    for name, figure in (("context", known.context), ("cuda_graphs", known.cuda_graphs)):
        counted += figure.value if name in known.counts else 0
    position = problem.model.rotary_value_bytes if problem.model.rotary_value_bytes else known.rotary_bytes
    engine = counted * MEBIBYTE + problem.model.rotary_values * position
    together = known.communication.value * MEBIBYTE if "communication" in known.counts else 0
    if not known.stages_communicate and group.tensor == group.ranks == 1:
        together = 0
    logits = problem.model.vocabulary * exact(known.sampling_bytes)
    if known.activations_mib is not None:
        measured = known.activations_mib * MEBIBYTE
        return Beside(engine, together, measured, 0 if paged else ceil(logits))
    tokens = problem.search.max_num_batched_tokens
    language = tokens * 2 * (3 * problem.model.hidden_size + _widest(problem, group))
    images, results = _images(problem, group) if known.profiles_towers else (Fraction(0), 0)
    forward = ceil(max(language, images) + results)
    if not paged:
        return Beside(engine, together, forward, ceil(logits))
    if not known.samples_chunks and problem.max_sequence_tokens > tokens:
        return Beside(engine, together, forward, 0)  # prompts in chunks: the run of older versions samples none
    left = Fraction(2 * tokens * problem.model.hidden_size + results)
    if known.keeps_expert_copies:
        left += _expert_workspaces(problem, group)
    run = ceil(min(sampled or sequences_sampled(problem), tokens) * logits + left)
    return Beside(engine, together, forward, run - forward if run > forward else 0)


def _expert_workspaces(problem: Problem, group: Group) -> Fraction:
    """Bytes that kernels of wide experts keep between layers: one workspace for what goes in and up, one for what comes between and out."""
    model = problem.model
    if not model.experts or model.expert_format not in WORKSPACE_FORMATS:
        return Fraction(0)
    tokens = min(group.ranks * problem.search.max_num_batched_tokens, TOKENS_OF_EXPERTS)
    copies = tokens * max(kind.experts_per_token for kind in model.kinds)
    cut = group.slicing * (group.tensor if group.expert == 1 else 1)
    inner, outer = Fraction(model.expert_ffn_width, cut), Fraction(model.hidden_size)
    return copies * 2 * (max(outer, inner + inner) + max(outer, inner))


def _images(problem: Problem, group: Group) -> tuple[Fraction, int]:
    """(what the vision tower takes of a GPU in the profiling run, what it hands to the language model); nothing without a known run."""
    run = problem.model.tower_run
    if run is None:
        return Fraction(0), 0
    fit = problem.search.max_num_batched_tokens // run.item_tokens
    count = fit if fit > 1 else 1
    patches, tokens = count * run.item_patches, count * run.item_tokens
    held = patches * run.patch_values + Fraction(patches * run.patch_values_cut, group.tensor)
    return 2 * held, 2 * tokens * run.token_values


def sequences_sampled(problem: Problem) -> int:
    """Sequences that a profiling run samples: as many as the engine may run at once."""
    if "max_batch" not in problem.search.disabled_rules:
        return problem.max_batch
    stated = problem.requirements.max_batch
    return max(512, problem.max_batch if stated is None else 2 * stated)


def tokens_in_flight(problem: Problem) -> int:
    """Tokens of steps that are not done, for which an engine asks room when it starts; 0 where cache is reserved in full."""
    if problem.search.kv_reservation == "full":
        return 0
    return overhead_on(problem).steps_in_flight * problem.search.max_num_batched_tokens


def _widest(problem: Problem, group: Group) -> Fraction:
    """Values per token of the widest intermediate result on one GPU."""
    model, t = problem.model, group.tensor
    keys = 0 if model.mla else 2 * model.kv_heads
    widths = [Fraction((model.attention_heads + keys) * model.head_dim, t)]
    widths += [Fraction(3 * width, t) for width in model.ffn_widths]
    widths += [Fraction(kind.worked_values_per_token) / t for kind in model.kinds if kind.worked_values_per_token]
    each = problem.search.max_num_batched_tokens
    together = each * group.ranks
    for chosen in {kind.experts_per_token for kind in model.kinds if kind.experts}:
        own = Fraction(model.expert_ffn_width, group.slicing * (t if group.expert == 1 else 1))
        worked = min(together, TOKENS_OF_EXPERTS) * chosen * (max(Fraction(model.hidden_size), 2 * own) + own)
        exchanged = 2 * together * model.hidden_size if group.ranks > 1 else 0
        widths.append((worked + exchanged) / each)
    return max(widths)
