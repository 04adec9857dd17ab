"""The data sets by the name that they have in a config."""

DATASETS: dict[str, str | type] = {
    "market1501": "pmm_jax.data.datasets.market1501:Market1501",
    "dukemtmc": "pmm_jax.data.datasets.dukemtmc:DukeMTMC",
    "cuhk03_detected": "pmm_jax.data.datasets.cuhk03:CUHK03Detected",
    "cuhk03_labeled": "pmm_jax.data.datasets.cuhk03:CUHK03Labeled",
    "msmt17": "pmm_jax.data.datasets.msmt17:MSMT17",
    "folder": "pmm_jax.data.datasets.folder:Folder",
}
"""Class by data.name: MODULE:CLASS, imported on first use, as configs are below all data sets; or
the class itself, where `pmm_jax.data.datasets.register` added one from outside the package."""
