"""The small model's training: `python -m utils.diffusion.pretrain STEP --cache FOLDER`."""
