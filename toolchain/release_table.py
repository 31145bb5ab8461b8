"""Official releases that have the same commands as an engine's Go module, one row each.

`{version}`, `{os}` and `{arch}` are filled in; `arch` is Go's name of the processor (amd64), `x64` the one that
Pulumi's files use. `checksums` is where the release publishes the digest: a list, a bare digest, or GitHub's
description of the release (which has one for every file) where the publisher has no list. KEDA publishes no commands,
only images and manifests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Asset:
    """One file of a release: an archive with commands in it, or, with an empty place, a command itself."""

    url: str
    checksums: str
    commands: Mapping[str, str]  # by name, their place in the archive
    extras: tuple[str, ...] = ()  # places of files that are taken along where the archive has them
    digests: Mapping[str, str] = field(default_factory=dict)  # pinned, by "os-arch"; wins over what is published


def _github(repository: str, file: str, checksums: str | None, commands: dict[str, str], *extras: str) -> Asset:
    base = f"https://github.com/{repository}/releases/download/v{{version}}"
    described = f"https://api.github.com/repos/{repository}/releases/tags/v{{version}}"
    return Asset(f"{base}/{file}", f"{base}/{checksums}" if checksums else described, commands, extras)


def _kubernetes(*names: str) -> tuple[Asset, ...]:
    base = "https://dl.k8s.io/release/v{version}/bin/{os}/{arch}"
    return tuple(Asset(f"{base}/{name}", f"{base}/{name}.sha256", {name: ""}) for name in names)


RELEASES: Mapping[str, tuple[Asset, ...]] = MappingProxyType({
    "pulumi": (
        _github(
            "pulumi/pulumi",
            "pulumi-v{version}-{os}-{x64}.tar.gz",
            "SHA512SUMS",
            {"pulumi": "pulumi/pulumi"},
            "pulumi/pulumi-language-python",
            "pulumi/pulumi-language-python-exec",
        ),
    ),
    "docker-build": (
        _github(
            "pulumi/pulumi-docker-build",
            "pulumi-resource-docker-build-v{version}-{os}-{arch}.tar.gz",
            None,
            {"pulumi-resource-docker-build": "pulumi-resource-docker-build"},
        ),
    ),
    "kubernetes": _kubernetes("kube-apiserver", "kube-controller-manager"),
    "kubernetes-node": _kubernetes("kubelet", "kube-scheduler", "kube-proxy"),
    "buildkit": (
        _github(
            "moby/buildkit",
            "buildkit-v{version}.{os}-{arch}.tar.gz",
            None,
            {"buildkitd": "bin/buildkitd", "buildctl": "bin/buildctl"},
        ),
    ),
    "etcd": (
        _github(
            "etcd-io/etcd",
            "etcd-v{version}-{os}-{arch}.tar.gz",
            "SHA256SUMS",
            {"etcd": "etcd-v{version}-{os}-{arch}/etcd"},
        ),
    ),
    "registry": (
        _github(
            "distribution/distribution",
            "registry_{version}_{os}_{arch}.tar.gz",
            "registry_{version}_{os}_{arch}.tar.gz.sha256",
            {"docker-registry": "registry"},
        ),
    ),
    "actionlint": (
        _github(
            "rhysd/actionlint",
            "actionlint_{version}_{os}_{arch}.tar.gz",
            "actionlint_{version}_checksums.txt",
            {"actionlint": "actionlint"},
        ),
    ),
    "syft": (
        _github("anchore/syft", "syft_{version}_{os}_{arch}.tar.gz", "syft_{version}_checksums.txt", {"syft": "syft"}),
    ),
    "oras": (
        _github(
            "oras-project/oras",
            "oras_{version}_{os}_{arch}.tar.gz",
            "oras_{version}_checksums.txt",
            {"oras": "oras"},
        ),
    ),
})  # fmt: skip
