"""Parameters of audio towers with their projectors; counted on the classes of transformers 5.24.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.config import Config


def _encoder(config: Config, key_bias: bool) -> tuple[int, int]:
    """(width, parameters of all layers) of an encoder as Whisper has it."""
    width, inner = config.size("d_model", "hidden_size"), config.size("encoder_ffn_dim", "intermediate_size")
    layers = config.size("encoder_layers", "num_hidden_layers")
    layer = 4 * width**2 + (4 if key_bias else 3) * width + 2 * width * inner + inner + width + 4 * width
    return width, layers * layer


def _whisper(config: Config) -> int:
    """Whisper's encoder: two convolutions over time, learned positions, its layers and a norm."""
    width, layers = _encoder(config, key_bias=False)
    mel, positions = config.option("num_mel_bins", default=128), config.option("max_source_positions", default=1500)
    return 3 * mel * width + width + 3 * width**2 + width + positions * width + layers + 2 * width


def qwen2_audio(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Whisper's encoder and one linear layer."""
    width = config.size("d_model")
    return _whisper(config) + width * out + out


def voxtral(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Whisper's encoder and two linear layers without biases, the first over four neighbouring frames."""
    return _whisper(config) + config.size("encoder_ffn_dim", "intermediate_size") * out + out**2


def qwen2_5_omni(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Two convolutions over time, Whisper's layers, one linear layer, and two embeddings of its ends."""
    width, layers = _encoder(config, key_bias=False)
    mel, to = config.option("num_mel_bins", default=128), config.option("output_dim", default=out)
    return 3 * mel * width + width + 3 * width**2 + width + layers + 2 * width + width * to + to + 2 * to


def qwen3_omni(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Three convolutions over time and frequency, Whisper's layers, two linear layers."""
    width, layers = _encoder(config, key_bias=True)
    channels, mel = config.option("downsample_hidden_size", default=480), config.option("num_mel_bins", default=128)
    to = config.option("output_dim", default=out)
    folded = 9 * channels + channels + 2 * (9 * channels**2 + channels) + width * channels * -(-mel // 8)
    return folded + layers + 2 * width + width**2 + width + width * to + to


def gemma4(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Gemma 4: a conformer."""
    width, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    heads, kernel = config.option("num_attention_heads", default=8), config.option("conv_kernel_size", default=5)
    listed = config.values.get("subsampling_conv_channels")
    first, second = (int(one) for one in (listed if isinstance(listed, list) and len(listed) == 2 else (128, 32)))
    to = config.option("output_proj_dims", default=1536)
    folded = 9 * first + first + 9 * first * second + second + second * 32 * width
    layer = 2 * (8 * width**2 + 2 * width) + width // heads + 5 * width**2 + 3 * width**2 + kernel * width + 5 * width
    return folded + layers * layer + width * to + to + to * out
