"""JSON Schema of ``optimizer graph --format json``: networkx's node-link layout with instances and GPUs beside it."""

from __future__ import annotations

from optimizer.render.schema_parts import (
    NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    YES,
    Schema,
    add_type,
    array,
    closed,
    mapping,
    or_null,
    ref,
)
from optimizer.results.graph import GRAPH_SCHEMA_VERSION, Edge, Gpu, GraphLink, GraphNode


def graph_schema(defs: Schema) -> Schema:
    """The whole document; types of a graph are added to the definitions."""
    for of in (Edge, Gpu, GraphLink):
        add_type(defs, of)
    header = closed(
        {
            "schema_version": {"const": GRAPH_SCHEMA_VERSION},
            "kind": {"const": "graph"},
            "problem": TEXT,
            "strategy": TEXT,
            "step": TEXT,
            "context_tokens": WHOLE,
            "links": array(ref("GraphLink")),
            "instances": WHOLE,
            "notes": TEXTS,
            "verification": closed({"passed": YES, "checks": WHOLE, "nodes": WHOLE, "edges": WHOLE}),
        }
    )
    return closed(
        {
            "directed": {"const": True},
            "multigraph": {"const": False},
            "graph": header,
            "instances": array(_instance()),
            "gpus": array(ref("Gpu")),
            "nodes": array(_node(defs)),
            "edges": array(ref("Edge")),
        }
    )


def _instance() -> Schema:
    degrees = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "max_num_seqs", "sequences_in_progress")
    return closed(
        {
            "name": TEXT,
            **dict.fromkeys(degrees, WHOLE),
            "layers_per_stage": array(WHOLE),
            "weight_precision": TEXT,
            "kv_precision": TEXT,
            "replicas": array(WHOLE),
            "decode_step_ms": NUMBER,
            "micro_batches": WHOLE,
            "sequences_per_micro_batch": WHOLE,
        }
    )


def _node(defs: Schema) -> Schema:
    """What every node has, and what modules and messages have beside it."""
    fields = add_type(defs, GraphNode)["properties"]
    common = ("id", "kind", "instance", "replica", "stage", "layer", "shard", "gpus", "start_ms", "end_ms")
    module = dict.fromkeys(("weights_bytes", "kv_cache_bytes", "logits_bytes"), WHOLE)
    message = {"link": or_null(TEXT), "message_bytes": WHOLE, "sent_bytes_per_gpu": WHOLE}
    more: Schema = {
        **module,
        "terms_ms": mapping(NUMBER),
        **message,
        "experts": closed({"first": WHOLE, "count": WHOLE, "slices": WHOLE}),
    }
    return closed({**{name: fields[name] for name in common}, **more}, optional=tuple(more))
