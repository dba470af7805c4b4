"""Image classification on CIFAR-10."""

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
def cifar10_classification() -> Recipe:
    """A narrow ResNet-9 on CIFAR-10, 38 MMACs at 32x32; half an hour on one core."""
    return Recipe(
        name="cifar10_classification",
        data=Data(
            dataset=dataset.cifar10(),
            size=(32, 32),
            augment=Augment(shift=0.125),
        ),
        net=Net(backbone=backbone.resnet9(widths=(16, 32, 96, 192)), decoder=decoder.classifier()),
        task=task.classification(label_smoothing=0.1),
        train=Train(
            epochs=16,
            batch_size=128,
            optimizer=optimizer.sgd(lr=0.2, weight_decay=5e-4),
            warmup_epochs=1,
            ema=0.998,
        ),
    )
