"""What libraries say while a model is loaded or converted, and nobody has asked for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars, and the remarks of tracers and exporters: they would end in a notebook."""
    bars: Any = transformers.utils.logging
    shown, verbosity = bars.is_progress_bar_enabled(), bars.get_verbosity()
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    bars.disable_progress_bar()
    bars.set_verbosity_error()
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
        bars.set_verbosity(verbosity)
        if shown:
            bars.enable_progress_bar()
