"""Writes an OCI image layout with the standard library alone.

The same files give the same digests on every machine: entries are sorted, times are 1980 (some zip readers refuse
earlier ones), owners are numbers, and gzip has no name and no date. Files lose their setuid and setgid bits. Sizes
are bytes.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
TIMESTAMP = 315_532_800  # 1980-01-01
GZIP_LEVEL = 6

Entry = tuple[tarfile.TarInfo, bytes | None]


@dataclass(frozen=True)
class Layer:
    """A layer of the layout: its descriptor, and the digest of its tar before gzip."""

    descriptor: Mapping[str, object]
    diff_id: str


@dataclass(frozen=True)
class Layout:
    """An OCI image layout in `folder`; `write_names` completes it."""

    folder: Path

    def write_layer(self, entries: Iterable[Entry]) -> Layer:
        """Write a layer. Of two entries with the same path the last counts; hard links follow their targets."""
        by_path = {info.name: (info, data) for info, data in entries}
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for info, data in sorted(by_path.values(), key=lambda entry: (entry[0].islnk(), entry[0].name)):
                tar.addfile(_normalized(info), io.BytesIO(data) if data is not None else None)
        plain = raw.getvalue()
        packed = gzip.compress(plain, GZIP_LEVEL, mtime=0)
        return Layer(self._blob(packed, LAYER), _digest(plain))

    def write_image(
        self, architecture: str, layers: Sequence[Layer], config: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Write the image of one architecture, and return its descriptor."""
        platform = {"architecture": architecture, "os": "linux"}
        body = {
            **platform,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            # One for each layer: BuildKit fills in what is missing from the platform that it builds first.
            "history": [{"created": "1980-01-01T00:00:00Z", "created_by": "Debian packages"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(_json(body), CONFIG),
            "layers": [layer.descriptor for layer in layers],
        }
        return {**self._blob(_json(manifest), MANIFEST), "platform": platform}

    def write_index(self, images: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
        """Write the index of the architectures' images, and return its descriptor."""
        return self._blob(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(images)}), INDEX)

    def write_names(self, names: Mapping[str, Mapping[str, object]]) -> None:
        """Write the layout's index.json, with a name for each image index."""
        named = [
            {**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}}
            for name, descriptor in sorted(names.items())
        ]
        (self.folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
        (self.folder / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": named}))

    def _blob(self, data: bytes, media_type: str) -> Mapping[str, object]:
        digest = _digest(data)
        file = self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def digests_by_name(folder: Path) -> dict[str, str]:
    """Return the digest of each named image index of a layout."""
    found = json.loads((folder / "index.json").read_text())["manifests"]
    return {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in found}


def file_entry(path: str, data: bytes, mode: int = 0o644) -> Entry:
    """Make the entry of a regular file."""
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(data), mode
    return info, data


def folder_entry(path: str, mode: int = 0o755, owner: int = 0) -> Entry:
    """Make the entry of a directory."""
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
    return info, None


def _normalized(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = TIMESTAMP
    info.uname = info.gname = ""
    info.mode &= 0o1777
    info.pax_headers = {}
    return info


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
