"""BibTeX: the papers of the initializers and remedies of a comparison, and this software."""

from collections.abc import Iterable, Mapping

from zeroinit._common import __version__
from zeroinit.bench.comparison.entries import ZERO_START, Entry

__all__ = ["CITED", "PAPERS", "bibliography"]

RELEASED = "2026-11-27"


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = [f"@{kind}{{{key}", *(f"  {name} = {{{value}}}" for name, value in fields.items())]
    return ",\n".join(lines) + "}"


PAPERS: Mapping[str, str] = {
    "zeroinit": _entry(
        "software",
        "zeroinit",
        title="zeroinit: neural-network initialization and symmetry breaking",
        author="{The zeroinit authors}",
        version=__version__,
        date=RELEASED,
        license="MIT",
    ),
    "schicho2023zero": _entry(
        "article",
        "schicho2023zero",
        title="Training neural network with zero weight initialization",
        author="Schicho, C.",
        year="2023",
        month="2",
        note="Code: https://github.com/c-schicho/ZeroInitializationSymmetry",
    ),
    "he2015delving": _entry(
        "inproceedings",
        "he2015delving",
        title="Delving deep into rectifiers: surpassing human-level performance on {ImageNet} classification",
        author="He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian",
        booktitle="IEEE International Conference on Computer Vision",
        year="2015",
    ),
    "glorot2010understanding": _entry(
        "inproceedings",
        "glorot2010understanding",
        title="Understanding the difficulty of training deep feedforward neural networks",
        author="Glorot, Xavier and Bengio, Yoshua",
        booktitle="International Conference on Artificial Intelligence and Statistics",
        year="2010",
    ),
    "saxe2014exact": _entry(
        "inproceedings",
        "saxe2014exact",
        title="Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        author="Saxe, Andrew M. and McClelland, James L. and Ganguli, Surya",
        booktitle="International Conference on Learning Representations",
        year="2014",
    ),
    "lecun1998efficient": _entry(
        "incollection",
        "lecun1998efficient",
        title="Efficient {BackProp}",
        author="LeCun, Yann and Bottou, L{\\'e}on and Orr, Genevieve B. and M{\\\"u}ller, Klaus-Robert",
        booktitle="Neural Networks: Tricks of the Trade",
        year="1998",
    ),
}

CITED: Mapping[str, tuple[str, ...]] = {
    "zero": ("schicho2023zero",),
    "normal_bias": ("schicho2023zero",),
    "uniform_bias": ("schicho2023zero",),
    "constant_bias": ("schicho2023zero",),
    "pytorch": ("lecun1998efficient",),
    ZERO_START: ("schicho2023zero", "saxe2014exact"),
    "torch.nn.init:kaiming_normal_": ("he2015delving",),
    "torch.nn.init:kaiming_uniform_": ("he2015delving",),
    "torch.nn.init:xavier_normal_": ("glorot2010understanding",),
    "torch.nn.init:xavier_uniform_": ("glorot2010understanding",),
    "torch.nn.init:orthogonal_": ("saxe2014exact",),
}
"""By initializer."""


def bibliography(entries: Iterable[Entry]) -> str:
    """Return BibTeX for a comparison: this software, then the papers; a comment for what has none here.

    Example:
        >>> print(bibliography([Entry("own:start", {}, "own:start")]).splitlines()[-1])
        % own:start: cite its source yourself
    """
    keys, comments = ["zeroinit"], []
    for entry in entries:
        keys += CITED.get(entry.initializer, ())
        if entry.initializer not in CITED:
            comments.append(f"% {entry.initializer}: cite its source yourself")
        if "remedy" in entry.settings and entry.initializer != ZERO_START:
            comments.append(f"% {entry.label}: `zeroinit list` names the sources of the remedies")
    return "\n".join([*(PAPERS[key] for key in dict.fromkeys(keys)), *dict.fromkeys(comments)])
