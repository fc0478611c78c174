#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives the built program bad input and writes down what it says: the page docs/bad_input.md.

    scripts/bad_inputs.py PROGRAM                              print the page
    scripts/bad_inputs.py PROGRAM --check docs/bad_input.md    exit 1 with the differences if the page is another one now
Both exit 1 when the program breaks a rule of the page's head.
"""
import argparse
import collections
import concurrent.futures
import difflib
import json
import pathlib
import re
import struct
import sys
import zlib

from bad_input_dit_moe import CLASSES, CONVERSIONS, CONVERT, PICKLES, RIGHT
from bad_input_files import (JOINT, bmp, bomb, chunk, drawn, floats, folder, jpeg, link, model_folder, pipe, png, recipe,
                             run_in_folder, sparse, tensor, tiff, weights, weights_of_header)

LONGEST_MESSAGE = 320
HEAD = f"""# What the program says to bad input

Each row gives the built program a damaged or hostile file, a wrong recipe or wrong words, and shows its exit code and the
line that it writes on stderr. The page is made by `scripts/bad_inputs.py build/bin/polyphony > docs/bad_input.md`; the test
`docs/bad_input_page` makes it again and fails when an answer has changed. The exit codes are those of [cli.md](cli.md).

The script also checks for every row that
- the exit code is the expected one; no run ends by a signal or takes a minute;
- stderr has one line `polyphony: error: PLACE what was expected, got what`, where the place is `[name]`, a line of the
  recipe or the setting that gave the value; where other inputs of the same run go on, a warning of that form instead;
- the message names the file that is wrong;
- `--json` puts one document with the same code on stdout;
- no file is changed or left behind, also no part of an output.

`model` is the folder of the model that ships. A message of more than {LONGEST_MESSAGE} characters is cut.
"""
FAILURE, USAGE, BAD_INPUT, PARTIAL = 1, 2, 3, 5

# --- safetensors: id, words, bytes of x.safetensors

GOOD = png(8, 8)
HALF = "9223372036854775800"  # two of them fit 64 bits each, but not together
INDEX = "model.safetensors.index.json"
TWO = '{"weight_map":{"w":"a.safetensors","v":"b.safetensors"}}'
ONE_TENSOR = weights(tensor("w"))

WEIGHTS = [
    ("S01", "0 bytes", b""),
    ("S03", "header of length 0", weights_of_header(b"")),
    ("S04", "header of length 2^64 - 1", weights_of_header(b"{}", length=2**64 - 1)),
    ("S05", "header above the cap, file long enough", sparse(struct.pack("<Q", 100_000_001) + b"{", 100_000_100)),
    ("S06", "header one byte longer than the file", weights_of_header(b"{}", length=3)),
    ("S07", "header not UTF-8", weights_of_header(b'{"\xff":1}')),
    ("S08", "header not JSON", weights_of_header(b"{w}")),
    ("S09", "byte order mark before the header", weights_of_header(b"\xef\xbb\xbf{}")),
    ("S11", "one name for two tensors", weights(tensor("w", "U8", "[4]"), tensor("w"))),
    ("S12", "metadata that is no text", weights_of_header(b'{"__metadata__":{"a":1}}')),
    ("S13", "unknown dtype F33", weights(tensor("w", "F33"))),
    ("S14a", "negative size", weights(tensor("w", shape="[-1]"))),
    ("S14b", "65 dimensions", weights(tensor("w", shape=json.dumps([1] * 65)))),
    ("S15a", "shape of 2^64 values over 0 bytes", weights(tensor("w", "F32", "[4294967296,4294967296]", "[0,0]"), data=0)),
    ("S15b", "shape that wraps to 4 values",
     weights(tensor("w", "F32", "[4194305,4194305,211106198978564]", "[0,16]"), data=16)),
    ("S16", "sizes whose sum wraps",
     weights(tensor("a", "U8", f"[{HALF}]", f"[0,{HALF}]"), tensor("b", "U8", f"[{HALF}]", f"[{HALF},18446744073709551600]"),
             tensor("c", "U8", "[32]", "[18446744073709551600,16]"))),
    ("S17", "offsets that decrease", weights(tensor("w", offsets="[4,0]"))),
    ("S18", "tensor one byte past the end", weights(tensor("w", "U8", "[5]", "[0,5]"))),
    ("S19", "overlap of one byte", weights(tensor("a", "U8", "[4]"), tensor("b", "U8", "[4]", "[3,7]"), data=7)),
    ("S20", "hole of one byte", weights(tensor("a", "U8", "[4]"), tensor("b", "U8", "[4]", "[5,9]"), data=9)),
    ("S21", "zip archive behind the tensors", weights(tensor("w"), tail=b"PK\3\4....")),
    ("S22", "a million values in 4 bytes", weights(tensor("w", shape="[1000000]"))),
    ("S23", "dtype of half bytes", weights(tensor("w", "F4", "[8]"))),
    ("S25", "100,000 opening brackets", weights_of_header(b'{"w":{"x":' + b"[" * 100_000)),
    ("S26", "NUL in a name", weights(tensor("a\\u0000b"))),
    ("S27a", "a web page", b"<html><body>404 Not Found</body></html>"),
    ("S27b", "a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    ("S30a", "a named pipe", pipe),
    ("S30b", "link to /dev/zero", link("/dev/zero")),
    ("S30c", "link to nothing", link("nowhere")),
    ("S30d", "link to itself", link("x.safetensors")),
    ("S32", "NaN among the values", floats("w", [2], float("nan"))),
]

# id, words, model.safetensors.index.json, weights beside it
INDEXES = [
    ("S31a", "shard outside the folder", '{"weight_map":{"w":"../../etc/passwd"}}', {}),
    ("S31b", "shard that is not there", '{"weight_map":{"w":"a.safetensors"}}', {}),
    ("S31c", "tensor that is in no shard", TWO.replace("b.", "a."), {"a.safetensors": ONE_TENSOR}),
    ("S31d", "tensor in two shards", TWO, {"a.safetensors": ONE_TENSOR, "b.safetensors": ONE_TENSOR}),
]

# --- recipes: id, words, text of r.toml

RECIPES = [
    ("C01", "syntax error", recipe() + "lr == 3\n"),
    ("C02a", "unknown key", recipe(("train.max_step", "5"))),
    ("C02b", "unknown table", recipe(("trian.max_steps", "5"))),
    ("C02c", "unknown key of the router", recipe(("moe.num_expert", "8"), base=JOINT)),
    ("C03a", "text for an integer", recipe(("train.max_steps", '"8"'))),
    ("C03b", "fraction for an integer", recipe(("train.max_steps", "8.5"))),
    ("C03c", "text for a number", recipe(("train.learning_rate", '"fast"'))),
    ("C03d", "required key missing", recipe(("train.max_steps", None))),
    ("C03e", "empty file", ""),
    ("C04a", "0 steps", recipe(("train.max_steps", "0"))),
    ("C04b", "integer above 64 bits", recipe(("train.max_steps", "99999999999999999999"))),
    ("C04c", "learning rate NaN", recipe(("train.learning_rate", "nan"))),
    ("C04d", "dropout 1.5", recipe(("objective.text_dropout", "1.5"), base=JOINT)),
    ("C04e", "unknown choice", recipe(("train.lr_scheduler_type", '"cosin"'))),
    ("C04f", "no experts", recipe(("moe.num_experts", "0"), base=JOINT)),
    ("C04g", "negative number of experts", recipe(("moe.num_experts", "-1"), base=JOINT)),
    ("C04h", "more experts a token than there are", recipe(("moe.experts_per_token", "5"), base=JOINT)),
    ("C04i", "capacity 0", recipe(("moe.capacity_factor", "0"), base=JOINT)),
    ("C04j", "unknown router", recipe(("moe.router", '"topj"'), base=JOINT)),
    ("C04p", "an option of another router", recipe(("moe.router", '"topk"'), ("moe.temperature", "1.0"), base=JOINT)),
    ("C04q", "a temperature that ends below zero", recipe(("moe.router", '"dense_to_sparse"'), ("moe.temperature_end", "-0.5"), base=JOINT)),
    ("C04r", "a hash table smaller than the vocabulary", recipe(("moe.router", '"hash"'), ("moe.hash_vocab_size", "3"), base=JOINT)),
    ("C04s", "a router that looks ahead, for captions", recipe(("moe.router", '"expert_choice"'), base=JOINT)),
    ("C04t", "a capacity whose policy drops nothing", recipe(("moe.capacity.policy", '"none"'), ("moe.capacity.factor", "1.0"), base=JOINT)),
    ("C04u", "a gate for a shared expert that is not there", recipe(("moe.shared_gate", '"sigmoid"'), base=JOINT)),
    ("C04v", "an unknown kind of experts", recipe(("moe.experts", '"feed"'), base=JOINT)),
    ("C04k", "heads that do not divide the width", recipe(("model.num_heads", "5"), base=JOINT)),
    ("C04l", "patch that does not divide the picture", recipe(("model.image_patch", "31"), base=JOINT)),
    ("C04m", "pictures of another size than the data's", recipe(("model.image_size", "64"), base=JOINT)),
    ("C04n", "groups that do not divide the channels", recipe(("model.norm_num_groups", "3"))),
    ("C04o", "vocabulary smaller than the alphabet", recipe(("objective.vocab_size", "17"), base=JOINT)),
    ("C05", "a million channels", recipe(("model.dim", "1000000"), base=JOINT)),
    ("C06", "one key twice", recipe() + "max_steps = 2\n"),
    ("C07a", "100,000 opening brackets", "a = " + "[" * 100_000),
    ("C07b", "1 GiB", sparse(b"#", 1 << 30)),
    ("C07c", "UTF-16", "a = 1\n".encode("utf-16")),
    ("C08", "include of another file", 'include = "other.toml"\n' + recipe()),
    ("C09", "version newer than the program", recipe(("config_version", "9"))),
]

# id, words, command, exit code; r.toml is a right recipe
RECIPE_WORDS = [
    ("C12a", "wrong value in the environment", "POLYPHONY_TRAIN__LEARNING_RATE=abc polyphony train r.toml", USAGE),
    ("C12b", "wrong value in a flag", "polyphony train r.toml --set train.max_steps=many", USAGE),
    ("C12c", "flag without a value", "polyphony train r.toml --set train.max_steps", USAGE),
    ("C14", "recipe that is not there", "polyphony train none.toml", BAD_INPUT),
]

# --- pictures: id, words, name, bytes

PICTURES = [
    ("I01a", "0 bytes", "x.png", b""),
    ("I01b", "words", "x.png", b"these are words"),
    ("I02a", "bomb: 100000 x 100000 in 1 KB", "x.png", bomb(100_000, 100_000)),
    ("I02b", "bomb: 20000 x 20000 in 1 KB", "x.png", bomb(20_000, 20_000)),
    ("I02c", "0 x 5 pixels", "x.png", png(0, 5, pixels=b"")),
    ("I03a", "PNG cut in its pixels", "x.png", GOOD[:-20]),
    ("I03b", "JPEG cut in its pixels", "x.jpg", jpeg()[:-4]),
    ("I03c", "BMP without most of its pixels", "x.bmp", bmp(100, 100)),
    ("I03d", "PNG with a wrong checksum", "x.png", png(8, 8, extra=chunk(b"PLTE", b"abc", crc=0))),
    ("I03e", "PNG with too few rows", "x.png", png(8, 8, pixels=zlib.compress(bytes(10)))),
    ("I05a", "PNG of an unknown colour type", "x.png", png(4, 4, colour=9)),
    ("I05b", "TIFF of floating point", "x.tif", tiff((339, 3))),
    ("I08a", "SVG", "x.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("I08b", "GIF", "x.gif", b"GIF89a" + bytes(16)),
    ("I08c", "DICOM", "x.dcm", bytes(128) + b"DICM"),
    ("I09", "JPEG with a segment longer than the file", "x.jpg", b"\xff\xd8\xff\xe1\xff\xffExif"),
    ("I10a", "folder", "x.png", folder),
    ("I10b", "named pipe", "x.png", pipe),
]

# id, words, the parameters inside x.png, as generate --from-image reads them
PARAMETERS = [
    ("I14a", "parameters that are no JSON", drawn("{")),
    ("I14b", "parameters nested too deep", drawn('{"prompt":' + "[" * 1000)),
    ("I14c", "a billion steps in the parameters", drawn('{"prompt":"x","steps":1000000000}')),
    ("I14d", "parameters that read another file", drawn('{"schema":"polyphony.caption/1","file":"/etc/passwd"}')),
    ("I14e", "parameters that unpack to 50 MB", drawn('{"prompt":"' + "x" * 50_000_000 + '"}', b"zTXt")),
]

# --- command lines: id, words, files, command, exit code

GENERATE = "polyphony generate --prompt circle --output new.png --model model"
JOBS = {"jobs.jsonl": '{"prompt":"circle"}\n'}

WORDS = [
    ("F01a", "no words at all", {}, "polyphony", USAGE),
    ("F01b", "unknown subcommand", {}, "polyphony genrate", USAGE),
    ("F01c", "unknown flag", {}, "polyphony generate --prmopt circle", USAGE),
    ("F01d", "word too many", {}, "polyphony doctor now", USAGE),
    ("F01e", "unknown study", {}, "polyphony study run fine_grain", USAGE),
    ("F03a", "0 steps", {}, f"{GENERATE} --steps 0", USAGE),
    ("F03b", "steps with an exponent", {}, f"{GENERATE} --steps 1e3", USAGE),
    ("F03c", "10^20 steps", {}, f"{GENERATE} --steps 100000000000000000000", USAGE),
    ("F03d", "no number", {}, f"{GENERATE} --steps ''", USAGE),
    ("F03e", "seed 2^64", {}, f"{GENERATE} --seed 18446744073709551616", USAGE),
    ("F04", "0 pictures", {}, f"{GENERATE} --count 0", USAGE),
    ("F05a", "two flags that exclude each other", JOBS,
     "polyphony batch jobs.jsonl --output out --resume --overwrite", USAGE),
    ("F05b", "required flag missing", {}, "polyphony generate --prompt circle", USAGE),
    ("F05c", "two results for stdout", {}, "polyphony generate --prompt circle --output - --json", USAGE),
    ("F06a", "output is there", {"there.png": "x"}, "polyphony generate --prompt circle --output there.png", USAGE),
    ("F06b", "output is a folder", {"full/a": ""}, "polyphony generate --prompt circle --output full", USAGE),
    ("F06c", "output below a file", {"a": "x"}, "polyphony generate --prompt circle --output a/new.png", FAILURE),
    ("F06d", "folder of the batch is not empty", {**JOBS, "full/a": ""},
     "polyphony batch jobs.jsonl --output full", USAGE),
    ("F06e", "run folder is a file", {"r.toml": recipe(), "a": "x"}, "polyphony train r.toml --output a", FAILURE),
    ("F06f", "run folder holds a run", {"r.toml": recipe(), "run/metrics.jsonl": "{}\n"}, "polyphony train r.toml", USAGE),
    ("F06g", "output is there", {"in.safetensors": ONE_TENSOR, "out.safetensors": "x"},
     "polyphony forward --model model/vae --input in.safetensors --output out.safetensors", USAGE),
    ("F06h", "name of 300 letters for the output", {"name": "n" * 300 + ".png"},
     "polyphony generate --prompt circle --steps 1 --model model --output $(cat name)", FAILURE),
    ("F07", "stdout is full", {"x.safetensors": ONE_TENSOR}, "polyphony inspect x.safetensors > /dev/full", FAILURE),
    ("F08", "error with --json", {}, "polyphony inspect none --json", BAD_INPUT),
    ("F09a", "prompt that is not UTF-8", {}, r"printf '\377\376' | polyphony generate --prompt - --output new.png", USAGE),
    ("F09b", "prompt of 1 MiB and a byte", {"long.txt": "x" * (2**20 + 1)},
     "polyphony generate --prompt @long.txt --output new.png", BAD_INPUT),
    ("F09d", "name of 300 letters", {"name": "n" * 300}, "polyphony inspect $(cat name)", BAD_INPUT),
    ("F09e", "address of a picture", {}, "polyphony caption https://example.com/x.png", USAGE),
    ("F15a", "unknown device", {}, f"{GENERATE} --device tpu", USAGE),
    ("F15b", "GPU that is not there", {}, f"{GENERATE} --device cuda:9", BAD_INPUT),
    ("F16", "checkpoint that is not there", {"r.toml": recipe()}, "polyphony train r.toml --resume run/step-1", BAD_INPUT),
]

# --- lines of a batch: id, words, line

LINES = [
    ("B01", "words", "a large red circle"),
    ("B02", "unknown field", '{"prompt":"circle","stpes":4}'),
    ("B03", "0 steps", '{"prompt":"circle","steps":0}'),
    ("B04", "one field twice", '{"prompt":"circle","prompt":"square"}'),
    ("B05", "name outside the folder", '{"prompt":"circle","id":"../x"}'),
    ("B06", "newer schema", '{"schema":"polyphony.generate/9","prompt":"circle"}'),
]

# id, words, files, command, exit code
SEVERAL = [
    ("B07", "cut picture between good ones",
     {"jobs.jsonl": "".join(f'{{"file":"{name}.png","max_tokens":1}}\n' for name in "abc"),
      "a.png": GOOD, "b.png": GOOD[:40], "c.png": GOOD}, "polyphony batch jobs.jsonl --output out --model model", PARTIAL),
    ("B08", "cut picture beside a good one", {"a.png": GOOD, "b.png": GOOD[:40]},
     "polyphony caption a.png b.png --max-tokens 1 --model model", PARTIAL),
]

# --- model folders: id, words, files of the folder m

SHIPPED, TINY = "configs/default_model", "tests/golden/autoencoder_kl/two_levels"

FOLDERS = [
    ("M01", "config.json is not JSON", model_folder(SHIPPED, {"config.json": "{"})),
    ("M02", "model of another kind", model_folder(SHIPPED, config={"model_type": "llava"})),
    ("M03", "unknown key in config.json", model_folder(SHIPPED, config={"model.widht": 5})),
    ("M04", "text for an integer in config.json", model_folder(SHIPPED, config={"model.dim": "192"})),
    ("M05", "weights missing", model_folder(SHIPPED, {"model.safetensors": None})),
    ("M06", "autoencoder missing", model_folder(SHIPPED, {"vae": None})),
    ("M07", "tokenizer of 0 bytes", model_folder(SHIPPED, {"tokenizer.model": b""})),
    ("M08", "tokenizer that is a picture", model_folder(SHIPPED, {"tokenizer.model": GOOD})),
    ("M09", "vocabulary of another size than the tokenizer's", model_folder(SHIPPED, config={"model.vocab_size": 300})),
]
# id, words, changes of the config.json of the autoencoder m, shape of its input
AUTOENCODERS = [
    ("M10", "config.json and weights do not fit", {"latent_channels": 8}, [1, 3, 8, 8]),
    ("M11", "0 channels in config.json", {"latent_channels": 0}, [1, 3, 8, 8]),
    ("M12", "input of an odd width", {}, [1, 3, 8, 7]),
]

# --- the groups of the page. Files: name -> bytes, text or a maker; the command runs where they lie

Case = collections.namedtuple("Case", "id words files command code")
# names: the message holds one of them. partial: other inputs go on, so there are results, and errors are warnings.
Group = collections.namedtuple("Group", "title about names partial cases")

GENERATE_BY_M = "polyphony generate --prompt circle --output new.png --model m"
FORWARD = "polyphony forward --model m --input in.safetensors --output out.safetensors"

GROUPS = [
    Group("Weights", "`inspect` reads every byte of a safetensors file; nothing is reserved before a size is checked.",
          ["safetensors"], False,
          [Case(i, words, {"x.safetensors": content}, "polyphony inspect x.safetensors", BAD_INPUT)
           for i, words, content in WEIGHTS] +
          [Case(i, words, {**beside, INDEX: index}, f"polyphony inspect {INDEX}", BAD_INPUT)
           for i, words, index, beside in INDEXES]),
    Group("Recipes", "A recipe is checked completely: each key must be known, of the right type and within its range.",
          ["r.toml", "none.toml", "POLYPHONY_", "--set"], False,
          [Case(i, words, {"r.toml": text}, "polyphony train r.toml", USAGE) for i, words, text in RECIPES] +
          [Case(i, words, {"r.toml": recipe()}, command, code) for i, words, command, code in RECIPE_WORDS]),
    Group("Pictures", "The first bytes decide what a file is and its header how large; only then is it decoded.",
          ["x."], False,
          [Case(i, words, {name: content}, f"polyphony caption {name} --model model", BAD_INPUT)
           for i, words, name, content in PICTURES] +
          [Case(i, words, {"x.png": content}, "polyphony generate --from-image x.png --output new.png", BAD_INPUT)
           for i, words, content in PARAMETERS]),
    Group("Command lines", "Words, values and outputs are checked before a model is loaded.", [""], False,
          [Case(*row) for row in WORDS]),
    Group("Many inputs", "One bad input among several costs that input.", [""], True,
          [Case(i, words, {"jobs.jsonl": line + "\n"}, "polyphony batch jobs.jsonl --output out", PARTIAL)
           for i, words, line in LINES] + [Case(*row) for row in SEVERAL]),
    Group("Model folders", "A model runs only if its configuration, tokenizer and weights fit together.",
          ["[m", "m/", " m:", "in.safetensors", "[image]"], False,
          [Case(i, words, files, GENERATE_BY_M, BAD_INPUT)
           for i, words, files in FOLDERS] +
          [Case(i, words, {**model_folder(TINY, config=changes), "in.safetensors": floats("image", shape)}, FORWARD,
                BAD_INPUT) for i, words, changes, shape in AUTOENCODERS]),
    Group("Models of classes", "What a DiT-MoE cannot draw is exit code 2, a folder that contradicts itself 3.",
          ["m/", "[m", "[class]", "--", "[sampler]", "[size]", "[output]", "[previews]", "[prompt]", "[generate]",
           "[respacing]"], False, [Case(*row) for row in CLASSES]),
    Group("PyTorch's files", "`convert` reads pickles by a list of what is allowed; nothing in them is ever run.",
          ["x.", "--preset", "--mode", "[convert]", "preset", "full"], False,
          [Case(i, words, {**RIGHT, "x.pt": content}, CONVERT, BAD_INPUT) for i, words, content in PICKLES] +
          [Case(*row) for row in CONVERSIONS]),
]

# Cases that break a rule as the program is now; the page tells which. One that is mended fails until it is taken out,
# and one that crashes or hangs fails always.
KNOWN_FAULTS = set("".split())


def said(run):
    return [line for line in run.err.splitlines() if re.match("polyphony: (error|warning): ", line)]


def message(run):
    text = re.sub("polyphony: [a-z]+: ", "", "".join(said(run)[:1]))
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "..."


def is_json_error(run):
    try:
        return json.loads(run.out)["error"]["exit_code"] == run.code
    except (ValueError, KeyError, TypeError):
        return False


def broken_rules(case, group, run):
    kind = "warning" if group.partial else "error"
    starts = rf"polyphony: {kind}: (\[|\S+: |line \d+ \(|--set \S+: |environment variable \S+: )"
    left = {name for name in run.after if name not in run.before and not (group.partial and name.startswith("out/"))}
    rules = [
        (0 <= run.code < 128, "an end by itself"),
        (run.code == case.code, f"exit code {case.code}"),
        (len(said(run)) == 1, f"one line `polyphony: {kind}:`"),
        (all(re.match(starts, line) for line in said(run)), "a place before the message"),
        (any(name in message(run) for name in group.names), "the name of the file"),
        ("--json" not in case.command or is_json_error(run), "one JSON document with the exit code"),
        (all(run.after.get(name) == digest for name, digest in run.before.items()), "the files as they were"),
        (not left, "no file left behind"),
    ]
    return [rule for holds, rule in rules if not holds]


def code_span(text):
    span = f"`` {text} ``" if "`" in text else f"`{text}`"
    return span.replace("|", "\\|")


def page(results):
    parts = [HEAD, f"{len(results)} cases."]
    for group in GROUPS:
        parts += ["", f"## {group.title}", group.about, "", "| id | input | command | exit code | message |",
                  "|---|---|---|---|---|"]
        for case in group.cases:
            run, _ = results[case.id]
            cells = [case.id, case.words, code_span(case.command), str(run.code), code_span(message(run))]
            parts.append(f"| {' | '.join(cells)} |")
    if KNOWN_FAULTS:
        parts += ["", "## Known faults", "Rows above that break a rule, and what they should have given.", ""]
        parts += [f"- {name}: {', '.join(broken)}" for name, (_, broken) in results.items() if name in KNOWN_FAULTS]
    return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path, metavar="PAGE")
    options = parser.parse_args()
    program = options.program.resolve(strict=True)
    pairs = [(case, group) for group in GROUPS for case in group.cases]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:  # a run is short: most of it loads libraries
        runs = pool.map(lambda pair: run_in_folder(program, pair[0].files, pair[0].command), pairs)
        results = {case.id: (run, broken_rules(case, group, run)) for (case, group), run in zip(pairs, runs)}
    assert len(results) == len(pairs), "an id stands for two cases"

    failed = False
    for name, (run, broken) in results.items():
        if bool(broken) != (name in KNOWN_FAULTS) or not 0 <= run.code < 128:
            failed = True
            verdict = f"expected {', '.join(broken)}" if broken else "no fault any more, take it out of KNOWN_FAULTS"
            print(f"{name}: {verdict}; got exit code {run.code}: {message(run)}", file=sys.stderr)
    text = page(results)
    if options.check is None:
        print(text, end="")
        return int(failed)
    committed = options.check.read_text(encoding="utf-8")
    for line in difflib.unified_diff(committed.splitlines(), text.splitlines(), "page", "program", n=0, lineterm=""):
        print(line, file=sys.stderr)
    return int(failed or committed != text)


if __name__ == "__main__":
    sys.exit(main())
