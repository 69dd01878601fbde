"""Look-ups, seeds, values for JSON, atomic files."""

import errno
import json
import os
import re
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from zeroinit._common import (
    InputError,
    check_writable,
    closest,
    derive_seed,
    jsonable,
    lookup,
    read_regular,
    write_atomically,
)

TABLE = {"adam": 1, "adamw": 2, "sgd": 3}


def test_lookup_returns_the_entry_even_if_it_is_false():
    assert lookup(TABLE, "sgd", "optimizer") == 3
    assert lookup({"none": None}, "none", "optimizer") is None


def test_lookup_names_argument_value_choices_and_the_nearest():
    message = "optimizer='adamm': did you mean 'adam'? It must be one of adam, adamw, sgd"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        lookup(TABLE, "adamm", "optimizer")


def test_lookup_suggests_nothing_where_nothing_is_near():
    with pytest.raises(InputError, match=r"^optimizer='lbfgs': must be one of adam, adamw, sgd$"):
        lookup(TABLE, "lbfgs", "optimizer")


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("name", [None, 3, ("adam",)])
def test_lookup_of_something_that_is_no_name(name):
    with pytest.raises(InputError, match=rf"^{re.escape(f'optimizer={name!r}')}: .*must be one of adam, adamw, sgd$"):
        lookup(TABLE, name, "optimizer")


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("name", "hint"), [("sdg", "; did you mean 'sgd'?"), ("sgd", "; did you mean 'sgd'?"), ("xyz", ""), ("", "")]
)
def test_closest(name, hint):
    assert closest(name, TABLE) == hint


def test_derived_seeds_are_pinned():
    """A change here changes every stored result."""
    assert derive_seed(0, "init") == 3330654677893223573
    assert derive_seed(0, "order") == 3278857439845718984
    assert derive_seed(41, "split") == 4195003584660290306


def test_derived_seeds_differ_by_seed_and_purpose():
    purposes = ("init", "order", "split", "augment", "remedy", "bootstrap")
    seeds = {derive_seed(seed, purpose) for seed in range(200) for purpose in purposes}
    assert len(seeds) == 200 * len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


@pytest.mark.parametrize("seed", [-1, -(10**9)])
def test_negative_seed(seed):
    with pytest.raises(InputError, match=f"^seed={seed}: must be at least 0$"):
        derive_seed(seed, "init")


@pytest.mark.parametrize("content", ["", "text ×\nwith lines\r\n", b"", b"\x00\xff\r\n"])
def test_content_is_written_byte_for_byte(tmp_path, content):
    path = tmp_path / "new" / "folders" / "file.json"
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert os.listdir(path.parent) == ["file.json"]


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    for content in ("a longer text", "short"):
        write_atomically(path, content)
        assert path.read_text() == content


def test_files_can_be_read_by_others_as_the_umask_says(tmp_path):
    previous = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file", "text")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_crash_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, call, error):
    path = tmp_path / "file"
    path.write_text("old")

    def crash(*arguments):
        raise error

    monkeypatch.setattr(os, call, crash)
    with pytest.raises(error):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_is_the_users_to_mend(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    message = f"cannot write {path}: No space left on device; free space there"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("number", "is_link", "message"),
    [
        (errno.ENOSPC, False, "No space left on device; free space there"),
        (errno.EFBIG, False, "File too large; raise the limit on file sizes (ulimit -f)"),
        (errno.EACCES, False, "Permission denied; choose a folder that can be written to"),
        (errno.ENOENT, True, "the link leads to nothing; make what it leads to, or remove it"),
        (errno.ELOOP, False, "Too many levels of symbolic links; remove it"),
    ],
)
def test_a_folder_is_refused_with_its_reason(tmp_path, monkeypatch, number, is_link, message):
    folder = tmp_path / "results"
    if is_link:
        folder.symlink_to(tmp_path / "nowhere")

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(InputError, match=f"^cannot write {re.escape(f'{folder}: {message}')}$"):
        check_writable(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_stays_a_pipe(tmp_path):
    """As ``/dev/stdout`` does, which a superuser could replace by a file."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path()):
        with pytest.raises(InputError, match=r"^cannot write .*: is no regular file; write the name of a file$"):
            write_atomically(path, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("inside", ["file.json", "more/file.json"])
def test_a_folder_that_cannot_be_written_to(tmp_path, inside):
    (tmp_path / "results").write_text("a file where the folder should be")
    path = tmp_path / "results" / inside
    message = rf"^cannot write {re.escape(str(path))}: .+; choose a folder that can be written to$"
    with pytest.raises(InputError, match=message):
        write_atomically(path, "text")
    assert os.listdir(tmp_path) == ["results"]


def test_a_folder_where_the_file_should_be(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(tmp_path / "file", "text")
    assert os.listdir(tmp_path) == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "file"
    contents = {letter.encode() * 200_000 for letter in "abcdefgh"}
    write_atomically(path, next(iter(contents)))
    threads = [threading.Thread(target=write_atomically, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert path.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_word_for_a_number_that_is_not_finite(number):
    value = {"low": number, "rows": [(1, number), {"deep": [number]}], "text": "nan", "flag": True, "count": 2}
    expected = {"low": None, "rows": [[1, None], {"deep": [None]}], "text": "nan", "flag": True, "count": 2}
    assert jsonable(value) == expected
    assert json.loads(json.dumps(jsonable(value), allow_nan=False)) == expected
    with pytest.raises(ValueError, match="JSON"):
        json.dumps(value, allow_nan=False)


def test_a_regular_file_is_read_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, at_most=5) == b"12345"
    with pytest.raises(InputError, match=r"file: has 5 bytes, more than 4; move it away$"):
        read_regular(path, at_most=4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "absent", at_most=5)


@pytest.mark.parametrize("kind", ["link", "broken link", "fifo", "device", "folder"])
def test_nothing_else_is_read(tmp_path, kind):
    """At once: a pipe without a writer would be waited for, a device has no end."""
    path = tmp_path / "file"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.symlink_to(Path(__file__) if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"is a link; put|is no regular file|cannot be read \(Is a directory\)"):
        read_regular(path, at_most=10**6)


def test_a_link_is_followed_if_that_is_asked_for(tmp_path, monkeypatch):
    path, place = tmp_path / "file", tmp_path / "place"
    path.symlink_to(place)
    with pytest.raises(InputError, match=r"file: cannot be read \(the link leads to nothing\)$"):
        read_regular(path, at_most=5, follow=True)
    place.write_bytes(b"12345")
    assert read_regular(path, at_most=5, follow=True) == b"12345"
    with pytest.raises(InputError, match=r"has 5 bytes, more than 4"):
        read_regular(path, at_most=4, follow=True)
    place.unlink()
    os.mkfifo(place)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opens it, and that may do something"))
    with pytest.raises(InputError, match=r"file: is no regular file; move it away$"):
        read_regular(path, at_most=5, follow=True)


def test_a_file_of_the_kernel_has_no_end(tmp_path):
    """It says that it has no bytes; a link may lead to one that is larger than the memory."""
    endless = Path("/proc/self/pagemap")
    if not endless.exists():
        pytest.skip("Linux has it")
    (tmp_path / "file").symlink_to(endless)
    assert read_regular(tmp_path / "file", at_most=10**6, follow=True) == b""
