"""Search for chains of layers over unequal nodes: bound, construction, exact finish (formulation: ``docs/chains.md``)."""
