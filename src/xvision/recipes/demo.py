"""The demonstration: the whole chain on drawn scenes within a minute or so."""

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
def demo() -> Recipe:
    """Image classification on easy drawn scenes, small enough for two cores and a minute."""
    return Recipe(
        name="demo",
        data=Data(
            dataset=dataset.scenes(level="easy", num_train=1500, num_val=300, size="64x64"),
            size=(64, 64),
            augment=Augment(shift=0.05),
        ),
        net=Net(backbone=backbone.timm(model="resnet18", width=0.25), decoder=decoder.classifier()),
        task=task.classification(label_smoothing=0.1),
        train=Train(epochs=8, batch_size=32, optimizer=optimizer.sgd(lr=0.1), warmup_epochs=1),
    )
