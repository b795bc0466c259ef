"""What a published checkpoint holds: from config.json, quantisation and tensor headers to ``ModelFacts``."""
