"""Wrong changes to what stages are fed and what methods replace."""

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
            "every step draws the same negatives",
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
            "(chosen % size).reshape(num_shards, size)",
            "jnp.minimum(chosen, size - 1).reshape(num_shards, size)",
            "with several devices the wrong images are mixed in",
        ),
        (
            '"snm,sn...->sm..."',
            '"smn,sn...->sm..."',
            "gradients reach the wrong images",
        ),
        (
            "return jax.vmap(lambda maps, chosen: maps[chosen])(maps, chosen)",
            "return jax.lax.stop_gradient("
            "jax.vmap(lambda maps, chosen: maps[chosen])(maps, chosen[:, ::-1]))",
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
    *of("mixing/replace.py", "mixing/test_replace.py")(
        (
            "negatives = sample.negatives[stage - 2]",
            "negatives = sample.negatives[0]",
            "stage III mixes in stage II's images",
        ),
        (
            "sample.scores[stage - 2]",
            "sample.scores[0]",
            "random blocks are the same in both stages",
        ),
        (
            "top_blocks(-scores, top_k)[negatives]",
            "top_blocks(scores, top_k)[negatives]",
            "easy mix takes the strongest blocks",
        ),
        (
            "top_blocks(-scores, top_k)[negatives]",
            "top_blocks(-scores, top_k)",
            "easy mix looks for weak blocks in the anchor",
        ),
        (
            "return jnp.where(mask[..., None], base, 0), mask",
            "return jnp.where(mask[..., None], base, base.mean()), mask",
            "CutOut fills with the mean",
        ),
        (
            'if method.augments != "feature":',
            'if method.augments == "nothing":',
            "methods of images replace feature blocks, too",
        ),
    ),
    *of("mixing/batch_drop.py", "mixing/test_replace.py")(
        (
            "height - dropped_rows(height, share) + 1)",
            "height - dropped_rows(height, share))",
            "BDB never drops the last rows",
        ),
        (
            "(row >= corner + dropped_rows(h, share))",
            "(row > corner + dropped_rows(h, share))",
            "BDB drops a row more",
        ),
    ),
    *of("mixing/image_mix.py", "mixing/test_image_mix.py")(
        (
            "jnp.sqrt(1 - jax.random.uniform(share_key))",
            "(1 - jax.random.uniform(share_key))",
            "CutMix's boxes too small",
        ),
        (
            "return mixed, 1 - inside.mean(dtype=jnp.float32)",
            "return mixed, inside.mean(dtype=jnp.float32)",
            "CutMix's labels swapped",
        ),
        (
            "(row < bottom)",
            "(row <= bottom)",
            "CutMix pastes a row more than labels count",
        ),
        (
            "cells = ~block_mask(cam, block, top_k)[partners]",
            "cells = ~block_mask(cam, block, top_k)",
            "A-CutMix pastes what is salient in the image itself",
        ),
        (
            "jnp.where(inside[..., None], images[partners], images)",
            "jnp.where(inside[..., None], images, images[partners])",
            "A-CutMix's images swapped",
        ),
        (
            "jax.lax.stop_gradient(feature_map).astype(jnp.float32).mean(-1)",
            "feature_map.astype(jnp.float32).mean(-1)",
            "gradients through A-CutMix's saliency",
        ),
        (
            "jax.lax.stop_gradient(feature_map).astype(jnp.float32).mean(-1)",
            "jax.lax.stop_gradient(feature_map).astype(jnp.float32).max(-1)",
            "A-CutMix's saliency by the largest channel",
        ),
    ),
    *of("mixing/sample.py", "mixing/test_draws.py")(
        (
            "sample_negatives(key, labels, num_shards) for key in keys",
            "sample_negatives(keys[0], labels, num_shards) for key in keys",
            "both stages mix in the same images",
        ),
        (
            "sample_negatives(key, labels, num_shards) for key in keys",
            "sample_negatives(key, labels) for key in keys",
            "with several devices negatives that lie on others",
        ),
        (
            "sample_drop_row(spare, config.data.image_size, config.method.drop_height)",
            "sample_drop_row(spare, config.data.image_size, 0.33)",
            "method.drop_height half ignored",
        ),
        (
            "jax.random.permutation(jax.random.fold_in(spare, 0), count)",
            "jax.random.permutation(jax.random.key(0), count)",
            "CutMix pastes the same partner in every step",
        ),
        (
            "sample_box(spare, config.data.image_size)",
            "sample_box(jax.random.key(0), config.data.image_size)",
            "CutMix's box is the same in every step",
        ),
        (
            "jax.random.uniform(jax.random.fold_in(key, 1), shape) for key in keys",
            "jax.random.uniform(keys[0], shape) for key in keys",
            "random blocks are the same in both stages",
        ),
    ),
]
