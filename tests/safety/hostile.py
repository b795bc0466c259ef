"""Text that wants to be more than text, and the problems that hold it in every field a person writes words into."""

from __future__ import annotations

import copy
from typing import Any

MARK = "made-by-text"
"""The beginning of the name of any file that a command in hostile text would make."""

SEEN = {
    "dollar": f"a $(touch {MARK}-1) b",
    "backticks": f"a `touch {MARK}-2` b",
    "semicolon": f"a; touch {MARK}-3; b",
    "single quote": f"a' ; touch {MARK}-4 ; 'b",
    "double quote": f'a" ; touch {MARK}-5 ; "b',
    "ands": f"a && touch {MARK}-6 || b",
    "pipe": f"a | touch {MARK}-7",
    "redirect": f"a > {MARK}-8",
    "comment": "a # b",
    "flag": f"--output={MARK}-9",
    "short flag": "-x",
    "variable": "a ${PATH} $HOME b",
    "percent": "100% %s %n",
    "markup": "<script>alert(1)</script> <b>&amp;</b> ]]> -->",
    "markdown": "# a | b [c](http://d) ![e](f) *g* _h_ ~i~ ```j",
    "list item": "- a: b",
    "number": "1e3",
    "yes": "yes",
    "null": "~",
    "yaml": "a: {b: [c, *d, &e, !f]}",
    "formula": f"=cmd|'/c touch {MARK}-10'!A1",
    "plus": "+1",
    "at": "@SUM(1)",
    "braces": "{{ 7 * 7 }} {% raw %} ${{ x }}",
    "rich": "[red]a[/red] [/x] :smile:",
    "dot": 'a"]; b [label="c',
    "backslashes": r"a\n\N\"\\",
    "math": "$x^2$ and $y$",
    "slashes": "a/b",
    "up": "../../x",
    "root": "/etc/x",
    "dots": "..",
    "letters": "größe 模型 модель",
    "nginx": "a; } server { listen 9",
    "heredoc": "<<EOF",
}
"""Can be seen, so every name may hold it."""
UNSEEN = {
    "newline": f"a\ntouch {MARK}-20",
    "return": f"a\r\ntouch {MARK}-21",
    "separator": f"a\u2028touch {MARK}-22",
    "next line": f"a\x85touch {MARK}-23",
    "escape": "a\x1b[31mred",
    "bell": "a\x07",
    "nul": "a\x00b",
    "tab": "a\tb",
    "bidi": "a\u202eb\u2066c",
    "surrogate": "a\ud800b",
    "long": "a" * 10_000,
}
"""No name may hold it."""

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 10,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 6144,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
GPU: dict[str, Any] = {
    "memory_mib": 81559,
    "memory_bandwidth_gb_per_s": 3350,
    "dense_tflops": {"bf16": 989, "fp8": 1979},
    "nvlink_gb_per_s": 900,
    "nvlink_domain_gpus": 8,
    "gpus_per_node": 8,
}
_REST: dict[str, Any] = {
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 20},
    "requirements": {"max_batch": 32, "max_sequence_tokens": 2048},
    "search": {"tensor_parallel": [1], "pipeline_parallel": [1]},
}
UNIFORM_FIELDS = ("name", "hardware.gpu.name", "model.name", "model.huggingface_id")
INVENTORY_FIELDS = (
    "name",
    "cluster.0.name",
    "cluster.0.rack",
    "cluster.0.zone",
    "cluster.0.gpu.name",
    "domains",
    "model.name",
)
CHAIN_FIELDS = (
    "name",
    "model.name",
    "cluster.nodes.0.name",
    "type",
    "cluster.nodes.0.partition",
    "source",
    "published.method",
)


def uniform(field: str = "", text: str = "") -> dict[str, Any]:
    """A problem on equal nodes with the text in a field."""
    values: dict[str, Any] = {
        "name": "p",
        "hardware": {"gpu": {"name": "gpu", **GPU}, "nodes": 2, "gpus_per_node": 2, "price_per_gpu_hour": 2},
        "model": {"name": "m", "huggingface_id": "org/m", **CONFIG},
        **copy.deepcopy(_REST),
    }
    return _with(values, field, text)


def inventory(field: str = "", text: str = "") -> dict[str, Any]:
    """The same for two groups of nodes; ``domains`` puts the text into a level and a domain."""
    group = {
        "gpu": {"name": "gpu", **GPU},
        "nodes": 1,
        "gpus_per_node": 2,
        "price_per_gpu_hour": 2,
        "rack": "r",
        "zone": "z",
    }
    values: dict[str, Any] = {
        "name": "p",
        "cluster": [{"name": "one", **copy.deepcopy(group)}, {"name": "two", **copy.deepcopy(group)}],
        "model": {"name": "m", "huggingface_id": "org/m", **CONFIG},
        **copy.deepcopy(_REST),
    }
    if field == "domains":
        return {**values, "domains": {text: {text: ["one"]}}}
    return _with(values, field, text)


def chain(field: str = "", text: str = "") -> dict[str, Any]:
    """A problem of kind chain; ``type`` puts the text into a type of nodes."""
    kind = text if field == "type" else "t"
    table = {1: 100.0, 2: 60.0, 3: 40.0, 4: 30.0}
    values: dict[str, Any] = {
        "kind": "chain",
        "name": "p",
        "model": {"name": "m", "layers": 4},
        "cluster": {
            "types": {kind: {"throughput_tokens_per_s_by_layers": table}},
            "nodes": [{"name": f"n{i}", "type": kind, "partition": "all"} for i in range(3)],
        },
        "published": {"objective_tokens_per_s": 1, "method": "x"},
        "source": "s",
    }
    return values if field == "type" else _with(values, field, text)


def _with(values: dict[str, Any], field: str, text: str) -> dict[str, Any]:
    if field:
        *parents, last = field.split(".")
        inner: Any = values
        for parent in parents:
            inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
        inner[last] = text
    return values
