from pathlib import Path

import yaml

from local.cluster.kubeconfig import write_kubeconfig
from local.cluster.pki import Pki


def test_one_file_is_all_a_client_needs_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pki.ensure()
    file = write_kubeconfig(tmp_path / "kubeconfig", pki, "admin", "https://127.0.0.1:6443", "here")
    config = yaml.safe_load(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert config["current-context"] == "here"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert str(tmp_path) not in file.read_text(), "the file stops working when it is copied"
