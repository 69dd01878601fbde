"""ResNets: counts from the literature, sizes, strides, and where the paper's form leaves biases and norms."""

import copy
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeroinit.bench.models import MODELS, build_model
from zeroinit.bench.models.resnet import BasicBlock, Bottleneck

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
IN_BOTTLENECKS = (50, 101)
# Parameters of the CIFAR form with ten classes, as the literature counts them, and convolutions with the dense layer.
STANDARD_COUNTS = {18: 11_173_962, 34: 21_282_122, 50: 23_520_842, 101: 42_512_970}
WEIGHT_LAYERS = {18: 21, 34: 37, 50: 54, 101: 105}
FORMS = ["", "_standard"]
NAMES = [f"resnet{depth}{form}" for depth in DEPTHS for form in FORMS]


@cache
def build_once(name: str) -> nn.Sequential:
    """For tests that only look: layers and shapes without values, which take no time to draw."""
    with torch.device("meta"):
        return MODELS[name]((3, 32, 32), 10, "elu")


def layers_of(model: nn.Module, *kinds: type) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def biases_of_convolutions(depth: int) -> int:
    """One bias per output channel: the stem, the blocks, and the shortcuts that change the shape."""
    count = 64
    for stage, (width, blocks) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True)):
        if depth in IN_BOTTLENECKS:
            count += blocks * (width + width + 4 * width) + 4 * width
        else:
            count += blocks * (width + width) + (width if stage > 0 else 0)
    return count


def first_norms(depth: int) -> int:
    """The scale and the shift that the paper's bottlenecks do without."""
    if depth not in IN_BOTTLENECKS:
        return 0
    return sum(2 * width * blocks for width, blocks in zip(WIDTHS, DEPTHS[depth], strict=True))


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameters_of_the_standard_form_as_in_the_literature(depth):
    assert num_parameters(build_once(f"resnet{depth}_standard")) == STANDARD_COUNTS[depth]


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameters_of_the_papers_form(depth):
    expected = STANDARD_COUNTS[depth] + biases_of_convolutions(depth) - first_norms(depth)
    assert num_parameters(build_once(f"resnet{depth}")) == expected


def test_a_quarter_has_the_same_layers_with_a_quarter_of_the_channels():
    whole, quarter = (
        layers_of(build_once(name), nn.Conv2d, nn.BatchNorm2d) for name in ("resnet50", "resnet50_quarter")
    )
    assert list(whole) == list(quarter)
    for name, layer in whole.items():
        assert 4 * quarter[name].weight.shape[0] == layer.weight.shape[0]
    assert (quarter["stem.conv"].in_channels, num_parameters(build_once("resnet50_quarter"))) == (3, 1_488_938)


@pytest.mark.parametrize("name", NAMES)
def test_convolutions_have_a_bias_in_the_papers_form_alone(name):
    convolutions = layers_of(build_once(name), nn.Conv2d)
    assert {layer.bias is None for layer in convolutions.values()} == {name.endswith("_standard")}


@pytest.mark.parametrize("name", NAMES)
def test_number_of_weight_layers(name):
    depth = int(name.removeprefix("resnet").removesuffix("_standard"))
    assert len(layers_of(build_once(name), nn.Conv2d, nn.Linear)) == WEIGHT_LAYERS[depth]
    assert [len(stage) for stage in build_once(name).stages] == list(DEPTHS[depth])


@pytest.mark.parametrize("depth", DEPTHS)
def test_norms_stand_after_every_convolution_but_the_papers_first_of_a_bottleneck(depth):
    for form in FORMS:
        model = build_once(f"resnet{depth}{form}")
        norms, blocks = set(layers_of(model, nn.BatchNorm2d)), set(layers_of(model, BasicBlock, Bottleneck))
        all_norms = {name.replace("conv", "norm") for name in layers_of(model, nn.Conv2d)}
        left_out = {f"{block}.norm_1" for block in blocks} if depth in IN_BOTTLENECKS and form == "" else set()
        assert norms == all_norms - left_out
        assert len(blocks) == sum(DEPTHS[depth])


@pytest.mark.parametrize("name", NAMES)
def test_strides(name):
    """On the 3x3 convolution and on the shortcut of the first block of stages 2 to 4."""
    model = build_once(name)
    bottlenecks = bool(layers_of(model, Bottleneck))
    strided = {key for key, layer in layers_of(model, nn.Conv2d).items() if layer.stride != (1, 1)}
    path = "conv_2" if bottlenecks else "conv_1"
    assert strided == {f"stages.{stage}.0.{part}" for stage in (1, 2, 3) for part in (path, "shortcut.conv")}
    assert {model.get_submodule(key).stride for key in strided} == {(2, 2)}


@pytest.mark.parametrize("name", NAMES)
def test_kernels_paddings_and_shortcuts(name):
    model = build_once(name)
    bottlenecks = bool(layers_of(model, Bottleneck))
    for key, layer in layers_of(model, nn.Conv2d).items():
        point = "shortcut" in key or (bottlenecks and key.endswith(("conv_1", "conv_3")))
        assert (layer.kernel_size, layer.padding) == (((1, 1), (0, 0)) if point else ((3, 3), (1, 1)))
    projections = {key for key in layers_of(model, nn.Conv2d) if "shortcut" in key}
    assert projections == {f"stages.{stage}.0.shortcut.conv" for stage in range(0 if bottlenecks else 1, 4)}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_after_every_stage(name):
    model, sizes = copy.deepcopy(build_once(name)), []
    for module in (model.stem, *model.stages, model.pool, model.flatten, model.head):
        module.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    model(torch.zeros(2, 3, 32, 32, device="meta"))
    factor = 4 if layers_of(model, Bottleneck) else 1
    stages = [(factor * width, side, side) for width, side in zip(WIDTHS, (32, 16, 8, 4), strict=True)]
    assert sizes == [(64, 32, 32), *stages, (factor * 512, 1, 1), (factor * 512,), (10,)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * ("34" in name or "101" in name)) for name in NAMES]
)
def test_digits_become_logits(name, generator):
    model = build_model(name, (1, 8, 8), 7)
    logits = model(torch.randn(2, 1, 8, 8, generator=generator(0)))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "resnet50_standard"])
def test_activations_are_the_ones_asked_for(name):
    model = build_model(name, (1, 8, 8), activation="softplus")
    per_block = 3 if layers_of(model, Bottleneck) else 2
    assert len(layers_of(model, nn.Softplus)) == 1 + per_block * len(layers_of(model, BasicBlock, Bottleneck))
    assert layers_of(model, nn.ELU, nn.ReLU) == {}


def test_names_that_patterns_select():
    names = set(dict(build_once("resnet50").named_modules()))
    assert {
        "stem.conv",
        "stem.norm",
        "stages.0.0.conv_1",
        "stages.2.5.conv_3",
        "stages.3.0.shortcut.conv",
        "stages.3.0.shortcut.norm",
        "head",
    } <= names


def normalize(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Batch norm with the statistics of the batch, written out."""
    mean = images.mean((0, 2, 3), keepdim=True)
    variance = ((images - mean) ** 2).mean((0, 2, 3), keepdim=True)
    return (images - mean) / (variance + 1e-5).sqrt() * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def written_out(state: dict[str, Tensor], images: Tensor, convolutions: list[dict], activation) -> Tensor:
    """A block from its parameters alone; a norm stands wherever there are parameters for one."""

    def apply(conv: str, norm: str, hidden: Tensor, **settings: int) -> Tensor:
        hidden = F.conv2d(hidden, state[f"{conv}.weight"], state.get(f"{conv}.bias"), **settings)
        return (
            normalize(hidden, state[f"{norm}.weight"], state[f"{norm}.bias"]) if f"{norm}.weight" in state else hidden
        )

    hidden = images
    for number, settings in enumerate(convolutions, start=1):
        hidden = apply(f"conv_{number}", f"norm_{number}", hidden, **settings)
        hidden = activation(hidden) if number < len(convolutions) else hidden
    if "shortcut.conv.weight" in state:
        images = apply("shortcut.conv", "shortcut.norm", images, stride=max(each["stride"] for each in convolutions))
    return activation(hidden + images)


@pytest.mark.parametrize("activation", ["elu", "relu"])
@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [4, 6, 16])
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_equals_its_formula(block, channels, stride, standard, activation, generator):
    source = generator(0)
    with torch.random.fork_rng(devices=[]):
        module = block(channels, 4, stride, activation, standard).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=source)
    strided, plain, point = {"stride": stride, "padding": 1}, {"stride": 1, "padding": 1}, {"stride": 1}
    convolutions = [strided, plain] if block is BasicBlock else [point, strided, point]
    images = torch.randn(3, channels, 5, 5, generator=source, dtype=torch.float64)
    state = {name: parameter.detach() for name, parameter in module.named_parameters()}
    assert ("norm_1.weight" in state) == (standard or block is BasicBlock)
    expected = written_out(state, images, convolutions, getattr(F, activation))
    torch.testing.assert_close(module(images), expected)
