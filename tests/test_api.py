import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import pmm_jax
from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.inference import make_embed
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)


@pytest.fixture(scope="module")
def model() -> Model:
    network = create_network(SIZES, "pmm", 5)
    return Model("pmm", network, *init_params(network, 0), (64, 32))


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 32, 3)).astype(np.uint8)


def test_paths_pictures_and_arrays_give_the_same(model: Model, tmp_path: Path) -> None:
    arrays = pictures(3)
    images = [Image.fromarray(array) for array in arrays]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    expected = make_embed(model.network)(model.params, model.batch_stats, jax.numpy.asarray(arrays))
    for given in (arrays, list(arrays), images, paths, [str(path) for path in paths]):
        embeddings = model.embed(given)
        assert embeddings.shape == (3, 48)
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, expected, rtol=1e-5, atol=1e-6)


def test_the_batch_size_changes_nothing(model: Model) -> None:
    arrays = pictures(5)
    np.testing.assert_allclose(
        model.embed(arrays, batch_size=2), model.embed(arrays), rtol=1e-5, atol=1e-6
    )


def test_flip_averaging_is_the_mean_with_the_mirror_image(model: Model) -> None:
    arrays = pictures(3)
    mean = (model.embed(arrays) + model.embed(arrays[:, :, ::-1])) / 2
    averaged = model.embed(arrays, flip_average=True)
    np.testing.assert_allclose(averaged, mean, rtol=1e-5, atol=1e-6)
    assert np.abs(averaged - model.embed(arrays)).max() > 1e-3


def test_other_sizes_and_modes_are_resized(model: Model) -> None:
    image = Image.new("L", (50, 170), 128)
    resized = np.full((64, 32, 3), 128, np.uint8)
    np.testing.assert_allclose(model.embed([image]), model.embed([resized]), rtol=1e-5)


@pytest.mark.parametrize("ending", [".safetensors", ".pth.tar", ".pth"])
def test_saved_and_loaded_is_the_same_model(model: Model, tmp_path: Path, ending: str) -> None:
    if ending != ".safetensors":
        pytest.importorskip("torch", reason="only needed to write .pth files")
    path = tmp_path / f"model{ending}"
    model.save(path)
    loaded = pmm_jax.load_torch(path, image_size=(64, 32))
    jax.tree.map(
        np.testing.assert_array_equal,
        (loaded.params, loaded.batch_stats),
        (model.params, model.batch_stats),
    )
    np.testing.assert_array_equal(loaded.embed(pictures(2)), model.embed(pictures(2)))
    assert list(tmp_path.iterdir()) == [path]


def test_a_bare_trunk_embeds_by_the_mean_of_its_map(tmp_path: Path) -> None:
    network = create_network(SIZES, "trunk", 1)
    trunk = Model("trunk", network, *init_params(network, 0), (64, 32))
    assert trunk.embed(pictures(2)).shape == (2, 256)


def test_bad_images_are_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "broken.png")
    content = (tmp_path / "broken.png").read_bytes()
    last = content.rindex(b"IDAT")  # for a damaged chunk's name PIL raises SyntaxError
    (tmp_path / "broken.png").write_bytes(content[:last] + b"\0" * 4 + content[last + 4 :])
    for given, reason in [
        ([tmp_path / "none.jpg"], "none.jpg: No such file"),
        ([tmp_path / "torn.jpg"], "torn.jpg can't be decoded"),
        ([tmp_path / "broken.png"], "broken.png can't be decoded"),
        ([np.zeros((64, 32, 3), np.float32)], "type float32"),
        ([np.zeros((64, 32), np.uint8)], "shape (64, 32)"),
        ([7], "int is no image"),
        ([np.zeros((0, 0, 3), np.uint8)], "has 0 pixels"),
        ("one.jpg", "give a list"),
        ([], "no images"),
    ]:
        with pytest.raises(UserError) as caught:
            model.embed(given)  # type: ignore[arg-type]
        assert reason in str(caught.value)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        pmm_jax.load_torch(tmp_path / "none.safetensors")
    (tmp_path / "model.bin").write_bytes(b"hello")
    with pytest.raises(UserError, match="neither a safetensors nor a PyTorch file"):
        pmm_jax.load_torch(tmp_path / "model.bin")
    with pytest.raises(UserError, match="holds no run"):
        pmm_jax.load(tmp_path)


def test_unwritable_paths_and_other_endings_are_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't write"):
        model.save(tmp_path / "file" / "model.safetensors")
    with pytest.raises(UserError, match="must end in"):
        model.save(tmp_path / "model.npz")


def test_evaluation_is_there_after_the_import() -> None:
    code = "import pmm_jax; print(pmm_jax.evaluation.evaluate_distances.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "evaluate_distances\n"


def test_explain_gives_each_heads_cam_whatever_the_batch(model: Model) -> None:
    arrays = pictures(5)
    cams = model.explain(arrays)
    assert cams.shape == (5, 3, 4, 2)
    assert cams.dtype == np.float32
    assert cams.min() >= 0
    np.testing.assert_allclose(model.explain(arrays, batch_size=2), cams, rtol=1e-4, atol=1e-6)
    here, there = model.explain_pair(list(arrays), list(arrays[::-1]))
    assert here.shape == cams.shape
    np.testing.assert_allclose(there, here[::-1], rtol=1e-4, atol=1e-6)
    one_by_one, _ = model.explain_pair(arrays, arrays[::-1], batch_size=1)
    np.testing.assert_allclose(one_by_one, here, rtol=1e-4, atol=1e-6)
    named = model.explain(arrays, identities=[4, 3, 2, 1, 0], batch_size=2)
    alone = model.explain(arrays[3:4], identities=np.array([1]))
    np.testing.assert_allclose(named[3:4], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"identities": [0, 5]}, "0 to 4"),
        ({"identities": [0]}, "2 integers"),
        ({"identities": [0.0, 1.0]}, "2 integers"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_explain_refuses_what_it_can_not_answer(model: Model, given: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        model.explain(pictures(2), **given)


def test_explain_pair_needs_a_partner_for_each(model: Model) -> None:
    with pytest.raises(UserError, match="a partner for each"):
        model.explain_pair(pictures(2), pictures(1))
