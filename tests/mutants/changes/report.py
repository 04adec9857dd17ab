"""Wrong changes to what a report shows."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("report/rank_list.py", "report/test_rank_list.py")(
        (
            'if result["mark"] not in EXCLUDED]',
            "]",
            "excluded images take a rank",
        ),
        (
            "np.abs(2 * np.arange(len(best)) + 1 - len(best))",
            "np.abs(np.arange(len(best)) + 1 - len(best))",
            "the worst queries are shown as the median ones",
        ),
        ("int(ahead[0]) + 1", "int(ahead[0])", "a first match stands a rank too high"),
    ),
    *of("report/sections/rank_lists.py", "report/sections/test_rank_lists.py")(
        (
            'junk = replace(junk, features=unit_length("junk", junk.features))',
            "pass",
            "junk is farther than all others by cosine distance",
        ),
    ),
    *of("report/page.py", "report/test_bad_input.py")(
        (
            "if shown is not error:",
            "if False:",
            "pmm report ends well where a section has a fault",
        ),
    ),
    *of("report/sections/result.py", "report/test_bad_input.py")(
        (
            "return _logged(run, error)",
            "raise",
            "a run whose images are gone shows no figure",
        ),
    ),
    *of("report/sections/confusions.py", "report/sections/test_confusions.py")(
        (
            "(metrics.first_match > 1) & (wrong >= 0)",
            "wrong >= 0",
            "who comes after the first match is taken for the query, too",
        ),
    ),
    *of("report/difficulty.py", "report/test_difficulty.py")(
        ("(0.25, 0.5, 0.75)", "(0.2, 0.5, 0.8)", "quartiles are not quarters"),
    ),
    *of("report/page.py", "report/test_page.py")(
        (
            "value == round(value) or abs(value) >= 1000",
            "value == 0",
            "a first match at rank 12,345 stands at 1.234e+04",
        ),
    ),
]
