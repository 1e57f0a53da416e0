"""The first questions to a card: right numbers, speed and memory beside diffusers, then pretraining in what is left.

    KERAS_BACKEND=jax python scripts/gpu_check.py --cache FOLDER --minutes 10
    KERAS_BACKEND=jax python scripts/gpu_check.py --tiny

``FOLDER`` is the cache of `python -m utils.diffusion.pretrain`; its U-Net goes on from the last checkpoint, and the
weights are exported to ``FOLDER/weights``. ``--tiny`` shows on a CPU that everything runs: small networks, one step.
Lines for diffusers need ``torch`` and ``diffusers``; without them they fail. Each part is a process of its own, so its
memory is its own; its last lines are printed and kept in ``build/gpu_check.txt``.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "build" / "gpu_check.txt"
AGREE = r"""
import jax, numpy as np
from utils.diffusion.sketch_to_image import SketchToImage
unet = SketchToImage.load("assignment/weights").diffusion.unet
rng = np.random.default_rng(0)
inputs = {t.name: rng.standard_normal((4, *t.shape[1:])).astype("float32") for t in unet.inputs}
device, cpu = jax.devices()[0], jax.devices("cpu")[0]
variables = [*unet.trainable_variables, *unet.non_trainable_variables]
n = len(unet.trainable_variables)
def predicted(where, precision):
    with jax.default_device(where), jax.default_matmul_precision(precision):
        state = [jax.device_put(v.value, where) for v in variables]
        call = jax.jit(lambda state, x: unet.stateless_call(state[:n], state[n:], x)[0])
        return np.asarray(call(state, {k: jax.device_put(v, where) for k, v in inputs.items()}))
truth = predicted(cpu, "highest")
for precision, limit in (("highest", 1e-4), ("default", 2e-2)):
    error = np.linalg.norm(predicted(device, precision) - truth) / np.linalg.norm(truth)
    print(f"U-Net on {device.device_kind}, {precision} precision, against the CPU in float32: {error:.1e}")
    assert error < limit, f"expected below {limit}"
"""


def benchmark(tiny: bool, *more: str) -> list[str]:
    """The command of one line of `benchmark_diffusion.py`."""
    real = ["real", "--size", "512", "--batch", "8", "--precision", "bfloat16", "--steps", "8"]
    small = ["small", "--batch", "2", "--steps", "1"]
    return ["scripts/benchmark_diffusion.py", *(small if tiny else real), *more]


def parts(tiny: bool) -> dict[str, list[str]]:
    """Every check by name, with the arguments of Python that run it."""
    return {
        "right numbers": ["-c", AGREE],
        "training step, ours": benchmark(tiny),
        "training step, diffusers": benchmark(tiny, "--diffusers"),
        "sampling, ours": benchmark(tiny, "--sampling"),
        "sampling, diffusers": benchmark(tiny, "--sampling", "--diffusers"),
    }


def run(name: str, arguments: list[str], seconds: float, endless: bool = False) -> bool:
    """Run one part for at most so many seconds; print and keep its last lines. False where it failed.

    A part that is stopped has failed, unless it is ``endless``: that one fails only where it ends with an error.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    began, seconds = time.monotonic(), max(seconds, 0.0)
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, timeout=seconds
        )
        good = done.returncode == 0
        said = done.stdout if good else done.stderr
    except subprocess.TimeoutExpired as stopped:
        good, said = endless, (stopped.stdout or b"").strip() + f"\nstopped after {seconds:.0f} s".encode()
    shown = said.decode(errors="replace").strip().splitlines() or ["no output"]
    kept = shown[-2:] if good else shown[-1:]
    text = "\n".join(f"{name}: {'' if good else 'FAILED: '}{line}" for line in kept)
    print(f"{text}   [{time.monotonic() - began:.0f} s]", flush=True)
    with REPORT.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder of the pretraining; without it nothing is trained")
    spent = "for everything; half a minute of pretraining and the export may come on top"
    parser.add_argument("--minutes", type=float, default=10.0, help=spent)
    parser.add_argument("--tiny", action="store_true", help="small networks and one step, for a CPU")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("", encoding="utf-8")
    failed = [n for n, arguments in parts(given.tiny).items() if not run(n, arguments, end - time.monotonic())]
    if given.cache is not None:
        pretrain = ["-m", "utils.diffusion.pretrain"]
        cache = ["--cache", str(given.cache.resolve())]
        left = max(end - time.monotonic() - 60, 30)  # a minute for the export
        endless = ["unet", *cache, "--steps", "1000000"]  # more than the time allows
        trained = run("pretraining, until the time is over", [*pretrain, *endless], left, endless=True)
        weights = given.cache.resolve() / "weights"
        export = [*pretrain, "export", *cache, "--weights", str(weights), "--figures", str(weights)]
        exported = run("export", export, 600)  # also after a failure: the last checkpoint stays
        failed += [part for part, good in (("pretraining", trained), ("export", exported)) if not good]
    print(f"report: {REPORT}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
