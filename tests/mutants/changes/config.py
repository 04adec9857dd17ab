"""Wrong changes to defaults, checks and the list of methods."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("config.py", "test_defaults.py")(
        ("weight_decay: float = 5e-4", "weight_decay: float = 1e-4", "another paper"),
        ("flip_probability: float = 0.5", "flip_probability: float = 0.0", "another paper"),
        ("erase_size: int = 64", "erase_size: int = 32", "another paper"),
        ("warmup_epochs: float = 49", "warmup_epochs: float = 50", "another paper"),
        ("top_k: int = 3", "top_k: int = 4", "another paper"),
        ("label_smoothing: float = 0.1", "label_smoothing: float = 0.0", "another paper"),
        ("block: tuple[int, int] = (3, 2)", "block: tuple[int, int] = (2, 3)", "another paper"),
        ("embedding_size: int = 512", "embedding_size: int = 256", "another paper"),
        ("epochs: int = 400", "epochs: int = 120", "another paper"),
        ("drop_height: float = 0.33", "drop_height: float = 0.3", "another BDB"),
    ),
    *of("config_check.py", "cli/test_config.py")(
        (
            '        "data.images_per_identity": (config.data.images_per_identity, 1),\n',
            "",
            "nonsense accepted",
        ),
        (
            '        "train.log_every": (config.train.log_every, 1),\n',
            "",
            "nonsense accepted",
        ),
        (
            "if not 1 <= settings.k2 <= settings.k1:",
            "if not settings.k2 <= settings.k1:",
            "k2 of 0 accepted",
        ),
        (
            "if not 0 < config.method.top_k <= blocks:",
            "if not 0 < config.method.top_k < blocks:",
            "replacing all blocks is refused",
        ),
        (
            "config.data.erase_size > min(config.data.image_size)",
            "config.data.erase_size > max(config.data.image_size)",
            "a square larger than the image",
        ),
        (
            "if not 0 < first <= second:",
            "if not 0 < first:",
            "rates that fall in the wrong order",
        ),
    ),
    *of("methods.py", "mixing/test_methods.py", "mixing/test_replace.py")(
        (
            '"cutout": Method("CutOut", "pmm", "feature", "attentive", "zeros")',
            '"cutout": Method("CutOut", "pmm", "feature", "attentive", "negative")',
            "CutOut is PMM",
        ),
        (
            '"easy_mix": Method("Easy mix", "pmm", "feature", "attentive", "negative\'s weakest")',
            '"easy_mix": Method("Easy mix", "pmm", "feature", "attentive", "negative")',
            "easy mix is PMM",
        ),
        (
            'return self.filling == "another image"',
            "return self.mixes",
            "labels of feature mixing are mixed",
        ),
    ),
]
