from __future__ import annotations

import pytest
import torch

from xvision.models.pixels import PLANES, Pixels, channels_of, encode, planes_of


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
    assert [tuple(p.shape[1:]) for p in planes] == [
        (p.channels, 6 // p.subsampling, 8 // p.subsampling) for p in planes_of(format)
    ]
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


def test_nv12_has_the_luma_of_yuv444_and_the_mean_of_its_chroma() -> None:
    rgb = images()
    y, uv = encode(rgb, "nv12")
    (yuv,) = encode(rgb, "yuv444")
    assert torch.equal(y, yuv[:, :1])
    mean = torch.nn.functional.avg_pool2d(yuv[:, 1:].float(), 2)
    assert (uv.float() - mean).abs().max() <= 1


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
