import subprocess
import sys

import numpy as np
import pytest

from tf4dvar.serving import Client


def test_it_needs_neither_tensorflow_nor_the_server():
    code = (
        "import sys; import tf4dvar.serving;"
        "assert not {'tensorflow', 'keras', 'litserve', 'orjson'} & sys.modules.keys()"
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
