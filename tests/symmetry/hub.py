"""Models of the hub's libraries, built from tiny configurations; nothing is fetched."""

import os
import warnings
from collections.abc import Callable

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import nn

from .zoo import Case, classes, drawn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import peft
    import transformers

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TOKENS = classes(40, 3, 9)
LANGUAGE = {"input_ids": TOKENS, "labels": TOKENS}


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=41, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


def bert() -> nn.Module:
    return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=41, **SMALL))


def bert_masked() -> nn.Module:
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=41, **SMALL))


def vit() -> nn.Module:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=8, patch_size=4, num_labels=5, **SMALL)
    )


def t5() -> nn.Module:
    config = transformers.T5Config(
        vocab_size=41, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def hub_resnet() -> nn.Module:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=5
    )
    return transformers.ResNetForImageClassification(config)


def convnext() -> nn.Module:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, patch_size=2, num_labels=5)
    return transformers.ConvNextForImageClassification(config)


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=41, num_key_value_heads=1, **SMALL))


def adapted(model: nn.Module, modules: list[str], **settings) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=modules, **settings))


PICTURES = {"pixel_values": drawn(4, 3, 8, 8), "labels": classes(5, 4)}

HUB: dict[str, Callable[[], Case]] = {
    "gpt2": lambda: Case(gpt2(), LANGUAGE),
    "bert": lambda: Case(bert(), {"input_ids": TOKENS, "labels": classes(2, 3)}),
    "bert_masked": lambda: Case(bert_masked(), LANGUAGE),
    "vit": lambda: Case(vit(), PICTURES),
    "t5": lambda: Case(t5(), LANGUAGE),
    "resnet_of_the_hub": lambda: Case(hub_resnet(), {**PICTURES, "pixel_values": drawn(4, 3, 32, 32)}),
    "convnext": lambda: Case(convnext(), {**PICTURES, "pixel_values": drawn(4, 3, 16, 16)}),
    "llama": lambda: Case(llama(), LANGUAGE),
    "llama_in_bfloat16": lambda: Case(llama().to(torch.bfloat16), LANGUAGE),
    "lora_on_llama": lambda: Case(adapted(llama(), ["q_proj", "v_proj"], lora_dropout=0.1), LANGUAGE),
    "lora_on_gpt2": lambda: Case(adapted(gpt2(), ["c_attn"], fan_in_fan_out=True), LANGUAGE),
}  # fmt: skip
"""Models with nothing wrong, by name."""
