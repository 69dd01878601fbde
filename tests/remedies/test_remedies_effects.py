"""What each remedy does, written out plainly or against a slow twin, with what happens without it."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.training import Observer, fit
from zeroinit.remedies import REMEDIES, RemedyWarning, make_remedy, orthogonalized, polar_factor
from zeroinit.remedies.activations import mask_shape

IMAGES, CLASSES = 24, 4


@pytest.fixture
def data(generator) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(IMAGES, 1, 8, 8, generator=generator(1), dtype=torch.float64)
    return images, torch.randint(CLASSES, (IMAGES,), generator=generator(2))


def dense() -> nn.Module:
    """All weights zero, the biases of a layer all the same: nothing tells its units apart."""
    layers = [nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, CLASSES)]
    model = nn.Sequential(nn.Flatten(), *layers).double()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5 if parameter.dim() == 1 else 0.0)
    return model


def train(model: nn.Module, data, remedy: str, steps: int, **settings) -> nn.Module:
    made = make_remedy(remedy, model, steps)
    settings = {"epochs": steps, "batch_size": IMAGES, "learning_rate": 0.01} | settings
    with made:
        fit(model, data, generator=torch.Generator().manual_seed(0), observers=[made], **settings)
    return model


def num_distinct(weight: torch.Tensor) -> int:
    """Count rows that differ by more than 1e-9, rounding in float64 that an update may have amplified."""
    found: list[torch.Tensor] = []
    for row in weight:
        if not any((row - other).abs().max() < 1e-9 for other in found):
            found.append(row)
    return len(found)


@pytest.mark.parametrize("name", ["early_dropout", "early_channel_dropout", "example_signs", "position_signs"])
def test_identical_units_are_told_apart(data, name):
    assert num_distinct(train(dense(), data, name, 10)[1].weight) == 16


@pytest.mark.parametrize("name", ["unit_masks", "fixed_position_signs", "class_signs"])
def test_identical_units_are_told_apart_in_groups(data, name):
    assert num_distinct(train(dense(), data, name, 10)[1].weight) > 1


@pytest.mark.parametrize("name", ["warmup", "moment_reset", "affine_norms"])
def test_identical_units_stay_so_where_nothing_is_drawn(data, name):
    model = train(dense(), data, name, 10)
    assert num_distinct(model[1].weight) == 1
    assert model[1].weight.abs().max() > 0


def test_orthogonal_updates_tell_identical_units_apart_by_rounding(data):
    """A signal would do so at once, and not the more the more rounds of amplification there were."""
    spreads = []
    for steps in (4, 10):
        weight = train(dense(), data, "early_muon", steps)[1].weight
        spreads.append((weight - weight[0]).abs().max().item())
    assert spreads[0] < 1e-9 < 1e-7 < spreads[1]


def spatial() -> nn.Module:
    """A wide margin of zeros around what the kernel sees, so that each kernel position sees the same image."""
    layers = [nn.Conv2d(1, 4, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 100, CLASSES)]
    model = nn.Sequential(nn.ZeroPad2d(2), *layers).double()
    nn.init.zeros_(model[1].weight)
    nn.init.normal_(model[4].bias, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():  # the same at all positions
        drawn = torch.randn(CLASSES, 4, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        model[4].weight.copy_(drawn.expand(-1, -1, 100).flatten(1))
    return model


@pytest.mark.parametrize(
    ("name", "differ"), [("position_signs", True), ("fixed_position_signs", True), ("warmup", False)]
)
def test_signs_per_position_make_kernel_positions_differ(data, name, differ):
    model = spatial()
    with make_remedy(name, model, 1):
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
    positions = model[1].weight.grad.flatten(1)
    assert positions.abs().max() > 0
    assert ((positions - positions.mean(1, keepdim=True)).abs().max() > 1e-6) == differ


def test_signs_per_channel_make_channels_differ_and_positions_not(data):
    """Before a flatten, signs per unit and example make positions differ, as each is a unit of the dense layer."""
    gradients = {}
    for name in ("channel_signs", "example_signs"):
        model = spatial()
        with torch.no_grad():  # the same for all channels
            model[4].weight.copy_(model[4].weight[:, :1].expand(-1, 400))
        with make_remedy(name, model, 1):
            nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        positions = model[1].weight.grad.flatten(1)
        gradients[name] = ((positions - positions.mean(1, keepdim=True)).abs().max().item(), num_distinct(positions))
    assert gradients["channel_signs"][0] < 1e-12 < 1e-6 < gradients["example_signs"][0]
    assert gradients["channel_signs"][1] == gradients["example_signs"][1] == 4


def gradients_down(name: str, site: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return the factor that the gradient of a layer's input was multiplied by, two steps after one another."""
    model = nn.Sequential(nn.Identity(), site, nn.Flatten()).double()
    inputs = inputs.double().requires_grad_()
    factors = []
    (plain,) = torch.autograd.grad(site(inputs).square().sum(), inputs)
    with make_remedy(name, model, 5):
        for _ in range(2):
            out = model(inputs)
            (gradient,) = torch.autograd.grad(out.square().sum(), inputs)
            factors.append(gradient / plain)
    return torch.stack(factors)


def varies(factors: torch.Tensor) -> list[bool]:
    """Tell for each axis whether the factors change along it."""
    return [bool((factors != factors.narrow(axis, 0, 1)).any()) for axis in range(factors.dim())]


AXES = {  # fresh at each step, by example, by channel, by position
    "unit_signs": (True, False, True, False),
    "example_signs": (True, True, True, False),
    "position_signs": (True, True, True, True),
    "fixed_position_signs": (False, False, True, True),
    "unit_masks": (True, True, True, False),
}


@pytest.mark.parametrize("name", AXES)
def test_along_which_axes_masks_differ(name, generator):
    factors = gradients_down(name, nn.Conv1d(6, 5, 2), torch.randn(7, 6, 8, generator=generator(1))).round(decimals=9)
    assert varies(factors) == list(AXES[name])
    assert set(factors.unique().tolist()) == ({0.0, 2.0} if name == "unit_masks" else {-1.0, 1.0})
    tokens = gradients_down(name, nn.Linear(6, 5), torch.randn(7, 8, 6, generator=generator(1))).round(decimals=9)
    assert varies(tokens.transpose(2, 3)) == list(AXES[name])


def test_signs_by_class(generator):
    model = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, CLASSES))
    inputs, labels = torch.randn(12, 3, generator=generator(1)), torch.arange(12) % CLASSES
    factors: list[torch.Tensor] = []
    model[0].register_forward_hook(lambda module, args, out: out.register_hook(factors.append) and None)
    with make_remedy("class_signs", model, 5):
        for _ in range(2):
            nn.functional.cross_entropy(model(inputs), labels).backward()
    nn.functional.cross_entropy(model(inputs), labels).backward()
    signs = [(factor / factors[2]).round() for factor in factors[:2]]
    assert torch.equal(signs[0], signs[1])
    for number in range(CLASSES):
        assert (signs[0][labels == number] == signs[0][number]).all()
    assert len({tuple(row) for row in signs[0].tolist()}) == CLASSES


@pytest.mark.parametrize(
    "model", [nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2))), nn.Sequential(nn.Linear(3, 4), nn.Flatten(0))]
)
def test_signs_by_class_without_classes(model):
    remedy = make_remedy("class_signs", model, 5)
    with remedy, pytest.raises(InputError, match="model: class_signs cannot read the class"):
        model(torch.ones(5, 3))
    assert remedy.remaining == 5
    assert not model._forward_hooks


@pytest.mark.parametrize("name", ["early_dropout", "early_channel_dropout", "unit_masks"])
@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_masks_have_mean_one(name, strength):
    """Within five standard errors; each entry is 0 or 1 / (1 - p)."""
    site = nn.Conv1d(1, 1, 1, bias=False)
    nn.init.ones_(site.weight)
    model = nn.Sequential(nn.Identity(), site)
    inputs = torch.ones(20000, 1, 1, requires_grad=True)
    with REMEDIES[name].remedy(model, 1, strength=strength):
        result = model(inputs)
        if name == "unit_masks":
            (result,) = torch.autograd.grad(result.sum(), inputs)
    assert abs(result.mean().item() - 1) < 5 * (strength / (1 - strength) / 20000) ** 0.5
    assert result.unique().tolist() == pytest.approx([0, 1 / (1 - strength)])


def test_channels_are_dropped_whole(generator):
    model = nn.Sequential(nn.Identity(), nn.Conv2d(6, 1, 1))
    seen = []
    model[1].register_forward_hook(lambda module, inputs, result: seen.append(inputs[0] == 0))
    for name in ("early_channel_dropout", "early_dropout"):
        with make_remedy(name, model, 1):
            model(torch.ones(9, 6, 4, 4, requires_grad=True))
    whole, single = ((dropped == dropped[..., :1, :1]).all().item() for dropped in seen)
    assert (whole, single) == (True, False)


def test_the_layer_that_sees_the_data_is_left_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    seen = []
    model[0].register_forward_hook(lambda module, inputs, result: seen.append(inputs[0]))
    with make_remedy("early_dropout", model, 1):
        model(torch.ones(50, 3))
    assert (seen[0] == 1).all()


def test_inputs_by_keyword():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, images):
            return self.two(input=self.one(input=images))

    model = Model()
    plain = model(torch.ones(5, 3))
    with make_remedy("early_dropout", model, 1):
        assert not torch.equal(model(torch.ones(5, 3)), plain)


@pytest.mark.parametrize(
    ("site", "shape", "expected"),
    [
        (nn.Linear(3, 1), (3,), [3]),
        (nn.Linear(3, 1), (5, 3), [5, 3]),
        (nn.Linear(3, 1), (5, 7, 2, 3), [5, 1, 1, 3]),
        (nn.Conv2d(3, 1, 1), (3, 6, 7), [3, 1, 1]),
        (nn.ConvTranspose3d(3, 1, 1), (5, 3, 6, 7, 8), [5, 3, 1, 1, 1]),
    ],
)
def test_shapes_of_masks(site, shape, expected):
    assert mask_shape(site, torch.ones(shape), {"example", "unit"}) == expected
    assert mask_shape(site, torch.ones(shape), {"example", "unit", "position"}) == list(shape)


def test_the_noise_is_as_large_as_asked_for(generator):
    model = nn.Linear(300, 300, bias=False)
    inputs = torch.randn(400, 300, generator=generator(1))
    (plain,) = torch.autograd.grad(model(inputs).square().sum(), model.weight)
    for strength in (0.5, 2.0):
        model.zero_grad()
        with REMEDIES["gradient_noise"].remedy(model, 1, strength=strength):
            model(inputs).square().sum().backward()
        noise = model.weight.grad - plain
        assert (noise.square().mean() / plain.square().mean()).sqrt().item() == pytest.approx(strength, rel=0.02)
        assert abs((noise * plain).mean() / plain.square().mean()) < 0.05 * strength


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon", "rmsprop"])
def test_warmup_is_that_of_fit(data, optimizer):
    settings = {"optimizer": optimizer, "epochs": 8}
    warmed = train(dense(), data, "warmup", 5, **settings).state_dict()
    by_fit = train(dense(), data, "affine_norms", 0, warmup_steps=5, **settings).state_dict()
    plain = train(dense(), data, "affine_norms", 0, **settings).state_dict()
    assert all(torch.equal(warmed[name], by_fit[name]) for name in warmed)
    assert not all(torch.equal(warmed[name], plain[name]) for name in warmed)


def test_the_learning_rate_is_as_it_was_after_each_step_and_after_an_error(data):
    model = dense()
    optimizer = torch.optim.SGD([{"params": model[1].parameters(), "lr": 0.3}, {"params": model[3:].parameters()}], 0.1)
    lowered = []
    optimizer.register_step_pre_hook(lambda optimizer, *_: lowered.append([g["lr"] for g in optimizer.param_groups]))
    failing = torch.optim.SGD(model.parameters(), 0.7)
    with make_remedy("warmup", model, 4):
        for _ in range(5):
            nn.functional.cross_entropy(model(data[0]), data[1]).backward()
            optimizer.step()
            assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.1]
    torch.testing.assert_close(
        torch.tensor(lowered), torch.tensor([[0.3, 0.1]]) * torch.tensor([[1, 2, 3, 4, 4]]).T / 4
    )
    with make_remedy("warmup", model, 4):
        model(data[0])
        failing.register_step_pre_hook(_fail)
        with pytest.raises(ZeroDivisionError):
            failing.step()
        assert failing.param_groups[0]["lr"] == 0.175
    assert failing.param_groups[0]["lr"] == 0.7


def _fail(*_) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("name", ["warmup", "moment_reset", "early_muon"])
def test_optimizers_of_other_models_are_let_be(name, data):
    model, other = dense(), nn.Linear(64, CLASSES).double()
    twin = copy.deepcopy(other)
    for each, attached in ((other, True), (twin, False)):
        optimizer = torch.optim.Adam(each.parameters(), lr=0.1)
        no_update = pytest.warns(
            RemedyWarning, match="^the optimizer keeps its moments: .* no optimizer updated this Sequential; build"
        )
        with no_update if name == "moment_reset" else nullcontext(), make_remedy(name, model, 1):
            if attached:
                model(data[0])
            for _ in range(2):
                optimizer.zero_grad()
                each(data[0].flatten(1)).square().sum().backward()
                optimizer.step()
        assert optimizer.state[each.weight]["step"] == 2
    assert torch.equal(other.weight, twin.weight)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_after_a_reset_the_optimizer_is_as_fresh(data, optimizer):
    """Three steps, then three more: with a reset as with another call of ``fit``, which makes a new optimizer."""
    settings = {"optimizer": optimizer, "order": "fixed"}
    reset = train(dense(), data, "moment_reset", 3, epochs=6, **settings)
    fresh, kept = dense(), train(dense(), data, "affine_norms", 0, epochs=6, **settings)
    for _ in range(2):
        train(fresh, data, "affine_norms", 0, epochs=3, **settings)
    assert all(torch.equal(*pair) for pair in zip(reset.parameters(), fresh.parameters(), strict=True))
    assert not torch.equal(reset[1].weight, kept[1].weight)


class Updates(Observer):
    """Keeps the updates of one weight."""

    def __init__(self, weight: nn.Parameter):
        self.weight, self.before, self.updates = weight, None, []

    def on_gradients(self, state) -> None:
        self.before = self.weight.detach().clone()

    def on_epoch(self, state) -> None:
        self.updates.append(self.weight.detach() - self.before)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_orthogonal_updates_have_like_singular_values(data, momentum, generator):
    """With SGD: Adam's first update, made of signs, has not full rank."""
    spreads, norms = [], []
    for steps in (3, 0):
        model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(216, CLASSES)).double()
        for number, parameter in enumerate(model.parameters()):
            nn.init.normal_(parameter, std=0.1, generator=generator(number))
        watch = Updates(model[0].weight)
        settings = {
            "epochs": 4,
            "batch_size": IMAGES,
            "optimizer": "sgd",
            "momentum": momentum,
            "generator": generator(0),
        }
        fit(model, data, observers=[make_remedy("early_muon", model, steps), watch], **settings)
        values = [torch.linalg.svdvals(update.flatten(1)) for update in watch.updates]
        spreads.append([(each[0] / each[-1]).item() for each in values])
        norms.append(values[0].norm().item())
    assert max(spreads[0][:3]) < 1.8
    assert min(*spreads[1], spreads[0][3]) > 3  # without it, and when its steps are over
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 2, 3, 3), (1, 4)])
def test_orthogonalized_against_singular_values(shape, generator):
    """The slow twin sets all singular values to their mean; directions agree, values lie within 40 %."""
    update = torch.randn(shape, generator=generator(1), dtype=torch.float64)
    left, values, right = torch.linalg.svd(update.flatten(1), full_matrices=False)
    exact = (left @ right) * values.norm() / len(values) ** 0.5
    found = orthogonalized(update)
    assert found.shape == update.shape
    assert found.norm().item() == pytest.approx(update.norm().item())
    assert nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.95
    mixed = left.T @ found.flatten(1) @ right.T
    assert (mixed - torch.diag(mixed.diagonal())).abs().max() < 1e-9


def test_orthogonalized_zeros_and_rank_one():
    assert not orthogonalized(torch.zeros(3, 4)).any()
    single = torch.outer(torch.arange(1.0, 4), torch.arange(1.0, 5))
    torch.testing.assert_close(orthogonalized(single), single, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_weights_get_the_size_of_the_default_and_keep_their_directions(data, strength):
    plain, scaled = dense(), dense()
    for model, remedy in ((plain, "warmup:9"), (scaled, f"warmup:9+weight_rescale:4:{strength}")):
        for layer in (1, 3, 5):
            nn.init.normal_(model[layer].bias, generator=torch.Generator().manual_seed(layer))
        with make_remedy(remedy, model, 9) as made:
            fit(model, data, epochs=4, batch_size=IMAGES, observers=[made], generator=torch.Generator().manual_seed(0))
    for layer in (1, 3, 5):
        ours, twin = scaled[layer].weight, plain[layer].weight
        assert ours.square().mean().sqrt().item() == pytest.approx(strength / (3 * ours.shape[1]) ** 0.5)
        assert torch.allclose(ours / ours.norm(), twin / twin.norm(), atol=1e-12)
        assert ours.norm() > 2 * twin.norm()
        assert torch.equal(scaled[layer].bias, plain[layer].bias)


@pytest.mark.parametrize(
    ("name", "inputs"), [("weight_rescale", 48), ("weight_orthogonal", 48), ("weight_orthonormal", 16)]
)
def test_what_is_still_zero_is_let_be(data, name, inputs):
    model = train(dense(), data, name, 1)
    assert [int(model[layer].weight.count_nonzero()) for layer in (1, 3)] == [0, 0]
    assert model[5].weight.square().mean().sqrt().item() == pytest.approx(inputs**-0.5)


@pytest.mark.parametrize("name", ["weight_rescale", "weight_orthogonal", "weight_orthonormal"])
def test_scaling_to_zero_is_refused(data, name):
    with pytest.raises(InputError, match=r"^strength=0\.0: would set all weights to zero; choose a number above 0"):
        train(dense(), data, f"{name}:1:0", 1)


def test_weights_become_orthogonal_in_the_size_of_the_default(data):
    values = {}
    for name in ("weight_rescale", "weight_orthogonal"):
        weight = train(dense(), data, f"position_signs:10+{name}:10", 10)[1].weight.detach()
        assert weight.square().mean().sqrt().item() == pytest.approx((3 * 64) ** -0.5)
        values[name] = torch.linalg.svdvals(weight)
    assert values["weight_orthogonal"].max() < 2 * values["weight_orthogonal"].min()
    assert values["weight_rescale"].max() > 5 * values["weight_rescale"].min()


def test_weights_become_orthonormal_to_the_last_digit(data):
    """Also where one direction is a thousand times another, which ``weight_orthogonal`` leaves so."""
    model = train(dense(), data, "position_signs:10+weight_orthonormal:10", 10)
    for layer in (1, 3, 5):
        values = torch.linalg.svdvals(model[layer].weight.detach())
        assert values.max() == pytest.approx(values.min().item(), rel=1e-9)
        assert model[layer].weight.square().mean().sqrt().item() == pytest.approx(model[layer].in_features ** -0.5)


class Spectra(Observer):
    """Keeps the ratio of the second to the first singular value of a layer, before each update."""

    def __init__(self):
        self.ratios = []

    def on_gradients(self, state) -> None:
        values = torch.linalg.svdvals(state.model[1].weight.detach())
        self.ratios.append(float(values[1] / values[0].clamp(min=1e-300)))


def test_it_acts_half_way_and_at_the_end_alone(data):
    spectra, model = Spectra(), dense()
    remedy = make_remedy("position_signs:8+weight_orthonormal:8", model, 8)
    fit(model, data, epochs=12, batch_size=IMAGES, observers=[remedy, spectra])
    assert [step for step, ratio in enumerate(spectra.ratios, 1) if ratio > 1 - 1e-9] == [5, 9]


def test_it_acts_half_way_where_two_optimizers_share_the_weights(data):
    """Each of them has a turn in the same step, and none in the next."""
    model = dense()
    optimizers = [torch.optim.Adam(model[at].parameters(), lr=1e-2) for at in (1, 3, 5)]
    seen = []
    early = pytest.warns(
        RemedyWarning, match="^weights are not made orthonormal: training ended after 6 of 8 updates; make 8 updates"
    )
    with early, make_remedy("position_signs:8+weight_orthonormal:8", model, 8):
        for _ in range(6):
            model.zero_grad()
            torch.nn.functional.cross_entropy(model(data[0]), data[1]).backward()
            for optimizer in optimizers:
                optimizer.step()
            values = [torch.linalg.svdvals(model[at].weight.detach()) for at in (1, 3, 5)]
            seen.append([bool((each[0] - each[2] < 1e-9) and each[0] > 0) for each in values])  # rows may sum to zero
    assert seen == [[False] * 3] * 3 + [[True] * 3] + [[False] * 3] * 2


def test_it_goes_on_from_a_checkpoint_after_its_half(data):
    """What acted half-way before the checkpoint does not do so again."""
    whole, parts = dense(), dense()
    remedy = make_remedy("weight_orthonormal", whole, 8)
    resumed = make_remedy("weight_orthonormal", parts, 8)
    optimizer = torch.optim.Adam(whole.parameters())
    remedy.attach()
    for _ in range(5):
        whole(data[0]).square().sum().backward()
        optimizer.step()
    resumed.load_state_dict(remedy.state_dict())
    remedy.detach()  # else functions that later tests compile run uncompiled
    assert (resumed.remaining, resumed._is_due()) == (3, False)
    fresh = make_remedy("weight_orthonormal", dense(), 8)
    fresh.remaining = 3
    assert fresh._is_due()


def test_directions_below_rounding_are_not_made_up(generator):
    """The factor of a matrix of rank two has two singular values of 1, the others are 0; of full rank, all are 1."""
    thin = torch.randn(6, 2, generator=generator(1)) @ torch.randn(2, 9, generator=generator(2))
    values = torch.linalg.svdvals(polar_factor(thin))
    assert values.tolist() == pytest.approx([1, 1, 0, 0, 0, 0], abs=1e-5)
    full = torch.linalg.svdvals(polar_factor(torch.randn(6, 3, 3, generator=generator(3))).flatten(1))
    assert full.tolist() == pytest.approx([1] * 6, abs=1e-5)


@pytest.mark.parametrize("order", ["early_muon:4+weight_rescale:4", "weight_rescale:4+early_muon:4"])
def test_on_the_optimizers_side_remedies_act_in_their_order(data, order):
    """Rescaled last, a weight has the size of the default; first, the orthogonal update still comes on top."""
    size = train(dense(), data, f"position_signs:4+{order}", 4)[3].weight.square().mean().sqrt().item()
    assert (size == pytest.approx((3 * 16) ** -0.5, rel=1e-9)) == order.endswith("weight_rescale:4")


@pytest.mark.parametrize("size", [1e-25, 1e-30, 1e25])
def test_orthogonalized_whatever_the_size(size, generator):
    """The squares of these are no numbers of float32."""
    update = torch.randn(5, 8, generator=generator(1))
    assert torch.allclose(orthogonalized(update * size) / size, orthogonalized(update), rtol=1e-4, atol=1e-6)
