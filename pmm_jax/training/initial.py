"""Initial weights of a run: random, ImageNet, or a trained model (--init-from MODEL)."""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.config import Config
from pmm_jax.errors import UserError
from pmm_jax.methods import get_method
from pmm_jax.model.heads import StageHead
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.model.pretrained import IBN_HINT, load_resnet50
from pmm_jax.model.torch_checkpoint import load_state_dict
from pmm_jax.model.weights_file import read_file
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_config import data_fingerprint


@dataclass(frozen=True, eq=False)
class Initial:
    """The weights of a trained model."""

    source: str
    """Source of the weights, as the user wrote it."""
    params: Tree
    batch_stats: Tree
    data: str | None = None
    """Fingerprint of the images it was trained on, where that is known."""

    @property
    def digest(self) -> str:
        """Short hash of all values, by which config.json identifies the initial weights."""
        digest = hashlib.sha256()
        for path, value in jax.tree_util.tree_leaves_with_path((self.params, self.batch_stats)):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()[:16]

    def put_into(
        self, params: Tree, batch_stats: Tree, data: str | None, info: Callable[[str], None]
    ) -> tuple[Tree, Tree]:
        """Copies of a new network's trees with this model's values.

        Classifiers stay new where they know other identities: another number of them, or other
        images, as far as that is known.

        Args:
            params: of the new network.
            batch_stats: likewise.
            data: fingerprint of the images that it will be trained on.
            info: called with what stays new.

        Raises:
            UserError: it is another network; the first difference is named.
        """
        other_people = self.data is not None and data is not None and self.data != data
        new: set[str] = set()

        def filled(ours: Tree, theirs: Tree) -> Tree:
            given, result = flatten_dict(theirs), flatten_dict(ours)
            for path in sorted(set(given) ^ set(result)):
                whose = "no" if path in result else "a"
                raise UserError(
                    f"--init-from {self.source}: the model there has {whose} {'.'.join(path)}, "
                    "unlike the one this config names; set method.name, method.stages and model.* "
                    "to the model's own"
                )
            for path, value in result.items():
                same = given[path].shape == value.shape
                if "classifier" in path and (other_people or not same):
                    new.add(".".join(path[:-1]))
                elif not same:
                    raise UserError(
                        f"--init-from {self.source}: {'.'.join(path)} has shape "
                        f"{given[path].shape} there and {value.shape} here; set model.* to the "
                        "model's own sizes"
                    )
                else:
                    result[path] = jnp.array(given[path], value.dtype, copy=True)
            return unflatten_dict(result)

        both = filled(params, self.params), filled(batch_stats, self.batch_stats)
        kept = f"{', '.join(sorted(new))} anew, for other identities" if new else "all of it"
        info(f"starting from {self.source}: {kept}")
        return both


def read_initial(source: str) -> Initial:
    """The model of a run's folder, or of a weights file.

    Raises:
        UserError: there is none, it can't be read, or it is a bare ResNet-50.
    """
    path = Path(source)
    if path.is_dir():
        _, _, params, batch_stats = restore_run(path, "latest")
        return Initial(source, params, batch_stats, data_fingerprint(path))
    if not path.exists():
        raise UserError(
            f"--init-from {source}: no such file or folder; give the --workdir of a run, or a "
            "weights file"
        )
    loaded = load_state_dict(source, read_file(path, "give --init-from another file"))
    if loaded.kind == "trunk":
        raise UserError(
            f"--init-from {source}: it holds a bare ResNet-50; give it as --model.weights {source}"
        )
    return Initial(source, loaded.params, loaded.batch_stats)


def check_weights(config: Config, fresh: bool) -> None:
    """Check before the data is prepared that the weights can be loaded.

    Args:
        config: names an initial trunk and a saliency model.
        fresh: whether the run starts, and needs its initial trunk.

    Raises:
        UserError: a file that isn't there, or ImageNet's weights for another network than theirs.
    """
    model, named = config.model, []
    if (
        fresh
        and model.weights == "imagenet"
        and (model.width, model.stage_sizes) != (1, (3, 4, 6, 3))
    ):
        raise UserError(
            "model.weights imagenet needs model.width 1 and model.stage_sizes 3 4 6 3; use those, "
            "or --model.weights scratch"
        )
    if fresh and model.weights == "imagenet" and model.ibn_a:
        raise UserError(f"model.weights imagenet has no IBN-a, which model.ibn_a wants; {IBN_HINT}")
    if fresh and model.weights not in ("imagenet", "scratch"):
        named.append(("model.weights", model.weights))
    if has_saliency_trunk(config) and config.method.saliency_model != "imagenet":
        named.append(("method.saliency_model", config.method.saliency_model))
    for field, name in named:
        if not Path(name).is_file():
            raise UserError(f"{field} {name} is no file; check its name")


def has_saliency_trunk(config: Config) -> bool:
    """Whether `a_cutmix` uses another saliency trunk than the one in training."""
    return get_method(config).uses_saliency and config.method.saliency_model != "own"


def create_train_state(
    task: TrainTask,
    fresh: bool = True,
    trained: Callable[[Tree, Tree], tuple[Tree, Tree]] | None = None,
) -> TrainState:
    """The state before the first step: random, with the trunk that model.weights names.

    Args:
        task: model and optimizer.
        fresh: off where a checkpoint will replace the weights, which are left random then.
        trained: puts a trained model's values into parameters and statistics.

    Raises:
        UserError: weights that can't be read, or of another network.
    """
    config = task.config
    params, batch_stats = init_params(task.network, config.train.seed)
    if fresh and trained is not None:
        params, batch_stats = trained(params, batch_stats)
    elif fresh and config.model.weights != "scratch":
        params["trunk"], batch_stats["trunk"] = load_resnet50(
            config.model.weights, params["trunk"], batch_stats["trunk"]
        )
    state = TrainState.create(params, batch_stats, task.tx, ema=config.optim.ema_decay > 0)
    if not config.method.center_loss:
        return state
    return replace(state, centers=init_centers(task.network, config.train.seed))


def init_centers(network: Network, seed: int) -> tuple[jax.Array, ...]:
    """Centers of each head's identities, N(0, 1): (identities, embedding_size) float32 each."""
    heads = [module for module in network.modules.values() if isinstance(module, StageHead)]
    rng = np.random.default_rng([seed, zlib.crc32(b"centers")])
    return tuple(
        jnp.asarray(rng.standard_normal((head.num_ids, head.embedding_size)), jnp.float32)
        for head in heads
    )
