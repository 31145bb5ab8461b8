"""The images as BuildKit made them, file by file: what is in them, what is not, and whose it is."""

import re
import shutil
from pathlib import Path

import pytest

from local.builder.service import STAND_IN_NAME
from local.builder.wolfi import base_of
from queues import QUEUES, WORKER
from tests.images.build_environment import BuildEnvironment
from tests.images.built import LABELS, ImageBuild, build
from tests.images.cases import FOLDER, BuiltCase
from tests.images.difference import difference

pytestmark = pytest.mark.images

FILE_TIME = 315_619_200  # 1980-01-02: the day before, it is 1979 west of Greenwich, which no zip file can hold
MACHINES = {"linux/amd64": 62, "linux/arm64": 183}  # ELF's numbers
PATH = "/venv/bin:/runtime/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EVERYBODYS = {"tmp", "var/tmp", "var/lock", "run/lock", "dev/shm", "dev/mqueue"}
BUILD_TOOL = re.compile(
    r"(usr/)?(local/)?s?bin/"
    r"(gcc|cc|g\+\+|c\+\+|gfortran|ld|as|make|uv|uvx|pip[\d.]*|apk|apt|apt-get|dpkg|git|cargo|rustc|go)$"
)
LEFT_OVER = re.compile(
    r"(^|/)(\.git|uv\.lock|\.?netrc|\.cache|uv_cache\.json)$|^(app|runtime|venv)/\.lock$"
    r"|^(cache|src|root/.*|tmp/.*|run/secrets)($|/)|/(site-packages|runtime)/(pip|uv)($|/)"
    r"|\.whl$|\.(js|css)\.map$"
)
KEY = re.compile(
    rb"-----BEGIN (RSA |EC |OPENSSH |ENCRYPTED )?PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{60}"
    rb"|\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bpypi-AgEIcHlwaS5vcmc[\w-]{50}"
    rb"|https?://[^/\s:@'\"<>{}]+:[^/\s:@'\"<>{}]{8,}@"
)
SAYS_SECRET = re.compile("PASSWORD|TOKEN|SECRET|CREDENTIAL|_KEY|NETRC", re.IGNORECASE)


def test_an_image_starts_the_runtime_as_its_user(case: BuiltCase) -> None:
    built, uid = case.built, case.image.uid
    assert f"{built.image['os']}/{built.image['architecture']}" == case.platform
    assert built.config["User"] == f"{uid}:{uid}"
    assert built.config["Entrypoint"] == ["tini", "--", "python", "-m", "alphaswarm_runtime"]
    assert built.config["Cmd"] == ["worker"]
    assert built.config["WorkingDir"] == "/app"
    assert built.config["ExposedPorts"] == {"9100/tcp": {}}
    assert built.config["Healthcheck"] == {"Test": ["NONE"]}
    assert "Volumes" not in built.config, "a volume of the image's own hides what a pod mounts, or is never removed"


def test_the_environment_of_an_image_is_the_runtimes_and_the_bases(case: BuiltCase) -> None:
    bases = {"SSL_CERT_FILE"}
    assert {name: value for name, value in case.built.env.items() if name not in bases} == {
        "PATH": PATH,
        "HOME": "/tmp",  # noqa: S108 the one place that is writable on a read-only root
        "LOGNAME": "nonroot",
        "USER": "nonroot",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "CELERY_APP": "alphaswarm.tasks.celery_app",
        "ALPHASWARM_IMAGE": case.image.target,
    }


def test_an_image_says_where_it_comes_from_and_what_it_drains(case: BuiltCase, environment: BuildEnvironment) -> None:
    base = environment.builder.build_args.get("BASE") or base_of(FOLDER / "Dockerfile")
    name, _, digest = base.partition("@")
    wanted = {
        **{f"org.opencontainers.image.{label.lower()}": value for label, value in LABELS.items()},
        "org.opencontainers.image.title": case.image.name,
        "org.opencontainers.image.base.name": name,
        "org.opencontainers.image.base.digest": digest,
        "io.alphaswarm.queues": ",".join(queue.name for queue in QUEUES.of(case.image)),
        "io.alphaswarm.concurrency": str(case.image.concurrency),
    }
    labels = case.built.config["Labels"]
    assert {key: labels.get(key) for key in wanted} == wanted
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert (labels.get("io.alphaswarm.base") == "stand-in") is (name == STAND_IN_NAME), "a base that claims another's"


def test_an_image_owns_its_directories_and_nothing_else(case: BuiltCase) -> None:
    owned = {
        f"/{name}": (entry.info.uid, entry.info.gid, oct(entry.info.mode))
        for name, entry in case.built.files.items()
        if case.image.uid in (entry.info.uid, entry.info.gid)
    }
    owned.pop("/home/nonroot", None)  # the base's
    assert owned == {path: (case.image.uid, case.image.uid, oct(0o775)) for path in case.image.directories}


def test_nobody_can_change_or_become_anything_in_an_image(case: BuiltCase) -> None:
    files = [entry.info for entry in case.built.files.values()]
    assert not [info.name for info in files if info.isreg() and info.mode & 0o6000], "setuid or setgid"
    theirs = {path.removeprefix("/") for path in case.image.directories} | EVERYBODYS
    writable = {info.name for info in files if not info.issym() and info.mode & 0o022}
    assert not writable - theirs, "writable by group or world"
    assert not [info.name for info in files if not (info.isreg() or info.isdir() or info.issym() or info.islnk())]
    assert not [info.name for info in files if "SCHILY.xattr.security.capability" in info.pax_headers]


def test_nothing_of_the_building_stays_in_an_image(case: BuiltCase) -> None:
    entries = {entry.info.name: entry.info for entry in case.built.entries}
    assert not [name for name, info in entries.items() if not info.isdir() and BUILD_TOOL.match(name)]
    assert not [name for name in entries if LEFT_OVER.search(name)]
    assert not [name for name in entries if "/.wh." in f"/{name}"], "a layer hides what another one still carries"


def test_no_secret_is_in_an_image(case: BuiltCase) -> None:
    built = case.built
    assert not [name for name in built.env if SAYS_SECRET.search(name)]
    commands = [step.get("created_by", "") for step in built.image["history"]]
    assert not [step for step in commands if re.search(r"(?i)password|token=|://[^/]*@", step)]
    own = [entry for entry in built.entries if entry.info.isreg() and entry.info.name.startswith(("app/", "runtime/"))]
    assert len(own) > 20, "the application or the runtime is not where it is looked for"
    config = [entry for entry in built.entries if entry.info.isreg() and entry.info.name.startswith(("etc/", "home/"))]
    assert not [entry.info.name for entry in (*own, *config) if KEY.search(entry.head())]


def test_every_library_is_of_the_images_architecture(case: BuiltCase) -> None:
    machines = {
        name: _machine(entry.head(20))
        for name, entry in case.built.files.items()
        if entry.info.isreg() and (re.search(r"\.so(\.\d+)*$", name) or "/bin/" in name)
    }
    libraries = {name: machine for name, machine in machines.items() if machine is not None}
    assert len(libraries) > 50
    assert not [name for name, machine in libraries.items() if machine != MACHINES[case.platform]]


def _machine(head: bytes) -> int | None:
    return int.from_bytes(head[18:20], "little") if head[:4] == b"\x7fELF" else None


def test_the_layers_of_an_image_are_those_of_one_moment(case: BuiltCase) -> None:
    assert case.built.image["created"].startswith("1970-01-01"), "the same source would give another digest each time"
    ours = [entry.info for entry in case.built.entries if entry.info.name.startswith(("app", "runtime", "venv"))]
    times = {info.name: info.mtime for info in ours if info.mtime != FILE_TIME}
    assert set(times.items()) <= {("app", 0)}, "files carry the time of their build"  # WORKDIR's, SOURCE_DATE_EPOCH


def test_bytecode_is_there_and_trusted(case: BuiltCase) -> None:
    for folder in ("app/alphaswarm/", "runtime/alphaswarm_runtime/", "venv/lib/python3.13/site-packages/celery/"):
        sources = {name for name in case.built.files if name.startswith(folder) and name.endswith(".py")}
        compiled = {_compiled(name) for name in sources}
        assert sources
        assert compiled <= case.built.files.keys(), "each start would compile it again, for want of a place to keep it"
        flags = {case.built.files[name].head(8)[4:] for name in compiled}
        assert flags == {b"\1\0\0\0"}, "bytecode that is checked against times goes stale when those are fixed"


def _compiled(source: str) -> str:
    folder, _, name = source.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-313.pyc"


def test_everything_that_can_be_imported_is_still_there(case: BuiltCase) -> None:
    tests = re.compile(r"/site-packages/(pandas|numpy|pyarrow)/.*tests/.*\.py$")
    assert sum(tests.search(name) is not None for name in case.built.files) > 300, (
        "a folder named tests may be what an application imports, as django.test is"
    )


def test_libraries_carry_no_debug_sections(case: BuiltCase) -> None:
    libraries = [
        entry
        for name, entry in case.built.files.items()
        if name.startswith("venv/") and entry.info.isreg() and re.search(r"\.so(\.\d+)*$", name)
    ]
    assert len(libraries) > 50
    assert [entry.info.name for entry in libraries if b".debug_info" in entry.head()[-20_000:]] == []


def test_an_image_says_whether_it_has_cuda(case: BuiltCase) -> None:
    wanted = None if case.image is WORKER else "false"
    assert case.built.config["Labels"].get("io.alphaswarm.cuda") == wanted


def test_a_standalone_folder_builds_the_same_image_in_another_place(
    native_case: BuiltCase, environment: BuildEnvironment, tmp_path: Path
) -> None:
    moved = tmp_path / "repository"
    shutil.copytree(FOLDER / native_case.image.standalone_folder, moved)  # follows the links, as `cp -RL` does
    out = environment.scratch / f"{native_case.image.target}-alone"
    there = build(environment, ImageBuild(moved, native_case.image.target, (native_case.platform,)), out)[
        native_case.platform
    ]
    assert difference(there, native_case.built) == [], "the two Dockerfiles make different images"
    assert there.digest == native_case.built.digest
    shutil.rmtree(out)
