"""The list of checks and the verdict agree with the findings: none says ok where a finding says the opposite."""

import pytest
import torch
from torch import nn

from zeroinit._common import counted
from zeroinit.symmetry import inspect
from zeroinit.symmetry.verdict.report.formats import to_text
from zeroinit.symmetry.verdict.report.parts import Finding
from zeroinit.symmetry.verdict.report.report import SymmetryReport

from ..zoo import VECTORS, drawn, mlp

pytestmark = pytest.mark.usefixtures("without_type_checks")


def failed(report: SymmetryReport) -> set[str]:
    return {each.name for each in report.checks if not each.passed}


class Chosen(nn.Module):
    """Sums the outputs of the examples that are chosen."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x, chosen):
        return self.net(x)[chosen].sum()


def test_a_verdict_never_says_will_learn_where_nothing_gets_a_gradient():
    torch.manual_seed(0)
    model, x = Chosen(), drawn(8, 6)
    none, some = torch.zeros(8, dtype=torch.bool), torch.arange(8) < 4
    report = inspect(model, (x, none))
    assert report.verdict.startswith("Will not learn as it is: no example of this batch is left for the sum")
    assert {"gradients", "precision"} <= failed(report)
    assert inspect(model, (x, some)).verdict == "Will learn: all 4 parameters get a gradient by step 1."


def test_a_loss_that_is_never_finite_fails_its_checks():
    report = inspect(mlp(), VECTORS, loss_fn=lambda output: (-output.square() - 1).sqrt().mean())
    assert {"gradients", "numbers", "loss", "precision"} <= failed(report)
    assert "-- loss: never finite in 1 step" in str(report)
    assert "; 0 of 6 parameters learn" in str(report)
    assert failed(inspect(mlp(), VECTORS)) == set()


def test_a_loss_that_is_not_finite_may_have_gradients_that_are():
    """The slope of a logarithm is finite below zero, where the logarithm is not."""
    report = inspect(mlp(), VECTORS, loss_fn=lambda output: (-output.square() - 1).log().mean())
    assert failed(report) == {"numbers", "loss", "precision"}
    assert report.verdict.startswith("Gradients arrive, but the loss is NaN from the first step on: the log")
    assert "-- loss: never finite in 4 steps" in str(report)
    assert "; 6 of 6 parameters learn" in str(report)


def test_units_that_are_off_are_dead():
    model = mlp(nn.ReLU, widths=(16, 16))
    nn.init.constant_(model[0].bias, -100.0)
    report = inspect(model, VECTORS)
    assert {"gradients", "dead units"} <= failed(report)
    assert next(each.result for each in report.checks if each.name == "dead units").startswith("16 of ")


def test_what_else_a_cause_leads_to_is_printed():
    one = Finding("ZI001", "warning", "a", ("a.w",), "3 slices of `a.w` are identical.", "Draw it.", "same")
    two = Finding("ZI012", "warning", "b", ("b.w",), "`b.w` never gets a gradient. It chooses.", "Draw it.", "same")
    report = SymmetryReport("M", "loss", "adam", 4, (1.0, 0.5), (), (), (two, one))
    text = to_text(report, 100)
    assert text.index("ZI001 warning a and 1 more") < text.index("also ZI012 b: `b.w` never gets a gradient.")
    assert "also" not in to_text(SymmetryReport("M", "loss", "adam", 4, (1.0, 0.5), (), (), (one,)), 100)


def test_information_names_how_many_modules_it_is_about():
    each = [
        Finding("ZI104", "info", path, (f"{path}.w",), f"`{path}.w` has no gradient yet.", "", "same") for path in "ab"
    ]
    text = to_text(SymmetryReport("M", "loss", "adam", 4, (1.0, 0.5), (), (), tuple(each)), 100)
    assert "ZI104 info a and 1 more: " in text


def test_one_is_singular():
    assert (counted(1, "step"), counted(0, "step")) == ("1 step", "0 steps")


@pytest.mark.parametrize("held_by_another", [True, False])
def test_only_what_the_optimizer_holds_counts_as_moved(held_by_another):
    torch.manual_seed(0)
    policy, critic = mlp(), nn.Linear(5, 1)
    others = torch.optim.Adam(critic.parameters()) if held_by_another else None
    ours = torch.optim.Adam([*policy.parameters(), *([] if held_by_another else critic.parameters())])
    report = inspect(policy, VECTORS, loss_fn=lambda output: -critic(output).mean(), optimizer=ours)
    assert not report.warnings
    count = 6 if others else 8
    assert f"ok optimizer: moves {count} of {count} parameters" in str(report)


class Prior(nn.Module):
    """Scales that are all the same at the start, beside means that are not."""

    def __init__(self):
        super().__init__()
        self.means, self.scales = nn.Parameter(torch.randn(4, 12)), nn.Parameter(torch.zeros(4, 12))
        self.first, self.head = nn.Linear(12, 12), nn.Linear(12, 5)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        parts = torch.distributions.Normal(self.means, nn.functional.softplus(self.scales))
        return self.head(x), torch.logsumexp(parts.log_prob(self.first(x)[:, None]).sum(-1), 1)


CLASSES = torch.arange(len(VECTORS)) % 5


@pytest.mark.parametrize(
    ("loss_fn", "targets", "of_head"),
    [
        (lambda out, y: nn.functional.cross_entropy(out[0], y) - out[1].mean(), CLASSES, "targets"),
        (lambda out: nn.functional.cross_entropy(out[0], CLASSES) - out[1].mean(), None, "loss"),
    ],
)
def test_targets_break_no_symmetry_where_they_have_no_part(loss_fn, targets, of_head):
    torch.manual_seed(0)
    report = inspect(Prior(), VECTORS, targets, loss_fn=loss_fn)
    sources = {(each.weight, each.unit): each.source for each in report.layers}
    assert sources["scales", "slices of axis 0"] == sources["scales", "slices of axis 1"] == "other layers"
    assert sources["head.weight", "units"] == of_head


def test_a_parameter_alone_differs_by_the_loss():
    alone = nn.Module()
    alone.goal, alone.values = torch.randn(4, 3), nn.Parameter(torch.zeros(4, 3))
    alone.forward = lambda x: alone.values + x.mean()
    report = inspect(alone, VECTORS, loss_fn=lambda output: (output - alone.goal).square().mean())
    assert {each.source for each in report.layers} == {"loss"}
