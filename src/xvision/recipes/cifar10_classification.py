"""Image classification on CIFAR-10."""

from xvision.data.datasets import dataset
from xvision.data.settings import Augment, Data
from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.settings import Net
from xvision.recipe import Recipe
from xvision.recipes import recipe
from xvision.tasks import task
from xvision.train.optimizers import optimizer
from xvision.train.settings import Train


@recipe
def cifar10_classification() -> Recipe:
    """A ResNet-18 of half width on CIFAR-10, 35 MMACs at 32x32."""
    return Recipe(
        name="cifar10_classification",
        data=Data(
            dataset=dataset.cifar10(),
            size=(32, 32),
            augment=Augment(shift=0.125),
        ),
        net=Net(
            backbone=backbone.timm(model="resnet18", width=0.5, strides=(1, 2, 2, 2, 2)),
            decoder=decoder.classifier(),
        ),
        task=task.classification(label_smoothing=0.1),
        train=Train(
            epochs=20,
            batch_size=128,
            optimizer=optimizer.sgd(lr=0.2, weight_decay=5e-4),
            warmup_epochs=2,
            ema=0.998,
        ),
    )
