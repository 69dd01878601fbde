"""The IDX decoder equals a loop over bytes, and refuses what is not such a file."""

import gzip
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zeroinit._common import InputError
from zeroinit.bench.data.files.idx import decode_idx, gunzip


def decode_slowly(content: bytes) -> list:
    """The twin: one byte at a time, nested lists."""
    num_dims = content[3]
    sizes = [struct.unpack_from(">I", content, 4 + 4 * axis)[0] for axis in range(num_dims)]
    position = 4 + 4 * num_dims

    def take(axis: int) -> list | int:
        nonlocal position
        if axis == num_dims:
            position += 1
            return content[position - 1]
        return [take(axis + 1) for _ in range(sizes[axis])]

    return take(0)


def write(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(arrays.arrays(np.uint8, st.one_of(arrays.array_shapes(min_dims=1, max_dims=1), arrays.array_shapes(min_dims=3))))
def test_decoder_equals_the_loop(array: np.ndarray) -> None:
    content = write(array)
    decoded = decode_idx(content, array.ndim, "file")
    assert decoded.tolist() == decode_slowly(content) == array.tolist()
    assert decoded.flags.writeable


def test_an_empty_file_of_labels_is_a_file_of_labels(write_idx: Callable[[np.ndarray], bytes]) -> None:
    assert decode_idx(write_idx(np.zeros(0, np.uint8)), 1, "labels").shape == (0,)


@pytest.mark.parametrize(
    ("content", "num_dims", "message"),
    [
        (b"", 1, r"^labels: is not an IDX file .*0x00000801, found 0 bytes"),
        (bytes([0, 0, 8, 3]), 3, r"expected a header of 16 bytes .* found 4 bytes that start with 0x00000803"),
        (write(np.zeros((2, 3, 4), np.uint8)), 1, r"0x00000801, found 40 bytes that start with 0x00000803"),
        (bytes([0, 0, 0x0D, 1]) + bytes(12), 1, r"starts with 0x00000801, found .* 0x00000d01"),
        (b"<!DOCTYPE html>", 1, r"is not an IDX file of 1-dimensional bytes"),
        (write(np.zeros(5, np.uint8))[:-1], 1, r"announces 5 values, 13 bytes in all, but the file has 12 bytes"),
        (write(np.zeros((2, 3, 4), np.uint8)) + b"x", 3, r"announces 2×3×4 values, 40 bytes in all, .* has 41 bytes"),
    ],
)
def test_another_file_is_refused(content: bytes, num_dims: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_idx(content, num_dims, "labels")


def test_gunzip_inverts_gzip() -> None:
    assert gunzip(gzip.compress(b"abc", mtime=0), "x.gz") == b"abc"


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(bytes(999), mtime=0)[:-9], gzip.compress(b"abc", mtime=0)[:-8] + bytes(8)]
)
def test_a_broken_gzip_file_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^x\.gz: is not a whole gzip file: .*copy or download it again$"):
        gunzip(content, "x.gz")
