"""Pure functions: settings and catalogue rows in, Kubernetes objects out, as plain data and without Pulumi.

The components register these objects and the Kustomize tree is written from them, so both say the same.
"""

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
"""One Kubernetes object, in the API's own spelling."""

ImageReferences = Mapping[str, Any]
"""What to pull, by image name: `repository@sha256:…`, known now or, as an output, once it is built."""
