"""Why these pools, why not one, why none."""
