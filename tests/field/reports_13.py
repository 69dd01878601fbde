"""Cases of an eighth reader of public reports, and complex weights: starts that are not finite, values taken out."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

LEARNS = "get a gradient by step 1. "


def scaled_by_numbers(stacked):
    def forward(self, x):
        scales = list(self.scales)
        values = torch.stack(scales) if stacked else torch.Tensor([scales[0], scales[1], scales[2]])
        return self.net((x * values.view(1, 3, 1)).flatten(1))

    scales = nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(3))
    return Batch(OneOf(forward, scales=scales, net=mlp(9, 16, 1)), floats(48, 3, 3), floats(48, 1))


@fault(
    "pytorch/pytorch#61410",
    "values taken out",
    "ZI009",
    "scales.0",
    "float()` or `torch.Tensor([...])",
)
def a_tensor_of_parameters():
    """``torch.Tensor([...])`` of parameters asks each for its number."""
    return scaled_by_numbers(False)


@healthy("own", "values taken out", LEARNS)
def a_stack_of_parameters():
    return scaled_by_numbers(True)


class Splats(nn.Module):
    """Gaussians in a plane, whose sizes are kept as logarithms."""

    def __init__(self, smallest):
        super().__init__()
        self.centers = nn.Parameter(torch.randn(12, 3))
        sizes = torch.full((12, 3), 0.5)
        sizes[:, 2] = smallest
        self.sizes = nn.Parameter(sizes.log())
        self.colors = nn.Parameter(torch.rand(12, 2))

    def forward(self, points):
        apart = (points[:, None] - self.centers) ** 2 / (self.sizes.exp() ** 2 + 0.05)
        return torch.exp(-0.5 * apart.sum(-1)) @ self.colors


@fault(
    "hugoycj/2.5d-gaussian-splatting#6",
    "not finite",
    "ZI013",
    "sizes",
    "12 of 36 values of `sizes`",
    never="0 of 3 parameters learn",
)
def the_logarithm_of_a_size_of_zero():
    """Minus infinity stays, and all else learns."""
    return Batch(Splats(0.0), floats(96, 3), floats(96, 2))


@healthy("own", "not finite", LEARNS)
def the_logarithm_of_small_sizes():
    return Batch(Splats(0.1), floats(96, 3), floats(96, 2))


@fault("own", "not finite", "ZI013", "0.weight", "hold NaN or infinity before the first step")
def memory_that_nobody_initialized():
    model = mlp(6, 16, 3)
    for each in model[0].parameters():
        nn.init.constant_(each, torch.nan)
    return Batch(model, floats(32, 6), labels(3, 32))


def cosine_attention(positive):
    def forward(self, x):
        query, key, value = self.qkv(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        root = torch.sqrt(F.softplus(self.scale) if positive else self.scale)
        scores = (F.normalize(query, dim=-1) * root) @ (F.normalize(key, dim=-1) * root).mT
        return x + self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

    model = OneOf(
        forward, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16), scale=nn.Parameter(torch.full((2, 1, 1), 0.02))
    )
    x = floats(16, 6, 16)
    away = x - 0.5 * (torch.softmax(-x @ x.mT / 4, -1) @ x)
    return Batch(model, x, away, {"optimizer": torch.optim.Adam(model.parameters(), 3e-2)})


@fault(
    "crowsonkb/k-diffusion#111",
    "not finite",
    "ZI013",
    "scale",
    "because `scale` is below zero there",
)
def the_root_of_a_learned_scale():
    """One update takes the scale below zero."""
    return cosine_attention(False)


@healthy("own", "not finite", LEARNS)
def the_root_of_a_positive_scale():
    return cosine_attention(True)


@fault("vanderschaarlab/synthcity#331", "not finite", "ZI013", "", "the exp in `OneOf.forward` overflows", never="pow")
def a_variance_that_overflows_in_float32():
    """In float64 it is another operation that overflows first; the model is float32."""

    def forward(self, x):
        mean, spread = self.encoder(x).chunk(2, 1)
        code = mean + torch.randn_like(mean) * torch.exp(spread)
        return self.decoder(code)

    model = OneOf(forward, encoder=nn.Linear(6, 8), decoder=nn.Linear(4, 6))
    x = floats(32, 6) * 2000
    return Batch(model, x, x, {"loss_fn": F.mse_loss})


def repeated(shared):
    blocks = nn.ModuleList([nn.Linear(8, 8)] * 3 if shared else [nn.Linear(8, 8) for _ in range(3)])

    def forward(self, x):
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.head(x)

    return Batch(OneOf(forward, blocks=blocks, head=nn.Linear(8, 3)), floats(32, 8), labels(3, 32))


@healthy(
    "acids-ircam/ddsp_pytorch#37",
    "one module, several places",
    "`blocks.0`, `blocks.1` and `blocks.2` are the same module",
)
def a_list_multiplied():
    """It may be meant, so it is told without a warning."""
    return repeated(True)


@healthy("own", "one module, several places", "Will learn: all 8 ")
def a_list_of_three():
    return repeated(False)


class Fourier(nn.Module):
    """A layer of an operator in Fourier space: complex weights for the lowest frequencies."""

    def __init__(self, channels, modes):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels, channels, modes, dtype=torch.complex64) / channels)

    def forward(self, x):
        spectrum = torch.fft.rfft(x)
        modes = self.weight.shape[-1]
        low = torch.einsum("bim,iom->bom", spectrum[..., :modes], self.weight)
        return torch.fft.irfft(F.pad(low, (0, spectrum.shape[-1] - modes)), n=x.shape[-1])


def operator(cut=False, zero=False):
    def forward(self, x):
        h = torch.tanh(self.first(self.lift(x)))
        return self.out(self.second(h.detach() if cut else h))

    parts = {"lift": nn.Conv1d(2, 8, 1), "first": Fourier(8, 4), "second": Fourier(8, 4), "out": nn.Conv1d(8, 1, 1)}
    model = OneOf(forward, **parts)
    if zero:
        nn.init.zeros_(model.second.weight)
        nn.init.zeros_(model.out.weight)
    return Batch(model, floats(16, 2, 16), floats(16, 1, 16))


@healthy("neuraloperator/neuraloperator#521", "complex numbers", "Will learn: all 6 ")
def a_fourier_operator():
    return operator()


@fault("own", "complex numbers", "ZI009", "first.weight", "`detach()` in `OneOf.forward`")
def a_fourier_operator_cut_off():
    return operator(cut=True)


@fault("own", "complex numbers", "ZI006", "second.weight", "both start at zero")
def a_fourier_operator_behind_two_zeros():
    return operator(zero=True)


@fault("own", "complex numbers", "ZI001", "first", "All 8 units of `first` are identical")
def complex_units_that_are_equal():
    def forward(self, x):
        hidden = torch.view_as_real(self.first(x.to(torch.complex64)))
        return self.last(torch.view_as_complex(torch.relu(hidden))).abs()

    model = OneOf(forward, first=nn.Linear(4, 8, dtype=torch.complex64), last=nn.Linear(8, 3, dtype=torch.complex64))
    for each in (model.first, model.last):
        nn.init.constant_(each.weight, 0.3 + 0.1j)
    nn.init.zeros_(model.first.bias)
    return Batch(model, floats(16, 4), labels(3, 16))
