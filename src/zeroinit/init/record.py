"""The record of an initialization, parameter by parameter."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

from zeroinit._common import jsonable
from zeroinit._modules.state import plain_name
from zeroinit._shapes import Shaped
from zeroinit.init.shards import local_part

__all__ = ["InitRecord", "NormRecord", "ParameterRecord", "Untouched", "hash_tensor"]


def hash_tensor(tensor: Shaped[Tensor, "..."]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a tensor's bytes, whatever its device, layout or type.

    Of a sharded tensor, the bytes are those that this process holds. A tensor on the meta device has none: ``""``.

    Example:
        >>> hash_tensor(torch.zeros(3)) == hash_tensor(torch.zeros(3)), hash_tensor(torch.ones(3)) == hash_tensor(
        ...     torch.zeros(3)
        ... )
        (True, False)
    """
    if tensor.is_meta:
        return ""
    plain = local_part(tensor)[0].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(plain.numpy().data).hexdigest()[:16]  # no copy of the bytes


@dataclass(frozen=True)
class ParameterRecord:
    """One parameter that was set: its name, shape, rule, and a hash of its bytes before and after.

    ``aliases`` are further names of the same values (tied weights). ``was_frozen`` says that the parameter is frozen
    and was set nevertheless.
    """

    name: str
    shape: tuple[int, ...]
    rule: str
    hash_before: str
    hash_after: str
    aliases: tuple[str, ...] = ()
    was_frozen: bool = False

    @property
    def changed(self) -> bool:
        """Whether any byte differs from before."""
        return self.hash_before != self.hash_after


@dataclass(frozen=True)
class Untouched:
    """One parameter that was left as it was, and why; ``aliases`` are further names of the same values."""

    name: str
    shape: tuple[int, ...]
    reason: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class NormRecord:
    """One norm that maps a constant channel to beta: its path, its type, and whether and why beta was drawn."""

    path: str
    type: str
    reason: str
    changed: bool


@dataclass(frozen=True)
class InitRecord:
    """What ``initialize_`` set, what it left alone, and which of its layers have no bias.

    ``rules`` are in the form that ``initialize_`` takes, or ``None`` if you passed one initializer. ``seed`` is
    ``None`` if values came from a generator. ``norms`` is ``None`` with ``norm_aware=False``. ``notes`` say what was
    done after the draw.
    """

    name: str
    scale: float | str
    parameters: tuple[ParameterRecord, ...]
    untouched: tuple[Untouched, ...] = ()
    without_bias: tuple[str, ...] = ()
    norms: tuple[NormRecord, ...] | None = None
    rules: Mapping[str, Any] | None = None
    seed: int | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Return plain dictionaries, lists, strings and numbers, ready for JSON; without what was not asked for."""
        found = jsonable({**asdict(self), "rules": None if self.rules is None else dict(self.rules)})
        optional = ("norms", "rules", "seed", "notes")
        return {key: value for key, value in found.items() if key not in optional or value not in (None, [])}

    def __str__(self) -> str:
        rows = self._rows()
        name_width = max((len(row[0]) for row in rows), default=0)
        shape_width = max((len(row[1]) for row in rows), default=0)
        lines = [f"  {name:<{name_width}}  {shape:<{shape_width}}  {text}" for name, shape, text in rows]
        return "\n".join([self._head(), *lines, *(f"  {line}" for line in self._notes())])

    def __repr__(self) -> str:
        return f"InitRecord({self._head()})"

    def _repr_html_(self) -> str:
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        notes = "".join(f"<li>{escape(line)}</li>" for line in self._notes())
        return (
            f'<div class="zeroinit"><p><b>{escape(self._head())}</b></p><table><thead><tr><th>parameter</th>'
            f"<th>shape</th><th>set to</th></tr></thead><tbody>{body}</tbody></table>"
            f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
        )

    def _head(self) -> str:
        scale = self.scale if isinstance(self.scale, str) else f"{self.scale:g}"
        return f"{self.name} (scale {scale}): {len(self.parameters)} set, {len(self.untouched)} left"

    def _rows(self) -> list[tuple[str, str, str]]:
        """Name, shape and what was done, of each parameter."""
        rows = [(plain_name(each.name), _shape(each.shape), _deed(each)) for each in self.parameters]
        return rows + [
            (plain_name(each.name), _shape(each.shape), f"left as it was: {each.reason}{_also(each.aliases)}")
            for each in self.untouched
        ]

    def _notes(self) -> list[str]:
        """Layers without a bias, and the norms whose beta was drawn or left."""
        lines = []
        if self.without_bias:
            lines.append(
                f"without a bias: {', '.join(plain_name(name) or '(the model itself)' for name in self.without_bias)}"
            )
        for norm in self.norms or ():
            deed = "beta drawn" if norm.changed else "left as it was"
            lines.append(f"{norm.type} {plain_name(norm.path) or '(the model itself)'}: {deed}, {norm.reason}")
        return [*lines, *self.notes]


def _deed(entry: ParameterRecord) -> str:
    return f"{entry.rule}{', although frozen' if entry.was_frozen else ''}{_also(entry.aliases)}"


def _also(aliases: tuple[str, ...]) -> str:
    return f"; also {', '.join(aliases)}" if aliases else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
