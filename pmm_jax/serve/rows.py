"""Numbers of a gallery's images, by which requests name them.

A path in a request would have to be looked up before it is opened. Here none is opened at all: a
request names a number, and only images that a search or a list has shown have one.
"""


class Rows:
    """Numbers from 0, in the order in which images are first shown; they hold until the end."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, path: str) -> int:
        """The number of an image of the gallery."""
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        return self._numbers[path]

    def __contains__(self, number: int) -> bool:
        return 0 <= number < len(self._paths)

    def path(self, number: int) -> str:
        """The path of the image of a number, as the gallery has it."""
        return self._paths[number]
