"""What the workers of the tests compute; without TensorFlow, which they would wait for."""

import contextlib
import os
import signal


def multiply_in_worker():
    return lambda number: (os.getpid(), 10 * number)


def kill_in_worker(marker, deaths, _ballast=b""):
    """A function whose process is killed while it computes 3, as often as told."""

    def call(number):
        if number == 3 and len(list(marker.iterdir())) < deaths:
            (marker / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * number

    return call


def load_in_worker_that_dies_once(killed, keras_file):
    """The function of `with_workers`; the first that has states is killed before they are sent."""
    from tf4dvar.scale.archive import _load_in_worker

    reconstruct = _load_in_worker(keras_file)

    def call(observations, warnings):
        states = reconstruct(observations, warnings)
        with contextlib.suppress(FileExistsError):
            killed.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return states

    return call
