"""deploy/image-catalogue.yaml: which image each role runs, and what it is built from."""

from typing import Any, Final

from config.schema import DOCKERFILE
from queues import IMAGES, QUEUES, WORKER, Image, Resources
from surfaces.yaml_text import dump_block

HEADER: Final = """\
# Generated from queues.py by `make surfaces`; do not edit.
# Roles and the images that they run. Beat runs the worker's image and drains no queue.
"""


def image_catalogue() -> str:
    """Return the text of image-catalogue.yaml."""
    roles = {image.target: {**_built(image), **_drains(image)} for image in IMAGES}
    return HEADER + dump_block({"images": {"worker": roles.pop("worker"), "beat": _built(WORKER), **roles}})


def _built(image: Image) -> dict[str, Any]:
    return {
        "repository": image.name,
        "target": image.target,
        "dockerfile": DOCKERFILE,
        "standalone": f"images/{image.standalone_folder}/Dockerfile",
        "platforms": list(image.platforms),
        "extras": list(image.extras),
        "user": image.uid,
    }


def _drains(image: Image) -> dict[str, Any]:
    return {
        "queues": [queue.name for queue in QUEUES.of(image)],
        "concurrency": image.concurrency,
        "requests": _amounts(image.requests),
        "limits": _amounts(image.limits),
    }


def _amounts(resources: Resources) -> dict[str, str]:
    return {"cpu": resources.cpu, "memory": resources.memory}
