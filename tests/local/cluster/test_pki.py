import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from local.cluster.pki import FRONT_PROXY, SUBJECTS, Pki
from local.services import certificates


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("run") / "pki")
    made.ensure()
    return made


def read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_every_certificate_was_signed_by_the_authority_that_its_readers_trust(pki: Pki) -> None:
    for subject in (*SUBJECTS, FRONT_PROXY):
        issuer = "front-proxy-ca" if subject is FRONT_PROXY else "ca"
        read(pki.certificate(subject.file)).verify_directly_issued_by(read(pki.certificate(issuer)))
    assert len(SUBJECTS) == 7, "a new certificate has no one who checks it"


def test_a_server_certificate_stands_for_its_loopback_name(pki: Pki) -> None:
    verifier = PolicyBuilder().store(Store([read(pki.certificate("ca"))]))
    serving = [subject for subject in SUBJECTS if subject.hosts]
    assert len(serving) == 4
    for subject in serving:
        verifier.build_server_verifier(x509.DNSName("localhost")).verify(read(pki.certificate(subject.file)), [])


def test_pods_find_the_api_server_under_its_service_names(pki: Pki) -> None:
    found = names(read(pki.certificate("apiserver")))
    assert "kubernetes.default.svc.cluster.local" in found.get_values_for_type(x509.DNSName)
    assert {"127.0.0.1", "10.96.0.1"} <= {str(address) for address in found.get_values_for_type(x509.IPAddress)}


def test_only_the_front_proxy_authority_may_vouch_for_other_users(pki: Pki) -> None:
    front, general = read(pki.certificate("front-proxy-ca")), read(pki.certificate("ca"))
    assert front.public_key() != general.public_key(), "any client could act as any user"


def test_keda_is_the_service_account_that_its_roles_are_bound_to(pki: Pki) -> None:
    subject = read(pki.certificate("keda")).subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:serviceaccount:keda:keda-operator"
    groups = {entry.value for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    assert "system:masters" not in groups, "KEDA's own roles would never be tested"


def test_a_serving_certificate_cannot_be_used_to_log_in_unless_it_must(pki: Pki) -> None:
    uses = {
        subject.file: read(pki.certificate(subject.file))
        .extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        .value
        for subject in SUBJECTS
    }
    serving = {file for file, allowed in uses.items() if ExtendedKeyUsageOID.SERVER_AUTH in allowed}
    assert serving == {subject.file for subject in SUBJECTS if subject.hosts}
    log_in = {file for file, allowed in uses.items() if ExtendedKeyUsageOID.CLIENT_AUTH in allowed}
    assert uses.keys() - log_in == {"apiserver", "kcm-server"}, "whoever reads a server's key could act as a user"


def test_every_file_is_its_owners_alone(pki: Pki) -> None:
    files = [file for file in pki.folder.rglob("*") if file.is_file()]
    assert len(files) == 2 + 2 * (len(SUBJECTS) + 1) + 2 + 3
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600, file.name


def test_keys_are_elliptic(pki: Pki) -> None:
    key = read(pki.certificate("apiserver")).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_a_second_call_changes_nothing(pki: Pki) -> None:
    before = {file.name: file.read_bytes() for file in pki.folder.rglob("*") if file.is_file()}
    pki.ensure()
    assert {file.name: file.read_bytes() for file in pki.folder.rglob("*") if file.is_file()} == before


def test_a_set_cut_short_is_made_anew_as_a_whole(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pki.ensure()
    authority = pki.certificate("ca").read_bytes()
    pki.key("keda").unlink()
    pki.certificate("keda").unlink()
    pki.ensure()
    assert pki.key("keda").exists()
    assert pki.certificate("ca").read_bytes() != authority, "two generations would have to trust each other"


def test_certificates_are_renewed_a_month_before_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pki = Pki(tmp_path / "pki")
    monkeypatch.setattr(certificates, "VALID_FOR", certificates.RENEW_WITHIN - datetime.timedelta(days=1))
    pki.ensure()
    first = pki.certificate("apiserver").read_bytes()
    monkeypatch.undo()
    pki.ensure()
    second = pki.certificate("apiserver").read_bytes()
    assert second != first, "the cluster stops one day with an expired certificate"
    pki.ensure()
    assert pki.certificate("apiserver").read_bytes() == second
