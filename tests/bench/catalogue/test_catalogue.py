"""The catalogue: what every figure promises, and the paper's numbers."""

from dataclasses import replace
from functools import cache

import pytest

from zeroinit._common import InputError
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.catalogue import __path__ as catalogue_path
from zeroinit.bench.data import DATASETS, PIXELS
from zeroinit.bench.labels import NORMAL, UNIFORM
from zeroinit.bench.models import ACTIVATIONS, MODELS
from zeroinit.bench.profiles import PROFILES, PROTOCOLS
from zeroinit.bench.reporting.measures import MEASURES
from zeroinit.bench.reporting.verdicts import KINDS
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.running.recorders import RECORDERS
from zeroinit.bench.running.runner import TRAINED, execute
from zeroinit.bench.spec import Figure, Run
from zeroinit.bench.stats import INTERVALS
from zeroinit.bench.training import OPTIMIZERS
from zeroinit.bench.training.fit import EVALUATION_MODES, ORDERS, REDUCTIONS
from zeroinit.bench.training.steps.precision import PRECISIONS
from zeroinit.bench.work import flops
from zeroinit.init import INITIALIZERS

TABLES = {
    "dataset": DATASETS,
    "model": MODELS,
    "activation": ACTIVATIONS,
    "initializer": INITIALIZERS,
    "pixels": PIXELS,
    "optimizer": OPTIMIZERS,
    "reduction": REDUCTIONS,
    "order": ORDERS,
    "evaluation_mode": EVALUATION_MODES,
    "trained": TRAINED,
    "precision": PRECISIONS,
    "recorder": {"none", *RECORDERS},
}


def profiles_of(figure: Figure) -> list[str]:
    """All, but for the study of a setting the one that sets it."""
    return [
        profile
        for profile in PROFILES
        if not (figure.name in {"precision", "first_gradients"} and profile == "paper_bf16")
    ]


def settings_of(figure: Figure) -> list[tuple[str, str]]:
    return [(profile, protocol) for profile in profiles_of(figure) for protocol in PROTOCOLS]


@pytest.fixture(params=FIGURES)
def figure(request) -> Figure:
    return FIGURES[request.param]


def test_names_are_those_of_the_table(figure):
    assert FIGURES[figure.name] is figure
    assert figure.title.strip() == figure.title != ""


def test_labels_are_unique_and_not_hidden_by_the_legend(figure):
    labels = [curve.label for curve in figure.curves]
    assert len(set(labels)) == len(labels) > 0
    assert not any(label.startswith("_") for label in labels)


def labels_of(figure: Figure, profile: str) -> list[str]:
    """All curves, or those that the figure chose for the quick profile."""
    labels = [curve.label for curve in figure.curves]
    if profile not in {"first", "quick"} or "quick" not in figure.subsets:
        return labels
    assert set(figure.subsets["quick"]) < set(labels)
    return [label for label in labels if label in figure.subsets["quick"]]


def test_curves_are_different_runs_in_every_profile_and_protocol(figure):
    for profile, protocol in settings_of(figure):
        curves = figure.at(profile, protocol)
        assert [curve.label for curve in curves] == labels_of(figure, profile)
        assert len({curve.run.key for curve in curves}) == len(curves)


def test_a_profile_that_makes_curves_the_same_is_refused():
    message = (
        r"^profile='paper_bf16': makes curves of 'precision' the same run, .* \(precision\); choose another profile$"
    )
    with pytest.raises(InputError, match=message):
        FIGURES["precision"].at("paper_bf16", "corrected")


def test_published_results_and_claims_name_curves(figure):
    labels = {curve.label for curve in figure.curves}
    assert set(figure.published_results) <= labels
    for claim in figure.claims:
        assert claim.kind in KINDS
        assert claim.measure in MEASURES
        assert claim.curve in labels
        assert claim.reference in {*labels, ""} - {claim.curve}
        assert claim.margin >= 0
        assert claim.margin > 0 or claim.kind != "close"
        assert claim.statement
        assert not claim.statement.endswith(".")


RECORDED = {"gradients": {"gradients"}, "wake_up": {"gradient_sizes", "gradients"}, "symmetries": {"symmetry"}}


def test_what_is_drawn_is_recorded(figure):
    assert figure.view in VIEWS
    needed = RECORDED.get(figure.view)
    for profile, protocol in settings_of(figure):
        found = {curve.run.recorder for curve in figure.at(profile, protocol)}
        assert needed is None or found <= needed


def test_every_setting_is_in_its_table(figure):
    for profile, protocol in settings_of(figure):
        for curve in figure.at(profile, protocol):
            for name, table in TABLES.items():
                assert getattr(curve.run, name) in table


@cache
def try_out(run: Run) -> int:
    """Train for one epoch with a few images, measure on 40; return the number of steps."""
    history = execute(replace(run, epochs=1, num_validation=7, num_train=few(run), num_test=40), 0).history
    assert len(history["test_accuracy"]) == 1
    return history["num_steps"]


def few(run: Run) -> int:
    return 32 if "resnet" in run.model else 64


HEAVY = {"first_gradients": slice(1, None, 10), "transfer": slice(1, None, 2)}
"""Curves to try out of figures with many; of ``transfer`` the zero starts, which have all its networks."""


def is_slow(run: Run) -> bool:
    """A processor without bfloat16 units takes seconds for a convolution in it."""
    return run.precision == "bf16" and "fnn" not in run.model


def lightened(run: Run) -> Run:
    """The inspection of a ResNet's trained network takes seconds; that of other networks is part of every test run."""
    return replace(run, recorder="none") if "resnet" in run.model and run.recorder == "symmetry" else run


@pytest.mark.filterwarnings("ignore:.*training ended after [12] of:zeroinit.remedies.RemedyWarning")
def test_the_quick_version_builds_and_runs(figure):
    for curve in figure.at("quick", "published")[HEAVY.get(figure.name, slice(None))]:
        assert is_slow(curve.run) or try_out(lightened(curve.run)) == max(1, few(curve.run) // curve.run.batch_size)
        assert flops(curve.run) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*training ended after 2 of ")  # fewer than a zero start takes
def test_the_quick_version_runs_in_full(figure):
    for curve in figure.at("quick", "published"):
        assert try_out(curve.run) == max(1, few(curve.run) // curve.run.batch_size)


def test_the_quick_version_is_the_figure_on_digits(figure):
    quick_profile = PROFILES["quick"]
    curves = {curve.label: curve for curve in figure.curves}
    for quick in figure.at("quick", "corrected"):
        run = curves[quick.label].run
        overrides = {
            **quick_profile.overrides,
            **quick_profile.by_model.get(run.model, {}),
            **figure.overrides.get("quick", {}),
        }
        assert quick.run == replace(run, **overrides)
        assert quick.run.dataset == "digits"


def test_the_first_command_has_the_quick_settings(figure):
    assert figure.at("first", "corrected") == figure.at("quick", "corrected")


def test_published_differs_from_corrected_in_the_stated_fields_alone(figure):
    stated = {**PROTOCOLS["published"].overrides, **figure.overrides.get("published", {})}
    for profile in profiles_of(figure):
        for corrected, published in zip(figure.at(profile, "corrected"), figure.at(profile, "published"), strict=True):
            assert published.run == replace(corrected.run, **stated)
            assert published.run != corrected.run


def test_claim_ids_are_unique_over_all_figures():
    ids = [claim.id for figure in FIGURES.values() for claim in figure.claims]
    assert len(set(ids)) == len(ids)


def test_the_protocols_as_stated_in_the_paper_and_its_code():
    assert PROTOCOLS["corrected"].overrides == {}
    assert PROTOCOLS["published"].overrides == {"order": "fixed", "evaluation_mode": "train"}
    assert PROTOCOLS["corrected"].interval == "t"
    assert PROTOCOLS["published"].interval == "percentile_bootstrap"
    assert {protocol.interval for protocol in PROTOCOLS.values()} <= set(INTERVALS)
    assert {
        name: figure.overrides["published"] for name, figure in FIGURES.items() if "published" in figure.overrides
    } == {
        "sgd": {"trained": "copy"},
        "fig11": {"include": "stem.conv, head"},
    }


def test_the_profiles():
    assert PROFILES["paper"].overrides == {}
    assert PROFILES["quick"].overrides == {
        "dataset": "digits",
        "epochs": 30,
        "batch_size": 32,
        "num_train": None,
        "num_validation": None,
    }
    assert {name: entry["epochs"] for name, entry in PROFILES["quick"].by_model.items()} == {
        "mnist_cnn": 20,
        "cifar_cnn": 5,
        "cifar_cnn_quarter": 5,
        "resnet50": 2,
    }
    assert PROFILES["paper"].by_model == {}
    assert [(name, profile.is_paper) for name, profile in PROFILES.items()] == [
        ("first", False),
        ("quick", False),
        ("paper", True),
        ("paper_bf16", True),
    ]
    assert PROFILES["paper"].margin_factor == 1
    first, quick_profile = PROFILES["first"], PROFILES["quick"]
    assert (first.overrides, first.by_model) == (quick_profile.overrides, quick_profile.by_model)
    assert {name: profile.figures for name, profile in PROFILES.items() if profile.figures} == {
        "first": ("starts", "starts_cnn", "fig12")
    }
    assert set(first.figures) <= set(FIGURES)


def test_a_run_as_in_the_paper():
    """Section 4: Adam, learning rate 1e-3, summed cross entropy, batch 128, pixels in [0, 1], 7,000 held out."""
    run = Run()
    assert (run.optimizer, run.learning_rate, run.warmup_steps, run.momentum) == ("adam", 1e-3, 0, 0.0)
    assert (run.reduction, run.batch_size, run.pixels, run.activation) == ("sum", 128, "unit", "elu")
    assert run.num_validation is None
    assert DATASETS["mnist"].num_validation == DATASETS["cifar10"].num_validation == 7000
    for figure in FIGURES.values():
        if figure.in_paper:
            for curve in figure.curves:
                shown = ["dataset", "model", "initializer", "scale", "epochs"]
                if figure.name == "fig11":
                    assert (curve.run.augmentation, curve.run.pixels) == ("crop_flip", "cifar10")
                    shown += ["augmentation", "pixels"]
                if figure.name == "fig12":
                    assert (curve.run.max_steps, curve.run.recorder) == (5, "gradients")
                    shown += ["max_steps", "recorder"]
                assert replace(curve.run, **{name: getattr(run, name) for name in shown}) == run


LOGISTIC = ("logistic_regression", "pytorch", 1.0)
PAPER = {
    "fig3": [
        ("Logistic regression", *LOGISTIC, 10, 0.925),
        ("PyTorch's default", "mnist_fnn", "pytorch", 1.0, 10, 0.976),
        (NORMAL, "mnist_fnn", "normal_bias", 1.0, 10, 0.971),
        (UNIFORM, "mnist_fnn", "uniform_bias", 1.0, 10, 0.972),
    ],
    "fig4": [
        (NORMAL, "mnist_fnn", "normal_bias", 1.0, 10, 0.971),
        (f"{NORMAL} ×0.01", "mnist_fnn", "normal_bias", 0.01, 10, 0.971),
        (f"{NORMAL} ×100", "mnist_fnn", "normal_bias", 100.0, 10, 0.86),
    ],
    "fig5": [
        ("Logistic regression", *LOGISTIC, 10, 0.925),
        ("PyTorch's default", "mnist_cnn", "pytorch", 1.0, 15, 0.977),
        (NORMAL, "mnist_cnn", "normal_bias", 1.0, 15, 0.973),
        (UNIFORM, "mnist_cnn", "uniform_bias", 1.0, 15, 0.963),
    ],
    "fig6": [
        (NORMAL, "mnist_cnn", "normal_bias", 1.0, 15, 0.975),
        (f"{NORMAL} ×0.01", "mnist_cnn", "normal_bias", 0.01, 15, 0.975),
        (f"{NORMAL} ×100", "mnist_cnn", "normal_bias", 100.0, 15, 0.10),
    ],
    "fig7": [
        ("Logistic regression", *LOGISTIC, 5, 0.92),
        ("FNN zero", "mnist_fnn", "zero", 1.0, 5, 0.113),
        ("CNN zero", "mnist_cnn", "zero", 1.0, 5, 0.113),
    ],
    "fig8": [
        ("Logistic regression", *LOGISTIC, 15, 0.372),
        ("PyTorch's default", "cifar_fnn", "pytorch", 1.0, 15, 0.485),
        (NORMAL, "cifar_fnn", "normal_bias", 1.0, 15, 0.488),
        (UNIFORM, "cifar_fnn", "uniform_bias", 1.0, 15, 0.490),
    ],
    "fig9": [
        ("Logistic regression", *LOGISTIC, 15, 0.37),
        ("PyTorch's default", "cifar_cnn", "pytorch", 1.0, 20, 0.795),
        (NORMAL, "cifar_cnn", "normal_bias", 1.0, 20, 0.70),
        (UNIFORM, "cifar_cnn", "uniform_bias", 1.0, 20, 0.69),
    ],
    "fig11": [
        ("PyTorch's default", "resnet50", "pytorch", 1.0, 30, 0.88),
        (NORMAL, "resnet50", "normal_bias", 1.0, 30, 0.862),
        (UNIFORM, "resnet50", "uniform_bias", 1.0, 30, 0.868),
    ],
    "fig10": [
        ("Logistic regression", *LOGISTIC, 5, 0.362),
        ("FNN zero", "cifar_fnn", "zero", 1.0, 5, 0.10),
        ("CNN zero", "cifar_cnn", "zero", 1.0, 5, 0.10),
    ],
}
"""By figure, in the order of its legend: label, network, initialization, scale, epochs, final test accuracy (sections
4 and 5)."""


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_figures(name):
    figure = FIGURES[name]
    ours = [
        (
            curve.label,
            curve.run.model,
            curve.run.initializer,
            curve.run.scale,
            curve.run.epochs,
            figure.published_results[curve.label],
        )
        for curve in figure.curves
    ]
    assert ours == PAPER[name]
    assert figure.in_paper
    assert {curve.run.dataset for curve in figure.curves} == {
        "mnist" if name in {"fig3", "fig4", "fig5", "fig6", "fig7"} else "cifar10"
    }


def test_figure_12():
    """Section 4: PyTorch's default next to normal biases, CIFAR-10 FNN, 5 update steps; section 5: no accuracies."""
    figure = FIGURES["fig12"]
    curves = [
        (curve.label, curve.run.dataset, curve.run.model, curve.run.initializer, curve.run.max_steps)
        for curve in figure.curves
    ]
    assert curves == [
        ("PyTorch's default", "cifar10", "cifar_fnn", "pytorch", 5),
        (NORMAL, "cifar10", "cifar_fnn", "normal_bias", 5),
    ]
    assert (figure.in_paper, figure.view, dict(figure.published_results)) == (True, "gradients", {})
    (claim,) = figure.claims
    assert (claim.kind, claim.measure, claim.curve) == ("every_seed", "one_layer_per_step", NORMAL)
    assert claim.id.startswith("C10-")


def test_the_study_of_first_gradients():
    """Each variant in both precisions, and nothing but the settings of its variant differs."""
    figure = FIGURES["first_gradients"]
    runs = {curve.label: curve.run for curve in figure.curves}
    assert not figure.in_paper
    for label, run in runs.items():
        other = runs[label.removesuffix(", float64")]
        assert run == replace(other, precision="float64" if label.endswith(", float64") else "float32")
        assert (run.model, run.dataset, run.batch_size, run.max_steps) == ("resnet50", "cifar10", 16, 12)
        assert (run.optimizer, run.learning_rate, run.initializer) == ("adam", 1e-3, "normal_bias")
    plain = {"β = 0": {}, "β random": {"norm_aware": True}, "Stem and head alone zero": {"include": "stem.conv, head"}}
    for label, settings in plain.items():
        assert runs[label] == replace(runs["β = 0"], **settings)


EXPLORED = {
    "mini_batch": {"batch_size": 16},
    "batch_100": {"batch_size": 100},
    "sgd": {"optimizer": "sgd"},
    "sigmoid_zero": {"activation": "sigmoid", "initializer": "zero"},
    "upscaled_uniform": {"initializer": "uniform_bias", "scale": 100.0},
    "downscaled_uniform": {"initializer": "uniform_bias", "scale": 0.01},
}


@pytest.mark.parametrize("name", EXPLORED)
def test_the_notebooks_explorations(name):
    figure = FIGURES[name]
    expected = {"initializer": {"pytorch", "normal_bias", "uniform_bias"}}
    assert not figure.in_paper
    assert {curve.run.model for curve in figure.curves} == {"mnist_fnn", "mnist_cnn"}
    assert {curve.run.epochs for curve in figure.curves} == {5}
    for curve in figure.curves:
        settings = {**curve.run.settings}
        for shown in ("model", "epochs"):
            settings.pop(shown, None)
        if "initializer" not in EXPLORED[name]:
            assert settings.pop("initializer", "pytorch") in expected["initializer"]
        assert settings == EXPLORED[name]


def test_every_figure_of_this_half_of_the_paper_is_there():
    assert {name for name, figure in FIGURES.items() if figure.in_paper} >= set(PAPER)
    assert set(EXPLORED) <= set(FIGURES)


@pytest.mark.parametrize(
    ("figure_name", "kinds"),
    [
        ("fig3", {"greater", "close"}),
        ("fig4", {"greater", "not_worse"}),
        ("fig5", {"greater", "close"}),
        ("fig6", {"greater", "not_worse", "not_above"}),
        ("fig7", {"greater", "not_above"}),
        ("fig9", {"greater", "close"}),
        ("fig11", {"greater", "close"}),
    ],
)
def test_the_papers_claims_are_decided(figure_name, kinds):
    claims = FIGURES[figure_name].claims
    assert {claim.kind for claim in claims} == kinds
    paper = {"fig3": "C1", "fig4": "C2", "fig5": "C3", "fig6": "C4", "fig7": "C5", "fig9": "C7", "fig11": "C9"}[
        figure_name
    ]
    assert any(claim.id.startswith(f"{paper}-") for claim in claims)
    assert all(claim.id.startswith((f"{paper}-", f"C11-{paper}-")) for claim in claims)


def test_what_was_published_supports_the_papers_own_claims():
    """The direction of every claim, checked on the paper's numbers: only those on which it contradicts itself fail."""
    against = set()
    for name in PAPER:
        figure = FIGURES[name]
        for claim in figure.claims:
            reference = figure.published_results[claim.reference] if claim.reference else 0.1135
            difference = figure.published_results[claim.curve] - reference
            holds = {
                "greater": difference > claim.margin,
                "not_worse": difference > -claim.margin,
                "not_above": difference < claim.margin,
                "close": abs(difference) < claim.margin,
            }[claim.kind]
            if not holds:
                against.add(claim.id)
    assert against == {
        "C3-uniform-close-to-pytorch",  # .963 against .977
        "C11-C6-normal-gap",  # .488 against .485: figure 8 shows no gap
        "C11-C6-uniform-gap",
        "C7-normal-close-to-pytorch",  # .70 against .795
        "C7-uniform-close-to-pytorch",
        "C9-normal-close-to-pytorch",  # .862 against .88
        "C9-uniform-close-to-pytorch",
    }


def test_unknown_profile_or_protocol():
    with pytest.raises(InputError, match=r"^profile='Quick': did you mean 'quick'\? It must be one of first, paper,"):
        FIGURES["fig3"].at("Quick", "corrected")
    with pytest.raises(InputError, match=r"^protocol='x': must be one of corrected, published$"):
        FIGURES["fig3"].at("quick", "x")


def test_every_file_of_the_catalogue_is_in_the_table():
    """A figure's file that nobody lists would never run."""
    from pathlib import Path

    source = (Path(catalogue_path[0]) / "__init__.py").read_text()
    for folder in ("paper", "studies"):
        for path in (Path(catalogue_path[0]) / folder).glob("*.py"):
            assert path.stem == "__init__" or f"catalogue.{folder}.{path.stem} import" in source
