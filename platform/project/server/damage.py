"""Whether Postgres says that its files are damaged: only then is beginning anew a way out."""

from __future__ import annotations

SIGNS = (
    "invalid checkpoint",
    "could not locate a valid checkpoint",
    "could not locate required checkpoint",
    "incorrect checksum",
    "invalid page in block",
    "page verification failed",
    "is not a valid data directory",
    "database files are incompatible",
    "could not read file",
    "could not open file",
    "could not open directory",
    "invalid magic number",
    "is corrupted",
    "invalid data in file",
    "invalid primary checkpoint",
    "could not access status of transaction",
)


def is_told(said: str) -> bool:
    """Whether a line of Postgres' log tells of damaged files."""
    return any(sign in said for sign in SIGNS)


def way_out(said: str, *, log: str = "") -> str:
    """What an operator does about it, as the end of a sentence."""
    see = f"see {log}, and " if log else ""
    if not is_told(said):
        return f"see {log}, correct that, and start again" if log else "correct that, and start again"
    return f"{see}restore it from a backup; where there is none, `micro server --reset` removes it"
