"""Does our ControlNet compute what diffusers' ControlNetModel computes from the same file of weights?

Two environments, since the course does not install PyTorch. In the course's:

    python scripts/compare_with_diffusers.py write build/diffusers

and in one with ``torch``, ``diffusers`` and ``safetensors``:

    python scripts/compare_with_diffusers.py compare build/diffusers

``write`` makes a branch of Stable Diffusion 1's structure at small width with random weights, zero convolutions
included, and keeps its weights (``controlnet_weights.save_controlnet``), inputs and outputs. ``compare`` loads
the weights into diffusers and compares all residuals; then it reads diffusers' own random weights back in the other
direction: ``compare`` writes them with ``save_pretrained`` and

    python scripts/compare_with_diffusers.py read build/diffusers

loads them into our branch and compares again.

Result: the largest difference over the 13 residuals, relative to the largest value of each (keras-cv 0.9.0, Keras
3.15.1, TensorFlow 2.21; PyTorch 2.13.0, diffusers 0.42.1; two cores of a Xeon, float32):

    our weights in diffusers, as it is            8.3e-05
    our weights in diffusers, made alike          1.3e-06
    diffusers' weights in ours, as it is          7.2e-05
    diffusers' weights in ours, made alike        1.6e-06

"As it is" shows two places where KerasCV departs from Stable Diffusion: it computes the GELU of the feed-forward layer
by the tanh formula, and normalises before attention with epsilon 1e-5 where the original has 1e-6. "Made alike" gives
diffusers those two; what remains is rounding.
"""

import argparse
import pathlib

import numpy as np

WIDTHS = (32, 64, 96, 96)
HEADS = 4
LATENT, CONTEXT, BATCH = 16, (7, 48), 2


def our_branch():
    """A branch with the levels, blocks and attention of Stable Diffusion 1, and small widths."""
    from utils.diffusion.controlnet import build_controlnet
    from utils.diffusion.unet import build_unet

    import keras

    keras.utils.set_random_seed(0)
    attention = (True, True, True, False)
    return build_controlnet(build_unet((LATENT, LATENT, 4), CONTEXT, WIDTHS, 2, attention, groups=32, heads=HEADS))


def inputs():
    """Inputs in Keras's layout: channels last, hints in [0, 1]."""
    rng = np.random.default_rng(0)
    return {
        "latent": rng.normal(size=(BATCH, LATENT, LATENT, 4)).astype("float32"),
        "timesteps": np.array([17, 803]),
        "context": rng.normal(size=(BATCH, *CONTEXT)).astype("float32"),
        "hint": rng.random((BATCH, LATENT * 8, LATENT * 8, 3), "float32"),
    }


def run_ours(branch):
    """Our residuals."""
    from utils.diffusion.schedule import timestep_embedding

    given = inputs()
    embedding = np.asarray(timestep_embedding(given.pop("timesteps"), WIDTHS[0]))
    return [np.asarray(x) for x in branch.predict_on_batch({**given, "timestep_embedding": embedding})]


def write(folder):
    """Our random weights and what we compute from them."""
    from utils.diffusion.controlnet_weights import save_controlnet

    branch = our_branch()
    rng = np.random.default_rng(1)
    branch.set_weights([w + rng.normal(size=w.shape, scale=0.05).astype("float32") for w in branch.get_weights()])
    save_controlnet(branch, folder / "ours" / "diffusion_pytorch_model.safetensors")
    np.savez(folder / "ours.npz", *run_ours(branch))
    print(f"wrote {branch.count_params():,} weights of ours")


def their_branch():
    """Diffusers' model of the same structure."""
    from diffusers import ControlNetModel

    return ControlNetModel(
        block_out_channels=WIDTHS, layers_per_block=2, cross_attention_dim=CONTEXT[1], attention_head_dim=HEADS
    ).eval()


def run_theirs(model):
    """Diffusers' residuals, channels last."""
    import torch

    given = {name: torch.from_numpy(value) for name, value in inputs().items()}
    with torch.no_grad():
        down, middle = model(
            given["latent"].permute(0, 3, 1, 2),
            given["timesteps"],
            encoder_hidden_states=given["context"],
            controlnet_cond=given["hint"].permute(0, 3, 1, 2),
            return_dict=False,
        )
    return [x.permute(0, 2, 3, 1).numpy() for x in (*down, middle)]


def make_alike(model):
    """Take out the two places where KerasCV departs from Stable Diffusion: tanh GELU, and epsilon 1e-5 in attention."""
    import torch
    from diffusers.models.activations import GEGLU

    for module in model.modules():
        if isinstance(module, GEGLU):
            module.gelu = lambda gate: torch.nn.functional.gelu(gate, approximate="tanh")
        if type(module).__name__ == "Transformer2DModel":
            module.norm.eps = 1e-5


def compare(folder):
    """Our file in diffusers; then a file of diffusers' own random weights, and what it computes from them."""
    import torch
    from safetensors.torch import load_file

    model = their_branch()
    model.load_state_dict(load_file(folder / "ours" / "diffusion_pytorch_model.safetensors"), strict=True)
    ours = list(np.load(folder / "ours.npz").values())
    print("our weights in diffusers, as it is:     ", difference(ours, run_theirs(model)))
    make_alike(model)
    print("our weights in diffusers, made alike:   ", difference(ours, run_theirs(model)))

    torch.manual_seed(0)
    model = their_branch()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder / "theirs")
    as_it_is = run_theirs(model)
    make_alike(model)
    np.savez(folder / "theirs.npz", *as_it_is, *run_theirs(model))


def read(folder):
    """Diffusers' file in our branch."""
    from utils.diffusion.controlnet_weights import load_controlnet

    branch = our_branch()
    load_controlnet(branch, folder / "theirs" / "diffusion_pytorch_model.safetensors")
    theirs = list(np.load(folder / "theirs.npz").values())
    ours = run_ours(branch)
    print("diffusers' weights here, as it is:      ", difference(ours, theirs[: len(ours)]))
    print("diffusers' weights here, made alike:    ", difference(ours, theirs[len(ours) :]))


def difference(ours, theirs):
    """The largest difference over all residuals, relative to the largest value of each."""
    worst = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True))
    return f"{len(ours)} residuals, largest relative difference {worst:.1e}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("write", "compare", "read"))
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    {"write": write, "compare": compare, "read": read}[arguments.stage](arguments.folder)
