"""Layers of known networks: what the suites conv and pool measure, and the shapes of the others.

Tags name the sets that a claim is made about: "peak" (the direct engine runs near the machine's peak), "peers" (no slower than
the frameworks), "train" (gradients), "quick" (a look in a minute).
"""

from __future__ import annotations

from .shapes import Conv, Network, Op, Pool

PEAK, PEERS = ("peak", "train"), ("peers",)

CONV = (
    Conv("3x3", 4, (56, 56), 64, 64, (3, 3), padding=1, source="ResNet-50 conv2", tags=(*PEAK, "quick")),
    Conv("3x3", 1, (56, 56), 64, 64, (3, 3), padding=1, source="ResNet-50 conv2"),
    Conv("3x3", 1, (28, 28), 128, 128, (3, 3), padding=1, source="ResNet-50 conv3"),
    Conv("3x3", 4, (28, 28), 128, 128, (3, 3), padding=1, source="ResNet-50 conv3"),
    Conv("3x3", 1, (14, 14), 256, 256, (3, 3), padding=1, source="ResNet-50 conv4"),
    Conv("3x3", 4, (14, 14), 256, 256, (3, 3), padding=1, source="ResNet-50 conv4"),
    Conv("3x3", 1, (224, 224), 64, 64, (3, 3), padding=1, source="VGG-16 conv1_2"),
    Conv("3x3", 1, (112, 112), 128, 128, (3, 3), padding=1, source="VGG-16 conv2_2"),
    Conv("3x3", 1, (56, 56), 256, 256, (3, 3), padding=1, source="VGG-16 conv3_2"),
    Conv("3x3", 1, (28, 28), 512, 512, (3, 3), padding=1, source="VGG-16 conv4_2"),
    Conv("3x3_small_map", 1, (7, 7), 512, 512, (3, 3), padding=1, source="ResNet-50 conv5"),
    Conv("3x3_small_map", 4, (7, 7), 512, 512, (3, 3), padding=1, source="ResNet-50 conv5", tags=("train",)),
    Conv("3x3_small_map", 8, (7, 7), 512, 512, (3, 3), padding=1, source="ResNet-50 conv5"),
    Conv("3x3_thin", 64, (32, 32), 16, 16, (3, 3), padding=1, source="ResNet-20 conv1", tags=("train",)),
    Conv("3x3_small_map", 64, (8, 8), 64, 64, (3, 3), padding=1, source="ResNet-20 conv3", tags=("train",)),
    Conv("3x3_thin", 64, (14, 14), 32, 64, (3, 3), padding=1, source="MNIST CNN conv2"),
    Conv("3x3_thin", 1, (56, 56), 24, 24, (3, 3), padding=1, source="width under a tile"),
    Conv("3x3_thin", 16, (28, 28), 8, 16, (3, 3), padding=1, source="MNIST CNN, thin"),
    Conv("5x5", 1, (27, 27), 96, 256, (5, 5), padding=2, source="AlexNet conv2"),
    Conv("5x5", 64, (14, 14), 6, 16, (5, 5), source="LeNet-5 C3"),
    Conv("5x5", 4, (28, 28), 32, 96, (5, 5), padding=2, source="GoogLeNet 3b"),
    Conv("1x1", 1, (56, 56), 64, 256, (1, 1), source="ResNet-50 conv2 expand", tags=(*PEAK, *PEERS, "quick")),
    Conv("1x1", 4, (56, 56), 64, 256, (1, 1), source="ResNet-50 conv2 expand", tags=PEAK),
    Conv("1x1", 4, (14, 14), 1024, 256, (1, 1), source="ResNet-50 conv4 reduce", tags=PEAK),
    Conv("1x1", 1, (56, 56), 256, 64, (1, 1), source="ResNet-50 conv2 reduce"),
    Conv("1x1", 1, (28, 28), 512, 128, (1, 1), source="ResNet-50 conv3 reduce"),
    Conv("1x1", 1, (14, 14), 256, 1024, (1, 1), source="ResNet-50 conv4 expand"),
    Conv("1x1", 1, (7, 7), 2048, 512, (1, 1), source="ResNet-50 conv5 reduce"),
    Conv("1x1", 1, (56, 56), 96, 24, (1, 1), source="MobileNetV2 project"),
    Conv("1x1_s2", 1, (56, 56), 256, 512, (1, 1), stride=2, source="ResNet-50 conv3 shortcut"),
    Conv("1x1_s2", 4, (14, 14), 1024, 2048, (1, 1), stride=2, source="ResNet-50 conv5 shortcut"),
    Conv("3x3_s2", 1, (56, 56), 128, 128, (3, 3), stride=2, padding=1, source="ResNet-50 conv3, first"),
    Conv("3x3_s2", 4, (28, 28), 256, 256, (3, 3), stride=2, padding=1, source="ResNet-50 conv4, first"),
    Conv("first", 1, (224, 224), 3, 64, (7, 7), stride=2, padding=3, source="ResNet-50 conv1", tags=(*PEERS, "quick")),
    Conv("first", 4, (224, 224), 3, 64, (7, 7), stride=2, padding=3, source="ResNet-50 conv1", tags=("train",)),
    Conv("first", 1, (224, 224), 3, 64, (3, 3), padding=1, source="VGG-16 conv1_1"),
    Conv("first", 1, (224, 224), 3, 32, (3, 3), stride=2, padding=1, source="MobileNetV2 conv1"),
    Conv("first", 64, (28, 28), 1, 32, (3, 3), padding=1, source="MNIST CNN conv1", tags=(*PEERS, "train", "quick")),
    Conv("depthwise", 1, (112, 112), 32, 32, (3, 3), padding=1, groups=32, source="MobileNetV2 block 1"),
    Conv("depthwise", 1, (112, 112), 96, 96, (3, 3), stride=2, padding=1, groups=96, source="MobileNetV2 block 2"),
    Conv("depthwise", 1, (56, 56), 144, 144, (3, 3), padding=1, groups=144, source="MobileNetV2 block 3"),
    Conv("depthwise", 4, (56, 56), 144, 144, (3, 3), padding=1, groups=144, source="MobileNetV2 block 3", tags=("train",)),
    Conv("depthwise", 1, (14, 14), 384, 384, (3, 3), padding=1, groups=384, source="MobileNetV2 block 8"),
    Conv("depthwise", 1, (14, 14), 480, 480, (5, 5), padding=2, groups=480, source="EfficientNet-B0 stage 5"),
    Conv("depthwise", 1, (56, 56), 144, 144, (5, 5), stride=2, padding=2, groups=144, source="EfficientNet-B0 stage 4, first"),
    Conv("grouped", 1, (56, 56), 128, 128, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv2"),
    Conv("grouped", 4, (56, 56), 128, 128, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv2", tags=("train",)),
    Conv("grouped", 1, (28, 28), 256, 256, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv3"),
    Conv("grouped", 1, (14, 14), 512, 512, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv4"),
    Conv("dilated", 1, (28, 28), 128, 128, (3, 3), padding=2, dilation=2, source="dilated ResNet"),
    Conv("dilated", 1, (28, 28), 512, 512, (3, 3), padding=2, dilation=2, source="DeepLab, VGG-16 conv5"),
    Conv("dilated", 1, (33, 33), 256, 256, (3, 3), padding=6, dilation=6, source="DeepLabv3 pyramid"),
    Conv("conv1d", 8, (16000,), 1, 64, (80,), stride=4, padding=38, source="M5 (raw audio) conv1"),
    Conv("conv1d", 8, (1000,), 64, 64, (3,), padding=1, source="M5 (raw audio) conv2"),
    Conv("conv1d", 4, (1000,), 128, 128, (15,), padding=7, source="sound, wide kernel"),
    Conv("conv3d", 1, (16, 56, 56), 16, 32, (3, 3, 3), padding=1, source="C3D, thin"),
    Conv("conv3d", 1, (16, 112, 112), 3, 32, (3, 3, 3), padding=1, source="C3D conv1, thin"),
    Conv("conv3d", 1, (8, 28, 28), 64, 128, (3, 3, 3), padding=1, source="C3D conv3, thin"),
    # The gradient of their input is the forward pass of the generator's layer: `--what dx`.
    Conv("transposed", 4, (16, 16), 256, 512, (4, 4), stride=2, padding=1, source="DCGAN generator, 8 to 16 pixels"),
    Conv("transposed", 4, (32, 32), 128, 256, (4, 4), stride=2, padding=1, source="DCGAN generator, 16 to 32 pixels"),
    Conv("large", 1, (512, 512), 1, 1, (31, 31), padding=15, source="image filter"),
    Conv("large", 1, (512, 512), 1, 1, (11, 11), padding=5, source="image filter"),
    Conv("large", 1, (100000,), 1, 1, (255,), padding=127, source="sound filter"),
)

POOL = (
    Pool("max", 4, (112, 112), 64, (3, 3), 2, 1, source="ResNet-50 pool1", tags=(*PEERS, "quick")),
    Pool("max", 64, (28, 28), 64, (2, 2), 2, source="MNIST CNN pool1", tags=PEERS),
    Pool("max", 1, (28, 28), 192, (3, 3), 1, 1, source="GoogLeNet 3a, pool branch"),
    Pool("max", 4, (7, 7), 2048, (7, 7), 7, source="ResNet-50 head, by maxima"),
    Pool("avg", 4, (112, 112), 64, (2, 2), 2, source="DenseNet transition, wide", tags=PEERS),
    Pool("avg", 4, (112, 112), 64, (3, 3), 2, 1, source="ResNet-50 pool1, by means"),
    Pool("avg", 1, (28, 28), 192, (3, 3), 1, 1, source="Inception v3, pool branch, as wide as GoogLeNet 3a"),
    Pool("avg", 4, (7, 7), 2048, (7, 7), 7, source="ResNet-50 head", tags=(*PEERS, "quick")),
)

OPS = (
    Op("batch_norm_relu", (8, 64, 56, 56), source="ResNet-18, training", tags=("quick",)),
    Op("batch_norm_relu", (8, 256, 14, 14), source="ResNet-18, training"),
    Op("layer_norm", (1024, 768), source="transformer of width 768"),
    Op("group_norm", (4, 64, 56, 56), source="32 groups"),
    Op("relu", (4, 64, 56, 56)),
    Op("gelu", (4, 64, 56, 56), tags=("quick",)),
    Op("silu", (4, 64, 56, 56)),
    Op("tanh", (4, 64, 56, 56)),
    Op("softmax", (256, 1000), source="ImageNet classes", tags=("quick",)),
    Op("cross_entropy", (256, 1000), source="ImageNet classes"),
    Op("resize_linear", (1, 64, 56, 56), source="U-Net, twice the size", tags=("quick",)),
    Op("resize_nearest", (1, 64, 56, 56), source="U-Net, twice the size"),
)

MODELS = (
    Network("LeNet", 28, 1),
    Network("MNIST CNN", 28, 1, tags=("quick",)),
    Network("ResNet-20", 32, 1, tags=("quick",)),
    Network("MobileNetV2", 224, 1),
    Network("ResNet-18", 224, 1),
    Network("ResNet-50", 224, 1),
    Network("VGG-16", 224, 1),
    Network("U-Net", 128, 1, source="half the width of the paper's"),
)

TRAIN = (
    Network("MNIST CNN", 28, 64, suite="train", tags=("quick",)),
    Network("ResNet-20", 32, 64, suite="train"),
    Network("ResNet-18", 224, 8, suite="train"),
    Network("MobileNetV2", 224, 8, suite="train"),
    Network("VGG-16", 224, 4, suite="train"),
)

SMALL = (
    Conv("small", 1, (8, 8), 8, 8, (3, 3), padding=1, suite="small", tags=("quick",)),
    Conv("small", 1, (16, 16), 16, 16, (3, 3), padding=1, suite="small"),
    Conv("small", 1, (1, 1), 128, 10, (1, 1), suite="small"),
    Conv("small", 1, (8, 8), 32, 32, (3, 3), padding=1, groups=32, suite="small"),
    Conv("small", 1, (64,), 8, 8, (3,), padding=1, suite="small"),
    Conv("small", 1, (8, 8), 8, 8, (5, 5), padding=2, suite="small"),
    Pool("max", 1, (8, 8), 8, (2, 2), 2, suite="small", tags=("quick",)),
    Pool("avg", 1, (8, 8), 8, (2, 2), 2, suite="small"),
    Op("relu", (1, 8, 8, 8), suite="small", tags=("quick",)),
    Op("softmax", (1, 10), suite="small"),
)

# How cost grows: one size at a time about 3x3 64->64 @56 b1.
SCALING = (
    *(Conv("batch", n, (28, 28), 64, 64, (3, 3), padding=1, suite="scaling") for n in (1, 2, 4, 8, 16, 32)),
    *(Conv("channels", 1, (28, 28), c, c, (3, 3), padding=1, suite="scaling") for c in (8, 16, 32, 64, 128, 256, 512)),
    *(Conv("area", 1, (n, n), 64, 64, (3, 3), padding=1, suite="scaling") for n in (7, 14, 29, 56, 112, 224)),
)

# What a layer needs beyond its input and its weights, and a step of training beyond weights and images.
MEMORY = (
    Conv("memory", 1, (224, 224), 64, 64, (3, 3), padding=1, source="VGG-16 conv1_2", suite="memory", tags=("quick",)),
    Conv("memory", 4, (224, 224), 3, 64, (7, 7), stride=2, padding=3, source="ResNet-50 conv1", suite="memory"),
    Conv("memory", 4, (56, 56), 144, 144, (3, 3), padding=1, groups=144, source="MobileNetV2 block 3", suite="memory"),
    Conv("memory", 4, (28, 28), 512, 128, (1, 1), source="ResNet-50 conv3 reduce", suite="memory"),
    Network("ResNet-18", 224, 8, suite="memory"),
)
