"""CIFAR-10: 50,000 training and 10,000 test images of ten kinds of things, 32×32 in color.

Source: Krizhevsky (2009), "Learning Multiple Layers of Features from Tiny Images".
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from zeroinit._common import InputError
from zeroinit.bench.data.dataset_spec import DatasetSpec, Sizes
from zeroinit.bench.data.files.cifar_batches import join_records, records_of_pickle
from zeroinit.bench.data.files.source import Arrays, Layout, SourceFile

__all__ = ["CIFAR10", "CifarBatch", "cifar_layouts"]

BINARY_FOLDER, PYTHON_FOLDER = "cifar-10-batches-bin", "cifar-10-batches-py"
TEST_BATCH = "test_batch"

MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
)


class CifarBatch(NamedTuple):
    """Length and SHA-256 of one batch as a pickle and as binary records."""

    py_bytes: int
    py_sha256: str
    bin_bytes: int
    bin_sha256: str


BATCHES = {
    "data_batch_1": CifarBatch(
        31035704,
        "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
        30730000,
        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    ),
    "data_batch_2": CifarBatch(
        31035320,
        "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
        30730000,
        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    ),
    "data_batch_3": CifarBatch(
        31035999,
        "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
        30730000,
        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    ),
    "data_batch_4": CifarBatch(
        31035696,
        "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
        30730000,
        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    ),
    "data_batch_5": CifarBatch(
        31035623,
        "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
        30730000,
        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    ),
    TEST_BATCH: CifarBatch(
        31035526,
        "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
        30730000,
        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    ),
}

ARCHIVE = SourceFile(
    "cifar-10-binary.tar.gz", 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)


def cifar_layouts(
    batches: Mapping[str, CifarBatch], archive: SourceFile, mirrors: tuple[str, ...]
) -> tuple[Layout, Layout, Layout]:
    """Describe the data set as torchvision's pickles, as unpacked binary records, and as the archive of the latter.

    Args:
        batches: Lengths and checksums by name; all but ``test_batch`` are training batches, in this order.
        archive: The tar file with the binary records, which is what the mirrors offer.
        mirrors: Base URLs that end in a slash.
    """
    pickles = tuple(
        SourceFile(f"{PYTHON_FOLDER}/{name}", batch.py_bytes, batch.py_sha256) for name, batch in batches.items()
    )
    records = tuple(
        SourceFile(f"{BINARY_FOLDER}/{name}.bin", batch.bin_bytes, batch.bin_sha256) for name, batch in batches.items()
    )
    checksums = {f"{name}.bin": batch.bin_sha256 for name, batch in batches.items()}
    return (
        Layout(pickles, lambda contents: _join({name: records_of_pickle(contents[name], name) for name in batches})),
        Layout(records, _decode_records),
        Layout(
            (archive,),
            lambda contents: _decode_records(_members(contents[archive.name], archive.name, checksums)),
            mirrors,
        ),
    )


def _decode_records(contents: Mapping[str, bytes]) -> Arrays:
    return _join({name.removesuffix(".bin"): content for name, content in contents.items()})


def _join(records: Mapping[str, bytes]) -> Arrays:
    train = {name: content for name, content in records.items() if name != TEST_BATCH}
    train_images, train_labels = join_records(train)
    test_images, test_labels = join_records({TEST_BATCH: records[TEST_BATCH]})
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


def _members(content: bytes, name: str, checksums: Mapping[str, str]) -> dict[str, bytes]:
    """Read the wanted files from the archive, in memory: nothing is ever unpacked to disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                base = PurePosixPath(member.name).name
                if member.isfile() and base in checksums and (file := archive.extractfile(member)) is not None:
                    found[base] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{name}: is not a whole archive: {error}; copy or download it again") from error
    for base, expected in checksums.items():
        if base not in found or hashlib.sha256(found[base]).hexdigest() != expected:
            state = "is damaged" if base in found else "is missing"
            raise InputError(f"{name}: {base} {state} in it; copy or download it again")
    return {base: found[base] for base in checksums}


CIFAR10 = DatasetSpec(
    name="cifar10",
    layouts=cifar_layouts(BATCHES, ARCHIVE, MIRRORS),
    sizes=Sizes((3, 32, 32), num_train=50_000, num_test=10_000, num_test_majority=1000),
    num_classes=10,
    peak=255,
    num_validation=7000,
)
