"""Wrong changes to galleries and search."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("search/embedded.py", "search/test_gallery.py")(
        (
            'connection.execute("PRAGMA secure_delete = ON")',
            'connection.execute("PRAGMA secure_delete = OFF")',
            "what was removed from a gallery can still be read in its file",
        ),
        (
            "if self._snapshot is not None and self._snapshot.version == version:",
            "if self._snapshot is not None:",
            "a server never shows what was added while it runs",
        ),
    ),
    *of("search/exact.py", "search/test_exact.py")(
        (
            "return self._unit * length * self._lengths[images] + self._lost",
            "return 0 * self._lengths[images]",
            "images that rounding puts behind others are lost",
        ),
    ),
    *of("search/codes.py", "search/test_exact.py")(
        (
            "error = _column(length) * self._left",
            "error = _column(length) * self._left / 16",
            "eight bits hide images that are among the first",
        ),
        (
            "QUERY = 63",
            "QUERY = 127",
            "processors without VNNI cut sums of products off",
        ),
    ),
]
