"""A headless browser, told by the DevTools protocol over two pipes what a reader does."""

import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")
# Seconds; then it has hung.
LONGEST = 120
# `document.querySelectorAll` does not enter the components of a page.
ALL = """
function all(selector, root = document) {
  const inside = [...root.querySelectorAll("*")].flatMap(
    each => each.shadowRoot ? all(selector, each.shadowRoot) : [])
  return [...root.querySelectorAll(selector), ...inside]
}
"""


def installed():
    """Where a browser is, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def opened(browser, path, profile):
    """A page in a browser of its own, which ends with the context."""
    read, write = os.pipe()
    answers, answered = os.pipe()
    # The protocol's pipes have the numbers 3 and 4; sh knows no source above 9.
    moved = ["bash", "-c", f'exec "$0" "$@" 3<&{read} 4>&{answered}', browser, *OPTIONS]
    process = subprocess.Popen(
        [*moved, f"--user-data-dir={profile}"],
        pass_fds=(read, answered),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read)
    os.close(answered)
    watch = threading.Timer(LONGEST, process.kill)
    watch.start()
    try:
        with open(write, "wb", buffering=0) as calls, open(answers, "rb") as heard:
            yield Page(calls, heard, path.as_uri())
    finally:
        watch.cancel()
        process.terminate()
        process.wait()


class Page:
    """A page, and the addresses that it has asked for."""

    def __init__(self, calls, answers, address):
        self.calls, self.answers, self.unread = calls, answers, b""
        self.number, self.session, self.asked = 0, {}, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        self.call("Network.enable")
        self.call("Page.navigate", url=address)

    def call(self, method, **params):
        """What the browser answers."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **self.session}
        self.calls.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") == "Network.requestWillBeSent":
                self.asked.append(answer["params"]["request"]["url"])
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self):
        while b"\0" not in self.unread:
            more = self.answers.read1()
            assert more, "the browser has ended"
            self.unread += more
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression):
        """Of an expression of JavaScript, which may be a promise; `all` looks everywhere."""
        given = {"expression": f"(() => {{{ALL}; return {expression}}})()"}
        answer = self.call("Runtime.evaluate", awaitPromise=True, returnByValue=True, **given)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, condition):
        """Wait until an expression is true, and what it has changed is painted."""
        frame = "await new Promise(requestAnimationFrame)"
        self.value(f"(async () => {{while (!({condition})) {frame}; {frame}; {frame}}})()")

    def press(self, key):
        """Press a key, on what has the focus."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)
