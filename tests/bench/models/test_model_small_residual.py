"""The small networks of initbench: sizes, what flows past the branches, and attention against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zeroinit.bench.models import build_model
from zeroinit.bench.models.transformer import Attention

COUNTS = {
    ("resnet8", (1, 8, 8)): 78_090,
    ("row_transformer", (1, 28, 28)): 19_306,
    ("small_vit", (3, 32, 32)): 141_898,
    ("residual_fnn", (1, 28, 28)): 785 * 64 + 30 * 65 * 64 + 65 * 10,
}


@pytest.mark.parametrize(("name", "shape"), COUNTS)
def test_parameter_counts(name, shape):
    assert sum(parameter.numel() for parameter in build_model(name, shape).parameters()) == COUNTS[name, shape]


def test_the_residual_network_has_32_layers_and_a_path_past_its_branches(generator):
    model = build_model("residual_fnn", (1, 4, 4), 3, activation="relu")
    assert sum(isinstance(module, nn.Linear) for module in model.modules()) == 32
    for branch in model.branches:
        nn.init.zeros_(branch.dense_2.weight)
        nn.init.zeros_(branch.dense_2.bias)
    images = torch.randn(5, 1, 4, 4, generator=generator(0))
    torch.testing.assert_close(model(images), model.head(model.stem(images.flatten(1)).relu()))


def test_attention_is_that_of_torch(generator):
    attention = Attention(8, 2)
    tokens = torch.randn(3, 5, 8, generator=generator(0))
    heads = [layer(tokens).view(3, 5, 2, 4).transpose(1, 2) for layer in list(attention.children())[:3]]
    read = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(3, 5, 8)
    torch.testing.assert_close(attention(tokens), attention.out_proj(read))


def test_a_patch_has_the_pixels_of_one_square(generator):
    model = build_model("small_vit", (2, 16, 24), 3)
    seen = []
    model.embedding.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images = torch.randn(4, 2, 16, 24, generator=generator(0))
    model(images)
    assert seen[0].shape == (4, 64, 2 * 2 * 3)
    torch.testing.assert_close(seen[0][:, 8 + 3], images[:, :, 2:4, 9:12].flatten(1))


def test_the_transformer_knows_where_a_row_stands(generator):
    model = build_model("row_transformer", (1, 6, 6), 3)
    images = torch.randn(2, 1, 6, 6, generator=generator(0))
    assert not torch.allclose(model(images), model(images.flip(-2)))
    nn.init.zeros_(model.positions.weight)
    torch.testing.assert_close(model(images), model(images.flip(-2)))
