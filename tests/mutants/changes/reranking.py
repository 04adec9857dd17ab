"""Wrong changes to re-ranking's neighbor sets and to its form for accelerators."""

from tests.mutants.mutant import Mutant, of

MUTANTS: list[Mutant] = [
    *of("evaluation/nearest_sets.py", "evaluation/test_nearest_sets.py")(
        (
            "order = np.lexsort((indices, keys))",
            "order = np.lexsort((indices, distances))",
            "float32's rounding decides who is a neighbor",
        ),
        (
            "is_cut &= is_open &",
            "is_cut &= ~is_open &",
            "of many images as near, those found first are the neighbors",
        ),
    ),
    *of("evaluation/device_reranking.py", "evaluation/test_device_reranking.py")(
        (
            "return round(k1 / 2) + 1",
            "return k1 // 2",
            "other neighbor sets than the published code's",
        ),
        (
            "joins = is_mutual & (3 * shared > 2 * is_theirs.sum(-1))",
            "joins = is_mutual & (3 * shared >= 2 * is_theirs.sum(-1))",
            "sets expanded too often on an accelerator",
        ),
        (
            "for shift in range(1, k):",
            "for shift in range(1, k - 1):",
            "a member that all neighbors share loses a neighbor's weight",
        ),
        (
            "before = start - first, block",
            "before = 0, block",
            "the last queries' rows come twice",
        ),
    ),
]
