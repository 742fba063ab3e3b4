"""An HTTPS proxy that answers for any host itself: what a library fetches never leaves the machine.

Libraries with fixed addresses reach it by HTTPS_PROXY; its certificates are signed by an authority
of its own, which they trust by REQUESTS_CA_BUNDLE and SSL_CERT_FILE.
"""

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_double import Answer, Asked, respond


class TlsDouble:
    """``environ`` is what a process needs to be sent here."""

    def __init__(self, answer: Callable[[Asked], Answer], folder: Path) -> None:
        self.answer, self.asked, self.folder = answer, list[Asked](), folder
        self._ca_key, self._ca = _authority()
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))
        double = self

        class Inside(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                respond(self, double)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Proxy(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                host = self.path.rpartition(":")[0]
                self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(double.certificate(host))
                try:
                    with context.wrap_socket(self.connection, server_side=True) as inside:
                        Inside(inside, self.client_address, self.server)
                except (ssl.SSLError, ConnectionError):
                    return
                finally:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def environ(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        return {
            "HTTPS_PROXY": address, "https_proxy": address, "NO_PROXY": "", "no_proxy": "",
            "REQUESTS_CA_BUNDLE": str(self.ca_file), "SSL_CERT_FILE": str(self.ca_file),
        }  # fmt: skip

    def certificate(self, host: str) -> Path:
        path = self.folder / f"{host}.pem"
        if not path.exists():
            key, certificate = _signed(host, self._ca_key, self._ca)
            pem = serialization.Encoding.PEM
            private = key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            part = path.with_suffix(f".{threading.get_ident()}")
            part.write_bytes(private + certificate.public_bytes(pem))
            part.replace(path)
        return path

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return key, made.sign(key, hashes.SHA256())


def _signed(
    host: str, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        _builder(name, ca.subject, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    return key, made.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
