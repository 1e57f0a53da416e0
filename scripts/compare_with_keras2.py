"""Weights that Keras 2 saved give the same numbers in Keras 3: the check behind the pretrained path.

The published Stable Diffusion weights of KerasCV were saved by Keras 2. Continuous integration cannot carry Keras 2
beside Keras 3, so this is a script with its result. With an environment that holds ``tensorflow==2.15``,
``keras==2.15`` and ``keras-cv==0.9.0``, and the course's own:

    python2_15 scripts/compare_with_keras2.py write FOLDER
    python     scripts/compare_with_keras2.py compare FOLDER

``write`` makes each part with random weights and saves it in the published files' layout, with its outputs for random
inputs at 64 x 64; ``compare`` loads the files with Keras 3 and prints, for each part, the largest difference of the
outputs relative to their largest value. FOLDER needs 4.3 GB.

Result, Keras 2.15.0 and TensorFlow 2.15.1 against Keras 3.15.1 and TensorFlow 2.21, on a CPU: 8e-7 for the text encoder
(123,060,480 parameters), 5e-6 for the VAE's encoder (34,163,664), 4e-6 for its decoder (49,490,199) and 5e-6 for the
U-Net (859,520,964).
"""

import argparse
import pathlib

import keras
import keras_cv
import numpy as np
from keras_cv.models.stable_diffusion import Decoder, DiffusionModel, ImageEncoder, TextEncoder

SIDE, TOKENS = 64, 77
PARTS = ("text_encoder", "image_encoder", "decoder", "unet")
TOLERANCE = 1e-4


def build(part):
    """One part of Stable Diffusion 1 with random weights."""
    if part == "text_encoder":
        return TextEncoder(TOKENS, download_weights=False)
    if part == "image_encoder":
        return ImageEncoder(download_weights=False)
    if part == "decoder":
        return Decoder(SIDE, SIDE, download_weights=False)
    return DiffusionModel(SIDE, SIDE, TOKENS, download_weights=False)


def inputs(part):
    """Random inputs, in the order of the functional model."""
    rng = np.random.default_rng(0)
    if part == "text_encoder":
        return [rng.integers(0, 49408, (1, TOKENS)).astype("int32"), np.arange(TOKENS, dtype="int32")[None]]
    if part == "image_encoder":
        return rng.uniform(-1, 1, (1, SIDE, SIDE, 3)).astype("float32")
    latent = rng.normal(size=(1, SIDE // 8, SIDE // 8, 4)).astype("float32")
    if part == "decoder":
        return latent
    return {
        "latent": latent,
        "timestep_embedding": rng.uniform(-1, 1, (1, 320)).astype("float32"),
        "context": rng.normal(size=(1, TOKENS, 768)).astype("float32"),
    }


def write(folder):
    """Save the weights and outputs of each part. Biases are made random too, so that none of them goes unnoticed."""
    for part in PARTS:
        keras.utils.set_random_seed(0)
        model = build(part)
        rng = np.random.default_rng(1)
        model.set_weights([w + rng.normal(size=w.shape, scale=0.01).astype("float32") for w in model.get_weights()])
        model.save_weights(folder / f"{part}.h5")
        np.save(folder / f"{part}.npy", np.asarray(model(inputs(part))))
        print(f"keras {keras.__version__}, {part}: {model.count_params():,} parameters written")


def compare(folder):
    """Load the files and compare; exit status 1 if any part differs."""
    wrong = []
    for part in PARTS:
        model = build(part)
        model.load_weights(folder / f"{part}.h5")
        expected = np.load(folder / f"{part}.npy")
        difference = np.abs(np.asarray(model(inputs(part))) - expected).max() / np.abs(expected).max()
        print(f"keras {keras.__version__} on {keras.backend.backend()}, {part}: relative difference {difference:.1e}")
        if not difference < TOLERANCE:
            wrong.append(part)
    raise SystemExit(f"different: {wrong}" if wrong else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("write", "compare"))
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"keras-cv {keras_cv.__version__}")
    (write if options.mode == "write" else compare)(options.folder)


if __name__ == "__main__":
    main()
