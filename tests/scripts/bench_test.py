#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/bench: rows, turns, limits, pages and the counting of instructions, without a peer and without a clock."""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import textwrap
import unittest
from types import SimpleNamespace

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts" / "bench"))
import bench  # noqa: E402
import case_layer  # noqa: E402
import case_olmoe  # noqa: E402
import instructions  # noqa: E402
import report  # noqa: E402
from programs import Program, ProgramError, take_turns  # noqa: E402
from rows import row  # noqa: E402

ANSWERS = textwrap.dedent("""
    import json, sys
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "die":
            print("out of luck", file=sys.stderr)
            sys.exit(3)
        print(json.dumps({"values": [float(w) for w in words]} if verb == "run" else {"error": "no such verb"}), flush=True)
""")


def side(name, judge=False):
    return SimpleNamespace(name=name, judge=judge)


class Row(unittest.TestCase):
    def test_the_ratio_of_times_is_above_one_where_ours_is_shorter(self):
        made = row("x", "ms", {"us": [2.0, 1.0, 3.0], "slow": [9.0], "best": [6.0, 5.0, 7.0]}, "us", limit=1.0)
        self.assertEqual((made["ours"], made["best_peer"], made["peer"], made["ratio"], made["share_of_limit"]), (2.0, 6.0, "best", 3.0, 0.5))
        self.assertEqual((made["spread"]["low"], made["spread"]["high"], made["spread"]["count"]), (1.0, 3.0, 3))

    def test_the_ratio_of_rates_is_above_one_where_ours_is_greater(self):
        made = row("x", "tokens/s", {"us": [30.0], "slow": [10.0], "best": [20.0]}, "us", limit=60.0)
        self.assertEqual((made["best_peer"], made["peer"], made["ratio"], made["share_of_limit"]), (20.0, "best", 1.5, 0.5))

    def test_without_peers_or_without_ours_there_is_no_ratio(self):
        self.assertIsNone(row("x", "ms", {"us": [1.0]}, "us", failed={"them": "gone"})["peer"])
        self.assertIsNone(row("x", "ms", {"them": [1.0]}, "us", limit=1.0)["ratio"])


class Turns(unittest.TestCase):
    def test_sides_take_turns_from_both_ends_and_the_first_round_does_not_count(self):
        order = []

        def ask(one, number):
            order.append((number, one.name))
            return [number]
        times = take_turns(2, [side("a"), side("b"), side("judge", judge=True)], lambda number: None, ask, {})
        self.assertEqual(order, [(0, "a"), (0, "b"), (0, "judge"), (1, "b"), (1, "a"), (2, "a"), (2, "b")])
        self.assertEqual(times, {"a": [1, 2], "b": [1, 2]})

    def test_a_side_that_fails_leaves_and_the_others_go_on(self):
        def ask(one, number):
            if one.name == "b" and number == 1:
                raise ProgramError("b: broke")
            return [number]
        failed = {}
        self.assertEqual(take_turns(3, [side("a"), side("b")], lambda number: None, ask, failed), {"a": [1, 2, 3]})
        self.assertEqual(failed, {"b": "b: broke"})


class Programs(unittest.TestCase):
    def start(self, *words):
        program = Program("peer", [sys.executable, "-c", *words], dict(os.environ), timeout=20)
        self.addCleanup(program.close)
        return program

    def test_a_program_answers_one_request_after_another(self):
        program = self.start(ANSWERS)
        self.assertEqual(program.ask("run", 1, 2)["values"], [1.0, 2.0])
        with self.assertRaisesRegex(ProgramError, "peer: no such verb"):
            program.ask("walk")
        self.assertEqual(program.ask("run", 3)["values"], [3.0])

    def test_a_program_that_ends_says_how(self):
        program = self.start(ANSWERS)
        with self.assertRaisesRegex(ProgramError, "peer: ended with code 3: out of luck"):
            program.ask("die")
        with self.assertRaisesRegex(ProgramError, "peer: ended with code"):
            self.start("raise SystemExit('no such library')")
        with self.assertRaisesRegex(ProgramError, "No such file"):
            Program("peer", ["/no/such/program"], {})


class Groups(unittest.TestCase):
    def test_a_group_that_breaks_tells_so_in_the_rows_that_it_owes(self):
        def measure(setting, cases):
            yield row(cases[0], "ms", {"polyphony": [1.0]}, "polyphony")
            raise RuntimeError("no weights")
        group = SimpleNamespace(__name__="case_x", UNIT="ms", measure=measure)
        with contextlib.redirect_stderr(io.StringIO()):
            first, second = bench.measured(group, None, ["x/1", "x/2"])
        self.assertEqual((first["ours"], first["failed"]), (1.0, {}))
        self.assertEqual((second["case"], second["ours"], second["failed"]), ("x/2", None, {"polyphony": "RuntimeError: no weights"}))


class Limits(unittest.TestCase):
    LIMITS = {"read_gb_s": 27.0, "bf16_gflop_s": 6400.0, "int8_gop_s": 12800.0}

    def test_few_tokens_are_bound_by_reading_and_many_by_products(self):
        self.assertAlmostEqual(case_layer.limit_ms("bf16", 1, self.LIMITS), 3.73, places=2)  # 8 experts of 12.6 MB
        self.assertAlmostEqual(case_layer.limit_ms("bf16", 128, self.LIMITS), 29.8, places=1)  # all 64
        self.assertAlmostEqual(case_layer.limit_ms("bf16", 4096, self.LIMITS), 64.4, places=1)  # 412 GFLOP
        self.assertLess(case_layer.limit_ms("int4", 1, self.LIMITS), 0.3 * case_layer.limit_ms("bf16", 1, self.LIMITS))

    def test_a_language_model_writes_as_fast_as_its_active_weights_are_read(self):
        self.assertAlmostEqual(case_olmoe.limit_rate("model_decode/bf16", self.LIMITS), 36.3, places=1)


class Pages(unittest.TestCase):
    def test_what_is_written_is_read_again_and_missing_peers_are_told(self):
        rows = [row("layer_forward/1", "ms", {"us": [2.0], "them": [5.0]}, "us", limit=1.0) | {"quiet": True},
                row("vae_decode/256", "ms", {"us": [9.0]}, "us", failed={"diffusers": "diffusers: its installation failed"}) | {"quiet": False}]
        results = {"machine": {"processor": "A"}, "threads": 2, "limits": {"read_gb_s": 27.0}, "rows": rows}
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            report.write(results, folder)
            self.assertEqual(json.loads((folder / "results.json").read_text()), results)
            self.assertEqual(list(report.kept_rows(folder / "results.json", ["vae_decode/256", "other"])), ["vae_decode/256"])
            page = (folder / "README.md").read_text()
            self.assertIn("| layer_forward/1 | 2.00 ms (2.00 to 2.00) | 5.00 them | 2.50 | 1.00 | 50 % | - |", page)
            self.assertIn("none: diffusers: its installation failed", page)
            self.assertIn("Measured on a busy machine, not to be quoted: vae_decode/256", page)
            self.assertIn("layer_forward/1", (folder / "ratios.svg").read_text())

    def test_a_case_may_be_named_by_its_beginning(self):
        self.assertEqual(bench.chosen(["layer_forward/"], ["layer_forward/1", "layer_forward_int8/1", "layer_forward/16"]), ["layer_forward/1", "layer_forward/16"])
        with self.assertRaisesRegex(SystemExit, "no case begins with 'lair'"):
            bench.chosen(["lair"], ["layer_forward/1"])


class Instructions(unittest.TestCase):
    def test_counts_are_those_of_the_measured_functions(self):
        table = " 138,129,036 (41.76%)  ???:measured_plan [/bin/counted_operations]\n 90 ( 0.1%)  x.cpp:other [/bin/x]\n      7 ( 0.00%)  ???:measured_experts_int8 [/bin/y]\n"
        self.assertEqual(instructions.counts_of(table), {"plan": 138129036, "experts_int8": 7})
        with self.assertRaises(ValueError):
            instructions.counts_of("nothing")

    def test_more_than_two_percent_more_is_a_fault_and_a_new_operation_is_none(self):
        self.assertTrue(instructions.compared({"a": 102, "new": 5}, {"a": 100})[1])
        self.assertFalse(instructions.compared({"a": 103}, {"a": 100})[1])


if __name__ == "__main__":
    unittest.main()
