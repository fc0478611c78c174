# SPDX-License-Identifier: Apache-2.0
# polyphony_torch: the wheel's headers and CPU libraries. libtorch_cuda is not linked: core/device.cpp opens it when a
# CUDA device is asked for, so that every other start is quick and needs no cuDNN. Also used by the installed package.
set(POLYPHONY_TORCH_DIR ${POLYPHONY_DEPS_DIR}/torch CACHE PATH "The torch folder of the wheel")
if(NOT EXISTS ${POLYPHONY_TORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch is missing: expected ${POLYPHONY_TORCH_DIR}/lib/libtorch_cpu.so (run scripts/setup.sh)")
endif()
add_library(polyphony_torch INTERFACE IMPORTED GLOBAL)
target_include_directories(polyphony_torch SYSTEM INTERFACE
  ${POLYPHONY_TORCH_DIR}/include ${POLYPHONY_TORCH_DIR}/include/torch/csrc/api/include)
target_compile_definitions(polyphony_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
target_link_libraries(polyphony_torch INTERFACE
  ${POLYPHONY_TORCH_DIR}/lib/libtorch_cpu.so ${POLYPHONY_TORCH_DIR}/lib/libc10.so)
# libtorch_cpu itself needs cudart and cupti, also without a GPU; its own RPATH finds them in .deps/nvidia.
set(POLYPHONY_NVIDIA_LIB_DIR ${POLYPHONY_TORCH_DIR}/../nvidia/cu13/lib)
target_link_options(polyphony_torch INTERFACE
  -Wl,-rpath,${POLYPHONY_TORCH_DIR}/lib -Wl,-rpath-link,${POLYPHONY_NVIDIA_LIB_DIR})
