# SPDX-License-Identifier: Apache-2.0
"""An environment for each peer from the Python registry under .deps/peers/NAME, made once and kept between runs."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".deps" / "peers"

# Its AMX code crashed on these models, and serves no product of experts anyway.
LLAMA_FLAGS = " ".join(f"-DGGML_{name}=ON" for name in ("AVX", "AVX2", "FMA", "F16C", "BMI2", "AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16"))
LLAMA_FLAGS += " -DGGML_NATIVE=OFF -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF -DLLAVA_BUILD=OFF"

# Each step is what `pip install` gets; `or` is tried where the check fails after all steps.
RECIPES = {
    # PyTorch without its CUDA libraries is enough where a CUDA toolkit is installed, and a tenth of the size.
    "torch": {"steps": [["--no-deps", "torch==2.11.0", "transformers==5.23.0", "diffusers==0.42.1", "nvidia-cuda-runtime==13.0.96",
                         "nvidia-cuda-cupti==13.0.85", "nvidia-cufile==1.20.0.107", "nvidia-cusparselt-cu13==0.8.0", "nvidia-nvshmem-cu13==3.4.5"],
                        ["numpy==2.4.6", "filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions", "setuptools"],
                        ["huggingface-hub", "importlib-metadata", "packaging", "pillow", "pyyaml", "regex", "requests", "safetensors", "tokenizers", "tqdm", "typer"]],
              "or": [["torch==2.11.0"]],
              "check": "import torch, transformers, diffusers"},
    # Its kernels need none of what the package asks for.
    "kt": {"steps": [["numpy==2.4.6"], ["--no-deps", "kt-kernel==0.7.2"]], "check": "import numpy"},
    "llama": {"steps": [["numpy==2.4.6", "gguf==0.19.0"], ["--no-binary", "llama-cpp-python", "llama-cpp-python==0.3.36"]],
              "environment": {"CMAKE_ARGS": LLAMA_FLAGS, "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count())},
              "check": "import llama_cpp, gguf"},
}


class PeerError(Exception):
    """Why a peer cannot be measured, in a sentence."""


def _call(words, log, environment=None):
    log.write(" ".join(map(str, words)) + "\n")
    log.flush()
    return subprocess.run(words, stdout=log, stderr=log, env={**os.environ, **(environment or {})}).returncode == 0


def _works(python, recipe, log):
    return _call([python, "-c", recipe["check"]], log)


def python_of(name, install=True, say=print):
    """The Python of a peer's environment. Throws PeerError where there is none and none can be made."""
    recipe, folder = RECIPES[name], FOLDER / name
    python, stamp, text = folder / "bin" / "python", folder / "made.json", json.dumps(RECIPES[name], sort_keys=True)
    if stamp.exists() and stamp.read_text() == text:
        return python
    if not install:
        raise PeerError(f"{name}: not installed")
    say(f"installing the peer '{name}' into {folder.relative_to(ROOT)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    with open(FOLDER / f"{name}.log", "w") as log:
        made = _call([sys.executable, "-m", "venv", folder], log)
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
        made = made and all(_call([*pip, *step], log, recipe.get("environment")) for step in recipe["steps"])
        if made and not _works(python, recipe, log):
            made = all(_call([*pip, *step], log) for step in recipe.get("or", [])) and _works(python, recipe, log)
    if not made:
        shutil.rmtree(folder, ignore_errors=True)
        raise PeerError(f"{name}: its installation failed, see {FOLDER.relative_to(ROOT)}/{name}.log")
    stamp.write_text(text)
    return python
