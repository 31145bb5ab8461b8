"""Builds the images' steps before the update does, while the cluster's programs are still being compiled.

Nothing is exported: the steps land in BuildKit's cache, where the engine's own builds of the same Dockerfile, arguments
and contexts find them. A failure is only told: the update builds again, with the stack's secrets, and says why.
"""

import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.paths import private_folder
from common.progress import Progress
from config.schema import BUILD_CONTEXT, BuildImages
from local.builder.buildctl import Build, in_folder
from queues import IMAGES


@dataclass
class BuildAhead:
    """One build after the other of each image; `stop` ends the one that runs."""

    buildctl: Path
    log: Path
    _stopped: threading.Event = field(default_factory=threading.Event)
    _running: "subprocess.Popen[bytes] | None" = None

    def run(
        self, address: str, checkout: Path, images: BuildImages, build_args: Mapping[str, str], progress: Progress
    ) -> None:
        """Build every image with the BuildKit at `address`, as `images` says; folders are seen from the checkout."""
        for image in IMAGES:
            build = Build(
                checkout / BUILD_CONTEXT,
                image.target,
                images.platforms,
                build_args,
                {stage: in_folder(checkout, location) for stage, location in images.all_contexts.items()},
            )
            if self._stopped.is_set():
                return
            with progress.step(f"building {image.name} ahead of the update", usual="4 min the first time"):
                done = self._finished(build.command(self.buildctl, address))
            if not done and not self._stopped.is_set():
                progress.say(f"      {image.name} could not be built ahead ({self.log}); the update will try again")
                return

    def stop(self) -> None:
        """End the build that runs, and begin no other."""
        self._stopped.set()
        if self._running is not None:
            self._running.terminate()

    def _finished(self, command: Sequence[str]) -> bool:
        private_folder(self.log.parent)
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if self._stopped.is_set():
                self._running.terminate()
            return self._running.wait() == 0
