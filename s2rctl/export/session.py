"""onnxruntime as export uses it: one thread, CPU, from bytes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

BATCH = 256
"""Observations per call: keeps the memory of 84x84 images small."""


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Return a single-threaded CPU session, as the robot computer runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return all outputs by name for inputs with a batch axis."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))
