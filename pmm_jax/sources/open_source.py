"""SOURCE on a command line."""

from collections.abc import Callable

from pmm_jax.errors import UserError
from pmm_jax.files import user_path
from pmm_jax.sources.files import csv_source, folder_source
from pmm_jax.sources.source import Source
from pmm_jax.sources.video import VideoSource


def open_source(
    source: str, detections: str = "", info: Callable[[str], None] = lambda line: None
) -> Source:
    """The images that a folder, a CSV file, or a video with detections holds.

    Args:
        source: a path as its user wrote it.
        detections: CSV file of boxes, where the source is a video.
        info: called with lines on what is left out.

    Raises:
        UserError: there is no such source, or it holds nothing to embed.
    """
    path = user_path(source)
    if detections:
        return VideoSource(path, user_path(detections))
    if path.is_dir():
        return folder_source(path, info)
    if path.suffix.lower() == ".csv":
        return csv_source(path)
    if not path.exists():
        raise UserError(f"there is no {path}; give a folder, a CSV file or a video")
    raise UserError(
        f"{path} is neither a folder nor a CSV file; a video needs --detections FILE.csv"
    )
