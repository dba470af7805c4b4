"""Whether a change left every result as it was: four small runs, to the last bit.

    python benchmarks/identity.py before.json          # with PYTHONPATH=src of the one version
    python benchmarks/identity.py after.json           # and of the other
    python benchmarks/identity.py --compare before.json after.json

A file holds the losses of every step, hashes of the float weights, of the int8 codes and of the ONNX file's
initializers, hashes of what that file computes, and every metric. Names may have changed in between: tensors are
compared as a set, metrics and loss terms by the last part of their names. A version whose settings are called
otherwise is told with `--renamed TABLE.json` (old name to new, under "settings" and "metrics"): settings are then
translated back to the old ones. Both versions must run on one machine: other libraries round differently.

With $XVISION_DATA the second recipe trains on a part of CamVid, else on drawn scenes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

EVERY = (
    "train.threads=1",
    "train.workers=0",
    "train.log_every=1",
    "train.max_steps=6",
    "train.precision=fp32",
)
SCENES = ("data.num_train=48", "data.num_val=12")
NOT_RESULTS = {"img_per_s", "seconds"}


def recipes(place: Path) -> dict[str, tuple[str, ...]]:
    """Words of the command by name; the data that they need is written into `place`."""
    depth_maps, camvid = write_depth_folder(place / "depth_maps"), part_of_camvid(place / "camvid")
    return {
        "classification": (
            "classification",
            *SCENES,
            "data.size=64x64",
            "data.crop_ratio=0.875",
            "data.augment.mixup=0.2",
            "data.augment.cutmix=0.5",
            "data.augment.randaugment=1",
            "data.augment.erasing=0.3",
            "net=resnet18_x1",
            "net.backbone.width=0.25",
            "train.batch_size=8",
            "train.accumulate=2",
            "train.epochs=2",
            "train.ema=0.9",
            "train.clip_norm=1",
            "train.decay=weights",
        ),
        "segmentation": (
            "segmentation",
            *((f"data=camvid data.root={camvid}",) if camvid else SCENES),
            "data.size=64x96",
            "data.augment.rotate_deg=10",
            "data.augment.hue=0.1",
            "net.backbone=timm:regnetx_002",
            "net.pixels=yuv444",
            "net.decoder=deeplabv3plus_lite net.decoder.width=0.25",
            "task.losses=focal:1,lovasz:0.5",
            "train.batch_size=4",
            "train.warmup_epochs=0.02",
        ),
        "street": (
            "street",
            *SCENES,
            "data.size=64x64",
            "train.batch_size=8",
            "train.balancing=uncertainty",
        ),
        "two data sets": (
            "segmentation+depth",
            f"data=scenes+image_depth_folder data.image_depth_folder.root={depth_maps}",
            *(word.replace("data.", "data.scenes.") for word in SCENES),
            "data.labels=scenes:segmentation,image_depth_folder:depth",
            "data.sampling=equal",
            "data.size=64x64",
            "net.heads.depth=unet_lite net.heads.depth.width=0.25",
            "net.inputs=image",
            "train.batch_size=6",
            "train.balancing=gradnorm",
            "train.optimizer=sgd train.optimizer.lr=0.01",
        ),
    }


def part_of_camvid(root: Path) -> Path | None:
    """40 images to train and 12 to validate, evenly from the real ones."""
    if "XVISION_DATA" not in os.environ:
        return None
    for split, num in (("train", 40), ("val", 12)):
        for folder in ("images", "labels"):
            (root / split / folder).mkdir(parents=True)
            files = sorted(Path(os.environ["XVISION_DATA"], "camvid", split, folder).iterdir())
            for file in files[:: len(files) // num][:num]:
                shutil.copy(file, root / split / folder)
    return root


def write_depth_folder(root: Path, num: int = 16) -> Path:
    """Tilted planes of depth and pictures that show how far they are."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:60, 0:80].astype(np.float64)
    for folder in ("images", "depth"):
        (root / folder).mkdir(parents=True)
    for i in range(num):
        a, b, c = rng.uniform((0.01, 0.01, 1.0), (0.05, 0.05, 4.0))
        depth_m = a * x + b * y + c
        depth_m[rng.uniform(size=depth_m.shape) < 0.1] = 0  # unknown
        picture = np.clip(depth_m[..., None] * (20, 25, 30) + rng.normal(0, 8, (60, 80, 3)), 0, 255)
        assert cv2.imwrite(str(root / f"images/{i:02}.png"), picture.astype(np.uint8))
        assert cv2.imwrite(str(root / f"depth/{i:02}.png"), (depth_m * 1000).astype(np.uint16))
    return root


def measure(words: tuple[str, ...], out: Path, old_names: Mapping[str, str]) -> dict[str, Any]:
    """What a run leaves, without names and times."""
    settings = [word for text in (*words[1:], *EVERY) for word in text.split()]
    command = [words[0], *(_translated(word, old_names) for word in settings), "--out", str(out), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "xvision.cli", "run", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"xvision run {' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "losses": list(_losses(out / "metrics.jsonl")),
        "float weights": _hashes(load_file(out / "checkpoints/best.safetensors")),
        "int8 codes": _hashes(_codes(load_file(out / "quant/int8/model.safetensors"))),
        "onnx initializers": _hashes(_initializers(out / "export/int8/model.onnx")),
        "onnx outputs": _onnx_outputs(out / "export/int8/model.onnx"),
        "metrics": _metrics(json.loads(done.stdout)["metrics"]),
    }


def _translated(word: str, old_names: Mapping[str, str]) -> str:
    key, equals, value = word.partition("=")
    return old_names.get(key, key) + equals + value


def _losses(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text().splitlines():
        plain = json.loads(line)
        for key in ("terms", "val"):
            if key in plain:
                plain[key] = _by_last_name(plain[key])
        yield {key: value for key, value in plain.items() if key not in NOT_RESULTS}


def _last_name(key: str) -> str:
    return key.replace("/", ".").rpartition(".")[2]


def _by_last_name(values: Mapping[str, float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for key, value in sorted(values.items()):
        found.setdefault(_last_name(key), []).append(value)
    return {key: sorted(found[key]) for key in sorted(found)}


def _metrics(metrics: Any) -> dict[str, dict[str, list[float]]]:
    """Of nested tables or of rows: what ran, last name of the metric, values."""
    if isinstance(metrics, dict):
        return {name: _by_last_name(values) for name, values in metrics.items()}
    tables: dict[str, dict[str, float]] = {}
    for row in metrics:
        ran = "onnx" if row["executor"] == "onnxruntime" else row["network"]
        tables.setdefault(ran, {})[row["metric"]] = row["value"]
    return {name: _by_last_name(values) for name, values in tables.items()}


def _hashes(tensors: Mapping[str, np.ndarray[Any, Any]]) -> list[str]:
    """Of each tensor's kind, shape and values, sorted: what they are called does not count."""
    return sorted(_hash(tensor) for tensor in tensors.values())


def _hash(tensor: np.ndarray[Any, Any]) -> str:
    shape = "x".join(map(str, tensor.shape))
    return (
        f"{tensor.dtype}[{shape}] {hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()[:16]}"
    )


def _codes(tensors: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Integer weights and biases; a quantizer's own state has no axes."""
    return {key: t for key, t in tensors.items() if t.ndim and t.dtype.kind == "i"}


def _initializers(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer}


def _onnx_outputs(file: Path) -> list[str]:
    """Of what the file computes for noise."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    noise = {
        one.name: rng.integers(0, 256, [n if isinstance(n, int) else 1 for n in one.shape], dtype=np.uint8)
        for one in session.get_inputs()
    }
    given = {
        one.name: noise[one.name].view(np.int8) if one.type == "tensor(int8)" else noise[one.name]
        for one in session.get_inputs()
    }
    return sorted(_hash(output) for output in session.run(None, given))


def differences(a: Mapping[str, Any], b: Mapping[str, Any], new_names: Mapping[str, str]) -> list[str]:
    """What is not the same in two measurements of one recipe, a line each."""
    found = []
    for key in ("float weights", "int8 codes", "onnx initializers", "onnx outputs"):
        gone, come = Counter(a[key]) - Counter(b[key]), Counter(b[key]) - Counter(a[key])
        if gone or come:
            found.append(
                f"{key}: of {len(a[key])} {gone.total()} are gone, {come.total()} are new; "
                f"{_some(gone)} -> {_some(come)}"
            )
    for first, second in zip(_steps(a, new_names), _steps(b, {}), strict=False):
        if first != second:
            found.append(f"losses: step {second.get('step')}: {_changed(first, second)}")
            break
    if len(a["losses"]) != len(b["losses"]):
        found.append(f"losses: {len(a['losses'])} lines -> {len(b['losses'])}")
    for name in sorted({*a["metrics"], *b["metrics"]}):
        first, second = _renamed(a["metrics"].get(name, {}), new_names), b["metrics"].get(name, {})
        if first != second:
            found.append(f"metrics: {name}: {_changed(first, second)}")
    return found


def _steps(found: Mapping[str, Any], new_names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for line in found["losses"]:
        yield {k: _renamed(v, new_names) if isinstance(v, dict) else v for k, v in line.items()}


def _renamed(table: Mapping[str, Any], new_names: Mapping[str, str]) -> dict[str, Any]:
    return {_last_name(new_names.get(key, key)): value for key, value in table.items()}


def _some(counted: Counter[str]) -> str:
    return ", ".join(list(counted)[:3]) or "nothing"


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
    return "; ".join(f"{key} {a.get(key, 'none')} -> {b.get(key, 'none')}" for key in keys[:4]) + (
        f"; and {len(keys) - 4} more" if len(keys) > 4 else ""
    )


def compare(before: Path, after: Path, new_names: Mapping[str, str]) -> int:
    """Say what differs, recipe by recipe; 1 if anything does."""
    a, b = (json.loads(file.read_text()) for file in (before, after))
    different = False
    for name in sorted({*a, *b}):
        if name not in a or name not in b:
            print(f"{name}: only in {before if name in a else after}")
            continue
        lines = differences(a[name], b[name], new_names)
        different |= bool(lines)
        steps, tensors = len(b[name]["losses"]), sum(len(b[name][key]) for key in b[name] if " " in key)
        same = f"identical: {steps} lines of losses, {tensors} tensors, {len(b[name]['metrics'])} networks"
        print(f"{name}: " + ("\n  ".join(["differs", *lines]) if lines else same))
    return int(different)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="what to write, or the two to compare")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument(
        "--renamed", type=Path, help="a table of names, when the first version has the old ones"
    )
    parser.add_argument("--only", nargs="*", default=(), help="names of recipes")
    given = parser.parse_args()
    table = json.loads(given.renamed.read_text()) if given.renamed else {}
    if given.compare:
        return compare(*given.files, table.get("metrics", {}))
    old_names = {new: old for old, new in table.get("settings", {}).items()}
    with tempfile.TemporaryDirectory() as place:
        chosen = recipes(Path(place))
        found = {}
        for name, words in chosen.items():
            if not given.only or name in given.only:
                found[name] = measure(words, Path(place, name), old_names)
                print(f"{name}: {found[name]['cpu_s']} s of CPU", file=sys.stderr)
        given.files[0].write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
