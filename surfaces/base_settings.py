"""The settings that the Kustomize base is rendered from: every default, and placeholders for required keys.

An overlay contains only what its stack changes, so these values decide how long the overlays are. They suit no
environment: the labels are visibly unassigned, and the broker's connection is encrypted until a stack says otherwise.
"""

from collections.abc import Mapping
from typing import Final, Literal

from config.loading import parse
from config.schema import BROKER_PASSWORD, Settings
from queues import IMAGES

Layout = Literal["per-queue", "per-image"]
LAYOUTS: Final[tuple[Layout, ...]] = ("per-queue", "per-image")
BARE_IMAGES: Final[Mapping[str, str]] = {image.name: image.name for image in IMAGES}

_BASE_CONFIG: Final = {
    "environment": "dev",
    "images": {"source": "promote", "stack": "organization/alphaswarm-fleet/dev"},
    "broker": {"kind": "external", "host": "redis.alphaswarm.svc.cluster.local"},
    "labels": {
        "project": "alphaswarm",
        "costCenter": "unassigned",
        "owner": "unassigned",
        "dataClassification": "internal",
    },
}


def base_settings(layout: Layout) -> Settings:
    """Return the base's settings in one of the two layouts."""
    return with_layout(parse(_BASE_CONFIG, frozenset({BROKER_PASSWORD})), layout)


def with_layout(settings: Settings, layout: Layout) -> Settings:
    """Return the same settings in one of the two layouts."""
    return settings.model_copy(update={"layout": layout})
