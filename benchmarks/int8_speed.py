"""Networks in ONNX Runtime on this CPU, int8 against float, one image at a time, one thread.

    python benchmarks/int8_speed.py --record results/measured/int8_speed.json        # five minutes
    python benchmarks/int8_speed.py --scheme int8 "classification resnet18"

Untrained networks with batch norms that have seen random images; times are medians of interleaved rounds. `unfused` is
what the runtime still computes in float between integers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from measurement import measured
from torch import nn

import xvision as xv
from xvision.export.executors import executor
from xvision.export.settings import SESSION
from xvision.quant.islands import listed
from xvision.quant.methods import method

NETWORKS = {
    "classification resnet18": (224, 224),
    "classification mobilenetv2": (224, 224),
    "classification regnetx_400mf": (224, 224),
    "segmentation deeplabv3plus_mobilenetv2_tv_edgeailite": (256, 512),
    "segmentation fpn_aspp_regnetx800mf_edgeailite": (256, 512),
}
"""Recipe and preset, and the size of the input."""


def network(name: str, size: tuple[int, int]) -> nn.Module:
    recipe, preset = name.split()
    made: nn.Module = xv.build(
        xv.recipe(recipe, f"net={preset}", f"data.size={size[0]}x{size[1]}", "net.weights=none")
    )
    return made


def with_statistics(made: nn.Module, batch: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    for norm in made.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = None
    with torch.no_grad():
        made.train()(batch)
    return made.eval()


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in SESSION.items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def row(name: str, scheme: str, rounds: int) -> dict[str, float | str]:
    size = NETWORKS[name]
    images = torch.randint(
        0, 256, (8, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    made = with_statistics(network(name, size), images)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of noise for images
        quantized = xv.quantize(
            made, [images[:4]], scheme=scheme, method=method.part("ptq", {"rungs": "mse"})
        )
        files = {
            "float": xv.export(made, Path(folder, "float.onnx"), [images[:2]]),
            "int8": xv.export(quantized, Path(folder, "int8.onnx")),
        }
        sessions = {kind: session(Path(file)) for kind, file in files.items()}
        unfused = listed(executor.onnxruntime().build(Path(files["int8"])).computed_in_float())
    feed = {sessions["int8"].get_inputs()[0].name: images[:1].numpy()}
    times: dict[str, list[float]] = {kind: [] for kind in sessions}
    for _ in range(rounds):
        for kind, one in sessions.items():
            began = time.perf_counter()
            one.run(None, feed)
            times[kind].append(1000 * (time.perf_counter() - began))
    medians = {kind: statistics.median(values[rounds // 5 :]) for kind, values in times.items()}
    ratios = np.array(times["float"]) / np.array(times["int8"])
    return {
        "network": name,
        "size": f"{size[0]}x{size[1]}",
        "scheme": scheme,
        "float ms": round(medians["float"], 2),
        "int8 ms": round(medians["int8"], 2),
        "x": round(float(np.median(ratios[rounds // 5 :])), 2),
        "unfused": unfused,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)} (else all)")
    parser.add_argument("--scheme", nargs="*", default=["pow2", "int8"])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in options.names or NETWORKS:
        for scheme in options.scheme:
            rows.append(row(name, scheme, options.rounds))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.record:
        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
