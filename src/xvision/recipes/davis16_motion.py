"""Moving objects before a moving camera: the videos of DAVIS-2016."""

from xvision.recipes import recipe
from xvision.recipes.cdnet_motion import cdnet_motion
from xvision.recipes.schema import Recipe


@recipe
def davis16_motion() -> Recipe:
    """Trained like `cdnet_motion`, for fewer epochs of more images; needs the extra `weights`."""
    alike: Recipe = cdnet_motion()
    data = alike.data.choose("davis16")
    return alike.model_copy(
        update={
            "name": "davis16_motion",
            "data": data,
            "train": alike.train.model_copy(update={"epochs": 6}),
            "expect": {"motion/miou": 73.3},
            "source": "Perazzi et al., A Benchmark Dataset … for Video Object Segmentation, CVPR 2016",
        }
    )
