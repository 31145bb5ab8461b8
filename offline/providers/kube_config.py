"""Reads a kubeconfig: which server to call, whom to trust, and as whom to come.

It may be given as a path or as the text itself. Client certificates in it are written to a private folder for the
life of this process, since the TLS library wants files.
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

from offline.providers.plugin import PluginError


@dataclass(frozen=True)
class Access:
    """How to reach one API server. Of the ways to prove who one is, the first that is set counts."""

    server: str
    authority: str | bool = True  # a file of trusted certificates; True: the machine's; False: trust anybody
    certificate: tuple[str, str] | None = None
    token: str | None = None
    token_file: str | None = None
    basic: tuple[str, str] | None = None
    command: tuple[str, ...] | None = None
    command_env: tuple[tuple[str, str], ...] = ()
    namespace: str | None = None


def find(given: str | None, context: str | None = None, cluster: str | None = None) -> Access | None:
    """The access that a kubeconfig gives: `given` as path or text, else KUBECONFIG, else ~/.kube/config.

    None when no kubeconfig was given and none is found in the usual places.
    """
    text, folder = _text(given)
    if text is None:
        return None
    import yaml  # slow, and not needed where there is no cluster

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PluginError(f"The kubeconfig is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise PluginError("The kubeconfig is neither the path of a file nor the text of one.")
    name = context or config.get("current-context")
    chosen = _named(config, "contexts", "context", name) if name else {}
    where = _named(config, "clusters", "cluster", cluster or chosen.get("cluster"))
    who = _named(config, "users", "user", chosen.get("user")) if chosen.get("user") else {}
    return _access(where, who, chosen.get("namespace"), folder)


def exec_token(command: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> str:
    """The token that a credential command of the kubeconfig prints."""
    try:
        done = subprocess.run(command, env={**os.environ, **dict(env)}, capture_output=True, text=True, check=True)
        token: str = json.loads(done.stdout)["status"]["token"]
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as error:
        raise PluginError(f"The kubeconfig's credential command `{command[0]}` gave no token: {error}") from None
    return token


def _text(given: str | None) -> tuple[str | None, Path]:
    if given and ("\n" in given or given.lstrip().startswith("{")):
        return given, Path.cwd()
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise PluginError(f"The provider's kubeconfig names the file {given}, and there is none.")
        return path.read_text(), path.parent
    usual = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    for name in usual.split(os.pathsep):
        if name and Path(name).is_file():
            return Path(name).read_text(), Path(name).parent
    return None, Path.cwd()


def _named(config: dict[str, Any], section: str, entry: str, name: str | None) -> dict[str, Any]:
    for item in config.get(section) or ():
        if item.get("name") == name:
            found: dict[str, Any] = item.get(entry) or {}
            return found
    known = ", ".join(str(item.get("name")) for item in config.get(section) or ()) or "none"
    raise PluginError(f"The kubeconfig has no {entry} named {name!r}; it has {known}.")


def _access(where: dict[str, Any], who: dict[str, Any], namespace: str | None, folder: Path) -> Access:
    authority = _file(where, "certificate-authority", folder)
    certificate, key = _file(who, "client-certificate", folder), _file(who, "client-key", folder)
    command = who.get("exec") or {}
    return Access(
        server=str(where.get("server", "")).rstrip("/"),
        authority=False if where.get("insecure-skip-tls-verify") else authority or True,
        certificate=(certificate, key) if certificate and key else None,
        token=who.get("token"),
        token_file=who.get("tokenFile"),
        basic=(who["username"], who.get("password", "")) if who.get("username") else None,
        command=(command["command"], *(command.get("args") or ())) if command else None,
        command_env=tuple((item["name"], item["value"]) for item in command.get("env") or ()),
        namespace=namespace,
    )


def _file(entry: dict[str, Any], name: str, folder: Path) -> str | None:
    if data := entry.get(f"{name}-data"):
        private = Path(tempfile.mkdtemp(prefix="kubeconfig-"))  # readable by its owner alone
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        kept = private / name
        kept.write_bytes(base64.b64decode(data))
        return str(kept)
    return str(folder / entry[name]) if entry.get(name) else None
