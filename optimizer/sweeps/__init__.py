"""Many problems from one file, one answer each: counts of GPUs, and any fields crossed. ``docs/sweep.md``."""
