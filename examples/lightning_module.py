"""A LightningModule with one callback. Run: python lightning_module.py (needs torch-zeroinit[lightning])."""

import tempfile

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zeroinit.integrations import SymmetryError
from zeroinit.integrations.lightning import InspectCallback


class Classifier(lightning.LightningModule):
    """A small network whose hidden layer starts at one value."""

    def __init__(self, start: float | None):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3))
        if start is not None:  # the fault: all units of the hidden layer are identical and stay so
            nn.init.constant_(self.net[0].weight, start)
            nn.init.zeros_(self.net[0].bias)
            nn.init.constant_(self.net[2].weight, start)

    def training_step(self, batch: tuple, batch_idx: int) -> torch.Tensor:
        """Return the loss of one batch."""
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self.net(inputs), targets)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def train(model: Classifier, folder: str) -> None:
    """Train for 20 updates, or stop before the first one."""
    callback = InspectCallback(strict=True)  # its numbers go to the Trainer's loggers
    trainer = lightning.Trainer(
        max_steps=20, callbacks=[callback], default_root_dir=folder, devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), batch_size=16))


lightning.seed_everything(0)
inputs = torch.randn(320, 8)
with tempfile.TemporaryDirectory() as folder:
    try:
        train(Classifier(start=0.1), folder)
    except SymmetryError as error:
        print(error)
    train(Classifier(start=None), folder)  # the repair: torch's own random start
