"""What the author of a handler wrote beside its classes, methods and fields, so that who calls it can read it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import is_dataclass
from itertools import pairwise
from typing import Any


def of_class(kind: type) -> str:
    """A class' own docstring; blank for none, and for the one that a dataclass makes up."""
    text = vars(kind).get("__doc__") or ""
    return "" if is_dataclass(kind) and text.startswith(f"{kind.__name__}(") else inspect.cleandoc(text)


def of_function(function: Callable[..., Any]) -> str:
    return inspect.getdoc(function) or ""


def of_fields(kind: type) -> dict[str, str]:
    """The string below each field of a class and of its bases; none where Python has no source of them."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base):
            found |= _below_fields(base)
    return found


def _below_fields(kind: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for statement, following in pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
