"""Section 8: every row of degrees, formats and layers that the search may choose from.

Other home: ``search/uniform/space.py``; docs/model.md, section 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from optimizer.engines.kernels import kernels_of
from optimizer.engines.registry import engine_of
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.verify.common.groups import Group, ReplicaShape, Row
from optimizer.verify.common.kernels import lacks
from optimizer.verify.common.load import chain_length

_DEFAULT_STAGES = (*range(1, 9), 10, 12, 16)


def most_slots(problem: Problem, fixed: Fixed) -> int:
    """N of section 8: the largest max_num_seqs considered."""
    return max(chain_length(problem), fixed.max_num_seqs or 0)


def shapes_offered(problem: Problem, fixed: Fixed) -> Iterator[ReplicaShape]:
    """Every shape once, fewest stages first."""
    groups = dict.fromkeys(
        group for tensor in tensor_offered(problem, fixed) for group in groups_offered(problem, fixed, tensor)
    )
    for layers in dict.fromkeys(_splits_offered(problem, fixed)):
        for group in groups:
            yield ReplicaShape(group, layers)


def groups_offered(problem: Problem, fixed: Fixed, tensor: int) -> Iterator[Group]:
    """Groups of a TP degree: how experts and contexts are shared, in which formats."""
    formats = list(formats_offered(problem, fixed))
    shared = {kv: contexts_offered(problem, fixed, tensor, kv) for _, kv in formats}
    for expert in experts_offered(problem, fixed, tensor):
        for slicing in slicing_offered(problem, fixed, tensor, expert):
            for weight, kv in formats:
                for contexts in shared[kv]:
                    yield Group(tensor, expert, weight, kv, slicing, contexts)


def rows(problem: Problem, fixed: Fixed) -> Iterator[Row]:
    """Every row once, fewest stages first."""
    for shape in shapes_offered(problem, fixed):
        for replicas in replicas_offered(problem, fixed, shape):
            yield Row(shape, replicas)


def count_rows(problem: Problem, fixed: Fixed) -> int:
    """How many rows there are."""
    return sum(len(replicas_offered(problem, fixed, shape)) for shape in shapes_offered(problem, fixed))


def splits(layers: int, stages: int, imbalance: int) -> Iterator[tuple[int, ...]]:
    """The layer splits of section 1."""
    each, over = divmod(layers, stages)
    if stages == 1:
        yield (layers,)
        return
    if stages > layers or (imbalance == 0 and over):
        yield tuple(each + (s < over) for s in range(stages))
        return
    low, high = max(1, each - imbalance), each + (over > 0) + imbalance
    for first in range(low, high + 1):
        for last in range(low, high + 1):
            rest, middle = layers - first - last, stages - 2
            if middle == 0:
                if rest == 0 and first >= last:
                    yield first, last
                continue
            share, more = divmod(rest, middle)
            if low <= share and max(first, last) <= share + (more > 0) <= high:
                yield (first, *(share + (s < more) for s in range(middle)), last)


def _splits_offered(problem: Problem, fixed: Fixed) -> Iterator[tuple[int, ...]]:
    layers = problem.model.layers
    if fixed.layers_per_stage is not None:
        if fixed.pipeline_parallel in (None, len(fixed.layers_per_stage)):
            yield fixed.layers_per_stage
        return
    for stages in stages_offered(problem, fixed):
        yield from splits(layers, stages, problem.search.layer_imbalance)


def stages_offered(problem: Problem, fixed: Fixed) -> list[int]:
    """PP degrees, fewest first."""
    offered: Iterable[int] = problem.search.pipeline_parallel or [
        p for p in _DEFAULT_STAGES if p <= problem.model.layers
    ]
    if fixed.layers_per_stage is not None:
        offered = (len(fixed.layers_per_stage),)
    if fixed.pipeline_parallel is not None:
        offered = (fixed.pipeline_parallel,)
    return sorted(set(offered))


def tensor_offered(problem: Problem, fixed: Fixed) -> Iterable[int]:
    """TP degrees."""
    if fixed.tensor_parallel is not None:
        return (fixed.tensor_parallel,)
    if problem.search.tensor_parallel is not None:
        return problem.search.tensor_parallel
    heads = problem.model.attention_heads
    largest = max(8, problem.hardware.nvlink_domain_gpus)
    return [t for t in range(1, min(heads, largest) + 1) if heads % t == 0]


def replicas_offered(problem: Problem, fixed: Fixed, shape: ReplicaShape) -> Sequence[int]:
    """Numbers of replicas of a shape, ascending: whole engine instances on the GPUs there are."""
    ranks = shape.group.ranks
    chosen = fixed.expert_slice_ranks is not None or (fixed.expert_parallel is not None and shape.group.slicing == 1)
    if fixed.data_parallel is not None:
        return (fixed.data_parallel,) if chosen or fixed.data_parallel % ranks == 0 else ()
    most = problem.hardware.gpus // (shape.group.tensor * shape.stages)
    offered = problem.search.data_parallel
    fitting: Sequence[int] = range(1, most + 1) if offered is None else [d for d in sorted(set(offered)) if d <= most]
    kept: Sequence[int] = range(ranks, most + 1, ranks)
    if offered is not None:
        kept = [d for d in fitting if d % ranks == 0]
    if kept or (ranks > 1 and not chosen):
        return kept
    # A person who fixes degrees is told what is wrong with them.
    bound = fixed.tensor_parallel or fixed.pipeline_parallel or fixed.layers_per_stage
    return (fitting if chosen else kept) or ((1,) if bound else ())


def experts_offered(problem: Problem, fixed: Fixed, tensor: int) -> Iterable[int]:
    """EP degrees at a TP degree: groups inside or across replicas that hold whole experts."""
    if fixed.expert_parallel is not None:
        return (fixed.expert_parallel,)
    experts = problem.model.experts
    if not experts or problem.search.expert_parallel == "off":
        return (1,)
    if problem.search.expert_parallel == "replica":
        return (1, tensor)
    known = engine_of(problem.engine)
    inside = [ep for ep in range(2, tensor) if tensor % ep == 0 and experts % ep == 0 and known.experts_inside_tp]
    largest = experts if tensor == 1 or known.experts_across == "any" else tensor
    across = [ep for ep in range(tensor, largest + 1, tensor) if experts % ep == 0]
    return (1, tensor, *inside, *across)


def slicing_offered(problem: Problem, fixed: Fixed, tensor: int, expert: int) -> Iterable[int]:
    """Replicas that may slice every expert among them, where an engine of several holds none whole."""
    if fixed.expert_slice_ranks is not None:
        return (fixed.expert_slice_ranks,)
    width = problem.model.expert_ffn_width
    if problem.search.expert_parallel != "any" or expert > 1 or not problem.model.experts:
        return (1,)
    if engine_of(problem.engine).experts_across != "any":
        return (1,)
    several = range(2, problem.hardware.gpus // tensor + 1)
    return (1, *(ranks for ranks in several if width % (ranks * tensor) == 0))


def contexts_offered(problem: Problem, fixed: Fixed, tensor: int, kv: str) -> Sequence[int]:
    """Tensor-parallel ranks that may share the tokens of a sequence's cache."""
    wanted: Sequence[int] | None = problem.search.decode_context_parallel
    if fixed.decode_context_parallel is not None:
        wanted = (fixed.decode_context_parallel,)
    return [n for n in range(1, tensor + 1) if (wanted is None or n in wanted) and contexts_run(problem, tensor, kv, n)]


def contexts_run(problem: Problem, tensor: int, kv: str, ranks: int) -> bool:
    """Whether so many ranks may share contexts: the engine's rules, read as data and judged here anew."""
    if ranks == 1:
        return True
    model, known = problem.model, kernels_of(problem.engine).context_parallel
    if tensor % ranks or known is None or problem.workload.guessed:
        return False
    for kind in model.kinds:
        states = kind.state_values_per_sequence, kind.state_values_replicated, kind.unread_bytes_per_sequence
        if kind.window_tokens or kind.bytes_per_token_in_flight or any(states):
            return False
    if lacks(problem.hardware.gpu, known.gpus):
        return False
    if model.mla:
        return kv in known.latent_caches
    heads = {kind.kv_heads or model.kv_heads for kind in model.kinds}
    if len(heads) != 1 or kv not in known.head_caches:
        return False
    (count,) = heads
    return tensor % count == 0 and count * ranks <= tensor and model.attention_heads // count % ranks == 0


def formats_offered(problem: Problem, fixed: Fixed) -> Iterator[tuple[str, str]]:
    """(weight format, KV format)."""
    weights: tuple[str, ...] = problem.search.weight_precision or (problem.model.native_weight_format,)
    caches: tuple[str, ...] = problem.search.kv_precision or (problem.model.native_kv_format,)
    if fixed.weight_precision is not None:
        weights = (fixed.weight_precision,)
    if fixed.kv_precision is not None:
        caches = (fixed.kv_precision,)
    for weight in weights:
        for cache in caches:
            yield weight, cache
