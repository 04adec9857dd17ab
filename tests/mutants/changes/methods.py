"""Wrong changes to the methods, and to the saliency that one of them takes."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("methods/pmm.py", "methods/test_pmm.py", "methods/test_sample.py")(
        (
            "return sample.negatives[stage.number - 2]",
            "return sample.negatives[0]",
            "stage III mixes in stage II's images",
        ),
        (
            "sample.scores[stage.number - 2]",
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
            "return jnp.where(mask[..., None], stage.base, 0), mask",
            "return jnp.where(mask[..., None], stage.base, stage.base.mean()), mask",
            "CutOut fills with the mean",
        ),
        (
            "return jnp.where(mask[..., None], stage.base, source), mask",
            "return hard_mix(stage.base, negatives, mask, self.num_shards), mask",
            "easy mix is PMM",
        ),
        (
            "return stage.base, jnp.ones(stage.cam.shape, bool)",
            "return stage.base * 0, jnp.ones(stage.cam.shape, bool)",
            "methods of images clear feature maps, too",
        ),
        (
            "sample_negatives(key, labels, self.num_shards) for key in keys",
            "sample_negatives(keys[0], labels, self.num_shards) for key in keys",
            "both stages mix in the same images",
        ),
        (
            "sample_negatives(key, labels, self.num_shards) for key in keys",
            "sample_negatives(key, labels) for key in keys",
            "with several devices negatives that lie on others",
        ),
        (
            "jax.random.uniform(jax.random.fold_in(key, 1), shape) for key in keys",
            "jax.random.uniform(keys[0], shape) for key in keys",
            "random blocks are the same in both stages",
        ),
    ),
    *of("methods/pmm.py", "training/test_forward.py", "training/test_methods_step.py")(
        (
            "if self.config.method.cumulative and number > 2 else part_map",
            "if not self.config.method.cumulative and number > 2 else part_map",
            "method.cumulative the other way round",
        ),
        (
            'net.cam(f"stage{number - 1}", inputs[-1], batch.labels)',
            'net.cam("stage1", inputs[0], batch.labels)',
            "stage III looks where stage I looked",
        ),
        (
            "StageInput(number, base, cam, stages[-1][0], batch)",
            "StageInput(number, base, cam, stages[0][0], batch)",
            "the hardest negative by stage I's embedding in both stages",
        ),
    ),
    *of("methods/bdb.py", "methods/test_batch_drop.py", "methods/test_sample.py")(
        (
            "jax.random.fold_in(keys[0], 1), (), 0, most + 1)",
            "jax.random.fold_in(keys[0], 1), (), 0, most)",
            "BDB never drops the last rows",
        ),
        (
            "(row >= first_row + dropped_rows(h, ratio))",
            "(row > first_row + dropped_rows(h, ratio))",
            "BDB drops a row more",
        ),
        (
            "return max(1, round(ratio * height))",
            "return max(1, int(ratio * height))",
            "BDB drops a row less",
        ),
        (
            "most = height - dropped_rows(height, self.config.method.drop_ratio)",
            "most = height - dropped_rows(height, 0.33)",
            "method.drop_ratio half ignored",
        ),
        (
            "batch_drop(part_map, batch.sample, self.config.method.drop_ratio)",
            "batch_drop(part_map, batch.sample, 0.33)",
            "method.drop_ratio half ignored",
            "training/test_methods_step.py",
        ),
        (
            ">= rows:",
            "> rows:",
            "BDB may drop the whole map",
            "test_config_check.py",
        ),
    ),
    *of("methods/cutmix.py", "methods/test_cutmix.py", "methods/test_sample.py")(
        (
            "jnp.sqrt(1 - jax.random.uniform(lam_key))",
            "(1 - jax.random.uniform(lam_key))",
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
            "return jax.random.permutation(key, labels.shape[0])",
            "return jax.random.permutation(jax.random.key(0), labels.shape[0])",
            "CutMix pastes the same partner in every step",
        ),
        (
            "sample_box(key, self.config.data.image_size)",
            "sample_box(jax.random.key(0), self.config.data.image_size)",
            "CutMix's box is the same in every step",
        ),
        (
            "MixedTarget(batch.labels, batch.labels[partners], lam)",
            "MixedTarget(batch.labels, batch.labels, lam)",
            "mixed labels ignored",
            "training/test_methods_step.py",
        ),
        (
            "cam, partners, method.block, method.top_k)\n        target",
            "cam, partners, method.block, 3)\n        target",
            "A-CutMix ignores method.top_k",
            "training/test_methods_step.py",
        ),
        (
            "cutmix(batch.images, sample.box, sample.partners)",
            "cutmix(batch.images, sample.box, jnp.roll(sample.partners, 1))",
            "CutMix's labels are of other images",
            "methods/test_cutmix.py",
        ),
    ),
    *of("methods/method.py", "training/test_methods_step.py")(
        (
            "return self.lam * loss(self.labels) + (1 - self.lam) * loss(self.mixed_labels)",
            "return (1 - self.lam) * loss(self.labels) + self.lam * loss(self.mixed_labels)",
            "mixed labels swapped",
        ),
        (
            "jnp.where(self.lam >= 0.5, self.labels, self.mixed_labels)",
            "jnp.where(self.lam > 0.5, self.labels, self.mixed_labels)",
            "at half and half the triplet goes by the other identity",
        ),
        (
            "if config.method.top_k > blocks:",
            "if config.method.top_k >= blocks:",
            "replacing all blocks is refused",
            "cli/test_config.py",
        ),
    ),
    *of("methods/pmm.py", "test_config_check.py")(
        (
            "if config.method.stages == 1:",
            "if False:",
            "feature mixing with one stage mixes nothing, and says nothing",
        ),
    ),
    *of("model/saliency.py", "model/test_saliency.py")(
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
]
