"""Training: losses, optimizer, step, hooks and loop."""
