"""A model of fields, served."""

import numpy as np
import pytest

from tests.field_models import field_model, field_windows
from tf4dvar.export import save

pytestmark = pytest.mark.long


def test_its_maps_come_over_the_network(start, tmp_path):
    model, observations = field_model(), field_windows()
    save(model, tmp_path / "served")
    server = start(tmp_path / "served")
    server.until_ready()
    with server.client() as client:
        states = client.predict(observations)
        further = client.reconstruct_with(observations, 3)
    np.testing.assert_allclose(states, model.predict(observations, verbose=0), atol=1e-5)
    model.iterations = 3
    np.testing.assert_allclose(further.state, model.predict(observations, verbose=0), atol=1e-5)
    window = [[[[None]] * 8] * 8] * 5
    status, answer = server.post("/v1/models/tf4dvar:predict", {"instances": [window]})
    assert status == 200
    assert np.shape(answer["predictions"]) == (1, 5, 8, 8, 1)
    status, answer = server.post("/v1/models/tf4dvar:predict", {"instances": [window[0]]})
    assert status == 400
    assert "shape" in answer["error"]
    assert server.stop() == 0
