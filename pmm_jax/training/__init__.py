"""Training: losses, optimiser, one step, checkpoints, and the loop that tells the story."""
