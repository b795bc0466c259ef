"""Hardware facts from real machines: what NVML or saved nvidia-smi output says, turned into a part of a problem file."""
