"""The IDX format of the MNIST files: a magic number, big-endian sizes, bytes."""

import gzip
import zlib
from math import prod

import numpy as np

from zeroinit._common import InputError
from zeroinit._shapes import UInt8

__all__ = ["decode_idx", "gunzip"]

UNSIGNED_BYTE = 0x08


def gunzip(content: bytes, name: str) -> bytes:
    """Decompress a gzip file that is held in memory.

    Raises:
        InputError: The content is no gzip file, is cut short or fails its own CRC.
    """
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}: is not a whole gzip file: {error}; copy or download it again") from error


def decode_idx(content: bytes, num_dims: int, name: str) -> UInt8[np.ndarray, "..."]:
    """Decode an uncompressed IDX file of unsigned bytes.

    Args:
        content: The whole file.
        num_dims: 3 for images, 1 for labels.
        name: The file, for messages.

    Returns:
        An array that owns its memory, with the sizes that the header states.

    Raises:
        InputError: The magic number or the length is not what ``num_dims`` and the header ask for.

    Source:
        LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section "File formats".

    Example:
        >>> decode_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7]), 1, "labels")
        array([5, 7], dtype=uint8)
    """
    header = 4 + 4 * num_dims
    magic = bytes([0, 0, UNSIGNED_BYTE, num_dims])
    if content[:4] != magic or len(content) < header:
        raise InputError(
            f"{name}: is not an IDX file of {num_dims}-dimensional bytes: expected a header of {header} bytes that "
            f"starts with 0x{magic.hex()}, found {len(content)} bytes that start with 0x{content[:4].hex()}"
        )
    sizes = [int(size) for size in np.frombuffer(content, dtype=">u4", count=num_dims, offset=4)]
    if len(content) != header + prod(sizes):
        raise InputError(
            f"{name}: the header announces {'×'.join(map(str, sizes))} values, {header + prod(sizes)} bytes in all, "
            f"but the file has {len(content)} bytes; copy or download it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes).copy()
