"""A run's folder: config.json, metrics.jsonl, and the checkpoints with their seals."""
