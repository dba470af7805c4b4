"""Drawn street scenes with exact labels for every task: data that is there before any download.

A scene is a small world of flat textured surfaces (`surfaces`), laid out from a seed (`layout`), drawn at two
moments by one camera (`render`) and photographed (`light`). Image, previous image, classes, depth, flow, motion,
boxes and joints come from the same geometry.
"""

from __future__ import annotations

from xvision.data.dataset import Sample
from xvision.data.scenes.levels import BOX_CLASSES, LEVELS, SCENE_CLASSES, SEGMENTATION_CLASSES

__all__ = ["BOX_CLASSES", "LEVELS", "SCENE_CLASSES", "SEGMENTATION_CLASSES", "scene"]

FIELDS = ("image", "previous", "flow", "class", "segmentation", "depth", "motion", "boxes", "keypoints")
"""What every scene holds, as in `xvision.fields.FIELDS`."""


def scene(seed: int, size: tuple[int, int], level: str) -> Sample:
    """One street scene: two frames and the labels of the second.

    Shapes: size is (H, W). image, previous H W 3 uint8; segmentation, motion H W uint8; depth H W float32, m along the
    camera's axis, 0 in the sky and beyond 120 m; flow H W 2 float32; boxes N 5 float32; keypoints N 17 3 float32;
    class: int64 scalar.

    flow is the way from t-1 to t of what is seen *at t*, stored on the pixels of t: image at p shows what previous
    shows at p - flow(p), unless it was hidden or outside then. motion is 1 where an object moves in the world, not
    where only the camera does. boxes surround what is visible; rows of `boxes` and `keypoints` belong together:
    people and cyclists have joints, rows of other classes are 0. A joint has visibility 2 seen, 1 hidden, 0 outside
    the image.

    Raises: ValueError if the level is unknown.
    """
    from xvision.data.scenes.sample import draw

    return draw(seed, size, level)
