"""The joints of a data set's people (or animals): their names, and which swap sides in a mirror."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Joints:
    """Names in the order of the keypoints' rows, and the pairs (left, right) of their numbers."""

    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]

    @property
    def hflipped(self) -> tuple[int, ...]:
        """For each joint the one that a horizontal flip puts into its place.

        >>> Joints(("nose", "left_eye", "right_eye"), ((1, 2),)).hflipped
        (0, 2, 1)
        """
        order = list(range(len(self.names)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)


COCO = Joints(
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    tuple((left, left + 1) for left in range(1, 17, 2)),
)  # fmt: skip
"""The 17 joints of COCO's people. Source: Lin et al., "Microsoft COCO" (2014), https://cocodataset.org/#format-data."""
