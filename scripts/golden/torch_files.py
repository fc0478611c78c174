#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/torch_files/ and tests/fuzz/corpus/torch_file/ with torch.save (PyPI torch 2.11.0, safetensors
0.8.0, numpy 2.4.6, CPython 3.11).

    python scripts/golden/torch_files.py

NAME.pt           one checkpoint of each kind that people have
NAME.safetensors  what must come of it: the chosen tensors under their stripped names, with `chosen` and `prefix` as
                  metadata, written by the reference implementation

The keys in legacy files are addresses, so these differ from run to run.
"""
import argparse
import collections
import io
import pathlib
import pickle

import numpy
import torch
from safetensors.torch import save_file
from torch import nn

root = pathlib.Path(__file__).parents[2]
golden = root / "tests/golden/torch_files"
corpus = root / "tests/fuzz/corpus/torch_file"
torch.manual_seed(1)


def write(name, value, chosen, tensors, prefix="", **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    (golden / f"{name}.pt").write_bytes(buffer.getvalue())
    if len(buffer.getvalue()) < 4096:
        (corpus / f"{name}.pt").write_bytes(buffer.getvalue())
    copies = {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()}
    save_file(copies, golden / f"{name}.safetensors", metadata={"chosen": chosen, "prefix": prefix})


def with_prefix(prefix, state):
    return {prefix + key: value for key, value in state.items()}


golden.mkdir(parents=True, exist_ok=True)
corpus.mkdir(parents=True, exist_ok=True)

model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
state = model.state_dict()  # an OrderedDict with _metadata
plain = dict(state)
write("state_dict", plain, "top level", state)
write("ordered_dict", state, "top level", state)
write("ema", {"ema": state, "model": {k: v + 1 for k, v in state.items()}}, "ema", state)
write("wrapped", {"state_dict": with_prefix("module._orig_mod.", state), "epoch": 3, "best": float("nan")},
      "state_dict", state, "module._orig_mod.")

optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model(torch.ones(1, 3)).sum().backward()
optimizer.step()
arguments = argparse.Namespace(
    lr=1e-3, path=pathlib.PurePosixPath("/data/x"), device=torch.device("cuda", 0), dtype=torch.float32,
    shape=torch.Size([1, 2]), tags={"a"}, frozen=frozenset([1]), big=1 << 70, z=1 + 2j, part=slice(1, 2), raw=b"\x00\xff",
    counts=collections.Counter("ab"), groups=collections.defaultdict(list, {"a": [1]}), version=torch.__version__)
training = {"model": {k: v.clone() for k, v in model.state_dict().items()}, "opt": optimizer.state_dict(),
            "args": arguments, "step": 1, "scalar": numpy.float64(0.5), "array": numpy.arange(3), "rng": torch.get_rng_state()[:16].clone()}
write("training", {**training, "ema": state}, "ema", state)
write("training_model", training, "model", training["model"])

parameters = {"w": nn.Parameter(torch.randn(2, 3)), "b": nn.Parameter(torch.randn(2), requires_grad=False)}
write("parameters", parameters, "top level", parameters)
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
views = {"base": base, "transposed": base.t(), "column": base[:, 2], "block": base[1:3, 1:4], "every": base[::2, ::3],
         "tail": base.reshape(-1)[20:], "permuted": base.reshape(2, 3, 4).permute(2, 0, 1), "alias": base,
         "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3), "scalar_view": base[3, 5], "empty_view": base[4:, 6:],
         "one": base[:1, :1], "diagonal": base.diagonal()}
write("views", views, "top level", views)
write("views_legacy", views, "top level", views, _use_new_zipfile_serialization=False)

types = {str(t).removeprefix("torch."): torch.tensor([0, 1, 2, 3]).to(t) for t in (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)}
types |= {"special": torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0]), "scalar": torch.tensor(7),
          "empty": torch.empty(0), "empty_matrix": torch.empty(3, 0, dtype=torch.float16), "größe": torch.ones(1)}
write("types", types, "top level", types)
write("types_legacy", types, "top level", types, _use_new_zipfile_serialization=False)
small = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "n": torch.tensor(5)}
write("small", small, "top level", small)
write("small_legacy", small, "top level", small, _use_new_zipfile_serialization=False)
for protocol in (3, 4, 5):
    write(f"protocol{protocol}", {"ema": small, "note": ["é", (1, 2, 3, 4), -1, 300, 70000, True, None, 0.5, b"x", {1}]},
          "ema", small, pickle_protocol=protocol)

# Bare pickles, for the machine by itself.
values = {"list": [1, -1, 2**40, 2**70, -(2**70), 0.5, True, None], "text": ["", "é\n\\", "a" * 300], "bytes": [b"", b"\x00" * 300],
          "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "set": {1, 2}, "frozen": frozenset([3]),
          "args": argparse.Namespace(a=1)}
loop = []
loop.append(loop)
for protocol in range(6):
    (corpus / f"values{protocol}.pickle").write_bytes(pickle.dumps(values, protocol))
    (corpus / f"loop{protocol}.pickle").write_bytes(pickle.dumps({"loop": loop, "pair": (loop, [loop])}, protocol))
for file in sorted(golden.iterdir()):
    print(f"{file.stat().st_size:6d}  {file.name}")
    assert file.stat().st_size < 20_000
