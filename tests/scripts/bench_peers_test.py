#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ports that ours is measured against give what the published code gives. Skipped where ./run bench never installed PyTorch."""
import json
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "bench"))
from peers import FOLDER  # noqa: E402

DIT_MOE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch, torch_tensors
from dit_moe_torch import DitMoe
folder = sys.argv[2]
weights, io = (torch_tensors.load(f"{folder}/{name}.safetensors") for name in ("model", "io"))
away = {}
for experts in ("loop", "grouped"):
    model = DitMoe(json.load(open(f"{folder}/config.json")), weights, torch.float32, experts)
    with torch.inference_mode():
        away[experts] = float((model.forward(io["forward.x"], io["forward.t"], io["forward.y"]) - io["forward.out"]).abs().max())
        x, label = io["rf.noise"], io["rf.y"]
        v = model.forward(torch.cat([x, x]), torch.ones(2 * len(x)), torch.cat([label, torch.full_like(label, 10)]))[:, :4]
        v = v[len(x):] + 4 * (v[:len(x)] - v[len(x):])
        away[experts + " guided"] = float((x - v / 8 - io["rf.trajectory"][1]).abs().max())
print(json.dumps(away))
"""


class Ports(unittest.TestCase):
    def test_the_port_of_dit_moe_is_equal_to_the_published_code(self):
        python = FOLDER / "torch" / "bin" / "python"
        if not python.exists():
            self.skipTest("the peer 'torch' is not installed")
        told = subprocess.run([python, "-B", "-c", DIT_MOE, ROOT / "scripts" / "bench", ROOT / "tests" / "golden" / "dit_moe"], capture_output=True, text=True, check=True)
        for name, error in json.loads(told.stdout).items():
            with self.subTest(name):
                self.assertLess(error, 1e-5)


if __name__ == "__main__":
    unittest.main()
