import numpy as np

from tf4dvar.data import protocol_plan
from tf4dvar.data.pipeline import fixed_windows, simulated_windows
from tf4dvar.systems import Lorenz63, Lorenz96

PLAN = protocol_plan("l63", "C")


def take(dataset, batches):
    return [(y.numpy(), x.numpy()) for y, x in dataset.take(batches)]


def test_every_epoch_is_a_fresh_order_of_the_same_windows(windows):
    observations, truth = windows["observations"].values, windows["truth"].values
    batches = take(fixed_windows(observations, truth, batch_size=10, seed=1), 8)
    first, second = (np.concatenate([x for _, x in batches[epoch : epoch + 4]]) for epoch in (0, 4))
    assert not np.array_equal(first, second)
    for epoch in (first, second):
        np.testing.assert_array_equal(
            np.sort(epoch[:, 0, 0]), np.sort(truth[:, 0, 0].astype("float32"))
        )


def test_the_order_of_an_epoch_comes_from_the_seed(windows):
    observations, truth = windows["observations"].values, windows["truth"].values
    orders = [
        take(fixed_windows(observations, truth, 40, **settings), 1)[0][1]
        for settings in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {"seed": 0}, {})
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    np.testing.assert_array_equal(orders[3], orders[4])


def test_an_epoch_is_the_same_whether_it_is_reached_or_begun_with(windows):
    observations, truth = windows["observations"].values, windows["truth"].values
    for make in (
        lambda epoch: fixed_windows(observations, truth, 10, seed=1, first_epoch=epoch),
        lambda epoch: simulated_windows(Lorenz63(), PLAN, 40, 20, 10, 1, first_epoch=epoch),
    ):
        reached, begun = take(make(0), 6)[4:], take(make(1), 2)
        np.testing.assert_array_equal(reached, begun)


def test_simulated_windows_never_come_twice():
    batches = take(simulated_windows(Lorenz63(), PLAN, 20, 40, 10, seed=1), 6)
    starts = np.concatenate([x[:, 0, 0] for _, x in batches])
    assert len(np.unique(starts)) == 60
    observations, truth = batches[0]
    noise = (observations - truth)[~np.isnan(observations)]
    assert 0.5 < noise.std() < 2.5


def test_drawn_components_differ_between_epochs_and_come_again_with_the_seed():
    def masks():
        dataset = simulated_windows(Lorenz96(), protocol_plan("l96"), 4, 8, 4, seed=1)
        return [~np.isnan(y) for y, _ in take(dataset, 2)]

    first, second = masks()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(masks(), [first, second])
