"""Fetches one file over HTTPS and keeps it only when its checksum is the expected one.

What is trusted: a checksum that the release publishes comes from the same host as the file, so it finds a download
that was cut, garbled or swapped on its way, and not a release that its own publisher's account was made to change.
Against that a row may pin a digest, which then is the only one believed.
"""

import hashlib
import http.client
import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit

from common.errors import CommandError
from toolchain.running import Running

_SILENCE_SECONDS = 10.0
_PROBE_SECONDS = 5.0
_CHUNK = 1 << 18
_LIST_BYTES = 1 << 22  # GitHub's description of a release with some hundred files takes a quarter of it
_ALGORITHMS = {64: "sha256", 128: "sha512"}  # by the number of hexadecimal digits
_CLOSED = frozenset({403, 407, 451, 502, 503, 504})  # what a proxy answers for a host that it does not let through


class UnavailableError(Exception):
    """The file cannot be had from here; says why."""


class ClosedError(UnavailableError):
    """Not this file is missing: its host cannot be reached."""


def probe(url: str) -> None:
    """Ask the URL's host for anything at all, once and briefly. Raises ClosedError."""
    at = urlsplit(url)
    request = urllib.request.Request(f"{at.scheme}://{at.netloc}/", method="HEAD")  # noqa: S310  # rows name https
    try:
        with _opened(request, _PROBE_SECONDS):
            pass
    except ClosedError:
        raise
    except UnavailableError:
        return  # it has no such page, so it is there


def published_digest(url: str, name: str) -> str:
    """The digest of the file `name` in what its release publishes at `url`. Raises UnavailableError.

    That is a list as sha256sum and sha512sum write it, a file with nothing but the digest, or GitHub's description
    of a release in JSON.
    """
    with _opened(urllib.request.Request(url), _SILENCE_SECONDS) as answer:  # noqa: S310
        text = answer.read(_LIST_BYTES).decode(errors="replace")
    listed = _described(text) if text.lstrip().startswith("{") else _listed(text)
    digest = listed.get(name) or listed.get("")
    if digest is None:
        raise UnavailableError(f"{url} lists no checksum of {name}")
    return digest


def fetch(url: str, digest: str, file: Path, running: Running) -> None:
    """Download `url` into `file`, which exists afterwards only if it is whole and its digest is the given one.

    Raises:
        UnavailableError: there is no such file, or the connection ended too early.
        CommandError: the file is another one than expected.
    """
    try:
        got = _stream(url, hashlib.new(_ALGORITHMS[len(digest)]), file, running)
        _compare(url, got, digest.lower())
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _compare(url: str, got: str, expected: str) -> None:
    if got != expected:
        raise CommandError(
            f"{url} is not the file it should be: its checksum is {got}, expected was {expected}. "
            "Nothing of it was kept. If the same happens again, do not trust that network or that release."
        )


def _stream(url: str, sum_: "hashlib._Hash", file: Path, running: Running) -> str:
    with _opened(urllib.request.Request(url), _SILENCE_SECONDS) as answer, file.open("xb") as out:  # noqa: S310
        expected, received = answer.headers.get("Content-Length"), 0
        while chunk := answer.read(_CHUNK):
            running.check()
            out.write(chunk)
            sum_.update(chunk)
            received += len(chunk)
    if expected is not None and received != int(expected):
        raise UnavailableError(f"{url}: the connection ended after {received} of {expected} bytes")
    return sum_.hexdigest()


@contextmanager
def _opened(request: urllib.request.Request, timeout: float) -> Iterator[http.client.HTTPResponse]:
    """The answer to the request; every way in which a network fails becomes one of our two errors."""
    url = request.full_url
    request.add_header("User-Agent", "alphaswarm-fleet")  # GitHub's interface answers nobody without a name
    opener = urllib.request.build_opener(_StaysSecure())
    try:
        with opener.open(request, timeout=timeout) as answer:
            yield answer
    except HTTPError as refused:
        kind = ClosedError if refused.code in _CLOSED else UnavailableError
        raise kind(f"{url}: {refused.code} {refused.reason}") from None
    except (OSError, http.client.HTTPException) as failed:
        raise ClosedError(f"{urlsplit(url).hostname} cannot be reached ({_reason(failed)})") from None


def _reason(failed: Exception) -> str:
    inner = getattr(failed, "reason", None)
    return str(inner or failed) or type(failed).__name__


class _StaysSecure(urllib.request.HTTPRedirectHandler):
    """Follows a redirect (GitHub's files lie on another host), but never from HTTPS to anything less."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(req.full_url).scheme == "https" != urlsplit(newurl).scheme:
            raise HTTPError(newurl, code, "redirected away from HTTPS", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _listed(text: str) -> dict[str, str]:
    """Names to digests; the name is empty where the file has none."""
    rows = re.findall(r"^([0-9a-fA-F]{128}|[0-9a-fA-F]{64})(?:[ \t]+\*?(\S+))?[ \t]*\r?$", text, re.MULTILINE)
    return {name.removeprefix("./"): digest for digest, name in rows}


def _described(text: str) -> dict[str, str]:
    try:
        assets = json.loads(text)["assets"]
        named = {str(asset["name"]): str(asset.get("digest") or "") for asset in assets}
    except (ValueError, LookupError, TypeError):
        return {}
    return {name: digest.removeprefix("sha256:") for name, digest in named.items() if digest.startswith("sha256:")}
