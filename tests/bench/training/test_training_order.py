"""Which images a model sees: every image once per epoch, in one order throughout or in a new one each time."""

import pytest
import torch

from zeroinit.bench.training import fit


@pytest.fixture
def seen(make_model, generator):
    """Trains on numbered images; returns for each epoch its batches as lists of numbers."""

    def run(*, epochs=4, num_images=23, batch_size=8, seed=0, **settings) -> list[list[list[int]]]:
        model, batches = make_model("dense"), []
        images = torch.arange(num_images).double()[:, None].expand(-1, 6).contiguous()
        model.register_forward_hook(lambda module, inputs, output: batches.append(inputs[0][:, 0].int().tolist()))
        labels = torch.arange(num_images) % 3
        fit(model, (images, labels), epochs=epochs, batch_size=batch_size, generator=generator(seed), **settings)
        num_batches = len(batches) // epochs
        return [batches[start : start + num_batches] for start in range(0, len(batches), num_batches)]

    return run


def flat(epoch: list[list[int]]) -> list[int]:
    return [number for batch in epoch for number in batch]


@pytest.mark.parametrize("order", ["fresh", "fixed"])
@pytest.mark.parametrize(("num_images", "sizes"), [(23, [8, 8, 7]), (24, [8, 8, 8]), (5, [5]), (17, [8, 8, 1])])
def test_every_image_once_per_epoch(seen, order, num_images, sizes):
    epochs = seen(order=order, num_images=num_images)
    assert len(epochs) == 4
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == sizes
        assert sorted(flat(epoch)) == list(range(num_images))


def test_fixed_is_one_order(seen):
    first, *others = seen(order="fixed")
    assert others == [first] * 3
    assert flat(first) != list(range(23))


def test_fresh_is_another_order_each_time(seen):
    orders = [flat(epoch) for epoch in seen(order="fresh")]
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(23)) not in orders


def test_fresh_is_the_default(seen):
    assert seen() == seen(order="fresh") != seen(order="fixed")


def test_both_start_with_the_same_order(seen):
    assert seen(order="fresh")[0] == seen(order="fixed")[0]


@pytest.mark.parametrize("order", ["fresh", "fixed"])
def test_seed_decides_the_order(seen, order):
    assert seen(order=order, seed=3) == seen(order=order, seed=3)
    assert seen(order=order, seed=3) != seen(order=order, seed=4)


def test_order_depends_on_nothing_but_the_seed(seen):
    """Another batch size, optimizer or number of epochs cuts or continues the same sequence of images."""
    expected = [flat(epoch) for epoch in seen(seed=5)]
    assert [flat(epoch) for epoch in seen(seed=5, batch_size=3)] == expected
    assert [flat(epoch) for epoch in seen(seed=5, optimizer="sgd", learning_rate=1e-6)] == expected
    assert [flat(epoch) for epoch in seen(seed=5, epochs=2)] == expected[:2]


def test_labels_stay_with_their_images(make_model, generator):
    """A model that copies its one-hot input is right about all of them only if no pair was torn apart."""
    images = torch.eye(3).double()[torch.arange(23) % 3] * 100
    model = torch.nn.Linear(3, 3, bias=False).double()
    torch.nn.init.eye_(model.weight)
    settings = {"epochs": 1, "batch_size": 4, "generator": generator(0), "optimizer": "sgd", "learning_rate": 1e-9}
    assert fit(model, (images, torch.arange(23) % 3), **settings).train_loss[0] < 1e-12
    torn = (images, torch.arange(23).add(1) % 3)
    assert fit(model, torn, **settings).train_loss[0] > 1
