"""Time and memory of a ControlNet training step and of sampling: ours on TensorFlow and JAX, and diffusers' on PyTorch.

One run of this script measures one line and prints it; every line is a process of its own, so that the peak memory is
its own. The course's environment for ours, one with ``torch`` and ``diffusers`` for diffusers:

    KERAS_BACKEND=tensorflow python scripts/benchmark_diffusion.py small
    KERAS_BACKEND=jax python scripts/benchmark_diffusion.py small
    python scripts/benchmark_diffusion.py small --diffusers
    python scripts/benchmark_diffusion.py real --size 512 --batch 8 --precision bfloat16     (on a GPU; --sampling, too)
    python scripts/benchmark_diffusion.py pipeline --folder PAIRS

``small`` has the small model's widths and two blocks a level, on latents of 16x16; ``real`` is Stable Diffusion 1 with
random weights on photos of ``--size``. A step is forward, backward and AdamW on the branch, on cached latents and
contexts, without accumulation. "first" is the first step with its compilation, "then" the median of the following.
``pipeline`` measures pictures a second from a folder of pairs.

Two quiet cores of an Intel Xeon (AVX-512, virtual machine), float32, no GPU; TensorFlow 2.21, Keras 3.15.1, JAX
0.10.2, PyTorch 2.13.0, diffusers 0.42.1. Each line of the table twice, in turns, within 24 minutes; both times are
given. "Start" is building and the first step.

=====================================  ==========  ================  ===========
training step                          start (s)   then (s a step)   peak memory
=====================================  ==========  ================  ===========
small, batch 16: ours, TensorFlow      75, 73      0.61, 0.61        2.0 GiB
small, batch 16: ours, TensorFlow+XLA  95, 93      0.59, 0.50        3.2 GiB
small, batch 16: ours, JAX             73, 81      0.80, 0.79        2.5 GiB
small, batch 16: diffusers, PyTorch    9, 10       0.61, 0.52        0.7 GiB
real at 128, batch 1: ours, TensorFlow 90, 97      5.3, 5.5          12.1 GiB
real at 128, batch 1: ours, JAX        115, 126    13.3, 13.4        14.1 GiB
real at 128, batch 1: diffusers        23, 24      4.2, 4.4          9.4 GiB
=====================================  ==========  ================  ===========

So diffusers starts in an eighth to a quarter of the time, needs less memory, and is 1.25 times as fast as ours at the
real size. On two shared cores of an AMD EPYC (Zen 4) the first edition had taken 4.2 to 4.6 s on TensorFlow and
diffusers 5.8 to 6.9 s: the order depends on the processor.

There, before `blocks.py` replaced Keras's group normalization and KerasCV's GEGLU, the small model took 0.58 s on
TensorFlow and 0.64 s on JAX where diffusers took 0.46 s: in TensorFlow's profile a sixth of a step went into means over
a last axis of two channels and into the gradients of slices. What is left: TensorFlow and JAX trace and compile for a
minute before the first step; and on CPUs JAX's convolutions are slower than TensorFlow's. One of 3x3 on 8x8x1280 alone
(forward, gradient of the input, of the weights): 15, 47 and 66 ms in TensorFlow, 47, 143 and 100 ms in JAX; on a batch
of 16 of 16x16x64: 2.3, 4.0 and 4.6 against 3.0, 6.1 and 7.5 ms. That is not ours to mend.

One NVIDIA H100 (80 GB), real at 512, batch 8, bfloat16, JAX 0.11.2, Keras 3.15.1, PyTorch 2.11, diffusers 0.38, one
after the other, median of 8 steps: ours 0.110 s a step and 15.3 GiB of the card, diffusers 0.185 s and 18.2 GiB. The
first step of ours compiles for two minutes (126 s, beside another training; 12 s from JAX's cache on the disk), that of
diffusers takes 6 s. Sampling 8 latents in 20 steps took ours 1.6 s, beside another training on the card; diffusers'
sampling was not measured there.

The pipeline with TensorFlow's decoder (today it is Pillow's, in `images.py`; not measured again on a quiet machine),
the assignment's 2,272 pairs of 64x64, batch 8, pictures a second: decoded one by one and then shuffled
(the naive order) 1,180, with 0.86 s before the first batch; shuffled, then decoded one by one 1,240 (0.20 s); with
prefetch 1,600; also decoded in parallel 1,820; from the cache 4,370 (0.03 s).
"""

import argparse
import resource
import statistics
import time

import numpy as np

SMALL = {"widths": (64, 96, 128), "blocks": 2, "latent": 16, "context": (16, 128), "hint": (16, 32, 96), "heads": 4}
REAL = {"widths": (320, 640, 1280, 1280), "blocks": 2, "context": (77, 768), "hint": (16, 32, 96, 256), "heads": 8}
SAMPLING_STEPS = 20


def examples(model, batch):
    """Random cached latents, contexts and hints, channels last."""
    rng = np.random.default_rng(0)
    side, hint = model["latent"], model["latent"] * 2 ** (len(model["hint"]) - 1)
    shapes = {"moments": (side, side, 8), "context": model["context"], "hint": (hint, hint, 3)}
    return {name: rng.random((batch, *shape)).astype("float32") for name, shape in shapes.items()}


def attention_levels(model):
    """As in Stable Diffusion 1 for the real size; not at the finest level for the small one."""
    return (True, True, True, False) if model is REAL else (False, True, True)


def keras_parts(model, options):
    """Our U-Net and branch with random weights."""
    from utils.diffusion import controlnet, unet

    import keras

    keras.config.set_dtype_policy("mixed_bfloat16" if options.precision == "bfloat16" else "float32")
    latent = (model["latent"], model["latent"], 4)
    levels = attention_levels(model)
    network = unet.build_unet(
        latent, model["context"], model["widths"], model["blocks"], levels, groups=32, heads=model["heads"]
    )
    return network, controlnet.build_controlnet(network, hint_widths=model["hint"], remat=options.remat)


def keras_step(model, options):
    """A function that makes one training step of ours."""
    from utils.diffusion import latent_diffusion, trainers, training

    network, branch = keras_parts(model, options)
    config = training.TrainingConfig(
        accumulation=1, ema=None, prompt_dropout=0.0, jit_compile=options.xla or training.JIT_COMPILE
    )
    trainer = trainers.ControlNetTrainer(
        latent_diffusion.LatentDiffusion(unet=network), branch, config, remat=options.remat
    )
    batch = examples(model, options.batch)
    return lambda: float(trainer.train_on_batch(batch))


def keras_sampling(model, options):
    """A function that samples latents with guidance and control, `SAMPLING_STEPS` steps of both halves."""
    from utils.diffusion import latent_diffusion, sampling

    class NoText(latent_diffusion.LatentDiffusion):
        def encode_text(self, captions):
            return np.zeros((1, *model["context"]), "float32")

    network, branch = keras_parts(model, options)
    sampler = sampling.Sampler(NoText(unet=network), [branch], "both")
    arrays = examples(model, options.batch)
    noise = sampling.initial_noise(0, options.batch, (model["latent"], model["latent"], 4))
    return lambda: sampler.sample(arrays["context"], arrays["hint"], steps=SAMPLING_STEPS, guidance=7.5, noise=noise)


def diffusers_parts(model, options):
    """U-Net and branch of diffusers with random weights, the examples as tensors, on the card if there is one."""
    import torch
    from diffusers import ControlNetModel, UNet2DConditionModel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    levels = attention_levels(model)
    shared = {
        "block_out_channels": model["widths"],
        "layers_per_block": model["blocks"],
        "cross_attention_dim": model["context"][1],
        "attention_head_dim": model["heads"],
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in levels],
    }
    up = ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(levels)]
    unet = UNet2DConditionModel(up_block_types=up, **shared).to(device).requires_grad_(False)
    branch = ControlNetModel(conditioning_embedding_out_channels=model["hint"], **shared).to(device)
    arrays = examples(model, options.batch)
    latent = torch.from_numpy(arrays["moments"][..., :4]).permute(0, 3, 1, 2).to(device)
    hint = torch.from_numpy(arrays["hint"]).permute(0, 3, 1, 2).to(device)
    context = torch.from_numpy(arrays["context"]).to(device)

    def predict(latent, steps, context, hint):
        with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bfloat16"):
            down, middle = branch(latent, steps, context, hint, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            return unet(latent, steps, context, **residuals, return_dict=False)[0].float()

    return branch, predict, latent, context, hint


def diffusers_step(model, options):
    """A function that makes one training step of diffusers' ControlNetModel beside its UNet2DConditionModel."""
    import torch

    branch, predict, latent, context, hint = diffusers_parts(model, options)
    optimizer = torch.optim.AdamW(branch.parameters(), lr=1e-5)

    def step():
        noise = torch.randn_like(latent)
        steps = torch.randint(0, 1000, (options.batch,), device=latent.device)
        loss = torch.nn.functional.mse_loss(predict(latent + noise, steps, context, hint), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def diffusers_sampling(model, options):
    """A function that asks diffusers' networks as often as `keras_sampling` asks ours (the update is DDIM's)."""
    import torch
    from diffusers import DDIMScheduler

    _, predict, latent, context, hint = diffusers_parts(model, options)
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(SAMPLING_STEPS)
    context, hint = torch.cat([torch.zeros_like(context), context]), torch.cat([hint, hint])

    @torch.no_grad()
    def sample():
        x = torch.randn_like(latent)
        for step in scheduler.timesteps:
            empty, conditional = predict(torch.cat([x, x]), step.to(x.device), context, hint).chunk(2)
            x = scheduler.step(empty + 7.5 * (conditional - empty), step, x, return_dict=False)[0]
        return x.cpu()

    return sample


def card_memory(options):
    """Peak of the accelerator's memory in GiB, 0 without one."""
    if options.diffusers:
        import torch

        return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    import keras

    if keras.backend.backend() != "jax":
        return 0.0
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30


def images_per_second(dataset, seconds):
    """How many pictures a second come out of a dataset of batches, repeated, after one batch to start it."""
    batches = iter(dataset.repeat())
    next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += int(next(batches)["image"].shape[0])
    return count / (time.perf_counter() - start)


def measure_pipeline(folder, size, batch):
    """Time to the first batch and pictures a second: the naive order, then the library's, one switch more a line."""
    from utils.diffusion.batches import make_dataset
    from utils.diffusion.pairs import load_pairs

    found = load_pairs(folder)
    decoded = make_dataset(found, size, 1, shuffle=0, parallel=False, prefetch=False).unbatch()
    datasets = {"decoded one by one, then shuffled": decoded.shuffle(1000, seed=0).batch(batch, drop_remainder=True)}
    for name, choices in (
        ("shuffled, then decoded one by one", {"parallel": False, "prefetch": False}),
        ("with prefetch", {"parallel": False}),
        ("parallel and prefetch", {}),
        ("parallel, cache and prefetch", {"cache": True}),
    ):
        datasets[name] = make_dataset(found, size, batch, **choices)
        for _ in datasets[name] if "cache" in choices else ():
            pass
    for name, dataset in datasets.items():
        start = time.perf_counter()
        next(iter(dataset))
        first = time.perf_counter() - start
        speed = images_per_second(dataset, seconds=5.0)
        print(f"pipeline {name}: first batch after {first:.2f} s, then {speed:.0f} pictures a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("small", "real", "pipeline"))
    parser.add_argument("--folder", help="a folder of pairs, for the pipeline")
    parser.add_argument("--diffusers", action="store_true", help="measure diffusers instead of ours")
    parser.add_argument("--sampling", action="store_true", help="measure a batch of sampled latents instead of a step")
    parser.add_argument("--size", type=int, default=128, help="side of the photos, for the real model")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--remat", action="store_true", help="gradient checkpointing")
    parser.add_argument("--xla", action="store_true", help="jit_compile=True also on TensorFlow")
    options = parser.parse_args()
    if options.model == "pipeline":
        measure_pipeline(options.folder, options.size, options.batch)
        return
    model = SMALL if options.model == "small" else REAL
    model.setdefault("latent", options.size // 8)

    began = time.perf_counter()
    training, sampling = (diffusers_step, diffusers_sampling) if options.diffusers else (keras_step, keras_sampling)
    step = (sampling if options.sampling else training)(model, options)
    built = time.perf_counter()
    step()
    first = time.perf_counter() - built
    seconds = []
    for _ in range(options.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    what = f"{'diffusers' if options.diffusers else 'ours'}, {'sampling' if options.sampling else 'training step'}"
    card = card_memory(options)
    print(
        f"{options.model}, {what}, batch {options.batch}, {options.precision}: build {built - began:.0f} s, first "
        f"{first:.1f} s, then {statistics.median(seconds):.3f} s; memory {memory:.1f} GiB, card {card:.1f} GiB"
    )


if __name__ == "__main__":
    main()
