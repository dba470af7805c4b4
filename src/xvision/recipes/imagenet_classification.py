"""Published ImageNet weights as they are: what int8 makes of them, without training."""

from xvision.data.datasets import dataset
from xvision.data.settings import Data
from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.settings import Net
from xvision.recipes import recipe
from xvision.recipes.schema import Recipe
from xvision.tasks import task
from xvision.train.settings import Train


@recipe
def imagenet_classification() -> Recipe:
    """EfficientNet-Lite0 with packaged ImageNet weights, no training; needs the extra `weights`."""
    return Recipe(
        name="imagenet_classification",
        data=Data(dataset=dataset.image_folder(root="imagenet"), size=(224, 224), crop_ratio=0.875),
        net=Net(
            backbone=backbone.timm(model="tf_efficientnet_lite0"),
            decoder=decoder.classifier(),
            weights="package:efficientnet_lite0",
        ),
        task=task.classification(),
        train=Train(epochs=0, batch_size=32),
        source="Tan and Le, EfficientNet, ICML 2019; Lite0: 74.4 (published, all of ILSVRC-2012 val)",
    )
