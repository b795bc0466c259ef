"""The figures that summaries of pools, alone or beside joint instances, begin with: names of the ledger with their words."""

from __future__ import annotations

KEY_FIGURES = (
    ("gpus-used", "GPUs in use"),
    ("ttft_p99_ms", "First token, P99"),
    ("tpot_p99_ms", "Each further token, P99"),
    ("max_request_rate", "Largest request rate within all limits"),
    ("tokens_per_s", "Output tokens per second at the demand"),
    ("availability", "Requests served, failures counted"),
    ("price_per_hour", "Price per hour of the GPUs in use"),
)
