"""Accuracy of a striped color histogram, a lower bound for any model.

    python -m benchmarks.color_baseline DIR [--json]

DIR is any folder in Market-1501's layout. Market-1501 itself gives Rank-1 17.0 %, mAP 5.5 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile

from pmm_jax.color_baseline import color_baseline
from pmm_jax.config import DataConfig, RankConfig
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split
from pmm_jax.errors import UserError
from pmm_jax.files import user_path


def main() -> None:
    """Parse the command line and print Rank-1 and mAP."""
    parser = argparse.ArgumentParser(description="Accuracy of an 8-stripe HSV histogram.")
    parser.add_argument(
        "root", type=user_path, metavar="DIR", help="folder in Market-1501's layout"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            data = DataConfig(root=str(arguments.root), cache_dir=folder)
            prepare(data)
            query, gallery = (open_split(data, name) for name in ("query", "gallery"))
            metrics = color_baseline(query, gallery, RankConfig())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if arguments.json:
        print(json.dumps({"rank1": metrics.rank1, "mAP": metrics.mAP}))
    else:
        print(f"Rank-1 {metrics.rank1:.1%}  mAP {metrics.mAP:.1%}  ({metrics.evaluated} queries)")


if __name__ == "__main__":
    main()
