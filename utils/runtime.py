"""Start of every notebook: quiet import of Keras, one state whatever the machine's past, profile, seed, banner.

Import this module before Keras: TensorFlow writes five lines to standard error while it is imported, whatever its
log level, and one more when it looks for a GPU that is not there. On JAX only `start` imports TensorFlow.
"""

import ast
import contextlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax")
PROFILES = ("fast", "full")
ROOT = Path(__file__).resolve().parents[1]


def _choose_backend() -> str:
    """Return the backend that Keras will take; ImportError that names where another one was set."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    file, place = home / "keras.json", "the environment variable KERAS_BACKEND"
    name = os.environ.get("KERAS_BACKEND")
    if not name:
        place = str(file)
        try:
            name = json.loads(file.read_text(encoding="utf-8")).get("backend", "tensorflow")
        except (OSError, ValueError, AttributeError):  # Keras ignores a file that it cannot read, too
            name = "tensorflow"
    if name not in BACKENDS:
        raise ImportError(
            f"This course runs on Keras's backends {' and '.join(BACKENDS)}; found {name!r} in {place}. "
            "Set it to tensorflow there, or remove it, and restart the kernel."
        )
    return name


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to the null device: C++ writes there, past `sys.stderr`."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def import_tensorflow() -> Any:
    """Import TensorFlow without its noise and return it: also on JAX, where `tf.data` feeds the training."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # drops the information lines, keeps warnings and errors
    with _quiet_stderr():
        import tensorflow

        tensorflow.config.list_logical_devices()  # without a GPU its first call reports a failed cuInit
        tensorflow.transpose([[0]])  # the first transposition of integers reports that oneDNN has no kernel for it
    return tensorflow


if _choose_backend() == "tensorflow":
    import_tensorflow()
import keras


def start(profile: str, seed: int, needs: Sequence[Callable[[str], Any]] = ()) -> None:
    """Bring Keras and the figures to one state, check the profile and its data, set every seed, print the banner.

    Parameters
    ----------
    profile : str
        "fast" (2 CPU cores, data that comes with the installed packages) or "full" (a GPU, the canonical data).
    seed : int
        Seeds Python, NumPy and the Keras backend with `keras.utils.set_random_seed`.
    needs : sequence of callables
        Loaders such as `datasets.mnist`. In the full profile each is called at once, so that data that are missing
        stop the notebook here and not in its middle.

    Raises
    ------
    ValueError
        If `profile` is neither of the two, or papermill was given a parameter that the notebook does not have.
    RuntimeError
        If the notebook and the imported `utils` belong to two copies of the course, or data are missing.
    """
    if profile not in PROFILES:
        raise ValueError(
            f"parameter profile: expected one of {PROFILES}, got {profile!r}. Set it in the cell tagged `parameters`, "
            "or with papermill's option `-p profile fast`."
        )
    shell = _kernel()
    if shell is not None:
        _check_parameters(shell.user_ns.get("In", ()))
        _select_inline_figures(shell)
    _check_folder(Path.cwd())
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy("float32")
    if profile == "full":
        for load in needs:
            load(profile)
    import_tensorflow()  # on JAX, too: Keras's own seeding imports it, but not quietly
    keras.utils.set_random_seed(seed)
    print(banner(profile))


def _kernel() -> Any:
    """Return IPython's shell inside a Jupyter kernel, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if shell is not None and hasattr(shell, "kernel") else None


def _select_inline_figures(shell: Any) -> None:
    """Show figures in the notebook, whatever MPLBACKEND says."""
    shell.run_line_magic("matplotlib", "inline")


def _check_parameters(cells: Sequence[str]) -> None:
    """Refuse what papermill's `-p` set beside `profile`: papermill itself only warns of a name that is not there."""
    for source in cells:
        if source.startswith("# Parameters\n"):  # papermill's own cell
            targets = [target for node in ast.parse(source).body for target in getattr(node, "targets", ())]
            if unknown := sorted({ast.unparse(target) for target in targets} - {"profile"}):
                raise ValueError(
                    f"papermill set the parameter {unknown[0]!r}, which this notebook does not have: expected "
                    "`-p profile fast` or `-p profile full`."
                )


def _check_folder(folder: Path) -> None:
    """Demand that a notebook inside a copy of the course works with the `utils` of that copy."""
    for parent in (folder, *folder.parents):
        if (parent / "utils" / "runtime.py").is_file():
            if parent.resolve() != ROOT:
                raise RuntimeError(
                    f"This notebook belongs to the course in {parent}, but `utils` was imported from {ROOT}. Start "
                    f"Jupyter from the environment of {parent} (there: `make lab`, or `pip install -e .`), and restart "
                    "the kernel."
                )
            return


def banner(profile: str) -> str:
    """Return one line with the profile, the versions and the device that Keras computes on."""
    backend = keras.config.backend()
    backend_version = importlib.metadata.version(backend)
    return (
        f"profile {profile} | Python {platform.python_version()} | Keras {keras.__version__} "
        f"on {backend} {backend_version} | {device()}"
    )


def device() -> str:
    """Return the name of the first GPU or TPU if there is one, else the number of CPU cores."""
    accelerators = [name for name in keras.distribution.list_devices() if not name.lower().startswith("cpu")]
    return accelerators[0] if accelerators else f"{os.cpu_count()} CPU cores"
