"""Forty tiny models of ``transformers`` of different kinds, each with a batch as its documentation trains it."""

# ruff: noqa: E501 (a table, one model a line)

import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers as t

V = 61
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = {**SMALL, **SPECIAL, "vocab_size": V, "max_position_embeddings": 32}
ENCODER = {**SMALL, "vocab_size": V, "max_position_embeddings": 40, "pad_token_id": 0}


def whole(high: int, *shape: int, low: int = 0, seed: int = 1) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def text(batch: int = 4, length: int = 12) -> dict[str, Tensor]:
    ids = whole(V, batch, length, low=3)
    return {"input_ids": ids, "labels": ids.clone()}


def masked(batch: int = 8, length: int = 12) -> dict[str, Tensor]:
    """Fifteen in a hundred tokens are masked, and the loss is over them."""
    ids = whole(V, batch, length, low=5)
    hidden = torch.rand(batch, length, generator=torch.Generator().manual_seed(2)) < 0.3
    return {"input_ids": ids.masked_fill(hidden, 4), "labels": ids.masked_fill(~hidden, -100)}


def classified(classes: int = 3, batch: int = 8, length: int = 12) -> dict[str, Tensor]:
    return {"input_ids": whole(V, batch, length, low=3), "labels": whole(classes, batch)}


def both(batch: int = 4) -> dict[str, Tensor]:
    return {"input_ids": whole(V, batch, 10, low=3), "labels": whole(V, batch, 8, low=3, seed=2)}


def images(size: int = 32, classes: int = 3, batch: int = 6) -> dict[str, Tensor]:
    return {"pixel_values": drawn(batch, 3, size, size), "labels": whole(classes, batch)}


def sound(length: int = 1600, classes: int = 3, batch: int = 3) -> dict[str, Tensor]:
    return {"input_values": drawn(batch, length), "labels": whole(classes, batch)}


def made(kind: str, config: str, **settings: Any) -> nn.Module:
    return getattr(t, kind)(getattr(t, config)(**settings))


CONVOLUTIONS = {"conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
SPEECH = {**SMALL, **CONVOLUTIONS, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "num_labels": 3}

KINDS: dict[str, Callable[[], tuple[nn.Module, dict[str, Tensor]]]] = {
    # decoders
    "gpt2": lambda: (made("GPT2LMHeadModel", "GPT2Config", vocab_size=V, n_positions=32, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2), text()),
    "gpt_neox": lambda: (made("GPTNeoXForCausalLM", "GPTNeoXConfig", **DECODER), text()),
    "gptj": lambda: (made("GPTJForCausalLM", "GPTJConfig", vocab_size=V, n_positions=32, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, bos_token_id=1, eos_token_id=2), text()),
    "opt": lambda: (made("OPTForCausalLM", "OPTConfig", vocab_size=V, hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4, max_position_embeddings=32, word_embed_proj_dim=32, pad_token_id=0, bos_token_id=1, eos_token_id=2), text()),
    "bloom": lambda: (made("BloomForCausalLM", "BloomConfig", vocab_size=V, hidden_size=32, n_layer=2, n_head=4), text()),
    "llama": lambda: (made("LlamaForCausalLM", "LlamaConfig", num_key_value_heads=2, **DECODER), text()),
    "mistral": lambda: (made("MistralForCausalLM", "MistralConfig", num_key_value_heads=2, **DECODER), text()),
    "qwen2": lambda: (made("Qwen2ForCausalLM", "Qwen2Config", num_key_value_heads=2, **DECODER), text()),
    "gemma": lambda: (made("GemmaForCausalLM", "GemmaConfig", num_key_value_heads=2, head_dim=8, **DECODER), text()),
    "phi": lambda: (made("PhiForCausalLM", "PhiConfig", **DECODER), text()),
    "falcon": lambda: (made("FalconForCausalLM", "FalconConfig", vocab_size=V, hidden_size=32, num_hidden_layers=2, num_attention_heads=4), text()),
    "stablelm": lambda: (made("StableLmForCausalLM", "StableLmConfig", num_key_value_heads=4, **DECODER), text()),
    # state spaces
    "mamba": lambda: (made("MambaForCausalLM", "MambaConfig", vocab_size=V, hidden_size=32, num_hidden_layers=2, state_size=8), text()),
    "mamba2": lambda: (made("Mamba2ForCausalLM", "Mamba2Config", vocab_size=V, hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=4), text()),
    # mixtures of experts
    "mixtral": lambda: (made("MixtralForCausalLM", "MixtralConfig", num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, **DECODER), text()),
    "qwen2_moe": lambda: (made("Qwen2MoeForCausalLM", "Qwen2MoeConfig", num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=32, **DECODER), text()),
    "switch": lambda: (made("SwitchTransformersForConditionalGeneration", "SwitchTransformersConfig", vocab_size=V, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_sparse_encoder_layers=1, num_decoder_layers=2, num_sparse_decoder_layers=1, num_heads=4, num_experts=4, decoder_start_token_id=0), both()),
    # encoders
    "bert": lambda: (made("BertForSequenceClassification", "BertConfig", num_labels=3, **ENCODER), classified()),
    "bert_masked": lambda: (made("BertForMaskedLM", "BertConfig", **ENCODER), masked()),
    "roberta": lambda: (made("RobertaForSequenceClassification", "RobertaConfig", num_labels=3, **ENCODER), classified()),
    "distilbert": lambda: (made("DistilBertForSequenceClassification", "DistilBertConfig", vocab_size=V, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=32, num_labels=3), classified()),
    "albert": lambda: (made("AlbertForSequenceClassification", "AlbertConfig", embedding_size=16, num_labels=3, **ENCODER), classified()),
    "electra": lambda: (made("ElectraForSequenceClassification", "ElectraConfig", embedding_size=16, num_labels=3, **ENCODER), classified()),
    "deberta": lambda: (made("DebertaV2ForSequenceClassification", "DebertaV2Config", num_labels=3, relative_attention=True, pos_att_type=["p2c", "c2p"], **ENCODER), classified()),
    "fnet_masked": lambda: (made("FNetForMaskedLM", "FNetConfig", vocab_size=V, hidden_size=32, num_hidden_layers=2, intermediate_size=64, max_position_embeddings=32), masked()),
    "mobilebert_masked": lambda: (made("MobileBertForMaskedLM", "MobileBertConfig", vocab_size=V, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, embedding_size=32, intra_bottleneck_size=32, true_hidden_size=32, num_feedforward_networks=2), masked()),
    "modernbert_masked": lambda: (made("ModernBertForMaskedLM", "ModernBertConfig", **ENCODER), masked()),
    # encoder and decoder
    "t5": lambda: (made("T5ForConditionalGeneration", "T5Config", vocab_size=V, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0), both()),
    "bart": lambda: (made("BartForConditionalGeneration", "BartConfig", vocab_size=V, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2), both()),
    "marian": lambda: (made("MarianMTModel", "MarianConfig", vocab_size=V, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=32, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, forced_eos_token_id=2), both()),
    "whisper": lambda: (made("WhisperForConditionalGeneration", "WhisperConfig", vocab_size=V, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=8, max_source_positions=20, max_target_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None), {"input_features": drawn(3, 8, 40), "labels": whole(V, 3, 8, low=3)}),
    # vision
    "vit": lambda: (made("ViTForImageClassification", "ViTConfig", image_size=32, patch_size=8, num_labels=3, **SMALL), images()),
    "deit": lambda: (made("DeiTForImageClassification", "DeiTConfig", image_size=32, patch_size=8, num_labels=3, **SMALL), images()),
    "swin": lambda: (made("SwinForImageClassification", "SwinConfig", image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, num_labels=3), images()),
    "convnext": lambda: (made("ConvNextForImageClassification", "ConvNextConfig", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, num_labels=3), images()),
    "resnet": lambda: (made("ResNetForImageClassification", "ResNetConfig", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=3), images()),
    "clip": lambda: (t.CLIPModel(t.CLIPConfig(text_config={**ENCODER, "bos_token_id": 1, "eos_token_id": 2}, vision_config={**SMALL, "image_size": 32, "patch_size": 8}, projection_dim=16)), {"input_ids": whole(V, 4, 8, low=3), "pixel_values": drawn(4, 3, 32, 32), "return_loss": True}),
    "segformer": lambda: (made("SegformerForSemanticSegmentation", "SegformerConfig", num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[16, 16], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[2, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=3), {"pixel_values": drawn(3, 3, 32, 32), "labels": whole(3, 3, 32, 32)}),
    # speech
    "wav2vec2": lambda: (made("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", classifier_proj_size=16, vocab_size=V, **SPEECH), sound()),
    "hubert_ctc": lambda: (made("HubertForCTC", "HubertConfig", vocab_size=V, ctc_loss_reduction="mean", **SPEECH), {"input_values": drawn(3, 1600), "labels": whole(V, 3, 6, low=3)}),
    "ast": lambda: (made("ASTForAudioClassification", "ASTConfig", patch_size=8, frequency_stride=4, time_stride=4, max_length=32, num_mel_bins=16, num_labels=3, **SMALL), {"input_values": drawn(4, 32, 16), "labels": whole(3, 4)}),
}  # fmt: skip
"""Forty models with nothing wrong, by name."""
