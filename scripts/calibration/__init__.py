"""What ``scripts/calibrate.py`` and ``scripts/accuracy.py`` share: measured runs, their predictions, the fit, the scores."""
