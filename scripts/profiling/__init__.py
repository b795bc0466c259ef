"""What ``scripts/profile_gpu.py`` is made of: measuring with PyTorch, and turning measurements into a hardware entry."""
