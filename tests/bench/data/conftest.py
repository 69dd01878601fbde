"""A small data set of IDX files, and a local web server."""

import gzip
import hashlib
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

from zeroinit.bench.data import DatasetSpec, Sizes
from zeroinit.bench.data.mnist import IDX_NAMES, IdxFile, idx_layouts


@pytest.fixture(autouse=True)
def _this_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No download from another host."""
    monkeypatch.setenv("NO_PROXY", "*")
    download = pooch.HTTPDownloader.__call__

    def local_only(self: object, url: str, *args: object, **kwargs: object) -> object:
        assert url.startswith("http://127.0.0.1"), f"a test asked for {url}"
        return download(self, url, *args, **kwargs)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", local_only)


@pytest.fixture(scope="session")
def large_cache() -> Iterator[Path]:
    """A cache folder for real data sets, shared by the tests and removed after them."""
    with tempfile.TemporaryDirectory(prefix="zeroinit-test-") as folder:
        yield Path(folder)


def idx_bytes(array: np.ndarray) -> bytes:
    """Write an IDX file of unsigned bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@dataclass
class SmallIdx:
    """Twenty training and seven test images of 4×5 pixels, as four IDX files."""

    arrays: dict[str, np.ndarray]
    plain: dict[str, bytes]
    packed: dict[str, bytes]

    def spec(self, *mirrors: str, **settings: object) -> DatasetSpec:
        """Describe the files as they are now, with their checksums."""
        files = {
            part: IdxFile(len(packed), sha256(packed), len(self.plain[part]), sha256(self.plain[part]))
            for part, packed in self.packed.items()
        }
        settings = {"sizes": Sizes((1, 4, 5), 20, 7, 2), "num_classes": 10, "peak": 255, "num_validation": 3} | settings
        return DatasetSpec("small", idx_layouts("MNIST/raw", files, mirrors), **settings)

    def write(self, root: Path, *, packed: bool = True) -> Path:
        """Write the four files below a torchvision root."""
        for part, content in (self.packed if packed else self.plain).items():
            path = self.path(root, part, packed=packed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    @staticmethod
    def path(root: Path, part: str, *, packed: bool = True) -> Path:
        return root / "MNIST" / "raw" / (IDX_NAMES[part] + (".gz" if packed else ""))

    def replace(self, part: str, plain: bytes) -> None:
        """Put other content into one file; a spec made afterwards pins the new checksums."""
        self.plain[part], self.packed[part] = plain, gzip.compress(plain, mtime=0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def small() -> SmallIdx:
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (20, 4, 5), dtype=np.uint8),
        "train_labels": rng.integers(0, 10, 20, dtype=np.uint8),
        "test_images": rng.integers(0, 256, (7, 4, 5), dtype=np.uint8),
        "test_labels": rng.integers(0, 10, 7, dtype=np.uint8),
    }
    plain = {part: idx_bytes(array) for part, array in arrays.items()}
    return SmallIdx(arrays, plain, {part: gzip.compress(content, mtime=0) for part, content in plain.items()})


@pytest.fixture
def write_idx() -> Callable[[np.ndarray], bytes]:
    return idx_bytes


@dataclass
class Web:
    """A web server on this host: ``pages`` maps paths to contents, ``requests`` lists what was asked for."""

    address: str
    pages: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def mirror(self, folder: str, small: SmallIdx | None = None) -> str:
        """Return a base URL; it serves the small data set if one is given, and nothing otherwise."""
        for part, content in (small.packed if small else {}).items():
            self.pages[f"/{folder}/{IDX_NAMES[part]}.gz"] = content
        return f"http://{self.address}/{folder}/"


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            content = served.pages.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Web(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
