"""The status tells what is here and changes nothing."""

from pathlib import Path

import pytest

from zeroinit._common import InputError
from zeroinit.bench.data import DataSource, dataset_status
from zeroinit.bench.data.status import status_of


def test_embedded_data_set_is_ready() -> None:
    assert str(dataset_status("digits")).splitlines() == [
        "digits: ready",
        "  source: embedded in scikit-learn",
        "  images: 1347 training, 450 test, 1×8×8, 10 classes",
    ]


def test_missing_data_set_is_not_downloaded(tmp_path: Path) -> None:
    status = dataset_status("mnist")
    assert status.state == "not downloaded"
    assert status.problem.startswith("fetched when needed, from ossci-datasets.s3.amazonaws.com or ")
    assert "note: fetched when needed" in str(status)
    assert "(not written yet)" in str(status)
    assert not (tmp_path / "cache").exists()


def test_whole_folder_is_ready_and_nothing_is_written(small, tmp_path: Path) -> None:
    spec = small.spec()
    root = small.write(tmp_path / "data")
    status = status_of(spec, DataSource(root, tmp_path / "cache", download=False, keep_decoded=False))
    assert (status.state, status.source, status.is_cached) == ("ready", str(root), False)
    assert (status.num_train, status.num_test, status.input_shape, status.num_classes) == (20, 7, (1, 4, 5), 10)
    assert not (tmp_path / "cache").exists()
    spec(DataSource(root, tmp_path / "cache"))
    status = status_of(spec, DataSource(root, tmp_path / "cache", download=False, keep_decoded=False))
    assert status.is_cached
    assert Path(status.cache).is_file()
    assert "not written" not in str(status)


def test_damaged_folder_is_unusable(small, tmp_path: Path) -> None:
    root = small.write(tmp_path / "data")
    small.path(root, "test_labels").write_bytes(b"x")
    status = status_of(small.spec(), DataSource(root, tmp_path / "cache", download=False, keep_decoded=False))
    assert status.state == "unusable"
    assert "has 1 bytes, expected" in status.problem
    assert "  problem: " in str(status)
    assert status.num_train == 0


def test_folder_without_the_data_set_is_unusable(tmp_path: Path) -> None:
    assert "torchvision root" in dataset_status("mnist", tmp_path).problem
    assert dataset_status("mnist", tmp_path / "nowhere").state == "unusable"


def test_status_must_not_fetch(small, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        status_of(small.spec(), DataSource(None, tmp_path))


def test_unknown_name() -> None:
    with pytest.raises(InputError, match=r"dataset='cifar': .*must be one of"):
        dataset_status("cifar")
