"""A report in a notebook: whole HTML, escaped names, and a chart that says when weights wake up."""

from xml.etree import ElementTree

import pytest
from torch import nn

from zeroinit.symmetry import inspect
from zeroinit.symmetry.verdict.report.notebook import MOST_STEPS, ROW

from ...zoo import VECTORS, biases_alone, drawn, mlp

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def report():
    return inspect(biases_alone(), VECTORS)


def flawed() -> nn.Sequential:
    model = mlp(nn.Tanh)
    for parameter in (*model[0].parameters(), model[2].weight):
        nn.init.constant_(parameter, 0.1)
    return model


def test_the_repr_is_one_line_with_the_verdict(report):
    assert repr(report) == f"SymmetryReport(Sequential, warnings=0, {report.verdict!r})"
    broken = inspect(flawed(), VECTORS, steps=4)
    assert repr(broken).startswith("SymmetryReport(Sequential, warnings=1, 'Learns, but not all of it: all 16 units")
    assert len(repr(broken)) < 140
    assert repr(broken.layers[0]) == "LayerReport('0', Linear, 16 units, 1 distinct, first gradient at step 1)"
    assert "\n" not in repr(broken)


def test_the_chart_has_a_filled_cell_for_each_gradient(report):
    """Four weights; with random biases alone the gradient comes down one layer an update."""
    chart = ElementTree.fromstring(report._repr_html_()).find(f"{SVG}svg")
    rows = chart.findall(f"{SVG}g")
    titles = [row.find(f"{SVG}title").text for row in rows]
    assert titles == [f"{2 * at}.weight: first gradient at update {4 - at}" for at in range(4)]
    for row, weight in zip(rows, [each for each in report.parameters if len(each.shape) > 1], strict=True):
        filled = [cell.get("fill") != "none" for cell in row.findall(f"{SVG}rect")]
        assert filled == [size > 0 for size in weight.gradients]
        assert filled.index(True) + 1 == weight.first_gradient_step
    assert float(chart.get("height")) >= ROW * len(rows)


def test_larger_gradients_are_darker(report):
    chart = ElementTree.fromstring(report._repr_html_()).find(f"{SVG}svg")
    (row,) = [row for row in chart.findall(f"{SVG}g") if row.find(f"{SVG}title").text.startswith("0.weight")]
    (weight,) = [each for each in report.parameters if each.name == "0.weight"]
    depths = [float(cell.get("fill-opacity")) for cell in row.findall(f"{SVG}rect")]
    order = sorted(range(len(depths)), key=lambda at: weight.gradients[at])
    assert [depths[at] for at in order] == sorted(depths)
    assert depths[0] == 0 < max(depths) <= 1


def test_each_cause_comes_with_its_repair():
    html = inspect(flawed(), VECTORS, steps=4)._repr_html_()
    (entry,) = ElementTree.fromstring(html).find("ul").findall("li")
    text = "".join(entry.itertext())
    assert text.startswith("ZI001 0: All 16 units of `0` are identical")
    assert "→ Start the layer at random: `nn.init.kaiming_uniform_(model[0].weight" in text
    assert ElementTree.fromstring(inspect(mlp(), VECTORS)._repr_html_()).find("ul") is None


def test_names_are_escaped():
    parts = nn.Sequential()
    parts.add_module("<script>", flawed())
    html = inspect(parts, VECTORS)._repr_html_()
    assert "<script" not in html
    texts = "".join(ElementTree.fromstring(html).itertext())
    assert "<script>.0.weight: first gradient at update 1" in texts


def test_many_steps_do_not_make_it_wide():
    report = inspect(mlp(widths=(4,)), drawn(8, 12), steps=MOST_STEPS + 6)
    chart = ElementTree.fromstring(report._repr_html_()).find(f"{SVG}svg")
    assert {len(row.findall(f"{SVG}rect")) for row in chart.findall(f"{SVG}g")} == {MOST_STEPS}
