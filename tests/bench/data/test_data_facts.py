"""Published facts of the real data sets."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import datasets, model_selection

from zeroinit.bench.data import dataset_status, load_dataset, pixel_transform
from zeroinit.bench.data.digits import SPLIT
from zeroinit.bench.data.mnist import FILES, IDX_NAMES


def test_mnist(mnist_root: Path, large_cache: Path) -> None:
    mnist = load_dataset("mnist", mnist_root, cache_dir=large_cache)
    assert mnist.train_images.shape == (60000, 1, 28, 28)
    assert mnist.test_images.shape == (10000, 1, 28, 28)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.test_labels.bincount().max() / 10000 == pytest.approx(0.1135)
    assert (mnist.num_classes, mnist.peak, mnist.num_validation) == (10, 255, 7000)
    transform = pixel_transform("standardized", mnist.train_images, mnist.peak)
    assert [value / 255 for value in (*transform.mean, *transform.std)] == pytest.approx([0.1307, 0.3081], abs=5e-5)
    status = dataset_status("mnist", mnist_root, large_cache)
    assert (status.state, status.num_train, status.num_test, status.is_cached) == ("ready", 60000, 10000, True)


def test_mnist_as_torchvision_unpacks_it_has_the_pinned_lengths_and_checksums(mnist_root: Path) -> None:
    for part, name in IDX_NAMES.items():
        packed = mnist_root / "MNIST" / "raw" / f"{name}.gz"
        if not packed.is_file():
            pytest.skip("the MNIST at hand is not packed")
        content = gzip.decompress(packed.read_bytes())
        assert (len(content), hashlib.sha256(content).hexdigest()) == (FILES[part].num_bytes, FILES[part].sha256)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("train_images", "97665c73e3ce42758b004c9b28191e165f4e210faa976c8105e2d14cff063615"),
        ("train_labels", "c04ab288aacca1ebe654c02cc692e09b7e1e4e414a2b3fa96199cf6f118a204c"),
        ("test_images", "e3452c6e88f0f1471659ad20017337d0de01ae7697926d3bee117113ecdbe8d1"),
        ("test_labels", "761b0c5b17762fe1a05658c412faf0d248f1dbb10d8cd526c39ceca2dddd9bf4"),
    ],
)
def test_the_digits_and_their_split_never_change(name: str, digest: str) -> None:
    """A digest that moves means that the images or their split did: every stored result on the digits is affected."""
    content = getattr(load_dataset("digits"), name).to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(content).hexdigest() == digest


def test_the_layout_of_the_digits_never_changes() -> None:
    """Torch takes one channel with this stride as channels last; in the other layout a convolution rounds otherwise."""
    digits = load_dataset("digits")
    assert digits.train_images.stride() == digits.test_images.stride() == (64, 1, 8, 1)


def test_the_digits_are_split_by_class() -> None:
    digits = load_dataset("digits")
    test = digits.test_labels.bincount()
    total = digits.train_labels.bincount() + test
    assert total.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (test - total * 450 / 1797).abs().max() < 1


def test_the_digits_are_those_of_scikit_learn() -> None:
    digits, theirs = load_dataset("digits"), datasets.load_digits()
    test, train = (np.array(line.split(), dtype=int) for line in SPLIT.read_text().splitlines())
    assert sorted([*test, *train]) == list(range(len(theirs.target)))
    for images, labels, rows in (
        (digits.test_images, digits.test_labels, test),
        (digits.train_images, digits.train_labels, train),
    ):
        assert np.array_equal(images[:, 0], theirs.images[rows])
        assert np.array_equal(labels, theirs.target[rows])


def test_the_split_of_the_digits_can_be_drawn_again() -> None:
    target = datasets.load_digits().target
    drawn = model_selection.train_test_split(range(1797), test_size=450, stratify=target, random_state=0)
    test, train = (np.array(line.split(), dtype=int) for line in SPLIT.read_text().splitlines())
    assert (sorted(drawn[1]), sorted(drawn[0])) == (sorted(test), sorted(train))


def test_the_digits_are_read_without_scikit_learn() -> None:
    code = "import sys\nfrom zeroinit.bench.data import load_dataset\nload_dataset('digits')\n"
    code += "print({'sklearn', 'scipy', 'pandas'} & set(sys.modules))\n"
    code += "from zeroinit.bench.data import digits\ndigits.find_spec = lambda name: None\n"
    code += "try: load_dataset('digits')\nexcept ModuleNotFoundError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    way_out = "sklearn is not installed; type: pip install 'torch-zeroinit[bench]'"
    assert done.stdout.splitlines() == ["set()", way_out]
