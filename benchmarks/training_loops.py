"""Training loops as people write them, each around one model with a zero start, and what comes out of each.

``python benchmarks/training_loops.py`` prints the table of docs/reference/zero_start.md.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Muon, Optimizer
from torch.utils.checkpoint import checkpoint

import zeroinit
from zeroinit._modules.layers import weights_of
from zeroinit.remedies import Remedy, orthogonalized, polar_factor
from zeroinit.remedies.weight_sizes import default_size

__all__ = ["LOOPS", "Outcome", "run"]

INPUTS, WIDTH, CLASSES, IMAGES = 12, 24, 5, 32
AFTER = 3
"""Updates after the last in which a zero start acts."""
Loop = Callable[[nn.Module, Tensor, Tensor, int], list[Optimizer]]


@dataclass
class Outcome:
    """What a loop ends with.

    Attributes:
        is_orthogonal: Whether each weight was made orthogonal in the size of PyTorch's default, and is close to that
            after ``AFTER`` more updates.
        num_steps: Most steps that an optimizer counts; ``None`` if none of them counts.
        messages: What was warned of.
        start: The zero start.
    """

    is_orthogonal: bool
    num_steps: int | None
    messages: list[str]
    start: "zeroinit.ZeroStart"

    @property
    def is_fresh(self) -> bool:
        """Whether moments began anew."""
        return self.num_steps is None or self.num_steps <= AFTER + 1  # a slow optimizer may wait for a faster one


class Before(Remedy):
    """Keeps the weights as they are before a zero start's last act."""

    def __init__(self, start: "zeroinit.ZeroStart", model: nn.Module):
        super().__init__(model, start.steps)
        self.kept: dict[nn.Parameter, Tensor] = {}
        start._parts = (self, *start.parts)
        self.join(start.parts[::-1])

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        if not self.remaining:
            self.kept = {weight: weight.detach().clone() for weight in weights_of(self._model)}


class Dense(nn.Module):
    """Three dense layers; the middle of them may be checkpointed."""

    def __init__(self, **checkpointing: bool):
        super().__init__()
        self.first, self.last = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.middle = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.checkpointing = checkpointing

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.relu(self.first(inputs))
        hidden = checkpoint(self.middle, hidden, **self.checkpointing) if self.checkpointing else self.middle(hidden)
        return self.last(F.relu(hidden))


def plain(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    optimizer = Adam(model.parameters())
    for _ in range(num):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return [optimizer]


def accumulated(every: int) -> Loop:
    def loop(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
        optimizer = Adam(model.parameters())
        for number in range(num * every):
            part = slice(number % every, None, every)
            (F.cross_entropy(model(images[part]), labels[part]) / every).backward()
            if (number + 1) % every == 0:
                optimizer.step()
                optimizer.zero_grad()
        return [optimizer]

    return loop


def scaled(skipped: tuple[int, ...], fused: bool = False) -> Loop:
    """Scale the loss, which is infinite at some updates; a fused optimizer is called then and changes nothing."""

    def loop(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
        optimizer = Adam(model.parameters(), fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
        for number in range(1, num + len(skipped) + 1):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            scaler.scale(loss * (torch.inf if number in skipped else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
        return [optimizer]

    return loop


def gradient_penalty(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    optimizer = Adam(model.parameters())
    for _ in range(num):
        optimizer.zero_grad()
        moved = (images + 0.1).requires_grad_()
        (slope,) = torch.autograd.grad(model(moved).square().sum(), moved, create_graph=True)
        (F.cross_entropy(model(images), labels) + 0.1 * (slope.norm(dim=1) - 1).square().mean()).backward()
        optimizer.step()
    return [optimizer]


def adversarial(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    """The model is the discriminator; every other pass through it leads to an update of the generator."""
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, INPUTS))
    ours, theirs = Adam(model.parameters()), Adam(generator.parameters())
    noise = torch.randn(IMAGES, 4, generator=torch.Generator().manual_seed(5))
    for _ in range(num):
        ours.zero_grad()
        loss = F.softplus(-model(images)).mean() + F.softplus(model(generator(noise).detach())).mean()
        (loss + F.cross_entropy(model(images), labels)).backward()
        ours.step()
        theirs.zero_grad()
        F.softplus(-model(generator(noise))).mean().backward()
        theirs.step()
    return [ours]


def with_closure(make: Callable[[Iterable[nn.Parameter]], Optimizer]) -> Loop:
    """Each step computes its gradients itself, as under Lightning's automatic optimization."""

    def loop(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
        optimizer = make(model.parameters())

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            return loss

        for _ in range(num):
            optimizer.step(closure)
        return [optimizer]

    return loop


def sharpness_aware(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    """Two passes an update, the second at weights that were moved by hand (Foret et al. 2021, arXiv:2010.01412)."""
    optimizer = Adam(model.parameters())
    for _ in range(num):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        norm = torch.stack([each.grad.norm() for each in model.parameters()]).norm() + 1e-12
        moved = [(each, 0.05 * each.grad / norm) for each in model.parameters()]
        with torch.no_grad():
            for parameter, by in moved:
                parameter.add_(by)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            for parameter, by in moved:
                parameter.sub_(by)
        optimizer.step()
    return [optimizer]


def side_by_side(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    matrices = [each for each in model.parameters() if each.dim() == 2]
    vectors = [each for each in model.parameters() if each.dim() != 2]
    optimizers = [Muon(matrices, lr=1e-3, weight_decay=0.0), AdamW(vectors)]
    for _ in range(num):
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        for optimizer in optimizers:
            optimizer.step()
    return optimizers


def at_two_paces(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    """Parts are called, never the model; the first layer is updated half as often."""
    slow = Adam(model.first.parameters())
    fast = Adam([*model.middle.parameters(), *model.last.parameters()])
    for number in range(2 * num):
        model.zero_grad()
        hidden = model.middle(F.relu(model.first(images)))
        F.cross_entropy(model.last(F.relu(hidden)), labels).backward()
        fast.step()
        if number % 2:
            slow.step()
    return [slow]


def evaluated(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    optimizer = Adam(model.parameters())
    for _ in range(num):
        model.eval()
        model(images)
        model.train()
        with torch.no_grad():
            model(images)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return [optimizer]


def in_backward(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    """An optimizer for each parameter, which steps as soon as the gradient is there."""
    optimizers = {each: Adam([each]) for each in model.parameters()}

    def step(parameter: Tensor) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    handles = [each.register_post_accumulate_grad_hook(step) for each in optimizers]
    for _ in range(num):
        F.cross_entropy(model(images), labels).backward()
    for handle in handles:
        handle.remove()
    return list(optimizers.values())


def with_fit(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    zeroinit.bench.fit(
        model, (images, labels), epochs=num, batch_size=IMAGES, generator=torch.Generator().manual_seed(0)
    )
    return []


def compiled(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    optimizer = Adam(model.parameters())
    fast = torch.compile(model, backend="eager")
    for _ in range(num):
        optimizer.zero_grad()
        F.cross_entropy(fast(images), labels).backward()
        optimizer.step()
    return [optimizer]


def by_hand(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    for _ in range(num):
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.03 * parameter.grad)
    return []


def ended_early(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    return plain(model, images, labels, 4)


def other_parameters(model: nn.Module, images: Tensor, labels: Tensor, num: int) -> list[Optimizer]:
    """The optimizer was made from a copy."""
    optimizer = SGD(Dense().parameters(), lr=0.1)
    for _ in range(num):
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return []


LOOPS: dict[str, Loop] = {
    "one pass an update": plain,
    **{f"gradients of {every} passes": accumulated(every) for every in range(2, 8)},
    "GradScaler, update 4 skipped": scaled((4,)),
    "GradScaler, the last update skipped": scaled((12, 13)),
    "GradScaler with a fused optimizer, the last update skipped": scaled((1, 12), fused=True),
    "gradient penalty": gradient_penalty,
    "GAN, its discriminator": adversarial,
    "LBFGS": with_closure(partial(LBFGS, lr=0.02, max_iter=2)),  # without a line search a third may jump
    "SAM, two passes an update": sharpness_aware,
    "step(closure)": with_closure(Adam),
    "Muon beside AdamW": side_by_side,
    "two optimizers at two paces, parts called alone": at_two_paces,
    "evaluation in between": evaluated,
    "an optimizer a parameter, stepping in the backward pass": in_backward,
    "fit": with_fit,
    "torch.compile": compiled,
    "checkpoint(use_reentrant=False)": plain,
    "checkpoint(use_reentrant=True)": plain,
    "updates by hand": by_hand,
    "training ends early": ended_early,
    "optimizer of other parameters": other_parameters,
}


def run(name: str, steps: int | None = 12) -> Outcome:
    """Run a loop around a model with a zero start; return what comes out."""
    draw = torch.Generator().manual_seed(1)
    images, labels = torch.randn(IMAGES, INPUTS, generator=draw), torch.randint(CLASSES, (IMAGES,), generator=draw)
    reentrant = {"checkpoint(use_reentrant=False)": False, "checkpoint(use_reentrant=True)": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Dense(**({"use_reentrant": reentrant[name]} if name in reentrant else {}))
        start = zeroinit.zero_start_(model, steps=steps, generator=torch.Generator().manual_seed(2))
        before = Before(start, model)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with start:
                optimizers = LOOPS[name](model, images, labels, start.steps + AFTER)
    counts = [int(state["step"]) for each in optimizers for state in each.state.values() if "step" in state]
    messages = [str(each.message) for each in caught if issubclass(each.category, zeroinit.RemedyWarning)]
    opened = any(getattr(part, "has_opened", False) for part in start.parts)
    return Outcome(_are_orthogonal(model, before.kept, opened), max(counts, default=None), messages, start)


def _are_orthogonal(model: nn.Module, before: dict[nn.Parameter, Tensor], in_all_directions: bool) -> bool:
    """Compare with what the first updates had learned, made orthogonal in the size of PyTorch's default."""
    for weight in weights_of(model):
        if weight not in before:
            return False
        plain = before[weight] / before[weight].abs().max()
        whole = polar_factor(plain) if in_all_directions else orthogonalized(plain)
        expected = whole * (default_size(whole) / whole.square().mean().sqrt())
        if (weight.detach() - expected).norm() > 0.2 * expected.norm():
            return False
    return True


def main() -> None:
    torch.set_num_threads(1)
    print("| loop | weights orthogonal, in the default's size | moments | warning |")
    print("|---|---|---|---|")
    for name in LOOPS:
        outcome = run(name)
        is_whole = outcome.is_fresh and not outcome.messages
        cells = ["yes" if outcome.is_orthogonal else "no", "fresh" if is_whole else "see the warning"]
        print(f"| {name} | {' | '.join(cells)} | {' '.join(outcome.messages) or '–'} |")


if __name__ == "__main__":
    main()
