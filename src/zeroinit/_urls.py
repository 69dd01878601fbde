"""URLs: what is one, and how one is shown without its secrets. This module imports nothing of the package."""

import re
from urllib.parse import quote, quote_plus, unquote

__all__ = ["URL", "without", "without_secrets"]

URL = re.compile(r"(?:[A-Za-z0-9+.-]+::)*([A-Za-z][A-Za-z0-9+.-]+):/+")
"""How a URL begins, also one of fsspec's chains, such as ``simplecache::s3://``."""

WITHIN = re.compile(rf"{URL.pattern}[^\s'\"<>]+")
"""A URL within a text."""

HIDDEN = "***"
SHORTEST = 3
"""Characters of a secret that is looked for also outside of its URL; shorter ones would stand in any word."""


def without_secrets(text: str) -> str:
    """Return a text with each URL as it may be shown: no password, no token, no values of a query.

    Example:
        >>> without_secrets("ftp://anna:secret@host/study does not answer")
        'ftp://anna:***@host/study does not answer'
        >>> without_secrets("https://token@host/study?sig=1"), without_secrets("abfs://box@account/study")
        ('https://***@host/study?***', 'abfs://box@account/study')
    """
    return WITHIN.sub(lambda match: _parts(match[0])[0], text) if ":/" in text else text


def without(url: str, text: str) -> str:
    """Return what somebody says about a URL, without the secrets of the URL: also where they stand alone.

    Example:
        >>> without("s3://key:secret@bucket/study", "Invalid bucket name 'key:secret@bucket'")
        "Invalid bucket name 'key:***@bucket'"
        >>> without("ftp://anna:a secret@host/study", "ftp://anna:a secret@host/study: no answer")
        'ftp://anna:***@host/study: no answer'
    """
    shown, secrets = _parts(url)
    text = text.replace(url, shown)
    forms = {form for each in secrets for form in (each, quote(each, ""), quote_plus(each), unquote(each))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN) if len(form) >= SHORTEST else text
    return without_secrets(text)


def _parts(url: str) -> tuple[str, list[str]]:
    """Return a URL without its secrets, and these."""
    match = URL.match(url)
    if match is None:
        return url, []
    user, at, rest = _split(url[match.end() :])
    name, colon, password = user.partition(":")
    secrets = []
    if at and ("http" in match[1].lower() or (colon and not password)):  # a token may stand in place of the name
        secrets, user = [user, password, name], HIDDEN
    elif colon:
        secrets, user = [password], f"{name}:{HIDDEN}"
    if query := re.search(r"\?|#(?=[\w-]+=)", rest):
        values = rest[query.end() :]
        secrets += [values, *re.findall(r"(?<==)[^&;]+", values)]
        rest = rest[: query.end()] + HIDDEN
    return f"{match[0]}{user}{at}{rest}", secrets


def _split(rest: str) -> tuple[str, str, str]:
    """Split what follows ``://`` into name and password, ``@``, and host with path; the first two may be empty."""
    host, slash, path = rest.partition("/")
    if "@" not in host and re.match(r"[^/]*:(?!\d*$)", host):  # no port: a password with a slash
        host, slash, path = rest, "", ""
    user, at, host = host.rpartition("@")
    return user, at, f"{host}{slash}{path}"
