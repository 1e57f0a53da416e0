"""Training on several hosts: two processes of two simulated devices each, one of them killed, against one device.

The trainer is the ControlNet's, its networks are stand-ins of a few layers: four processes compile a training step, and
for real blocks XLA takes long. One process imports everything and forks the hosts, which saves time as well.
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

from utils.diffusion import checkpoints, hosts, trainers, training
from utils.diffusion.batches import cached_batches
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.tokenizers import WordTokenizer

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
    prompt_dropout=0.5,
    save_every=2,
    preview_every=2,
)
KILLED_AT = 3  # steps; the checkpoint of step 2 is there
DEAD_AFTER = 10  # seconds without a word
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


# In the process of a host ---------------------------------------------------------------------------------------------


def tiny_network(names):
    """A stand-in for U-Net or branch: the sum of one layer on each of its inputs."""
    shapes = {
        **dict.fromkeys(("latent", "control_0", "control_1"), (4, 4, 4)),
        "timestep_embedding": (8,),
        "context": (3, 8),
    }
    inputs = {name: keras.Input(shapes.get(name, (16, 16, 3)), name=name) for name in names}
    parts = {
        "latent": lambda x: keras.layers.Conv2D(4, 3, padding="same")(x),
        "control_0": lambda x: x,
        "control_1": lambda x: x,
        "timestep_embedding": lambda x: keras.layers.Reshape((1, 1, 4))(keras.layers.Dense(4)(x)),
        "context": lambda x: keras.layers.Reshape((1, 1, 4))(keras.layers.Dense(4)(keras.layers.Flatten()(x))),
        "hint": lambda x: keras.layers.Conv2D(4, 4, strides=4)(x),
    }
    return inputs, sum((parts[name](inputs[name]) for name in names[1:]), parts[names[0]](inputs[names[0]]))


def tiny_parts():
    """The frozen parts with random weights, and the branch."""
    keras.utils.set_random_seed(0)
    names = ("latent", "timestep_embedding", "context")
    inputs, noise = tiny_network((*names, "control_0", "control_1"))
    hint_inputs, residual = tiny_network((*names, "hint"))
    tokenizer = WordTokenizer(["red", "blue"], max_length=3)
    tokens, positions = (keras.Input((3,), dtype="int32", name=name) for name in ("tokens", "positions"))
    context = keras.layers.Embedding(tokenizer.size, 8)(tokens) + keras.layers.Embedding(3, 8)(positions)
    text_encoder = keras.Model({"tokens": tokens, "positions": positions}, context)
    return LatentDiffusion(keras.Model(inputs, noise), text_encoder, tokenizer=tokenizer), keras.Model(
        hint_inputs, [residual, keras.layers.Conv2D(4, 1)(residual)]
    )


def train_tiny(folder=None, killed_at=None):
    """Losses, weights and contexts of a run; the process kills itself after a number of steps."""
    diffusion, branch = tiny_parts()
    trainer = trainers.ControlNetTrainer(diffusion, branch, CONFIG)
    rng = np.random.default_rng(0)
    examples = {"moments": rng.random((12, 4, 4, 8), "float32"), "hint": rng.random((12, 16, 16, 3), "float32")}
    examples["context"] = diffusion.encode_text(["red", "blue", "blue red"] * 4)

    def batches(start):
        for step, batch in enumerate(cached_batches(examples, CONFIG.batch_size, CONFIG.seed)(start), start):
            if step == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    history = training.train(trainer, batches, folder, progress=False)
    return {
        "loss": history.loss,
        "weights": np.concatenate([w.ravel() for w in branch.get_weights()]).tolist(),
        "context": examples["context"].tolist(),
    }


def host(number, port, folder, killed):
    """What one host does: the first launch is killed, the second goes on and then trains on one device as well."""
    hosts.join(f"127.0.0.1:{port}", 2, number, silence=DEAD_AFTER, patience=60)
    import jax

    found = {"devices": [jax.device_count(), jax.local_device_count()]}
    trainers.build_controlled_unet = lambda unet, remat: unet  # the stand-in listens already
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


def launch(folder, names=("killed", "again")):
    """Both launches; the exit status of each host, and the seconds that the survivor needed to end."""
    report = {}
    for name in names:
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
        np.testing.assert_allclose(each["several"]["weights"], one["weights"], rtol=1e-3, atol=1e-4)


def test_every_host_gets_the_contexts_of_all_captions(launched):
    one = np.array(launched[1][1]["one"]["context"])
    assert one.shape == (12, 3, 8)
    for each in launched[1]:
        np.testing.assert_allclose(each["several"]["context"], one, rtol=1e-5)


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
