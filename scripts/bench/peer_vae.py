# SPDX-License-Identifier: Apache-2.0
"""diffusers' AutoencoderKL decoding scaled latents.   peer_vae.py FOLDER THREADS     verbs: float32, bfloat16"""
import sys

import diffusers
import torch
import torch_tensors
from serve import serve, timed


def main():
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    wide = diffusers.AutoencoderKL.from_pretrained(folder).eval()
    narrow = diffusers.AutoencoderKL.from_pretrained(folder, torch_dtype=torch.bfloat16).eval().to(memory_format=torch.channels_last)

    def decode(model, source, target):
        z = torch_tensors.load(source)["latents"] / wide.config.scaling_factor
        z = z.to(model.dtype)
        if model is narrow:
            z = z.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            ms, pixels = timed(lambda: model.decode(z).sample)
        if target != "-":
            torch_tensors.save(target, {"pixels": pixels.float()})
        return {"values": [ms]}

    serve({"float32": lambda *files: decode(wide, *files), "bfloat16": lambda *files: decode(narrow, *files)}, version=diffusers.__version__)


main()
