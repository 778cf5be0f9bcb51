import json
import subprocess
import sys

CODE = """
import logging

from tf4dvar.serving.logs import log_as_json

log_as_json()
for name in ("tf4dvar.serving.rest", "uvicorn.error"):
    logging.getLogger(name).warning("%s", "a 'word'", extra={"fields": {"status": 200}})
"""


def test_whoever_logs_a_line_is_an_object():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert not done.stdout
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in lines] == [
        "tf4dvar.serving.rest",
        "uvicorn.error",
    ]
    for line in lines:
        assert (line["level"], line["message"], line["status"]) == ("warning", "a 'word'", 200)
