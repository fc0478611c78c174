# SPDX-License-Identifier: Apache-2.0
# Installs the library half into a prefix of its own, then builds and runs tests/packaging/consumer against it.
cmake_minimum_required(VERSION 3.25)
set(prefix ${BUILD_DIR}/packaging/prefix)
set(consumer ${BUILD_DIR}/packaging/consumer)
file(REMOVE_RECURSE ${prefix} ${consumer})

execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix} --component polyphony_core
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE_DIR}/tests/packaging/consumer -B ${consumer} -G Ninja
                -DCMAKE_PREFIX_PATH=${prefix} -DPOLYPHONY_TORCH_DIR=${TORCH_DIR} -DCMAKE_CXX_COMPILER=${CXX_COMPILER}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${consumer} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${consumer}/consumer OUTPUT_VARIABLE out COMMAND_ERROR_IS_FATAL ANY)
if(NOT out STREQUAL "5 tokens, spans 0 1 2 3 3\n")
  message(FATAL_ERROR "expected the joined sequence, got '${out}'")
endif()
