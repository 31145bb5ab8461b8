"""Tells the docker-build provider of a builder, through the file that buildx itself would have written.

The provider embeds buildx and finds builders in `$BUILDX_CONFIG/instances/<name>`; no command is needed. A stack
names the builder, so that the provider never looks for another one on the machine.
"""

import json
from pathlib import Path

from common.paths import private_folder
from common.private_files import write_private


def write_builder(folder: Path, name: str, address: str) -> None:
    """Write the builder `name`, a BuildKit daemon that runs at `address`, into the buildx folder."""
    node = {
        "Name": f"{name}0",
        "Endpoint": address,
        "Platforms": None,
        "DriverOpts": None,
        "Flags": None,
        "Files": None,  # the driver for running daemons refuses any
    }
    instance = {"Name": name, "Driver": "remote", "Nodes": [node], "Dynamic": False}
    private_folder(folder / "instances")
    write_private(folder / "instances" / name, json.dumps(instance, indent=1))
