"""Inputs as chance or a stranger makes them: a good file's bytes in, a damaged or hostile file out."""

import hashlib
import json
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

SCRIPT = "<script>alert(1)</script>\x1b[2J\u202e|`\n# "
TRAP = "was_executed"


class Trap:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.mknod, (TRAP,)


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flip(content: bytes, rng: random.Random) -> bytes:
    place, changed = rng.randrange(len(content)), bytearray(content)
    changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def blank(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.randrange(1, 64)
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def noise(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(200))


def grow(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randrange(1, 50)).replace(b"\n", b"x").replace(b" ", b"x") + b"x"


def trap(content: bytes, rng: random.Random) -> bytes:
    return pickle.dumps(Trap(), protocol=rng.randrange(2, 5))


def deep(content: bytes, rng: random.Random) -> bytes:
    opening = rng.choice((b"[", b'{"a":'))
    return opening * 10 ** rng.randrange(3, 6)


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, flip, blank, noise, grow, trap, deep)
"""Changes of any file. A stored result must then be refused: its checksum is wrong."""

ODD = (None, True, -1, 3.5, 1e308, 10**30, 10**400, float("nan"), "", SCRIPT, "\ud800", [], {}, [[1]], {"a": {"b": []}})


def odd(content: bytes, rng: random.Random) -> bytes:
    """Replace one value of a JSON object, at any depth, by an odd one; its checksum is made anew, as a forger would."""
    whole = json.loads(content)
    whole.pop("sha256", None)
    at: dict | list = whole
    while True:
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
        if not (isinstance(at[key], dict | list) and at[key]) or rng.random() < 0.2:
            break
        at = at[key]
    at[key] = rng.choice(ODD)
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps(whole | {"sha256": hashlib.sha256(canonical).hexdigest()}).encode()


def put_in_place(path: Path, rng: random.Random) -> str:
    """Put something else in a file's place."""
    kind = rng.choice(("link", "loop", "fifo", "folder", "device", "huge"))
    path.unlink()
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as stream:
            stream.truncate(2**37)  # sparse: no disk is used
    return kind
