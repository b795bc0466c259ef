"""Which candidate of each of several models stands where on nodes that they share. ``docs/several.md``."""
