#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what a build needs: Debian packages (root or sudo) and LibTorch into .deps/. Re-running is quick.
# Usage: scripts/setup.sh demo|test|studio|bench     (bench needs the most)
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.11.0
cudart_version=13.0.96
cupti_version=13.0.85
python_tag=311

base=(g++ cmake ninja-build git ca-certificates python3-pip unzip ccache mold
      libtomlplusplus-dev nlohmann-json3-dev libcli11-dev libopencv-dev
      libavformat-dev libavcodec-dev libswresample-dev libavutil-dev libsentencepiece-dev zlib1g-dev)
qt=(qt6-base-dev libvulkan-dev)
# clang and its runtime build the fuzz targets; xvfb draws the window where there is no screen.
tests=(libgtest-dev libgmock-dev clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14 xvfb xauth python3)

# Environments of the benchmarks' peers, the benchmarks of single operations, and the tool that counts instructions.
bench=(python3-venv libbenchmark-dev valgrind)

packages=("${base[@]}")
case "${1:-test}" in
  demo) ;;
  studio) packages+=("${qt[@]}") ;;
  test) packages+=("${qt[@]}" "${tests[@]}") ;;
  bench) packages+=("${qt[@]}" "${tests[@]}" "${bench[@]}") ;;
  *) echo "setup.sh: expected demo, test, studio or bench, got '$1'" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
done
if ((${#missing[@]})); then
  as_root=()
  if [[ $(id -u) != 0 ]]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo)
    elif command -v sudo >/dev/null && [[ -t 0 ]]; then as_root=(sudo)
    else
      echo "polyphony: these Debian packages are missing and neither root nor sudo is here to install them:" >&2
      echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 2
    fi
  fi
  echo "polyphony: installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

stamp=.deps/torch-$torch_version.ok
if [[ ! -f $stamp ]]; then
  echo "polyphony: fetching LibTorch (the torch $torch_version wheel, 530 MB) into .deps/"
  rm -rf .deps/download .deps/torch .deps/nvidia
  mkdir -p .deps/download
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --implementation cp --python-version "$python_tag" --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d .deps/download \
    "torch==$torch_version" "nvidia-cuda-runtime==$cudart_version" "nvidia-cuda-cupti==$cupti_version"
  # Only headers and libraries; the Python half and the parts that need Python stay in the wheel.
  unzip -q -o .deps/download/torch-*.whl 'torch/include/*' 'torch/lib/*' 'torch/share/*' -x 'torch/lib/libtorch_python.so' -d .deps
  unzip -q -o .deps/download/nvidia_cuda_runtime-*.whl 'nvidia/cu13/lib/*' -d .deps
  unzip -q -o .deps/download/nvidia_cuda_cupti-*.whl 'nvidia/cu13/lib/*' -d .deps
  rm -rf .deps/download
  touch "$stamp"
fi
