"""What is in the images, and under which licences: `python -m tools.sbom`.

python -m tools.sbom                            the images of stack local, as `make up` pushed them
python -m tools.sbom --stack dev                those of a stack of the engine that is logged in here
python -m tools.sbom REGISTRY/NAME@DIGEST...    any images

Writes NAME-ARCHITECTURE.cdx.json (CycloneDX 1.6) for each architecture of an image, and NAME-licences.md for the image.
Exit status: 0 written, 1 could not be (one message says why), 2 the command line is wrong, 130 interrupted.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.exit_status import as_exit_status
from common.paths import as_typed, this_checkout
from common.progress import Progress
from tools.sbom import attach, document
from tools.sbom.images import FleetImage, PlatformImage, resolve
from tools.sbom.packages import Package, lists_the_distribution, packages
from tools.sbom.page import page
from tools.sbom.stack import LOCAL, Deployed, deployed
from tools.sbom.tools import Tools, tools


@dataclass(frozen=True)
class Inventory:
    """Writes the documents and pages of images to `folder`."""

    tools: Tools
    folder: Path
    attaches: bool
    progress: Progress

    def write(self, references: Sequence[str]) -> list[Path]:
        """Write the documents and pages of all images, and return the files in order."""
        images = [resolve(self.tools, reference) for reference in references]
        _refuse_equal_names(images)
        self.folder.mkdir(parents=True, exist_ok=True)
        return [file for image in images for file in self._image(image)]

    def _image(self, image: FleetImage) -> list[Path]:
        files, found, complete = [], {}, True
        for one in image.platforms:
            file = self.folder / f"{image.name}-{one.architecture}.cdx.json"
            with self.progress.step(f"{image.name} for {one.platform}", usual="20 s to 1 min"):
                made = document.make(self.tools, image.name, one, self.folder)
                file.write_text(document.text(made))
            files.append(file)
            found[one.platform] = packages(made)
            complete &= lists_the_distribution(made)
            if self.attaches:
                self._attach(one, file)
        listed = self.folder / f"{image.name}-licences.md"
        listed.write_text(page(image, found, complete=complete))
        self.progress.say(_summary(image, found, complete=complete))
        return [*files, listed]

    def _attach(self, image: PlatformImage, file: Path) -> None:
        with self.progress.step(f"attaching it to {image.reference}"):
            attach.attach(self.tools, image, file)


def _refuse_equal_names(images: Sequence[FleetImage]) -> None:
    names = [name for name, count in Counter(image.name for image in images).items() if count > 1]
    if names:
        raise CommandError(
            f"More than one image is named {', '.join(names)}, and their files would overwrite each other. "
            "Run the command for each image, with a folder of its own (--out)."
        )


def _summary(image: FleetImage, found: dict[str, tuple[Package, ...]], *, complete: bool) -> str:
    every = {package for platform in found.values() for package in platform}
    names = {package.name for package in every}
    bound = {package.name for package in every if package.copyleft}
    unknown = {package.name for package in every if not package.licences}
    line = f"      {image.name}: {len(names)} packages, {len(bound)} copyleft, {len(unknown)} without a licence"
    return (
        line
        if complete
        else f"{line}\n  !!  the distribution's packages are missing: the image has no database of them"
    )


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args()
    began, progress, paths = time.monotonic(), Progress(), this_checkout()
    folder = arguments.out or paths.state / "sbom"
    with as_exit_status(interrupted="Interrupted; what was written stays."):
        deployment = (
            Deployed(tuple(arguments.image), arguments.ca_file) if arguments.image else deployed(arguments.stack, paths)
        )
        programs = tools(arguments.ca_file or deployment.ca_file, progress)
        files = Inventory(programs, folder, arguments.attach, progress).write(deployment.references)
    print("\n".join(f"  {as_typed(file)}" for file in files))
    print(f"  {len(files)} files in {time.monotonic() - began:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.sbom", description="List the images' packages.")
    images = parser.add_mutually_exclusive_group()
    images.add_argument("image", nargs="*", default=[], help="images in a registry, REGISTRY/NAME@sha256:DIGEST")
    images.add_argument("--stack", default=LOCAL, help="the stack whose images to list (local)")
    parser.add_argument("--out", type=Path, help="where to write (.local/sbom)")
    parser.add_argument("--attach", action="store_true", help="attach each document to its image in the registry")
    parser.add_argument("--ca-file", type=Path, help="the registry's authority, if this machine does not trust it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
