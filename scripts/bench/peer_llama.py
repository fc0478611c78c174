# SPDX-License-Identifier: Apache-2.0
"""An OLMoE file in llama.cpp.   peer_llama.py MODEL.gguf THREADS     verbs: prefill, decode"""
import ctypes
import sys

import llama_cpp as llama
import numpy as np
import tensors
from serve import serve, timed

_LOG = llama.llama_log_callback(lambda *_: None)


def main():
    file, threads = sys.argv[1], int(sys.argv[2])
    llama.llama_log_set(_LOG, ctypes.c_void_p(0))
    llama.llama_backend_init()
    settings = llama.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(file.encode(), settings)
    if not model:
        sys.exit(f"peer_llama: {file} could not be loaded")
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    settings = llama.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch, settings.n_threads, settings.n_threads_batch = 1024, 512, 512, threads, threads
    context = llama.llama_init_from_model(model, settings)

    def read(ids):
        array = (llama.llama_token * len(ids))(*map(int, ids))
        code = llama.llama_decode(context, llama.llama_batch_get_one(array, len(ids)))
        if code != 0:
            raise RuntimeError(f"llama_decode gave {code}")
        llama.llama_synchronize(context)

    def write(target):
        if target != "-":
            tensors.save(target, {"logits": np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (vocabulary,)).copy()})

    def forget():
        llama.llama_memory_clear(llama.llama_get_memory(context), True)

    def prefill(source, target):
        forget()
        ids = tensors.load(source)["ids"]
        ms, _ = timed(lambda: read(ids))
        write(target)
        return {"values": [1e3 * len(ids) / ms]}

    def decode(source, target):
        forget()
        given = tensors.load(source)
        read(given["ids"])
        rates = [1e3 / timed(lambda: read(given["next"][i:i + 1]))[0] for i in range(len(given["next"]))]
        write(target)
        return {"values": rates}

    serve({"prefill": prefill, "decode": decode}, version=llama.__version__)


main()
