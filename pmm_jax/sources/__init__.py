"""Images that somebody wants embedded: a folder, a CSV file, or detections in a video."""

from pmm_jax.sources.open_source import open_source
from pmm_jax.sources.source import Source

__all__ = ["Source", "open_source"]
