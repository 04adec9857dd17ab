"""Training: losses, optimizer, one step, checkpoints, and the loop that tells the story."""
