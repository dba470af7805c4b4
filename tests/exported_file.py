"""An exported file, used by what its metadata says: nothing of xvision, as on a device's host.

file = ExportedFile(Path("runs/street/export/int8/model.onnx"))
image = cv2.imread("photo.jpg")[..., ::-1].copy()
found = file(image)  # {"depth": metres (h, w), "segmentation": ids (h, w), …}
"""

from __future__ import annotations

import json
from math import floor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

Array = np.ndarray[Any, Any]


class ExportedFile:
    """Call it with an image, and the frame before it if the file takes two: RGB, uint8 (h, w, 3)."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        said = {k: json.loads(v) for k, v in self.session.get_modelmeta().custom_metadata_map.items()}
        for key, value in said["runtime"]["session_config"].items():
            options.add_session_config_entry(key, value)
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs, self.outputs, self.classes = said["inputs"], said["outputs"], said["classes"]
        self.steps = said["preprocessing"]["steps"]
        self.size = said["preprocessing"]["size_px"]

    def __call__(self, image: Array, previous: Array | None = None) -> dict[str, Array]:
        """What each output says of the image: a class id, or a map as large as the image (after the crop)."""
        fields = {"image": image} if previous is None else {"image": image, "previous": previous}
        for step in self.steps:
            if step["operation"] == "flow":
                fields["flow"], fields["confidence"] = flow_of(fields.pop("previous"), image, step)
            elif step["operation"] == "crop":
                top, left, bottom, right = step["rect_px"]
                fields = {name: value[top:bottom, left:right] for name, value in fields.items()}
            elif step["operation"] == "shrink":
                back = size_of(fields["image"])  # outputs come back to this size
                fields = {name: self.shrunk(name, value, step) for name, value in fields.items()}
            elif step["operation"] == "frame":
                frame, seen = step, size_of(fields["image"])
                placed = placement(step, seen, self.size)
                fields = {
                    name: resampled(name, fields[name], *placed, self.size, fill)
                    for name, fill in step["fill"].items()
                }
        planes = {one["name"]: encoded(fields[one["of"]], one)[None] for one in self.inputs}
        raw = self.session.run([one["name"] for one in self.outputs], planes)
        scale, offset = placement(frame, back, self.size)
        return {
            one["name"]: self.read(values, one["steps"], scale, offset, back).squeeze()
            for one, values in zip(self.outputs, raw, strict=True)
        }

    def shrunk(self, name: str, value: Array, step: dict[str, Any]) -> Array:
        h, w = size_of(value)
        r = step["largest_ratio"] * max(self.size[0] / h, self.size[1] / w)
        if r >= 1:
            return value
        small = max(1, round(h * r)), max(1, round(w * r))
        return resampled(name, value, (small[1] / w, small[0] / h), (0, 0), small, 0)

    def read(self, x: Array, steps: list[dict[str, Any]], scale: Any, offset: Any, back: Any) -> Array:
        for step in steps:
            if step["operation"] == "clip":
                x = np.clip(x, step["low"], step["high"])
            elif step["operation"] == "exp":
                x = np.exp(x)
            elif step["operation"] == "argmax":
                x = x.argmax(step["axis"])
            elif step["operation"] == "to_image":
                for axis, s, o in ((2, scale[1], offset[1]), (3, scale[0], offset[0])):
                    m, to = x.shape[axis], self.size[axis - 2]
                    at = (s * (np.arange(back[axis - 2]) + 0.5) + o) * m / to - 0.5
                    x = interpolated(x, axis, at, step["interpolation"])
        return x


def size_of(image: Array) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def placement(step: dict[str, Any], image: Any, size: Any) -> tuple[Any, Any]:
    """Scale and offset, along x and y, from an image (h, w) to the input (H, W)."""
    (h, w), (H, W) = image, size
    x, y = W / w, H / h
    if step["framing"] == "crop":
        x = y = max(x, y) / step["crop_ratio"]
    elif step["framing"] == "letterbox":
        x = y = min(x, y)
    offset = (W - x * w) / 2, (H - y * h) / 2
    if abs(x - 1) < 1e-9 and abs(y - 1) < 1e-9:
        return (1, 1), (round(offset[0]), round(offset[1]))
    return (x, y), offset


def resampled(name: str, value: Array, scale: Any, offset: Any, size: Any, fill: float) -> Array:
    """Area averages, then what is left of the map bilinearly; the values of flow grow with the image."""
    (h, w), (H, W), (x, y) = size_of(value), size, scale
    small = max(1, round(h / max(1, floor(1 / y + 1e-9)))), max(1, round(w / max(1, floor(1 / x + 1e-9))))
    if x <= 1 and y <= 1 and np.abs([x - W / w, y - H / h, *offset]).max() <= 1e-9:
        small = (H, W)
    if small != (h, w):
        value = cv2.resize(value, small[::-1], interpolation=cv2.INTER_AREA)
    left_x, left_y = x * w / small[1], y * h / small[0]
    at_x, at_y = (np.arange(W) + 0.5 - offset[0]) / left_x, (np.arange(H) + 0.5 - offset[1]) / left_y
    back = np.array([[1 / left_x, 0, at_x[0] - 0.5], [0, 1 / left_y, at_y[0] - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    value = cv2.warpAffine(value, back, (W, H), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    value[(at_y < 0) | (at_y > small[0])] = fill
    value[:, (at_x < 0) | (at_x > small[1])] = fill
    return value * np.array(scale, np.float32) if name == "flow" else value


def flow_of(previous: Array, image: Array, step: dict[str, Any]) -> tuple[Array, Array]:
    """Flow and confidence of two frames of 32 px at least."""
    assert step["source"] == "dis"
    before, now = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (previous, image))
    there, back = (
        cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(
            *pair, np.zeros((*now.shape, 2), np.float32)
        )
        for pair in ((before, now), (now, before))
    )
    h, w = now.shape
    x = np.arange(w, dtype=np.float32) + back[..., 0]
    y = np.arange(h, dtype=np.float32)[:, None] + back[..., 1]
    forth = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    e, lengths = ((back + forth) ** 2).sum(2), (back**2).sum(2) + (forth**2).sum(2)
    inside = (x > -0.5) & (x < w - 0.5) & (y > -0.5) & (y < h - 0.5)
    return -back, np.where(inside, np.exp(-e / (0.01 * lengths + 0.5)), 0).astype(np.float32)


def encoded(value: Array, one: dict[str, Any]) -> Array:
    """The uint8 codes of a field as an input wants them."""
    coding = one["coding"]
    if "matrix_256" not in coding:
        codes = np.rint(value * coding["steps"]) + coding["zero"]
        codes = codes if codes.ndim == 3 else codes[..., None]
    else:
        n = coding["subsampling"]
        h, w = size_of(value)
        sums = (value.astype(np.int64) @ np.array(coding["matrix_256"]).T).reshape(h // n, n, w // n, n, -1)
        codes = (sums.sum((1, 3)) + 128 * n * n) // (256 * n * n) + coding["offset"]
    codes = codes.clip(*one["range"]).astype(one["dtype"])
    return codes if one["layout"] == "BHWC" else codes.transpose(2, 0, 1)


def interpolated(x: Array, axis: int, at: Array, interpolation: str) -> Array:
    """Values at places along an axis, in pixels from the centre of the first one."""
    last = x.shape[axis] - 1
    if interpolation == "nearest":
        return x.take(np.floor(at + 0.5).clip(0, last).astype(int), axis)
    at = at.clip(0, last)
    low = np.floor(at).astype(int)
    weight = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return x.take(low, axis) * (1 - weight) + x.take(np.minimum(low + 1, last), axis) * weight
