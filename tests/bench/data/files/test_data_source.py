"""A data folder is used as it is, verified at every load, and every fault has one clear line."""

import gzip
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench.data import DatasetSpec, DataSource, load_dataset
from zeroinit.bench.data.files.source import read_verified, user_cache


def source(root: Path | None, tmp_path: Path, **settings: bool) -> DataSource:
    return DataSource.resolve(root, tmp_path / "cache", **settings)


@pytest.mark.parametrize("packed", [True, False])
def test_both_layouts_give_the_arrays(small, tmp_path: Path, packed: bool) -> None:
    dataset = small.spec()(source(small.write(tmp_path / "data", packed=packed), tmp_path))
    assert dataset.input_shape == (1, 4, 5)
    for name, array in small.arrays.items():
        decoded = getattr(dataset, name).numpy()
        assert np.array_equal(decoded.reshape(array.shape), array)


def test_the_data_folder_is_only_read(small, tmp_path: Path) -> None:
    root = small.write(tmp_path / "data")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    small.spec()(source(root, tmp_path))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_variable_names_the_folder_and_the_argument_wins(small, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ZEROINIT_DATA_DIR", str(tmp_path / "from-variable"))
    assert DataSource.resolve().root == tmp_path / "from-variable"
    assert DataSource.resolve(str(tmp_path / "argument")).root == tmp_path / "argument"
    monkeypatch.setenv("ZEROINIT_DATA_DIR", "")
    assert DataSource.resolve().data_dir is None
    assert DataSource.resolve(cache_dir="~/c").cache_dir == Path.home() / "c"
    monkeypatch.delenv("ZEROINIT_CACHE_DIR")
    assert "zeroinit" in str(DataSource.resolve().cache_dir)


def test_without_a_home_folder_a_cache_lasts_as_long_as_the_process(monkeypatch) -> None:
    """As in a container whose user has no entry: the way out is named where it matters, and data needs none."""

    def homeless(*_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("ZEROINIT_CACHE_DIR", raising=False)
    monkeypatch.setattr("pooch.os_cache", homeless)
    with pytest.raises(InputError, match="ZEROINIT_CACHE_DIR: is not set, and you have no home folder; set it to a"):
        user_cache()
    found = DataSource.resolve().cache_dir
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert DataSource.resolve().cache_dir == found
    assert len(load_dataset("digits").test_labels) == 450


def test_a_given_folder_is_never_completed_by_a_download(small, web, tmp_path: Path) -> None:
    spec = small.spec(web.mirror("good", small))
    with pytest.raises(InputError, match="torchvision root"):
        spec(source(tmp_path, tmp_path, download=True))
    assert web.requests == []


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data folder .*/nowhere: no such folder; --data-dir or ZEROINIT_DATA_DIR"):
        load_dataset("mnist", tmp_path / "nowhere")


def test_folder_without_the_data_set_names_the_path_that_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=rf"^data set 'mnist': no {tmp_path}/MNIST/raw/train-images-idx3-ubyte\.gz; .* must name a torchvision "
        r"root, the folder that holds MNIST/raw/train-images-idx3-ubyte\.gz$",
    ):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("inside", ["MNIST", "MNIST/raw"])
def test_folder_inside_the_root_is_answered_with_the_root(small, tmp_path: Path, inside: str) -> None:
    root = small.write(tmp_path / "data")
    with pytest.raises(InputError, match=rf"did you mean {root}\?$"):
        small.spec()(source(root / inside, tmp_path))


def test_one_missing_file_is_named(small, tmp_path: Path) -> None:
    root = small.write(tmp_path / "data", packed=False)
    small.path(root, "test_labels", packed=False).unlink()
    with pytest.raises(InputError, match=r"^data set 'small': no .*/t10k-labels-idx1-ubyte; "):
        small.spec()(source(root, tmp_path))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_truncated_file(small, tmp_path: Path, packed: bool, cached: bool) -> None:
    root = small.write(tmp_path / "data", packed=packed)
    if cached:
        small.spec()(source(root, tmp_path))
    path = small.path(root, "train_images", packed=packed)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match=rf"^{path}: has 100 bytes, expected {len(whole)}; delete it and copy"):
        small.spec()(source(root, tmp_path))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_one_changed_bit(small, tmp_path: Path, packed: bool, cached: bool) -> None:
    root = small.write(tmp_path / "data", packed=packed)
    if cached:
        small.spec()(source(root, tmp_path))
    path = small.path(root, "train_labels", packed=packed)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: is damaged: SHA-256 expected \w{{64}}, found \w{{64}}; delete it"):
        small.spec()(source(root, tmp_path))


def test_file_that_cannot_be_read(small, tmp_path: Path, monkeypatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    root = small.write(tmp_path / "data")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz: cannot be read: Permission denied$"):
        small.spec()(source(root, tmp_path))


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("train_images", b"no header", r"^train-images-idx3-ubyte: is not an IDX file of 3-dimensional bytes"),
        ("train_labels", bytes([0, 0, 8, 1, 0, 0, 0, 2, 0, 1]), r"'small': 20 train images but 2 labels"),
        ("test_labels", bytes([0, 0, 8, 1, 0, 0, 0, 7, *range(5, 12)]), r"'small': test label 11, expected 0 to 9"),
        (
            "test_images",
            bytes([0, 0, 8, 3, *(0, 0, 0, 7), *(0, 0, 0, 1), *(0, 0, 0, 1)]) + bytes(7),
            r"shape \(1, 4, 5\)",
        ),
    ],
)
def test_files_with_the_right_checksum_that_do_not_fit(small, tmp_path, part, content, message) -> None:
    small.replace(part, content)
    spec: DatasetSpec = small.spec()
    with pytest.raises(InputError, match=message):
        spec(source(small.write(tmp_path / "data"), tmp_path))
    assert not spec.cache_path(source(None, tmp_path)).exists()


def test_a_file_that_is_no_gzip_file(small, tmp_path: Path) -> None:
    small.packed["test_images"] = gzip.compress(small.plain["test_images"])[:-10]
    with pytest.raises(InputError, match=r"^t10k-images-idx3-ubyte\.gz: is not a whole gzip file"):
        small.spec()(source(small.write(tmp_path / "data"), tmp_path))


def test_gzip_files_come_before_unpacked_ones(small, tmp_path: Path) -> None:
    root = small.write(small.write(tmp_path / "data"), packed=False)
    spec = small.spec()
    layout, contents = read_verified("small", spec.layouts, source(root, tmp_path))
    assert layout is spec.layouts[0]
    assert all(name.endswith(".gz") for name in contents)


def test_download_refused(small, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^data set 'small': .*-ubyte\.gz does not exist and download=False; .*--data-dir"
    ):
        small.spec("http://127.0.0.1:9/")(source(None, tmp_path, download=False))
    with pytest.raises(InputError, match=r"'mnist': .* download=False"):
        load_dataset("mnist", download=False)


def test_digits_ask_for_no_folder(tmp_path: Path) -> None:
    first, second = load_dataset("digits"), load_dataset("digits", tmp_path / "nowhere", download=False)
    assert torch.equal(first.train_images, second.train_images)
    assert not (tmp_path / "cache").exists()
