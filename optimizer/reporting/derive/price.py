"""What the GPUs in use cost: per hour, and for a million output tokens. Nothing where no price is known."""

from __future__ import annotations

from optimizer.reporting.ledger import number
from optimizer.reporting.subject import Subject

PRICES = {
    "price_per_hour": "Price per hour",
    "price_per_million_output_tokens": "Price per million output tokens",
}


def derive_price(subject: Subject) -> None:
    """Both, with their arithmetic."""
    hourly, each = subject.metrics.price_per_hour, subject.hardware.price_per_gpu_hour
    if hourly is None or each is None:
        return
    ledger, work = subject.ledger, subject.problem.workload
    ledger.derive(
        "price_per_hour", PRICES["price_per_hour"], "GPUs in use × price of a GPU-hour",
        f"{subject.strategy.gpus} × {number(each)}", hourly, "", text=f"{hourly:,.2f}", note="hardware.price_per_gpu_hour",
    )  # fmt: skip
    tokens = subject.metrics.price_per_million_output_tokens
    if tokens is None:
        return
    ledger.derive(
        "price_per_million_output_tokens", PRICES["price_per_million_output_tokens"],
        "price per hour / (requests/s × output tokens × availability × 3,600) × 1,000,000",
        f"{number(hourly)} / ({number(work.requests_per_s)} × {number(work.output_tokens)} × {number(subject.metrics.availability)} "
        "× 3600) × 1000000",
        tokens, "", text=f"{tokens:,.2f}", note="docs/sweep.md", inputs=("price_per_hour",),
    )  # fmt: skip
