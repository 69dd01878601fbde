"""Under which conditions a function uses an attribute, read from its source."""

import ast
import re
from collections.abc import Sequence

__all__ = ["condition_of", "condition_on_result"]

LONGEST = 60
WRITE = r"(?:\.data)?\.[a-z]\w*_\("
"""What follows a parameter that is written to, as by an observer of a quantizer; that is no use."""
OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def condition_of(text: str, named: str) -> str:
    """Return the conditions behind which a function uses an attribute of ``self``, if it does so in one place.

    Args:
        text: The source of the function, and of others that it calls.
        named: The attribute.

    Returns:
        Python; empty where there is no condition, where a loop is in between, or where another function uses it.

    Example:
        >>> lines = ["def forward(self, x):", " if x is None:", "  return 0", " return self.w if x.any() else x"]
        >>> condition_of(chr(10).join(lines), "w")
        'x is not None and x.any()'
    """
    try:
        first, *others = ast.parse(text).body
    except (SyntaxError, ValueError):
        return ""
    wanted, tests = re.compile(rf"self\.{re.escape(named)}\b(?!{WRITE})"), []
    body: Sequence[ast.AST] = getattr(first, "body", []) if not _has(wanted, others) else []
    while holding := [each for each in body if _has(wanted, [each])]:
        one = holding[0]
        if len(holding) > 1 or isinstance(one, ast.For | ast.While | ast.Try | ast.Match):
            return ""
        before = body[: list(body).index(one)]
        left = [each for each in before if isinstance(each, ast.If) and isinstance(each.body[-1], ast.Return)]
        tests += [_negated(each.test) for each in left]
        branch = next((each for each in ast.walk(one) if isinstance(each, ast.If | ast.IfExp)), None)
        if branch is None or _has(wanted, [branch.test]):
            break
        parts = [each if isinstance(each, list) else [each] for each in (branch.body, branch.orelse)]
        body = next((each for each in parts if _has(wanted, each)), [])
        if body:
            tests.append(ast.unparse(branch.test) if body is parts[0] else _negated(branch.test))
    found = " and ".join(tests)
    return found if len(found) <= LONGEST else ""


def condition_on_result(text: str, named: str) -> str:
    """Return the condition behind which a function uses what it has computed from an attribute of ``self``.

    Example:
        >>> lines = ["def forward(self, x, y=None):", " m = self.w.exp()", " if y is not None:", "  x += m"]
        >>> condition_on_result(chr(10).join(lines), "w"), condition_on_result(chr(10).join(lines), "v")
        ('y is not None', '')
    """
    try:
        body = getattr(ast.parse(text).body[0], "body", [])
    except (SyntaxError, ValueError, IndexError):
        return ""
    wanted = re.compile(rf"self\.{re.escape(named)}\b")
    made = [each for each in body if isinstance(each, ast.Assign) and wanted.search(ast.unparse(each.value))]
    results = [target.id for each in made for target in each.targets if isinstance(target, ast.Name)]
    if len(results) != 1 or _has(wanted, [each for each in body if each not in made]):
        return ""
    result = re.compile(rf"\b{re.escape(results[0])}\b")
    users = [each for each in body[body.index(made[0]) + 1 :] if _has(result, [each])]
    if len(users) != 1 or not isinstance(users[0], ast.If) or _has(result, [users[0].test]):
        return ""
    found = ast.unparse(users[0].test) if _has(result, users[0].body) else _negated(users[0].test)
    return found if len(found) <= LONGEST else ""


def _has(wanted: re.Pattern, parts: Sequence[ast.AST]) -> bool:
    return any(wanted.search(ast.unparse(each)) for each in parts)


def _negated(test: ast.expr) -> str:
    """Write the opposite of a condition."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return ast.unparse(test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in OPPOSITES:
        return ast.unparse(ast.Compare(test.left, [OPPOSITES[type(test.ops[0])]()], test.comparators))
    text = ast.unparse(test)
    return f"not ({text})" if " " in text else f"not {text}"
