"""Image classification on five flower classes, from packaged ImageNet weights."""

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
def flowers5_classification() -> Recipe:
    """EfficientNet-Lite0 fine-tuned on five classes of flowers; needs the extra `weights`."""
    return Recipe(
        name="flowers5_classification",
        data=Data(
            dataset=dataset.image_folder(root="flowers5"),
            size=(96, 96),
            augment=Augment(zoom=(1.0, 1.5), aspect=1.2, shift=0.1, brightness=0.2, contrast=0.2),
        ),
        net=Net(
            backbone=backbone.timm(model="tf_efficientnet_lite0"),
            decoder=decoder.classifier(dropout=0.2),
            weights="package:efficientnet_lite0",
        ),
        task=task.classification(label_smoothing=0.1),
        train=Train(
            epochs=6,
            batch_size=32,
            optimizer=optimizer.sgd(lr=0.02, weight_decay=1e-4),
            warmup_epochs=0.5,
            ema=0.99,
        ),
    )
