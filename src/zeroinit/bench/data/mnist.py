"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28 gray levels.

Source: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition".
"""

from collections.abc import Mapping
from typing import NamedTuple

from zeroinit.bench.data.dataset_spec import DatasetSpec, Sizes
from zeroinit.bench.data.files.idx import decode_idx, gunzip
from zeroinit.bench.data.files.source import Arrays, Layout, SourceFile

__all__ = ["MNIST", "IdxFile", "idx_layouts"]

IDX_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)


class IdxFile(NamedTuple):
    """Length and SHA-256 of one file as it is offered (gzip) and as torchvision unpacks it."""

    gz_bytes: int
    gz_sha256: str
    num_bytes: int
    sha256: str


FILES = {
    "train_images": IdxFile(
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        47040016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_labels": IdxFile(
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        60008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test_images": IdxFile(
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        7840016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_labels": IdxFile(
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        10008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def idx_layouts(folder: str, files: Mapping[str, IdxFile], mirrors: tuple[str, ...]) -> tuple[Layout, Layout]:
    """Describe a data set of four IDX files, as gzip files (offered by the mirrors) or unpacked.

    Args:
        folder: Below the torchvision root, as in ``"MNIST/raw"``.
        files: Lengths and checksums by array name.
        mirrors: Base URLs that end in a slash.
    """
    packed = tuple(
        SourceFile(f"{folder}/{IDX_NAMES[part]}.gz", file.gz_bytes, file.gz_sha256) for part, file in files.items()
    )
    plain = tuple(
        SourceFile(f"{folder}/{IDX_NAMES[part]}", file.num_bytes, file.sha256) for part, file in files.items()
    )
    return Layout(packed, _decode_packed, mirrors), Layout(plain, _decode_plain)


def _decode_packed(contents: Mapping[str, bytes]) -> Arrays:
    return _decode_plain({name.removesuffix(".gz"): gunzip(content, name) for name, content in contents.items()})


def _decode_plain(contents: Mapping[str, bytes]) -> Arrays:
    arrays = {}
    for part, name in IDX_NAMES.items():
        if part.endswith("images"):
            arrays[part] = decode_idx(contents[name], 3, name)[:, None]
        else:
            arrays[part] = decode_idx(contents[name], 1, name)
    return arrays


MNIST = DatasetSpec(
    name="mnist",
    layouts=idx_layouts("MNIST/raw", FILES, MIRRORS),
    sizes=Sizes((1, 28, 28), num_train=60_000, num_test=10_000, num_test_majority=1135),
    num_classes=10,
    peak=255,
    num_validation=7000,
)
