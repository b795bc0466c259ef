"""What a GPU of each stage holds, term by term. ``docs/model.md``, section 2."""

from __future__ import annotations

import numpy as np

from optimizer.costs.memory import EXPERT_CHUNK, WIDE, engine_bytes, memory_budget_bytes, most_sequences
from optimizer.costs.occupancy import in_flight
from optimizer.costs.parameters import KV_BYTES, VOCABULARY_PADDING
from optimizer.engines.memory import overhead_on
from optimizer.explain.common.numbers import count as counted
from optimizer.facts.hardware import MIB
from optimizer.facts.workload import KV_BLOCK_TOKENS
from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import byte, number, total
from optimizer.reporting.subject import Subject

MODEL = "docs/model.md, section 2"
TERMS = ("weights", "KV cache", "activations", "logits", "communication buffers", "engine")


def derive_memory(subject: Subject) -> dict[int, Figure]:
    """The memory of a GPU of every stage (figures by stage number), its budget and the share that is used."""
    _layers(subject)
    _shared_terms(subject)
    of_stage: dict[int, Figure] = {}
    for column, stages in subject.stage_classes.items():
        figure = _stage(subject, column, stages)
        of_stage.update(dict.fromkeys(stages, figure))
    _fullest(subject)
    return of_stage


def _layers(subject: Subject) -> None:
    """Weights, parameters and KV cache of one layer of each kind on one GPU."""
    ledger, model, shape, arrays = subject.ledger, subject.model, subject.shape, subject.analytic.arrays
    published = shape.weight_format == model.native_weight_format
    block = KV_BLOCK_TOKENS
    kept = -(-subject.problem.max_sequence_tokens // block) * block
    for k, kind in enumerate(model.kinds):
        name = f" of kind {k + 1}" if len(model.kinds) > 1 else ""
        linear = float(arrays.linear_parameters[0, k])
        every = kind.kv_heads or model.kv_heads
        heads = max(1, -(-every // shape.tp))
        ledger.derive(
            f"linear-{k}",
            f"Parameters of the matrix products of one layer{name} on one GPU, experts apart",
            "sharded / TP + key and value × KV heads per GPU / KV heads + replicated",
            f"{number(kind.sharded_parameters)} / {shape.tp} + {number(kind.key_value_parameters)} × {heads} / "
            f"{every} + {number(kind.replicated_parameters)}",
            linear,
            "parameters",
            text=f"{linear:,.0f}",
            note=f"{MODEL}; parameter groups: optimizer/facts/model.py",
        )
        parts = [byte(float(arrays.linear_bytes[0, k]))]
        if published and kind.sharded_bytes + kind.key_value_bytes + kind.replicated_bytes:
            stored = f"{byte(kind.sharded_bytes)} / {shape.tp} + {byte(kind.key_value_bytes)} × {heads} / {every}"
            parts = [f"({stored} + {byte(kind.replicated_bytes)})"]
        if kind.unquantized_parameters:
            parts.append(f"{number(kind.unquantized_parameters)} × 2 B")
        if kind.experts:
            loaded = float(arrays.loaded_expert_bytes[0, k])
            parts.append(f"{byte(loaded)} × {kind.experts} / {int(subject.analytic.table.expert_gpus[0])}")
        beyond = int(arrays.beyond_bytes[0, k])
        if beyond:
            parts.append(byte(beyond))
        ledger.derive(
            f"layer-{k}",
            f"Weights of one layer{name} on one GPU",
            "bytes of the matrices on one GPU + 16-bit parameters × 2 + bytes of an expert × experts / GPUs that share them"
            + (" + what the engine holds beyond them" if beyond else ""),
            total(parts),
            float(arrays.resident_bytes[0, k]),
            "B",
            note=f"{MODEL}; "
            + (
                "as the checkpoint stores them, scales included"
                if published
                else f"bytes each in {shape.weight_format}: formats in optimizer/catalog/data/constants.yaml"
            ),
            inputs=(f"linear-{k}",),
        )
        per_head, latent = kind.kv_values_per_token_per_kv_head, kind.kv_values_per_token_replicated
        token, index = float(arrays.kv_bytes_per_token[0, k]), kind.index_bytes_per_token
        ledger.derive(
            f"kv-token-{k}",
            f"KV cache of one token in one layer{name} on one GPU",
            "(values per KV head × KV heads per GPU + values every GPU keeps) × bytes per value"
            + (" + index key" if kind.index_bytes_per_token else ""),
            f"({per_head} × {heads} + {latent}) × {KV_BYTES[shape.kv_format]} B" + (f" + {index} B" if index else "")
            if shape.dcp == 1
            else f"ceil((({per_head} × {heads} + {latent}) × {KV_BYTES[shape.kv_format]} + {index}) / {shape.dcp}) × 1 B",
            token,
            "B",
            note=MODEL,
        )
        window = kind.window_tokens
        if window:
            window += in_flight(subject.problem)
        held = f"ceil({number(subject.problem.max_sequence_tokens)} / {block}) × {block}"
        if window:
            held = f"min({held}, ceil({window} / {block}) × {block} + {block})"
        tokens = min(kept, -(-window // block) * block + block) if window else kept
        state = float(arrays.state_bytes[0, k])
        uneven = f" + {block} × ({shape.dcp} − 1) × {byte(token)}" if shape.dcp > 1 else ""
        ledger.derive(
            f"kv-sequence-{k}",
            f"KV cache of one sequence of full length in one layer{name} on one GPU",
            "bytes per token × tokens kept, in blocks of 16 tokens" + (" + state" if state else ""),
            f"{byte(token)} × {held}" + (f" + {byte(state)}" if state else "") + uneven,
            token * (tokens + block * (shape.dcp - 1)) + state,
            "B",
            note=f"{MODEL}; longest sequence: requirements.max_sequence_tokens, else the model's context",
            inputs=(f"kv-token-{k}",),
        )


def _shared_terms(subject: Subject) -> None:
    """What does not depend on the layers of a stage."""
    ledger, model, shape = subject.ledger, subject.model, subject.shape
    pad, table = VOCABULARY_PADDING, float(subject.analytic.arrays.embedding_bytes[0])
    padded = -(-model.vocabulary // pad) * pad
    ledger.derive(
        "embedding",
        "Embedding or output head on one GPU",
        "padded vocabulary × bytes of a row / TP",
        f"ceil({number(model.vocabulary)} / {pad}) × {pad} × {byte(table * shape.tp / padded)} / {shape.tp}",
        table,
        "B",
        note=MODEL,
    )
    memory = subject.analytic.memory()
    column = next(iter(subject.stage_classes))
    _activations(subject, int(memory.activations[0, column]))
    _sampling(subject, int(memory.logits(subject.strategy.max_num_seqs).max()), int(memory.activations[0, column]))
    known = overhead_on(subject.problem)
    shared = int(memory.communication[0, column])
    beside = "none: the GPU works alone" if subject.instance_gpus == 1 else "none: it stands before the engine measures"
    ledger.given(
        "communication buffers",
        "Communication buffers of one GPU",
        shared,
        "B",
        "communication_mib of the engine" if shared else beside,
    )
    ledger.given(
        "engine",
        "Engine: what counts against its share of memory beside activations (libraries' workspaces, CUDA graphs, tables of positions)",
        engine_bytes(subject.problem),
        "B",
        known.measured or f"optimizer/engines/data/memory/{subject.problem.engine}.yaml",
    )


def _activations(subject: Subject, found: int) -> None:
    """The forward pass of the largest step."""
    stated, budget = overhead_on(subject.problem).activations_mib, subject.problem.search.max_num_batched_tokens
    if stated is not None:
        subject.ledger.given("activations", "Peak of activations and sampling", found, "B", "engine_overhead")
        return
    formula = "token budget of a step × 2 bytes × (3 × hidden size + the widest intermediate result)"
    step = f"{number(budget)} tokens × 2 B × (3 × {number(subject.model.hidden_size)} + {_widest(subject)})"
    tower, results = _images(subject)
    if tower:
        formula = f"max({formula}, the vision tower on the largest images) + its results"
        step = f"max({step}, {tower}) + {results}"
    subject.ledger.derive(
        "activations",
        "Activations of one engine step on one GPU",
        formula,
        step,
        found,
        "B",
        note=f"{MODEL}; token budget: search.max_num_batched_tokens",
    )


def _sampling(subject: Subject, found: int, activations: int) -> None:
    """Logits of the sequences, or what sampling them takes beyond the forward pass."""
    known, problem, model = overhead_on(subject.problem), subject.problem, subject.model
    each = f"{number(model.vocabulary)} × {byte(known.sampling_bytes)}"
    if not problem.paged:
        subject.ledger.derive(
            "logits",
            "Logits of all sequences, on GPUs of the last stage",
            "sequences × vocabulary × bytes per logit",
            f"{counted(subject.strategy.max_num_seqs, 'sequence')} × {each}",
            found,
            "B",
            note=f"{MODEL}; sampling_bytes of the engine",
        )
        return
    if known.activations_mib is not None:
        subject.ledger.given("logits", "Sampling beyond the activations", found, "B", "in the measured peak")
        return
    budget = problem.search.max_num_batched_tokens
    sequences = counted(min(most_sequences(problem), budget), "sequence")
    hidden = f"{number(budget)} tokens × 2 B × {number(model.hidden_size)}"
    results = _images(subject)[1]
    hidden += f" + {results}" if results else ""
    copies = _expert_copies(subject) if known.keeps_expert_copies else ""
    hidden += f" + {copies}" if copies else ""
    beside = "hidden states + workspaces of experts" if copies else "hidden states"
    subject.ledger.derive(
        "logits",
        "Sampling of the most sequences allowed beyond the activations, on GPUs of the last stage",
        f"max(0, sequences × vocabulary × bytes per logit + {beside} − activations)",
        f"max(0 B, {sequences} × {each} + {hidden} − {byte(activations)})",
        found,
        "B",
        note=f"{MODEL}; sampling_bytes of the engine; an engine's profiling run samples the most sequences allowed",
    )


def _images(subject: Subject) -> tuple[str, str]:
    """(what a vision tower takes in the profiling run, its results) as arithmetic; nothing where none is profiled."""
    run = subject.model.tower_run
    if run is None or not overhead_on(subject.problem).profiles_towers:
        return "", ""
    items = max(1, subject.problem.search.max_num_batched_tokens // run.item_tokens)
    values = f"({number(run.patch_values)} + {number(run.patch_values_cut)} / {subject.shape.tp})"
    tower = f"{number(items)} × {number(run.item_patches)} × 2 B × {values}"
    return tower, f"{number(items)} × {number(run.item_tokens)} × 2 B × {number(run.token_values)}"


def _expert_copies(subject: Subject) -> str:
    """What experts of 8 or 16 bits keep of the tokens they work on, as arithmetic; nothing where they keep nothing."""
    model = subject.model
    if not model.experts or model.expert_format not in WIDE:
        return ""
    per_token = max(kind.experts_per_token for kind in model.kinds)
    cut = (1 if subject.shape.ep > 1 else subject.shape.tp) * subject.shape.slice_ranks
    hidden, width = number(model.hidden_size), f"{number(model.expert_ffn_width)} / {cut}"
    tokens = min(subject.problem.search.max_num_batched_tokens * subject.shape.engine_ranks, EXPERT_CHUNK)
    return f"{number(tokens)} × {per_token} × 2 B × (max({hidden}, 2 × {width}) + max({hidden}, {width}))"


def _widest(subject: Subject) -> str:
    """The widest intermediate result, values per token, as arithmetic."""
    model, tp, ep = subject.model, subject.shape.tp, subject.shape.ep
    kv = 0 if model.mla else model.kv_heads
    options = [f"({model.attention_heads} + 2 × {kv}) × {model.head_dim} / {tp}"]
    options += [f"3 × {number(width)} / {tp}" for width in model.ffn_widths]
    options += [
        f"{number(width)} / {tp}" for width in sorted({kind.worked_values_per_token for kind in model.kinds} - {0})
    ]
    if model.experts:
        per_token = max(kind.experts_per_token for kind in model.kinds)
        width = f"{number(model.expert_ffn_width)} / {(1 if ep > 1 else tp) * subject.shape.slice_ranks}"
        copy = f"(max({number(model.hidden_size)}, 2 × {width}) + {width})"
        budget, ranks = subject.problem.search.max_num_batched_tokens, subject.shape.engine_ranks
        if ranks == 1 and budget <= EXPERT_CHUNK:
            options.append(f"{per_token} × {copy}")
        else:
            gathered = f"{number(budget * ranks)}"
            arrived = f" + 2 × {gathered} × {number(model.hidden_size)}" if ranks > 1 else ""
            options.append(
                f"(min({gathered}, {number(EXPERT_CHUNK)}) × {per_token} × {copy}{arrived}) / {number(budget)}"
            )
    return f"max({', '.join(options)})" if len(options) > 1 else options[0]


def layer_counts(subject: Subject, column: int) -> list[tuple[int, int]]:
    """(layer kind, number of layers) of a stage class; kinds it has none of are left out."""
    counts = subject.analytic.table.kind_counts[0, column]
    return [(k, int(count)) for k, count in enumerate(counts) if count]


def _draft(subject: Subject) -> tuple[list[str], list[str]]:
    """(weights, cache of a token) of what guesses tokens, on a GPU of the last stage, as arithmetic; nothing where nothing guesses."""
    speculation, work, tp = subject.problem.workload.speculation, subject.problem.workload, subject.shape.tp
    if speculation is None or not work.guessed or speculation.method == "ngram":
        return [], []
    if speculation.method == "mtp":
        last = subject.model.kind_of_layer[-1]
        hidden = number(subject.model.hidden_size)
        weights = f"{byte(subject.ledger.value(f'layer-{last}'))} + 4 B × {hidden} × {hidden}"
        return [weights], [byte(subject.ledger.value(f"kv-token-{last}"))]
    weights = f"2 B × {number(float(speculation.draft_parameters or 0) * 1e9)} / {tp}"
    return [weights], [f"ceil({number(speculation.draft_kv_bytes_per_token or 0)} / {tp}) × 1 B"]


def _beside(held: float) -> list[str]:
    """Positions, further tables and towers on the first stage, towers on the others."""
    return [byte(held)] if held else []


def _stage(subject: Subject, column: int, stages: list[int]) -> Figure:
    ledger, memory, strategy = subject.ledger, subject.analytic.memory(), subject.strategy
    name, slots = subject.stages_named(stages), strategy.max_num_seqs
    here = layer_counts(subject, column)
    table = subject.analytic.table
    first, last = bool(table.is_first[0, column]), bool(table.is_last[0, column])
    parts = [f"{counted(count, 'layer')} × {byte(ledger.value(f'layer-{k}'))}" for k, count in here]
    tied = subject.model.tied_embeddings and strategy.pipeline_parallel == 1
    arrays = subject.analytic.arrays
    if first:
        parts += [byte(ledger.value("embedding")), *_beside(float(arrays.first_bytes[0]))]
    else:
        parts += _beside(float(arrays.tower_bytes[0]))
    if last:
        parts += [
            *([] if tied else [byte(float(arrays.head_bytes[0]))]),
            f"{number(subject.model.output_parameters)} × 2 B",
            *_draft(subject)[0],
        ]
    ledger.derive(
        f"weights-s{stages[0]}",
        f"Weights on a GPU of {name}",
        "layers × weights of a layer + embedding (first stage) + output head and final norm (last stage)"
        + (" + vision tower" if arrays.tower_bytes[0] else ""),
        total(parts),
        int(memory.weights[0, column]),
        "B",
        note=MODEL,
        inputs=(*(f"layer-{k}" for k, _ in here), "embedding"),
    )
    cache = _cache(subject, column, stages, here)
    amounts = {
        f"weights-s{stages[0]}": int(memory.weights[0, column]),
        f"cache-s{stages[0]}": cache,
        "activations": int(memory.activations[0, column]),
        "logits": int(memory.logits(slots)[0, column]),
        "communication buffers": int(memory.communication[0, column]),
        "engine": int(memory.engine[0, column]),
    }
    used = {id: value for id, value in amounts.items() if value}
    return ledger.derive(
        f"memory-s{stages[0]}",
        f"Memory of a GPU of {name}",
        "weights + KV cache + activations + logits + communication buffers + engine",
        total([byte(value) for value in used.values()]),
        int(np.sum(list(amounts.values()))),
        "B",
        note=MODEL,
        inputs=tuple(used),
    )


def _cache(subject: Subject, column: int, stages: list[int], here: list[tuple[int, int]]) -> int:
    """Bytes of the KV cache on a GPU of equal stages, with their derivation."""
    ledger, memory, slots = subject.ledger, subject.analytic.memory(), subject.strategy.max_num_seqs
    name, title = f"cache-s{stages[0]}", f"KV cache on a GPU of {subject.stages_named(stages)}"
    if memory.held is None:
        of_sequence = total(
            [f"{counted(count, 'layer')} × {byte(ledger.value(f'kv-sequence-{k}'))}" for k, count in here]
        )
        held = slots * int(memory.kv_per_sequence[0, column])
        ledger.derive(
            name,
            title,
            "sequences × Σ layers × KV cache of a sequence in a layer",
            f"{counted(slots, 'sequence')} × ({of_sequence})",
            held,
            "B",
            note=f"{MODEL}; reserved at full length for all {slots} sequences of max_num_seqs",
            inputs=tuple(f"kv-sequence-{k}" for k, _ in here),
        )
        return held
    tokens = subject.metrics.kv_cache_tokens
    each = [f"{counted(count, 'layer')} × {byte(ledger.value(f'kv-token-{k}'))}" for k, count in here]
    of_token = total([*each, *(_draft(subject)[1] if subject.analytic.table.is_last[0, column] else [])])
    held = tokens * int(memory.kv_per_token[0, column])
    ledger.derive(
        name,
        title,
        "tokens in whole blocks × Σ layers × KV cache of a token in a layer",
        f"{number(tokens)} tokens × ({of_token})",
        held,
        "B",
        note=f"{MODEL}; as many blocks of {KV_BLOCK_TOKENS} tokens as the stage with the least room holds, taken as requests grow",
        inputs=tuple(f"kv-token-{k}" for k, _ in here),
    )
    return held


def _fullest(subject: Subject) -> None:
    ledger, metrics, needs = subject.ledger, subject.metrics, subject.problem.requirements
    gpu, used = subject.hardware.gpu, subject.hardware.memory_used_mib
    stages = [stages[0] for stages in subject.stage_classes.values()]
    found, known = memory_budget_bytes(subject.problem), overhead_on(subject.problem)
    free = gpu.process_mib - used - (known.context.value if known.refuses_above_free else 0)
    ledger.derive(
        "memory",
        "Memory of the fullest GPU",
        "the largest over the stages",
        f"max({', '.join(byte(ledger.value(f'memory-s{s}')) for s in stages)})",
        metrics.memory_bytes_per_gpu,
        "B",
        inputs=tuple(f"memory-s{s}" for s in stages),
    )
    budget = ledger.derive(
        "memory-budget",
        "Memory of one GPU that may be used",
        "gpu_memory_utilization × memory that the device offers, down to whole bytes",
        f"{number(needs.gpu_memory_utilization)} × {number(gpu.process_mib)} MiB"
        if found < free * MIB
        else f"min({number(needs.gpu_memory_utilization)} × {number(gpu.process_mib)} MiB, {number(free)} MiB)",
        found,
        "B",
        note="requirements.gpu_memory_utilization; memory_mib less reserved_mib of the GPU",
    )
    ledger.derive(
        "memory-share",
        "Share of the fullest GPU's memory in use",
        "memory of the fullest GPU / memory that the device offers",
        f"{byte(metrics.memory_bytes_per_gpu)} / {number(gpu.process_mib)} MiB",
        metrics.memory_utilization * 100,
        "%",
        inputs=("memory",),
    )
    spare = float(budget.value or 0) - metrics.memory_bytes_per_gpu
    ledger.derive(
        "memory-spare",
        "Memory to spare on the fullest GPU",
        "memory that may be used − memory of the fullest GPU",
        f"{byte(float(budget.value or 0))} − {byte(metrics.memory_bytes_per_gpu)}",
        spare,
        "B",
        inputs=("memory-budget", "memory"),
    )
