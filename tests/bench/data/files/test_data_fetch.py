"""Downloads through a web server on this host: mirrors in order, checksums, nothing half-written."""

import io
import os
from pathlib import Path

import pooch
import pytest

from zeroinit._common import InputError
from zeroinit.bench.data import DataSource
from zeroinit.bench.data.files.fetch import fetch


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    return DataSource(None, tmp_path / "cache")


def files_of(source: DataSource) -> list[str]:
    return sorted(path.name for path in source.root.rglob("*") if path.is_file())


def test_second_mirror_is_asked_when_the_first_fails(small, web, source) -> None:
    spec = small.spec(web.mirror("broken"), web.mirror("good", small), web.mirror("unused"))
    dataset = spec(source)
    assert dataset.train_labels.tolist() == small.arrays["train_labels"].tolist()
    asked = [request.split("/")[1] for request in web.requests]
    assert asked == ["broken", "good"] * 4


def test_first_mirror_is_enough_and_nothing_is_fetched_twice(small, web, source) -> None:
    spec = small.spec(web.mirror("good", small), web.mirror("unused"))
    spec(source)
    spec(source)
    spec.cache_path(source).unlink()
    spec(source)
    assert len(web.requests) == 4
    assert all(request.startswith("/good/") for request in web.requests)


def test_downloads_are_a_torchvision_root(small, web, source, tmp_path: Path) -> None:
    spec = small.spec(web.mirror("good", small))
    spec(source)
    assert len(spec(DataSource(source.root, tmp_path / "other")).test_images) == 7


def test_wrong_content_is_rejected_and_removed(small, web, source) -> None:
    spec = small.spec(web.mirror("bad", small))
    web.pages = {page: content[:-1] + b"?" for page, content in web.pages.items()}
    with pytest.raises(InputError, match=rf"tried {web.address} \(wrong checksum\); check the network"):
        spec(source)
    assert files_of(source) == []


def test_wrong_content_is_followed_by_the_next_mirror(small, web, source) -> None:
    spec = small.spec(web.mirror("bad", small), web.mirror("good", small))
    web.pages = {page: b"<html>" if "bad" in page else content for page, content in web.pages.items()}
    assert len(spec(source).test_images) == 7


@pytest.mark.parametrize("damage", [lambda whole: whole[:-5], lambda whole: whole[:-1] + b"?"])
def test_damaged_download_is_fetched_again(small, web, source, damage) -> None:
    spec = small.spec(web.mirror("good", small))
    spec(source)
    spec.cache_path(source).unlink()
    path = small.path(source.root, "train_images")
    path.write_bytes(damage(path.read_bytes()))
    spec(source)
    assert len(web.requests) == 5
    assert path.read_bytes() == small.packed["train_images"]


def test_damaged_download_is_reported_where_nothing_may_be_fetched(small, web, source) -> None:
    spec = small.spec(web.mirror("good", small))
    spec(source)
    spec.cache_path(source).unlink()
    path = small.path(source.root, "train_images")
    path.write_bytes(b"short")
    with pytest.raises(InputError, match=rf"^{path}: has 5 bytes, expected "):
        spec(DataSource(None, source.cache_dir, download=False))
    assert path.read_bytes() == b"short"


def test_without_a_network_every_host_is_named_with_its_reason(small, web, source) -> None:
    spec = small.spec("http://127.0.0.1:9/", web.mirror("broken"))
    with pytest.raises(
        InputError,
        match=rf"^cannot download train-images-idx3-ubyte\.gz: tried 127\.0\.0\.1:9 \(no connection\), {web.address} "
        r"\(HTTP status 404\); check the network, or name a torchvision root .* with --data-dir or ZEROINIT_DATA_DIR$",
    ):
        spec(source)
    assert not source.cache_dir.exists()  # no folder either


def test_a_failed_download_leaves_the_folders_that_were_there(small, source) -> None:
    (source.cache_dir / "kept").mkdir(parents=True)
    with pytest.raises(InputError, match="no connection"):
        small.spec("http://127.0.0.1:9/")(source)
    assert [path.name for path in source.cache_dir.rglob("*")] == ["kept"]


def test_silent_host_is_given_up(small, source, monkeypatch) -> None:
    import requests

    def never(*args: object, **kwargs: object) -> None:
        raise requests.Timeout

    monkeypatch.setattr(requests, "get", never)
    with pytest.raises(InputError, match=r"127\.0\.0\.1 \(no answer in time\)"):
        small.spec("http://127.0.0.1/")(source)


def test_cache_folder_that_cannot_be_written(small, web, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("I am a file")
    spec = small.spec(web.mirror("good", small))
    with pytest.raises(
        InputError, match=r"^cannot write .*-ubyte\.gz: .*; choose another cache folder with ZEROINIT_C"
    ):
        spec(DataSource(None, tmp_path / "cache"))
    assert web.requests == []


def test_crash_during_a_download_leaves_no_file(small, web, source, monkeypatch) -> None:
    def crash(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pooch.core.shutil.move", crash)
    with pytest.raises(KeyboardInterrupt):
        small.spec(web.mirror("good", small))(source)
    assert files_of(source) == []


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(small, web, tmp_path: Path, monkeypatch, terminal: bool) -> None:
    class Stderr(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stderr = Stderr()
    monkeypatch.setattr("sys.stderr", stderr)
    content = small.packed["train_images"]
    layout = small.spec().layouts[0]
    fetch(
        tmp_path / layout.files[0].name,
        (web.mirror("good", small),),
        num_bytes=len(content),
        sha256=layout.files[0].sha256,
    )
    assert (tmp_path / layout.files[0].name).read_bytes() == content
    assert ("train-images" in stderr.getvalue()) == terminal


def test_pooch_speaks_as_before_afterwards(small, web, source) -> None:
    before = pooch.get_logger().level
    small.spec(web.mirror("good", small))(source)
    assert pooch.get_logger().level == before


@pytest.mark.network
def test_every_mirror_of_mnist_serves_the_labels(tmp_path: Path, monkeypatch) -> None:
    from zeroinit.bench.data.mnist import FILES, MIRRORS

    monkeypatch.undo()  # the ban on other hosts
    for number, mirror in enumerate(MIRRORS):
        path = tmp_path / str(number) / "t10k-labels-idx1-ubyte.gz"
        fetch(path, (mirror,), num_bytes=FILES["test_labels"].gz_bytes, sha256=FILES["test_labels"].gz_sha256)
        assert os.path.getsize(path) == FILES["test_labels"].gz_bytes
