"""Which layers look back only so far: the sliding window of each layer, 0 where it attends to everything."""

from __future__ import annotations

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family

WINDOWS = ("sliding_window", "sliding_window_size")


def layer_windows(config: Config, family: Family, layers: int) -> list[int]:
    """Window length per layer in tokens; a list in the file wins over the family's pattern.

    Raises:
        ProblemError: the list in the file does not fit the layers, or a window is no whole number.
    """
    if family.window == "chunks":
        # Llama 4: attention in chunks counts as a window, its layers without positions are full.
        chunk = config.option("attention_chunk_size", default=0)
        kinds = config.per_layer("layer_types", layers)
        turned = config.per_layer("no_rope_layers", layers) if config.values.get("no_rope_layers") else None
        if kinds is not None:
            return [chunk if "chunked" in str(kind) else 0 for kind in kinds]
        if turned is not None:
            return [chunk if one else 0 for one in turned]
        interval = config.option("no_rope_layer_interval", default=4, minimum=1)
        return [0 if not chunk or (i + 1) % interval == 0 else chunk for i in range(layers)]
    if family.window == "none" or (family.window_switch and not config.flag(family.window_switch)):
        return [0] * layers
    if config.values.get("use_sliding_window") is False:
        return [0] * layers
    # Files written before null was kept leave it out where there is none, so a class default is no window there.
    stated = family.window == "all"
    window = config.count("sliding_window", default=0, minimum=0) if stated else config.option(*WINDOWS, default=0)
    if not window:
        return [0] * layers
    kinds = config.per_layer("layer_types", layers)
    if kinds is not None:
        return [window if "sliding" in str(kind) else 0 for kind in kinds]
    if family.window == "upper":
        from_layer = config.option("max_window_layers", default=layers)
        return [window if i >= from_layer else 0 for i in range(layers)]
    if family.window == "all":
        return [window] * layers
    return [window if kind else 0 for kind in _pattern(config, family, layers)]


def _pattern(config: Config, family: Family, layers: int) -> list[bool]:
    """Whether each layer has the window: every n-th is full, or a word such as LLLG is repeated."""
    stated = config.value(family.window_pattern_key)
    if isinstance(stated, str):
        word = stated.upper()
        if not word or set(word) - set("LG"):
            raise config.error(family.window_pattern_key, f"{stated!r} is no word of L (window) and G (full)")
        # The last layer is full whatever the word says (EXAONE 4).
        return [word[i % len(word)] == "L" and i != layers - 1 for i in range(layers)]
    step = config.option(family.window_pattern_key, default=family.window_pattern or 1, minimum=1)
    return [(i if family.window_first else i + 1) % step != 0 for i in range(layers)]
