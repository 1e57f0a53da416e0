"""Training on several hosts: two processes of two simulated devices each, one of them killed, against one device.

One process imports everything and forks the hosts, since importing takes most of their time.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import traceback

from utils.diffusion import checkpoints, controlnet, hosts, training
from utils.diffusion.batches import cached_batches
from utils.diffusion.latent_diffusion import LatentDiffusion, _predict
from utils.diffusion.trainers import ControlNetTrainer
from utils.diffusion.unet import build_unet

import keras
import numpy as np
import pytest

CONFIG = training.TrainingConfig(
    steps=6,
    batch_size=4,
    accumulation=2,
    learning_rate=1e-2,
    warmup_updates=1,
    ema=0.9,
    prompt_dropout=0.0,
    save_every=2,
    preview_every=2,
)
KILLED_AT = 3  # steps; the checkpoint of step 2 is there
DEAD_AFTER = 10  # seconds without a word
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


# In the process of a host ---------------------------------------------------------------------------------------------


def train_tiny(folder=None, killed_at=None):
    """Losses and sum of weights of a run with one level of a U-Net; the process kills itself after a step."""
    keras.utils.set_random_seed(0)
    unet = build_unet((4, 4, 4), (2, 32), (32,), 1, (False,), groups=8, head_size=16)
    branch = controlnet.build_controlnet(unet, hint_widths=(8, 8, 8))
    trainer = ControlNetTrainer(LatentDiffusion(unet), branch, CONFIG)
    rng = np.random.default_rng(0)
    shapes = {"moments": (12, 4, 4, 8), "context": (12, 2, 32), "hint": (12, 16, 16, 3)}
    examples = {name: rng.random(shape, "float32") for name, shape in shapes.items()}

    def batches(start):
        for step, batch in enumerate(cached_batches(examples, CONFIG.batch_size, CONFIG.seed)(start), start):
            if step == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    history = training.train(trainer, batches, folder, progress=False)
    return {"loss": history.loss, "weights": [float(np.abs(w).sum()) for w in branch.get_weights()]}


def predict_tiny():
    """Six rows through a layer in batches of four, and what they should be."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    rows = np.random.default_rng(0).random((6, 3), "float32")
    found = _predict(model, rows, batch_size=4)
    return {"predicted": found.tolist(), "expected": (rows @ np.asarray(model.get_weights()[0])).tolist()}


def host(number, port, folder, killed):
    """What one host does: the first launch is killed, the second goes on and then trains on one device as well."""
    hosts.join(f"127.0.0.1:{port}", 2, number, silence=DEAD_AFTER, patience=60)
    import jax

    found = {"devices": [jax.device_count(), jax.local_device_count()]}
    if not killed:
        found |= predict_tiny()
    found["several"] = train_tiny(folder, KILLED_AT if killed and number == 1 else None)
    if number == 1:
        keras.distribution.set_distribution(None)
        found["one"] = train_tiny()
    (folder / f"host-{number}.json").write_text(json.dumps(found))


def fork_host(number, port, folder, killed):
    child = os.fork()
    if child:
        return child
    signal.alarm(300)  # ends a host that hangs
    try:
        host(number, port, folder, killed)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    import jax

    jax.distributed.shutdown()
    os._exit(0)


def launch(folder):
    """Both launches; the exit status of each host, and the seconds that the survivor needed to end."""
    report = {}
    for name in ("killed", "again"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = {fork_host(number, port, folder, name == "killed"): number for number in (0, 1)}
        ended = []
        while running:
            child, status = os.wait()
            ended.append((running.pop(child), os.waitstatus_to_exitcode(status), time.monotonic()))
        report[name] = {"status": dict(sorted(row[:2] for row in ended)), "seconds": ended[1][2] - ended[0][2]}
        report[name]["steps"] = [int(path.stem.removeprefix("step-")) for path in sorted(folder.glob("step-*.npz"))]
    (folder / "report.json").write_text(json.dumps(report))


# In the process of the tests ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """(report of both launches, what each host found in the second, the folder of checkpoints)."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    _jax = pytest.importorskip("jaxlib._jax")
    if not hasattr(_jax, "make_gloo_tcp_collectives"):
        pytest.skip("this jaxlib has no gloo, which moves numbers between CPUs")
    folder = tmp_path_factory.mktemp("hosts")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count=2 {FAST}",
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-5000:]
    report = json.loads((folder / "report.json").read_text())
    assert report["again"]["status"] == {"0": 0, "1": 0}, done.stderr[-5000:]
    found = [json.loads((folder / f"host-{number}.json").read_text()) for number in (0, 1)]
    return report, found, folder


def test_a_killed_host_ends_the_run_and_the_last_good_checkpoint_stays(launched):
    first = launched[0]["killed"]
    assert first["status"]["1"] == -signal.SIGKILL
    assert first["status"]["0"] != 0
    assert first["seconds"] < 6 * DEAD_AFTER
    assert first["steps"] == [2]


def test_both_go_on_to_the_losses_of_one_device(launched):
    report, found, folder = launched
    assert report["again"]["steps"] == [2, 4, 6]
    assert checkpoints.read_history(folder).step == [2, 4, 6]
    one = found[1]["one"]
    for each in found:
        assert each["devices"] == [4, 2]
        np.testing.assert_allclose(each["several"]["loss"], one["loss"], rtol=1e-4)
        np.testing.assert_allclose(each["several"]["weights"], one["weights"], rtol=1e-3, atol=1e-3)


def test_every_host_gets_all_predictions(launched):
    for each in launched[1]:
        np.testing.assert_allclose(each["predicted"], each["expected"], rtol=1e-5)


def test_one_host_has_all_rows():
    batch = {"hint": np.zeros((3, 2))}
    assert (hosts.count(), hosts.number()) == (1, 0)
    assert hosts.own_rows(batch) is batch


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="about other backends")
def test_another_backend_is_refused():
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=jax"):
        hosts.join("127.0.0.1:1", 2, 0)


if __name__ == "__main__":
    launch(pathlib.Path(sys.argv[1]))
