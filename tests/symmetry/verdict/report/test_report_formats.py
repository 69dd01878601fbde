"""A report as text, dictionary, frame, HTML, SARIF and drawing; the assertion."""

import inspect as source
import json

import matplotlib
import pytest
import torch
from torch import nn

import zeroinit
from zeroinit.symmetry import CODES, assert_symmetry_broken, inspect

from ...zoo import VECTORS, biases_alone, drawn, mlp

matplotlib.use("Agg")


def flawed() -> nn.Sequential:
    model = mlp(nn.Tanh)
    for parameter in model[0].parameters():
        nn.init.constant_(parameter, 0.1)
    nn.init.constant_(model[2].weight, 0.1)
    return model


@pytest.fixture(scope="module")
def report():
    return inspect(flawed(), VECTORS, steps=4)


def test_the_text(report):
    lines = str(report).splitlines()
    assert lines[0] == f"{report.verdict}"[: len(lines[0])]
    assert lines[0].startswith("Learns, but not all of it: all 16 units")
    assert any(
        line.startswith("Sequential: 1 warning; 6 of 6 parameters learn within 4 steps (adam, ") for line in lines
    )
    assert any(line.split() == ["0", "Linear", "step", "1", "16", "1", "nothing"] for line in lines)
    assert any(line.startswith("ZI001 warning 0: All 16 units of `0` are identical") for line in lines)
    assert max(map(len, lines)) <= 100


def test_layers_that_are_alike_share_a_row():
    text = str(inspect(mlp(widths=(16,) * 5, inputs=16), drawn(8, 16)))
    assert "* (5 of them)" in text
    assert "(5 of them)" not in str(inspect(mlp(), VECTORS))


def test_frozen_layers_are_counted_not_listed():
    model = mlp(nn.Tanh, widths=(16,) * 3)
    for layer in (model[0], model[2], model[4]):
        nn.init.normal_(layer.requires_grad_(False).weight)
    lines = str(inspect(model, VECTORS)).splitlines()
    assert lines[0] == "Will learn: all 2 parameters get a gradient by step 1."
    assert lines[1].startswith("Sequential: no warnings; 2 of 2 parameters learn")
    assert [line.split()[0] for line in lines[2:4]] == ["layer", "6"]
    assert lines[4:6] == [
        "  (3 frozen layers not shown)",
        "ZI102 info 0 and 2 more modules: `0.weight` and `0.bias` are frozen: requires_grad is False.",
    ]


def test_findings_that_are_alike_share_a_line():
    model = nn.Sequential(*(nn.Sequential(nn.Linear(12, 12), nn.Tanh()) for _ in range(4)), nn.Linear(12, 5))
    for block in model[:4]:
        nn.init.constant_(block[0].weight, 0.1)
        nn.init.zeros_(block[0].bias)
    nn.init.constant_(model[4].weight, 0.1)
    report = inspect(model, VECTORS)
    assert len(report.warnings) == 4
    shown = [line for line in str(report).splitlines() if line.startswith("ZI001")]
    assert shown == ["ZI001 warning *.0 (4 of them): All 12 units of `*.0` are identical and get identical updates."]
    assert str(inspect(model[2:], VECTORS)).count("\nZI001 ") == 2


def test_long_paths_are_shown_without_what_they_share():
    model = mlp(nn.Tanh)
    for name in ("a_part_of_the_model", "with_a_rather_long_name", "and_another_one_in_it"):
        outer = nn.Sequential()
        outer.add_module(name, model)
        model = outer
    lines = str(inspect(model, VECTORS)).splitlines()
    assert lines[2].startswith("  layer in and_another_one_i…_name.a_part_of_the_model ")
    assert [line.split()[0] for line in lines[3:6]] == ["0", "2", "4"]


def test_the_dictionary_is_ready_for_json(report):
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["findings"][0]["code"] == "ZI001"
    assert [layer["num_distinct_units"] for layer in content["layers"]] == [1, 16, 5]
    assert content["parameters"][0]["first_gradient_step"] == 1


def test_the_frame_has_a_row_for_each_layer(report):
    frame = report.to_frame()
    assert list(frame["path"]) == ["0", "2", "4"]
    assert list(frame["num_distinct_units"]) == [1, 16, 5]
    assert {"duplicate_features", "distinct_in_bfloat16", "effective_rank_weights", "stable_rank_updates_end"} <= set(
        frame.columns
    )


def test_names_are_escaped_in_html():
    model = nn.Module()
    model.add_module("<script>", flawed())
    model.forward = getattr(model, "<script>").forward
    parts = nn.Sequential()
    parts.add_module("<script>", flawed())
    html = inspect(parts, VECTORS).to_html()
    assert "&lt;script&gt;.0" in html
    assert "<script>" not in html
    assert html.count("<tr>") == 4


def test_sarif(report):
    log = json.loads(json.dumps(report.to_sarif()))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == set(CODES)
    assert all(f"`zeroinit explain {rule['id']}`" in rule["help"]["text"] for rule in run["tool"]["driver"]["rules"])
    assert (run["results"][0]["ruleId"], run["results"][0]["level"]) == ("ZI001", "warning")
    assert run["results"][0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "0"
    assert all("physicalLocation" in each["locations"][0] for each in run["results"])  # code hosts refuse others


class Forgetful(nn.Module):
    """One part takes no part."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, x):
        return self.used(x)


def test_sarif_points_to_the_class_that_holds_a_module():
    report = inspect(nn.Sequential(Forgetful()), VECTORS)
    (place,) = report.to_sarif()["runs"][0]["results"][0]["locations"]
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "0.unused"
    line = source.getsourcelines(Forgetful)[1]
    assert place["physicalLocation"]["region"] == {"startLine": line}
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("test_report_formats.py")
    assert "homes" not in report.to_dict()


def test_the_wake_up_chart():
    report = inspect(biases_alone(), VECTORS)
    axes = report.plot()
    shown = axes.images[0].get_array()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.weight", "2.weight", "4.weight", "6.weight"]
    blank = torch.tensor(shown.filled(float("nan"))).isnan().sum(dim=1).tolist()
    assert blank == [3, 2, 1, 0]
    matplotlib.pyplot.close(axes.figure)


def test_codes_are_stable_and_differ():
    assert all(code.startswith("ZI") and len(code) == 5 for code in CODES)
    assert {entry.severity for entry in CODES.values()} == {"warning", "info"}
    assert len({entry.title for entry in CODES.values()}) == len(CODES)


def test_the_assertion():
    assert_symmetry_broken(mlp(), VECTORS)
    with pytest.raises(AssertionError, match=r"Sequential: 1 warning\n  ZI001 warning 0: All 16 units"):
        assert_symmetry_broken(flawed(), VECTORS)


def test_ranks_by_step():
    """With zero weights each layer is of rank one after its first update; gradients of outputs come at step 1."""
    model = mlp(nn.ELU)
    zeroinit.initialize_(model, "normal_bias", generator=torch.Generator().manual_seed(0))
    report = inspect(model, VECTORS, steps=4)
    first = report.layer("0").diversity_by_step
    assert first["effective_rank_weights"][:3] == (0, 0, 0)
    assert first["stable_rank_weights"][3] == pytest.approx(1, abs=0.1)
    assert first["effective_rank_gradients"][:2] == (0, 0)
    series = report.to_series()
    assert list(series[series["path"] == "0"]["step"]) == [1, 2, 3, 4]
    assert set(first) < set(series.columns)
    usual = inspect(mlp(nn.ELU), VECTORS, steps=4).layer("0").diversity_by_step
    assert min(usual["effective_rank_weights"]) > 5


def test_ranks_by_step_where_the_loss_is_lost():
    """A shadow that diverges has fewer steps with ranks than losses."""
    report = inspect(mlp(), VECTORS, optimizer="sgd", learning_rate=1e30, steps=6)
    assert "ZI013" in {finding.code for finding in report.findings}
    assert len(report.to_series()) > 0
