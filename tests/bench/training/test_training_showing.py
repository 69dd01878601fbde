"""A ``History`` in one line, as a table and as a drawing."""

from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib import pyplot as plt

from zeroinit.bench.training import History

matplotlib.use("Agg")


@pytest.fixture
def history() -> History:
    return History(
        train_loss=[2.0, 1.0, 1.5], test_loss=[2.0, 0.5, 0.75], test_accuracy=[0.5, 0.975, 0.9], num_steps=1234
    )


def test_the_repr_is_one_line(history):
    assert repr(history) == "History(3 epochs, 1,234 updates, completed, test accuracy 90.0 %)"
    assert repr(History(train_loss=[0.25])) == "History(1 epoch, 0 updates, completed, train loss 0.25)"
    assert repr(History()) == "History(0 epochs, 0 updates, completed)"
    lost = History(train_loss=[float("nan")], outcome="diverged", num_steps=7, diverged_at_step=3)
    assert repr(lost) == "History(1 epoch, 7 updates, diverged at update 3, train loss nan)"


def test_the_table_has_first_best_and_last(history):
    rows = ElementTree.fromstring(history._repr_html_()).find("table").find("tbody").findall("tr")
    assert [[cell.text for cell in row] for row in rows] == [
        ["train loss", "2", "1", "1.5"],
        ["test loss", "2", "0.5", "0.75"],
        ["test accuracy", "50.0 %", "97.5 %", "90.0 %"],
    ]


def test_the_drawing_has_accuracies_in_percent(history):
    axes = history.plot()
    (line,) = axes.lines
    assert line.get_label() == "test accuracy"
    assert line.get_xydata().tolist() == [[1, 50], [2, 97.5], [3, 90]]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("accuracy (%)", "epoch")
    plt.close(axes.figure)


def test_without_accuracies_losses_are_drawn_into_the_axes_given():
    axes = plt.figure().subplots()
    assert History(train_loss=[2.0, 1.0]).plot(axes) is axes
    assert [line.get_label() for line in axes.lines] == ["train loss"]
    assert axes.get_ylabel() == "loss"
    assert not History().plot(plt.figure().subplots()).lines
    plt.close("all")
