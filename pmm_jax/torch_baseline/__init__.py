"""PMM in plain PyTorch, as a PyTorch user would write it: the baseline to compare with.

Written from the method's description, for comparison alone; nothing else here needs torch to run.
Modules have the release's names, so that its checkpoints load.
"""
