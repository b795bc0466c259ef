"""Add an architecture: how its layers differ from those that are read, with the source, and its class defaults."""

from __future__ import annotations

from scripts.recipes.recipe import Recipe, after

DEFAULTS = """\
examplelm: {vocab_size: 32000, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32,
  num_attention_heads: 32, max_position_embeddings: 2048, tie_word_embeddings: false, attention_bias: true}
"""
TEST = """
from optimizer.checkpoints.huggingface import model_from_config


def test_its_parameters_are_counted() -> None:
    h, f, layers, vocabulary, groups = 512, 1024, 4, 1000, 2
    stated = dict(model_type="examplelm", hidden_size=h, intermediate_size=f, num_hidden_layers=layers, vocab_size=vocabulary,
                  num_attention_heads=8, num_key_value_heads=groups, max_position_embeddings=4096, attention_bias=True)
    key = h // 8 * groups
    layer = h * (h + 2 * key) + (h + 2 * key) + h * h + 3 * h * f + 2 * h
    assert model_from_config(stated, "example").parameters == layers * layer + 2 * vocabulary * h + h
"""
RECIPE = Recipe(
    "an architecture",
    2,
    {
        "optimizer/checkpoints/data/families.yaml": after(
            "helium: {like: llama, source: transformers models/helium}\n",
            "examplelm: {like: llama, source: its published model file, qkv_bias: attention_bias, output_bias: false}\n",
        ),
        "optimizer/checkpoints/data/defaults.yaml": lambda text: text + DEFAULTS,
    },
    TEST,
    ("tests/checkpoints/test_architectures.py",),
)
