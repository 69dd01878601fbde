"""What results say first: accuracies, first gradients, and sentences with numbers in the place of labels."""

import math
from dataclasses import replace

import pytest

from zeroinit._common import InputError
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.outcome import Row, first_steps, outcome_rows, outcome_sentences
from zeroinit.bench.reporting.report import build_report, check_figures, write_report
from zeroinit.bench.reporting.wording import write_share
from zeroinit.bench.spec import Curve, Figure, Run
from zeroinit.bench.stats import Estimate

ZERO, DEFAULT = Run(dataset="digits", initializer="zero"), Run(dataset="digits")
SENTENCES = ("Zero: {Zero}; one class: {one class}.", "The default: {The default}, zero: {Zero}.")
FIGURE = Figure("study", "A study", (Curve("Zero", ZERO), Curve("The default", DEFAULT)), sentences=SENTENCES)


@pytest.fixture
def save(store, make_result):
    """Stores a final accuracy, and the largest gradients of each layer by step."""

    def save(run, seed, accuracy, sizes=None):
        result = make_result(run, seed, [accuracy])
        if sizes is not None:
            entries = {f"{layer}.weight": {"shape": [2, 2], "max_abs": row} for layer, row in enumerate(sizes)}
            result = replace(result, recorded={"losses": [], "parameters": entries})
        store.save(result)
        return result

    return save


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.9633, 0.9583, 0.9683, 5), "96.3 ± 0.5 %"),
        (Estimate(0.1022, 0.1022, 0.1022, 5), "10.2 ± 0.0 %"),
        (Estimate(0.5, math.nan, math.nan, 1), "50.0 %"),
        (Estimate(0.5, 0.4, 0.55, 5, method="percentile_bootstrap"), "50.0 % [40.0, 55.0]"),
        (Estimate(0.5, -math.inf, math.inf, 2), "50.0 %"),
    ],
)
def test_accuracies_are_in_percent_with_their_interval(estimate, text):
    assert write_share(estimate) == text


@pytest.mark.parametrize(
    ("by_seed", "text"),
    [
        ([[[0, 1, 1], [1, 1, 1]]], "2, 1"),
        ([[[0, 0, 1], [1, 1, 1]], [[0, 1, 1], [1, 1, 1]]], "2-3, 1"),
        ([[[0, 0], [0, 0]]], "never"),
        ([[[0, 0], [1, 1]]], "never, 1"),
        ([[[0, 0]], [[0, 1]]], "2 or never"),
        ([[[0, None]]], "2"),  # a gradient that is not finite is none that is zero
        ([[[0] * layer + [1] * (12 - layer) for layer in range(9)]], "1-9 (9 layers)"),
    ],
)
def test_first_steps_are_those_of_every_seed(save, by_seed, text):
    assert first_steps([save(ZERO, seed, 0.1, sizes) for seed, sizes in enumerate(by_seed)]) == text


def test_nothing_is_said_of_gradients_that_were_not_recorded(save):
    recorded, plain = save(ZERO, 0, 0.1, [[1]]), save(DEFAULT, 0, 0.1)
    assert (first_steps([recorded]), first_steps([plain]), first_steps([recorded, plain])) == ("1", "", "")


def test_rows_and_sentences_are_those_of_the_results(save, store):
    for seed, accuracy in enumerate([0.95, 0.97]):
        save(ZERO, seed, 0.1, [[0, 0]])
        save(DEFAULT, seed, accuracy, [[1, 1]])
    summary = summarize(FIGURE, store, [0, 1], "paper", "corrected")
    assert outcome_rows(summary) == [
        Row("Zero", "10.0 ± 0.0 %", "never", 2),
        Row("The default", "96.0 ± 12.7 %", "1", 2),
    ]
    assert outcome_sentences(summary) == [
        "Zero: 10.0 ± 0.0 %; one class: 10.2 %.",
        "The default: 96.0 ± 12.7 %, zero: 10.0 ± 0.0 %.",
    ]


def test_a_sentence_that_lacks_a_curve_is_left_out(save, store):
    save(ZERO, 0, 0.1)
    summary = summarize(FIGURE, store, [0], "paper", "corrected")
    assert outcome_sentences(summary) == ["Zero: 10.0 %; one class: 10.2 %."]
    nothing = summarize(FIGURE, store, [9], "paper", "corrected")
    assert (outcome_rows(nothing), outcome_sentences(nothing)) == ([], [])


def test_a_run_of_a_few_steps_has_no_accuracy(save, store):
    short = replace(DEFAULT, max_steps=5)
    save(short, 0, 0.1, [[1]])
    figure = Figure("study", "A study", (Curve("Short", short),))
    assert outcome_rows(summarize(figure, store, [0], "paper", "corrected")) == [Row("Short", "", "1", 1)]


def test_a_label_that_no_curve_has_is_told_before_any_run():
    wrong = replace(FIGURE, sentences=("{The defaults}",))
    with pytest.raises(InputError, match=r"^study: sentence='The defaults': did you mean 'The default'\? It must be"):
        check_figures([wrong])
    check_figures(list(FIGURES.values()))


def test_the_report_begins_with_the_sentences(save, store, tmp_path):
    save(ZERO, 0, 0.1)
    save(DEFAULT, 0, 0.9)
    report = build_report([FIGURE], store, [0], "paper", "corrected")
    told = []
    write_report(report, tmp_path, told.append)
    assert told == ["drawing the report: study, 1 of 1"]
    for path in ("index.html", "report.md"):
        page = (tmp_path / path).read_text().replace("\u00a0", " ")
        places = [page.index(sentence) for sentence in ("Zero: 10.0 %; one class: 10.2 %.", "The default: 90.0 %")]
        assert places == sorted(places)
        assert places[-1] < page.index("Claims")
