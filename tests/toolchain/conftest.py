"""A machine of the test's own: its PATH, tool cache and checkout lie in a temporary folder, and `go` only pretends."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from common import paths
from common.progress import Progress
from toolchain import golang, releases, search
from toolchain.catalogue import Engine
from toolchain.running import Running

# Keeps a line of JSON a call, and makes the files that a build would make.
_GO = """#!{python}
import json, os, pathlib, re, sys, time
with open({calls!r}, "a") as calls:
    kept = {{k: v for k, v in os.environ.items() if k.startswith(("GO", "CGO"))}}
    calls.write(json.dumps({{"arguments": sys.argv[1:], "env": kept, "cwd": os.getcwd()}}) + "\\n")
what = sys.argv[1:]
if what[:2] == ["env", "GOVERSION"]:
    print("go{version}")
elif what[0] == "env":
    print("\\n".join([{cache!r}] * len(what[1:])))
elif what[:2] == ["mod", "download"]:
    print(json.dumps({{"Dir": {source!r}}}))
elif what[0] == "build":
    time.sleep({seconds})
    if pathlib.Path({broken!r}).exists():
        print("go: downloading example.test/x v1.0.0", file=sys.stderr)
        sys.exit("verifying example.test/x: checksum mismatch")
    for package in what[what.index("-ldflags") + 2:]:
        parts = package.split("/")
        name = parts[-2] if re.fullmatch(r"v[0-9]+", parts[-1]) else parts[-1]
        pathlib.Path(what[2], name).write_text("#!/bin/sh\\necho 1.2.3\\n")
        pathlib.Path(what[2], name).chmod(0o755)
"""


@dataclass(frozen=True)
class Machine:
    """What a test may change: commands on PATH, and what the pretended Go does."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def modules(self) -> Path:
        return self.checkout / "modules"

    @property
    def broken(self) -> Path:
        return self.root / "broken"

    def command(self, name: str, script: str, folder: Path | None = None) -> Path:
        """Put a command on PATH, or in `folder`."""
        file = (folder or self.bin) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def go(self, version: str = "1.26.8", seconds: float = 0.0) -> Path:
        """Put a Go on PATH that pretends to be of `version` and to build for `seconds`."""
        source = self.root / "source"
        if not source.exists():
            (source / "config" / "crd").mkdir(parents=True)
            (source / "config" / "crd" / "one.yaml").write_text("kind: One\n")
            (source / "config" / "crd" / "one.yaml").chmod(0o444)
            (source / "config" / "crd").chmod(0o555)  # as Go keeps its module cache
        facts = {"calls": str(self.calls_file), "cache": str(self.root), "source": str(source)}
        script = _GO.format(python=sys.executable, version=version, seconds=seconds, broken=str(self.broken), **facts)
        return self.command("go", script)

    @property
    def calls_file(self) -> Path:
        return self.root / "go-calls"

    def builds(self) -> list[dict[str, Any]]:
        """The calls of `go build`, in order."""
        return [call for call in self.calls() if call["arguments"][0] == "build"]

    def calls(self) -> list[dict[str, Any]]:
        """All calls of `go`, in order."""
        return (
            [json.loads(line) for line in self.calls_file.read_text().splitlines()] if self.calls_file.exists() else []
        )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    made.bin.mkdir()
    module = made.modules / "engine"
    (module / "stub").mkdir(parents=True)
    (module / "go.mod").write_text("module example.test/engine\n\ngo 1.26.0\n")
    (module / "go.sum").write_text("example.test/x v1.0.0 h1:x=\n")
    (module / "stub" / "stub.go").write_text("package stub\n")
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("ALPHASWARM_CACHE", str(made.cache))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    monkeypatch.delenv("GOFLAGS", raising=False)
    monkeypatch.setattr(search, "_USUAL_FOLDERS", ())
    monkeypatch.setattr(golang, "_USUAL_PLACE", tmp_path / "no-go-here")
    monkeypatch.setattr(paths, "this_checkout", lambda: paths.Paths(made.checkout))
    monkeypatch.setattr(releases, "RELEASES", {})
    golang._version.cache_clear()
    return made


@pytest.fixture
def engine() -> Engine:
    commands = {"keda-operator": "example.test/keda/cmd/operator", "etcd": "example.test/etcd/server/v3"}
    return Engine("engine", "engine", "1.2.3", MappingProxyType(commands), "1 s", 1, ("-X a.b=v1.2.3",))


@pytest.fixture
def quiet() -> Progress:
    return Progress(out=io.StringIO())


@pytest.fixture
def running() -> Running:
    return Running()
