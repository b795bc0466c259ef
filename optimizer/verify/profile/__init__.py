"""Is a plan for a day true, and is there none better? ``docs/profile.md``."""
