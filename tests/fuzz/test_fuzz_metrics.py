"""metrics.jsonl of any content: its lines, or one line of ours."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pmm_jax.workdir.run_log import read_metrics
from tests.fuzz.outcome import empty_folder, outcome
from tests.fuzz.strategies import JSON

LINES = st.one_of(
    st.integers(1, 99).map(lambda step: json.dumps({"step": step, "epoch": 1, "loss": 1.0})),
    JSON.map(json.dumps),
    st.text(max_size=20),
    st.sampled_from(["", "null", '{"step": null}', '{"step": 1', "[" * 5000, "1" * 5000, "NaN"]),
)


@given(st.lists(LINES, max_size=6), st.sampled_from([b"", b"\n", b"\xff\n", b'{"step": 1']))
def test_a_log(lines: list[str], end: bytes) -> None:
    with empty_folder() as folder:
        text = "\n".join(lines).encode("utf-8", "surrogatepass") + end
        Path("metrics.jsonl").write_bytes(text)
        found = outcome(lambda: read_metrics(folder))
        if not isinstance(found, str):
            assert all(isinstance(line["step"], int) for line in found)
        assert Path("metrics.jsonl").read_bytes() == text
