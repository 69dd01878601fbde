"""Tiny configurations of models from transformers, trained as their documentation does; nothing is fetched."""

import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

WORDS = 60
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
LANGUAGE = {"vocab_size": WORDS, **SMALL}
GROUPED = {**LANGUAGE, "num_key_value_heads": 1}
TALL = {
    "vocab_size": WORDS, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
}  # fmt: skip
T5 = {
    "vocab_size": WORDS,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}
SPEECH = {
    **LANGUAGE, "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
PATCHES = {"image_size": 16, "patch_size": 4, "num_labels": 5, **SMALL}


def tokens(number: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(5, WORDS, (number, length))


def language() -> dict[str, Any]:
    drawn = tokens()
    return {"input_ids": drawn, "labels": drawn.clone()}


def sentences() -> dict[str, Any]:
    return {"input_ids": tokens(), "labels": torch.randint(2, (3,))}


def translation() -> dict[str, Any]:
    return {"input_ids": tokens(), "labels": tokens()}


def images(size: int = 16) -> dict[str, Any]:
    return {"pixel_values": torch.randn(3, 3, size, size), "labels": torch.randint(5, (3,))}


def larger_images() -> dict[str, Any]:
    return images(32)


def sound() -> dict[str, Any]:
    return {"input_values": torch.randn(2, 600), "labels": torch.randint(2, (2,))}


def spectrogram() -> dict[str, Any]:
    return {"input_features": torch.randn(2, 8, 20), "labels": tokens(2, 6)}


def captions() -> dict[str, Any]:
    return {"input_ids": tokens(3, 6), "pixel_values": torch.randn(3, 3, 16, 16), "return_loss": True}


Entry = tuple[str, str, Callable[[], dict[str, Any]], dict[str, Any]]
"""The model's class, its configuration's class, what makes a batch, and the settings."""

MODELS: dict[str, Entry] = {
    # decoders
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", language,
             {"vocab_size": WORDS, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", language, GROUPED),
    "mistral": ("MistralForCausalLM", "MistralConfig", language, GROUPED),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", language, GROUPED),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", language, {**GROUPED, "head_dim": 8}),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", language, {**GROUPED, "head_dim": 8}),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", language, {**GROUPED, "head_dim": 8}),
    "phi": ("PhiForCausalLM", "PhiConfig", language, LANGUAGE),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", language, LANGUAGE),
    "opt": ("OPTForCausalLM", "OPTConfig", language,
            {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "ffn_dim": 32, "num_attention_heads": 2,
             "max_position_embeddings": 32, "word_embed_proj_dim": 16}),
    "bloom": ("BloomForCausalLM", "BloomConfig", language,
              {"vocab_size": WORDS, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "falcon": ("FalconForCausalLM", "FalconConfig", language,
               {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}),
    # mixtures of experts
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", language, {**GROUPED, "num_local_experts": 4}),
    "qwen2_moe": ("Qwen2MoeForCausalLM", "Qwen2MoeConfig", language,
                  {**GROUPED, "num_experts": 4, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8}),
    "switch": ("SwitchTransformersForConditionalGeneration", "SwitchTransformersConfig", translation,
               {**T5, "num_decoder_layers": 2, "num_experts": 4}),
    # state spaces and other recurrences
    "mamba": ("MambaForCausalLM", "MambaConfig", language,
              {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
    "mamba2": ("Mamba2ForCausalLM", "Mamba2Config", language,
               {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "num_heads": 4,
                "head_dim": 8, "n_groups": 1, "chunk_size": 4}),
    "rwkv": ("RwkvForCausalLM", "RwkvConfig", language,
             {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "attention_hidden_size": 16,
              "intermediate_size": 32}),
    # encoders
    "bert": ("BertForSequenceClassification", "BertConfig", sentences, LANGUAGE),
    "bert_masked": ("BertForMaskedLM", "BertConfig", language, LANGUAGE),
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", sentences,
                {**LANGUAGE, "max_position_embeddings": 32}),
    "distilbert": ("DistilBertForSequenceClassification", "DistilBertConfig", sentences,
                   {"vocab_size": WORDS, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
    "albert": ("AlbertForSequenceClassification", "AlbertConfig", sentences, {**LANGUAGE, "embedding_size": 8}),
    "electra": ("ElectraForSequenceClassification", "ElectraConfig", sentences, {**LANGUAGE, "embedding_size": 8}),
    "deberta": ("DebertaV2ForSequenceClassification", "DebertaV2Config", sentences, LANGUAGE),
    "fnet": ("FNetForMaskedLM", "FNetConfig", language,
             {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32,
              "max_position_embeddings": 32}),
    "mobilebert": ("MobileBertForMaskedLM", "MobileBertConfig", language,
                   {**LANGUAGE, "embedding_size": 8, "intra_bottleneck_size": 8, "true_hidden_size": 8}),
    "modernbert": ("ModernBertForMaskedLM", "ModernBertConfig", language,
                   {**LANGUAGE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1,
                    "sep_token_id": 2}),
    # encoders with decoders
    "t5": ("T5ForConditionalGeneration", "T5Config", translation, T5),
    "bart": ("BartForConditionalGeneration", "BartConfig", translation, {**TALL, "max_position_embeddings": 32}),
    "pegasus": ("PegasusForConditionalGeneration", "PegasusConfig", translation,
                {**TALL, "max_position_embeddings": 32}),
    # images
    "vit": ("ViTForImageClassification", "ViTConfig", images, PATCHES),
    "deit": ("DeiTForImageClassification", "DeiTConfig", images, PATCHES),
    "beit": ("BeitForImageClassification", "BeitConfig", images, PATCHES),
    "dinov2": ("Dinov2ForImageClassification", "Dinov2Config", images,
               {"image_size": 16, "patch_size": 4, "num_labels": 5, "hidden_size": 16, "num_hidden_layers": 2,
                "num_attention_heads": 2}),
    "swin": ("SwinForImageClassification", "SwinConfig", images,
             {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2],
              "window_size": 2, "num_labels": 5}),
    "convnext": ("ConvNextForImageClassification", "ConvNextConfig", images,
                 {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "patch_size": 2, "num_labels": 5}),
    "resnet": ("ResNetForImageClassification", "ResNetConfig", images,
               {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic",
                "num_labels": 5}),
    "clip": ("CLIPModel", "CLIPConfig", captions,
             {"text_config": {**LANGUAGE, "max_position_embeddings": 16, "eos_token_id": 2},
              "vision_config": {"image_size": 16, "patch_size": 4, **SMALL}, "projection_dim": 8}),
    # sound
    "wav2vec2": ("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", sound, SPEECH),
    "hubert": ("HubertForSequenceClassification", "HubertConfig", sound, SPEECH),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", spectrogram,
                {**TALL, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16,
                 "decoder_start_token_id": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}),
}  # fmt: skip
"""Models that learn, by name."""

SMALL_IMAGES: dict[str, Entry] = {
    "pvt": ("PvtForImageClassification", "PvtConfig", larger_images,
            {"image_size": 32, "num_labels": 5, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1],
             "num_attention_heads": [1, 2, 2, 2], "sequence_reduction_ratios": [8, 4, 2, 1]}),
    "poolformer": ("PoolFormerForImageClassification", "PoolFormerConfig", larger_images,
                   {"num_labels": 5, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}),
}  # fmt: skip
"""Models of which images of 32 pixels leave one position in the last stage."""


def built(entry: Entry) -> tuple[nn.Module, dict[str, Any]]:
    """Build a model and a batch."""
    model, configuration, batch, settings = entry
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = getattr(transformers, model)(getattr(transformers, configuration)(**settings))
        return made, batch()
