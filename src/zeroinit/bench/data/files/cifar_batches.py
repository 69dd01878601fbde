"""The two forms of a CIFAR-10 batch: records of one label byte and 3,072 pixel bytes, or a pickle of arrays."""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from zeroinit._common import InputError
from zeroinit._shapes import UInt8

__all__ = ["RECORD_BYTES", "join_records", "records_of_pickle"]

IMAGE_SHAPE = (3, 32, 32)
PIXEL_BYTES = 3072
RECORD_BYTES = 1 + PIXEL_BYTES
AGAIN = "copy or download it again"


def join_records(
    contents: Mapping[str, bytes],
) -> tuple[UInt8[np.ndarray, "images 3 32 32"], UInt8[np.ndarray, " images"]]:
    """Decode batches of binary records, one after the other.

    Args:
        contents: Whole files by name, for messages.

    Returns:
        Images and labels that own their memory.

    Raises:
        InputError: A file is empty or does not hold whole records.

    Source:
        Krizhevsky, "The CIFAR-10 dataset", section "Binary version".

    Example:
        >>> images, labels = join_records({"batch": bytes([7]) + bytes(3072)})
        >>> images.shape, labels
        ((1, 3, 32, 32), array([7], dtype=uint8))
    """
    for name, content in contents.items():
        if not content or len(content) % RECORD_BYTES:
            raise InputError(f"{name}: has {len(content)} bytes, not a multiple of {RECORD_BYTES}; {AGAIN}")
    records = np.concatenate(
        [np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD_BYTES) for content in contents.values()]
    )
    return records[:, 1:].reshape(-1, *IMAGE_SHAPE), records[:, 0].copy()


class _ArraysOnly(pickle.Unpickler):
    """Refuses every class that a pickle names, except NumPy's own functions that rebuild an array."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            return np.zeros(0).__reduce__()[0]
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        raise InputError(f"a pickle asks for {module}.{name}, which a batch of images does not need; refused")


def records_of_pickle(content: bytes, name: str) -> bytes:
    """Turn a pickled batch, whose checksum was verified, into binary records; nothing but arrays is rebuilt.

    Args:
        content: The whole file.
        name: The file, for messages.

    Returns:
        One label byte and 3,072 pixel bytes per image.

    Raises:
        InputError: The pickle is cut short, asks for something other than arrays, or has no ``labels`` and ``data``
            that fit.
    """
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        labels = np.array(batch[b"labels"], dtype=np.uint8)
        data = batch[b"data"]
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"{name}: is not a batch of CIFAR-10: {type(error).__name__}: {error}; {AGAIN}") from error
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (len(labels), PIXEL_BYTES):
        shape = getattr(data, "shape", type(data).__name__)
        raise InputError(f"{name}: data has shape {shape}, expected ({len(labels)}, {PIXEL_BYTES}) bytes; {AGAIN}")
    return np.concatenate([labels[:, None], data], axis=1).tobytes()
