"""The features of the original EdgeAI-XVision, and where xvision stands; `docs/parity.md` is made from this table.

A row "works" with a command that a user runs, a test that holds it and, where a number is claimed, a record. Everything
else is "not yet" or "left out because …". What a row that works does not reach stands in its feature text, after "but".
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One feature of the original."""

    number: int
    feature: str
    state: str = "not yet"
    command: str = ""
    test: str = ""
    record: str = ""


WORKS = "works"
CIFAR = "results/cifar10_classification.json"
RUN = "xvision run classification"
BOTH = "xvision run segmentation+depth"
PRESETS = "tests/models/test_presets.py"
BALANCED = "tests/train/test_multi.py::test_every_balancing_trains"

ROWS = (
    Row(1, "Classification training on image folders, CIFAR and ImageNet (as a folder)", WORKS, f"{RUN} data=image_folder data.root=DIR", "tests/pipeline/test_run.py::test_one_recipe_goes_from_images_to_a_verified_file", CIFAR),
    Row(2, "MobileNetV1, V2 (x1, x2_t2, 1.4), V3, V3-Lite, ResNet, RegNetX, VGG", WORKS, f"{RUN} net=mobilenetv2_tv_x1", PRESETS),
    Row(3, "ShuffleNetV2", WORKS, f"{RUN} net=shufflenetv2_x1p0", PRESETS),
    Row(4, "Width multiplier, strides, expansion, but not linear depthwise layers and free kernel sizes", WORKS, f"{RUN} net.backbone=timm:resnet18 net.backbone.width=0.5 net.backbone.strides=1,2,2,2,2", "tests/models/test_backbone.py"),
    Row(5, "Pretrained weights from URL, file or package, renamed keys, a report of partial loads", WORKS, f"{RUN} net.weights=FILE", "tests/models/test_weights.py"),
    Row(6, "BGR input, mean and scale of other trainings (folded into the first layer)", WORKS, f"{RUN} net.pixels=bgr", "tests/models/test_pixels.py"),
    Row(7, "RandomErasing, RandAugment (in the place of AutoAugment)", WORKS, f"{RUN} data.augment.randaugment=2 data.augment.erasing=0.25", "tests/data/test_photometry.py"),
    Row(8, "Multi-colour input (gray, YUV 4:4:4), but no tiled input", WORKS, f"{RUN} net.pixels=yuv444", "tests/models/test_pixels.py"),
    Row(9, "DeepLabV3+Lite, FPN-Lite, UNet-Lite, BiFPN-Lite decoders", WORKS, "xvision run segmentation net=fpn_aspp_mobilenetv2_tv_edgeailite", PRESETS, "results/camvid_segmentation.json"),
    Row(10, "ASPP-Lite (6,12,18) and (2,4,6), depthwise or group-width matching", WORKS, "xvision run segmentation net=fpn_aspp_regnetx400mf_edgeailite net.decoder.dilations=2,4,6", "tests/models/decoders/test_contract.py"),
    Row(11, "Fast-down variants, variants without ASPP, with 128 channels, 1.4x", WORKS, "xvision run segmentation net=fpn128_aspp_mobilenetv2_tv_fd_edgeailite", PRESETS),
    Row(12, "Multi-input fusion at stride 4, in RegNets of every size too", WORKS, "xvision run motion net.inputs=image+flow+confidence", "tests/models/test_streams.py", "results/cdnet_motion_flow_confidence.json"),
    Row(13, "Several decoders, a joint decoder, split outputs", WORKS, f"{BOTH} net.shared_decoder=true", "tests/models/test_heads.py", "results/street.json"),
    Row(14, "Alternative upsampling (deconvolution, convolution, depthwise, sub-pixel)", WORKS, "xvision run segmentation net.decoder.upsample_mode=pixel_shuffle", "tests/export/test_decoders.py"),
    Row(15, "NV12 input", WORKS, f"{RUN} net.pixels=nv12", "tests/models/test_pixels.py"),
    Row(16, "Cityscapes, 19 classes"),
    Row(17, "Cityscapes five classes, motion, depth, multi-task loaders"),
    Row(18, "VOC, COCO-80, COCOSeg21"),
    Row(19, "ADE20K-151, ADE20K32 with frequency weights"),
    Row(20, "Own COCO-style segmentation files with a split made for you"),
    Row(21, "A2D2, 38 classes"),
    Row(22, "KITTI flow and scene flow, Sintel, FlyingChairs (KITTI depth works: data=kitti_depth)"),
    Row(23, "Pixel losses of labels and depth; not the end-point loss of flow, which no task here learns, nor the interest-point loss and the smoothness helpers that no training of the original used", WORKS, "xvision run segmentation task.losses=cross_entropy,lovasz:0.5", "tests/tasks/losses/test_label_losses.py"),
    Row(24, "Segmentation metrics, the ARD family; EPE and outliers of flow, of the estimators (`benchmarks/flow.py`)", WORKS, "xvision val RUN", "tests/tasks/metrics/test_depth.py", "results/nyuv2_segmentation_depth.json"),
    Row(25, "Depth loss triple 0.125 / 0.125 / 4.0", WORKS, "xvision run depth task.losses=smooth_l1:0.125,mean_scale:0.125,error_variance:4", "tests/tasks/losses/test_weighted.py"),
    Row(26, "SGD, Nesterov, Adam, RMSprop; step, poly, cosine, exponential; warm-up; accumulation", WORKS, f"{RUN} train.optimizer=rmsprop train.schedule=poly train.warmup_epochs=1 train.accumulate=2", "tests/train/test_schedules.py"),
    Row(27, "Weight decay on all parameters", WORKS, f"{RUN} train.decay=all", "tests/train/test_optimizers.py"),
    Row(28, "Mixed precision where the hardware has it", WORKS, f"{RUN} train.precision=bf16", "tests/train/test_loop.py"),
    Row(29, "Several processes (DistributedDataParallel)", WORKS, "torchrun --nproc-per-node 2 -m xvision.cli run classification --out DIR", "tests/pipeline/test_processes.py::test_the_command_in_two_processes"),
    Row(30, "Resume, best model, log, TensorBoard scalars, but no TensorBoard images (the report has them)", WORKS, "xvision train --resume RUN", "tests/train/test_killed.py"),
    Row(31, "ONNX export with shapes, but once and not every epoch, and no TorchScript", WORKS, "xvision export RUN", "tests/export/test_onnx.py"),
    Row(32, "Phases in one go: training, int8, validation of int8; QAT as a phase is not there yet", WORKS, RUN, "tests/pipeline/test_run.py::test_one_recipe_goes_from_images_to_a_verified_file", CIFAR),
    Row(33, "Joint augmentation: rotation, zoom-crop, flip, flow-aware; crop and mask rectangles", WORKS, f"{RUN} data.augment.rotate_deg=10 data.augment.zoom=0.8,1.5", "tests/data/test_geometry.py"),
    Row(34, "Graph analysis, batch norm merge, bias on the accumulator's grid, per-channel weights", WORKS, "xvision quantize RUN", "tests/graph/test_affine.py", CIFAR),
    Row(35, "QAT with range learning and freezing"),
    Row(36, "Calibration with bias correction", WORKS, "xvision quantize RUN quant.num_images=512", "tests/quant/test_ptq.py", CIFAR),
    Row(37, "Bit widths 8 and 16"),
    Row(38, "Power-of-two ONNX with clips, but no TIDL options page yet", WORKS, "xvision export RUN", "tests/export/test_onnx.py", CIFAR),
    Row(39, "Multi-task: vanilla, pseudo grad-norm", WORKS, f"{BOTH} train.balancing=pseudo_gradnorm", BALANCED, "results/street_pseudo_gradnorm.json"),
    Row(40, "Multi-task: uncertainty, GradNorm, DWA variants", WORKS, f"{BOTH} train.balancing=uncertainty", BALANCED, "results/street_uncertainty.json"),
    Row(41, "Complexity: MACs, parameters", WORKS, "xvision report RUN", "tests/graph/test_cost.py", CIFAR),
    Row(42, "Surgery to lite models"),
    Row(43, "Inference on images, videos and a camera with pictures, PNGs of ids and depth, per-frame scores", WORKS, "xvision predict RUN clip.mp4 --out DIR", "tests/predict/test_predict.py::test_pictures_and_videos_in_one_call"),
    Row(44, "Offline evaluation of PNG dumps (ids, depth, motion)", WORKS, "xvision val --predictions DIR data=camvid data.root=DIR task=segmentation", "tests/predict/test_score.py::test_files_score_as_the_network_that_wrote_them"),
    Row(45, "ONNX Runtime inference and validation", WORKS, "xvision val RUN/export/int8/model.onnx data.root=DIR", "tests/test_cli.py::test_val_gives_the_same_metric_for_the_run_and_its_file"),
    Row(46, "Layer-level integer dumps"),
    Row(47, "Object detection"),
    Row(48, "Keypoints, human pose"),
    Row(49, "ONNX model import for PTQ"),
    Row(50, "Tests, CI, toy data, typed settings, listing of models", WORKS, "xvision list", "tests/test_cli.py::test_list_and_show"),
)  # fmt: skip
