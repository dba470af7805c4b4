"""Depth of rooms in NYU Depth v2; with the segmentation of the same images: ``nyuv2_segmentation+nyuv2_depth``."""

from xvision.recipes import recipe
from xvision.recipes.nyuv2_segmentation import nyuv2_segmentation
from xvision.recipes.schema import Recipe
from xvision.tasks import task


@recipe
def nyuv2_depth() -> Recipe:
    """EfficientNet-Lite0 with FPN-Lite, trained like `nyuv2_segmentation`; needs the extra `weights`."""
    alike: Recipe = nyuv2_segmentation()
    return alike.model_copy(
        update={"name": "nyuv2_depth", "task": task.parts("depth"), "expect": {"depth/abs_rel": 21.4}}
    )
