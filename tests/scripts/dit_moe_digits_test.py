#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/dit_moe_digits.py finds what is planted into recorded routing, and goes through all its parts with a stand-in program."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

try:
    import matplotlib  # noqa: F401
    import numpy as np
    import PIL  # noqa: F401
    import safetensors.numpy
    import sklearn  # noqa: F401
    MISSING = ""
except ImportError as error:
    MISSING = error.name or str(error)
sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))
if not MISSING:
    import dit_moe_digits as study
    import dit_moe_figures as figures

STEPS, LAYERS, IMAGES, PATCHES, EXPERTS = 10, 2, 12, 16, 4
CLASSES = 5

# Stands in for polyphony: train writes metrics and a configuration; generate writes white pictures and routing by position.
PROGRAM = '''#!{python}
import json, pathlib, struct, sys, zlib
words = sys.argv
with open(pathlib.Path(__file__).with_name("calls.txt"), "a") as log:
    log.write(" ".join(words[1:]) + "\\n")
after = lambda name: words[words.index(name) + 1]
if words[1] == "--version":
    print("polyphony 9.9")
elif words[1] == "train":
    folder = pathlib.Path(after("--output"))
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text('{{"num_experts": 4}}')
    rows = [{{"step": s, "loss": 2 / s, "loss/flow": 1 / s, "layer0/load_variation": 0.5, "seconds": 1.0}} for s in range(1, 41)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
else:
    count, steps = int(after("--count")), int(after("--steps"))
    ids = [patch % 4 for s in range(steps) for layer in range(2) for image in range(count) for patch in range(16)]
    shape = [steps, 2, count, 16, 1]
    header = json.dumps({{"expert_ids": {{"dtype": "I64", "shape": shape, "data_offsets": [0, 8 * len(ids)]}},
                         "timesteps": {{"dtype": "F32", "shape": [steps],
                                       "data_offsets": [8 * len(ids), 8 * len(ids) + 4 * steps]}}}}).encode()
    header += b" " * (-len(header) % 8)
    times = [1 - s / steps for s in range(steps)]
    pathlib.Path(after("--record-routing")).write_bytes(struct.pack("<Q", len(header)) + header + struct.pack(f"<{{len(ids)}}q", *ids)
                                                        + struct.pack(f"<{{steps}}f", *times))
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress((b"\\0" + b"\\xff" * 8) * 8)) + chunk(b"IEND", b"")
    for i in range(count):
        pathlib.Path(after("--output")).with_name(f"out-{{i + 1}}.png").write_bytes(png)
'''


def recorded(choose, experts_a_patch=1):
    """Measures of routing where choose(rng, step, image, patch, label) gives the expert, or all experts, as arrays."""
    rng, files = np.random.default_rng(5), []
    with tempfile.TemporaryDirectory() as folder:
        for label in range(CLASSES):
            s, _, i, p, _ = np.ogrid[:STEPS, :LAYERS, :IMAGES, :PATCHES, :1]
            shape = (STEPS, LAYERS, IMAGES, PATCHES, experts_a_patch)
            ids = np.broadcast_to(choose(rng, s, i, p, label), shape).astype(np.int64)
            files.append(pathlib.Path(folder, f"{label}.safetensors"))
            safetensors.numpy.save_file({"expert_ids": np.ascontiguousarray(ids),
                                         "timesteps": np.linspace(1, 0.1, STEPS).astype(np.float32)}, files[-1])
        with mock.patch.object(figures, "SHUFFLES", 30):
            return figures.measure(figures.count_run(files, EXPERTS))


def uniform(rng, s, i, p, label):
    return rng.integers(EXPERTS, size=(STEPS, LAYERS, IMAGES, PATCHES, 1))


@unittest.skipIf(MISSING, f"the Python package {MISSING} is missing")
class Measures(unittest.TestCase):
    def told(self, measured, about):
        return np.array(measured["information"][about]["corrected"])

    def assert_tells(self, measured, expected, delta=0.02):
        for about in ("position", "step", "class"):
            for value in self.told(measured, about):
                self.assertAlmostEqual(value, expected.get(about, 0), delta=delta, msg=about)

    def test_each_planted_cause_is_found_and_no_other(self):
        rng = np.random.default_rng(7)
        by_position, by_step, by_class = rng.permutation(np.arange(PATCHES) % 4), np.arange(STEPS) % 4, np.array([0, 1, 2, 3, 0])
        # Few units to shuffle leave the control above 0: the corrected figure stays below 1 by so much.
        self.assert_tells(recorded(lambda rng, s, i, p, label: by_position[p]), {"position": 1}, delta=0.05)
        self.assert_tells(recorded(lambda rng, s, i, p, label: by_step[s]), {"step": 1}, delta=0.05)
        measured = recorded(lambda rng, s, i, p, label: by_class[label])
        self.assert_tells(measured, {"class": 1}, delta=0.12)
        self.assertAlmostEqual(measured["information"]["class"]["raw"][0], 1)

    def test_random_routing_tells_nothing(self):
        measured = recorded(uniform)
        self.assert_tells(measured, {}, delta=0.001)
        for about, table in measured["information"].items():
            self.assertTrue((table["raw"] > 0).all(), about)  # the bias that the control takes away
        self.assertLess(measured["load_variation"].max(), 0.05)
        self.assertGreater(measured["step_entropy"].min(), 0.99)

    def test_noise_shared_between_classes_is_not_taken_for_class(self):
        choice_I = np.random.default_rng(3).integers(EXPERTS, size=IMAGES)
        self.assert_tells(recorded(lambda rng, s, i, p, label: choice_I[i]), {}, delta=1e-9)

    def test_half_of_the_choices_by_position(self):
        def choose(rng, s, i, p, label):
            return np.where(rng.random((STEPS, LAYERS, IMAGES, PATCHES, 1)) < 0.5, p % 4, uniform(rng, s, i, p, label))
        chances = np.array([0.625, 0.125, 0.125, 0.125])  # of each expert at one position
        expected = 1 + (chances * np.log(chances)).sum() / np.log(4)
        self.assert_tells(recorded(choose), {"position": expected})

    def test_two_experts_a_patch_have_a_ceiling(self):
        measured = recorded(lambda rng, s, i, p, label: (p + np.array([0, 1])) % 4, experts_a_patch=2)
        self.assertAlmostEqual(measured["information_at_most"][0], 0.5)
        self.assert_tells(measured, {"position": 0.5})

    def test_one_expert_for_all(self):
        measured = recorded(lambda rng, s, i, p, label: np.full(1, 2))
        self.assert_tells(measured, {}, delta=0)
        self.assertEqual(measured["unused_experts"], [3, 3])
        self.assertAlmostEqual(measured["load_variation"][0], 3**0.5)
        self.assertEqual(measured["step_entropy"].max(), 0)

    def test_concentrated_first_steps_show_in_the_step_entropy(self):
        measured = recorded(lambda rng, s, i, p, label: np.where(s < 2, 0, uniform(rng, s, i, p, label)))
        measured |= {"accuracy": 0.5}
        scalars = study.scalars(measured)
        self.assertAlmostEqual(scalars["steps_concentrate"], 1, delta=0.01)
        self.assertGreater(scalars["steps_late_even"], 0.99)
        self.assertEqual(study.judge("steps_concentrate", [scalars["steps_concentrate"]] * 3)["verdict"], "found")

    def test_wrong_order_of_steps_is_refused(self):
        with mock.patch.object(np, "linspace", lambda *_: np.arange(STEPS)), self.assertRaisesRegex(SystemExit, "noise to picture"):
            recorded(uniform)


@unittest.skipIf(MISSING, f"the Python package {MISSING} is missing")
class Verdicts(unittest.TestCase):
    CASES = [("positions_shallow", [0.05, 0.2, 0.3], "found"), ("positions_shallow", [0.04, 0.2, 0.3], "not found"),
             ("positions_shallow", [0.2, 0.3], "not judged"), ("positions_fade", [0.5, 0.6, 0.2], "reversed"),
             ("positions_fade", [0.5, 0.6, 0.7], "not found"), ("class_insensitive", [0.01, -0.1, 0], "found"),
             ("class_insensitive", [0.02, 0, 0], "not found"), ("steps_concentrate", [-0.05, -0.1, -0.2], "reversed")]

    def test_each_case(self):
        for name, values, expected in self.CASES:
            with self.subTest(name=name, values=values):
                self.assertEqual(study.judge(name, values)["verdict"], expected)

    def test_wilson(self):  # the textbook case: 10 of 20
        np.testing.assert_allclose(study.wilson(10, 20), [0.2993, 0.7007], atol=1e-4)
        self.assertAlmostEqual(study.wilson(0, 20)[0], 0)

    def test_smoothing(self):
        np.testing.assert_allclose(figures.smoothed([1, 3, 5, 7], 2), [2, 4, 6])

    def test_each_list_of_numbers_takes_one_line(self):
        self.assertEqual(study.as_json({"a": [1.0000001, 2], "b": ["x, y"]}).count("\n"), 6)


@unittest.skipIf(MISSING, f"the Python package {MISSING} is missing")
class WholeStudy(unittest.TestCase):
    def run_part(self, part, folder):
        words = ["dit_moe_digits.py", part, str(folder / "program"), "--data", str(folder / "data"), "--output", str(folder / "runs"),
                 "--seeds", "4", "--steps", "40", "--count", "3", "--denoising-steps", "5", "--parallel", "2",
                 "--result", str(folder / "docs" / "r.json"), "--figures", str(folder / "docs")]
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(io.StringIO()) as shown:
            study.main()
        return shown.getvalue()

    def test_all_parts(self):
        with tempfile.TemporaryDirectory() as name, mock.patch.object(figures, "SHUFFLES", 3):
            folder = pathlib.Path(name)
            (folder / "program").write_text(PROGRAM.format(python=sys.executable))
            (folder / "program").chmod(0o755)
            self.assertIn("| not judged", self.run_part("all", folder).replace("**", ""))
            result = json.loads((folder / "docs" / "r.json").read_text())
            self.assertGreater(result["svm_test_accuracy"], 0.95)
            self.assertEqual(result["settings"]["data"], {"train": 1437, "test": 360, "seed": 0})
            self.assertEqual(result["arms"]["free"]["digits"], 30)
            self.assertEqual(result["versions"]["program"], "polyphony 9.9")
            self.assertAlmostEqual(result["runs"]["balanced_4"]["information"]["position"]["raw"][0], 1)
            self.assertAlmostEqual(result["runs"]["free_4"]["final"]["loss/flow"], (1 / 37 + 1 / 38 + 1 / 39 + 1 / 40) / 4, places=4)
            self.assertNotIn(name, (folder / "docs" / "r.json").read_text())
            made = {file.name: file.read_bytes() for file in (folder / "docs").iterdir()}
            self.assertEqual(len(made), 6)
            calls = (folder / "calls.txt").read_text()
            self.assertIn("--set model.aux_loss_alpha=0.01 --set objective.images=", calls)

            again = self.run_part("all", folder)  # nothing to do but the analysis, to the same bytes
            self.assertEqual(again.count("done before"), 22)
            self.assertEqual((folder / "calls.txt").read_text().removeprefix(calls).split(), ["--version"] * 2)
            self.assertEqual({file.name: file.read_bytes() for file in (folder / "docs").iterdir()}, made)

            (folder / "runs" / "samples" / "free_4" / "7.json").unlink()
            self.assertEqual(self.run_part("sample", folder).count("running:"), 1)


if __name__ == "__main__":
    unittest.main()
