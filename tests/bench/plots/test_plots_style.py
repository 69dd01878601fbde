"""One look: fixed colors, files that do not change without a reason."""

import os
import re
import warnings
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from zeroinit._common import InputError
from zeroinit.bench.labels import ALL_ZERO, BASELINE, NORMAL, PYTORCH, UNIFORM, ZERO_START
from zeroinit.bench.plots import (
    INK,
    STYLE,
    boxes_for_missing_glyphs,
    chart_data,
    color_of,
    dark_rules,
    is_named,
    new_figure,
    new_panels,
    save_figure,
)
from zeroinit.bench.plots.style import _COLORS, _DARK, OTHERS, SOFT

STARTS = (BASELINE, PYTORCH, NORMAL, UNIFORM, ZERO_START)

# Machado, Oliveira and Fernandes (2009): what each kind of dichromat sees, severity 1, on linear RGB.
DICHROMATS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(color: str) -> np.ndarray:
    values = np.array(to_rgb(color))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab of linear sRGB, where Euclidean distance is what the eye calls different."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_known_starts_keep_their_color_whatever_is_drawn():
    for label in (*STARTS, ALL_ZERO):
        colors = {color_of(label, labels) for labels in ([label], ["mine", label], [*STARTS, ALL_ZERO, "mine"])}
        assert len(colors) == 1
        assert color_of(f"MNIST FNN: {label}", []) in colors
        assert is_named(label)
    assert not is_named("mine")


def test_other_colors_go_by_place_and_avoid_those_that_are_taken():
    assert color_of("mine", ["mine", "yours"]) == _COLORS[0]
    assert color_of("yours", [*STARTS, "mine", "yours"]) == _COLORS[1]
    taken = {color_of(label, []) for label in STARTS}
    others = [f"Curve {number}" for number in range(5)]
    assert not taken & {color_of(label, [*STARTS, *others]) for label in others}


def test_one_figures_colors_are_distinct_or_gray():
    labels = [*STARTS, *(f"Curve {number}" for number in range(5))]
    assert len({color_of(label, labels) for label in labels}) == len(labels)
    many = [*labels, "one too many"]
    assert {color_of(label, many) for label in many if label not in STARTS} == {OTHERS}
    assert len({color_of(label, many) for label in STARTS}) == len(STARTS)


@pytest.mark.parametrize("page", ["light", "dark"])
def test_the_starts_can_be_told_apart_by_everyone(page):
    colors = [color_of(label, []) for label in STARTS]
    if page == "dark":
        colors = [_DARK[color] for color in colors]
    for name, matrix in {"all": np.eye(3), **{name: np.array(values) for name, values in DICHROMATS.items()}}.items():
        for first, second in combinations(colors, 2):
            distance = np.linalg.norm(lab(matrix @ linear(first)) - lab(matrix @ linear(second)))
            assert distance > 10, (name, first, second)


@pytest.mark.parametrize("is_dark", [False, True])
def test_every_color_stands_out_from_its_page(is_dark):
    """By the contrast that WCAG 2 asks of graphics, 3; gray text has the 4.5 of words."""
    page = _DARK["#ffffff"] if is_dark else "#ffffff"
    for color in {color_of(label, []) for label in STARTS} | {OTHERS}:
        assert contrast(_DARK[color] if is_dark else color, page) > 3, color
    for color in (INK, SOFT):
        assert contrast(_DARK[color] if is_dark else color, page) > 4.5, color


def contrast(first: str, second: str) -> float:
    light, dark = sorted(0.05 + np.dot(linear(each), [0.2126, 0.7152, 0.0722]) for each in (first, second))[::-1]
    return light / dark


def test_colors_that_cannot_be_told_apart_fail_the_test_above():
    red, green = (np.array(DICHROMATS["deutan"]) @ linear(color) for color in ("#a05a2c", "#6b7000"))
    assert np.linalg.norm(lab(red) - lab(green)) < 10


def test_a_label_that_is_not_drawn():
    with pytest.raises(ValueError, match="'Zero' is not in list"):
        color_of("Zero", ["Normal"])


def test_an_svg_has_a_dark_form_of_every_color_that_has_one(tmp_path):
    figure, axes = new_figure(title="Title")
    axes.plot([1, 2], [0.1, 0.9], color=color_of(NORMAL, []))
    svg, _ = save_figure(figure, tmp_path, "fig3")
    style = re.search(r"<style>@media \(prefers-color-scheme: dark\)\{(.*?)\}</style>", svg.read_text())[1]
    assert style == dark_rules()
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg.read_text().replace(style, "")))
    assert used - {light.lower() for light in _DARK} == set()
    assert '[style*="stroke: #d55e00"]{stroke:#f08a4b!important}' in style


def test_figures_have_the_style_and_leave_the_users_alone():
    before = dict(mpl.rcParams)
    figure, axes = new_figure(5.0, 3.0)
    assert tuple(figure.get_size_inches()) == (5, 3)
    assert not axes.spines["top"].get_visible()
    assert not axes.spines["right"].get_visible()
    assert dict(mpl.rcParams) == before


def test_panels_share_the_width_by_their_ratios():
    figure, (left, right) = new_panels([3, 1], width=8.0)
    figure.draw_without_rendering()
    assert left.get_position().width > 2 * right.get_position().width
    assert len(new_panels([1.0])[1]) == 1


def test_the_style_is_a_file_of_the_package():
    assert STYLE.endswith("zeroinit/bench/plots/zeroinit.mplstyle")
    style = mpl.rc_params_from_file(STYLE, use_default_template=False)
    assert style["svg.fonttype"] == "path"
    assert style["svg.hashsalt"] == "zeroinit"


def test_both_files_are_written_and_equal_figures_give_equal_files(tmp_path):
    contents = []
    for folder in ("first", "second"):
        figure, axes = new_figure()
        axes.plot([1, 2], [0.1, 0.9])
        paths = save_figure(figure, tmp_path / folder / "figures", "fig3")
        assert paths == (tmp_path / folder / "figures" / "fig3.svg", tmp_path / folder / "figures" / "fig3.png")
        contents.append([path.read_bytes() for path in paths])
    svg, png = contents[0]
    assert svg.startswith(b"<?xml")
    assert png.startswith(b"\x89PNG")
    assert contents[0] == contents[1]
    axes.plot([1, 2], [0.2, 0.8])
    changed = [path.read_bytes() for path in save_figure(figure, tmp_path, "fig3")]
    assert all(new != old for new, old in zip(changed, contents[0], strict=True))


@pytest.mark.filterwarnings("error")
def test_characters_that_the_font_lacks_give_no_warning(tmp_path):
    figure, axes = new_figure(title="初期化")
    axes.plot([1, 2], [0.2, 0.8], label="開始")
    chart_data(figure)
    save_figure(figure, tmp_path, "fig3")
    with pytest.warns(UserWarning, match="Glyph"):  # a user's own drawing warns as before
        figure.savefig(tmp_path / "own.png")
    with pytest.warns(UserWarning, match="of another kind"), boxes_for_missing_glyphs():
        warnings.warn("of another kind", UserWarning, stacklevel=1)


def test_no_window_is_opened():
    from matplotlib import pyplot as plt

    new_figure()
    new_panels([1, 2])
    assert plt.get_fignums() == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        save_figure(new_figure()[0], tmp_path / "file", "fig3")
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'file' / 'fig3.svg'}: File exists; choose a folder that can be written to"
    )


def test_a_figure_that_cannot_be_written_whole_leaves_the_old_one(tmp_path, monkeypatch):
    """As on a full disk, and when a process is killed while it draws."""
    figure, axes = new_figure()
    before = [path.read_bytes() for path in save_figure(figure, tmp_path, "fig3")]
    axes.plot([1, 2], [0.2, 0.8])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match=r"No space left on device; free space there$"):
        save_figure(figure, tmp_path, "fig3")
    assert [(tmp_path / f"fig3.{kind}").read_bytes() for kind in ("svg", "png")] == before
    assert len(list(tmp_path.iterdir())) == 2
