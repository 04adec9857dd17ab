"""Reading a program's transfers between devices off its text."""

from benchmarks.hlo import Array, Transfer, by_kind, transfers

TEXT = """
  %all-reduce.3 = (f32[64]{0}, /*index=1*/f32[2,3]{1,0}) all-reduce(%a, %b), channel_id=1
  ROOT %x = f64[] add(%y, %z), metadata={op_name="all-reduce"}
  %g = bf16[8,512]{1,0} all-gather(bf16[1,512]{1,0} %p), dimensions={0}
  %s = f32[16]{0} all-reduce-start(f32[16]{0} %q), channel_id=2
  %d = f32[16]{0} all-reduce-done(f32[16]{0} %s)
  %c = pred[] compare(%a, %b), direction=LT
"""


def test_every_collective_is_found_once_with_its_arrays() -> None:
    found = transfers(TEXT)
    assert found == [
        Transfer("all-reduce", (Array((64,), 256), Array((2, 3), 24))),
        Transfer("all-gather", (Array((8, 512), 8192),)),
        Transfer("all-reduce", (Array((16,), 64),)),
    ]
    assert by_kind(found) == {"all-reduce": 344, "all-gather": 8192}


def test_an_accelerators_text_is_read_too() -> None:
    text = """
  %g = (bf16[1,8]{1,0:T(2,128)}, bf16[4,8]{1,0:T(2,128)}) all-gather-start(bf16[1,8] %p)
  %r = ((f32[16]{0}, f32[8]{0}), (f32[4]{0}, f32[2]{0})) reduce-scatter-start(%a, %b)
  %c = (f32[3]{0}, f32[3]{0}, u32[], u32[]) collective-permute-start(f32[3]{0} %x)
"""
    assert by_kind(transfers(text)) == {
        "all-gather": 64,
        "reduce-scatter": 24,
        "collective-permute": 12,
    }


def test_a_program_of_one_device_moves_nothing() -> None:
    assert transfers("%c = f32[4]{0} add(%a, %b)") == []
