"""What every table promises to who reads it."""

import inspect
import re

import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.data import AUGMENTATIONS, DATASETS, PIXELS
from zeroinit.bench.models import ACTIVATIONS, MODELS
from zeroinit.bench.reporting.measures import MEASURES
from zeroinit.bench.reporting.verdicts import KINDS
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.running.recorders import RECORDERS
from zeroinit.bench.training import OPTIMIZERS
from zeroinit.init import INITIALIZERS
from zeroinit.remedies import REMEDIES
from zeroinit.symmetry import DIAGNOSTICS

TABLES = {
    "ACTIVATIONS": ACTIVATIONS,
    "AUGMENTATIONS": AUGMENTATIONS,
    "DATASETS": DATASETS,
    "DIAGNOSTICS": DIAGNOSTICS,
    "VIEWS": VIEWS,
    "FIGURES": FIGURES,
    "INITIALIZERS": INITIALIZERS,
    "KINDS": KINDS,
    "MEASURES": MEASURES,
    "MODELS": MODELS,
    "OPTIMIZERS": OPTIMIZERS,
    "PIXELS": PIXELS,
    "RECORDERS": RECORDERS,
    "REMEDIES": REMEDIES,
}


def badly_named(names) -> list[str]:
    return [name for name in names if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)]


@pytest.mark.parametrize("table", TABLES)
def test_names_are_lower_case_words(table):
    assert TABLES[table]
    assert badly_named(TABLES[table]) == []


def test_a_bad_name_is_noticed():
    assert badly_named(["He", "a b", "x-y", "_x", "fine_2"]) == ["He", "a b", "x-y", "_x"]


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_initializers_have_a_summary_and_a_source(name):
    entry = INITIALIZERS[name]
    for text in (entry.summary, entry.source):
        assert text.strip() == text != ""
        assert "\n" not in text
    assert entry.weight.text
    assert entry.bias.text


def test_summaries_differ():
    assert len({entry.summary for entry in INITIALIZERS.values()}) == len(INITIALIZERS)
    assert len({entry.summary for entry in REMEDIES.values()}) == len(REMEDIES)


@pytest.mark.parametrize("name", sorted(REMEDIES))
def test_remedies_have_a_summary_a_source_and_the_common_signature(name):
    entry = REMEDIES[name]
    for text in (entry.summary, entry.source, (inspect.getdoc(entry.remedy) or "").partition("\n")[0]):
        assert text.strip() == text != ""
        assert "\n" not in text
    parameters = list(inspect.signature(entry.remedy).parameters.values())
    assert [each.name for each in parameters[:4]] == ["model", "steps", "strength", "generator"]
    assert all(each.default is not inspect.Parameter.empty for each in parameters[2:])
    assert entry.remedy.key() == name
    assert "Source:" in inspect.getdoc(entry.remedy)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_have_a_docstring_and_the_common_signature(name):
    assert (inspect.getdoc(MODELS[name]) or "").strip()
    assert list(inspect.signature(MODELS[name]).parameters) == ["input_shape", "num_classes", "activation"]


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figures_are_filed_under_their_name(name):
    assert FIGURES[name].name == name
    assert FIGURES[name].title
