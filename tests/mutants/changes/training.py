"""Wrong changes to the step and the loop around it."""

from tests.mutants.mutant import of

RECORD = "training/test_run_record.py"

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
            "/ max(total - start, 1)",
            "/ max(total, 1)",
            "cosine never reaches 0",
        ),
        (
            "optax.adam(schedule, *optim.betas, optim.eps)",
            "optax.adam(schedule, *optim.betas)",
            "optim.eps ignored",
        ),
        (
            "optax.adam(schedule, *optim.betas, optim.eps)",
            "optax.adam(schedule, optim.betas[0], eps=optim.eps)",
            "the second of optim.betas ignored",
        ),
        (
            "schedule, *optim.betas, optim.eps, weight_decay=optim.weight_decay, mask=_kernels",
            "schedule, weight_decay=optim.weight_decay, mask=_kernels",
            "AdamW's optim.betas and optim.eps ignored",
        ),
        (
            'optim.optimizer == "adamw"',
            'optim.optimizer != "adamw"',
            "Adam and AdamW swapped",
        ),
        (
            "optax.add_decayed_weights(optim.weight_decay)",
            "optax.identity()",
            "weight decay ignored",
        ),
        (
            "lambda x: x.ndim > 1, params",
            "lambda x: x.ndim > 0, params",
            "AdamW decays biases, too",
        ),
    ),
    *of("training/train_step.py", "training/test_train_step.py", "training/test_average.py")(
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
            "task.method.sample(keys[1:], labels)",
            "task.method.sample(keys[:2], labels)",
            "augmentation and negatives share a key",
        ),
        (
            "augment(keys[0], images, task.config.data)",
            "augment(jax.random.key(0), images, task.config.data)",
            "the seed ignored for augmentation alone",
            "training/test_seeds.py",
        ),
        (
            "task.method.sample(keys[1:], labels)",
            "task.method.sample(jax.random.split(jax.random.key(0)), labels)",
            "the seed ignored for negatives alone",
            "training/test_seeds.py",
        ),
        (
            "get_method(self.config)(self.config, self.num_shards)",
            "get_method(self.config)(self.config)",
            "negatives sampled from the batch, looked up in the shard",
            "training/test_devices.py::test_negatives_of_the_own_shard_are_of_other_identities",
        ),
        (
            "compute_losses(outputs, target, smoothing)",
            "compute_losses(outputs, target, 0.1)",
            "method.label_smoothing ignored",
            "training/test_train_step.py::test_the_configs_smoothing_is_the_losses",
        ),
        (
            "batch_hard_triplet(e, target.dominant_labels)",
            "batch_hard_triplet(e, target.labels)",
            "CutMix's triplet by the smaller area",
            "training/test_methods_step.py",
        ),
        (
            "loss = jnp.stack(triplets + entropies).sum()",
            "loss = jnp.stack(triplets + entropies).mean()",
            "gradients a sixth as large",
        ),
        (
            "(outputs.logits[0].argmax(1) == target.dominant_labels).mean()",
            "(outputs.logits[-1].argmax(1) == target.dominant_labels).mean()",
            "the logged accuracy is stage III's",
        ),
        (
            "batch_stats, optim.ema_decay)",
            "batch_stats, 0.999)",
            "optim.ema_decay ignored",
        ),
    ),
    *of("training/compile_step.py", "training/test_train_step.py")(
        (
            "jax.random.fold_in(seed_key, state.step)",
            "seed_key",
            "every step samples the same",
        ),
        (
            "jax.random.key(task.config.train.seed)",
            "jax.random.key(0)",
            "runs of several seeds share augmentation and negatives",
            "training/test_seeds.py",
        ),
        (
            "donate_argnums=0, ",
            "",
            "twice the memory",
            "training/test_train_step.py::test_the_old_states_memory_is_the_new_ones",
        ),
    ),
    *of("training/state.py", "training/test_average.py")(
        (
            "return self.params if self.ema_params is None else self.ema_params",
            "return self.params",
            "the average is kept and never tested",
        ),
        (
            "jax.tree.map(jnp.copy, params) if ema else None",
            "jax.tree.map(jnp.zeros_like, params) if ema else None",
            "the average starts from 0",
        ),
        (
            "jnp.minimum(ema_decay, (1 + self.step) / (10 + self.step))",
            "ema_decay",
            "the average starts from random weights",
        ),
        (
            "optax.incremental_update(params, ema_params, 1 - decay)",
            "optax.incremental_update(params, ema_params, decay)",
            "the average forgets at once",
        ),
        (
            "optax.incremental_update(params, ema_params, 1 - decay)",
            "optax.incremental_update(self.params, ema_params, 1 - decay)",
            "the average is a step behind",
        ),
        (
            "tx.update(grads, self.opt_state, self.params)",
            "tx.update(grads, tx.init(self.params), self.params)",
            "Adam without memory",
            "training/test_state.py",
        ),
    ),
    *of("training/hooks.py", RECORD)(
        (
            "run.config, state.eval_params, state.batch_stats",
            "run.config, state.params, state.batch_stats",
            "logged mAP and `best` belong to other weights than the tested ones",
            "training/test_average.py",
        ),
        (
            "self.run.learning_rate(np.int32(number - 1))",
            "self.run.learning_rate(np.int32(number))",
            "the logged rate is the next step's",
        ),
        (
            "make_embed(network, run.config.evaluate.flip_average, mesh)",
            "make_embed(network, False, mesh)",
            "evaluate.flip_average ignored in training",
            "training/test_start.py",
        ),
    ),
    *of("training/initial.py", "training/test_start.py")(
        (
            "init_params(task.network, config.train.seed)",
            "init_params(task.network, 0)",
            "all seeds start from the same weights",
            "training/test_seeds.py",
        ),
        (
            "ema=config.optim.ema_decay > 0",
            "ema=False",
            "optim.ema_decay ignored",
            "training/test_average.py",
        ),
        (
            'get_method(config).uses_saliency and config.method.saliency_model != "own"',
            "False",
            "method.saliency_model ignored",
        ),
    ),
    *of("training/resume.py", "training/test_start.py")(
        (
            "state_sharding(mesh, state, task.config.optim.shard_moments)",
            "state_sharding(mesh, state, False)",
            "optim.shard_moments ignored",
        ),
    ),
    *of("training/setup.py", "training/test_seeds.py")(
        (
            "learning_rate(config.optim, config.train.epochs, self.schedule.steps_per_epoch)",
            "learning_rate(config.optim, config.train.epochs, 1)",
            "the rate falls after steps, not epochs",
            RECORD,
        ),
        (
            "        config.train.seed,\n    )\n    return split, sampler",
            "        0,\n    )\n    return split, sampler",
            "all seeds see the same batches",
        ),
    ),
    *of("training/schedule.py", "training/test_schedule.py")(
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
            "or self.should_eval(number)",
            "or False",
            "figures without a checkpoint",
        ),
        (
            "return steps if whole else range(number, number + 1)",
            "return steps",
            "lines of too many steps",
        ),
    ),
    *of("training/loader.py", "training/test_loader.py")(
        (
            "schedule.steps_at_once(number, self.length)",
            "schedule.steps_at_once(number, 1)",
            "several steps a call fall back to one",
        ),
        (
            "self._host_batches(range(done, schedule.steps))",
            "self._host_batches(range(schedule.steps))",
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
            "size <= config.data.device_cache_gib * 2**30 and (",
            "(",
            "data.device_cache_gib ignored",
        ),
    ),
    *of("training/accumulator.py", "training/test_accumulator.py")(
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
            "        self.restart()\n        return means, throughput",
            "        return means, throughput",
            "lines average over the whole run",
        ),
    ),
    *of("training/state.py", "training/test_state.py")(
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
    ),
]
