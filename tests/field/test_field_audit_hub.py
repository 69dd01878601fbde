"""No alarm on tiny models of the hub's library, or one that is right and explained here."""

import pytest
import transformers

from zeroinit.audit import audit

from .hub import MODELS, SMALL_IMAGES, Entry

pytestmark = [pytest.mark.usefixtures("without_type_checks"), pytest.mark.filterwarnings("ignore")]
ALL = {**MODELS, **SMALL_IMAGES}
RIGHT = {"wav2vec2": {"ZI202"}, "hubert": {"ZI202"}}
"""Their general rule draws the weight of a convolution under weight norm: the computed weight, which nobody keeps."""
FROM_META = {"gpt2", "llama", "bert", "mixtral", "mamba", "resnet"}


def made(entry: Entry):
    model, configuration, _, settings = entry
    return getattr(transformers, model)(getattr(transformers, configuration)(**settings))


@pytest.mark.parametrize("name", ALL)
def test_no_alarm_or_a_right_one(name):
    report = audit(lambda: made(ALL[name]))
    assert {each.code for each in report.warnings} == RIGHT.get(name, set()), str(report)


def test_at_least_forty_models():
    assert len(ALL) >= 40


@pytest.mark.parametrize("name", sorted(FROM_META))
def test_no_alarm_from_the_meta_device(name):
    report = audit(lambda: made(MODELS[name]), init=lambda model: model.init_weights())
    assert report.warnings == (), str(report)


@pytest.mark.parametrize("name", ["gpt2", "bert", "rwkv", "mamba2"])
def test_no_alarm_on_a_loaded_model(name, tmp_path):
    made(MODELS[name]).save_pretrained(tmp_path)
    report = audit(lambda: getattr(transformers, MODELS[name][0]).from_pretrained(tmp_path))
    assert report.warnings == (), str(report)


@pytest.mark.parametrize("init", [lambda model: model.init_weights(), lambda model: model.apply(model._init_weights)])
def test_a_scalar_that_the_general_rule_forgets_is_found(init):
    """`logit_scale` of CLIP is set by the constructor alone; a helper sets each special standard deviation last."""
    report = audit(lambda: made(MODELS["clip"]), init=init)
    assert [(each.code, each.parameters) for each in report.warnings] == [("ZI201", ("logit_scale",))]
    assert "never written after `to_empty`" in report.warnings[0].message
    assert "`nn.init.constant_(model.logit_scale, 2.6592)`" in report.warnings[0].suggestion
