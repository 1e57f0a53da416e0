"""Sampling: the numbers of the samplers, and what control, guidance, windows and seeds do to the result."""

import itertools
import os
import subprocess
import sys

from diffusion_tiny import hints, open_branch, tiny_diffusion
from utils.diffusion import sampling
from utils.diffusion.schedule import alphas_cumprod

import keras
import numpy as np
import pytest

CAPTIONS = ["red bird", "blue fish"]


def options(seed=0, pictures=2, **changes):
    """Arguments of `sample`."""
    noise = sampling.initial_noise(seed, pictures, (8, 8, 4))
    return {"steps": 3, "guidance": 2.0, "noise": noise, **changes}


@pytest.fixture(scope="module")
def diffusion():
    return tiny_diffusion()


@pytest.fixture(scope="module")
def contexts(diffusion):
    return diffusion.encode_text(CAPTIONS)


@pytest.fixture(scope="module")
def branch():
    return open_branch()


@pytest.fixture(scope="module")
def plain(diffusion):
    return quick_sampler(diffusion, [], "conditional")


@pytest.fixture(scope="module")
def controlled(diffusion, branch):
    return quick_sampler(diffusion, [branch], "conditional")


def quick_sampler(diffusion, branches, control_on):
    """A sampler that is not compiled on TensorFlow, where compiling takes longer than a few steps."""
    sampler = sampling.Sampler(diffusion, branches, control_on)
    sampler.run_eagerly = keras.backend.backend() == "tensorflow"
    return sampler


def solve(steps, first_order=False, mean=0.7, std=0.3):
    """Sample a normal distribution with its exact noise prediction; the exact answer is an affine map of the noise."""
    timesteps = sampling.sampling_steps(steps)
    x = start = np.linspace(-2, 2, 9)
    before = np.zeros_like(x)
    for a, b, c, signal, noise in sampling.sampler_table(timesteps).astype("float64"):
        c = 0.0 if first_order else c
        variance = (signal * std) ** 2 + noise**2
        clean = mean + signal * std**2 / variance * (x - signal * mean)
        x, before = a * x + b * (clean + c * (clean - before)), clean
    signal = np.sqrt(alphas_cumprod()[999].astype("float64"))
    exact = mean + std * (start - signal * mean) / np.sqrt((signal * std) ** 2 + 1 - signal**2)
    return np.abs(x - exact).max()


def test_samplers_approach_the_exact_solution_and_the_second_order_one_faster():
    ddim = [solve(steps, first_order=True) for steps in (10, 20, 40, 80)]
    fast = [solve(steps) for steps in (10, 20, 40, 80)]
    assert ddim[-1] < 0.06
    assert fast[-1] < 0.04
    assert all(later < earlier for earlier, later in itertools.pairwise(ddim))
    assert all(second < first for first, second in zip(ddim, fast, strict=True))


def test_steps_start_at_pure_noise_and_end_clean():
    assert sampling.sampling_steps(4).tolist() == [999, 749, 499, 249]
    assert sampling.sampling_steps(1).tolist() == [999]
    a, b, c, _, _ = sampling.sampler_table(sampling.sampling_steps(5))[-1]
    assert (a, b, c) == (0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="number of steps"):
        sampling.sampling_steps(0)


def plain_loop(diffusion, contexts, x, steps, guidance):
    """The sampler in NumPy, one call of the U-Net for each half and step."""
    timesteps = sampling.sampling_steps(steps)
    before = np.zeros_like(x)
    empty = np.repeat(diffusion.encode_text(""), len(x), axis=0)
    for timestep, (a, b, c, signal, noise) in zip(timesteps, sampling.sampler_table(timesteps), strict=True):
        angle = timestep * np.exp(-np.log(10000) * np.arange(16) / 16)
        embedding = np.tile(np.concatenate([np.cos(angle), np.sin(angle)]), (len(x), 1)).astype("float32")
        predicted = [
            diffusion.unet.predict_on_batch({"latent": x, "timestep_embedding": embedding, "context": context})
            for context in (empty, contexts)
        ]
        clean = (x - noise * (predicted[0] + guidance * (predicted[1] - predicted[0]))) / signal
        x, before = a * x + b * (clean + c * (clean - before)), clean
    return x


def test_compiled_loop_agrees_with_a_plain_loop_also_for_other_numbers(diffusion, contexts):
    sampler = sampling.Sampler(diffusion)
    for steps, pictures in ((3, 2), (2, 2), (3, 1)):
        given = options(seed=5, steps=steps, pictures=pictures)
        expected = plain_loop(diffusion, contexts[:pictures], given["noise"], steps, given["guidance"])
        found = sampler.sample(contexts[:pictures], **given)
        np.testing.assert_allclose(
            found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max(), err_msg=f"{steps} steps"
        )


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is the run on JAX")
def test_the_compiled_loop_agrees_on_jax_too():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"KERAS_BACKEND": "jax"}
    name = f"{__file__}::{test_compiled_loop_agrees_with_a_plain_loop_also_for_other_numbers.__name__}"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", name], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_a_seed_gives_the_same_picture_alone_or_in_a_batch(contexts, plain):
    first = plain.sample(contexts, **options(seed=3))
    np.testing.assert_array_equal(first, plain.sample(contexts, **options(seed=3)))
    assert np.abs(first - plain.sample(contexts, **options(seed=4))).max() > 0.1
    alone = plain.sample(contexts[:1], **options(seed=3, pictures=1))
    np.testing.assert_allclose(first[:1], alone, rtol=1e-3, atol=1e-3)


def test_control_changes_the_picture_and_scale_zero_or_an_empty_window_does_not(contexts, plain, controlled):
    free = plain.sample(contexts, **options())
    assert np.abs(controlled.sample(contexts, hints(), **options()) - free).max() > 1e-2
    for off in ({"scale": 0.0}, {"window": (0.0, 0.0)}, {"scale": [0.0] * 5}):
        np.testing.assert_allclose(controlled.sample(contexts, hints(), **options(**off)), free, rtol=1e-4, atol=1e-4)


def test_options_of_control_differ_from_one_another(contexts, controlled):
    results = [
        controlled.sample(contexts, hints(), **options(**option))
        for option in (
            {},
            {"scale": 0.5},
            {"window": (0.0, 0.5)},
            {"window": (0.5, 1.0)},
            {"scale": [1, 0, 0, 0, 0]},
        )
    ]
    for i, first in enumerate(results):
        for second in results[i + 1 :]:
            assert np.abs(first - second).max() > 1e-4


def test_control_on_both_halves_differs_unless_guidance_is_one(diffusion, contexts, branch, controlled):
    both = quick_sampler(diffusion, [branch], "both")
    one = options(guidance=1.0)
    expected = controlled.sample(contexts, hints(), **one)
    np.testing.assert_allclose(both.sample(contexts, hints(), **one), expected, rtol=1e-3, atol=1e-3)
    pair = [sampler.sample(contexts, hints(), **options()) for sampler in (both, controlled)]
    assert np.abs(pair[0] - pair[1]).max() > 1e-3


def test_two_controlnets_at_half_strength_are_one(diffusion, contexts, branch, controlled):
    two = quick_sampler(diffusion, [branch, branch], "conditional")
    expected = controlled.sample(contexts, hints(), **options())
    found = two.sample(contexts, [hints(), hints()], **options(scale=[0.25, 0.75]))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_wrong_input_is_named(contexts, controlled, diffusion):
    with pytest.raises(ValueError, match="1 ControlNets but 0 arrays of hints"):
        controlled.sample(contexts, **options())
    with pytest.raises(ValueError, match=r"expected \(2, 32, 32, 3\)"):
        controlled.sample(contexts, hints(batch=3), **options())
    with pytest.raises(ValueError, match="window must be"):
        controlled.sample(contexts, hints(), **options(window=(0.8, 0.2)))
    with pytest.raises(ValueError, match="expected one number or 5"):
        controlled.sample(contexts, hints(), **options(scale=[1.0, 2.0]))
    with pytest.raises(ValueError, match="control_on"):
        sampling.Sampler(diffusion, control_on="some")
