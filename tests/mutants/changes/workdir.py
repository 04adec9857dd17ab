"""Wrong changes to a run's folder, and to what training and evaluation share."""

from tests.mutants.mutant import of

RECORD = "training/test_run_record.py"
RESUME = "training/test_resume.py"

MUTANTS = [
    *of("distributed/sharding.py", "distributed/test_sharding.py")(
        (
            "if batch_size % count:",
            "if False:",
            "a batch that the devices can't share ends in a traceback",
        ),
    ),
    *of("inference.py", "test_api.py", "test_inference.py")(
        (
            "images[:, :, ::-1]], axis=1)",
            "images[:, ::-1]], axis=1)",
            "the mirror image is turned upside down",
        ),
        (
            "return embeddings.reshape(len(images), 2, -1).mean(1)",
            "return embeddings.reshape(2, len(images), -1).mean(0)",
            "images averaged with other images",
        ),
        (
            "features, split.identities, split.cameras, paths",
            "features, split.identities, split.cameras * 0, paths",
            "in training's evaluation the cameras are ignored",
            RECORD,
        ),
        (
            "restore_run(workdir, config.evaluate.checkpoint, display.info)",
            'restore_run(workdir, "latest", display.info)',
            "evaluate.checkpoint ignored",
            "workdir/test_restore.py",
        ),
    ),
    *of("workdir/restore.py", "workdir/test_restore.py", "training/test_average.py")(
        (
            "config.optim.ema_decay > 0\n",
            "False\n",
            "eval.py, load and export take the last weights, not their average",
        ),
        (
            'checkpoints.best if checkpoint == "best" else checkpoints.latest',
            "checkpoints.latest",
            "the best checkpoint is never read",
        ),
    ),
    *of("workdir/run_config.py", "workdir/test_run_config.py")(
        (
            '_FREE = names_in(Config, "execution", "host", "test")',
            '_FREE = names_in(Config, "execution", "host", "test") | {"method.label_smoothing"}',
            "another label smoothing counts as the same run",
        ),
        (
            '_FREE = names_in(Config, "execution", "host", "test")',
            '_FREE = names_in(Config, "execution", "host", "test") | {"optim.betas"}',
            "other betas count as the same run",
        ),
        (
            "and new > old:",
            "and new >= 0:",
            "a run may be made shorter than it is",
        ),
    ),
    *of("workdir/run_log.py", "workdir/test_run_log.py", RECORD, RESUME)(
        (
            "write_atomic(self._path, expected)",
            "write_atomic(self._path, found or expected)",
            "a resumed run has lines twice",
        ),
        (
            "value if value is not None and math.isfinite(value) else None",
            "value",
            "metrics.jsonl isn't JSON where a loss isn't finite",
        ),
        (
            "_append(workdir / DAMAGED, found)",
            "pass",
            "damaged lines are gone",
        ),
        (
            "scalar(name, value)",
            "scalar(name, float(step))",
            "TensorBoard shows other figures than metrics.jsonl",
        ),
    ),
    *of("workdir/sessions.py", "workdir/test_sessions.py")(
        (
            'found[-1]["started"] == values["started"]',
            "True",
            "a process that was killed has the end of another",
        ),
        (
            'names_in(Config, "execution", "host")',
            'names_in(Config, "execution", "host", "test")',
            "a report doesn't say that the gallery was re-ranked",
        ),
        (
            '"" if found.endswith(b"\\n") or not found else "\\n"',
            '""',
            "a line that a crash cut short takes the next one with it",
        ),
        (
            'return re.sub(rf"{re.escape(home)}',
            'return value or re.sub(rf"{re.escape(home)}',
            "a report says whose home folder it was",
        ),
    ),
    *of("workdir/checkpoint.py", "workdir/test_checkpoint.py", RESUME)(
        (
            "return max(scores, key=lambda step: scores[step], default=None)",
            "return min(scores, key=lambda step: scores[step], default=None)",
            "the worst checkpoint is kept as the best",
            "training/test_best.py",
        ),
        (
            "keep = {*steps[-KEPT:], self.best}",
            "keep = {*steps[-KEPT:]}",
            "the best checkpoint is removed",
            "training/test_best.py",
        ),
        (
            "if sha256_of(self._folder / str(step) / name) != digest:",
            "if not (self._folder / str(step) / name).exists():",
            "a damaged checkpoint is used",
        ),
        (
            "            if not np.isfinite(value).all():\n                name",
            "            if np.isnan(value).all():\n                name",
            "weights with NaN are saved as the only checkpoint",
        ),
        (
            "{name: value for name, value in named.items() if value is not None}",
            '{name: value for name, value in named.items() if name != "opt_state" '
            "and value is not None}",
            "a resumed run starts with fresh moments",
        ),
    ),
]
