"""Runs ONNX files at every optimisation level of an ONNX Runtime; needs that and NumPy alone (see runtimes.py).

    python benchmarks/run_onnx.py FILE.onnx [FILE.onnx …]

Beside each file stands FILE.npz: arrays `in NAME` of its inputs, `out NAME` of its outputs.

Prints as JSON, of each file and level, the largest difference of an output, as a share of its largest value.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

LEVELS = {
    "off": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def differences(file: str) -> dict[str, float]:
    with np.load(Path(file).with_suffix(".npz")) as stored:
        arrays = dict(stored)
    feeds = {name[3:]: array for name, array in arrays.items() if name.startswith("in ")}
    found = {}
    for level, value in LEVELS.items():
        options = ort.SessionOptions()
        options.graph_optimization_level = value
        options.log_severity_level = 4
        # without VNNI, x86 adds pairs of products in 16 bits and saturates; this asks for the slower, exact way
        options.add_session_config_entry("session.x64quantprecision", "1")
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        results = zip(names, session.run(names, feeds))  # noqa: B905  (older Pythons have no strict)
        found[level] = max(_difference(result, arrays[f"out {name}"]) for name, result in results)
    return found


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30))


if __name__ == "__main__":
    print(
        json.dumps({"version": ort.__version__, "files": {file: differences(file) for file in sys.argv[1:]}})
    )
