"""A network of two maps, and data with labels of both or of one, that train in milliseconds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.data.test_concat import flat
from xvision.config.parts import parts_of
from xvision.data.concat import join
from xvision.data.dataset import Split
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Data
from xvision.models.inputs import Inputs
from xvision.models.pixels import Pixels
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.multi import build_task

CLASSES = {"segmentation": ("road", "sky")}


class TinyMaps(nn.Module):
    """Two shared convolutions and a head for each map."""

    def __init__(self) -> None:
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.inputs = Inputs()
        self.pixels = Pixels("rgb")
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.heads = nn.ModuleDict({"segmentation": nn.Conv2d(6, 2, 1), "depth": nn.Conv2d(6, 1, 1)})

    def shared_parameters(self, scope: str) -> list[Tensor]:
        shared = [*self.conv1.parameters(), *self.conv2.parameters()]
        return {"none": [], "last": [self.conv2.weight], "all": shared}[scope]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.conv2(self.conv1(self.pixels(image)).relu()).relu()
        return {name: head(x) for name, head in self.heads.items()}


def split(kind: str, num: int = 6) -> Split:
    """`both` labels in each sample, or `partial` ones: half of the samples have each."""
    if kind == "both":
        return flat("all", 2 * num, ("segmentation", "depth"), size=(8, 8)).splits["train"]
    sets = {
        "street": flat("street", num, ("segmentation",), size=(8, 8)),
        "room": flat("room", num, ("depth",), size=(8, 8)),
    }
    return join(sets).splits["train"]


def loader(kind: str = "partial", batch_size: int = 4, *, train: bool = True) -> Loader:
    data = Data(dataset="image_folder", size=(8, 8), cache=False)
    return Loader(
        split(kind),
        ("image", "segmentation", "depth"),
        data,
        batch_size=batch_size,
        train=train,
        seed=0,
        framing=Framing("stretch"),
    )


def several(text: str = "segmentation+depth") -> Task:
    return build_task(parts_of(task).parse(text), CLASSES)
