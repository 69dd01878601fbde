"""How to register what lies in plain lists and dictionaries, also in lists of lists."""

import re

__all__ = ["how_to_register"]


def how_to_register(name: str, places: list[str]) -> str:
    """Write the line that puts a registered container in the place of a plain one.

    Args:
        name: The attribute.
        places: Where its tensors are, as ``"hids[0][1].weight"``.

    Example:
        >>> how_to_register("hids", ["hids[0][0].weight", "hids[1][0].weight"])
        'Register it: `self.hids = nn.ModuleList(nn.ModuleList(each) for each in self.hids)`.'
    """
    kind = "Module" if any(re.search(r"\]\.", each) for each in places) else "Parameter"
    levels = re.match(r"[^\[]*((?:\[[^\]]*\])*)", places[0])
    indices = re.findall(r"\[([^\]]*)\]", levels[1] if levels is not None else "")
    outer, *inner = [f"nn.{kind}List" if each.isdigit() else f"nn.{kind}Dict" for each in indices]
    if not inner:
        return f"Register it: `self.{name} = {outer}(...)` in place of the plain container."
    if outer.endswith("Dict"):
        line = f"{outer}({{name: {inner[0]}(each) for name, each in self.{name}.items()}})"
    else:
        line = f"{outer}({inner[0]}(each) for each in self.{name})"
    return f"Register it: `self.{name} = {line}`."
