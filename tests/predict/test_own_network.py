"""The code of docs/own_network.md runs as it stands there."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs/own_network.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def write_photos(folder: Path, number: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(number):
        coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.jpg"), cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC))


def test_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    write_photos(tmp_path / "photos", 40)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/first").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*dB of signal over quantization noise.*"
        )  # untrained weights
        for block in BLOCKS:
            exec(compile(block, "docs/own_network.md", "exec"), names)  # our own page
    assert names["parity"].max_lsb == 0
    assert names["taken"].shape[1:] == [3, 96, 96]
    assert names["scores"].shape == (1, 1000)
    assert names["found"].maps["depth"].shape == (102, 127)  # what `data.crop_rect` leaves
    assert names["run"].record.parity[0].ok
