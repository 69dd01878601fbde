"""On models of ``transformers`` of every kind the record is true, and no warning is given that is not expected."""

import re
import warnings

import pytest
import torch
import transformers as hub
from torch import nn

from zeroinit.init import hash_tensor, initialize_

WIDTHS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
BERT = {**WIDTHS, "vocab_size": 32}
LLAMA = {**BERT, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GPT = {"vocab_size": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16}
ENDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
STACK = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
STACK |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
SPEECH = {"conv_dim": (16,), "conv_stride": (2,), "conv_kernel": (3,), "num_feat_extract_layers": 1}
SPEECH |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
IMAGES = {"image_size": 16, "patch_size": 8}
T5 = {"vocab_size": 32, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
MOBILE = {"embedding_size": 16, "intra_bottleneck_size": 8}

TIED, COVERAGE = "keeps its values", "less than half"
KINDS: dict[str, tuple[str, dict, set[str]]] = {
    "Bert": ("ForMaskedLM", BERT, {TIED}),
    "Roberta": ("ForSequenceClassification", BERT, set()),
    "Albert": ("ForMaskedLM", {**BERT, "embedding_size": 8}, {TIED}),
    "MobileBert": ("ForMaskedLM", {**BERT, **MOBILE, "intermediate_size": 16}, {TIED}),
    "GPT2": ("LMHeadModel", GPT | ENDS, {TIED}),
    "OpenAIGPT": ("LMHeadModel", GPT, {TIED}),
    "DecisionTransformer": (
        "Model",
        {"state_dim": 4, "act_dim": 2, "hidden_size": 16, "n_layer": 1, "n_head": 2},
        set(),
    ),
    "GPTNeoX": ("ForCausalLM", BERT, set()),
    "Llama": ("ForCausalLM", LLAMA, set()),
    "Mixtral": ("ForCausalLM", {**LLAMA, "num_local_experts": 4}, {COVERAGE}),
    "Mamba": ("ForCausalLM", {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}, {TIED}),
    "T5": ("ForConditionalGeneration", T5, {TIED}),
    "Bart": ("ForConditionalGeneration", {**STACK, "vocab_size": 32}, {TIED}),
    "ViT": ("ForImageClassification", {**WIDTHS, **IMAGES}, set()),
    "ConvNext": ("ForImageClassification", {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}, set()),
    "ResNet": ("ForImageClassification", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}, set()),
    "Wav2Vec2": ("ForCTC", {**BERT, **SPEECH}, set()),
    "XLNet": (
        "LMHeadModel",
        {"vocab_size": 32, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 8},
        {TIED, COVERAGE},
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request) -> tuple[nn.Module, set[str]]:
    head, settings, told = KINDS[request.param]
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        config = getattr(hub, f"{request.param}Config")(**settings)
        return getattr(hub, f"{request.param}{head}")(config), told


@pytest.mark.parametrize("name", ["pytorch", "zero", "normal_bias"])
def test_the_record_is_true(kind, name, generator):
    model, expected = kind
    before = {key: hash_tensor(value) for key, value in [*model.named_parameters(), *model.named_buffers()]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = initialize_(model, name, generator=generator(0))
    told = [str(each.message) for each in caught if "have no bias" not in str(each.message)]
    assert {text for text in (TIED, COVERAGE) if any(text in each for each in told)} == expected
    assert len(told) == len(expected)
    listed = [each for entry in (*record.parameters, *record.untouched) for each in (entry.name, *entry.aliases)]
    assert sorted(listed) == sorted(key for key, _ in model.named_parameters(remove_duplicate=False))
    done = {each for entry in record.parameters for each in (entry.name, *entry.aliases)}
    after = {key: hash_tensor(value) for key, value in [*model.named_parameters(), *model.named_buffers()]}
    assert {key for key in after if after[key] != before[key]} <= done
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd | hub.pytorch_utils.Conv1D) and name == "zero":
            tied = any(module._parameters.get("weight") is each.weight for each in embeddings(model))
            assert tied or not module.weight.any()
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def embeddings(model: nn.Module) -> list[nn.Embedding]:
    return [module for module in model.modules() if isinstance(module, nn.Embedding)]


def test_the_warnings_name_their_parameters(generator):
    """The negative case of the table above: what is expected is told of the right places."""
    config = hub.GPT2Config(**GPT, **ENDS)
    with pytest.warns(match=re.escape("'lm_head.weight' (Linear) and 'transformer.wte.weight' (Embedding)")):
        initialize_(hub.GPT2LMHeadModel(config), "zero", generator=generator(0))
