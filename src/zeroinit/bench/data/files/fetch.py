"""Downloads: several mirrors in order, a pinned checksum, whole or absent."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from zeroinit._common import InputError

__all__ = ["fetch"]

TIMEOUT_SECONDS = 30


def fetch(path: Path, mirrors: tuple[str, ...], *, num_bytes: int, sha256: str) -> None:
    """Download one file to ``path`` from the first mirror that serves it with the right checksum.

    A download has a temporary name until its checksum is checked. Wrong content is removed. A progress bar is shown
    where stderr is a terminal.

    Args:
        path: Where the file goes; its name is appended to each mirror's base URL.
        mirrors: Base URLs that end in a slash.
        num_bytes: The expected length, for the progress bar.
        sha256: The expected checksum.

    Raises:
        InputError: The folder cannot be written to, or every mirror failed; names the hosts and why each failed.
    """
    import requests

    failures = []
    for mirror in mirrors:
        try:
            with _folder(path.parent):
                return _retrieve(mirror + path.name, path, num_bytes, sha256)
        except (requests.RequestException, ValueError) as error:  # pooch reports a wrong checksum as a ValueError
            failures.append(f"{urlsplit(mirror).netloc} ({_reason(error)})")
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}; choose another cache folder with ZEROINIT_CACHE_DIR"
            ) from error
    raise InputError(
        f"cannot download {path.name}: tried {', '.join(failures)}; check the network, or name a torchvision root that "
        "already holds the data with --data-dir or ZEROINIT_DATA_DIR"
    )


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; what fails leaves none of them."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # another process has put something there
            for each in made:
                each.rmdir()
        raise


def _retrieve(url: str, path: Path, num_bytes: int, sha256: str) -> None:
    import pooch
    from tqdm import tqdm

    # disable=None hides the bar where stderr is not a terminal.
    with (
        _quiet(pooch.get_logger()),
        tqdm(total=num_bytes, desc=path.name, unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar,
    ):
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=TIMEOUT_SECONDS)
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=downloader)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__ if isinstance(error, requests.RequestException) else "wrong checksum"
