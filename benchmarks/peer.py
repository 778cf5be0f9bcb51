"""The same networks in eager PyTorch, written as one would there.

Parameter counts are those of `network.py`: convolutions channels first, the gradient of the cost
by `torch.autograd.grad` with a graph of its own.
"""

import itertools

import torch
from torch import nn

UNITS = 30
STATE = 3
EVERY = 8


class Block(nn.Module):
    """A bilinear block of the GENN prior."""

    def __init__(self, outputs):
        super().__init__()
        self.wide = nn.Conv1d(STATE, 2 * UNITS, 11, padding="same", bias=False)
        self.narrow = nn.Conv1d(2 * UNITS, UNITS, 1, bias=False)
        self.three = nn.ModuleList(nn.Conv1d(UNITS, UNITS, 1, bias=False) for _ in range(3))
        self.last = nn.Conv1d(2 * UNITS, outputs, 1, bias=False)

    def forward(self, state):
        hidden = self.narrow(self.wide(state).relu())
        linear, left, right = (layer(hidden) for layer in self.three)
        return self.last(torch.cat([linear, left * right], dim=1))


class GENN(nn.Module):
    """Two scales in time."""

    def __init__(self):
        super().__init__()
        self.fine = Block(STATE)
        self.coarse = Block(UNITS)
        self.up = nn.ConvTranspose1d(UNITS, STATE, 4, stride=4, bias=False)

    def forward(self, state):
        return self.fine(state) + self.up(self.coarse(nn.functional.avg_pool1d(state, 4)))


class RK4(nn.Module):
    """One step ahead, Lorenz-63, between normalised units."""

    def __init__(self, time_step=0.01, deviation=8.0):
        super().__init__()
        self.sigma, self.rho, self.beta = (
            nn.Parameter(torch.tensor(value)) for value in (10.0, 28.0, 8 / 3)
        )
        self.time_step, self.std = time_step, deviation

    def tendency(self, state):
        x, y, z = state.split(1, dim=1)
        slopes = (self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z)
        return torch.cat(slopes, dim=1)

    def forward(self, state):
        h, before = self.time_step, self.std * state[:, :, :-1]
        first = self.tendency(before)
        second = self.tendency(before + h / 2 * first)
        third = self.tendency(before + h / 2 * second)
        fourth = self.tendency(before + h * third)
        after = before + h / 6 * (first + 2 * second + 2 * third + fourth)
        return torch.cat([state[:, :, :1], after / self.std], dim=2)


class LSTM(nn.Module):
    """Convolutional LSTM update."""

    def __init__(self, units=15):
        super().__init__()
        self.units = units
        self.gates = nn.Conv1d(STATE + units, 4 * units, 3, padding="same")
        self.increment = nn.Conv1d(units, STATE, 1, bias=False)

    def start(self, state):
        zeros = state.new_zeros(len(state), self.units, state.shape[2])
        return zeros, zeros

    def forward(self, gradient, states):
        hidden, memory = states
        gates = self.gates(torch.cat([gradient, hidden], dim=1))
        entry, forget, output, candidate = gates.chunk(4, dim=1)
        memory = forget.sigmoid() * memory + entry.sigmoid() * candidate.tanh()
        hidden = output.sigmoid() * memory.tanh()
        return self.increment(hidden), (hidden, memory)


class Conv(nn.Module):
    """Convolutional update."""

    def __init__(self):
        super().__init__()
        sizes = (2 * STATE, 8 * STATE, 16 * STATE, STATE)
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, 3, padding="same", bias=False) for a, b in itertools.pairwise(sizes)
        )
        self.correction = nn.Conv1d(STATE, STATE, 1, bias=False)
        self.increment = nn.Conv1d(STATE, STATE, 1, bias=False)

    def start(self, state):
        return (torch.zeros_like(state),)

    def forward(self, gradient, states):
        first, second, third = self.layers
        hidden = third(second(first(torch.cat([*states, gradient], dim=1)).relu()).relu())
        step = self.increment(gradient + self.correction(hidden))
        step = torch.atan(0.2 * step) / 0.2
        return step, (step,)


class Solver(nn.Module):
    """The cost's gradient and the update, K times."""

    def __init__(self, prior, cell, iterations):
        super().__init__()
        self.prior, self.cell, self.iterations = prior, cell, iterations
        self.log_weights = nn.Parameter(torch.zeros(2))

    def gradient(self, state, observations, mask):
        misfit = (mask * (state - observations).square()).sum() / mask.sum()
        residual = (state - self.prior(state)).square().mean()
        cost = self.log_weights.exp() @ torch.stack([misfit, residual])
        return torch.autograd.grad(cost, state, create_graph=True)[0]

    def forward(self, observations, mask):
        state = observations.clone().requires_grad_()
        norm = self.gradient(state, observations, mask).square().mean().sqrt()
        states = self.cell.start(state)
        for _ in range(self.iterations):
            gradient = self.gradient(state, observations, mask)
            increment, states = self.cell(gradient / norm, states)
            state = state - increment
        return state


PRIORS = {"genn": GENN, "rk4": RK4}
CELLS = {"lstm": LSTM, "conv": Conv}


def make(prior, cell, iterations, batch=128, steps=200):
    """A training step and an inference, as functions without arguments."""
    torch.manual_seed(0)
    truth = torch.randn(batch, STATE, steps)
    mask = torch.zeros_like(truth)
    mask[:, 0, ::EVERY] = 1
    observations = truth * mask
    solver = Solver(PRIORS[prior](), CELLS[cell](), iterations)
    adam = torch.optim.Adam(solver.parameters(), 1e-3)

    def train():
        adam.zero_grad()
        loss = (solver(observations, mask) - truth).square().mean()
        loss.backward()
        adam.step()
        return loss.item()

    return train, lambda: solver(observations, mask).detach().numpy()
