"""Bytes of a matrix in a storage format, scales and zero points included, as a whole number."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

from optimizer.checkpoints.parts import Linear
from optimizer.facts.model import WeightFormat

Activation = Literal["fp8", "int8", "nvfp4", "mxfp4"] | None


@dataclass(frozen=True, slots=True)
class Storage:
    """How one matrix is stored: bits of a weight, and what each group, block, output or tensor adds."""

    weight_format: WeightFormat
    bits: Fraction
    group: int = 0
    """Inputs that share a scale; 0: no groups."""
    group_bits: int = 0
    """Scale and zero point of one group of one output."""
    block: tuple[int, int] | None = None
    """(outputs, inputs) that share a 32-bit scale."""
    output_bytes: int = 0
    """Scale of one output."""
    input_bytes: int = 0
    """Index of one input (GPTQ's g_idx)."""
    tensor_bytes: int = 0
    activation: Activation = None

    def bytes_of(self, linear: Linear) -> int:
        """Of all copies of a matrix, each rounded up to whole bytes."""
        inputs, outputs = linear.inputs, linear.outputs
        exact = Fraction(inputs * outputs) * self.bits / 8
        if self.group:
            exact += Fraction(-(-inputs // self.group) * outputs * self.group_bits, 8)
        total = -(-exact.numerator // exact.denominator)
        if self.block:
            rows, columns = self.block
            total += 4 * -(-outputs // rows) * -(-inputs // columns)
        return linear.copies * (total + outputs * self.output_bytes + inputs * self.input_bytes + self.tensor_bytes)


@cache
def sixteen(weight_format: WeightFormat) -> Storage:
    """A matrix that is not quantised."""
    return Storage(weight_format, Fraction(16))


def integer_format(bits: int) -> WeightFormat:
    """The name of an integer width."""
    names: dict[int, WeightFormat] = {2: "int2", 3: "int3", 4: "int4", 5: "int5", 6: "int6", 8: "int8"}
    return names[bits]


def grouped(
    bits: int, group: int, overhead_bits: int, *, activation: Activation = None, input_bytes: int = 0
) -> Storage:
    """Integers in groups along the input; without groups each output has the overhead once."""
    if group > 0:
        return Storage(
            integer_format(bits), Fraction(bits), group, overhead_bits, input_bytes=input_bytes, activation=activation
        )
    return Storage(
        integer_format(bits),
        Fraction(bits),
        output_bytes=-(-overhead_bits // 8),
        input_bytes=input_bytes,
        activation=activation,
    )


def eight(
    weight_format: Literal["fp8", "int8"], *, block: tuple[int, int] | None = None, output_bytes: int = 0, activation: Activation = None
) -> Storage:  # fmt: skip
    """One byte a weight; a scale per block, per output, or (neither) one 32-bit scale with that of the inputs."""
    return Storage(
        weight_format,
        Fraction(8),
        block=block,
        output_bytes=output_bytes,
        tensor_bytes=0 if block or output_bytes else 8,
        activation=activation,
    )


def nvfp4(activation: Activation = "nvfp4") -> Storage:
    """Four bits, an 8-bit scale per 16, two 32-bit scales per tensor (NVIDIA Model Optimizer's checkpoints)."""
    return Storage("nvfp4", Fraction(4), 16, 8, tensor_bytes=8, activation=activation)


def mxfp4(activation: Activation = None) -> Storage:
    """Four bits, an 8-bit scale per 32 (OCP Microscaling Formats v1.0)."""
    return Storage("mxfp4", Fraction(4), 32, 8, activation=activation)


def average(weight_format: WeightFormat, bits: Fraction) -> Storage:
    """A mix of formats known by its mean width."""
    return Storage(weight_format, bits)
