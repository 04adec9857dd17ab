"""Wrong changes to CAMs, block ranking and Hard-Mix."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("mixing/hard_mix.py", "mixing/test_hard_mix.py")(
        (
            "    negative &= shard[:, None] == shard[None, :]\n",
            "",
            "with several devices mixed-in images of the anchor's own identity",
        ),
        (
            "negative = labels[:, None] != labels[None, :]",
            "negative = labels[:, None] != jnp.roll(labels, 1)[None, :]",
            "mixed-in images of the anchor's own identity",
        ),
        (
            "ranks = jax.random.uniform(key, (count, count))",
            "ranks = jnp.broadcast_to(jax.random.uniform(key, (count,)), (count, count))",
            "all images of a batch mix in the same image",
        ),
        (
            "ranks = jax.random.uniform(key, (count, count))",
            "ranks = jax.random.uniform(jax.random.key(0), (count, count))",
            "every step samples the same negatives",
        ),
        (
            "jnp.arange(count) // (count // num_shards)",
            "jnp.arange(count) % num_shards",
            "negatives from other devices, looked up in the wrong place",
        ),
        (
            "return jnp.where(mask[..., None], feature_map, mixed_in)",
            "return jnp.where(mask[..., None], mixed_in, feature_map)",
            "the map masks what should go",
        ),
        (
            "distances = jnp.square(x).sum(2)[:, None] - 2 * products",
            "distances = jnp.square(x).sum(2)[:, None] - products",
            "the hardest negative is another image",
        ),
        (
            "distances = jnp.where(own[:, :, None] == own[:, None], jnp.inf, distances)",
            "distances = jnp.where(jnp.eye(size, dtype=bool)[None], jnp.inf, distances)",
            "the hardest negative is of the anchor's own identity",
        ),
        (
            "nearest = distances.argmin(2) + size * jnp.arange(num_shards)[:, None]",
            "nearest = distances.argmin(2)",
            "with several devices all negatives are the first device's",
        ),
        (
            "(selection % size).reshape(num_shards, size)",
            "jnp.minimum(selection, size - 1).reshape(num_shards, size)",
            "with several devices the wrong images are mixed in",
        ),
        (
            '"snm,sn...->sm..."',
            '"smn,sn...->sm..."',
            "gradients reach the wrong images",
        ),
        (
            "return jax.vmap(lambda maps, selection: maps[selection])(maps, selection)",
            "return jax.lax.stop_gradient("
            "jax.vmap(lambda maps, selection: maps[selection])(maps, selection[:, ::-1]))",
            "the wrong images are mixed in",
        ),
    ),
    *of("mixing/block_ranking.py", "mixing/test_block_ranking.py")(
        (
            "sum((2, 4))",
            "max((2, 4))",
            "blocks ranked by their highest cell",
        ),
        (
            "return jax.lax.top_k(scores, top_k)[1]",
            "return scores.shape[1] - 1 - jax.lax.top_k(scores[:, ::-1], top_k)[1]",
            "of blocks that tie, the last ones go",
        ),
        (
            "rows, columns = h // block[0], w // block[1]\n    return cam",
            "rows, columns = h // block[1], w // block[0]\n    return cam",
            "blocks of the wrong shape",
        ),
        (
            "return ~jnp.broadcast_to(cells",
            "return jnp.broadcast_to(cells",
            "all but the best blocks are replaced",
        ),
    ),
    *of("mixing/grad_cam.py", "mixing/test_grad_cam.py")(
        (
            "return jax.lax.stop_gradient(jax.nn.relu(cam))",
            "return jax.nn.relu(cam)",
            "gradients of the mask's cam in the losses",
        ),
        (
            "jax.nn.relu(cam)",
            "jnp.abs(cam)",
            "evidence against an identity counts as evidence for it",
        ),
        (
            "gradient.astype(wide).mean((1, 2))",
            "gradient.astype(wide).sum((1, 2))",
            "cam of another size than the paper's",
        ),
        (
            "wide = jnp.promote_types(feature_map.dtype, jnp.float32)",
            "wide = feature_map.dtype",
            "cam in bfloat16, whose blocks tie",
        ),
        (
            "jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)",
            "jax.nn.softmax(logits)",
            "cam of the predicted identity, not the true one",
        ),
    ),
]
