"""Convolution, batch normalization and linear layers with PyTorch's conventions."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from pmm_jax.model import operations
from pmm_jax.model.initializers import Initializer, kaiming_normal, ones, zeros
from pmm_jax.model.stock import normalize


class Conv(nn.Module):
    """Convolution without bias: (N, H, W, C) to (N, ceil(H / stride), ceil(W / stride), D)."""

    features: int
    kernel_size: int
    stride: int = 1
    param_dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer = kaiming_normal("fan_out")
    """Initializer of the kernel; torchvision's for ResNet from scratch."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes in x's dtype."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        return operations.conv(x, kernel.astype(x.dtype), self.stride)


class Linear(nn.Module):
    """Linear layer with bias: (N, C) to (N, D)."""

    features: int
    param_dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer = kaiming_normal("fan_out")

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes in x's dtype, without the rounding that is an accelerator's default."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", zeros, (self.features,), self.param_dtype)
        product = jnp.matmul(x, kernel.astype(x.dtype), precision="highest")
        return product + bias.astype(x.dtype)[None]


class BatchNorm(nn.Module):
    """Batch normalization over all axes but the last, with PyTorch's running statistics.

    PyTorch keeps the *unbiased* variance (n / (n - 1)) while it normalizes by the biased one, and
    its momentum is the weight of the new value. In a jit over a sharded batch the statistics are
    those of the whole batch, whatever the number of devices.
    """

    momentum: float = 0.1
    eps: float = 1e-5
    param_dtype: jnp.dtype = jnp.float32
    scale_init: Initializer = ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalize x (..., C): by the batch, which moves the running statistics, if `train`."""
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", zeros, shape, self.param_dtype)
        mean = self.variable("batch_stats", "mean", zeros, None, shape, self.param_dtype)
        var = self.variable("batch_stats", "var", ones, None, shape, self.param_dtype)
        if not train:
            return normalize(x, mean.value, var.value, scale, bias, self.eps)
        y, batch_mean, batch_var = operations.batch_norm(x, scale, bias, self.eps)
        if not self.is_initializing():
            count = x.size // x.shape[-1]
            unbiased = batch_var * (count / max(count - 1, 1))
            mean.value = (1 - self.momentum) * mean.value + self.momentum * batch_mean
            var.value = (1 - self.momentum) * var.value + self.momentum * unbiased
        return y


class InstanceNorm(nn.Module):
    """Normalization of each image's channels by their own mean and biased variance over the map.

    The same in training and at test time: it keeps no running statistics (PyTorch's InstanceNorm2d
    with affine=True).
    """

    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: (N, H, W, C)."""
        scale = self.param("scale", ones, (x.shape[-1],), self.param_dtype)
        bias = self.param("bias", zeros, (x.shape[-1],), self.param_dtype)
        # A batch of one image each, so that a CPU's form of the gradient serves here, too.
        normed = jax.vmap(lambda image: operations.batch_norm(image, scale, bias, BatchNorm.eps))(x)
        return normed[0]


class InstanceBatchNorm(nn.Module):
    """IBN-a's layer (Pan et al., 2018): half of the channels by InstanceNorm, half by BatchNorm.

    Parts are named as in XingangPan/IBN-Net, whose weights have such names.
    """

    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x: (N, H, W, C), C even; `train` as of BatchNorm."""
        half = x.shape[-1] // 2
        first = InstanceNorm(param_dtype=self.param_dtype, name="IN")(x[..., :half])
        rest = BatchNorm(param_dtype=self.param_dtype, name="BN")(x[..., half:], train)
        return jnp.concatenate([first, rest], axis=-1)
