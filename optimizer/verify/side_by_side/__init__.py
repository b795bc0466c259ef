"""Is a claim about joint instances beside prefill and decode pools true? ``docs/disaggregated.md``, section 14."""
