"""`tf4dvar evaluate`: the scores of a model."""

from typing import Annotated

import typer

from tf4dvar.cli.common import JsonOption, ModelArgument, report
from tf4dvar.cli.data import DataOption, TruthOption, opens_files
from tf4dvar.cli.fields import evaluate_on_fields
from tf4dvar.errors import InputError
from tf4dvar.runtime import load_tensorflow


@opens_files
def evaluate(
    model: ModelArgument,
    data: DataOption,
    truth: TruthOption = None,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="Score the model's error bars, too.")
    ] = False,
    samples: Annotated[
        int, typer.Option(min=0, help="Samples of each window, which are scored, too.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Score a model on windows, a series or maps whose truth is known.

    Example: `tf4dvar evaluate runs/x --data windows.nc --json`

    A series of one's own is cut into windows, and its true states are in a file beside it.

    Example: `tf4dvar evaluate runs/x --data stations.nc --truth truth.nc`

    Of a model that says how sure it is, the error bars and samples; `limit --draws` tells what is
    possible.

    Example: `tf4dvar evaluate l63 --data windows.nc --calibration --samples 50`
    """
    if samples == 1 or (samples and not calibration):
        raise InputError(f"Received --samples {samples}; expected 2 or more, with --calibration.")
    load_tensorflow()
    from tf4dvar.evaluation.calibration import model_calibration
    from tf4dvar.evaluation.scores import evaluate as score_model
    from tf4dvar.evaluation.scores import system_of as known_system_of
    from tf4dvar.evaluation.scores import warn_of_training_windows
    from tf4dvar.models import load_model

    loaded = load_model(model)
    if not data.is_of_windows and data.is_of_fields:
        if calibration:
            raise InputError(f"Received --calibration and {data.path} of maps; expected windows.")
        evaluate_on_fields(loaded, data, truth, as_json)
        return
    dataset = data.windows(loaded.window, truth, loaded.transforms, loaded.covariate_names)
    warn_of_training_windows(model, dataset)
    scores = score_model(loaded, dataset)
    if calibration:
        scores |= model_calibration(loaded, dataset, samples, system=known_system_of(dataset))
    # In which, where there are some, the errors are.
    report(scores | ({"transforms": loaded.transforms} if loaded.transforms else {}), as_json)
