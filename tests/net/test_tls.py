"""TLS options to a context: each wrong file is named, and a changed one is noticed."""

from __future__ import annotations

import os
import ssl

import pytest
import trustme

from edgebit.errors import SourceError
from edgebit.net.tls import TLS_OPTIONS, ClientTLS, client_context, explain
from edgebit.options import Setting, read


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture
def files(ca, tmp_path):
    device, other = ca.issue_cert("device"), ca.issue_cert("other")
    for name, blob in {
        "ca.pem": ca.cert_pem,
        "crt.pem": device.cert_chain_pems[0],
        "key.pem": device.private_key_pem,
        "both.pem": device.private_key_and_cert_chain_pem,
        "other-key.pem": other.private_key_pem,
    }.items():
        blob.write_to_path(tmp_path / name)
    (tmp_path / "nothing.pem").write_text("nothing")
    encrypted(tmp_path / "key.pem", tmp_path / "locked.pem")
    return tmp_path


def encrypted(source, target):
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(source.read_bytes(), None)
    scheme = s.BestAvailableEncryption(b"sesame")
    target.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL, scheme))


def options(files=None, **values):
    rows = []
    for name, value in values.items():
        if name.endswith(("file", "path")):
            value = str(files / value)
        rows.append(Setting("tls." + name, value))
    return read(TLS_OPTIONS, [Setting("tls", True), *rows], "output")


def test_off_is_no_context():
    opt = read(TLS_OPTIONS, [], "output")
    assert client_context(opt) is None
    assert ClientTLS(opt).context() is None


def test_certificate_and_host_name_are_checked_unless_told_otherwise():
    context = client_context(options())
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    context = client_context(options(verify_hostname="off"))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert not context.check_hostname
    context = client_context(options(verify=False))
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname


def test_without_a_file_the_systems_authorities_are_trusted(monkeypatch):
    asked = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self: asked.append(1))
    client_context(options())
    assert asked == [1]


def test_ca_file_is_the_only_one_trusted(files):
    context = client_context(options(files, ca_file="ca.pem"))
    assert [dict(x[0] for x in c["subject"])["organizationName"][:7] for c in context.get_ca_certs()] == ["trustme"]


def test_ca_path(files):
    client_context(options(files, ca_path="."))
    with pytest.raises(SourceError, match="no such directory"):
        client_context(options(files, ca_path="nowhere"))


@pytest.mark.parametrize(
    "values",
    [
        {"crt_file": "crt.pem", "key_file": "key.pem"},
        {"crt_file": "both.pem"},
        {"crt_file": "crt.pem", "key_file": "locked.pem", "key_passwd": "sesame"},
    ],
)
def test_own_certificate(files, values):
    client_context(options(files, **values))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"ca_file": "gone.pem"}, "tls.ca_file {}/gone.pem: No such file or directory"),
        ({"ca_file": "nothing.pem"}, "tls.ca_file {}/nothing.pem: no PEM certificate in it"),
        ({"ca_file": "."}, "tls.ca_file {}: Is a directory"),
        ({"crt_file": "gone.pem", "key_file": "key.pem"}, "tls.crt_file {}/gone.pem: No such file or directory"),
        ({"crt_file": "crt.pem", "key_file": "gone.pem"}, "tls.key_file {}/gone.pem: No such file or directory"),
        ({"crt_file": "nothing.pem", "key_file": "key.pem"}, "tls.crt_file {}/nothing.pem: no PEM certificate in it"),
        ({"crt_file": "crt.pem"}, "tls.key_file {}/crt.pem: no PEM private key in it"),
        (
            {"crt_file": "crt.pem", "key_file": "other-key.pem"},
            "tls.key_file {0}/other-key.pem: it is not the key of tls.crt_file {0}/crt.pem",
        ),
        (
            {"crt_file": "crt.pem", "key_file": "locked.pem", "key_passwd": "open"},
            "tls.key_file {}/locked.pem: cannot be read; damaged, or a wrong tls.key_passwd",
        ),
        (
            {"crt_file": "crt.pem", "key_file": "locked.pem"},
            "tls.key_file {}/locked.pem: cannot be read; damaged, or a wrong tls.key_passwd",
        ),
    ],
)
def test_a_wrong_file_is_named(files, values, says):
    with pytest.raises(SourceError) as caught:
        client_context(options(files, **values))
    assert str(caught.value) == says.format(files)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(files):
    (files / "key.pem").chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        client_context(options(files, crt_file="crt.pem", key_file="key.pem"))


def test_the_context_is_kept_until_a_file_changes(files):
    tls = ClientTLS(options(files, ca_file="ca.pem", crt_file="crt.pem", key_file="key.pem"))
    first = tls.context()
    assert tls.context() is first
    (files / "new").write_bytes((files / "crt.pem").read_bytes())
    stat = os.stat(files / "crt.pem")
    os.utime(files / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(files / "new", files / "crt.pem")  # the same size and time, another file
    second = tls.context()
    assert second is not first
    assert tls.context() is second


def test_a_file_that_comes_later_is_found(files):
    tls = ClientTLS(options(files, ca_file="later.pem"))
    with pytest.raises(SourceError):
        tls.context()
    (files / "later.pem").write_bytes((files / "ca.pem").read_bytes())
    assert tls.context() is tls.context()


def test_a_refused_certificate_is_told_as_such():
    error = ssl.SSLError(1, "x")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert explain(error) == "the peer refuses our certificate: tlsv13 alert certificate required (check tls.crt_file)"


def test_the_key_password_is_a_secret():
    assert [option.name for option in TLS_OPTIONS if option.secret] == ["tls.key_passwd"]


def test_versions_and_ciphers():
    context = client_context(options(min_version="TLSv1.3"))
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    context = client_context(options(max_version="TLSv1.2", ciphers="ECDHE-RSA-AES256-GCM-SHA384"))
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2
    names = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert names == {"ECDHE-RSA-AES256-GCM-SHA384"}
    with pytest.raises(SourceError, match=r"tls\.ciphers nonsense: there is none of these"):
        client_context(options(ciphers="nonsense"))
