"""Wrong changes to what says that we are equal to PyTorch, and to the comparison of methods."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("comparison/parity.py", "comparison/test_parity.py")(
        (
            'relative = np.abs(norms / np.where(nonzero, ref["grad_norm"], 1) - 1)[nonzero]',
            "relative = np.abs(norms / np.where(nonzero, norms, 1) - 1)[nonzero]",
            "gradients compared with themselves",
        ),
        (
            "relative = _ratio(np.abs(norms - expected), np.abs(expected))",
            "relative = _ratio(np.abs(norms - norms), np.abs(expected))",
            "weights compared with themselves",
        ),
        (
            '    yield Quantity(f"step {number + 1}: statistics, norms", '
            "_largest(relative[running]), TOLERANCE)\n",
            "",
            "statistics' norms skipped",
        ),
        (
            '    yield Quantity(f"step {number + 1}: statistics, sums", '
            "_largest(moved[running]), TOLERANCE)\n",
            "",
            "statistics' sums skipped",
        ),
        (
            "yield from _losses(number, step.losses, ref)",
            "yield from _losses(number, step.losses, ref) if number == 0 else ()",
            "losses of steps 2 and 3 skipped",
        ),
        (
            "return self.difference <= self.tolerance",
            "return not self.difference > self.tolerance",
            "NaN agrees",
        ),
        ("return not beyond", "return True", "parity always says that all agree"),
        (
            "return float(values.max()) if len(values) else 0.0",
            "return float(values.min()) if len(values) else 0.0",
            "the smallest difference in place of the largest",
        ),
        (
            "difference = _ratio(np.abs(ours - ref[name]).max(), np.abs(ref[name]).max())",
            "difference = _ratio((ours - ref[name]).max(), np.abs(ref[name]).max())",
            "differences below 0 agree",
        ),
        ("\nTOLERANCE = 1e-6", "\nTOLERANCE = 1e-2", "a hundredth off agrees"),
    ),
    *of("comparison/golden.py", "comparison/test_golden.py")(
        (
            "return z * np.sqrt(2.0 / np.prod(shape[1:]))",
            "return z * np.sqrt(2.0 / np.prod(shape[:-1]))",
            "other weights than the release's side",
        ),
    ),
    *of("comparison/paired_step.py", "comparison/test_paired_step.py")(
        (
            "np.maximum(np.abs(baseline), TINY)).max())",
            "np.maximum(np.abs(baseline), TINY)).min())",
            "the smallest difference in place of the largest",
        ),
        (
            "for one, other in zip(ours, baseline, strict=True)",
            "for one, other in zip(ours[:1], baseline[:1], strict=True)",
            "only stage II's blocks counted",
        ),
        (
            "other.reshape(len(other), -1)).any(1).sum())",
            "other.reshape(len(other), -1)).all(1).sum())",
            "other blocks hardly counted",
        ),
        (
            "return max(step[",
            "return min(step[",
            "the smallest difference in place of the largest",
        ),
    ),
    *of("comparison/pair.py", "comparison/test_pair.py")(
        (
            "rate = float(self._schedule(np.int32(number - 1)))",
            "rate = float(self._schedule(np.int32(number)))",
            "the baseline's rate is the next step's",
        ),
        (
            "stage2, stage3 = (torch",
            "stage3, stage2 = (torch",
            "the baseline's stages swap their negatives",
        ),
    ),
    *of("comparison/compare.py", "comparison/test_compare_embeddings.py")(
        (
            "evaluate_ranking(query, gallery, settings, settings.query_block)",
            "evaluate_ranking(query, gallery, type(settings)(), settings.query_block)",
            "evaluate.* ignored in a comparison",
        ),
        (
            "zip(SIDES, (ours, baseline), strict=True)",
            "zip(SIDES, (ours, ours), strict=True)",
            "ours compared with itself",
        ),
    ),
    *of("comparison/compare.py", "comparison/test_compare.py")(
        (
            "float(ours / baseline)",
            "float(baseline / ours)",
            "the ratio of times upside down",
            "comparison/test_seed_pairs.py",
        ),
    ),
    *of("comparison/seeds.py", "comparison/test_seed_pairs.py", "comparison/test_compare.py")(
        (
            "for result in results], axis=0).tolist()",
            "for result in results[:1]], axis=0).tolist()",
            "means are the first seed's",
        ),
        (
            "replace(config.train, seed=seed)",
            "replace(config.train, seed=0)",
            "every seed is seed 0",
        ),
    ),
    *of("torch_baseline/step.py", "comparison/test_baseline_step.py")(
        (
            '{"params": others, "weight_decay": 0.0}',
            '{"params": others, "weight_decay": optim.weight_decay}',
            "the baseline's AdamW decays biases, too",
        ),
        (
            "optim.eps, optim.weight_decay\n",
            "optim.eps\n",
            "the baseline's weight decay ignored",
        ),
        (
            'l2 = optim.weight_decay if optim.optimizer == "adam" else 0.0',
            "l2 = optim.weight_decay",
            "the baseline's AdamW centralizes a decay that is not in its gradient",
        ),
        (
            'or "softmax" in name',
            'or "softmax" not in name',
            "the baseline centralizes all but its classifiers",
        ),
        (
            "tuple(range(1, whole.ndim))",
            "tuple(range(whole.ndim - 1))",
            "the baseline's means are over the outputs",
        ),
    ),
    *of("torch_baseline/embed.py", "comparison/test_pair.py")(
        (
            "features = (features + model(x.flip(3))) / 2",
            "features = (features + model(x.flip(2))) / 2",
            "the baseline's mirror image is upside down",
        ),
    ),
    *of("torch_baseline/mixing.py", "comparison/test_pair.py")(
        (
            "descending=True, stable=True).indices[:, :top_k]",
            "descending=False, stable=True).indices[:, :top_k]",
            "the baseline replaces its weakest blocks",
        ),
    ),
    *of("ablation/table.py", "ablation/test_ablation_table.py")(
        (
            "float(np.std(means, ddof=1)) if",
            "float(np.std(means)) if",
            "spread over seeds too narrow",
        ),
        (
            "[seed for seed in values if seed in first]",
            "list(values)[:1]",
            "differences of the first seed alone",
        ),
        (
            "difference = runs_interval(mine, theirs)",
            "difference = runs_interval(theirs, mine)",
            "differences with the wrong sign",
        ),
        (
            'mAP=_figure(own, against, "average_precision")',
            'mAP=_figure(own, against, "hits")',
            "the mAP column is Rank-1's",
        ),
        (
            "np.median([result.seconds for result in own.values()]) / 60",
            "np.median([result.seconds for result in own.values()])",
            "seconds called minutes",
        ),
    ),
    *of("ablation/grid.py", "ablation/test_ablation_grid.py")(
        (
            "replace(self.config.train, seed=seed)",
            "replace(self.config.train, seed=0)",
            "every seed is seed 0",
        ),
    ),
]
