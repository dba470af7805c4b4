from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from xvision.models.inputs import Inputs
from xvision.models.pixels import PLANES, YUV, Pixels, YuvRange, channels_of, encode, planes_of


def images(height: int = 6, width: int = 8) -> torch.Tensor:
    return torch.randint(
        0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_every_code_is_a_multiple_of_the_input_scale_and_comes_back_exactly() -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    out = Pixels("gray")(codes)
    assert out.min() == -2
    assert out.max() == 127 / 64
    assert torch.equal((out * 64 + 128).to(torch.uint8), codes)


@pytest.mark.parametrize("format", PLANES)
def test_planes_become_one_tensor_of_the_images_size(format: str) -> None:
    pixels = Pixels(format)
    planes = encode(images(), format)
    assert [tuple(p.shape[1:]) for p in planes] == [p.shape((6, 8)) for p in planes_of(format)]
    assert all(p.is_contiguous() for p in planes)
    assert all(p.dtype == torch.uint8 for p in planes)
    out = pixels(*planes)
    assert out.shape == (2, channels_of(format), 6, 8)
    assert torch.equal(out, pixels(*(p.float() for p in planes)))
    assert [p.shape for p in pixels.example((6, 8), batch=2)] == [p.shape for p in planes]


def test_colours_have_the_codes_of_bt601() -> None:
    """Jack, Video Demystified, table of 75 % and 100 % colour bars: black, white, red, green, blue."""
    rgb = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
    (yuv,) = encode(rgb.t().reshape(1, 3, 1, 5), "yuv444")
    expected = [[16, 128, 128], [235, 128, 128], [82, 90, 240], [144, 54, 34], [41, 240, 110]]
    assert yuv.reshape(3, 5).t().tolist() == expected


def test_full_swing_has_the_codes_of_jpeg() -> None:
    """ITU-T T.871, section 7: Y = 0.299 R + 0.587 G + 0.114 B, and differences from it around 128."""
    rgb = torch.cat((images(64, 64), torch.tensor([0, 255], dtype=torch.uint8).repeat(2, 3, 64, 32)))
    rgb[2] = torch.tensor([0, 0, 255], dtype=torch.uint8).view(3, 1, 1)
    (yuv,) = encode(rgb, "yuv444", "full")
    r, g, b = rgb.float().unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    exact = torch.stack((y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402), dim=1)
    assert (yuv.float() - exact).abs().max() < 1.5
    assert (yuv[2, 1] == 255).all()  # 256, saturated


@pytest.mark.parametrize("yuv_range", YUV)
def test_nv12_has_the_luma_of_yuv444_and_the_mean_of_its_chroma_interleaved(yuv_range: YuvRange) -> None:
    rgb = images()
    y, uv = encode(rgb, "nv12", yuv_range)
    (yuv,) = encode(rgb, "yuv444", yuv_range)
    assert torch.equal(y, yuv[:, :1])
    mean = torch.nn.functional.avg_pool2d(yuv[:, 1:].float(), 2)
    assert (uv.permute(0, 3, 1, 2).float() - mean).abs().max() <= 1


def test_the_planes_of_nv12_are_the_buffer_of_a_camera() -> None:
    """FourCC NV12: all of Y, then U V U V … of 2x2 pixels; OpenCV reads the buffer as it is."""
    rgb = images(64, 64)
    smooth = torch.nn.functional.avg_pool2d(rgb.float(), 9, 1, 4).byte()
    buffer = np.concatenate([plane[0].numpy().ravel() for plane in encode(smooth, "nv12")]).reshape(96, 64)
    back = cv2.cvtColor(buffer, cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(back.astype(int) - smooth[0].permute(1, 2, 0).numpy()).mean() < 4
    (u, v) = (buffer[64:, i::2].astype(float) for i in (0, 1))
    out = Pixels("nv12")(*encode(smooth, "nv12"))[0] * 64 + 128
    assert (out[1, ::2, ::2].numpy() == u).all()
    assert (out[2, 1::2, 1::2].numpy() == v).all()


def test_bgr_is_reversed_rgb_and_gray_is_luma() -> None:
    rgb = images()
    assert torch.equal(encode(rgb, "bgr")[0], rgb.flip(1))
    luma = (rgb.float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    assert (encode(rgb, "gray")[0].float() - luma).abs().max() <= 1


def test_wrong_formats_and_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"no pixel format is called 'nv21'; did you mean 'nv12'\?"):
        Pixels("nv21")
    with pytest.raises(
        ValueError, match="plane 'uv': expected a height and width divisible by 2, got 5x8; crop"
    ):
        encode(images(5, 8), "nv12")
    with pytest.raises(
        ValueError, match=r"net\.yuv_range=full: expected net\.pixels=yuv444 or nv12, got bgr; leave it out"
    ):
        Inputs("bgr", yuv_range="full")
