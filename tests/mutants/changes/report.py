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
        (
            '"same camera" if gallery.cameras[image] == query.cameras[i] else "right"',
            '"right"',
            "an image of the query's own camera takes a rank",
        ),
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
    *of("report/overlap.py", "report/test_overlap.py")(
        (
            "(one & other).sum((1, 2)) / (one | other).sum((1, 2))",
            "(one & other).sum((1, 2)) / one.sum((1, 2))",
            "overlap isn't IoU",
        ),
        (
            "common / (2 * top_k - common)",
            "common / top_k",
            "chance isn't of IoU",
        ),
    ),
    *of("report/heads.py", "report/test_explanation.py")(
        (
            "np.concatenate([cams, cams.sum(1, keepdims=True)], axis=1)",
            "np.concatenate([cams, cams.max(1, keepdims=True)], axis=1)",
            "what all stages see is the strongest one's alone",
        ),
        (
            "np.cumsum(list(sizes.values()))[:-1]",
            "len(sizes)",
            "BDB's branches are cut in the middle",
        ),
    ),
    *of("report/sections/attention.py", "report/test_attention.py")(
        (
            'if heads == 1 or method.level != "feature" or not method.attentive:',
            "if heads == 1:",
            "blocks outlined that no training replaces",
        ),
        (
            "jnp.asarray(cams[:, stage])",
            "jnp.asarray(cams[:, 0])",
            "every stage has the first one's outline",
        ),
    ),
    *of("report/page.py", "report/test_escaping.py")(
        ("autoescape=True", "autoescape=False", "an image's name is HTML on the page"),
        ("hashlib.sha256(js.encode())", "hashlib.sha256()", "the page's own script doesn't run"),
    ),
    *of("report/charts.py", "report/test_charts.py")(
        ('"text.parse_math": False', '"text.parse_math": True', "a run's name is TeX in charts"),
        (
            "axes.legend(handles, [line.label for line in lines])",
            "axes.legend()",
            "the legend names no run",
        ),
        (
            "STYLES[(number + number // len(SERIES)) % len(STYLES)]",
            "STYLES[number % len(STYLES)]",
            "a seventh run looks like the first",
        ),
    ),
    *of("report/runs.py", "report/test_runs.py")(
        (
            "not np.array_equal(one, other)",
            "len(one) != len(other)",
            "runs on other images are accepted as paired",
        ),
        (
            "if not np.array_equal(*counted):",
            "if False:",
            "runs that count other queries are accepted as paired",
        ),
    ),
    *of("report/several/run_results.py", "report/test_runs.py")(
        (
            "getattr(one, attribute), getattr(other, attribute), seed",
            "getattr(other, attribute), getattr(one, attribute), seed",
            "differences with the wrong sign",
        ),
    ),
    *of("report/several/run_queries.py", "report/test_runs.py")(
        (
            '"only_first": ours & ~theirs',
            '"only_first": ~ours & theirs',
            "who finds a query is swapped",
        ),
    ),
    *of("report/run_data.py", "report/test_bad_input.py")(
        (
            "restore_run(self.workdir, checkpoint, steps.append)",
            'restore_run(self.workdir, "latest", steps.append)',
            "a page is of another checkpoint than the run's evaluation",
        ),
    ),
    *of("cli/report.py", "report/test_bad_input.py")(
        (
            'if config.evaluate.checkpoint == "latest" else None',
            "if True else None",
            "the best checkpoint's page has the last one's embeddings",
        ),
    ),
    *of("report/sections/distances.py", "report/test_distances_section.py")(
        (
            "max(point.threshold, 0) ** 0.5",
            "point.threshold",
            "thresholds are of squared distances",
        ),
        (
            "told = point.allowed >= LEAST_ALLOWED",
            "told = point.allowed > LEAST_ALLOWED",
            "a rate that allows ten false pairs can't be told",
        ),
    ),
    *of("report/sections/result.py", "report/sections/test_result.py")(
        (
            '{"rank1": row[0], "mAP": row[1]}',
            '{"rank1": row[1], "mAP": row[0]}',
            "the paper's Rank-1 and mAP are swapped",
        ),
        (
            "or published.images != len(query.identities)",
            "or False",
            "the paper's figures stand beside a part of its queries",
        ),
    ),
    *of("report/sections/confusions.py", "report/sections/test_confusions.py")(
        (
            "return (identities > 0) |",
            "return (identities >= 0) |",
            "distractors are label errors",
        ),
        (
            "(one, other, there, back) if there >= back else (other, one, back, there)",
            "(one, other, back, there) if there >= back else (other, one, there, back)",
            "who is taken for whom is swapped",
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
