"""The camera: where it stands and looks at each of the two moments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xvision.data.scenes.surfaces import Array


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the world (x right, y down, z along the street); angles in rad."""

    focal: float  # over the longer image side
    position: tuple[float, float, float]  # m; y is minus the height
    yaw: float = 0.0  # to the right
    pitch: float = 0.0  # down
    roll: float = 0.0

    @cached_property
    def rotation(self) -> Array:
        """From world axes to the camera's (right, down, forward): 3, 3."""
        (sy, cy), (sp, cp), (sr, cr) = ((math.sin(a), math.cos(a)) for a in (self.yaw, self.pitch, self.roll))
        # Rz(roll) Rx(pitch) Ry(-yaw), written out: 3 x 3 products of numpy cost more than this
        right = (cy, 0.0, -sy)
        down = (-sp * sy, cp, -sp * cy)
        forward = (cp * sy, sp, cp * cy)
        return np.array(
            [
                [cr * r + sr * d for r, d in zip(right, down, strict=True)],
                [cr * d - sr * r for r, d in zip(right, down, strict=True)],
                forward,
            ]
        )

    @cached_property
    def _rows(self) -> list[list[float]]:
        rows: list[list[float]] = self.rotation.tolist()
        return rows

    def matrix(self, size: tuple[int, int]) -> Array:
        """From world directions to homogeneous pixels; the centre of the first pixel is (0, 0)."""
        height, width = size
        f = self.focal * max(size)
        return np.array([(f, 0, (width - 1) / 2), (0, f, (height - 1) / 2), (0, 0, 1)]) @ self.rotation

    def project(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Right, down (over the longer image side, from the centre) and depth (m) of a point."""
        dx, dy, dz = x - self.position[0], y - self.position[1], z - self.position[2]
        (a, b, c) = self._rows
        depth = c[0] * dx + c[1] * dy + c[2] * dz
        scale = self.focal / max(depth, 1e-3)
        right, down = (row[0] * dx + row[1] * dy + row[2] * dz for row in (a, b))
        return right * scale, down * scale, depth
