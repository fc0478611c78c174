# SPDX-License-Identifier: Apache-2.0
"""safetensors files as tensors of PyTorch, sharing the mapped memory."""
import tensors
import torch


def load(path):
    out = {}
    for name, array in tensors.load(path).items():
        out[name] = torch.from_numpy(array) if array.dtype.name != "uint16" else torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return out


def save(path, named):
    arrays = {}
    for name, tensor in named.items():
        tensor = tensor.detach().contiguous()
        arrays[name] = tensor.view(torch.int16).numpy().view("uint16") if tensor.dtype == torch.bfloat16 else tensor.numpy()
    tensors.save(path, arrays)
