"""Wrong changes to the step, the loop around it, and what a run writes."""

from tests.mutants.mutant import of

RESUME = "training/test_resume.py"

MUTANTS = [
    *of("training/losses.py", "training/test_losses.py")(
        (
            "own = np.float32(1 - smoothing) + other",
            "own = np.float32(1 - smoothing)",
            "label smoothing with the wrong constant",
        ),
        (
            "np.float32(smoothing / logits.shape[1])",
            "np.float32(smoothing / (logits.shape[1] - 1))",
            "label smoothing over the other identities alone",
        ),
        ("jnp.maximum(squared, 1e-12)", "jnp.maximum(squared, 0)", "NaN where images coincide"),
        (
            "jnp.where(same, distances, -jnp.inf).argmax(1)",
            "jnp.where(same, distances, jnp.inf).argmin(1)",
            "the triplet takes the easiest positive",
        ),
        (
            "jnp.where(same, jnp.inf, distances).argmin(1)",
            "jnp.where(same, -jnp.inf, distances).argmax(1)",
            "the triplet takes the easiest negative",
        ),
        (
            "jax.nn.softplus(ap - an).mean()",
            "jax.nn.relu(ap - an + 0.3).mean()",
            "a hard margin in place of the soft one",
        ),
        ("float(other) * log_p.sum(1)).mean()", "float(other) * log_p.mean(1)).mean()", "-"),
    ),
    *of("training/optimizer.py", "training/test_optimizer.py")(
        (
            "epoch = step // steps_per_epoch + 1",
            "epoch = step // steps_per_epoch",
            "the schedule an epoch late",
        ),
        (
            "jnp.where(epoch < second, 0.1, 0.01)",
            "jnp.where(epoch <= second, 0.1, 0.01)",
            "the last fall of the rate an epoch late",
        ),
        (
            "epoch <= optim.warmup_epochs, climbing",
            "epoch < optim.warmup_epochs, climbing",
            "warm-up ends an epoch early",
        ),
        ("climbing = jnp.minimum(0.1", "climbing = jnp.minimum(0.2", "warm-up twice as fast"),
        (
            "climbing = (step + 1) / max(warmup, 1)",
            "climbing = step / max(warmup, 1)",
            "cosine's first step does nothing",
        ),
        (
            "/ max(total - warmup, 1)",
            "/ max(total, 1)",
            "cosine never reaches 0",
        ),
        (
            "optax.scale_by_adam(*optim.betas, eps=optim.eps)",
            "optax.scale_by_adam(*optim.betas)",
            "optim.eps ignored",
        ),
        (
            "optax.scale_by_adam(*optim.betas, eps=optim.eps)",
            "optax.scale_by_adam(optim.betas[0], eps=optim.eps)",
            "the second of optim.betas ignored",
        ),
        (
            "optax.chain(optax.add_decayed_weights(optim.weight_decay), moments, rate)",
            "optax.chain(moments, optax.add_decayed_weights(optim.weight_decay), rate)",
            "decoupled decay in place of L2",
        ),
        (
            "optax.chain(optax.add_decayed_weights(optim.weight_decay), moments, rate)",
            "optax.chain(moments, rate)",
            "weight decay ignored",
        ),
        ("lambda x: x.ndim > 1, tree", "lambda x: x.ndim > 0, tree", "AdamW decays biases, too"),
    ),
    *of("training/step.py", "training/test_step.py", "training/test_average.py")(
        (
            "per_device > config.data.images_per_identity",
            "per_device >= config.data.images_per_identity",
            "at one identity a device all mixed-in images are of the anchor's identity",
            "training/test_shards.py",
        ),
        (
            'config.method.negatives == "shard" and',
            'config.method.negatives == "batch" and',
            "method.negatives the other way round",
            "training/test_shards.py",
        ),
        (
            "return devices if local else 1",
            "return 1",
            "method.negatives ignored: maps cross devices",
            "training/test_shards.py",
        ),
        (
            "images, draws = draw(config, root, state.step, images, labels, shards)",
            "images, draws = draw(config, root, state.step, images, labels)",
            "negatives drawn from the batch, looked up in the shard",
            "training/test_devices.py::test_negatives_of_the_own_shard_are_of_other_identities",
        ),
        (
            "jax.random.split(jax.random.fold_in(root, step), 3)",
            "jax.random.split(root, 3)",
            "every step draws the same",
        ),
        (
            "draw_mixing(config, keys[1:], labels, shards)",
            "draw_mixing(config, keys[:2], labels, shards)",
            "augmentation and negatives share a key",
        ),
        (
            "root = jax.random.key(config.train.seed)",
            "root = jax.random.key(0)",
            "runs of several seeds share augmentation and negatives",
            "training/test_seeds.py",
        ),
        (
            "return augment(keys[0], images, config.data), draws",
            "return augment(jax.random.fold_in(jax.random.key(0), step), images, config.data), "
            "draws",
            "the seed ignored for augmentation alone",
            "training/test_seeds.py",
        ),
        (
            "draws = draw_mixing(config, keys[1:], labels, shards)",
            "draws = draw_mixing(config, jax.random.split(jax.random.fold_in("
            "jax.random.key(0), step)), labels, shards)",
            "the seed ignored for negatives alone",
            "training/test_seeds.py",
        ),
        (
            "stage_losses(outputs, target, config.method.label_smoothing)",
            "stage_losses(outputs, target, 0.1)",
            "method.label_smoothing ignored",
            "training/test_step.py::test_the_configs_smoothing_is_the_losses",
        ),
        (
            "batch_hard_triplet(e, target.main)",
            "batch_hard_triplet(e, target.labels)",
            "CutMix's triplet by the smaller area",
            "training/test_methods_step.py",
        ),
        (
            "return jnp.stack(triplets + entropies).sum()",
            "return jnp.stack(triplets + entropies).mean()",
            "gradients a sixth as large",
        ),
        (
            "(outputs.logits[0].argmax(1) == target.main).mean()",
            "(outputs.logits[-1].argmax(1) == target.main).mean()",
            "the logged accuracy is stage III's",
        ),
        (
            "jnp.minimum(average_decay, (1 + state.step) / (10 + state.step))",
            "average_decay",
            "the average starts from random weights",
        ),
        (
            "optax.incremental_update(params, average, 1 - keep)",
            "optax.incremental_update(params, average, keep)",
            "the average forgets at once",
        ),
        (
            "optax.incremental_update(params, average, 1 - keep)",
            "optax.incremental_update(state.params, average, 1 - keep)",
            "the average is a step behind",
        ),
        (
            "decay = config.optim.average_decay\n",
            "decay = 0.999\n",
            "optim.average_decay ignored",
        ),
        (
            "transform.update(gradient, state.optimizer, state.params)",
            "transform.update(gradient, transform.init(state.params), state.params)",
            "Adam without memory",
        ),
        (
            "donate_argnums=0, out_shardings=after)",
            "out_shardings=after)",
            "twice the memory",
            "training/test_step.py::test_the_old_states_memory_is_the_new_ones",
        ),
        (
            "run = one if length == 1 else several",
            "run = one",
            "several steps a call don't work",
            "training/test_feed.py",
        ),
    ),
    *of("training/target.py", "training/test_methods_step.py")(
        (
            "return self.share * own + (1 - self.share) * other",
            "return (1 - self.share) * own + self.share * other",
            "mixed labels swapped",
        ),
        (
            "return mixed, Target(labels, labels[draws.partners], share)",
            "return mixed, Target(labels, labels, share)",
            "mixed labels ignored",
        ),
        (
            "jnp.where(self.share >= 0.5, self.labels, self.others)",
            "jnp.where(self.share > 0.5, self.labels, self.others)",
            "at half and half the triplet goes by the other identity",
        ),
        (
            "attentive_cutmix(images, heat, draws.partners, method.block, method.top_k)",
            "attentive_cutmix(images, heat, draws.partners, method.block, 3)",
            "A-CutMix ignores method.top_k",
        ),
        (
            "cutmix(images, draws.box, draws.partners)",
            "cutmix(images, draws.box, jnp.roll(draws.partners, 1))",
            "CutMix's labels are of other images",
        ),
    ),
    *of("training/state.py", "training/test_average.py")(
        (
            "return self.params if self.average is None else self.average",
            "return self.params",
            "the average is kept and never tested",
        ),
        (
            "jax.tree.map(jnp.copy, params) if averaged else None",
            "jax.tree.map(jnp.zeros_like, params) if averaged else None",
            "the average starts from 0",
        ),
    ),
    *of("training/loop.py", RESUME)(
        (
            "evaluate(embed_images, config, state.tested, state.stats, display)\n"
            "            result",
            "evaluate(embed_images, config, state.params, state.stats, display)\n"
            "            result",
            "logged mAP and `best` belong to other weights than the tested ones",
            "training/test_average.py",
        ),
        (
            "rate = float(schedule(np.int32(number - 1)))",
            "rate = float(schedule(np.int32(number)))",
            "the logged rate is the next step's",
        ),
        (
            "initialise(network, config.train.seed, config.model.zero_last_scale)",
            "initialise(network, config.train.seed)",
            "model.zero_last_scale ignored",
            "training/test_start.py",
        ),
        (
            "initialise(network, config.train.seed, config.model.zero_last_scale)",
            "initialise(network, 0, config.model.zero_last_scale)",
            "all seeds start from the same weights",
            "training/test_seeds.py",
        ),
        (
            "state_sharding(mesh, state, config.optim.shard_moments)",
            "state_sharding(mesh, state, False)",
            "optim.shard_moments ignored",
            "training/test_start.py",
        ),
        (
            "        config.train.seed,\n    )\n    return split, sampler",
            "        0,\n    )\n    return split, sampler",
            "all seeds see the same batches",
            "training/test_seeds.py",
        ),
        (
            "new_state(params, stats, transform, config.optim.average_decay > 0)",
            "new_state(params, stats, transform)",
            "optim.average_decay ignored",
            "training/test_average.py",
        ),
        (
            "learning_rate(config.optim, config.train.epochs, sampler.steps_per_epoch)",
            "learning_rate(config.optim, config.train.epochs, 1)",
            "the rate falls after steps, not epochs",
        ),
        (
            "make_embed(network, config.evaluate.flip_average, mesh)",
            "make_embed(network, False, mesh)",
            "evaluate.flip_average ignored in training",
            "training/test_start.py",
        ),
        (
            'config.method.name == "a_cutmix" and config.method.guide != "own"',
            "False",
            "method.guide ignored",
            "training/test_start.py",
        ),
    ),
    *of("training/calendar.py", "training/test_calendar.py")(
        (
            "return (number - 1) // self.steps_per_epoch + 1",
            "return number // self.steps_per_epoch + 1",
            "an epoch's last step is logged as the next epoch's",
        ),
        (
            "within = (number - 1) % self.steps_per_epoch + 1",
            "within = number",
            "lines that average over two epochs",
        ),
        (
            "number == self.steps or (every",
            "(every",
            "the last epoch isn't evaluated",
        ),
        (
            "or self.evaluates(number)",
            "or False",
            "figures without a checkpoint",
        ),
        (
            "return steps if whole else range(number, number + 1)",
            "return steps",
            "lines of too many steps",
        ),
    ),
    *of("training/feed.py", "training/test_feed.py")(
        (
            "numbers = calendar.chunk(number, self.length)",
            "numbers = calendar.chunk(number, 1)",
            "several steps a call fall back to one",
        ),
        (
            "self._batches(range(done, calendar.steps))",
            "self._batches(range(calendar.steps))",
            "a resumed run sees its first batches again",
        ),
        (
            "config.train.log_every if accelerator else 1)",
            "1)",
            "one step a call on accelerators",
        ),
        (
            "min(wanted, config.train.log_every, sampler.steps_per_epoch)",
            "min(wanted, config.train.log_every)",
            "calls of more steps than an epoch has",
        ),
        (
            "config.train.steps_per_call or (",
            "(",
            "train.steps_per_call ignored",
        ),
        (
            "size <= config.data.device_gib * 2**30 and (",
            "(",
            "data.device_gib ignored",
        ),
    ),
    *of("training/window.py", "training/test_window.py")(
        (
            "float(np.mean(values))",
            "float(values[-1])",
            "a line is of its last step alone",
        ),
        (
            "np.concatenate([np.atleast_1d(part[name]) for part in parts])",
            "np.array([np.mean(part[name]) for part in parts])",
            "calls of several steps weigh as much as single ones",
        ),
        (
            "        self.restart()\n        return means, pace",
            "        return means, pace",
            "lines average over the whole run",
        ),
    ),
    *of("training/sharding.py", "training/test_sharding.py")(
        (
            "if not spread or not axes:",
            "if not axes:",
            "moments are always spread",
        ),
        (
            "array.shape[i] % mesh.size == 0",
            "array.shape[i] > mesh.size",
            "moments that don't divide by the devices",
        ),
        (
            "longest = max(axes, key=lambda i: array.shape[i])",
            "longest = min(axes, key=lambda i: array.shape[i])",
            "moments along their shortest axis",
        ),
        (
            "if batch_size % count:",
            "if False:",
            "a batch that the devices can't share ends in a traceback",
        ),
    ),
    *of("training/evaluate.py", "test_api.py")(
        (
            "images[:, :, ::-1]], axis=1)",
            "images[:, ::-1]], axis=1)",
            "the mirror image is turned upside down",
        ),
        (
            "return embeddings.reshape(len(images), 2, -1).mean(1)",
            "return embeddings.reshape(2, len(images), -1).mean(0)",
            "images averaged with other images",
        ),
        (
            "features, split.identities, split.cameras, paths",
            "features, split.identities, split.cameras * 0, paths",
            "in training's evaluation the cameras are ignored",
            RESUME,
        ),
        (
            "restore_run(workdir, config.evaluate.checkpoint, display.say)",
            'restore_run(workdir, "latest", display.say)',
            "evaluate.checkpoint ignored",
            RESUME,
        ),
    ),
    *of("training/run_weights.py", "training/test_average.py", RESUME)(
        (
            "config.optim.average_decay > 0\n",
            "False\n",
            "eval.py, load and export take the last weights, not their average",
        ),
        (
            'checkpoints.best if checkpoint == "best" else checkpoints.latest',
            "checkpoints.latest",
            "the best checkpoint is never read",
        ),
    ),
    *of("training/workdir.py", "training/test_workdir.py")(
        (
            '_FREE = names_in(Config, "execution", "host", "test")',
            '_FREE = names_in(Config, "execution", "host", "test") | {"method.label_smoothing"}',
            "another label smoothing counts as the same run",
        ),
        (
            '_FREE = names_in(Config, "execution", "host", "test")',
            '_FREE = names_in(Config, "execution", "host", "test") | {"optim.betas"}',
            "other betas count as the same run",
        ),
        (
            "and new > old:",
            "and new >= 0:",
            "a run may be made shorter than it is",
        ),
    ),
    *of("training/run_log.py", "training/test_run_log.py", RESUME)(
        (
            "write_atomic(self._path, expected)",
            "write_atomic(self._path, found or expected)",
            "a resumed run has lines twice",
        ),
        (
            "value if value is not None and math.isfinite(value) else None",
            "value",
            "metrics.jsonl isn't JSON where a loss isn't finite",
        ),
        (
            "_append(workdir / DAMAGED, found)",
            "pass",
            "damaged lines are gone",
        ),
        (
            "scalar(name, value)",
            "scalar(name, float(step))",
            "TensorBoard shows other figures than metrics.jsonl",
        ),
    ),
    *of("training/checkpoint.py", RESUME)(
        (
            "return max(scores, key=lambda step: scores[step], default=None)",
            "return min(scores, key=lambda step: scores[step], default=None)",
            "the worst checkpoint is kept as the best",
            "training/test_best.py",
        ),
        (
            "keep = {*steps[-KEPT:], self.best}",
            "keep = {*steps[-KEPT:]}",
            "the best checkpoint is removed",
            "training/test_best.py",
        ),
        (
            "if sha256_of(self._folder / str(step) / name) != digest:",
            "if not (self._folder / str(step) / name).exists():",
            "a damaged checkpoint is used",
        ),
        (
            "            if not np.isfinite(value).all():\n                name",
            "            if np.isnan(value).all():\n                name",
            "weights with NaN are saved as the only checkpoint",
        ),
        (
            "{name: value for name, value in named.items() if value is not None}",
            '{name: value for name, value in named.items() if name != "optimizer" '
            "and value is not None}",
            "a resumed run starts with fresh moments",
        ),
    ),
]
