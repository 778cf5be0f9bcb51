"""The published network for maps in eager PyTorch, written as one would there.

Of the sizes of 4DVarNet for heights of the sea (Beauchamp et al. 2023,
doi:10.5194/gmd-16-2119-2023), as the experiments whose names end with `-paper`: the days of a
window are channels, the prior is a bilinear auto-encoder at half resolution, the update a
convolutional LSTM, and the state begins at what is observed, zero elsewhere.
"""

import time
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

DAYS = 15
ITERATIONS = 10
LEARNING_RATE, LAST_SHARE = 1e-3, 0.02
LARGEST_GRADIENT = 0.5
# Share of the points that are observed where only time is measured.
SEEN = 0.05


def convolution(channels, filters):
    return nn.Conv2d(channels, filters, 3, padding="same")


class Prior(nn.Module):
    """A bilinear auto-encoder."""

    def __init__(self, units=32):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.AvgPool2d(2), convolution(DAYS, units), nn.ReLU(), convolution(units, units)
        )
        self.three = nn.ModuleList(convolution(units, units) for _ in range(3))
        self.decoder = convolution(2 * units, DAYS)

    def forward(self, state):
        code = self.encoder(state)
        linear, left, right = (layer(code) for layer in self.three)
        coarse = self.decoder(torch.cat([linear, left * right], dim=1))
        return functional.interpolate(coarse, scale_factor=2, mode="bilinear")


class Update(nn.Module):
    """A convolutional LSTM over the gradient."""

    def __init__(self, units=48):
        super().__init__()
        self.units = units
        self.gates = convolution(DAYS + units, 4 * units)
        self.increment = convolution(units, DAYS)

    def start(self, state):
        zeros = state.new_zeros(len(state), self.units, *state.shape[2:])
        return zeros, zeros

    def forward(self, gradient, states):
        hidden, memory = states
        gates = self.gates(torch.cat([gradient, hidden], dim=1))
        entry, forget, output, candidate = gates.chunk(4, dim=1)
        memory = forget.sigmoid() * memory + entry.sigmoid() * candidate.tanh()
        hidden = output.sigmoid() * memory.tanh()
        return self.increment(hidden), (hidden, memory)


class Network(nn.Module):
    """The variational cost's gradient and the update, again and again."""

    def __init__(self, iterations=ITERATIONS):
        super().__init__()
        self.prior, self.update, self.iterations = Prior(), Update(), iterations

    def gradient(self, state, observations, seen):
        misfit = (state - observations)[seen].square().mean()
        cost = misfit + (state - self.prior(state)).square().mean()
        return torch.autograd.grad(cost, state, create_graph=self.training)[0]

    def forward(self, observations):
        seen = observations.isfinite()
        observations = observations.nan_to_num()
        state = observations.clone().requires_grad_()
        states, norm = self.update.start(state), None
        for number in range(1, self.iterations + 1):
            gradient = self.gradient(state, observations, seen)
            if norm is None:
                norm = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
            increment, states = self.update(gradient / norm, states)
            # Large steps of the network first, small ones of descent last.
            state = state - increment / number - 0.2 * number / self.iterations * gradient
            if not self.training:
                state = state.detach().requires_grad_()
                states = tuple(each.detach() for each in states)
        return state


def make_of_maps(iterations=ITERATIONS, batch=4, points=64):
    """A training step and an inference, as functions without arguments.

    Args:
        iterations, batch, points: sizes; maps are squares.
    """
    torch.manual_seed(0)
    network, truth = Network(iterations), torch.randn(batch, DAYS, points, points)
    observations = torch.where(torch.rand_like(truth) < SEEN, truth, torch.nan)
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

    def train():
        network.train()
        adam.zero_grad()
        loss = (network(observations) - truth).square().mean()
        loss.backward()
        adam.step()
        return loss.item()

    def infer():
        return network.eval()(observations).detach().numpy()

    return train, infer


class Trained(NamedTuple):
    """A network after its training, of what mean and deviation, and the seconds of a step."""

    network: Network
    mean: float
    std: float
    step_s: float

    def maps(self, observations):
        """Of a series [time, y, x]: each day of the window that has it nearest to its middle."""
        observations = torch.from_numpy(observations.astype("float32") - self.mean) / self.std
        maps = []
        for day in range(len(observations)):
            first = min(max(day - DAYS // 2, 0), len(observations) - DAYS)
            window = self.network(observations[None, first : first + DAYS])
            maps.append(self.mean + self.std * window[0, day - first].detach().numpy())
        return np.stack(maps)


def train(drawn, batch_size, minutes):
    """A network, trained for some minutes.

    Args:
        drawn: gives the windows of a pass, observations and truth, each [window, time, y, x].
        batch_size: windows a step.
        minutes: of training, the drawing of windows with it.
    """
    torch.manual_seed(0)
    network, steps, started = Network(), 0, time.monotonic()
    adam = torch.optim.Adam(network.parameters())
    mean = std = None
    while True:
        observations, truth = map(torch.from_numpy, drawn())
        if mean is None:
            mean, std = float(truth.mean()), float(truth.std())
        batches = (((each - mean) / std).split(batch_size) for each in (observations, truth))
        for some, true in zip(*batches, strict=True):
            passed = (time.monotonic() - started) / (60 * minutes)
            if passed >= 1:
                return Trained(network.eval(), mean, std, 60 * minutes / steps)
            falling = (1 + np.cos(np.pi * passed)) / 2
            rate = LEARNING_RATE * (LAST_SHARE + (1 - LAST_SHARE) * falling)
            adam.param_groups[0]["lr"] = rate
            adam.zero_grad()
            (network(some) - true).square().mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            adam.step()
            steps += 1
