import zlib
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.comparison.golden import NEEDED, golden_value, read_golden
from pmm_jax.errors import UserError

FILE = Path(__file__).parents[1] / "golden" / "release_p4_c10_s21.npz"


def stored() -> dict[str, np.ndarray]:
    with np.load(FILE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_inputs_follow_from_the_seed() -> None:
    golden = read_golden(FILE)
    assert golden.images.shape == (3, 16, 384, 128, 3)
    np.testing.assert_array_equal(golden.labels, stored()["labels"])
    first = np.random.default_rng([21, 1]).standard_normal((16, 3, 384, 128))
    np.testing.assert_array_equal(golden.images[0, 5, :, :, 2], first[5, 2])


@pytest.mark.parametrize(
    ("name", "shape", "low", "high"),
    [
        ("a.running_var", (1000,), 1.0, 1.5),
        ("a.running_mean", (1000,), -0.5, 0.5),
        ("a.weight", (1000,), 0.5, 1.5),
        ("a.bias", (1000,), -0.5, 0.5),
    ],
)
def test_values_by_their_role(name: str, shape: tuple[int, ...], low: float, high: float) -> None:
    value = golden_value(3, name, shape)
    assert value.min() > low
    assert value.max() < high
    z = np.random.default_rng([3, zlib.crc32(name.encode())]).standard_normal(shape)
    assert abs(np.corrcoef(value, np.abs(z) if "var" in name else z)[0, 1]) > 0.999


def test_kernels_are_he_normal_by_fan_in() -> None:
    assert golden_value(3, "a.weight", (64, 32, 3, 3)).std() == pytest.approx(
        np.sqrt(2 / 288), rel=0.02
    )


@pytest.mark.parametrize("name", ["seed", "cam2", "step2_state_norm"])
def test_a_file_without_an_array_is_refused_by_name(tmp_path: Path, name: str) -> None:
    rest = {key: value for key, value in stored().items() if key != name}
    np.savez(tmp_path / "g.npz", allow_pickle=False, **rest)
    with pytest.raises(UserError, match=f"lacks {name}; it is not a golden file"):
        read_golden(tmp_path / "g.npz")
    assert name in NEEDED


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.npz").write_text("hello")
    with pytest.raises(UserError, match="is not an npz file"):
        read_golden(tmp_path / "g.npz")
    with pytest.raises(UserError, match="can't read"):
        read_golden(tmp_path / "none.npz")


INFINITE = np.full((3, 6), np.inf)
WRONG: list[tuple[str, np.ndarray]] = [
    ("seed", np.array(-1)),
    ("seed", np.array(21.0)),
    ("seed", np.array("x\x1b[2J")),
    ("seed", np.array(2**63, np.uint64)),
    ("seed", np.array([21])),
    ("seed", np.zeros((2, 0), np.int64)),
    ("num_ids", np.array(0)),
    ("num_ids", np.array(-10)),
    ("num_ids", np.array(3)),  # fewer than a batch has
    ("num_ids", np.array(10**12)),
    ("num_ids", np.array(11)),  # then the logits are misshapen
    ("num_ids", np.array(np.nan)),
    ("ids_per_batch", np.array(0)),
    ("ids_per_batch", np.array(-4)),
    ("ids_per_batch", np.array(5)),
    ("ids_per_batch", np.array(10**9)),
    ("ids_per_batch", np.array(True)),
    ("ids_per_batch", np.array(4 + 0j)),
    ("losses", INFINITE),
    ("losses", np.zeros((3, 7))),
    ("losses", np.zeros(())),
    ("step1_partner2", np.full(16, 16)),
    ("step1_partner3", np.full(16, -1)),
    ("step2_partner2", np.zeros(16)),
    ("grad_names", np.arange(186)),
    ("grad_norm", np.zeros(185)),
    ("step0_state_sum", np.zeros(304, np.complex128)),
    ("step2_state_names", np.array("one")),
    ("mask2", np.array([["keep"]])),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=range(len(WRONG)))
def test_odd_values_are_one_line(tmp_path: Path, name: str, value: np.ndarray) -> None:
    np.savez(tmp_path / "g.npz", allow_pickle=False, **(stored() | {name: value}))
    with pytest.raises(UserError, match="it is not a golden file") as caught:
        read_golden(tmp_path / "g.npz")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", NEEDED)
def test_every_array_is_held_to_its_shape_and_type(tmp_path: Path, name: str) -> None:
    arrays = stored()
    for wrong in (arrays[name].reshape(1, *arrays[name].shape), np.full(arrays[name].shape, 1j)):
        np.savez(tmp_path / "g.npz", allow_pickle=False, **(arrays | {name: wrong}))
        with pytest.raises(UserError, match=rf": {name}|it is not a golden file"):
            read_golden(tmp_path / "g.npz")
