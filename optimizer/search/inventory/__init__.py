"""Which engine instances, of which shapes, on which nodes of an inventory. ``docs/inventories.md``."""
