"""Evaluate a run, or saved embeddings of any model.

python eval.py --workdir DIR [--evaluate.rerank ...]
python eval.py --embeddings FILE.npz [--rerank] [--distance cosine] [--roc] [--json] ...

The same as `pmm eval`; pmm_jax/cli/eval.py has its options.
"""

from pmm_jax import early  # noqa: F401  # before what takes long to import

# isort: split
from pmm_jax.cli.main import pmm

if __name__ == "__main__":
    pmm("eval")
