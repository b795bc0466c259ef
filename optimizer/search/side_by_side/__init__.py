"""Joint instances beside prefill and decode pools: which splits are left to be solved. ``docs/disaggregated.md``, section 14."""
