#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/safetensors_files/ with the reference implementation (PyPI safetensors, torch).

reference.safetensors  one tensor of every element type that we hold, a matrix, an empty tensor and a scalar
"""
import pathlib

import torch
from safetensors.torch import save_file

folder = pathlib.Path(__file__).parents[2] / "tests/golden/safetensors_files"
dtypes = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
          torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn,
          torch.float8_e5m2]
tensors = {f"types.{str(t).removeprefix('torch.')}": torch.tensor([0, 1, 1]).to(t) for t in dtypes}
tensors["layer.weight"] = torch.arange(6, dtype=torch.float32).reshape(2, 3) / 2
tensors["layer.none"] = torch.empty(0, 4, dtype=torch.bfloat16)
tensors["größe"] = torch.tensor(7, dtype=torch.int64)
save_file(tensors, folder / "reference.safetensors", metadata={"format": "pt"})
