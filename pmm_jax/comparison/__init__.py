"""Against PyTorch: golden files of the release, and a baseline of our own trained beside ours."""
