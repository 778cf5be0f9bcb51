"""A client of `tf4dvar serve`, and of TensorFlow Serving itself."""

import http.client
import json
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import xarray as xr

from tf4dvar.data import Signature

logger = logging.getLogger(__name__)

# Numbers of the windows whose states do not fit their observations, in an answer that has some.
SUSPECT_HEADER = "Tf4dvar-Suspect-Windows"
_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class ServerError(RuntimeError):
    """The server answered with an error.

    Attributes:
        status: the HTTP status; 4xx is the request's fault, 503 means try again later.
    """

    def __init__(self, status: int, message: str):
        super().__init__(f"{message} (HTTP {status})")
        self.status = status


class Reconstruction(NamedTuple):
    """What `reconstruct_with` gives.

    Attributes:
        state: [batch, time, component], physical units; with the labels of the observations, if
            they have some.
        cost: [batch, iterations + 1], of the first guess and after every iteration.
    """

    state: np.ndarray | xr.DataArray
    cost: np.ndarray


class Posterior(NamedTuple):
    """What `posterior` gives.

    Attributes:
        mean: the state, as of `predict`.
        std: standard deviation of its error, same shape and labels.
    """

    mean: np.ndarray | xr.DataArray
    std: np.ndarray | xr.DataArray


class Client:
    """Reconstructs windows on a server, over one connection that is kept open.

    One client is for one thread. Windows whose states do not fit their observations are warned of.

    Args:
        url: of the server, as `http://127.0.0.1:8501`; `https://` of a proxy before it, whose
            certificate must be one that Python trusts.
        model: name of the model.
        version: a version by its number; by default the newest.
        timeout: seconds to wait for an answer.

    Usage:

        with Client("http://127.0.0.1:8501") as client:
            state = client.predict(observations)
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8501",
        model: str = "tf4dvar",
        version: int | None = None,
        timeout: float = 60.0,
    ):
        parts = urlsplit(url)
        if parts.scheme not in _CONNECTIONS or parts.hostname is None:
            raise ValueError(
                f"Received the URL {url!r}; expected http://HOST:PORT or https://HOST."
            )
        connection = _CONNECTIONS[parts.scheme]
        self._connection = connection(parts.hostname, parts.port, timeout=timeout)
        self._model = f"{parts.path.rstrip('/')}/v1/models/{model}"
        self._path = self._model if version is None else f"{self._model}/versions/{version}"

    def predict(self, observations: np.ndarray | xr.DataArray) -> np.ndarray | xr.DataArray:
        """The states of windows, [batch, time, *space, component]; physical units, NaN = missing.

        Observations with labels are checked by what the server says of the model's training, and
        the states have their order and their labels.

        Raises:
            ServerError: the server refused the request.
            InputError: labels, units or time step are not those of the training.
        """
        values, labelled = self._arranged(observations)
        answer = self._predict({"inputs": _nested(values)})
        return labelled(np.array(answer, "float32"))

    def reconstruct_with(
        self, observations: np.ndarray | xr.DataArray, iterations: int
    ) -> Reconstruction:
        """The states and the costs of every iteration, with another K; as for `predict`."""
        values, labelled = self._arranged(observations)
        inputs = {"observations": _nested(values), "iterations": iterations}
        answer = self._predict({"signature_name": "reconstruct_with", "inputs": inputs})
        state, cost = (np.array(answer[name], "float32") for name in ("state", "cost"))
        return Reconstruction(labelled(state), cost)

    def posterior(
        self,
        observations: np.ndarray | xr.DataArray,
        noise_variance: np.ndarray | None = None,
    ) -> Posterior:
        """States and how sure they are, by a model that says so; as for `predict`.

        Args:
            observations: of windows.
            noise_variance: of each of them, in their own order; NaN: the model's own.
        """
        values, labelled = self._arranged(observations)
        inputs = {"observations": _nested(values)}
        if noise_variance is not None:
            inputs["noise_variance"] = _nested(self._beside(noise_variance, observations))
        answer = self._predict({"signature_name": "posterior", "inputs": inputs})
        return Posterior(
            *(labelled(np.array(answer[name], "float32")) for name in ("state", "std"))
        )

    def status(self) -> list[dict[str, Any]]:
        """The versions of the model and their states, newest first."""
        return self._request("GET", self._path)["model_version_status"]

    def metadata(self) -> dict[str, Any]:
        """The signatures, as TensorFlow Serving describes them.

        And, from `tf4dvar serve`, `trained_on`: the `Signature` of the model.
        """
        return self._request("GET", f"{self._path}/metadata")["metadata"]

    def signature(self) -> Signature | None:
        """What the model was trained on, where the server tells it."""
        trained_on = self.metadata().get("trained_on")
        return None if trained_on is None else Signature.from_json(trained_on)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _arranged(
        self, observations: Any
    ) -> tuple[Any, Callable[[np.ndarray], np.ndarray | xr.DataArray]]:
        """Observations in the model's order, and what gives states their labels and order."""
        if not isinstance(observations, xr.DataArray):
            return observations, lambda state: state
        signature = self.signature()
        if signature is None:
            logger.warning(
                "The server does not tell what the model was trained on: the "
                "labels of the observations are not checked."
            )
            return observations.values, lambda state: observations.copy(data=state)
        arranged = signature.arranged(observations)

        def labelled(state: np.ndarray) -> xr.DataArray:
            return signature.restored(arranged.copy(data=state), observations).rename("state")

        return arranged.values, labelled

    def _beside(self, values: np.ndarray, observations: Any) -> np.ndarray:
        """What is known of each observation, in the model's order."""
        signature = self.signature() if isinstance(observations, xr.DataArray) else None
        if signature is None:
            return values
        arrangement = signature.arrangement(observations)
        return observations.copy(data=values).isel(arrangement).values

    def _predict(self, request: dict[str, Any]) -> Any:
        return self._request("POST", f"{self._path}:predict", json.dumps(request))["outputs"]

    def _request(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body else {}
        reused = self._connection.sock is not None
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            text = response.read()
        except BaseException as error:
            # What was sent or read in part would be taken for the next answer.
            self._connection.close()
            if reused and isinstance(error, ConnectionError):
                # The server had closed it, as it does where nothing is asked for a while.
                return self._request(method, path, body)
            raise
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"error": text[:200].decode(errors="replace")}
        if response.status != 200:
            raise ServerError(response.status, answer.get("error", "no message"))
        suspect = response.headers.get(SUSPECT_HEADER)
        if suspect:
            logger.warning(
                "The states of the windows %s do not fit their observations: they are farther off "
                "than noise can be. The windows are others than those of the model's training, in "
                "their units, their time step or in when and where they are observed.",
                suspect,
            )
        return answer


def _nested(observations: np.ndarray) -> list:
    """Lists, which `json` writes with NaN for what is missing, as TensorFlow Serving reads it."""
    observations = np.asarray(observations, "float32")
    if observations.ndim not in (3, 5):
        raise ValueError(
            f"Received observations of shape {observations.shape}; expected "
            "[batch, time, component], of fields [batch, time, y, x, component]."
        )
    return observations.tolist()
