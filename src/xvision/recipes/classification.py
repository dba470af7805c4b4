"""Image classification, runnable at once on drawn scenes."""

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
def classification() -> Recipe:
    """Image classification; start here with `data=image_folder data.root=DIR`."""
    return Recipe(
        name="classification",
        data=Data(
            dataset=dataset.scenes(),
            size=(128, 128),
            augment=Augment(zoom=(1.0, 1.4), aspect=1.2, shift=0.1, brightness=0.2, contrast=0.2),
        ),
        net=Net(backbone=backbone.timm(model="regnetx_004"), decoder=decoder.classifier()),
        task=task.classification(label_smoothing=0.1),
        train=Train(epochs=10, batch_size=32, optimizer=optimizer.sgd(lr=0.05), warmup_epochs=1),
    )
