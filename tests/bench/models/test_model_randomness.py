"""Building a model neither uses nor changes anybody's random state."""

import pytest
import torch

from zeroinit.bench.models import MODELS, build_model
from zeroinit.init import hash_tensor


def hashes(name: str) -> list[str]:
    return [hash_tensor(parameter) for parameter in build_model(name, (1, 8, 8)).parameters()]


# They stack more of the blocks that ResNet-18 and 50 have.
DEEP = {"resnet34", "resnet34_standard", "resnet101", "resnet101_standard"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in DEEP)) for n in sorted(MODELS)])
def test_global_random_state_is_neither_used_nor_changed(name):
    found = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            found.append(hashes(name))
            assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


def test_the_architecture_alone_does_change_it():
    """The negative case: without ``build_model`` the layers draw from the global generator."""
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        MODELS["mnist_fnn"]((1, 8, 8), 10, "elu")
        assert not torch.equal(torch.get_rng_state(), before)


def test_the_default_device_is_respected():
    with torch.device("meta"):
        model = build_model("mnist_fnn", (1, 28, 28))
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.gpu
def test_the_random_state_of_a_gpu_is_neither_used_nor_changed():
    expected = hashes("mnist_fnn")
    torch.cuda.manual_seed_all(5)
    before = torch.cuda.get_rng_state()
    with torch.device("cuda"):
        model = build_model("mnist_fnn", (1, 8, 8))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert all(parameter.is_cuda for parameter in model.parameters())
    assert [hash_tensor(parameter) for parameter in model.parameters()] == expected
