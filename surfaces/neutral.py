"""The settings that the Kustomize base is rendered from: every default, and placeholders where a stack must answer.

An overlay says only what its stack changes, so these values decide how long the overlays are. They suit no
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

_NEUTRAL: Final = {
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


def neutral_settings(layout: Layout) -> Settings:
    """What no stack has changed yet."""
    return in_layout(parse(_NEUTRAL, frozenset({BROKER_PASSWORD})), layout)


def in_layout(settings: Settings, layout: Layout) -> Settings:
    """The same stack, in one of the two layouts."""
    return settings.model_copy(update={"layout": layout})
