"""Semantic segmentation of rooms in NYU Depth v2, thirteen classes, from packaged ImageNet weights."""

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
def nyuv2_segmentation() -> Recipe:
    """EfficientNet-Lite0 with FPN-Lite on thirteen classes of rooms; needs the extra `weights`."""
    return Recipe(
        name="nyuv2_segmentation",
        data=Data(
            dataset=dataset.nyuv2(),
            size=(128, 160),
            augment=Augment(zoom=(1.0, 1.5), brightness=0.3, contrast=0.3, saturation=0.3),
        ),
        net=Net(
            backbone=backbone.timm(model="tf_efficientnet_lite0"),
            decoder=decoder.fpn_lite(),
            weights="package:efficientnet_lite0",
        ),
        task=task.segmentation(losses={"cross_entropy": 1, "dice": 1}),
        train=Train(
            epochs=6,
            batch_size=8,
            optimizer=optimizer.adamw(lr=2e-3),
            warmup_epochs=0.5,
            ema=0.99,
            validate_every=3,
        ),
        expect={"segmentation/miou": 42.6},
        source="Silberman et al., Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012",
    )
