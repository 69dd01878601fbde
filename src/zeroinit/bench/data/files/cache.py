"""The cache of decoded arrays: whole or absent, checked when read, never pickled."""

import hashlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from zeroinit._common import InputError, write_atomically
from zeroinit.bench.data.files.source import Arrays, Layout

__all__ = ["CACHE_FORMAT", "cache_path", "read_cache", "write_cache"]

CACHE_FORMAT = 1
"""Part of every cache file's name: raise it whenever the decoded arrays would differ for the same raw files."""

DAMAGE = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),  # NotImplementedError is a RuntimeError
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What reading a missing, cut or altered archive may raise."""

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def cache_path(name: str, layouts: tuple[Layout, ...], cache_dir: Path) -> Path:
    """Name the cache file of a data set after its raw files' checksums and the cache format."""
    checksums = [file.sha256 for layout in layouts for file in layout.files]
    key = hashlib.sha256("/".join([name, *checksums]).encode()).hexdigest()[:16]
    return cache_dir / "decoded" / f"{name}-{key}-v{CACHE_FORMAT}.npz"


def read_cache(path: Path) -> Arrays | None:
    """Return the four arrays, or ``None`` where the file is missing or damaged.

    The archive's CRC checks every byte before it is parsed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(f"{name}.npy") for name in ARRAY_NAMES}
        arrays = {
            name: np.lib.format.read_array(io.BytesIO(content), allow_pickle=False) for name, content in members.items()
        }
    except DAMAGE:
        return None
    return arrays if all(array.dtype == np.uint8 for array in arrays.values()) else None


def write_cache(path: Path, arrays: Arrays) -> bool:
    """Store the arrays and return whether this worked. A folder that cannot be written to is no error."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        train_images=arrays["train_images"],
        train_labels=arrays["train_labels"],
        test_images=arrays["test_images"],
        test_labels=arrays["test_labels"],
    )
    try:
        write_atomically(path, buffer.getvalue())
    except (InputError, OSError):
        return False
    return True
