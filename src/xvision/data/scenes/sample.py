"""The fields of a sample, read off a rendered world."""

from __future__ import annotations

import cv2
import numpy as np

from xvision.config.messages import nearest
from xvision.data.dataset import Sample
from xvision.data.scenes.layout import build
from xvision.data.scenes.levels import FIRST_OBJECT, LEVELS
from xvision.data.scenes.light import Photographer
from xvision.data.scenes.render import NEAR_M, Renderer, positions
from xvision.data.scenes.surfaces import Array

LEAST_PIXELS_RATIO = 0.0008
"""An object has a box if at least this fraction of the image shows it ..."""
LEAST_VISIBLE = 0.2
"""... and the box of what is seen covers at least this fraction of its whole box inside the image."""


def scene(seed: int, size: tuple[int, int], level: str) -> Sample:
    """One street scene: two frames and the labels of the second.

    Shapes: size is (H, W). image, previous H W 3 uint8; segmentation, motion H W uint8; depth H W float32, m along the
    camera's axis, 0 in the sky and beyond 120 m; flow H W 2 float32; boxes N 5 float32; keypoints N 17 3 float32;
    class an int64 scalar.

    flow is the way from t-1 to t of what is seen *at t*, stored on the pixels of t: image at p shows what previous
    shows at p - flow(p), unless it was hidden or outside then. motion is 1 where an object moves in the world, not
    where only the camera does. Row i of keypoints belongs to row i of boxes, from near to far: people and cyclists
    have joints (2 seen, 1 hidden, 0 outside the image), rows of other classes are 0. Boxes surround what is visible.
    Boxes and joints count from the corner of the first pixel, whose centre is (0.5, 0.5).

    Raises: ValueError if the level is unknown.
    """
    if level not in LEVELS:
        raise ValueError(f"scenes: no level is called '{level}'; {nearest(level, LEVELS)}")
    world = build(seed, level)
    renderer = Renderer(world, size)
    photographer = Photographer(world.light, LEVELS[level], world.lens)
    ids = [renderer.ids(frame) for frame in (0, 1)]
    previous, image = (
        photographer.picture(*renderer.colours(frame), renderer.inverse_depth(frame, ids[frame]))
        for frame in (0, 1)
    )
    segmentation, motion, owner = renderer.labels(ids[1])
    spots = renderer.spots(ids[1])
    boxes, keypoints = objects(renderer, ids[1], owner)
    return {
        "image": image,
        "previous": previous,
        "flow": renderer.flow(ids[1], spots),
        "class": np.array(world.label, np.int64),
        "segmentation": segmentation,
        "depth": renderer.depth(ids[1], segmentation, spots),
        "motion": motion,
        "boxes": boxes,
        "keypoints": keypoints,
    }


def objects(renderer: Renderer, ids: Array, owner: Array) -> tuple[Array, Array]:
    """Boxes N, 5 and joints N, 17, 3 of all objects that show enough, from near to far."""
    boxes, joints = [], []
    counts = np.bincount(owner.reshape(-1), minlength=len(renderer.things))
    least = max(4.0, LEAST_PIXELS_RATIO * ids.size)
    for thing in range(len(renderer.things) - 1, renderer.first_thing - 1, -1):
        label = renderer.things[thing].label
        if label < FIRST_OBJECT or counts[thing] < least:
            continue
        box = visible_box(owner == thing)
        if _area(box) < LEAST_VISIBLE * _area(_whole_box(renderer, thing)):
            continue
        boxes.append((*box, label - FIRST_OBJECT))
        joints.append(_joints(renderer, thing, ids))
    return np.array(boxes, np.float32).reshape(-1, 5), np.array(joints, np.float32).reshape(-1, 17, 3)


def visible_box(mask: Array) -> tuple[float, float, float, float]:
    """The edges (x0, y0, x1, y1) around a mask's pixels; the first pixel reaches from 0 to 1."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return float(x), float(y), float(x + width), float(y + height)


def _area(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _whole_box(renderer: Renderer, thing: int) -> tuple[float, float, float, float]:
    corners, (height, width) = renderer.projected(thing), renderer.size
    (x0, y0), (x1, y1) = corners.min(0) + 0.5, corners.max(0) + 0.5
    return max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)


def _joints(renderer: Renderer, index: int, ids: Array) -> Array:
    thing, (height, width) = renderer.things[index], renderer.size
    found = np.zeros((17, 3), np.float32)
    if thing.joints is None:
        return found
    seen = positions(renderer, thing.joints[1])
    x, y = np.rint(seen[:, 0]), np.rint(seen[:, 1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (seen[:, 2] > NEAR_M)
    for joint in np.flatnonzero(inside):
        top = int(ids[int(y[joint]), int(x[joint])]) - int(renderer.start[index])
        hidden = thing.joint_hidden[joint] or top > thing.joint_surfaces[joint]
        found[joint] = (*(seen[joint, :2] + 0.5), 1 if hidden else 2)
    return found
