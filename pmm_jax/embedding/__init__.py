"""Sources embedded by a model: in memory, or into a file that goes on where it stopped."""
