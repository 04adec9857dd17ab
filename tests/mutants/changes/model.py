"""Wrong changes to the network, its initial values and its operations."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("model/initializers.py", "model/test_resnet.py")(
        (
            'rng.uniform(-1, 1, shape) / np.sqrt(fans(shape)["fan_in"])',
            'rng.uniform(-1, 1, shape) / np.sqrt(fans(shape)["fan_out"])',
            "the part block starts other than PyTorch's",
        ),
        (
            "np.sqrt(2 / fans(shape)[mode])",
            "np.sqrt(1 / fans(shape)[mode])",
            "Xavier in place of He",
        ),
        (
            '{"fan_in": receptive * shape[-2], "fan_out": receptive * shape[-1]}',
            '{"fan_out": receptive * shape[-2], "fan_in": receptive * shape[-1]}',
            "fan-in and fan-out swapped",
        ),
        (
            "mean + std * rng.standard_normal(shape)",
            "mean + 0.0 * rng.standard_normal(shape)",
            "the heads' scales start at 1",
        ),
    ),
    *of("model/initial.py", "model/test_resnet.py")(
        (
            '[seed, zlib.crc32("/".join(path).encode())]',
            '[0, zlib.crc32("/".join(path).encode())]',
            "all seeds start from the same weights",
        ),
        (
            '[seed, zlib.crc32("/".join(path).encode())]',
            "[seed, zlib.crc32(path[-1].encode())]",
            "layers of one shape start alike",
        ),
    ),
    *of("model/layers.py", "model/test_layers.py")(
        (
            "unbiased = batch_var * (count / max(count - 1, 1))",
            "unbiased = batch_var",
            "running variance is biased, as PyTorch's isn't",
        ),
        (
            "momentum: float = 0.1",
            "momentum: float = 0.9",
            "running statistics are the last batch's",
        ),
        ("eps: float = 1e-5", "eps: float = 1e-3", "another normalization than PyTorch's"),
        (
            "mean.value = (1 - self.momentum) * mean.value + self.momentum * batch_mean",
            "mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean",
            "running mean is the last batch's",
        ),
    ),
    *of("model/stock.py", "model/test_operations.py")(
        (
            "    mean, variance = batch_moments(x)\n    return normalize(",
            "    mean, variance = batch_moments(x)\n"
            "    variance = variance * (x.size / (x.size - x.shape[-1]))\n"
            "    return normalize(",
            "normalized by the unbiased variance",
        ),
        (
            "lax.rsqrt(variance + eps)\n    return (x",
            "lax.rsqrt(variance) + eps\n    return (x",
            "eps outside the root",
        ),
        (
            "mean(axes) - jnp.square(mean), 0)",
            "mean(axes) - mean, 0)",
            "wrong variance",
        ),
        (
            "lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)",
            "lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "
            "((0, 0), (0, 1), (0, 1), (0, 0)))",
            "another pooling on accelerators",
        ),
        (
            "pad = (kernel.shape[0] - 1) // 2\n    return lax",
            "pad = kernel.shape[0] // 4\n    return lax",
            "another padding of the stem",
        ),
    ),
    *of("model/cpu/pooling.py", "model/test_operations.py")(
        (
            "((0, 0), (1, 0), (1, 0), (0, 0)), constant_values",
            "((0, 0), (0, 1), (0, 1), (0, 0)), constant_values",
            "another pooling on CPUs",
        ),
    ),
    *of("model/cpu/normalization.py", "model/test_operations.py")(
        (
            "constant = mean * of_x - slope * grad_bias / count",
            "constant = mean * of_x",
            "BatchNorm's gradient wrong on CPUs",
        ),
        (
            "grad_bias = grad.sum(axes, dtype=mean.dtype)",
            "grad_bias = grad.mean(axes, dtype=mean.dtype)",
            "BatchNorm's gradient wrong on CPUs",
        ),
    ),
    *of("model/cpu/convolution.py", "model/test_operations.py")(
        (
            "((1, 0), (1, 0), (0, 0), (0, 0)))\n    taps = taps.reshape(4, 2",
            "((0, 1), (0, 1), (0, 0), (0, 0)))\n    taps = taps.reshape(4, 2",
            "the stem is shifted by a pixel on CPUs",
        ),
        (
            "sides = [_moved_left(grad, pad - j) for j in range(k)]",
            "sides = [_moved_left(grad, j - pad) for j in range(k)]",
            "kernels' gradients mirrored on CPUs",
        ),
    ),
    *of("model/operations.py", "model/test_operations.py")(
        (
            "(cpu if on_cpu() else stock).conv",
            "cpu.conv",
            "accelerators get the CPU's convolutions",
        ),
    ),
    *of("model/heads.py", "model/test_heads.py", "training/test_forward.py")(
        (
            "constant(3.0)",
            "constant(0.0)",
            "GeM starts at the power 0",
            "model/test_resnet.py",
        ),
        (
            "return reduced if train else normed, classifier(normed)",
            "return normed, classifier(normed)",
            "bnneck's triplet takes what the test takes",
        ),
        (
            "return reduced if train else normed, classifier(normed)",
            "return reduced if train else normed, classifier(reduced)",
            "bnneck's classifier sees no BatchNorm",
        ),
        (
            "return feature_map.max((1, 2)).astype(wide)",
            "return feature_map.mean((1, 2)).astype(wide)",
            "stages II and III pool by the average",
        ),
        (
            ".mean((1, 2)) ** (1 / p)",
            ".sum((1, 2)) ** (1 / p)",
            "GeM is a norm, not a mean",
        ),
        (
            "embedding = nn.relu(norm(",
            "embedding = nn.elu(norm(",
            "another embedding than the paper's",
        ),
    ),
    *of("model/resnet.py", "model/test_resnet.py")(
        (
            'norm("bn3", zeros if self.zero_init_last else ones)',
            'norm("bn3")',
            "zero_init_last ignored",
        ),
        (
            "LAYER_STRIDES = (1, 2, 2, 1)",
            "LAYER_STRIDES = (2, 1, 2, 1)",
            "layer 1 halves the map in layer 2's place",
        ),
        (
            "return nn.relu(x + y)",
            "return nn.relu(y)",
            "no shortcut",
        ),
        (
            'conv("conv2", self.planes, 3, self.stride)(y)',
            'conv("conv2", self.planes, 3)(y[:, :: self.stride, :: self.stride])',
            "another stride than torchvision's",
        ),
        (
            "max(8, round(channels * width / 8) * 8)",
            "max(8, int(channels * width / 8) * 8)",
            "narrower networks than model.width says",
        ),
        (
            "nn.remat(Bottleneck, static_argnums=(2,)) if self.remat else Bottleneck",
            "Bottleneck",
            "model.remat ignored",
            "training/test_program.py",
        ),
    ),
    *of("model/pmm.py", "model/test_resnet.py")(
        (
            'kaiming_normal("fan_in" if pooling == "average" else "fan_out")',
            'kaiming_normal("fan_out")',
            "stage I's reduction starts other than the release's",
        ),
        (
            "            kernel_init=torch_default(),\n",
            "",
            "the part block starts as the trunk does",
        ),
        (
            "            model.zero_init_last,\n            model.ibn_a,\n",
            "            ibn_a=model.ibn_a,\n",
            "model.zero_init_last ignored",
        ),
    ),
    *of("model/pmm.py", "training/test_forward.py", "training/test_methods_step.py")(
        (
            'self.batch_stats[name] = updates["batch_stats"]',
            'self.batch_stats[name] = self._variables["batch_stats"][name]',
            "running statistics never move",
        ),
        (
            'parts["stage1"] = head("average")',
            'parts["stage1"] = head("max")',
            "stage I pools by the maximum",
        ),
        (
            'head("max", 2 * model.embedding_size)',
            'head("max", model.embedding_size)',
            "BDB's second embedding half as long",
            "training/test_methods_step.py",
        ),
        (
            "return network.modules[name].apply(variables, x, False)",
            'return network.modules[name].apply(variables, x, True, mutable=["batch_stats"])[0]',
            "at test time an embedding depends on the other images of its batch",
        ),
        (
            "x)[0][1], feature_map, labels)",
            "x)[0][1], feature_map, jnp.roll(labels, 1))",
            "cam of another image's identity",
        ),
    ),
    *of("model/explain.py", "model/test_explain.py")(
        (
            "cams = jnp.stack(maps, axis=1)\n    return cams[:count], cams[count:]",
            "cams = jnp.stack(maps, axis=1)\n    return cams[count:], cams[:count]",
            "a pair's cam maps swapped",
        ),
        (
            ".sum(0).argmax(1)",
            "[0].argmax(1)",
            "the explained identity is stage I's alone",
        ),
    ),
]
