"""Conditions behind which a function uses an attribute, read from its source."""

import textwrap

import pytest

from zeroinit.symmetry.verdict.search.conditions import condition_of


@pytest.mark.parametrize(
    ("body", "condition"),
    [
        ("if two:\n    x = self.part(x)\nreturn x", "two"),
        ("if one:\n    return x\nelse:\n    return self.part(x)", "not one"),
        ("if x.dim() == 2 or two:\n    return x\nreturn self.part(x)", "not (x.dim() == 2 or two)"),
        ("if x is None:\n    raise ValueError\nif not two:\n    return x\nreturn self.part(x)", "two"),
        ("return x + (self.part(x) if y is not None else 0)", "y is not None"),
        ("if y is not None:\n    if self.gate:\n        x = self.part(x)\nreturn x", "y is not None and self.gate"),
        ("return self.part(x)", ""),
        ("if self.part is not None:\n    x = self.part(x)\nreturn x", ""),
        ("for each in many:\n    if each:\n        x = self.part(x)\nreturn x", ""),
        ("if a:\n    x = self.part(x)\nif b:\n    x = self.part(x)\nreturn x", ""),
        ("if two:\n    x = self.particular(x)\nreturn x", ""),
        (f"if {'y' * 80}:\n    x = self.part(x)\nreturn x", ""),
        ("if (:", ""),
    ],
)
def test_the_condition_of_a_use(body, condition):
    text = "def forward(self, x):\n" + textwrap.indent(body, "    ")
    assert condition_of(text, "part") == condition


def test_a_use_in_another_function_has_a_condition_that_nobody_knows():
    forward = "def forward(self, x):\n    if x.any():\n        return self.part(x)\n"
    assert condition_of(forward, "part") == "x.any()"
    assert condition_of(forward + "def more(self, x):\n    return self.part(x)\n", "part") == ""
