"""Moving objects before a static camera: one video of CDnet, from packaged ImageNet weights."""

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
def cdnet_motion() -> Recipe:
    """EfficientNet-Lite0 with FPN-Lite on image, flow and confidence; needs the extra `weights`."""
    return Recipe(
        name="cdnet_motion",
        data=Data(
            dataset=dataset.cdnet(root="cdnet_highway"),
            size=(160, 160),
            augment=Augment(zoom=(1.0, 1.5), brightness=0.2, contrast=0.2),
        ),
        net=Net(
            backbone=backbone.timm(model="tf_efficientnet_lite0"),
            decoder=decoder.fpn_lite(width=0.5),
            inputs="image+flow+confidence",
            weights="package:efficientnet_lite0",
        ),
        task=task.motion(losses={"cross_entropy": 1, "dice": 1}),
        train=Train(
            epochs=8,
            batch_size=8,
            optimizer=optimizer.adamw(lr=2e-3),
            warmup_epochs=0.5,
            ema=0.99,
            validate_every=4,
        ),
        expect={"motion/miou": 97.4},
        source="Wang et al., CDnet 2014: An Expanded Change Detection Benchmark Dataset, CVPRW 2014",
    )
