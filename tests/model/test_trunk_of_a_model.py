"""Training that goes on from the trunk of a trained model."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from pmm_jax.model.pretrained import load_resnet50
from pmm_jax.model.torch_checkpoint import state_dict


def test_the_trunk_of_a_whole_model(tmp_path: Path) -> None:
    """As `convert` writes a trained run: to go on with other people."""
    model = ModelConfig(stage_sizes=(1, 2, 1, 1), width=0.125, embedding_size=8)
    network = create_network(model, "pmm", 5)
    params, stats = init_params(network, seed=3)
    file = tmp_path / "model.safetensors"
    save_file(state_dict(params, stats), file)
    other, other_stats = init_params(create_network(model, "bdb", 9), seed=4)
    found, found_stats = load_resnet50(str(file), other["trunk"], other_stats["trunk"])
    jax.tree.map(np.testing.assert_array_equal, found, params["trunk"])
    jax.tree.map(np.testing.assert_array_equal, found_stats, stats["trunk"])
    deeper, deeper_stats = init_params(
        create_network(replace(model, stage_sizes=(1, 2, 2, 1)), "bdb", 9), 0
    )
    with pytest.raises(UserError, match=r"backbone.6.1.conv1.*a model of this size"):
        load_resnet50(str(file), deeper["trunk"], deeper_stats["trunk"])
