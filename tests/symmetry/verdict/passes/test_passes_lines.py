"""Findings point to the line of the user's code that is to blame, and to none where it cannot be known."""

import inspect as source
import json
import linecache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeroinit.symmetry import inspect

INPUTS = torch.randn(8, 4)


class Cut(nn.Module):
    """Two layers, the first of which gets no gradient."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.act = nn.Linear(4, 6), nn.Linear(6, 3), nn.Softmax(dim=-1)


class Detached(Cut):
    def forward(self, x):
        same = self.second.weight.detach().sum() * 0
        hidden = self.first(x).detach()  # the cut
        return self.second(hidden) + same


class Quiet(Cut):
    def forward(self, x):
        with torch.no_grad():  # the cut
            hidden = self.first(x)
        return self.second(hidden)


class Outside(Cut):
    def forward(self, x):
        hidden = self.first(x)
        hidden = torch.from_numpy(hidden.detach().numpy())  # the cut
        return self.second(hidden)


class InAHelper(Cut):
    def hidden(self, x):
        return (self.first(x) > 0).float()  # the cut

    def forward(self, x):
        return self.second(self.hidden(x))


class OverOneValue(Cut):
    def forward(self, x):
        hidden = self.first(x)[:, None]
        scale = self.act(hidden.mean(-1))  # the cut
        return self.second(torch.ones(6) * scale)


def line_of(kind):
    text, first = source.getsourcelines(kind)
    return source.getsourcefile(kind), first + next(at for at, line in enumerate(text) if line.endswith("# the cut\n"))


@pytest.mark.parametrize("kind", [Detached, Quiet, Outside, InAHelper, OverOneValue])
def test_the_line_that_cuts_a_gradient_off(kind):
    (warning,) = inspect(kind(), INPUTS).warnings
    assert warning.lines == (line_of(kind),)


def test_the_line_of_a_loss():
    def loss(output, targets):
        shares = output.relu()
        return F.mse_loss(shares / 0.0, targets)  # the cut

    (warning,) = inspect(nn.Linear(4, 3), INPUTS, torch.zeros(8, 3), loss_fn=loss).warnings
    assert warning.code == "ZI013"
    assert warning.lines == (line_of(loss),)


def test_every_line_is_named_where_each_has_to_change():
    class Twice(Cut):
        def forward(self, x):
            left = self.first(x).detach()
            return self.second(left.detach())

    (warning,) = inspect(Twice(), INPUTS).warnings
    first, second = (number for _, number in warning.lines)
    assert (second - first, warning.suggestion[:40]) == (1, "Remove `detach()` in `Twice.forward`. If")


def test_a_report_shows_the_line_below_the_reason():
    lines = str(inspect(Detached(), INPUTS)).splitlines()
    shown = next(at for at, line in enumerate(lines) if line.startswith("    at "))
    name, number = line_of(Detached)
    place, _, text = lines[shown].removeprefix("    at ").partition(f":{number}: ")
    assert name.endswith(place)
    assert text.startswith("hidden = self.first(x).detach()")
    assert next(each for each in lines[shown + 1 :] if not each.startswith("       ")).startswith("    -> Remove")


def test_sarif_has_a_region_for_a_line():
    (result,) = inspect(Detached(), INPUTS).to_sarif()["runs"][0]["results"]
    place = result["locations"][0]
    assert place["physicalLocation"]["region"] == {"startLine": line_of(Detached)[1]}
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("test_passes_lines.py")
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "first"


def test_plain_data_holds_the_line():
    report = json.loads(json.dumps(inspect(Detached(), INPUTS).to_dict()))
    assert report["findings"][0]["lines"] == [list(line_of(Detached))]


def test_no_line_where_only_torch_is_called():
    (warning,) = inspect(nn.Sequential(nn.Linear(4, 1), nn.Softmax(dim=1)), INPUTS, torch.ones(8, 1)).warnings
    assert warning.lines == ()


TYPED = """
class Typed(Cut):
    def forward(self, x):
        return self.second(self.first(x).detach())
"""


def test_no_line_for_text_that_nobody_can_read():
    known = {"Cut": Cut}
    exec(compile(TYPED, "<typed>", "exec"), known)
    (warning,) = inspect(known["Typed"](), INPUTS).warnings
    assert warning.lines == ()
    assert "    at " not in str(inspect(known["Typed"](), INPUTS))


def test_a_cell_is_shown_by_its_number(monkeypatch):
    known, name = {"Cut": Cut}, "/nowhere/cell_7.py"
    monkeypatch.setitem(linecache.cache, name, (len(TYPED), None, TYPED.splitlines(keepends=True), name))
    exec(compile(TYPED, name, "exec"), known)
    report = str(inspect(known["Typed"](), INPUTS))
    assert "    at line 4: return self.second(self.first(x).detach())" in report
