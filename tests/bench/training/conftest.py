"""Small data in float64, small models, and the training loop written out plainly: the slow twin of ``fit``."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from zeroinit.bench.training import History, Observer, TrainState

NUM_FEATURES = 6
NUM_CLASSES = 3
Labeled = tuple[Tensor, Tensor]


class Shift(nn.Module):
    """Nothing but biases: the logits are the first values of the image, shifted."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(NUM_CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :NUM_CLASSES] + self.bias


MODELS: dict[str, Callable[[], nn.Module]] = {
    "biases": Shift,
    "dense": lambda: nn.Sequential(nn.Linear(NUM_FEATURES, 5), nn.ELU(), nn.Linear(5, NUM_CLASSES)),
    "batch_norm": lambda: nn.Sequential(
        # No bias before the norm: it has no effect, and its gradient is rounding noise that Adam would blow up.
        nn.Linear(NUM_FEATURES, 5, bias=False),
        nn.BatchNorm1d(5),
        nn.ELU(),
        nn.Linear(5, NUM_CLASSES),
    ),
    "dropout": lambda: nn.Sequential(nn.Linear(NUM_FEATURES, 5), nn.ELU(), nn.Dropout(0.5), nn.Linear(5, NUM_CLASSES)),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.ELU(), nn.Flatten(), nn.Linear(8, NUM_CLASSES)
    ),
}


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    """Makes a model of one kind, always with the same first values; the global random state is left alone."""

    def make(kind: str = "dense", dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1234)
            return MODELS[kind]().to(dtype)

    return make


@pytest.fixture
def model(make_model) -> nn.Sequential:
    return make_model("dense")


def draw_labeled(count: int, seed: int) -> Labeled:
    """Random images whose class is the largest of their first three values, so that there is something to learn."""
    images = torch.randn(count, NUM_FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return images, images[:, :NUM_CLASSES].argmax(dim=1)


@pytest.fixture
def train() -> Labeled:
    """23 images: with batches of 8 the last one has 7."""
    return draw_labeled(23, seed=1)


@pytest.fixture
def validation() -> Labeled:
    return draw_labeled(11, seed=2)


@pytest.fixture
def test_data() -> Labeled:
    return draw_labeled(14, seed=3)


@pytest.fixture
def snapshot() -> Callable[[nn.Module], dict[str, bytes]]:
    """Every parameter and buffer as bytes, so that equal means bitwise equal."""
    return lambda model: {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def build_plainly(
    name: str, parameters: list[nn.Parameter], learning_rate: float, momentum: float
) -> list[torch.optim.Optimizer]:
    """Torch's optimizers with the settings that the package promises, neither fused nor over lists of tensors."""
    plain = {"lr": learning_rate, "foreach": False}
    if name == "adam":
        return [torch.optim.Adam(parameters, fused=False, **plain)]
    if name == "adamw":
        return [torch.optim.AdamW(parameters, fused=False, **plain)]
    if name == "sgd":
        return [torch.optim.SGD(parameters, momentum=momentum, fused=False, **plain)]
    if name == "rmsprop":
        return [torch.optim.RMSprop(parameters, momentum=momentum, **plain)]
    assert name == "muon", f"optimizer {name!r} has no plain twin: add one"
    matrices = [parameter for parameter in parameters if parameter.dim() == 2]
    others = [parameter for parameter in parameters if parameter.dim() != 2]
    settings = {"lr": learning_rate, "momentum": momentum, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
    return [torch.optim.Muon(matrices, **settings), torch.optim.AdamW(others, weight_decay=0.0, **plain)]


@pytest.fixture
def plain_optimizers() -> Callable[..., list[torch.optim.Optimizer]]:
    return build_plainly


def evaluate_plainly(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean loss and accuracy in eval mode, one image at a time, the cross entropy written out."""
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for image, label in zip(images, labels.tolist(), strict=True):
            logits = model(image[None])[0].double().tolist()
            loss += math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
            correct += logits.index(max(logits)) == label
    return loss / len(images), correct / len(images)


@pytest.fixture
def plain_evaluate() -> Callable[..., tuple[float, float]]:
    return evaluate_plainly


def fit_plainly(
    model: nn.Module,
    train: Labeled,
    *,
    epochs: int,
    validation: Labeled | None = None,
    test: Labeled | None = None,
    batch_size: int = 128,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    momentum: float = 0.0,
    warmup_steps: int = 0,
    reduction: str = "sum",
    order: str = "fresh",
    transform: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator,
) -> History:
    """Do what ``fit`` promises, image by image; one ``randperm`` per order is part of the promise (stored results)."""
    convert = transform or (lambda batch: batch)
    optimizers = build_plainly(optimizer, list(model.parameters()), learning_rate, momentum)
    history = History()
    images, labels = train
    indices = torch.randperm(len(images), generator=generator).tolist()
    for epoch in range(epochs):
        if epoch and order == "fresh":
            indices = torch.randperm(len(images), generator=generator).tolist()
        model.train()
        total = 0.0
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            history.num_steps += 1
            rate = learning_rate
            if history.num_steps < warmup_steps:
                rate = learning_rate * history.num_steps / warmup_steps
            model.zero_grad()
            logits = model(convert(torch.stack([images[index] for index in chosen])))
            log_probabilities = logits - logits.logsumexp(dim=1, keepdim=True)
            loss = sum(-log_probabilities[row, labels[index]] for row, index in enumerate(chosen))
            total += loss.item()
            if reduction == "mean":
                loss = loss / len(chosen)
            loss.backward()
            for each in optimizers:
                for group in each.param_groups:
                    group["lr"] = rate
                each.step()
        history.train_loss.append(total / len(images))
        for name, data in (("validation", validation), ("test", test)):
            if data is not None:
                loss, accuracy = evaluate_plainly(model, convert(data[0]), data[1])
                getattr(history, f"{name}_loss").append(loss)
                getattr(history, f"{name}_accuracy").append(accuracy)
    return history


@pytest.fixture
def plain_fit() -> Callable[..., History]:
    return fit_plainly


class Recorder(Observer):
    """Keeps what it is told: each callback's name, step and epoch, the losses, the parameters and their gradients."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.losses: list[list[float]] = []
        self.parameters: list[dict[str, Tensor]] = []
        self.gradients: list[dict[str, Tensor]] = []
        self.histories: list[dict] = []

    def _note(self, name: str, state: TrainState) -> None:
        self.calls.append((name, state.step, state.epoch))
        self.histories.append({key: list(value) for key, value in state.history.to_dict().items() if key in MEASURES})
        if name == "on_epoch":
            self.losses.append(state.losses.tolist())
        else:
            assert state.losses.shape == (0,)

    def on_start(self, state: TrainState) -> None:
        self._note("on_start", state)

    def on_gradients(self, state: TrainState) -> None:
        self._note("on_gradients", state)
        named = list(state.model.named_parameters())
        self.parameters.append({name: parameter.detach().clone() for name, parameter in named})
        self.gradients.append({name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None})

    def on_epoch(self, state: TrainState) -> None:
        self._note("on_epoch", state)

    def on_end(self, state: TrainState) -> None:
        self._note("on_end", state)


MEASURES = ("train_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
