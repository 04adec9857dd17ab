"""ResNet with bottleneck blocks and stride 1 in its last layer: the trunk of BDB and PMM.

Names follow torchvision's (`layer1.0.conv1.weight` is `layer1_0/conv1/kernel`), so that weights
map one to one (pretrained.py).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from pmm_jax.model import operations
from pmm_jax.model.initializers import Initializer, kaiming_normal, ones, zeros
from pmm_jax.model.layers import BatchNorm, Conv, InstanceBatchNorm

EXPANSION = 4
LAYER_WIDTHS = (64, 128, 256, 512)
LAYER_STRIDES = (1, 2, 2, 1)  # torchvision's last layer has 2
IBN_LAYERS = 3
"""Layers with IBN, of a trunk that has it: all but the last."""


def scaled(channels: int, width: float) -> int:
    """Channels of a network of that width: at least 8, in multiples of 8."""
    return max(8, round(channels * width / 8) * 8)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut: (N, H, W, C) to (N, H / s, W / s, 4 planes)."""

    planes: int
    stride: int = 1
    downsample: bool = False
    param_dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer = kaiming_normal("fan_out")
    zero_init_last: bool = False
    """Start as the identity: the last BatchNorm's scale is 0."""
    ibn: bool = False
    """Normalize after conv1 by `InstanceBatchNorm`."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x: (N, H, W, C), C = 4 planes unless `downsample` projects the shortcut."""

        def conv(name: str, features: int, size: int, stride: int = 1) -> Conv:
            return Conv(features, size, stride, self.param_dtype, self.kernel_init, name=name)

        def norm(name: str, scale_init: Initializer = ones) -> BatchNorm:
            return BatchNorm(param_dtype=self.param_dtype, scale_init=scale_init, name=name)

        out = EXPANSION * self.planes
        first = InstanceBatchNorm(self.param_dtype, name="bn1") if self.ibn else norm("bn1")
        y = nn.relu(first(conv("conv1", self.planes, 1)(x), train))
        y = nn.relu(norm("bn2")(conv("conv2", self.planes, 3, self.stride)(y), train))
        last = norm("bn3", zeros if self.zero_init_last else ones)
        y = last(conv("conv3", out, 1)(y), train)
        if self.downsample:
            x = norm("downsample_bn")(conv("downsample_conv", out, 1, self.stride)(x), train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """conv1 to layer4: images (N, H, W, 3) to a feature map (N, H / 16, W / 16, 2048 width)."""

    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: float = 1.0
    remat: bool = False
    param_dtype: jnp.dtype = jnp.float32
    zero_init_last: bool = False
    """Zero-initialize the last BatchNorm scale of each block."""
    ibn_a: bool = False
    """IBN in the blocks of layer1 to layer3."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x: normalized images in the compute dtype."""
        x = Conv(scaled(64, self.width), 7, 2, param_dtype=self.param_dtype, name="conv1")(x)
        x = nn.relu(BatchNorm(param_dtype=self.param_dtype, name="bn1")(x, train))
        x = operations.max_pool(x)
        # `train` is argument 2, counting self.
        block_type = nn.remat(Bottleneck, static_argnums=(2,)) if self.remat else Bottleneck
        for layer, blocks in enumerate(self.stage_sizes):
            planes = scaled(LAYER_WIDTHS[layer], self.width)
            for block in range(blocks):
                x = block_type(
                    planes,
                    LAYER_STRIDES[layer] if block == 0 else 1,
                    downsample=block == 0,
                    param_dtype=self.param_dtype,
                    zero_init_last=self.zero_init_last,
                    ibn=self.ibn_a and layer < IBN_LAYERS,
                    name=f"layer{layer + 1}_{block}",
                )(x, train)
        return x
