"""Reads a kubeconfig, given as a path or as its text.

Client certificates in it are written to a private folder for the life of this process, since the TLS library reads
files only.
"""

import atexit
import base64
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.providers.plugin import ProviderError


@dataclass(frozen=True)
class Access:
    """How to reach one API server. Of the credentials the first that is set counts."""

    server: str
    authority: str | bool = True  # a file of certificates; True: the machine's; False: verify nothing
    certificate: tuple[str, str] | None = None
    token: str | None = None
    token_file: str | None = None
    basic: tuple[str, str] | None = None
    command: tuple[str, ...] | None = None
    command_env: tuple[tuple[str, str], ...] = ()
    namespace: str | None = None


def load(given: str | None, context: str | None = None, cluster: str | None = None) -> Access | None:
    """Read a kubeconfig.

    Args:
        given: its path or text; without it KUBECONFIG counts, then ~/.kube/config.
        context: another context than the current one.
        cluster: another cluster than the context's.

    Returns:
        The access; None when none was given and there is none in the usual places.

    Raises:
        ProviderError: it cannot be read, or has no entry of such a name.
    """
    text, folder = _read(given)
    if text is None:
        return None
    import yaml  # slow, and not needed where there is no cluster

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProviderError(f"The kubeconfig is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise ProviderError("The kubeconfig is neither the path of a file nor the text of one.")
    name = context or config.get("current-context")
    context_entry = _entry(config, "contexts", "context", name) if name else {}
    cluster_entry = _entry(config, "clusters", "cluster", cluster or context_entry.get("cluster"))
    user_entry = _entry(config, "users", "user", context_entry.get("user")) if context_entry.get("user") else {}
    return _access(cluster_entry, user_entry, context_entry.get("namespace"), folder)


def exec_token(command: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> str:
    """Run the credential plugin (`exec`) of a kubeconfig, and return its token."""
    try:
        done = subprocess.run(command, env={**os.environ, **dict(env)}, capture_output=True, text=True, check=True)
        token: str = json.loads(done.stdout)["status"]["token"]
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as error:
        raise ProviderError(f"The kubeconfig's credential command `{command[0]}` gave no token: {error}") from None
    return token


def _read(given: str | None) -> tuple[str | None, Path]:
    if given and ("\n" in given or given.lstrip().startswith("{")):
        return given, Path.cwd()
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise ProviderError(f"The provider's kubeconfig names the file {given}, and there is none.")
        return path.read_text(), path.parent
    usual = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    for name in usual.split(os.pathsep):
        if name and Path(name).is_file():
            return Path(name).read_text(), Path(name).parent
    return None, Path.cwd()


def _entry(config: dict[str, Any], section: str, entry: str, name: str | None) -> dict[str, Any]:
    for item in config.get(section) or ():
        if item.get("name") == name:
            found: dict[str, Any] = item.get(entry) or {}
            return found
    known = ", ".join(str(item.get("name")) for item in config.get(section) or ()) or "none"
    raise ProviderError(f"The kubeconfig has no {entry} named {name!r}; it has {known}.")


def _access(cluster_entry: dict[str, Any], user_entry: dict[str, Any], namespace: str | None, folder: Path) -> Access:
    authority = _file_of(cluster_entry, "certificate-authority", folder)
    certificate, key = _file_of(user_entry, "client-certificate", folder), _file_of(user_entry, "client-key", folder)
    command = user_entry.get("exec") or {}
    return Access(
        server=str(cluster_entry.get("server", "")).rstrip("/"),
        authority=False if cluster_entry.get("insecure-skip-tls-verify") else authority or True,
        certificate=(certificate, key) if certificate and key else None,
        token=user_entry.get("token"),
        token_file=user_entry.get("tokenFile"),
        basic=(user_entry["username"], user_entry.get("password", "")) if user_entry.get("username") else None,
        command=(command["command"], *(command.get("args") or ())) if command else None,
        command_env=tuple((item["name"], item["value"]) for item in command.get("env") or ()),
        namespace=namespace,
    )


def _file_of(entry: dict[str, Any], name: str, folder: Path) -> str | None:
    if data := entry.get(f"{name}-data"):
        private = Path(tempfile.mkdtemp(prefix="kubeconfig-"))  # readable by its owner alone
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        kept = private / name
        kept.write_bytes(base64.b64decode(data))
        return str(kept)
    return str(folder / entry[name]) if entry.get(name) else None
