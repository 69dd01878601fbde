"""``revive_units``: dead units get a positive bias, whatever cuts them off; nothing else is touched."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam

import zeroinit
from zeroinit.remedies import RemedyWarning, ReviveUnits, make_remedy
from zeroinit.remedies.revive_units import FEW, PATIENCE
from zeroinit.remedies.units import units_of
from zeroinit.remedies.weight_rescale import WeightRescale
from zeroinit.remedies.weight_sizes import default_size

BIASES = torch.tensor([-0.3, 0.2, -0.1, 0.4, -0.2, 0.3, 0.1, -0.4])
DATA = torch.Generator().manual_seed(1)
IMAGES, LABELS = torch.rand(24, 1, 8, 8, generator=DATA), torch.randint(4, (24,), generator=DATA)


class Functional(nn.Module):
    """No activation is a module."""

    def __init__(self, act):
        super().__init__()
        self.first, self.second, self.head, self.act = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 4), act

    def forward(self, images):
        return self.head(self.act(self.second(self.act(self.first(images.flatten(1))))))


def dense(act=F.relu) -> Functional:
    """Weights zero, four of eight biases of each hidden layer negative."""
    model = Functional(act)
    with torch.no_grad():
        for layer in (model.first, model.second, model.head):
            layer.weight.zero_()
            layer.bias.copy_(BIASES[: len(layer.bias)])
    return model


def convolutional(act) -> nn.Module:
    layers = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), act(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), act()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))


class Encoder(nn.Module):
    """Attention in separate projections, as in transformers: the keys' bias has no gradient but rounding."""

    def __init__(self, act):
        super().__init__()
        self.inlet, self.head = nn.Linear(8, 8), nn.Linear(8, 4)
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.block = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), act(), nn.Linear(16, 8))

    def forward(self, images):
        tokens = self.inlet(images[:, 0])
        shares = (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(-1)
        mixed = tokens + shares @ self.value(tokens)
        return self.head((mixed + self.block(mixed)).mean(1))


def train(model, num, optimizer=None, labels=LABELS):
    optimizer = optimizer or Adam(model.parameters(), lr=1e-3)
    for _ in range(num):
        optimizer.zero_grad()
        F.cross_entropy(model(IMAGES), labels).backward()
        optimizer.step()


def is_still(model) -> list[int]:
    return [int((~units.have_moved()).sum()) for units in units_of(model)]


def test_dead_units_get_the_absolute_value_and_move():
    model = dense()
    with ReviveUnits(model, 10) as remedy:
        train(model, 10)
    assert remedy.revived == {"first.bias": 4, "second.bias": 4}
    assert is_still(model) == [0, 0, 0]
    for layer in (model.first, model.second):
        assert (layer.bias - BIASES.abs()).abs().max() < 0.02
    assert model.head.bias[0] < 0  # it has a gradient


def test_without_it_they_stay_for_ever():
    model = dense()
    train(model, 200)
    assert is_still(model) == [4, 4, 0]
    assert torch.equal(model.first.bias[BIASES < 0], BIASES[BIASES < 0])


@pytest.mark.parametrize("act", [F.elu, F.gelu, torch.tanh, F.silu, F.softplus, F.leaky_relu, torch.sigmoid])
def test_other_activations_are_let_be(act):
    kept, other = dense(act), dense(act)
    with ReviveUnits(kept, 12) as remedy:
        train(kept, 15)
    train(other, 15)
    assert remedy.revived == {}
    assert all(torch.equal(*pair) for pair in zip(kept.parameters(), other.parameters(), strict=True))


SMOOTH = {"ELU": nn.ELU, "GELU": nn.GELU, "tanh": nn.Tanh}


@pytest.mark.parametrize("build", [convolutional, Encoder, lambda act: Functional(act())])
@pytest.mark.parametrize("act", SMOOTH.values(), ids=SMOOTH)
def test_a_zero_start_of_a_smooth_network_is_the_same_bit_by_bit(build, act):
    ends = []
    for is_whole in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build(act)
        start = zeroinit.zero_start_(model, generator=torch.Generator().manual_seed(3))
        if not is_whole:
            start._parts = tuple(part for part in start.parts if not isinstance(part, ReviveUnits))
        with start:
            train(model, 20)
        ends.append([value.tolist() for value in model.state_dict().values()] + [start.steps])
        assert start.revived == {}
    assert ends[0] == ends[1]


def test_the_shift_of_a_norm_counts():
    """Where γ b + β is negative both become positive; a norm's channel without a bias has β alone."""
    model = convolutional(nn.ReLU)
    model[3] = nn.Conv2d(8, 8, 3, bias=False)
    start = zeroinit.zero_start_(model, generator=torch.Generator().manual_seed(2))
    sums = (model[0].bias + model[1].bias).detach()
    before = {name: value.clone() for name, value in model.named_parameters()}
    with start:
        train(model, start.steps)
    dead = sums < 0
    assert start.revived["0.bias"] == int((dead & (before["0.bias"] < 0)).sum())
    assert start.revived["1.bias"] == int((dead & (before["1.bias"] < 0)).sum())
    assert start.revived["4.bias"] == int((before["4.bias"] < 0).sum())
    assert is_still(model) == [0, 0, 0]


def test_a_layer_that_is_dead_as_a_whole_is_revived_before_weights_are_drawn():
    model = dense()
    model.second.bias.data.copy_(-BIASES.abs())
    with make_remedy("revive_units+draw_stuck", model, 12) as remedy:
        train(model, 12)
    revive, draw = remedy.parts
    assert revive.revived == {"first.bias": 4, "second.bias": 8}
    assert draw.drawn == []
    assert is_still(model) == [0, 0, 0]


def test_a_rectifier_at_the_output_is_seen_although_nothing_has_a_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 1), nn.ReLU())
    with torch.no_grad():
        for layer in (model[1], model[3]):
            layer.weight.zero_()
            layer.bias.copy_(BIASES[: len(layer.bias)])
    optimizer = Adam(model.parameters(), lr=1e-3)
    with ReviveUnits(model, 10) as remedy:
        for _ in range(10):
            optimizer.zero_grad()
            F.mse_loss(model(IMAGES).flatten(), IMAGES.mean((1, 2, 3))).backward()
            optimizer.step()
    assert remedy.revived["3.bias"] == 1
    assert is_still(model) == [0, 0]


def test_gradients_on_their_way_are_no_dead_units():
    """A phase that is shorter than the chain leaves a smooth network alone; a learning rate of zero too."""
    layers = [each for _ in range(9) for each in (nn.Linear(64, 64), nn.Tanh())]
    for rate in (1e-3, 0.0):
        model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 4))
        zeroinit.initialize_(model, "normal_bias", scale=0.1, generator=torch.Generator().manual_seed(0))
        with ReviveUnits(model, 4) as remedy:
            train(model, 4, Adam(model.parameters(), lr=rate))
        assert remedy.revived == {}


REMEDY = "affine_norms+position_signs+weight_orthogonal+revive_units"


def nine_layers(activation: str) -> nn.Module:
    """Return a network in which float32 loses gradients before they reach the first of nine layers."""
    model = zeroinit.bench.build_model("cifar_cnn_quarter", (1, 8, 8), activation=activation)
    zeroinit.initialize_(model, "normal_bias", scale=0.1, norm_aware=True, generator=torch.Generator().manual_seed(0))
    return model


def test_gradients_that_get_lost_are_waited_for():
    """They come once weights are orthogonal; only then the first layer's units can be judged."""
    model = nine_layers("relu")
    num = int((model.conv_1.bias < 0).sum())
    optimizer = Adam(model.parameters(), lr=1e-3)
    with make_remedy(REMEDY, model, 20) as remedy:
        revive = remedy.parts[-1]
        train(model, 20, optimizer)
        assert "conv_1.bias" not in revive.revived
        assert [part.remaining for part in remedy.parts] == [0, 0, 0, PATIENCE]
        train(model, PATIENCE, optimizer)
    assert (revive.revived["conv_1.bias"], revive.remaining) == (num, 0)
    train(model, 4, optimizer)
    assert is_still(model)[0] == 0


@pytest.mark.parametrize("helps", [True, False])
def test_gradients_that_get_lost_half_way_are_helped(helps):
    model = nine_layers("elu")
    remedy = make_remedy(REMEDY, model, 20)
    rescale = remedy.parts[2]
    assert isinstance(rescale, WeightRescale)
    rescale.helps_halfway = helps
    optimizer = Adam(model.parameters(), lr=3e-4)
    with remedy:
        train(model, 19, optimizer)
        assert (rescale.has_helped, bool(model.conv_1.weight.any())) == (helps, helps)
        train(model, 1 + PATIENCE, optimizer)
    last = model.dense_3.weight.detach()
    assert float(last.square().mean().sqrt()) == pytest.approx(default_size(last), rel=0.1)


def test_the_phase_goes_on_until_revived_units_have_moved():
    lengths = []
    for act in (F.tanh, F.relu):
        model = dense(act)
        with make_remedy("position_signs+revive_units+until_moved", model, 40) as remedy:
            train(model, 20)
        lengths.append(remedy.steps)
    assert lengths == [10, 14]


def by_hand(model):
    for _ in range(10):
        model.zero_grad()
        F.cross_entropy(model(IMAGES), LABELS).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.1 * parameter.grad)


def in_backward(model):
    optimizers = {each: Adam([each]) for each in model.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    handles = [each.register_post_accumulate_grad_hook(step) for each in optimizers]
    for _ in range(10):
        F.cross_entropy(model(IMAGES), LABELS).backward()
    for handle in handles:
        handle.remove()


def decayed(model):
    train(model, 10, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.5))


def two(model):
    optimizers = [SGD([model.first.weight, model.head.weight, model.second.bias], lr=0.5)]
    optimizers.append(SGD([model.first.bias, model.head.bias, model.second.weight], lr=0.5))
    for _ in range(10):
        model.zero_grad()
        F.cross_entropy(model(IMAGES), LABELS).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("loop", [by_hand, in_backward, decayed, two])
def test_in_other_loops(loop):
    model = dense()
    with ReviveUnits(model, 9) as remedy:
        loop(model)
    assert remedy.revived == {"first.bias": 4, "second.bias": 4}


def test_a_copy_is_not_helped():
    model = dense()
    with ReviveUnits(model, 10) as remedy:
        train(model, 1)
        duplicate = copy.deepcopy(model)
    train(duplicate, 10)
    assert remedy.revived == {}
    assert is_still(duplicate) == [4, 4, 0]
    assert is_still(model) == [8, 8, 0]


def test_frozen_and_other_biases_are_let_be():
    model = dense()
    model.first.bias.requires_grad_(False)
    remedy = ReviveUnits(model, 10)
    remedy.only = {model.first.bias}
    with pytest.warns(RemedyWarning, match=r"4 of 8 of 'first.weight', 4 of 8 of 'second.weight' have no"), remedy:
        train(model, 10)
    assert remedy.revived == {}
    assert torch.equal(model.first.bias, BIASES)


@pytest.mark.parametrize(("num", "is_told"), [(1, False), (2, False), (3, True)])
def test_layers_with_more_than_a_tenth_of_still_units_are_named(num, is_told):
    """Outputs on which the loss does not depend: their units cannot move."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20))
    nn.init.zeros_(model[1].weight)
    nn.init.ones_(model[1].bias)
    remedy = ReviveUnits(model, 3)
    optimizer = SGD(model.parameters(), lr=0.1)

    def loop():
        with remedy:
            for _ in range(3):
                optimizer.zero_grad()
                model(IMAGES)[:, num:].square().sum().backward()
                optimizer.step()

    if is_told:
        told = rf"^units do not move in the first 3 updates: {num} of 20 of '1.weight' have .*include='1'\)$"
        with pytest.warns(RemedyWarning, match=told):
            loop()
    else:
        loop()
    assert remedy.unmoved == {"1.weight": (num, 20)}
    assert FEW == 0.1


class Difference(nn.Module):
    """The bias is differentiated away, though its layer learns; so is the keys' bias in attention."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(64, 8), nn.Linear(8, 4)

    def forward(self, images):
        flat = images.flatten(1)
        return self.head(self.layer(flat) - self.layer(flat.flip(0)))


def test_a_bias_without_a_gradient_is_let_be_where_its_unit_moves():
    model = Difference()
    with torch.no_grad():
        model.layer.weight.zero_()
        model.layer.bias.copy_(BIASES)
    with ReviveUnits(model, 10) as remedy:
        train(model, 10, SGD(model.parameters(), lr=0.1))
    assert (remedy.revived, is_still(model)) == ({}, [0, 0])
    assert float(model.layer.bias.grad.abs().max()) < 1e-6


def test_complex_and_flat_parameters_are_no_obstacle():
    model = nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64), nn.Linear(3, 2, dtype=torch.complex64))
    nn.init.zeros_(model[0].weight)
    flat = nn.ModuleDict({"flat": nn.Linear(2, 2), "whole": model})
    flat["flat"].weight = nn.Parameter(torch.zeros(4))
    assert [units.name for units in units_of(flat)] == ["whole.0.weight", "whole.1.weight"]
    optimizer = SGD(model.parameters(), lr=0.1)
    with ReviveUnits(model, 4) as remedy:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.ones(2, 4, dtype=torch.complex64)).abs().sum().backward()
            optimizer.step()
    assert remedy.revived == {}


def test_transposed_and_grouped_layers_have_their_units_counted():
    model = nn.ModuleDict({"up": nn.ConvTranspose2d(4, 6, 2, groups=2), "down": nn.Conv2d(4, 6, 2, groups=2)})
    for layer in model.values():
        nn.init.zeros_(layer.weight)
    model["up"].weight.data[2:, 1] = 1.0  # the second unit of the second group
    model["down"].weight.data[4] = 1.0
    expected = [False, False, False, False, True, False]
    assert [units.have_moved().tolist() for units in units_of(model)] == [expected, expected]


def test_a_pass_at_weights_that_were_moved_by_hand_is_no_update():
    """Sharpness-aware minimization (https://github.com/davda54/sam): two passes, one update."""
    model = dense(F.elu)
    optimizer = SGD(model.parameters(), lr=0.1)
    seen = []
    with make_remedy("unit_signs", model, 5) as remedy:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(IMAGES), LABELS).backward()
            moved = [(each, 0.05 * each.grad) for each in model.parameters()]
            with torch.no_grad():
                for each, by in moved:
                    each.add_(by)
            optimizer.zero_grad()
            F.cross_entropy(model(IMAGES), LABELS).backward()
            with torch.no_grad():
                for each, by in moved:
                    each.sub_(by)
            optimizer.step()
            seen.append(remedy.remaining)
    assert seen == [4, 3, 2]
