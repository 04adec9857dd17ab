from pathlib import Path

from tests.cli.entry import Program

GOLDEN = Path(__file__).parents[1] / "golden" / "release_p4_c10_s21.npz"


def test_convert_and_parity_say_what_they_need(refused: Program) -> None:
    assert "convert RUN_OR_FILE FILE" in refused("pmm_jax", "convert", "one")
    assert "parity FILE.npz" in refused("pmm_jax", "parity")
    assert "none.npz" in refused("pmm_jax", "parity", "none.npz")
    assert "holds no run" in refused("pmm_jax", "convert", ".", "out.safetensors")
