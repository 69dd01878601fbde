"""``fit``: train one model, or the same architecture from several seeds, and measure it after every epoch."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, overload, runtime_checkable

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, lookup, real_number, whole_number
from zeroinit._modules.arguments import check_function, check_module, name_of
from zeroinit.bench.training.checkpoint import Checkpoint
from zeroinit.bench.training.evaluate import EVALUATION_MODES
from zeroinit.bench.training.history import History
from zeroinit.bench.training.loop import Loop
from zeroinit.bench.training.member import Labeled, Member, Transform, make_member
from zeroinit.bench.training.observers import Observers, into_train_mode
from zeroinit.bench.training.optimizers import OPTIMIZERS, build_optimizers
from zeroinit.bench.training.steps.execution import EXECUTIONS
from zeroinit.bench.training.steps.layout import LAYOUTS, laid_out
from zeroinit.bench.training.steps.precision import choose_precision
from zeroinit.bench.training.steps.stacked import StackedModel, why_not_stackable

__all__ = ["ORDERS", "REDUCTIONS", "STACKINGS", "choose_stacking", "fit"]

REDUCTIONS = {"sum": "sum", "mean": "mean"}
ORDERS = {"fresh": "a new random order in every epoch", "fixed": "one random order for all epochs"}
STACKINGS = {
    "auto": "stacked on a CUDA device if the models are dense, else in turn",
    "stacked": "all models in one set of calls: batched products and grouped convolutions",
    "in_turn": "one after the other",
}
EVALUATION_BATCH = 1000
ELEMENT_BY_ELEMENT = {"adam", "adamw", "sgd", "rmsprop"}
"""Optimizers for which stacked parameters are updated as they would be alone."""


@runtime_checkable
class Stored(Protocol):
    """A data set that brings its parts, as ``load_dataset`` returns it: training, test, and the map to an input."""

    def on(self, device: torch.device) -> tuple[Labeled, Labeled, Transform]: ...


@overload
def fit(model: nn.Module, train: Labeled | Stored, **settings: Any) -> History: ...
@overload
def fit(model: Sequence[nn.Module], train: Labeled | Stored | Sequence[Labeled], **settings: Any) -> list[History]: ...
def fit(  # type: ignore[misc]  # the two forms above name what differs; the rest is checked here
    model,
    train,
    *,
    epochs: int,
    validation: Labeled | Sequence[Labeled | None] | None = None,
    test: Labeled | Sequence[Labeled | None] | None = None,
    batch_size: int = 128,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    momentum: float = 0.0,
    warmup_steps: int = 0,
    max_steps: int | None = None,
    reduction: str = "sum",
    order: str = "fresh",
    evaluation_mode: str = "eval",
    transform: Transform | None = None,
    augment: Transform | Sequence[Transform | None] | None = None,
    parameters: Iterable[nn.Parameter] | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    precision: str | None = None,
    layout: str = "auto",
    stacking: str = "auto",
    execution: str = "auto",
    checkpoint: Checkpoint | None = None,
    observers: Sequence[object] = (),
):
    """Train ``model`` in place and measure it after every epoch.

    On one machine, with one number of threads, the same model, data, settings and generator state give bitwise the same
    history.

    Args:
        model: Maps a batch of images to logits (batch, num_classes). Or a sequence of such models. Then ``train``,
            ``validation``, ``test``, ``augment`` and ``generator`` may be sequences of the same length. All models
            share an argument that is no sequence, except ``generator``: each model needs its own. If some modules are
            in eval mode, such as norms that keep their statistics, they stay in it. Only a model that is wholly in eval
            mode is put into train mode.
        train: Stored images (num_images, ...) and classes (num_images,), on the model's device. Or a ``Dataset`` of
            ``load_dataset``. ``fit`` then moves the data to the model's device. The test images are the default of
            ``test``, and the map of pixels to [0, 1] is the default of ``transform``.
        epochs: Passes over the training images, at least 0.
        validation: Images and classes that are only measured; skipped if ``None`` or empty, as is ``test``.
        test: Images and classes that are only measured.
        batch_size: Images per update; the last batch of an epoch may be smaller.
        optimizer: A key of ``OPTIMIZERS``.
        learning_rate: Constant after the warm-up.
        momentum: For SGD, RMSprop and Muon.
        warmup_steps: Updates over which the learning rate rises linearly from ``learning_rate / warmup_steps``.
        max_steps: Updates after which training ends, also in the middle of an epoch. The model is then measured. No
            limit if ``None``.
        reduction: ``"sum"`` (the paper) or ``"mean"`` of the cross entropy over the batch.
        order: ``"fresh"`` for a new random order in every epoch, ``"fixed"`` for one order throughout.
        evaluation_mode: ``"eval"`` or ``"train"``; see ``evaluate``. In ``"train"`` mode the evaluation batches have
            the size of the training batches.
        transform: Maps stored images to the model's input, batch by batch. Images may have a leading axis of models.
        augment: Maps stored images to stored images, batch by batch, in training alone and before ``transform``. If it
            draws random numbers, its attribute ``generator`` must hold the source, so that a checkpoint saves it.
        parameters: What the optimizer updates; the model's own if ``None``. An optimizer over the parameters of a copy
            trains nothing, as in the paper's SGD runs. Each step clears the gradients of the step before, for all
            parameters of the model.
        generator: Source of the batch order (a CPU generator); torch's global one if ``None``.
        precision: A key of ``PRECISIONS``; the precision that the model has if ``None``.
        layout: A key of ``LAYOUTS``: the order in which images lie in memory during training.
        stacking: A key of ``STACKINGS``: how several models are trained. Results are equal within rounding. If the loss
            of a stacked model is not finite, its history ends, but it trains until all models end.
        execution: A key of ``EXECUTIONS``: how updates go to the device, operation by operation or as a recorded CUDA
            graph. Results are equal within rounding.
        checkpoint: Where the state is saved and from where it is read again; nowhere if ``None``.
        observers: Objects that watch the run. Each is an ``Observer``, or has one of its methods. Observers cannot
            disturb the run, except by hooks on the model, as remedies do.

    Returns:
        The history, or the histories of several models. If a loss is not finite, the run ends, and the history says so;
        no error is raised.

    Raises:
        InputError: A setting out of range, an unknown name, or an observer without a method to call. Several models
            with observers or parameters, which only one model can have. Models that cannot be stacked as asked for.

    Example:
        >>> images, labels = torch.randn(64, 2), torch.randint(2, (64,))
        >>> fit(nn.Linear(2, 2), (images, labels), epochs=3, batch_size=16).num_steps
        12
        >>> [history.num_steps for history in fit([nn.Linear(2, 2) for _ in range(4)], (images, labels), epochs=1)]
        [1, 1, 1, 1]
    """
    models = [model] if isinstance(model, nn.Module) or not isinstance(model, Iterable) else list(model)
    for each in models:
        check_module(each)
    if isinstance(train, Stored):
        held = nn.ModuleList(models).parameters()
        train, tested, mapped = train.on(next((each.device for each in held), torch.device("cpu")))
        test, transform = tested if test is None else test, transform or mapped
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "warmup_steps": warmup_steps,
        "max_steps": max_steps,
        "reduction": reduction,
        "order": order,
        "evaluation_mode": evaluation_mode,
        "transform": transform,
        "precision": precision,
        "layout": layout,
        "execution": execution,
        "checkpoint": checkpoint,
    }
    _check_settings(settings)
    lookup(STACKINGS, stacking, "stacking")
    if not isinstance(observers, Sequence):
        raise InputError(f"observers={name_of(observers)}: must be a list, as [observer]")
    if not isinstance(parameters, Iterable | None):
        raise InputError(f"parameters={name_of(parameters)}: must be nn.Parameters, as model.parameters() gives them")
    if isinstance(model, nn.Module):
        member = make_member(train, validation, test, generator, augment)
        return _run(model, [member], parameters=parameters, observers=observers, **settings)[0]
    members = _members(models, train, validation, test, generator, augment)
    if observers or parameters is not None:
        argument = "observers" if observers else "parameters"
        raise InputError(f"{argument}: belong to one model, and there are {len(models)}; train them one by one")
    differing = _differing_counts(members)
    chosen = choose_stacking(models, optimizer, stacking)
    if chosen == "stacked" and differing is None:
        return _run_stacked(models, members, settings)
    if stacking == "stacked":
        raise InputError(f"{differing}; stacked they need as many each, or use stacking='in_turn'")
    if checkpoint is not None:
        raise InputError("checkpoint: holds one run, and these models train in turn; train them one by one")
    return [_run(each, [member], **settings)[0] for each, member in zip(models, members, strict=True)]


def choose_stacking(models: Sequence[nn.Module], optimizer: str, stacking: str) -> str:
    """Return ``"stacked"`` or ``"in_turn"``.

    Args:
        models: At least one.
        optimizer: A key of ``OPTIMIZERS``.
        stacking: A key of ``STACKINGS``.

    Raises:
        InputError: An unknown name, or models that cannot be stacked as asked for.

    Example:
        >>> choose_stacking([nn.Linear(2, 2), nn.Linear(2, 2)], "adam", "auto")
        'in_turn'
    """
    lookup(STACKINGS, stacking, "stacking")
    reason = why_not_stackable(models)
    if optimizer not in ELEMENT_BY_ELEMENT:
        reason = f"{optimizer!r} does not work element by element"
    if stacking == "stacked" and reason is not None:
        raise InputError(f"stacking='stacked': the models cannot be stacked, as {reason}; use 'auto' or 'in_turn'")
    if stacking == "auto":
        # On two AVX2 cores five stacked FNNs take 0.9 to 1.15 times as long as one by one, so stacking gains nothing.
        on_cuda = any(parameter.is_cuda for parameter in models[0].parameters())
        is_dense = not any(isinstance(module, nn.Conv2d) for module in models[0].modules())
        return "stacked" if on_cuda and is_dense and reason is None and len(models) > 1 else "in_turn"
    return stacking


def _differing_counts(members: list[Member]) -> str | None:
    """Say where the models' numbers of images differ; ``None`` if they do not."""
    counts = {"train": {len(member.train[1]) for member in members}}
    for name in ("validation", "test"):
        counts[name] = {len(member.held_out[name][1]) if name in member.held_out else 0 for member in members}
    for name, found in counts.items():
        if len(found) > 1:
            return f"{name}: the models have {sorted(found)} images"
    return None


def _run_stacked(models: list[nn.Module], members: list[Member], settings: dict) -> list[History]:
    if settings["epochs"] > 0:
        for each in models:  # as for a model that trains alone; the stacked form takes these modes
            into_train_mode(each)
    model = StackedModel(models)
    histories = _run(model, members, **settings | {"layout": "contiguous"}, stacked=True)
    model.write_back()
    return histories


def _run(
    model: nn.Module,
    members: list[Member],
    *,
    epochs: int,
    optimizer: str,
    momentum: float,
    transform: Transform | None,
    precision: str | None,
    layout: str,
    evaluation_mode: str,
    parameters: Iterable[nn.Parameter] | None = None,
    observers: Sequence[object] = (),
    **settings: Any,
) -> list[History]:
    as_stored = transform is None and not members[0].train[0].is_floating_point()
    numbers = choose_precision(precision, members[0].train[0].device)
    with numbers.applied(model), laid_out(model, layout, transform) as transform:
        chosen = list(model.parameters() if parameters is None else parameters)
        loop = Loop(
            model=model,
            members=members,
            parameters=chosen,
            optimizers=build_optimizers(chosen, optimizer, learning_rate=settings["learning_rate"], momentum=momentum),
            observers=Observers(tuple(observers)),
            precision=numbers,
            transform=transform,
            evaluation_mode=evaluation_mode,
            evaluation_batch=settings["batch_size"] if evaluation_mode == "train" else EVALUATION_BATCH,
            **settings,
        )
        try:
            loop.run(epochs)
        except RuntimeError as error:
            if loop.num_steps > 1 or not as_stored:
                raise
            kind = members[0].train[0].dtype
            raise InputError(
                f"train: the first pass failed on images of {kind} ({error}); pass a Dataset, or transform=, as "
                "`lambda images: images / 255`"
            ) from error
    return [member.history for member in members]


def _members(models: list[nn.Module], train, validation, test, generator, augment) -> list[Member]:
    """Give each model its own data, generator and augmentation, or the shared ones."""
    if not models:
        raise InputError("model: is an empty sequence; needs at least one")
    parameters = [parameter for model in models for parameter in model.parameters() if parameter.requires_grad]
    if len(set(parameters)) < len(parameters):
        raise InputError("model: holds the same parameters twice; each needs its own, as copy.deepcopy makes them")
    columns = []
    for name, value in (
        ("train", train),
        ("validation", validation),
        ("test", test),
        ("generator", generator),
        ("augment", augment),
    ):
        is_pair = isinstance(value, tuple) and bool(value) and isinstance(value[0], Tensor)
        is_shared = value is None or callable(value) or is_pair or isinstance(value, torch.Generator)
        column = [value] * len(models) if is_shared else list(value)
        if len(column) != len(models):
            raise InputError(f"{name}: has {len(column)} entries for {len(models)} models; needs as many")
        columns.append(column)
    *_, generators, augments = columns
    _check_own("generator: is one", generators)
    _check_own("augment: draws from one generator", [getattr(each, "generator", None) for each in augments])
    return [make_member(*row) for row in zip(*columns, strict=True)]


def _check_own(found: str, generators: list[torch.Generator | None]) -> None:
    own = [id(generator) for generator in generators if generator is not None]
    if len(set(own)) < len(own):
        raise InputError(f"{found} for {len(own)} models, which would share its numbers; hand over as many")


def _check_settings(settings: dict) -> None:
    """Refuse settings that cannot be used; counts become plain ``int``s."""
    least = {"epochs": 0, "batch_size": 1, "warmup_steps": 0, "max_steps": 1}
    for name, bound in least.items():
        if settings[name] is not None or name != "max_steps":
            settings[name] = whole_number(settings[name], name, bound)
    real_number(settings["learning_rate"], "learning_rate", above=0)
    real_number(settings["momentum"], "momentum", least=0, below=1)
    if settings["transform"] is not None:
        check_function(settings["transform"], "transform", "of images to the model's input", counts=[1])
    if not isinstance(settings["checkpoint"], Checkpoint | None):
        raise InputError(f"checkpoint={name_of(settings['checkpoint'])}: must be a Checkpoint, as Checkpoint('folder')")
    lookup(OPTIMIZERS, settings["optimizer"], "optimizer")
    lookup(REDUCTIONS, settings["reduction"], "reduction")
    lookup(ORDERS, settings["order"], "order")
    lookup(EVALUATION_MODES, settings["evaluation_mode"], "evaluation_mode")
    lookup(LAYOUTS, settings["layout"], "layout")
    lookup(EXECUTIONS, settings["execution"], "execution")
