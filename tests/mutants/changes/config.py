"""Wrong changes to defaults, checks and the list of methods."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("config.py", "test_config_defaults.py")(
        ("weight_decay: float = number(5e-4", "weight_decay: float = number(1e-4", "another paper"),
        ("flip_probability: float = number(0.5", "flip_probability: float = number(0.0", "-"),
        ("erase_size: int = number(64", "erase_size: int = number(32", "another paper"),
        ("warmup_epochs: float = number(49", "warmup_epochs: float = number(50", "another paper"),
        ("top_k: int = number(3", "top_k: int = number(4", "another paper"),
        ("label_smoothing: float = number(0.1", "label_smoothing: float = number(0.0", "-"),
        ("= number((3, 2), 1, 128)", "= number((2, 3), 1, 128)", "another paper"),
        ("embedding_size: int = number(512", "embedding_size: int = number(256", "another paper"),
        ("epochs: int = number(400", "epochs: int = number(120", "another paper"),
        ("drop_ratio: float = number(0.33", "drop_ratio: float = number(0.3", "another BDB"),
    ),
    *of("config.py", "test_ranges.py")(
        ("number(16, 2, 4096)", "number(16, 1, 4096)", "a batch of one identity"),
        ("number(4, 1, 1024)", "number(4, 0, 1024)", "nonsense accepted"),
        ("number(0.1, 0, 1)", "number(0.1, 0, 2)", "label smoothing beyond 1"),
        ("number((0.9, 0.999), 0, 0.999999)", "number((0.9, 0.999), 0, 1)", "betas of 1"),
        ("number(1e-8, 1e-16, 1)", "number(1e-8, 0, 1)", "eps of 0"),
        ("number(10, 1, 1_000_000)", "number(10, 0, 1_000_000)", "division by 0"),
        ("number(6, 1, 10_000", "number(6, 0, 10_000", "k2 of 0 accepted"),
        (
            "label_smoothing: float = number(0.1, 0, 1)",
            'label_smoothing: float = number(0.1, 0, 1, scope="execution")',
            "another label smoothing counts as the same run",
            "workdir/test_run_config.py",
        ),
        (
            'remat: bool = option(False, scope="execution")',
            'remat: bool = option(False, scope="run")',
            "a run can't go on with less memory",
            "workdir/test_run_config.py",
        ),
    ),
    *of("config_check.py", "cli/test_config.py")(
        (
            "if settings.k2 > settings.k1:",
            "if False:",
            "k2 beyond k1 accepted",
            "evaluation/test_summary.py",
        ),
        (
            "config.data.erase_size > min(height, width)",
            "config.data.erase_size > max(height, width)",
            "a square larger than the image",
        ),
        ("    if first > second:\n", "    if False:\n", "rates that fall in the wrong order"),
    ),
    *of("fields.py", "test_fields.py", "cli/test_config.py")(
        (
            "all(least <= one <= most for one in values)",
            "all(least < one <= most for one in values)",
            "the least value itself is refused",
        ),
        (
            "if not all(least <= one <= most for one in values):",
            "if any(one < least or one > most for one in values):",
            "NaN accepted",
        ),
        (
            "values = value if isinstance(value, tuple) else (value,)\n    # Written",
            "values = value[:1] if isinstance(value, tuple) else (value,)\n    # Written",
            "only the first of several numbers is checked",
        ),
    ),
]
