"""Quantisation by module: bytes with scales and zero points, ignore lists, and what each method's file says."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.checkpoints.huggingface import model_from_config
from optimizer.checkpoints.parts import Linear
from optimizer.checkpoints.quantization.names import Entries
from optimizer.checkpoints.quantization.storage import eight, grouped, mxfp4, nvfp4
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.questions.model import kv_bytes_per_token

LLAMA_70B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
TABLES = 2 * 2 * 128256 * 8192
LINEAR = 80 * (2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28672)


def _read(quantization: dict[str, Any], **more: Any) -> ModelFacts:
    return model_from_config({**LLAMA_70B, "quantization_config": quantization, **more}, name="x")


def _group(**weights: Any) -> dict[str, Any]:
    return {"group_0": {"targets": ["Linear"], "weights": weights}}


BITS: list[tuple[dict[str, Any], str, float]] = [
    # MiniMax-M3-MXFP8's fields; FP-Quant; transformers' own NVFP4; SGLang's blockwise int8.
    ({"quant_method": "mxfp8", "weight_block_size": [1, 32], "scale_fmt": "ue8m0"}, "fp8", 8 + 8 / 32),
    ({"quant_method": "fp_quant", "forward_dtype": "mxfp4"}, "mxfp4", 4 + 8 / 32),
    ({"quant_method": "nvfp4", "modules_to_not_convert": ["lm_head"]}, "nvfp4", 4 + 8 / 16),
    ({"quant_method": "blockwise_int8", "weight_block_size": [128, 128]}, "int8", 8 + 32 / 128**2),
    ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "int4", 4 + 20 / 128),
    ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4", 4 + 20 / 128),
    ({"quant_method": "gptq", "bits": 3, "group_size": 128}, "int3", 3 + 19 / 128),
    ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "int8", 8 + 24 / 128),
    (
        {
            "quant_method": "quark",
            "global_quant_config": {
                "weight": [
                    {"dtype": "fp8_e4m3", "qscheme": "per_channel"},
                    {"dtype": "int4", "qscheme": "per_group", "group_size": 128, "symmetric": True},
                ],
                "input_tensors": {"dtype": "fp8_e4m3"},
            },
        },
        "int4",
        4 + 16 / 128,
    ),
    (
        {
            "quant_method": "torchao",
            "quant_type": {
                "default": {
                    "_type": "ModuleFqnToConfig",
                    "_data": {
                        "module_fqn_to_config": {
                            "_default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 128}},
                            "lm_head": None,
                        }
                    },
                }
            },
        },
        "int4",
        4 + 32 / 128,
    ),
    (
        {
            "quant_method": "torchao",
            "quant_type": {
                "default": {
                    "_type": "Int8DynamicActivationIntxWeightConfig",
                    "_data": {
                        "weight_dtype": {"_type": "torch.dtype", "_data": "int4"},
                        "weight_granularity": {"_type": "PerGroup", "_data": {"group_size": 32}},
                    },
                }
            },
        },
        "int4",
        4 + 16 / 32,
    ),
    ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "data_type": "int"}, "int4", 4 + 20 / 128),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_compute_dtype": "float16"}, "int4", 4.5),
    (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
        "int4",
        4 + 8 / 64 + 32 / 64 / 256,
    ),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 8),
    ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, "int4", 4.5),
    ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}, "int4", 4.25),
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8 + 32 / 128 / 128),
    ({"quant_method": "fp8"}, "fp8", 8),
    ({"quant_method": "fbgemm_fp8"}, "fp8", 8),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": _group(num_bits=4, type="int", strategy="group", group_size=128, symmetric=True),
            "ignore": ["lm_head"],
        },
        "int4",
        4 + 16 / 128,
    ),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "mxfp4-pack-quantized",
            "config_groups": _group(num_bits=4, type="float", strategy="group", group_size=32),
        },
        "mxfp4",
        4.25,
    ),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "nvfp4-pack-quantized",
            "config_groups": _group(num_bits=4, type="float", strategy="tensor_group", group_size=16),
        },
        "nvfp4",
        4.5,
    ),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, "nvfp4", 4.5),
    ({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]}, "fp8", 8),
    (
        {
            "quant_method": "quark",
            "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}},
            "exclude": ["lm_head"],
        },
        "mxfp4",
        4.25,
    ),
    ({"quant_method": "exl2", "bits": 4.25, "head_bits": 16}, "int4", 4.25),
    ({"quant_method": "gptq", "bits": 2, "group_size": 64}, "int2", 2 + 18 / 64),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "config_groups": _group(num_bits=8, type="int", strategy="channel", symmetric=True),
        },
        "int8",
        8,
    ),
    (
        {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}, "exclude": ["lm_head"]},
        "fp8",
        8,
    ),
    (
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8DynamicActivationFloat8WeightConfig"}}},
        "fp8",
        8,
    ),
    ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 2, "group_size": 64}}}, "int2", 2.5),
    ({"quant_method": "experts_int8"}, "bf16", 16),
]


@pytest.mark.parametrize(
    ("stated", "weight_format", "bits"), BITS, ids=[f"{i}-{case[0]['quant_method']}" for i, case in enumerate(BITS)]
)
def test_bits_of_a_weight_on_llama_70b(stated: dict[str, Any], weight_format: str, bits: float) -> None:
    model = _read(stated)
    assert model.native_weight_format == weight_format
    assert model.parameters == 70_553_706_496
    rest = 2 * (80 * 2 + 1) * 8192
    # Scales of whole tensors and outputs, indices of inputs: far below a thousandth.
    assert abs((model.weight_bytes - TABLES - rest) / (LINEAR * bits / 8) - 1) < 1.5e-3


# Gigabytes of Llama-3.1-70B: 16-bit tables 4.2 GB, 68.45 billion weights of linear modules at 4 bit 34.2 GB, and the scales:
# a group of 128 with scale and zero point adds 1.3 GB, blocks of 32 with 8 bits 2.1 GB, blocks of 64 with 32 bits 4.3 GB.
GIGABYTES: dict[str, tuple[dict[str, Any], float, str | None]] = {
    "autoround": (
        {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True, "data_type": "int"}, 39.8, None,
    ),
    "bnb-fp4": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "fp4",
         "bnb_4bit_compute_dtype": "float16"}, 42.7, None,
    ),
    "ct-mxfp4": (
        {"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized",
         "config_groups": _group(num_bits=4, type="float", strategy="group", group_size=128, symmetric=True)}, 40.6, None,
    ),
    "ct-w4afp8": (
        {"quant_method": "compressed-tensors", "format": "pack-quantized",
         "config_groups": {"group_0": {
             "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128},
             "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}}}}, 39.5, "fp8",
    ),
    "exl2": ({"quant_method": "exl2", "bits": 4.25, "head_bits": 6}, 39.3, None),
    "experts_int8": ({"quant_method": "experts_int8"}, 141.1, None),
    "hqq": ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, 42.7, None),
    "torchao": ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}, 40.6, None),
    "gptq-3bit": ({"quant_method": "gptq", "bits": 3, "group_size": 128}, 31.1, None),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(GIGABYTES))
def test_gigabytes_of_llama_70b(name: str) -> None:
    stated, gigabytes, activations = GIGABYTES[name]
    model = _read(stated)
    assert model.parameters == 70_553_706_496
    assert model.weight_bytes / 1e9 == pytest.approx(gigabytes, rel=0.005)
    stands = model.quantization
    assert (stands.activation_format if stands else None) == activations


def test_mlx_converts_the_tables_too() -> None:
    model = model_from_config({**LLAMA_70B, "quantization": {"group_size": 64, "bits": 4}}, name="x")
    assert model.weight_bytes == (LINEAR + TABLES // 2) * 9 // 16 + 2 * 161 * 8192


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(ProblemError, match=r"'magic' is not known; .*awq"):
        _read({"quant_method": "magic"})


def test_modules_that_are_excepted_stay_in_16_bit() -> None:
    # Llama-3.1-405B-FP8 as first published: attention and the outer layers in 16 bit, 16 KV heads; 57.75 GiB a GPU at TP8.
    outer = [f"model.layers.{i}.mlp.{name}_proj" for i in (0, 125) for name in ("gate", "up", "down")]
    inner = [f"model.layers.{i}.self_attn.{name}_proj" for i in range(126) for name in "qkvo"]
    config = {
        "model_type": "llama", "hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126,
        "num_attention_heads": 128, "num_key_value_heads": 16, "vocab_size": 128256, "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fbgemm_fp8", "modules_to_not_convert": [*outer, *inner]},
    }  # fmt: skip
    model = model_from_config(config, name="405b")
    assert abs(model.weight_bytes / 8 / 1024**3 - 57.75) < 0.1
    assert model.native_weight_format == "fp8" and model.linear_format == "fp8"
    assert {kind.sharded_bytes for kind in model.kinds} == {model.kinds[0].sharded_bytes, model.kinds[1].sharded_bytes}


def test_kimi_k2_5_is_594_gb() -> None:
    from optimizer.catalog import lookup

    model = lookup.model("kimi-k2.5")
    assert round(model.weight_bytes / 1e9) == 594
    assert (model.expert_format, model.linear_format) == ("int4", "bf16")


def test_the_cache_that_a_checkpoint_asks_for() -> None:
    scheme = {"num_bits": 8, "type": "float", "dynamic": False}
    tensors = {
        "quant_method": "compressed-tensors",
        "config_groups": _group(num_bits=8, type="float", strategy="channel"),
        "kv_cache_scheme": scheme,
    }
    assert _read(tensors).native_kv_format == "fp8"
    assert _read({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_scheme": scheme}).native_kv_format == "fp8"
    # Half a byte a value and an 8-bit scale for each 16.
    halves = _read({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "NVFP4"})
    assert kv_bytes_per_token(halves) == {"full": 327_680 * 9 // 32, "window": 0, "shared": 0, "format": "nvfp4"}
    assert halves.native_kv_format == "bf16" and any(
        "nvfp4 cache, which is not planned" in note for note in halves.notes
    )
    # Without a quant_method engines do not act on it, and the answer says so.
    unread = _read({"quant_algo": "FP8", "kv_cache_scheme": "FP8", "producer": {"name": "modelopt"}})
    assert unread.native_kv_format == "bf16" and any("quant_method" in note for note in unread.notes)
    beside = model_from_config(
        {
            **LLAMA_70B,
            "hf_quant_config": {
                "producer": {"name": "modelopt"},
                "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]},
            },
        },
        name="x",
    )
    assert (beside.native_weight_format, beside.native_kv_format) == ("nvfp4", "fp8")


@pytest.mark.parametrize(
    ("entry", "meant", "other"),
    [
        ("model.layers.1.mlp.up_proj", (1, "mlp.up_proj"), (10, "mlp.up_proj")),
        ("model.layers.1", (1, "self_attn.q_proj"), (11, "self_attn.q_proj")),
        ("self_attn", (3, "self_attn.k_proj"), (3, "mlp.up_proj")),
        ("mlp.gate", (0, "mlp.gate"), (0, "mlp.gate_proj")),
        ("re:.*self_attn.*", (5, "self_attn.o_proj"), (5, "mlp.down_proj")),
        (r"re:.*mlp\.(gate|up|gate_up|down)_proj.*", (0, "mlp.gate_proj"), (0, "mlp.experts.0.gate_proj")),
        ("model.layers.*.self_attn", (7, "self_attn.v_proj"), (7, "mlp.experts.0.up_proj")),
        ("model.language_model.layers.2.self_attn.qkv_proj", (2, "self_attn.q_proj"), (2, "self_attn.o_proj")),
        ("model.layers.3.block_sparse_moe.experts.0.w2", (3, "mlp.experts.0.down_proj"), (3, "mlp.experts.0.up_proj")),
        ("model.layers.3.ffn.shared_expert", (3, "mlp.shared_experts.up_proj"), (3, "mlp.experts.0.up_proj")),
    ],
)
def test_entries_of_ignore_lists(entry: str, meant: tuple[int, str], other: tuple[int, str]) -> None:
    entries = Entries([entry])
    assert entries.has(*meant) and not entries.has(*other)


def test_bytes_of_one_matrix() -> None:
    matrix = Linear("x", 256, 512)
    assert grouped(4, 128, 16 + 4).bytes_of(matrix) == 256 * 512 // 2 + 2 * 512 * 20 // 8
    assert eight("fp8", block=(128, 128)).bytes_of(matrix) == 256 * 512 + 4 * 4 * 2
    assert mxfp4().bytes_of(matrix) == 256 * 512 // 2 + 256 * 512 // 32
    assert nvfp4().bytes_of(matrix) == 256 * 512 // 2 + 256 * 512 // 16 + 8
    assert eight("fp8", block=(128, 128)).bytes_of(Linear("x", 100, 100)) == 100 * 100 + 4


@pytest.mark.parametrize("said", ["Q4_K_M", "Q4_K", 15, "15", "LLAMA_FTYPE_MOSTLY_Q4_K_M"])
def test_file_types_of_gguf_by_their_names_and_numbers(said: Any) -> None:
    # llama.cpp, tools/quantize/README.md: 4.8944 bits a weight of Llama-3.1-8B, embedding and head included.
    model = _read({"quant_method": "gguf", "file_type": said})
    assert model.native_weight_format == "int4"
    assert 8 * model.weight_bytes / model.parameters == pytest.approx(4.8944, rel=1e-3)


@pytest.mark.parametrize("said", [0, 99, "Q4_X", "UD-Q4_K_XL"])
def test_other_file_types_of_gguf_are_refused(said: Any) -> None:
    with pytest.raises(ProblemError, match="no GGUF file type that is known"):
        _read({"quant_method": "gguf", "file_type": said})


def test_mlx_writes_its_mapping_under_two_names() -> None:
    """Qwen3.5-9B in 8 bit as MLX publishes it: 10,426,433,504 B in its index, its vision tower in 16 bit."""
    stated = {"group_size": 64, "bits": 8, "mode": "affine"}
    text = {
        "model_type": "qwen3_5_text", "head_dim": 256, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32,
        "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 248320, "linear_num_value_heads": 32, "linear_num_key_heads": 16,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "max_position_embeddings": 262144,
    }  # fmt: skip
    vision = {
        "model_type": "qwen3_5", "depth": 27, "hidden_size": 1152, "in_channels": 3, "intermediate_size": 4304, "num_heads": 16,
        "num_position_embeddings": 2304, "out_hidden_size": 4096, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    config = {"model_type": "qwen3_5", "quantization": stated, "quantization_config": stated, "text_config": text}
    model = model_from_config({**config, "vision_config": vision, "tie_word_embeddings": False}, name="x")
    assert model.weight_bytes + model.vision_bytes == pytest.approx(10_426_433_504, rel=1e-6)


def test_an_ignored_module_of_compressed_tensors_is_that_module_alone() -> None:
    """Qwen3.6-27B in int4 ignores ``linear_attn`` by name, and its index lists the scales of the projections in it."""
    groups = _group(num_bits=4, type="int", strategy="group", group_size=128)
    whole = _read(
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": groups,
            "ignore": ["lm_head"],
        }
    )
    ignored = ["lm_head", *(f"model.layers.{layer}.self_attn" for layer in range(80))]
    named = _read(
        {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups, "ignore": ignored}
    )
    assert named.weight_bytes == whole.weight_bytes
    one = [*ignored, "model.layers.7.self_attn.o_proj"]
    fewer = _read(
        {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups, "ignore": one}
    )
    assert fewer.weight_bytes > whole.weight_bytes


def test_each_module_of_a_mixed_checkpoint_has_its_own_algorithm() -> None:
    # nvidia/MiniMax-M3-NVFP4 names every expert of every layer, by Mixtral's names; attention is MXFP8, experts NVFP4.
    config = {
        "model_type": "minimax_m2", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 64, "intermediate_size": 128, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 512,
    }  # fmt: skip
    names = [
        f"language_model.model.layers.{n}.block_sparse_moe.experts.{e}.w{w}"
        for n in (0, 1)
        for e in range(4)
        for w in (1, 2, 3)
    ]
    attention = [f"language_model.model.layers.{n}.self_attn.{m}_proj" for n in (0, 1) for m in "qkvo"]
    stated = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": {
            **{name: {"quant_algo": "NVFP4", "group_size": 16} for name in names},
            **{name: {"quant_algo": "MXFP8"} for name in attention},
        },
        "exclude_modules": ["lm_head"],
    }
    model = model_from_config({**config, "quantization_config": stated}, name="x")
    experts = 2 * 4 * 3 * (256 * 128 * 9 // 16 + 8)
    attended = 2 * (2 * 256 * 256 + 2 * 256 * 128) * 33 // 32
    small = model.parameters - 2 * (4 * 3 * 256 * 128 + 2 * 256 * 256 + 2 * 256 * 128)
    assert model.weight_bytes == experts + attended + 2 * small
    assert model.native_weight_format == "nvfp4"


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*mlp.*": {"bits": "x"}}}, "dynamic"),
        ({"quant_method": "gptq", "bits": [4]}, "bits"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 10**9}, "group_size"),
        (
            {"quant_method": "auto-round", "bits": 4, "extra_config": {"model.layers.0.mlp.up_proj": {"bits": 7}}},
            "extra_config",
        ),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": 1, "weights": {}}}}, "targets"),
        ({"quant_method": "compressed-tensors", "config_groups": _group(num_bits=[4], type="int")}, "num_bits"),
        (
            {"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": True}},
            "group_size",
        ),
        ({"quant_method": "fp8", "weight_block_size": [128, 10**9]}, "weight_block_size"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_field(stated: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError, match=field):
        _read(stated)


def test_the_modes_of_mlx() -> None:
    # mlx quantize: mxfp8 has an 8-bit scale for each 32 weights and no bias.
    model = _read({"bits": 8, "group_size": 32, "mode": "mxfp8"})
    assert model.native_weight_format == "fp8"
    assert (
        abs(model.weight_bytes / (2 * (model.parameters - LINEAR - TABLES // 2) + (LINEAR + TABLES // 2) * 33 / 32) - 1)
        < 1e-6
    )


def test_experts_converted_once_more_leave_the_rest_as_it_was() -> None:
    # nvidia/DeepSeek-V4-Flash-NVFP4: fp8 in blocks, experts NVFP4; the list says what that conversion left alone, in fp8.
    config = {
        "model_type": "mixtral", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 64, "intermediate_size": 128, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 512,
        "expert_dtype": "fp4",
    }  # fmt: skip
    stated = {
        "quant_method": "fp8", "weight_block_size": [128, 128], "quant_algo": "MIXED_PRECISION", "moe_quant_algo": "NVFP4",
        "ignore": ["*.self_attn.*", "lm_head"],
    }  # fmt: skip
    model = model_from_config({**config, "quantization_config": stated}, name="x")
    experts = 2 * 4 * 3 * (256 * 128 * 9 // 16 + 8)
    shapes = 2 * [(256, 256), (128, 256), (128, 256), (256, 256)]
    attention = sum(rows * columns + 4 * (rows // 128) * (columns // 128) for rows, columns in shapes)
    small = model.parameters - 2 * 4 * 3 * 256 * 128 - sum(rows * columns for rows, columns in shapes)
    assert model.weight_bytes == experts + attention + 2 * small
    assert model.quantization is not None and model.quantization.expert_format == "nvfp4"
    with pytest.raises(ProblemError, match="moe_quant_algo"):
        model_from_config({**config, "quantization_config": {**stated, "moe_quant_algo": "FP2"}}, name="x")
