"""Residual networks for small images (He et al. 2016), as the paper changed them and in the standard form.

Both forms have a 3x3 stem with stride 1 and no pooling, four stages, a global average pool and one dense layer. From
the second stage on, stages halve height and width. On 32x32 images the pool is the paper's 4x4 pool. Any image size
works.

* Paper's form (``resnet50``, ...): a bias in every convolution, and no norm after the first convolution of a
  bottleneck. The paper speaks of bottlenecks only, so the basic blocks of 18 and 34 keep both norms. The published code
  creates the left-out norms and does not use them. Here they do not exist, so our count of parameters is smaller.
* Standard form (``resnet50_standard``, ...): no bias in the convolutions, a norm after every one of them. The
  activation is the one asked for; the literature's is ``relu``.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from zeroinit.bench.models.activations import make_activation

__all__ = [
    "resnet8",
    "resnet18",
    "resnet18_standard",
    "resnet34",
    "resnet34_standard",
    "resnet50",
    "resnet50_quarter",
    "resnet50_standard",
    "resnet101",
    "resnet101_standard",
]


def _shortcut(channels: int, outputs: int, stride: int, bias: bool) -> nn.Module:
    if channels == outputs and stride == 1:
        return nn.Identity()
    conv = nn.Conv2d(channels, outputs, kernel_size=1, stride=stride, bias=bias)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first one carries the stride."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, activation: str, standard: bool) -> None:
        super().__init__()
        bias = not standard
        self.conv_1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=bias)
        self.norm_1 = nn.BatchNorm2d(width)
        self.activation_1 = make_activation(activation)
        self.conv_2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=bias)
        self.norm_2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(channels, width, stride, bias)
        self.activation_2 = make_activation(activation)

    def forward(self, images: Tensor) -> Tensor:
        """Add the convolutions' result to the shortcut's, then apply the activation."""
        hidden = self.activation_1(self.norm_1(self.conv_1(images)))
        return self.activation_2(self.norm_2(self.conv_2(hidden)) + self.shortcut(images))


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 (with the stride) and 1x1 to four times the width, beside a shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, activation: str, standard: bool) -> None:
        super().__init__()
        bias, outputs = not standard, self.expansion * width
        self.conv_1 = nn.Conv2d(channels, width, kernel_size=1, bias=bias)
        self.norm_1 = nn.BatchNorm2d(width) if standard else nn.Identity()
        self.activation_1 = make_activation(activation)
        self.conv_2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=bias)
        self.norm_2 = nn.BatchNorm2d(width)
        self.activation_2 = make_activation(activation)
        self.conv_3 = nn.Conv2d(width, outputs, kernel_size=1, bias=bias)
        self.norm_3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(channels, outputs, stride, bias)
        self.activation_3 = make_activation(activation)

    def forward(self, images: Tensor) -> Tensor:
        """Add the convolutions' result to the shortcut's, then apply the activation."""
        hidden = self.activation_1(self.norm_1(self.conv_1(images)))
        hidden = self.activation_2(self.norm_2(self.conv_2(hidden)))
        return self.activation_3(self.norm_3(self.conv_3(hidden)) + self.shortcut(images))


def _resnet(
    block: type[BasicBlock] | type[Bottleneck],
    depths: Sequence[int],
    input_shape: tuple[int, int, int],
    num_classes: int,
    activation: str,
    standard: bool = False,
    stem_width: int = 64,
) -> nn.Sequential:
    stem = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(input_shape[0], stem_width, kernel_size=3, padding=1, bias=not standard),
        norm=nn.BatchNorm2d(stem_width),
        activation=make_activation(activation),
    )
    channels, stages = stem_width, nn.Sequential()
    for number, depth in enumerate(depths):
        width, stage = stem_width * 2**number, nn.Sequential()
        for position in range(depth):
            stride = 2 if number > 0 and position == 0 else 1
            stage.append(block(channels, width, stride, activation, standard))
            channels = block.expansion * width
        stages.append(stage)
    parts = OrderedDict[str, nn.Module](
        stem=nn.Sequential(stem),
        stages=stages,
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        head=nn.Linear(channels, num_classes),
    )
    return nn.Sequential(parts)


def resnet8(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Basic blocks 1-1-1 from 16 channels on, a bias in every convolution (78,090 parameters on the 8x8 digits)."""
    return _resnet(BasicBlock, (1, 1, 1), input_shape, num_classes, activation, stem_width=16)


def resnet18(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Basic blocks 2-2-2-2, a bias in every convolution; the norm stays after both convolutions of a block."""
    return _resnet(BasicBlock, (2, 2, 2, 2), input_shape, num_classes, activation)


def resnet34(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Basic blocks 3-4-6-3, a bias in every convolution; the norm stays after both convolutions of a block."""
    return _resnet(BasicBlock, (3, 4, 6, 3), input_shape, num_classes, activation)


def resnet50(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """The paper's network: bottlenecks 3-4-6-3 with a bias in every convolution and no norm after their first one."""
    return _resnet(Bottleneck, (3, 4, 6, 3), input_shape, num_classes, activation)


def resnet50_quarter(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """The paper's ResNet-50 with a quarter of the channels in every layer (1.5 million parameters on CIFAR-10)."""
    return _resnet(Bottleneck, (3, 4, 6, 3), input_shape, num_classes, activation, stem_width=16)


def resnet101(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Bottlenecks 3-4-23-3 in the paper's form, as in ``resnet50``."""
    return _resnet(Bottleneck, (3, 4, 23, 3), input_shape, num_classes, activation)


def resnet18_standard(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Basic blocks 2-2-2-2; no bias in the convolutions, a norm after every one (11,173,962 parameters on CIFAR-10)."""
    return _resnet(BasicBlock, (2, 2, 2, 2), input_shape, num_classes, activation, standard=True)


def resnet34_standard(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Basic blocks 3-4-6-3; no bias in the convolutions, a norm after every one (21,282,122 parameters on CIFAR-10)."""
    return _resnet(BasicBlock, (3, 4, 6, 3), input_shape, num_classes, activation, standard=True)


def resnet50_standard(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Bottlenecks 3-4-6-3; no bias in the convolutions, a norm after every one (23,520,842 parameters on CIFAR-10)."""
    return _resnet(Bottleneck, (3, 4, 6, 3), input_shape, num_classes, activation, standard=True)


def resnet101_standard(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Bottlenecks 3-4-23-3; no bias in the convolutions, a norm after every one (42,512,970 parameters on CIFAR-10)."""
    return _resnet(Bottleneck, (3, 4, 23, 3), input_shape, num_classes, activation, standard=True)
