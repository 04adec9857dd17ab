"""A trunk whose activations say where an image is salient, for Attentive CutMix."""

from pathlib import Path

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Network, Tree, create_network
from pmm_jax.model.pretrained import load_resnet50
from pmm_jax.model.torch_checkpoint import load_state_dict
from pmm_jax.model.weights_file import read_file


@struct.dataclass
class SaliencyTrunk:
    """A trunk with its weights."""

    trunk: nn.Module = struct.field(pytree_node=False)
    params: Tree
    batch_stats: Tree

    @classmethod
    def of(cls, network: Network, params: Tree, batch_stats: Tree) -> "SaliencyTrunk":
        """A network's own trunk."""
        return cls(network.modules["trunk"], params["trunk"], batch_stats["trunk"])

    def saliency(self, dtype: jnp.dtype, images: jax.Array) -> jax.Array:
        """Mean activation of each cell of the trunk's map at test time; no gradient goes through.

        Args:
            dtype: of the activations.
            images: (N, H, W, 3), normalized.

        Returns:
            (N, H / 16, W / 16) float32.
        """
        variables = {"params": self.params, "batch_stats": self.batch_stats}
        feature_map = self.trunk.apply(variables, images.astype(dtype), False)
        assert isinstance(feature_map, jax.Array)  # no collection was asked for
        return jax.lax.stop_gradient(feature_map).astype(jnp.float32).mean(-1)


def load_saliency_trunk(name: str) -> SaliencyTrunk:
    """The saliency trunk that method.saliency_model names, other than `own`.

    Args:
        name: `imagenet`, or a file that holds a network.

    Raises:
        UserError: it can't be had, or holds no network.
    """
    if name == "imagenet":
        network = create_network(ModelConfig(), "trunk", 0)
        params, batch_stats = init_params(network, seed=0)
        trunk = load_resnet50(name, params["trunk"], batch_stats["trunk"])
        return SaliencyTrunk(network.modules["trunk"], *trunk)
    hint = "set method.saliency_model to own, imagenet, or a file that holds a network"
    if not Path(name).is_file():
        raise UserError(f"method.saliency_model {name} is no file; {hint}")
    found = load_state_dict(name, read_file(Path(name), hint))
    return SaliencyTrunk.of(found.network, found.params, found.batch_stats)
