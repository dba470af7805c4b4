"""Semantic segmentation of CamVid's eleven classes, from packaged ImageNet weights."""

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
def camvid_segmentation() -> Recipe:
    """EfficientNet-Lite0 with FPN-Lite on eleven classes of the road; needs the extra `weights`."""
    return Recipe(
        name="camvid_segmentation",
        data=Data(
            dataset=dataset.camvid(),
            size=(192, 256),
            augment=Augment(zoom=(0.75, 1.5), brightness=0.3, contrast=0.3, saturation=0.3),
        ),
        net=Net(
            backbone=backbone.timm(model="tf_efficientnet_lite0"),
            decoder=decoder.fpn_lite(),
            weights="package:efficientnet_lite0",
        ),
        task=task.segmentation(losses={"cross_entropy": 1, "dice": 1}),
        train=Train(
            epochs=44,
            batch_size=8,
            optimizer=optimizer.adamw(lr=2e-3),
            warmup_epochs=0.5,
            ema=0.998,
            validate_every=11,
        ),
        expect={"segmentation/miou": 71.2},
        source="Brostow et al., Semantic Object Classes in Video, PRL 2009; SegNet's 11 classes",
    )
