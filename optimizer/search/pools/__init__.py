"""What may be chosen of a prefill and a decode pool, what must hold, and what is better. ``docs/disaggregated.md``."""
