"""Drawn street scenes with exact labels for every task: data that is there before any download.

A scene is a small world of flat textured surfaces (`surfaces`), laid out from a seed (`layout`), drawn at two
moments by one camera (`render`) and photographed (`light`). Image, previous image, classes, depth, flow, motion,
boxes and joints come from the same geometry.
"""

from xvision.data.scenes.levels import BOX_CLASSES, LEVELS, SCENE_CLASSES, SEGMENTATION_CLASSES
from xvision.data.scenes.sample import scene

__all__ = ["BOX_CLASSES", "FIELDS", "LEVELS", "SCENE_CLASSES", "SEGMENTATION_CLASSES", "scene"]

FIELDS = ("image", "previous", "flow", "class", "segmentation", "depth", "motion", "boxes", "keypoints")
"""What every scene holds, as in `xvision.fields.FIELDS`."""
