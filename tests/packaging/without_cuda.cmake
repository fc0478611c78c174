# SPDX-License-Identifier: Apache-2.0
# Builds core and moe as a machine without a CUDA toolkit would: no nvcc in sight and CUDA asked for, then not.
cmake_minimum_required(VERSION 3.25)
set(build ${BUILD_DIR}/packaging/without_cuda)
set(path_without_cuda)
string(REPLACE ":" ";" path_folders "$ENV{PATH}")
foreach(folder IN LISTS path_folders)
  if(NOT EXISTS ${folder}/nvcc)
    list(APPEND path_without_cuda ${folder})
  endif()
endforeach()
list(JOIN path_without_cuda ":" path_without_cuda)
set(ENV{PATH} "${path_without_cuda}")
unset(ENV{CUDACXX})
unset(ENV{CUDA_PATH})

set(configure ${CMAKE_COMMAND} -S ${SOURCE_DIR} -B ${build} -G Ninja -DCMAKE_BUILD_TYPE=Release
    -DPOLYPHONY_DEPS_DIR=${DEPS_DIR} -DPOLYPHONY_TORCH_DIR=${TORCH_DIR} -DCMAKE_CXX_COMPILER=${CXX_COMPILER}
    -DPOLYPHONY_WITH_MODALITIES=OFF -DPOLYPHONY_BUILD_TESTS=OFF)
file(REMOVE ${build}/CMakeCache.txt)
execute_process(COMMAND ${configure} -DPOLYPHONY_WITH_CUDA=OFF COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${build} --target polyphony_core polyphony_moe --parallel 2
                COMMAND_ERROR_IS_FATAL ANY)
