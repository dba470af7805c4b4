"""Motion segmentation, runnable at once on drawn scenes."""

from xvision.data.datasets import dataset
from xvision.data.settings import Augment, Data
from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.settings import Net
from xvision.recipes import recipe
from xvision.recipes.schema import Recipe
from xvision.tasks import task
from xvision.train.optimizers import optimizer
from xvision.train.settings import Train


@recipe
def motion() -> Recipe:
    """Motion segmentation; start here with `data=frame_pair_folder data.root=DIR`."""
    return Recipe(
        name="motion",
        data=Data(
            dataset=dataset.scenes(),
            size=(128, 128),
            augment=Augment(zoom=(0.75, 1.5), brightness=0.2, contrast=0.2),
        ),
        net=Net(
            backbone=backbone.timm(model="mobilenetv2_100", act="relu"),
            decoder=decoder.fpn_lite(width=0.5),
            inputs="image+flow+confidence",
        ),
        task=task.motion(losses={"cross_entropy": 1, "dice": 0.5}),
        train=Train(
            epochs=10, batch_size=16, optimizer=optimizer.adamw(lr=1e-3), warmup_epochs=0.5, ema=0.99
        ),
    )
