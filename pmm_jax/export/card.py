"""A model card in the format of Hugging Face's hub: front matter for programs, text for people."""

from pathlib import Path
from typing import Any

import jinja2

from pmm_jax.api import Model
from pmm_jax.errors import UserError
from pmm_jax.evaluation.table import HEADINGS
from pmm_jax.methods import get_method
from pmm_jax.model_file import ModelInfo
from pmm_jax.registry import DATASETS

CARD = "README.md"
"""File name that the hub shows as the card of a repository."""
_TEMPLATE = "card.md.j2"
_TASK = "image-feature-extraction"
_TAGS = ["person-re-identification", "re-id", "metric-learning", "jax", "flax", "safetensors"]
_LICENSES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
}
"""Licenses that the hub knows by these words; it takes any other as `other` with a name."""


def model_card(model: Model, file: str) -> str:
    """README.md of a model.

    Args:
        model: one whose `info` is known.
        file: name of the model file.

    Raises:
        UserError: nothing is known of the model.
    """
    if model.info is None:
        raise UserError("a card needs to know the run that trained the model; export a run")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        # It is Markdown that is rendered, not HTML.
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    info = model.info
    return environment.get_template(_TEMPLATE).render(
        front_matter=_front_matter(model, info),
        name=_name(model, info),
        file=file,
        model=model,
        info=info,
        method=get_method(info.config).title,
        figures=_figures(info),
        parts=model.network.embedding_sizes,
        data=data_name(model, info),
    )


def _name(model: Model, info: ModelInfo) -> str:
    return f"{get_method(info.config).title} on {data_name(model, info)}"


def _is_published(model: Model, info: ModelInfo) -> bool:
    """Whether it was trained on as many identities as the data set of that name has."""
    published = DATASETS[info.config.data.name].published.get("train")
    return published is not None and published.identities == model.classes


def data_name(model: Model, info: ModelInfo) -> str:
    """The data set; a config names no more than the layout of its files."""
    name = info.config.data.name
    return name if _is_published(model, info) else f"own data (layout: {name})"


def _figures(info: ModelInfo) -> list[dict[str, Any]]:
    """Rows of the table: percentages, and intervals where they are known."""
    return [
        {
            "key": key,
            "heading": HEADINGS.get(key, key),
            "percent": round(100 * value, 1),
            "interval": [round(100 * end, 1) for end in info.intervals.get(key, ())],
        }
        for key, value in info.metrics.items()
        if value is not None
    ]


def _front_matter(model: Model, info: ModelInfo) -> str:
    """The YAML between the lines of dashes."""
    from huggingface_hub import EvalResult, ModelCardData

    data, is_published = data_name(model, info), _is_published(model, info)
    words = info.weights_license
    known = words.lower() if words.lower() in _LICENSES else "other"
    results = [
        EvalResult(
            task_type=_TASK,
            task_name="person re-identification",
            dataset_type=data if is_published else "own",
            dataset_name=data,
            metric_type=figure["key"],
            metric_name=f"{figure['heading']} (%)",
            metric_value=figure["percent"],
        )
        for figure in _figures(info)
    ]
    card = ModelCardData(
        license=known if words else "unknown",
        license_name=words if words and known == "other" else None,
        library_name="pmm_jax",
        pipeline_tag=_TASK,
        tags=_TAGS,
        datasets=[data] if is_published else None,
        metrics=[figure["key"] for figure in _figures(info)],
        model_name=_name(model, info),
        eval_results=results or None,
    )
    return card.to_yaml()
