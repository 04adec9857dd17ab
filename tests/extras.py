"""Marks of tests that need an extra of the package: skipped, with its name, where it is missing."""

from importlib.util import find_spec

import pytest


def _needs(module: str, extra: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        find_spec(module) is None, reason=f"{module} is not installed (extra {extra})"
    )


needs_export = _needs("onnxruntime", "export")
needs_serve = _needs("starlette", "serve")
