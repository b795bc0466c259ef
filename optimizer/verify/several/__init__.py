"""Is an answer about several models true, and is its split the best? ``docs/several.md``."""
