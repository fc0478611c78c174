# SPDX-License-Identifier: Apache-2.0
"""One MoE layer in KTransformers' CPU kernels.   peer_layer_kt.py LAYERS THREADS bf16|int8|int4"""
import glob
import importlib.util
import sys
import sysconfig
from importlib.metadata import version

import numpy as np
import tensors
from serve import serve, timed

D, F, E, K = 2048, 1024, 64, 8
KINDS = {"bf16": "AMXBF16_MOE", "int8": "AMXInt8_MOE", "int4": "AMXInt4_MOE"}


def extension():
    """The package's kernels by themselves: the package would load PyTorch, which they do not need."""
    file = glob.glob(sysconfig.get_path("platlib") + "/kt_kernel/_kt_kernel_ext_amx.*.so")[0]
    spec = importlib.util.spec_from_file_location("kt_kernel_ext", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def address(array):
    return array.ctypes.data


def layer_of(ext, pool, kind, number, w13, w2):
    """Its kernels, which hold weights of their own once they are loaded."""
    gate, up, down = np.ascontiguousarray(w13[:, :F]), np.ascontiguousarray(w13[:, F:]), np.array(w2)
    mask, identity = np.zeros(E, np.bool_), np.arange(E, dtype=np.int64)
    config = ext.moe.MOEConfig(E, K, D, F, address(mask))
    config.layer_idx, config.pool, config.max_len = number, pool.backend_, 4096
    if kind == "bf16":
        for name, matrices in (("gate", gate), ("up", up), ("down", down)):
            setattr(config, f"{name}_projs", [[address(matrix) for matrix in matrices]])
            setattr(config, f"{name}_scales", [[0] * E])
    else:
        config.gate_proj, config.up_proj, config.down_proj, config.load = address(gate), address(up), address(down), False
    layer = getattr(ext.moe, KINDS[kind])(config)
    pool.submit(layer.load_weights_task(address(identity)))
    pool.sync()
    return layer, mask


def main():
    file, threads, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ext = extension()
    workers = ext.WorkerPoolConfig()
    workers.subpool_count, workers.subpool_numa_map, workers.subpool_thread_count = 1, [0], [threads]
    pool = ext.CPUInfer(workers)
    weights = tensors.load(file)
    pack_ms, layers = timed(lambda: [layer_of(ext, pool, kind, i, weights[f"w13.{i}"], weights[f"w2.{i}"]) for i in range(len(weights) // 2)])

    def run(source, target):
        given, times = tensors.load(source), []
        for r in range(given["x_RTD"].shape[0]):
            x, expert, weight = (np.array(given[name][r]) for name in ("x_RTD", "expert_RTK", "weight_RTK"))
            count, y = np.array([len(x)], np.int32), np.zeros_like(x)
            layer = layers[int(given["layer_R"][r])][0]

            def forward():
                pool.submit(layer.forward_task(address(count), K, address(expert), address(weight), address(x), address(y), False))
                pool.sync()
            times.append(timed(forward)[0])
        if target != "-":
            tensors.save(target, {"y": y})
        return {"values": times}

    serve({"run": run}, version=version("kt-kernel"), pack_ms=pack_ms)


main()
