"""The process that a fault happens to: the command line on small experiments, the fault armed."""

import ctypes
import os
import resource
import signal
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

NAME = "l63-sup-genn-conv"
EPOCHS, STEPS = 6, 3
# Of Linux' `capset`, see linux/capability.h.
CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        phase: for people, what the process is at.
        place: a key of `_places`.
        call: the call of it, from 1, at which it happens.
        when: "before", "during", or "after" the call; "at once" needs no place.
        delay: seconds after the beginning of the call, "during" it, or of the process.
        kind: "kill", or "hold": say so by a file and wait there to be killed.
    """

    phase: str
    place: str = ""
    call: int = 1
    when: str = "at once"
    delay: float = 0.0
    kind: str = "kill"


def run(arguments, log, progress, fault=None, diverges=False, room=None, rights=True):
    """Run `tf4dvar` with some arguments, its output in a file.

    Args:
        arguments: of the command line.
        log: file for the output; its errors are in one beside it.
        progress: file to which the number of every epoch is added as it begins.
        fault: what goes wrong, if anything.
        diverges: whether the loss becomes NaN, once in the second and once in the fourth epoch.
        room: the largest size of a file, in bytes.
        rights: whether root, if it is, may write where the rights of a folder forbid it.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(os.open(f"{log}.errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    _use_small_experiments()
    _count_epochs(progress)
    if diverges:
        _diverge()
    if fault is not None:
        _arm(fault, held=Path(f"{progress}.held"))
    if room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    if not rights:
        _give_up_privileges()

    from tf4dvar.cli.app import main

    sys.argv = ["tf4dvar", *arguments]
    main()


def _give_up_privileges():
    """Make the rights of a folder count, which for root they do not.

    The user stays the same: another one may not be let into the folder of Python, of which modules
    are imported only when they are needed.
    """
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "Privileges cannot be given up")


def _use_small_experiments():
    import keras

    from tf4dvar import experiments
    from tf4dvar.layers import FixedStepCell, GradientSolver
    from tf4dvar.models import FourDVarNet
    from tf4dvar.paper import descent as descent_run
    from tf4dvar.paper import tables

    small = experiments.Experiment(
        NAME,
        "small",
        "l63",
        # Any layer is a prior; the smallest is traced the fastest.
        lambda: FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1))),
        *("sup", "dense", "fixed"),
        epochs=EPOCHS,
        windows=16 * STEPS,
        batch_size=16,
        stages=((0.0, 1), (0.3, 2), (0.6, 3)),
    )
    descent = experiments.EXPERIMENTS["l63-none-rk4-fsgd"]
    experiments.EXPERIMENTS[NAME] = small
    tables.TABLES["l63"] = (descent, small)
    tables.DESCENT_STEPS["l63"] = 20
    descent_run.WINDOWS_AT_ONCE = 2


def _count_epochs(progress):
    from tf4dvar.training import Curriculum

    begin = Curriculum.on_epoch_begin

    def counted(self, epoch, logs=None):
        with open(progress, "a") as file:
            file.write(f"{epoch}\n")
        begin(self, epoch, logs)

    Curriculum.on_epoch_begin = counted


def _diverge():
    from tf4dvar.training import DivergenceGuard

    look = DivergenceGuard.on_train_batch_end

    def poisoned(self, batch, logs=None):
        look(
            self,
            batch,
            {"loss": float("nan")} if (self._epoch, batch) in ((1, 1), (3, 2)) else logs,
        )

    DivergenceGuard.on_train_batch_end = poisoned


def _arm(fault, held):
    def hold():
        held.touch()
        signal.pause()

    die = partial(os.kill, os.getpid(), signal.SIGKILL) if fault.kind == "kill" else hold
    if fault.when == "at once":
        _later(fault.delay, die)
        return
    owner, name = _places()[fault.place]
    attribute = getattr(owner, name)
    original = attribute.fset if isinstance(attribute, property) else attribute
    calls = 0

    def struck(*args, **kwargs):
        nonlocal calls
        calls += 1
        here = calls == fault.call
        if here and fault.when == "before":
            die()
        if here and fault.when == "during":
            _later(fault.delay, die)
        result = original(*args, **kwargs)
        if here and fault.when == "after":
            die()
        return result

    setattr(owner, name, attribute.setter(struck) if original is not attribute else struck)


def _later(delay, action):
    timer = threading.Timer(delay, action)
    timer.daemon = True
    timer.start()


def _places():
    import keras

    from tf4dvar.models import FourDVarNet
    from tf4dvar.paper import descent as descent_run
    from tf4dvar.paper import tables
    from tf4dvar.training import DivergenceGuard, RunDirectory

    return {
        "begin": (RunDirectory, "_begin"),
        "batch": (DivergenceGuard, "on_train_batch_end"),
        "validation": (keras.Model, "evaluate"),
        "log": (RunDirectory, "write_log"),
        "save": (keras.Model, "save"),
        "replace": (os, "replace"),
        "raise": (FourDVarNet, "iterations"),
        "descent": (descent_run, "_descend_at_once"),
        "scores": (tables, "evaluate"),
        "table": (tables, "write_table"),
    }
