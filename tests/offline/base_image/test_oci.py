import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from offline.base_image import oci


def a_file(path: str, mode: int = 0o644, mtime: int = 0) -> oci.Entry:
    info, data = oci.file_entry(path, path.encode(), mode)
    info.mtime = mtime
    return info, data


def members(folder: Path, layer: oci.Layer) -> list[tarfile.TarInfo]:
    packed = blob(folder, str(layer.descriptor["digest"]))
    return tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))).getmembers()


def blob(folder: Path, digest: str) -> bytes:
    return (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def test_the_same_files_give_the_same_digest_whenever_and_in_whatever_order_they_were_made(tmp_path: Path) -> None:
    first = oci.Layout(tmp_path / "one").write_layer([a_file("a", mtime=1), a_file("b", mtime=2)])
    second = oci.Layout(tmp_path / "two").write_layer([a_file("b", mtime=4), a_file("a", mtime=3)])
    assert first == second


def test_a_blob_lies_under_its_own_digest(tmp_path: Path) -> None:
    layer = oci.Layout(tmp_path).write_layer([a_file("a")])
    digest = str(layer.descriptor["digest"])
    data = blob(tmp_path, digest)
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert layer.descriptor["size"] == len(data)
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"


def test_no_file_keeps_the_right_to_become_somebody_else(tmp_path: Path) -> None:
    (member,) = members(tmp_path, oci.Layout(tmp_path).write_layer([a_file("su", mode=0o6755)]))
    assert member.mode == 0o755


def test_a_hard_link_comes_after_the_file_it_names(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a-link")
    link.type, link.linkname = tarfile.LNKTYPE, "z-file"
    found = members(tmp_path, oci.Layout(tmp_path).write_layer([(link, None), a_file("z-file")]))
    assert [member.name for member in found] == ["z-file", "a-link"]


def test_each_layer_has_its_line_of_history(tmp_path: Path) -> None:
    layout = oci.Layout(tmp_path)
    layers = [layout.write_layer([a_file("a")]), layout.write_layer([a_file("b")])]
    manifest = json.loads(blob(tmp_path, str(layout.write_image("amd64", layers, {})["digest"])))
    config = json.loads(blob(tmp_path, manifest["config"]["digest"]))
    assert len(config["history"]) == len(layers), "BuildKit would fill the gap, differently for each order of platforms"
    assert not any(line.get("empty_layer") for line in config["history"])


def test_an_index_joins_both_architectures_under_a_name(tmp_path: Path) -> None:
    layout = oci.Layout(tmp_path)
    layer = layout.write_layer([a_file("a")])
    images = [layout.write_image(architecture, [layer], {"User": "0"}) for architecture in ("amd64", "arm64")]
    layout.write_names({"base": layout.write_index(images)})
    index = json.loads(blob(tmp_path, oci.digests_by_name(tmp_path)["base"]))
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    for entry in index["manifests"]:
        config = json.loads(blob(tmp_path, json.loads(blob(tmp_path, entry["digest"]))["config"]["digest"]))
        assert config["architecture"] == entry["platform"]["architecture"]
        assert config["rootfs"]["diff_ids"] == [layer.diff_id]
