"""How evenly the stages are loaded: ε = (max − mean) / mean of a quantity over all stages of a replica."""

from __future__ import annotations

from optimizer.reporting.document import Figure
from optimizer.reporting.ledger import EXACT, Ledger, number

FORMULA = "ε = (max − mean) / mean over the stages"


def derive_imbalance(ledger: Ledger, id: str, what: str, parts: list[tuple[int, float, str]], unit: str) -> Figure:
    """ε of a quantity.

    Args:
        parts: (number of equal stages, value, its derivation).
        unit: as arithmetic knows it.
    """
    count = sum(times for times, _, _ in parts)
    mean = sum(times * value for times, value, _ in parts) / count
    most = max(value for _, value, _ in parts)
    largest = f"max({', '.join(f'{number(value, EXACT)} {unit}' for _, value, _ in parts)})"
    average = f"({' + '.join(f'{times} × {number(value, EXACT)} {unit}' for times, value, _ in parts)}) / {count}"
    return ledger.derive(
        id, f"Imbalance ε of {what}", FORMULA, f"({largest} − {average}) / ({average})", (most - mean) / mean, "",
        text=f"{(most - mean) / mean:.4f}", inputs=[derivation for _, _, derivation in parts],
        note="0: perfectly even; 0.05: the fullest stage is 5 % above the mean",
    )  # fmt: skip
