"""Train the small pretrained model: `python -m utils.diffusion.pretrain STEP --cache FOLDER`.

The steps, in order: `render` the pairs, train the `vae`, encode the `latents`, train the `unet` with its text
encoder, train the `decoder` further with the encoder frozen (the latents stay as they are), train a ControlNet, the
`branch`, on the sketches as the assignment's notebook does, `export` the weights as fp16 with their curves and
samples, train the `judge` of captions, `evaluate` the exported weights. Each step reads what the ones before left in
the cache folder. The training steps save checkpoints and go on from the last one when they are started again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from utils.diffusion.pretrain import data, evaluation, judge, report, stages
from utils.diffusion.small_model import SIZES

import keras


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lengths = {name: config.steps for name, config in stages.RUNS.items()}
    steps = ["render", "vae", "latents", "unet", "decoder", "branch", "export", "judge", "evaluate"]
    parser.add_argument("step", choices=steps)
    parser.add_argument("--cache", type=Path, required=True, help="folder for pairs, latents and checkpoints")
    parser.add_argument("--size", type=int, choices=tuple(SIZES), default=64, help="side of the pictures, for `render`")
    parser.add_argument("--steps", type=int, help=f"updates in all, where the learning rate's schedule ends: {lengths}")
    parser.add_argument(
        "--weights", type=Path, default=Path("assignment/weights"), help="where `branch` and `export` write"
    )
    parser.add_argument("--figures", type=Path, default=Path("assignment/figures"), help="where `export` draws")
    parser.add_argument(
        "--bfloat16", action="store_true", help="train in mixed precision: quick only on processors with AVX512-BF16"
    )
    given = parser.parse_args()
    others: dict[str, Callable[[], object]] = {  # always float32: sums of many bfloat16 numbers would stop growing
        "render": lambda: data.render(given.cache, given.size),
        "latents": lambda: stages.encode_latents(given.cache),
        "judge": lambda: judge.train_judge(given.cache),
        "export": lambda: report.export(given.cache, given.weights, given.figures),
        "evaluate": lambda: evaluation.evaluate(given.cache, given.weights),
    }
    trainings: dict[str, Callable[[], object]] = {
        "vae": lambda: stages.train_vae(given.cache, given.steps),
        "decoder": lambda: stages.train_vae(given.cache, given.steps, only_decoder=True),
        "unet": lambda: stages.train_unet(given.cache, given.steps),
        "branch": lambda: stages.train_branch(given.cache, given.steps, given.weights),
    }
    if given.bfloat16 and given.step in trainings:
        keras.config.set_dtype_policy("mixed_bfloat16")
    (others | trainings)[given.step]()


if __name__ == "__main__":
    main()
