"""A run that starts from a whole trained model: train.py --init-from MODEL."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.errors import UserError
from pmm_jax.model.pmm import Tree
from pmm_jax.model.torch_checkpoint import load_state_dict
from pmm_jax.model.weights_file import read_file
from pmm_jax.training.run_weights import restore_run
from pmm_jax.training.workdir import data_fingerprint


@dataclass(frozen=True, eq=False)
class Initial:
    """The weights of a trained model."""

    source: str
    """Where they come from, as the user wrote it."""
    params: Tree
    stats: Tree
    data: str | None = None
    """Fingerprint of the images it was trained on, where that is known."""

    @property
    def digest(self) -> str:
        """Short hash of all values: the run's config.json knows by it what the run started from."""
        digest = hashlib.sha256()
        for path, value in jax.tree_util.tree_leaves_with_path((self.params, self.stats)):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()[:16]

    def put_into(
        self, params: Tree, stats: Tree, data: str | None, say: Callable[[str], None]
    ) -> tuple[Tree, Tree]:
        """Copies of a new network's trees with this model's values.

        Classifiers stay new where they know other identities: another number of them, or other
        images, as far as that is known.

        Args:
            params, stats: of the new network.
            data: fingerprint of the images that it will be trained on.
            say: told what stays new.

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

        both = filled(params, self.params), filled(stats, self.stats)
        kept = f"{', '.join(sorted(new))} anew, for other identities" if new else "all of it"
        say(f"starting from {self.source}: {kept}")
        return both


def read_initial(source: str) -> Initial:
    """The model of a run's folder, or of a weights file.

    Raises:
        UserError: there is none, it can't be read, or it is a bare ResNet-50.
    """
    path = Path(source)
    if path.is_dir():
        _, _, params, stats = restore_run(path, "latest")
        return Initial(source, params, stats, data_fingerprint(path))
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
    return Initial(source, loaded.params, loaded.stats)
