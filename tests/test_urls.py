"""URLs as they are shown: whatever is secret about one never is."""

import pytest

from zeroinit._urls import URL, without, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://anna:geheim@host/study", "ftp://anna:***@host/study"),
        ("ftp://anna:geheim@host", "ftp://anna:***@host"),
        ("s3://key:a/geheim@bucket/a", "s3://key:***@bucket/a"),
        ("sftp://anna:geheim?#@host/study@2", "sftp://anna:***@host/study@2"),
        ("https://geheim@host:80/p", "https://***@host:80/p"),
        ("https://anna:geheim@host/p", "https://***@host/p"),
        ("https://geheim:@host/p", "https://***@host/p"),
        ("https://host/p?token=geheim", "https://host/p?***"),
        ("https://host/p?a=1&X-Amz-Signature=geheim&b=2", "https://host/p?***"),
        ("https://host/p#access_token=geheim", "https://host/p#***"),
        ("simplecache::ftp://anna:geheim@host/a", "simplecache::ftp://anna:***@host/a"),
        ("s3:/key:geheim@bucket/a", "s3:/key:***@bucket/a"),
    ],
)
def test_a_secret_is_never_shown(url, shown):
    assert without(url, url) == shown
    assert without_secrets(f"results={url!r}: no answer") == f"results={shown!r}: no answer"
    assert "geheim" not in without(url, f"tried {url}/a.json of {url.partition('//')[2]}")


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/study",
        "sftp://anna@host/x",
        "sftp://host:22/a@2",
        "abfs://box@account.net/p",
        "gs://b/a#1",
        "results",
    ],
)
def test_what_is_no_secret_is_shown(url):
    assert without(url, f"{url}: no answer") == without_secrets(f"{url}: no answer") == f"{url}: no answer"


def test_a_secret_in_another_spelling():
    url = "ftp://anna:a%2Fb+c d@host/study"
    for text in ("login a/b+c d failed", "login a%2Fb+c d failed", "login a%252Fb%2Bc%20d failed"):
        assert without(url, text) == "login *** failed"
    assert without("ftp://a:x@host", "next ftp://a:x@host/b") == "next ftp://a:***@host/b"  # a letter stands anywhere


def test_a_chain_is_a_url():
    assert URL.match("filecache::s3://bucket/study")[1] == "s3"
    assert URL.match("module:function") is None
    assert URL.match("C:/results") is None
