"""The decoded cache is whole or absent, checked when read, rebuilt when damaged, and never needed."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeroinit.bench.data import DataSource
from zeroinit.bench.data.files import cache as cache_module
from zeroinit.bench.data.files.cache import ARRAY_NAMES, read_cache, write_cache


@pytest.fixture
def loaded(small, tmp_path: Path):
    """The small data set with its cache written: spec, source and cache file."""
    spec = small.spec()
    source = DataSource(small.write(tmp_path / "data"), tmp_path / "cache")
    spec(source)
    return spec, source, spec.cache_path(source)


def test_second_load_does_not_decode(loaded, monkeypatch) -> None:
    spec, source, _ = loaded
    first = spec(source)
    monkeypatch.setattr("zeroinit.bench.data.mnist.decode_idx", None)
    second = spec(source)
    for name in ARRAY_NAMES:
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_cache_alone_is_enough_once_downloads_are_gone(loaded) -> None:
    spec, source, _ = loaded
    assert len(spec(DataSource(None, source.cache_dir, download=False)).train_images) == 20


def test_file_name_tells_data_set_checksums_and_format(small, loaded, monkeypatch) -> None:
    spec, source, path = loaded
    assert path.name.startswith("small-")
    assert path.name.endswith("-v1.npz")
    small.replace("test_labels", small.plain["test_labels"][:-1] + b"\7")
    assert small.spec().cache_path(source) != path
    monkeypatch.setattr(cache_module, "CACHE_FORMAT", 2)
    assert spec.cache_path(source) != path


def test_crash_while_writing_leaves_no_cache(small, tmp_path: Path, monkeypatch) -> None:
    spec = small.spec()
    source = DataSource(small.write(tmp_path / "data"), tmp_path / "cache")

    def crash(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            spec(source)
    assert [path for path in source.cache_dir.rglob("*") if path.is_file()] == []
    assert len(spec(source).train_images) == 20
    assert [path.name for path in source.cache_dir.rglob("*") if path.is_file()] == [spec.cache_path(source).name]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_unwritable_cache_stops_nobody(small, tmp_path: Path, monkeypatch, error: OSError) -> None:
    def refuse(*paths: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    dataset = small.spec()(DataSource(small.write(tmp_path / "data"), tmp_path / "cache"))
    assert len(dataset.train_images) == 20


def test_cache_folder_that_is_a_file_stops_nobody(small, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("I am a file")
    dataset = small.spec()(DataSource(small.write(tmp_path / "data"), tmp_path / "cache"))
    assert len(dataset.train_images) == 20


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-50], lambda whole: whole[50:]])
def test_damaged_cache_is_rebuilt(loaded, damage) -> None:
    spec, source, path = loaded
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert read_cache(path) is None
    spec(source)
    assert read_cache(path) is not None


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_is_harmless_or_detected(tmp_path: Path, data: st.DataObject) -> None:
    arrays = {name: np.arange(number + 1, dtype=np.uint8) for number, name in enumerate(ARRAY_NAMES)}
    path = tmp_path / "cache.npz"
    assert write_cache(path, arrays)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    read = read_cache(path)
    assert read is None or all(np.array_equal(read[name], array) for name, array in arrays.items())


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_nothing_is_unpickled(loaded) -> None:
    spec, source, path = loaded
    pickled = io.BytesIO()
    np.lib.format.write_array(pickled, np.array([Bomb()], dtype=object), allow_pickle=True)
    for content in (pickled.getvalue(), pickle.dumps(Bomb())):
        with zipfile.ZipFile(path, "w") as archive:
            for name in ARRAY_NAMES:
                archive.writestr(f"{name}.npy", content)
        assert read_cache(path) is None
    path.write_bytes(pickle.dumps(Bomb()))
    assert len(spec(source).train_images) == 20


def test_arrays_of_another_type_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cache.npz"
    np.savez(path, **{name: np.zeros(2) for name in ARRAY_NAMES})
    assert read_cache(path) is None
