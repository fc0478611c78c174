# SPDX-License-Identifier: Apache-2.0
"""OLMoE in transformers, bf16.   peer_transformers.py FOLDER THREADS     verbs: {eager,grouped}_{prefill,decode}"""
import sys

import torch
import torch_tensors
import transformers
from serve import serve, timed

WAYS = {"eager": "eager", "grouped": "grouped_mm"}


def main():
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    model = transformers.OlmoeForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def read(ids, cache):
        return model(ids[None], past_key_values=cache, use_cache=True, logits_to_keep=1)

    def write(target, out):
        if target != "-":
            torch_tensors.save(target, {"logits": out.logits[0, -1].float()})

    def prefill(way, source, target):
        model.set_experts_implementation(WAYS[way])
        ids = torch_tensors.load(source)["ids"]
        with torch.inference_mode():
            ms, out = timed(lambda: read(ids, None))
        write(target, out)
        return {"values": [1e3 * len(ids) / ms]}

    def decode(way, source, target):
        model.set_experts_implementation(WAYS[way])
        given = torch_tensors.load(source)
        rates = []
        with torch.inference_mode():
            out = read(given["ids"], None)
            for i in range(len(given["next"])):
                ms, out = timed(lambda: read(given["next"][i:i + 1], out.past_key_values))
                rates.append(1e3 / ms)
        write(target, out)
        return {"values": rates}

    answers = {f"{way}_{verb}": lambda *files, way=way, work=work: work(way, *files) for way in WAYS for verb, work in (("prefill", prefill), ("decode", decode))}
    serve(answers, version=transformers.__version__)


main()
