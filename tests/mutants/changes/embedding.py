"""Wrong changes to how images are embedded into a file."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("sources/csv_columns.py", "sources/test_csv_columns.py")(
        (
            r'_INTEGER = re.compile(r"0|-?[1-9][0-9]*")',
            r'_INTEGER = re.compile(r"-?[0-9]+")',
            "the identity 0002 becomes 2",
        ),
    ),
    *of("sources/files.py", "sources/test_source_files.py")(
        (
            "if os.path.islink(path) and os.path.commonpath(",
            "if False and os.path.commonpath(",
            "a link in a folder of somebody else's embeds the user's own images",
        ),
    ),
    *of("sources/video.py", "sources/test_video.py")(
        (
            'options={"format_whitelist": FORMATS}',
            "options={}",
            "a playlist that passes for a video opens what it names",
        ),
        (
            'order = np.argsort(columns["frame"], kind="stable")',
            'order = np.arange(len(columns["frame"]))',
            "a video is decoded from its start for every track",
        ),
    ),
    *of("embedding/embed_file.py", "embedding/test_embed_file.py")(
        (
            "made_of = [*same, ",
            "made_of = [*same[1:], ",
            "a file holds the embeddings of two models",
        ),
        (
            "((k * batches // shards) * settings.batch_size for k in (number - 1, number))",
            "(k * count // shards for k in (number - 1, number))",
            "an image's batch in a shard is another than in one run",
        ),
        (
            "if gone and not settings.skip_bad:",
            "if False:",
            "hours of work before a wrong path is named",
        ),
    ),
    *of("embedding_table.py", "embedding/test_embed_file.py")(
        (
            'sorted(columns, key=lambda name: (name != "path", name))',
            "columns",
            "joined shards differ from the file of one run",
        ),
    ),
]
