"""Segmentation, depth and motion of drawn streets in one network, small enough for two cores and a few minutes."""

from xvision.config.parts import Parts
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
def street() -> Recipe:
    """Three tasks of drawn streets at once: a narrow ResNet-18 on image and flow, one shared FPN-Lite.

    Plain convolutions train faster on a CPU than depthwise ones of the same cost; one task alone: `task=depth`.
    """
    losses = {"cross_entropy": 1, "dice": 0.5}
    return Recipe(
        name="street",
        data=Data(dataset=dataset.scenes(), size=(128, 128), augment=Augment(brightness=0.2, contrast=0.2)),
        net=Net(
            backbone=backbone.timm(model="resnet18", width=0.5),
            decoder=decoder.fpn_lite(width=0.5),
            shared_decoder=True,
            inputs="image+flow+confidence",
        ),
        task=Parts(task, (task.segmentation(losses=losses), task.depth(), task.motion(losses=losses))),
        train=Train(
            epochs=12,
            batch_size=16,
            optimizer=optimizer.adamw(lr=4e-3),
            warmup_epochs=0.5,
            ema=0.99,
            validate_every=4,
        ),
        expect={"segmentation/miou": 65.1, "depth/abs_rel": 15.0, "motion/miou": 82.2, "score": 77.4},
    )
