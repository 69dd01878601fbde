"""The status of a data set: its source, its state, its counts and shapes."""

import os
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from zeroinit._common import InputError
from zeroinit.bench.data.dataset_spec import DatasetSpec
from zeroinit.bench.data.files.source import DataSource, find_layout

__all__ = ["DatasetStatus", "status_of"]


@dataclass(frozen=True)
class DatasetStatus:
    """Where a data set is and whether it can be loaded without a download.

    Attributes:
        name: A key of ``DATASETS``.
        state: ``"ready"`` (whole and verified), ``"not downloaded"`` (will be fetched when needed) or ``"unusable"``
            (see ``problem``).
        source: The folder that is read, or the library that the data set comes with.
        problem: Why it is not ready, with the way out; empty if ready.
        cache: The file of decoded arrays, whether or not it exists; empty if none is needed.
        is_cached: Whether that file exists.
        num_train: Training images; 0 unless ready, likewise the numbers below.
        num_test: Test images.
        input_shape: Channels, height and width.
        num_classes: How many classes there are.
    """

    name: str
    state: str
    source: str
    problem: str = ""
    cache: str = ""
    is_cached: bool = False
    num_train: int = 0
    num_test: int = 0
    input_shape: tuple[int, ...] = ()
    num_classes: int = 0

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.state}", f"  source: {self.source}"]
        if self.state == "ready":
            shape = "×".join(map(str, self.input_shape))
            images = f"{self.num_train} training, {self.num_test} test, {shape}, {self.num_classes} classes"
            lines.append(f"  images: {images}")
        if self.problem:
            lines.append(f"  {'note' if self.state == 'not downloaded' else 'problem'}: {self.problem}")
        if self.cache:
            lines.append(f"  cache: {self.cache}" + ("" if self.is_cached else " (not written yet)"))
        return "\n".join(lines)


def status_of(spec: DatasetSpec, source: DataSource) -> DatasetStatus:
    """Load what is there, without the network and without writing, and report on it.

    Args:
        spec: The data set.
        source: The folders to look in; must forbid downloads and keep nothing.
    """
    assert not source.download
    assert not source.keep_decoded
    cache = spec.cache_path(source)
    status = DatasetStatus(
        spec.name,
        state="ready",
        source=f"embedded in {spec.embedded_in}" if spec.embedded_in else str(source.root),
        cache="" if spec.embedded_in else str(cache),
        is_cached=os.path.isfile(cache),
    )
    try:
        dataset = spec(source)
    except InputError as error:
        if source.data_dir is None and not find_layout(spec.layouts, source.root):
            hosts = [urlsplit(mirror).netloc for layout in spec.layouts for mirror in layout.mirrors]
            return replace(status, state="not downloaded", problem=f"fetched when needed, from {' or '.join(hosts)}")
        return replace(status, state="unusable", problem=str(error))
    return replace(
        status,
        num_train=len(dataset.train_images),
        num_test=len(dataset.test_images),
        input_shape=dataset.input_shape,
        num_classes=dataset.num_classes,
    )
