"""Why this split of nodes between several models, or why none."""
