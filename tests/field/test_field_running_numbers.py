"""Numbers and batches of unusual kinds, after public reports: each model is run, in both precisions, and is as it was.

The right answer was written down before the first run. Each kind has a healthy model and one with a planted fault.
"""

from collections import UserDict, namedtuple
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

from zeroinit import InputError
from zeroinit.cli.loading import parse_inputs
from zeroinit.symmetry import inspect

pytestmark = pytest.mark.usefixtures("without_type_checks")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X, Y = drawn(16, 12), torch.randint(5, (16,), generator=torch.Generator().manual_seed(1))
ALL = {"0.weight": 1, "0.bias": 1, "2.weight": 1, "2.bias": 1}


def mlp(fault: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))
    if fault:
        nn.init.zeros_(model[0].weight)
        nn.init.constant_(model[0].bias, -1.0)
    return model


def assert_healthy(report, steps: dict | None = None) -> None:
    assert [str(finding) for finding in report.warnings] == []
    assert report.notes == ()
    if steps is not None:
        assert report.first_gradient_steps == steps


def paths(report) -> set[str]:
    return {finding.path for finding in report.warnings}


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
def test_gradients_switched_off_outside(context):
    """facebookresearch/dinov2#472, unslothai/unsloth#2434: the model and the batch are made there as well."""
    with context():
        model, x = mlp(), X * 1
        report = inspect(model, x, Y)
        assert report.verdict.startswith("Will learn once gradients are switched on")
        (note,) = report.notes
        assert note.startswith("gradients are off")
        assert_healthy(replace(report, notes=()), ALL)
        assert "0" in paths(inspect(mlp(fault=True), x, Y))
        assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)
    assert not torch.is_inference_mode_enabled()


def test_under_autocast():
    """What the caller has switched on around the call has no effect."""
    plain = inspect(mlp(), X, Y)
    with torch.autocast("cpu", torch.bfloat16):
        report = inspect(mlp(), X, Y)
        assert torch.is_autocast_enabled("cpu")
        assert "0" in paths(inspect(mlp(fault=True), X, Y))
    assert report.losses == plain.losses


class Spectral(nn.Module):
    """A filter with complex weights (pytorch/pytorch#95337, badripatro/simba#1, as in Fourier operators)."""

    def __init__(self, fault: bool):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(7, dtype=torch.complex64))
        self.register_buffer("phase", torch.polar(torch.ones(7), drawn(7)))
        self.first, self.head = nn.Linear(12, 12), nn.Linear(12, 5)
        if fault:
            nn.init.zeros_(self.head.weight)
            self.filter.data.zero_()

    def forward(self, x):
        return self.head(torch.fft.irfft(torch.fft.rfft(self.first(x)) * self.filter * self.phase, n=12))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_complex_weights_are_inspected_and_intact(optimizer):
    torch.manual_seed(0)
    model = Spectral(False)
    before = model.filter.detach().clone()
    report = inspect(model, X, Y, optimizer=optimizer)
    assert_healthy(report, dict.fromkeys(["first.weight", "first.bias", "head.weight", "head.bias", "filter"], 1))
    assert not report.not_inspected
    assert torch.equal(model.filter, before)
    stuck = {name for each in inspect(Spectral(True), X, Y).warnings for name in each.parameters}
    assert {"first.weight", "head.weight", "filter"} <= stuck


def test_complex_inputs_and_outputs():
    torch.manual_seed(0)
    model = nn.Linear(4, 3, dtype=torch.complex64)
    model.gain = nn.Parameter(torch.ones(3))
    model.register_forward_hook(lambda module, arguments, output: output * module.gain)
    x = torch.randn(8, 4, dtype=torch.complex64)
    learns = {"weight": 1, "bias": 1, "gain": 1}
    assert_healthy(inspect(model, x), learns)
    assert_healthy(inspect(model, x, torch.randn(8, 3, dtype=torch.complex64)), learns)
    with pytest.raises(InputError, match="the loss is complex; hand over loss_fn"):
        inspect(model, x, loss_fn=lambda output: output.sum())


class Physics(nn.Module):
    """A network whose loss is made of derivatives by its inputs (pnnl/neuromancer#154, april-tools/cirkit#289)."""

    def __init__(self, fault: bool = False):
        super().__init__()
        activation = nn.ReLU() if fault else nn.Tanh()
        self.net = nn.Sequential(nn.Linear(2, 16), activation, nn.Linear(16, 16), activation, nn.Linear(16, 1))

    def forward(self, x):
        u = self.net(x)
        (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True, allow_unused=True)
        return u, second if second is not None else torch.zeros_like(x)


def test_inputs_that_require_a_gradient():
    torch.manual_seed(0)
    x = drawn(32, 2).requires_grad_()
    report = inspect(Physics(), x, loss_fn=lambda o: (o[1] - o[0].sin()).square().mean())
    assert report.warnings == ()
    assert report.first_gradient_steps["net.0.weight"] == 1
    assert x.grad is None
    # the second derivative of a network of ReLUs is zero: nothing learns from it
    report = inspect(Physics(fault=True), x, loss_fn=lambda o: o[1].square().mean())
    assert set(report.first_gradient_steps.values()) == {None}


def test_a_loss_that_differentiates_by_the_inputs_it_holds():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)), drawn(32, 2).requires_grad_()

    def residual(u):
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return (slope[:, :1] + u).square().mean()

    assert_healthy(inspect(net, x, loss_fn=residual), {"0.weight": 1, "0.bias": 1, "2.weight": 1, "2.bias": 1})
    other = drawn(32, 2, seed=5).requires_grad_()
    with pytest.raises(InputError, match=r"loss_fn\(output\): failed on a tensor"):
        inspect(net, x, loss_fn=lambda u: torch.autograd.grad(u.sum(), other)[0].sum())


def test_parameters_without_values():
    """pytorch/pytorch#42082: a layer of no inputs, as in a small MobileBERT."""
    torch.manual_seed(0)

    class Empty(nn.Module):
        def __init__(self):
            super().__init__()
            self.some, self.none, self.table = nn.Linear(12, 5), nn.Linear(1, 5), nn.Parameter(torch.zeros(0, 5))
            self.none.weight = nn.Parameter(torch.zeros(5, 0))

        def forward(self, x):
            return self.some(x) + self.none(x[:, :0]) + torch.cat([self.table, x.new_ones(1, 5)]).sum()

    report = inspect(Empty(), X, Y)
    assert_healthy(report)
    assert report.not_inspected == {"none.weight": "no values", "table": "no values"}


@pytest.mark.parametrize("fault", [False, True])
def test_another_default_device(fault):
    """pytorch/pytorch#58545: what is drawn here is drawn on the CPU, whatever the default is."""
    model = mlp(fault)
    with torch.device("meta"):
        report = inspect(model, X)
        assert str(torch.get_default_device()) == "meta"
    assert ("0" in paths(report)) == fault


class InHalves(nn.Module):
    """A model that computes in 16 bits by its own will: rounding must not pass for a gradient."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(12, 16), nn.LayerNorm(1), nn.Linear(16, 5)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            h = self.first(x)
        return self.head(F.relu(h + self.norm(h.mean(1, keepdim=True).float())))


def test_a_model_that_computes_in_sixteen_bits():
    torch.manual_seed(0)
    report = inspect(InHalves(), X, Y)
    assert report.first_gradient_steps["first.weight"] == 1
    assert report.first_gradient_steps["norm.weight"] is None  # over one value


# Batches


@dataclass
class Graph:
    """As pyg-team/pytorch_geometric#70, #2136 hand over: one object that the model takes whole."""

    x: Tensor
    edges: Tensor
    name: str = "a graph"


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


class OfObject(nn.Module):
    def __init__(self, fault: bool = False):
        super().__init__()
        self.net = mlp(fault)

    def forward(self, batch):
        x = batch["x"] if isinstance(batch, dict | UserDict) else batch.x
        return self.net(x)


Pair = namedtuple("Pair", ["x", "y"])


@pytest.mark.parametrize(
    "batch", [Graph(X, torch.zeros(2, 3, dtype=torch.long)), Slotted(X), {"x": X}, UserDict(x=X), Pair(X, Y)],
    ids=lambda batch: type(batch).__name__,
)  # fmt: skip
def test_a_model_that_takes_one_object(batch):
    """huggingface/transformers#23138: a model may take the dictionary itself."""
    assert_healthy(inspect(OfObject(), batch, Y), {f"net.{name}": 1 for name in ALL})
    assert "net.0" in paths(inspect(OfObject(fault=True), batch, Y))
    assert X.dtype == torch.float32


class ByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x, mask=None, labels=None):
        scores = self.net(x if mask is None else x * mask)
        return {"logits": scores} if labels is None else {"loss": F.cross_entropy(scores, labels), "logits": scores}


def test_mappings_by_name():
    """foundation-model-stack/fms-model-optimizer#124, mosaicml/composer#985."""
    for made in (dict, UserDict):
        assert inspect(ByName(), made(x=X, labels=Y)).loss == "the output's own loss"
        assert inspect(ByName(), made(x=X, mask=torch.ones(12)), Y).loss == "cross entropy"


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)])
def test_inputs_and_targets_together(batch):
    report = inspect(mlp(), batch)
    assert report.loss == "cross entropy"
    assert_healthy(report, ALL)
    assert inspect(ByName(), DataLoader(TensorDataset(X, Y), batch_size=8)).loss == "cross entropy"
    assert inspect(mlp(), DataLoader(TensorDataset(X), batch_size=8)).loss == "cross entropy, targets drawn"


def test_two_inputs_are_no_pair():
    bilinear = nn.Bilinear(12, 12, 5)
    report = inspect(bilinear, (X, drawn(16, 12, seed=2)))
    assert report.loss == "cross entropy, targets drawn"


def test_a_loader_is_as_before():
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, generator=generator)
    before = generator.get_state()
    inspect(mlp(), loader)
    assert torch.equal(generator.get_state(), before)
    with pytest.raises(InputError, match="inputs=a DataLoader: has no batch; its dataset is empty"):
        inspect(mlp(), DataLoader(TensorDataset(X[:0], Y[:0])))
    with pytest.raises(InputError, match=r"inputs=a DataLoader: its first batch failed \(TypeError"):
        inspect(mlp(), DataLoader([object()]))


def test_a_packed_sequence():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, packed: PackedSequence):
            return self.head(self.lstm(packed)[1][0][0])

    torch.manual_seed(0)
    packed = pack_padded_sequence(drawn(3, 6, 4), torch.tensor([6, 4, 2]), batch_first=True)
    assert_healthy(inspect(Reader(), packed))


def test_losses_by_name():
    """Detectors return their losses in a dictionary in train mode."""

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.boxes, self.classes = nn.Linear(12, 16), nn.Linear(16, 4), nn.Linear(16, 5)

        def forward(self, x):
            h = F.relu(self.body(x))
            return {"loss_box": self.boxes(h).abs().mean(), "loss_class": self.classes(h).logsumexp(1).mean()}

    torch.manual_seed(0)
    report = inspect(Detector(), X)
    assert report.loss == "the sum of the output's losses"
    assert_healthy(report)


def test_an_input_described_twice_is_refused():
    with pytest.raises(InputError, match="x is there twice; give each input a name of its own"):
        parse_inputs("x=2x3,x=4x5")
    assert set(parse_inputs("x=2x3,y=4x5")) == {"x", "y"}


def test_a_lazy_model_gets_its_shapes_on_a_copy():
    """braindecode/braindecode#678: the model itself stays without shapes."""
    model = nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.LazyLinear(5))
    report = inspect(model, X, Y)
    assert_healthy(replace(report, notes=()), dict.fromkeys(["0.weight", "0.bias", "2.weight", "2.bias"], 1))
    assert report.notes == ("its lazy layers got their shapes from this batch, on a copy",)
    assert all(isinstance(each, nn.UninitializedParameter) for each in model.parameters())
