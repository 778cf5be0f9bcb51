import http.server
import shutil
import ssl
import subprocess
import sys
import threading

import numpy as np
import pytest

from tf4dvar.serving import Client


def test_it_needs_neither_tensorflow_nor_the_server():
    code = (
        "import sys; import tf4dvar.serving;"
        "assert not {'tensorflow', 'keras', 'uvicorn', 'orjson'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_mistakes_are_found_before_asking():
    with pytest.raises(ValueError, match="HOST"):
        Client("127.0.0.1:8501")
    with Client() as client, pytest.raises(ValueError, match="shape"):
        client.predict(np.zeros((3, 2)))


def test_no_server_is_a_connection_error():
    with Client("http://127.0.0.1:1") as client, pytest.raises(ConnectionError):
        client.predict(np.zeros((1, 2, 3)))


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate")
def test_https_with_a_trusted_certificate_alone(tmp_path, monkeypatch):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    making = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out"]
    subprocess.run([*making.split(), *files, str(certificate)], check=True, capture_output=True)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"outputs": [[[1.0, 2.0, 3.0]]]}')

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url, window = f"https://127.0.0.1:{server.server_port}", np.zeros((1, 1, 3))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Client(url) as client, pytest.raises(ssl.SSLCertVerificationError):
                client.predict(window)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            with Client(url) as client:
                np.testing.assert_array_equal(client.predict(window), [[[1, 2, 3]]])
        finally:
            server.shutdown()
            thread.join()
