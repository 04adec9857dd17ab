"""The checksum and the header of our safetensors files."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from pmm_jax.errors import UserError
from pmm_jax.model.safetensors_file import ENTRY, LARGEST_HEADER, encode_safetensors
from pmm_jax.model.weights_file import WeightsAlone, read_file, read_with_header

TENSORS: dict[str, np.ndarray] = {
    "a.b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "c": np.zeros((), np.int64),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_with_header(path, "give another file")
    assert str(caught.value).isprintable()
    return str(caught.value)


def forged(path: Path, text: str) -> Path:
    """A file with any header, whose checksum is right: whoever writes a file can compute it."""
    data = save(TENSORS, metadata={ENTRY: '{"sha256": "' + "0" * 64 + '"' + text})
    digest = hashlib.sha256(data).hexdigest()
    path.write_bytes(data.replace(b"0" * 64, digest.encode(), 1))
    return path


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = {"name": "Müller \u2028 0" + "0" * 64, "values": [1, 0.1, None]}
    path.write_bytes(encode_safetensors(TENSORS, header))
    tensors, found = read_with_header(path, "")
    assert found == header
    for values in (tensors, read_file(path, ""), load(path.read_bytes())):
        assert sorted(values) == ["a.b", "c"]
        assert all(values[name].tobytes() == TENSORS[name].tobytes() for name in TENSORS)
    assert encode_safetensors(TENSORS, header) == path.read_bytes()


def test_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    whole = encode_safetensors(TENSORS, {"format": 1})
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 + place % 255
        path.write_bytes(flipped)
        refusal(path)
        # Nor is it taken for one of weights alone.
        with pytest.raises(UserError):
            read_file(path, "give another file")
    for length in (0, 7, 8, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)
    path.write_bytes(whole + b"\0")
    refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (', "a": NaN}', "a header that can't be read"),
        (', "a": ' + "[" * 100_000, "a header that can't be read"),
        (', "a": ' + "9" * 10_000 + "}", "a header that can't be read"),
        (', "a": 1', "a header that can't be read"),
        (', "a": 1, "a": 2}', "two entries a"),
        (', "sha256": 1}', "two entries sha256"),
        ("}", "weights alone"),
    ],
)
def test_a_header_that_lies_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(forged(tmp_path / "m.safetensors", text))


def test_a_header_beyond_any_network_is_not_parsed(tmp_path: Path) -> None:
    path = forged(tmp_path / "m.safetensors", ', "a": "' + "x" * LARGEST_HEADER + '"}')
    assert "its header has 16,77" in refusal(path)


def test_other_checksums_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for text in ("[]", "{}", "1", '{"sha256": 1}', '{"sha256": "' + "0" * 64 + '"}'):
        path.write_bytes(save(TENSORS, metadata={ENTRY: text}))
        assert "is damaged" in refusal(path)


def test_files_of_weights_alone_are_named_so(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(save(TENSORS, metadata={"format": "pt", "note": json.dumps([1])}))
    with pytest.raises(WeightsAlone, match="holds weights alone, which load_torch reads"):
        read_with_header(path, "")
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsAlone, match="holds weights alone, which load_torch reads"):
        read_with_header(path, "")
