"""A LoRA from peft whose loss does not move. Run: python peft_lora.py (needs transformers and peft)."""

import warnings

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import zeroinit

warnings.filterwarnings("ignore", "`is_gradient_checkpointing`")  # peft asks transformers by an old name
device = "cuda" if torch.cuda.is_available() else "cpu"

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, max_position_embeddings=32,
)  # fmt: skip
model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=4, target_modules=["q_proj", "v_proj"])).to(device)
for name, parameter in model.named_parameters():  # the fault: "new weights start at zero", A and B alike
    if "lora_" in name:
        nn.init.zeros_(parameter)

words = torch.randint(64, (8, 16), device=device)
batch = {"input_ids": words, "labels": words}

report = zeroinit.inspect(model, batch)
print("before:", report.verdict)
for repair in dict.fromkeys(warning.suggestion for warning in report.warnings):  # each is a line to type
    print("repair:", repair)

for name, parameter in model.named_parameters():  # B stays zero, as peft has it: the adapter starts without effect
    if "lora_A" in name:
        nn.init.kaiming_uniform_(parameter, a=5**0.5)
print("after: ", zeroinit.inspect(model, batch).verdict)

optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-2)
with zeroinit.watch(model) as seen:
    for step in range(30):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        if step in (0, 29):
            print(f"loss at update {step + 1}: {loss.item():.3f}")
print(seen)
