"""How many instances of which shape run in each hour of the day. ``docs/profile.md``."""
