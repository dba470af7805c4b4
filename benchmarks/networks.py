"""Networks that people use: is each captured, quantized and exported so that the file gives the same codes?

    python benchmarks/networks.py --record results/measured/networks.json      # forty minutes of one core
    python benchmarks/networks.py resnet18 tv:googlenet smp:Unet               # these, printed
    python benchmarks/networks.py --scheme int8 --record results/measured/networks_int8.json

From timm, torchvision (`tv:`) and segmentation_models_pytorch (`smp:`, left out where it is not installed), untrained,
with batch norms that have seen random images: the arithmetic is what counts. Each network is exact (0 LSB between the
simulation and ONNX Runtime at every level, no operator in float), has float islands (operators that no rule covers),
is refused in one sentence, or is wrong. Rows are kept beside the record until it is whole, so that it may be stopped.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial as partial_of
from inspect import signature
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from measurement import measured
from torch import Tensor, nn

import xvision as xv
from xvision.export.verify import Parity
from xvision.quant.methods import method
from xvision.runs.environment import environment

FAMILIES: dict[str, str] = {
    "ResNet": "resnet18 resnet26d resnet50 resnetblur50d resnetv2_50 resnetv2_50x1_bit tv:resnet50",
    "ResNeXt, squeeze-excite, ECA, SK": "resnext50_32x4d seresnet18 seresnext26d_32x4d ecaresnet26t skresnet18",
    "Res2Net, DPN, GENet": "res2net50_26w_4s res2next50 dpn68 gernet_s",
    "RegNet": "regnetx_002 regnetx_004 regnety_002 regnety_004 regnetz_005 regnetz_b16 tv:regnet_y_400mf",
    "MobileNet V1 to V3": "mobilenetv1_100 mobilenetv2_050 mobilenetv2_100 mobilenetv3_small_100 mobilenetv3_large_100 "
    "mobilenetv3_rw mobilenet_edgetpu_100 mobilenet_edgetpu_v2_s tv:mobilenet_v2 tv:mobilenet_v3_small "
    "tv:mobilenet_v3_large",
    "MobileNet V4": "mobilenetv4_conv_small mobilenetv4_conv_medium mobilenetv4_conv_blur_medium "
    "mobilenetv4_hybrid_medium",
    "EfficientNet": "efficientnet_b0 tf_efficientnet_b0 efficientnet_es tf_efficientnet_lite0 efficientnet_lite0 "
    "efficientnetv2_rw_t tf_efficientnetv2_b0 tv:efficientnet_b0 tv:efficientnet_v2_s",
    "Networks found by search": "mnasnet_100 semnasnet_075 spnasnet_100 fbnetc_100 fbnetv3_b mixnet_s tf_mixnet_s "
    "hardcorenas_a tinynet_a tinynet_e rexnet_100 tv:mnasnet0_5",
    "GhostNet, LCNet": "ghostnet_100 ghostnetv2_100 ghostnetv3_100 lcnet_050 lcnet_100 lcnetv2_small",
    "DenseNet, VoVNet, HGNet, SelecSLS": "densenet121 densenetblur121d vovnet39a ese_vovnet19b_dw eca_vovnet39b "
    "hgnet_tiny hgnetv2_b0 selecsls42b",
    "VGG, AlexNet, SqueezeNet, ShuffleNet": "vgg11_bn tv:alexnet tv:squeezenet1_1 "
    "tv:shufflenet_v2_x0_5 tv:shufflenet_v2_x1_0",
    "DarkNet, CSPNet": "darknet53 cspdarknet53 cs3darknet_focus_s cs3sedarknet_l cspresnet50 cspresnext50 cspnext_tiny",
    "Inception, Xception": "inception_v3 xception41 tv:googlenet tv:inception_v3",
    "HRNet, DLA": "hrnet_w18_small dla34 dla46_c dla60_res2net",
    "Re-parametrised": "repvgg_a0 repvit_m0_9 repvit_m1 mobileone_s0 mobileone_s4 fastvit_t8",
    "Without batch norm": "eca_nfnet_l0 nf_resnet26 nf_regnet_b0",
    "Large kernels": "convmixer_768_32 convnext_atto inception_next_atto fasternet_t0 starnet_s1",
    "Transformers and hybrids": "poolformer_s12 edgenext_xx_small efficientformer_l1 efficientformerv2_s0 levit_128s "
    "mobilevit_xxs efficientvit_b0 vit_tiny_patch16_224",
    "Dense prediction": "tv:deeplabv3_mobilenet_v3_large tv:deeplabv3_resnet50 tv:fcn_resnet50 "
    "tv:lraspp_mobilenet_v3_large smp:Unet smp:FPN smp:DeepLabV3Plus smp:PAN smp:Linknet",
    "Detection": "tv:ssdlite320_mobilenet_v3_large",
}
SMALLEST = {"inception_v3": 96, "alexnet": 224, "PAN": 128, "vgg11_bn": 96}
"""Sides in pixels where 64 are too few; networks whose size is fixed take theirs."""
LIBRARIES = {"": "timm", "tv": "torchvision", "smp": "segmentation_models_pytorch"}
PER_PROCESS = 8
"""Networks after which a process ends, and gives its memory back."""


def family_of(name: str) -> str:
    return next((family for family, names in FAMILIES.items() if name in names.split()), "")


def split(name: str) -> tuple[str, str]:
    """Library and model.

    >>> split("tv:resnet50"), split("resnet50")
    (('torchvision', 'resnet50'), ('timm', 'resnet50'))
    """
    prefix, _, model = name.rpartition(":")
    return LIBRARIES[prefix], model


def network(name: str) -> nn.Module:
    """The network, untrained."""
    library, model = split(name)
    if library == "timm":
        import timm

        made: nn.Module = timm.create_model(model)
    elif library == "torchvision":
        from torchvision.models import get_model, get_model_builder

        known = signature(get_model_builder(model)).parameters
        made = get_model(model, **{key: None for key in ("weights", "weights_backbone") if key in known})
    else:
        import segmentation_models_pytorch as smp

        made = getattr(smp, model)("mobilenet_v2", encoder_weights=None)
    return made


def images(name: str, made: nn.Module) -> Tensor:
    """Four random ones, of the smallest size that the network takes."""
    config = getattr(made, "pretrained_cfg", {})
    side = SMALLEST.get(split(name)[1], 64)
    size = config["input_size"][1:] if config.get("fixed_input_size") else (side, side)
    return torch.randn(4, 3, *size)


def with_statistics(made: nn.Module, batch: Tensor) -> nn.Module:
    """The network with batch norms that have seen the batch, in eval mode."""
    norms = [m for m in made.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        made(batch)
    return made.eval()


def row(name: str, scheme: str) -> dict[str, float | str]:
    """What was found of one network."""
    library, model = split(name)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    began = time.process_time()
    found: dict[str, float | str] = {"network": model, "library": library, "family": family_of(name)}
    made = network(name).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few images, of noise, and of islands, which are in the row
        found |= outcome(made, images(name, made), scheme)
    return found | {"CPU s": round(time.process_time() - began, 1)}


def outcome(made: nn.Module, batch: Tensor, scheme: str) -> dict[str, float | str]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with_statistics(made, batch)
            quantized = xv.quantize(made, [batch], scheme=scheme, method=method.ptq(rungs="mse"))
            file = xv.export(quantized, Path(folder) / "network.onnx")
            return judged(quantized, xv.verify(quantized, file, [batch]))
        except ValueError as error:
            text = str(error)
            status = "refused" if is_one_sentence(text) else "wrong"
            return {"status": status, "reason": text}
        except Exception as error:
            return {"status": "wrong", "reason": f"{type(error).__name__}: {error}"}


def is_one_sentence(text: str) -> bool:
    """Whether a message says what was expected, what there was, and what to do."""
    return "\n" not in text and "expected" in text and ";" in text


def judged(quantized: Any, parity: Parity) -> dict[str, float | str]:
    kinds = Counter(one.operator for one in quantized.meta["float_operators"])
    functions = [n for n in quantized.graph.nodes if n.op in ("call_function", "call_module")]
    operators = [n for n in functions if not str(n.target).startswith("quantizers.")]
    status = "float islands" if kinds else "exact" if parity.max_lsb == 0 and parity.ok else "wrong"
    return {
        "operators": len(operators),
        "max LSB": parity.max_lsb,
        "status": status,
        "in float": ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()),
        "reason": "" if parity.max_lsb == 0 else f"first at {parity.first_difference}",
    }


def named_row(name: str, scheme: str) -> tuple[str, dict[str, float | str]]:
    return name, row(name, scheme)


def rows(names: list[str], scheme: str, jobs: int) -> Iterator[tuple[str, dict[str, float | str]]]:
    """Each network's as it is found, each in a process that has done a few at most."""
    with get_context("spawn").Pool(jobs, maxtasksperchild=PER_PROCESS) as pool:
        yield from pool.imap_unordered(partial_of(named_row, scheme=scheme), names)


def kept(file: Path, commit: str) -> dict[str, Any]:
    """Rows of an earlier call, of the same commit."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    entries = [json.loads(line) for line in lines]
    return {entry["name"]: entry["row"] for entry in entries if entry["commit"] == commit}


def shown(found: dict[str, float | str]) -> str:
    words = (f"{key} {value}" for key, value in found.items() if key not in ("network", "family", "library"))
    return f"{found['network']:32}" + "  ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks (else all)")
    parser.add_argument("--scheme", default="pow2", help="number format (pow2)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--record", type=Path, help="write a JSON file too, once every network has its row")
    options = parser.parse_args()
    known = [name for names in FAMILIES.values() for name in names.split()]
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        print("left out: networks of segmentation_models_pytorch, which is not installed", flush=True)
        known = [name for name in known if not name.startswith("smp:")]
    partial = options.record.with_suffix(".partial") if options.record else None
    commit = environment()["commit"]
    found = kept(partial, commit) if partial else {}
    names = options.names or [name for name in known if name not in found]
    for name, one in rows(names, options.scheme, options.jobs):
        print(shown(one), flush=True)
        found[name] = one
        if partial:
            with partial.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"commit": commit, "name": name, "row": one}) + "\n")
    print(Counter(str(one["status"]) for one in found.values()))
    if partial and set(known) <= found.keys():
        measured([found[name] for name in known]).write(options.record)
        partial.unlink()
    if any(one["status"] == "wrong" for one in found.values()):
        raise SystemExit("a network is wrong")


if __name__ == "__main__":
    main()
