"""Where raw files come from: a data folder as it stands, or downloads. Nothing is used before it is verified."""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from zeroinit._common import InputError, refuse_url
from zeroinit._modules.arguments import as_path
from zeroinit.bench.data.files.fetch import fetch

__all__ = ["Arrays", "DataSource", "Layout", "SourceFile", "find_layout", "read_verified"]

Arrays = dict[str, np.ndarray]
"""Decoded arrays by name: ``train_images``, ``train_labels``, ``test_images`` and ``test_labels``, all uint8."""


@dataclass(frozen=True)
class SourceFile:
    """One raw file: its path below a torchvision root, its length and its SHA-256."""

    path: str
    num_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies on disk.

    Attributes:
        files: All the files of this form; none for a data set that comes with a library.
        decode: From the files' contents by name to arrays.
        mirrors: Base URLs, tried in this order; empty where this layout is not offered for download.
    """

    files: tuple[SourceFile, ...]
    decode: Callable[[Mapping[str, bytes]], Arrays]
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSource:
    """The folders to look in, and whether something may be fetched.

    Attributes:
        data_dir: A torchvision root, used as it is and never written to; ``None`` for downloads.
        cache_dir: Holds ``downloads/`` (itself a torchvision root) and ``decoded/``.
        download: Whether missing files may be fetched; never if ``data_dir`` is given.
        keep_decoded: Whether decoded arrays are stored for the next time.
    """

    data_dir: Path | None
    cache_dir: Path
    download: bool = True
    keep_decoded: bool = True

    @classmethod
    def resolve(
        cls,
        data_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        *,
        download: bool = True,
        keep_decoded: bool = True,
    ) -> "DataSource":
        """Fill in what is not given: from ``ZEROINIT_DATA_DIR``, ``ZEROINIT_CACHE_DIR``, the system's cache folder."""
        data = data_dir or os.environ.get("ZEROINIT_DATA_DIR") or None
        try:
            kept = cache_dir or user_cache()
        except InputError:  # no home folder; all that a cache holds can be made again
            kept = _cache_of_this_process()
        root = as_path(data, "data_dir").expanduser() if data else None
        return cls(root, as_path(kept, "cache_dir").expanduser(), download, keep_decoded)

    @property
    def root(self) -> Path:
        """The torchvision root that is read."""
        return self.data_dir or self.cache_dir / "downloads"


def read_verified(name: str, layouts: tuple[Layout, ...], source: DataSource) -> tuple[Layout, dict[str, bytes]]:
    """Read the files of the first layout that is complete, fetching them where that is allowed.

    The bytes that were checked are the bytes that are returned. Nothing can change in between.

    Args:
        name: The data set, for messages.
        layouts: In order of preference.
        source: The folders to look in.

    Returns:
        The layout, and the contents by file name.

    Raises:
        InputError: A file is missing, cannot be read, has the wrong length or checksum, or cannot be fetched.
    """
    layout = find_layout(layouts, source.root)
    if source.data_dir is not None:
        if layout is None:
            raise InputError(_missing(name, layouts, source.data_dir))
        return layout, {file.name: _read(source.data_dir / file.path, file) for file in layout.files}
    layout = layout or next(layout for layout in layouts if layout.mirrors or not layout.files)
    return layout, {file.name: _read_or_fetch(name, layout, file, source) for file in layout.files}


def find_layout(layouts: tuple[Layout, ...], root: Path) -> Layout | None:
    """Return the first layout whose files all exist below ``root``; their contents are not looked at."""
    return next((layout for layout in layouts if not _absent(layout, root)), None)


def _absent(layout: Layout, root: Path) -> list[Path]:
    # os.path.isfile, because Path.is_file raises where a folder may not be entered.
    return [root / file.path for file in layout.files if not os.path.isfile(root / file.path)]


def user_cache() -> Path:
    """Return the folder for what can be fetched again: ``$ZEROINIT_CACHE_DIR``, or one of the system's.

    Raises:
        InputError: The user has no home folder, as in some containers.
    """
    if chosen := os.environ.get("ZEROINIT_CACHE_DIR"):
        return Path(chosen)
    try:
        import pooch
    except ModuleNotFoundError:  # data that lies in a folder is read without it
        pooch = None
    try:
        return Path.home() / ".cache" / "zeroinit" if pooch is None else pooch.os_cache("zeroinit")
    except RuntimeError as error:
        raise InputError("ZEROINIT_CACHE_DIR: is not set, and you have no home folder; set it to a folder") from error


@cache
def _cache_of_this_process() -> Path:
    """Make a folder that nobody else can write to, and that goes with this process."""
    folder = tempfile.mkdtemp(prefix="zeroinit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _read(path: Path, file: SourceFile) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    way_out = "delete it and copy or download it again"
    if len(content) != file.num_bytes:
        raise InputError(f"{path}: has {len(content)} bytes, expected {file.num_bytes}; {way_out}")
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise InputError(f"{path}: is damaged: SHA-256 expected {file.sha256}, found {found}; {way_out}")
    return content


def _read_or_fetch(name: str, layout: Layout, file: SourceFile, source: DataSource) -> bytes:
    path = source.root / file.path
    try:
        if os.path.isfile(path):
            return _read(path, file)
    except InputError:
        if not (source.download and layout.mirrors):
            raise
    if not source.download:
        raise InputError(
            f"data set {name!r}: {path} does not exist and download=False; allow the download, or name a torchvision "
            f"root that holds {file.path} with --data-dir or ZEROINIT_DATA_DIR"
        )
    fetch(path, layout.mirrors, num_bytes=file.num_bytes, sha256=file.sha256)
    return _read(path, file)


def _missing(name: str, layouts: tuple[Layout, ...], root: Path) -> str:
    """Say what was looked for, and which folder above would have been right."""
    wanted = layouts[0].files[0].path
    rule = f"--data-dir or ZEROINIT_DATA_DIR must name a torchvision root, the folder that holds {wanted}"
    refuse_url(root)
    if not root.is_dir():
        return f"data folder {root}: {'is no folder' if root.exists() else 'no such folder'}; {rule}"
    for above in root.resolve().parents[:2]:
        if find_layout(layouts, above):
            return f"data set {name!r}: no {root / wanted}; {rule}; did you mean {above}?"
    begun = max(layouts, key=lambda layout: len(layout.files) - len(_absent(layout, root)))  # the first if none is
    return f"data set {name!r}: no {_absent(begun, root)[0]}; {rule}"
