"""What decides how well a layout's times can be predicted: which stratum of the measured runs it belongs to."""

from __future__ import annotations

from optimizer.catalog.accuracy import Features
from optimizer.costs.parameters import NARROW_BYTES
from optimizer.costs.shapes import Shape
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.model import ModelFacts


def features_of(
    model: ModelFacts, hardware: HardwareFacts, shape: Shape, engine: str, bytes_per_parameter: float
) -> Features:
    """The stratum of a replica shape.

    Args:
        model: the model.
        hardware: where it runs.
        shape: the layout.
        engine: the serving engine.
        bytes_per_parameter: of the weight format; what routed experts have, where there are any.
    """
    ranks = shape.engine_ranks
    return Features(
        model="MoE" if model.experts else "dense",
        place=_place(hardware, shape),
        stages="several" if shape.pp > 1 else "one",
        ranks="1" if ranks == 1 else "2 to 8" if ranks <= 8 else "more than 8",
        attention=_attention(model),
        maker=_maker(hardware),
        generation=hardware.gpu.kernel_generation,
        bits="16" if bytes_per_parameter >= NARROW_BYTES[0] else "8" if bytes_per_parameter >= NARROW_BYTES[1] else "4",
        engine=engine,
    )


def _place(hardware: HardwareFacts, shape: Shape) -> str:
    group = max(shape.tp, shape.ep)
    together = max(hardware.gpus_per_node, hardware.nvlink_domain_gpus)
    if group > together:
        return "TP or EP over nodes"
    if shape.tp * shape.pp > together:
        return "stages over nodes"
    if group * shape.pp == 1:
        return "one GPU"
    size = group if group > 1 else shape.tp * shape.pp
    return "NVLink" if size <= hardware.nvlink_domain_gpus and hardware.nvlink_gb_per_s > 0 else "PCIe"


def _attention(model: ModelFacts) -> str:
    if model.mla:
        return "MLA"
    recurrent = any(kind.state_values_per_sequence or kind.state_values_replicated for kind in model.kinds)
    return "hybrid" if recurrent else "GQA"


def _maker(hardware: HardwareFacts) -> str:
    """Whose GPUs they are, where not NVIDIA's: ROCm's targets are AMD's."""
    target = hardware.gpu.capability
    return "AMD" if target.startswith("gfx") else "Intel" if target.startswith("gaudi") else ""
