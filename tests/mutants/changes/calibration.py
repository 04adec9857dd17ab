"""Wrong changes to thresholds and where they are kept."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("evaluation/threshold.py", "evaluation/test_threshold.py")(
        (
            'np.einsum("ib,ib->b", wide, counts @ wide)',
            'np.einsum("ib,ib->b", wide, counts @ np.ones_like(wide))',
            "only one side of a pair is resampled: intervals are half as wide",
        ),
        (
            "(np.roll(rates, 1, 0), np.roll(missed, 1, 0))",
            "(rates, np.roll(missed, 1, 0))",
            "a threshold is tried on the people that it was calibrated on",
        ),
        (
            "self._camera[rows][i] != self._camera[columns][j]",
            "self._camera[rows][i] < np.inf",
            "pairs of one camera are false matches, too",
        ),
    ),
    *of("search/calibrate.py", "search/test_calibrate.py")(
        (
            "is_new = ~np.isin(identities[rows], trained.identities)",
            "is_new = np.ones(len(rows), bool)",
            "a threshold is found on people that the model was trained on",
        ),
        (
            "evaluate = replace(config.evaluate, checkpoint=checkpoint, flip_average=False)",
            "evaluate = replace(config.evaluate, checkpoint=checkpoint)",
            "a threshold of averaged embeddings decides of plain ones",
        ),
    ),
    *of("api.py", "test_model_file.py")(
        (
            "if model.calibration is not None and model.calibration.model != model.fingerprint:",
            "if False:",
            "a model decides by another model's threshold",
        ),
    ),
]
