"""The `net` section of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict

from xvision.config.parts import Part, part_of
from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.presets import preset

if TYPE_CHECKING:  # it needs torch, which no recipe loads
    from xvision.models.inputs import Inputs

Names = Literal["image", "image+previous", "image+flow", "image+flow+confidence"]


class Net(BaseModel):
    """A network: pixels in, backbone, decoder, raw outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Annotated[Part, part_of(backbone)]
    """The encoder: maps of several strides from the inputs."""
    decoder: Annotated[Part, part_of(decoder)]
    """Of every task that is not in `heads`."""
    heads: dict[str, Annotated[Part, part_of(decoder)]] = {}
    """Decoders of single tasks, where they are to differ: ``net.heads.depth=unet_lite``."""
    shared_decoder: bool = False
    """One `decoder` for all tasks that it serves, which differ in its last layer alone; else one each."""
    pixels: Literal["rgb", "bgr", "gray", "yuv444", "nv12"] = "rgb"
    """What the camera pipeline delivers; kept in the model and in the exported file."""
    yuv_range: Literal["studio", "full"] = "studio"
    """Of yuv444 and nv12: BT.601 with Y 16-235 and U, V 16-240, as most cameras deliver it, or with 0-255, as JPEG."""
    inputs: Names = "image"
    """What the network sees: the image alone, or also the previous frame or optical flow, in a stem of their own."""
    weights: str = "none"
    """none | pretrained (downloads on this word only) | FILE | URL | package:NAME."""

    def choose(self, name: str) -> Net:
        """The network of a preset, with this section's heads, and its pixels and inputs where the preset sets none."""
        chosen: Net = preset.part(name).build()
        kept = [
            k for k in ("pixels", "yuv_range", "inputs") if getattr(chosen, k) == Net.model_fields[k].default
        ]
        kept += ["heads", "shared_decoder"]
        return chosen.model_copy(update={key: getattr(self, key) for key in kept})

    @property
    def takes(self) -> Inputs:
        """What the network takes, tensor by tensor."""
        from xvision.models.inputs import Inputs

        return Inputs(self.pixels, self.inputs, self.yuv_range)
