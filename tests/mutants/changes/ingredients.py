"""Wrong changes to the ingredients that are not the paper's (docs/guides/methods.md)."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("model/layers.py", "model/test_ibn.py")(
        (
            "jnp.concatenate([first, rest], axis=-1)",
            "jnp.concatenate([rest, first], axis=-1)",
            "IBN's halves swapped",
        ),
    ),
    *of("model/resnet.py", "model/test_ibn.py")(
        (
            "self.ibn_a and layer < IBN_LAYERS",
            "self.ibn_a",
            "IBN in the last layer, too",
        ),
    ),
    *of("training/optimizer.py", "training/test_optimizer.py")(
        (
            "least + (optim.peak_lr - least) * falling",
            "jnp.maximum(optim.peak_lr * falling, least)",
            "min_lr cuts the cosine off",
        ),
        (
            "schedule(count + frozen)",
            "schedule(count)",
            "a thawed trunk warms up anew",
            "training/test_freeze.py",
        ),
        (
            "gradient.mean(tuple(range(gradient.ndim - 1)), keepdims=True)",
            "gradient.mean(tuple(range(1, gradient.ndim)), keepdims=True)",
            "gradients centralized over the outputs, as optax has it",
        ),
        (
            'which == "kernels" or any',
            'which != "kernels" or any',
            "gradients of all kernels centralized for the classifiers alone, and the reverse",
        ),
    ),
    *of("training/losses.py", "training/test_center_loss.py")(
        (
            "return centers - CENTER_RATE * gradient",
            "return centers - CENTER_RATE * gradient / 2",
            "centers move half as far",
        ),
    ),
    *of("model/unwrapping.py", "model/test_unwrapping.py")(
        (
            '.replace("encoder_q.", "encoder_k.") for',
            " for",
            "MoCo's momentum encoder in place of the one that learns",
        ),
    ),
    *of("model/pmm.py", "training/test_freeze.py")(
        (
            "name not in self._frozen",
            "True",
            "a frozen trunk's statistics move",
        ),
    ),
]
