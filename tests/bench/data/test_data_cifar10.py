"""CIFAR-10 in its three forms: the same arrays, nothing unpickled but arrays, nothing used that is not whole."""

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from zeroinit._common import InputError
from zeroinit.bench.data import DatasetSpec, Sizes, dataset_status, load_dataset, pixel_transform
from zeroinit.bench.data.cifar10 import BATCHES, CifarBatch, cifar_layouts
from zeroinit.bench.data.files.cifar_batches import records_of_pickle
from zeroinit.bench.data.files.source import DataSource, SourceFile

ARCHIVE = "cifar-10-binary.tar.gz"
SIZES = Sizes((3, 32, 32), num_train=8, num_test=3, num_test_majority=1)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pickled(batch: object) -> bytes:
    """Write a batch with bytes as bytes, as Python 2 did under protocol 2."""
    return pickle.dumps(batch, protocol=3)


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class SmallCifar:
    """Two training batches of four images and a test batch of three, in every form."""

    pickles: dict[str, bytes]
    records: dict[str, bytes]
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    @property
    def archive(self) -> bytes:
        readme = {"cifar-10-batches-bin/readme.html": b"about"}
        return tar(readme | {f"cifar-10-batches-bin/{name}.bin": content for name, content in self.records.items()})

    def spec(self, archive: bytes | None = None, *mirrors: str) -> DatasetSpec:
        """Describe the files as they are now."""
        content = self.archive if archive is None else archive
        batches = {
            name: CifarBatch(
                len(self.pickles[name]), sha256(self.pickles[name]), len(self.records[name]), sha256(self.records[name])
            )
            for name in self.records
        }
        source = SourceFile(ARCHIVE, len(content), sha256(content))
        return DatasetSpec("small", cifar_layouts(batches, source, mirrors), SIZES, num_classes=10, peak=255)

    def write(self, root: Path, form: str) -> Path:
        files = {
            "pickles": {f"cifar-10-batches-py/{name}": content for name, content in self.pickles.items()},
            "records": {f"cifar-10-batches-bin/{name}.bin": content for name, content in self.records.items()},
            "archive": {ARCHIVE: self.archive},
        }
        for path, content in files[form].items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root


@pytest.fixture
def small() -> SmallCifar:
    rng = np.random.default_rng(0)
    counts = {"data_batch_1": 4, "data_batch_2": 4, "test_batch": 3}
    images = {name: rng.integers(0, 256, (count, 3072), dtype=np.uint8) for name, count in counts.items()}
    labels = {name: rng.integers(0, 10, count, dtype=np.uint8) for name, count in counts.items()}
    pickles = {name: pickled({b"labels": labels[name].tolist(), b"data": images[name]}) for name in counts}
    records = {name: np.concatenate([labels[name][:, None], images[name]], axis=1).tobytes() for name in counts}
    return SmallCifar(pickles, records, images, labels)


def source(root: Path, cache: Path) -> DataSource:
    return DataSource.resolve(root, cache)


@pytest.mark.parametrize("form", ["pickles", "records", "archive"])
def test_every_form_gives_the_same_arrays(small: SmallCifar, tmp_path: Path, form: str) -> None:
    dataset = small.spec()(source(small.write(tmp_path / "root", form), tmp_path / "cache"))
    train = np.concatenate([small.images["data_batch_1"], small.images["data_batch_2"]])
    assert np.array_equal(dataset.train_images.numpy(), train.reshape(8, 3, 32, 32))
    assert np.array_equal(dataset.test_images.numpy(), small.images["test_batch"].reshape(3, 3, 32, 32))
    labels = [*small.labels["data_batch_1"], *small.labels["data_batch_2"]]
    assert dataset.train_labels.tolist() == labels
    assert dataset.test_labels.tolist() == small.labels["test_batch"].tolist()


def test_the_archive_is_what_is_downloaded(small: SmallCifar, tmp_path: Path, web) -> None:
    web.pages[f"/{ARCHIVE}"] = small.archive
    dataset = small.spec(None, f"http://{web.address}/")(DataSource.resolve(None, tmp_path / "cache"))
    assert len(dataset.train_images) == 8
    assert web.requests == [f"/{ARCHIVE}"]


class Harmful:
    """What a pickle from a stranger may hold."""

    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickled(Harmful()), r"^b1: a pickle asks for (posix|nt)\.system, .*refused$"),
        (pickled(np.float64(1.0)), r"^b1: a pickle asks for numpy.*scalar, .*refused$"),
        (
            pickled({b"labels": [1], b"data": np.zeros((1, 9), np.uint8)}),
            r"^b1: data has shape \(1, 9\), expected \(1, 30",
        ),
        (pickled({b"labels": [1], b"data": np.zeros((1, 3072))}), r"^b1: data has shape \(1, 3072\), expected"),
        (pickled({b"labels": [1], b"data": "text"}), r"^b1: data has shape str, expected"),
        (pickled({b"labels": [1]}), r"^b1: is not a batch of CIFAR-10: KeyError: .*; copy or download it again$"),
        (b"", r"^b1: is not a batch of CIFAR-10: EOFError"),
        (b"not a pickle", r"^b1: is not a batch of CIFAR-10: UnpicklingError"),
    ],
)
def test_a_pickle_that_is_no_batch_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        records_of_pickle(content, "b1")


def test_no_code_runs_while_a_harmful_pickle_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Touch:
        def __reduce__(self):
            return Path.touch, (mark,)

    content = pickled(Touch())
    pickle.loads(content)
    assert mark.exists()  # it does harm where it is let in
    mark.unlink()
    with pytest.raises(InputError, match="refused"):
        records_of_pickle(content, "b1")
    assert not mark.exists()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def no_archive(content: bytes) -> bytes:
    return b"<html>"


def without_test_batch(content: bytes) -> bytes:
    return tar({"cifar-10-batches-bin/data_batch_1.bin": b"x"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, r"cifar-10-binary.tar.gz: is not a whole archive: .*; copy or download it again$"),
        (no_archive, r"cifar-10-binary.tar.gz: is not a whole archive: "),
        (without_test_batch, r"cifar-10-binary.tar.gz: data_batch_1.bin is damaged in it; copy"),
    ],
)
def test_an_archive_that_is_not_whole(
    small: SmallCifar, tmp_path: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    content = spoil(small.archive)
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(InputError, match=message):
        small.spec(content)(source(tmp_path, tmp_path / "cache"))


def test_an_archive_without_a_batch(small: SmallCifar, tmp_path: Path) -> None:
    members = {f"x/{name}.bin": content for name, content in small.records.items() if name != "test_batch"}
    (tmp_path / ARCHIVE).write_bytes(tar(members))
    with pytest.raises(InputError, match=r"test_batch\.bin is missing in it"):
        small.spec(tar(members))(source(tmp_path, tmp_path / "cache"))


def test_records_that_are_not_whole(small: SmallCifar, tmp_path: Path) -> None:
    small.records["data_batch_2"] += b"x"
    with pytest.raises(InputError, match=r"data_batch_2: has 12293 bytes, not a multiple of 3073"):
        small.spec()(source(small.write(tmp_path, "records"), tmp_path / "cache"))


def test_a_damaged_batch_names_both_checksums(small: SmallCifar, tmp_path: Path) -> None:
    spec = small.spec()
    path = small.write(tmp_path, "pickles") / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=r"data_batch_2: is damaged: SHA-256 expected \w{64}, found \w{64}"):
        spec(source(tmp_path, tmp_path / "cache"))


@pytest.fixture
def cifar_root(mnist_root: Path) -> Path:
    if not (mnist_root / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no cifar-10-batches-py in {mnist_root}: set ZEROINIT_DATA_DIR to a torchvision root")
    return mnist_root


def test_the_real_data_set(cifar_root: Path, large_cache: Path) -> None:
    cifar = load_dataset("cifar10", cifar_root, cache_dir=large_cache)
    assert cifar.train_images.shape == (50000, 3, 32, 32)
    assert cifar.test_images.shape == (10000, 3, 32, 32)
    assert cifar.train_labels.bincount().tolist() == [5000] * 10
    assert cifar.test_labels.bincount().tolist() == [1000] * 10
    assert cifar.train_labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert (cifar.num_classes, cifar.peak, cifar.num_validation) == (10, 255, 7000)
    transform = pixel_transform("standardized", cifar.train_images, cifar.peak)
    assert [value / 255 for value in transform.mean] == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    assert [value / 255 for value in transform.std] == pytest.approx([0.2470, 0.2435, 0.2616], abs=5e-5)
    assert dataset_status("cifar10", cifar_root, large_cache).state == "ready"


def test_the_pickles_hold_the_records_whose_checksums_are_pinned(cifar_root: Path) -> None:
    """Two sources that were pinned apart agree: the pickles at hand and the published binary records."""
    for name, batch in BATCHES.items():
        records = records_of_pickle((cifar_root / "cifar-10-batches-py" / name).read_bytes(), name)
        assert (len(records), sha256(records)) == (batch.bin_bytes, batch.bin_sha256)
