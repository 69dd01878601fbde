"""The Trainer of transformers with one callback. Run: python hf_trainer.py (needs torch-zeroinit[transformers])."""

import tempfile

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from zeroinit.integrations import SymmetryError
from zeroinit.integrations.transformers import InspectCallback

torch.manual_seed(0)
config = GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
model = GPT2LMHeadModel(config)
for block in model.transformer.h:  # the fault: meant to start each block as the identity
    nn.init.zeros_(block.mlp.c_fc.weight)
    nn.init.zeros_(block.mlp.c_proj.weight)

words = torch.randint(64, (64, 12))
examples = [{"input_ids": each, "labels": each} for each in words]


def train(folder: str) -> None:
    """Train for 20 updates, or stop before the first one."""
    arguments = TrainingArguments(
        folder, max_steps=20, per_device_train_batch_size=8, save_strategy="no", report_to="none", disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    callback = InspectCallback(strict=True)  # with report_to="tensorboard" its numbers go there
    trainer = Trainer(model=model, args=arguments, train_dataset=examples, callbacks=[callback])
    trainer.train()


with tempfile.TemporaryDirectory() as folder:
    try:
        train(folder)
    except SymmetryError as error:
        print(error)

    for block in model.transformer.h:  # the repair: one of the two starts at random
        nn.init.normal_(block.mlp.c_fc.weight, std=0.02)
    train(folder)
