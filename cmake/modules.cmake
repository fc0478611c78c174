# SPDX-License-Identifier: Apache-2.0
# The only CMake functions of the project: polyphony_module, polyphony_program and polyphony_tests.

# polyphony_module(NAME [TORCH] [SHARED] SOURCES ... [PUBLIC ...] [PRIVATE ...])
# A library polyphony_NAME with alias polyphony::NAME. TORCH: sees LibTorch and reuses the one precompiled header.
function(polyphony_module name)
  cmake_parse_arguments(ARG "TORCH;SHARED" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target polyphony_${name})
  if(ARG_SHARED)
    add_library(${target} SHARED ${ARG_SOURCES})
  else()
    add_library(${target} STATIC ${ARG_SOURCES})
  endif()
  add_library(polyphony::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                              $<INSTALL_INTERFACE:include/polyphony>)
  target_link_libraries(${target} PUBLIC ${ARG_PUBLIC}
                                  PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:polyphony_warnings>)
  if(ARG_TORCH)
    target_link_libraries(${target} PUBLIC polyphony_torch)
    polyphony_use_pch(${target})
  endif()
  set_property(GLOBAL APPEND PROPERTY POLYPHONY_MODULES ${target})
endfunction()

# Precompiled LibTorch headers: one for the product, one without optimisation and with GoogleTest for tests. The first
# caller builds it, the others reuse it. The .sum file beside it names its contents for ccache, so that objects are
# shared between build folders although the precompiled files differ byte by byte.
function(polyphony_pch pch header)
  if(NOT TARGET ${pch})
    file(WRITE ${CMAKE_BINARY_DIR}/pch/${pch}.cpp "")
    add_library(${pch} OBJECT ${CMAKE_BINARY_DIR}/pch/${pch}.cpp)
    target_link_libraries(${pch} PRIVATE polyphony_torch OpenMP::OpenMP_CXX polyphony_warnings ${ARGN})
    target_precompile_headers(${pch} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/${header})
    file(SHA256 ${PROJECT_SOURCE_DIR}/cmake/${header} hash)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${pch}.dir/cmake_pch.hxx.gch.sum
         "${hash} ${CMAKE_CXX_COMPILER_VERSION} ${CMAKE_BUILD_TYPE} ${POLYPHONY_SANITIZE} torch-2.11.0")
  endif()
endfunction()

function(polyphony_use_pch target)
  polyphony_pch(polyphony_pch pch.h)
  target_precompile_headers(${target} REUSE_FROM polyphony_pch)
endfunction()

# polyphony_program(NAME [TORCH] SOURCES ... LIBRARIES ...)
function(polyphony_program name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} polyphony_warnings)
  if(ARG_TORCH)
    polyphony_use_pch(${name})
  endif()
endfunction()

# polyphony_tests(MODULE [TORCH] SOURCES ... LIBRARIES ... [LABELS ...])
# One test program a module, one ctest entry a source file (its suites become the gtest filter).
function(polyphony_tests module)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  set(target polyphony_${module}_test)
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LIBRARIES} GTest::gmock GTest::gtest_main polyphony_warnings)
  target_compile_definitions(${target} PRIVATE POLYPHONY_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               POLYPHONY_BUILD_DIR="${CMAKE_BINARY_DIR}")
  target_compile_options(${target} PRIVATE -O0)  # tests are compiled far more often than they are run
  if(ARG_TORCH)
    polyphony_pch(polyphony_test_pch test_pch.h GTest::gmock)
    target_compile_options(polyphony_test_pch PRIVATE -O0)
    target_precompile_headers(${target} REUSE_FROM polyphony_test_pch)
  endif()
  foreach(source IN LISTS ARG_SOURCES)
    file(STRINGS ${source} tests REGEX "^(TEST|TEST_F|TEST_P|INSTANTIATE_TEST_SUITE_P)\\(")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    set(filter "")
    foreach(test IN LISTS tests)
      if(test MATCHES "^(TEST|TEST_F)\\(([A-Za-z0-9_]+)")
        list(APPEND filter "${CMAKE_MATCH_2}.*")
      elseif(test MATCHES "^TEST_P\\(([A-Za-z0-9_]+)")
        list(APPEND filter "*/${CMAKE_MATCH_1}.*")
      endif()
    endforeach()
    list(REMOVE_DUPLICATES filter)
    list(JOIN filter ":" filter)
    if(filter STREQUAL "")
      continue()
    endif()
    file(RELATIVE_PATH test_name ${PROJECT_SOURCE_DIR}/tests ${source})
    string(REPLACE "_test.cpp" "" test_name ${test_name})
    add_test(NAME ${test_name} COMMAND ${target} --gtest_filter=${filter} --gtest_brief=1
             WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    # alloc_dealloc_mismatch: SentencePiece, deeply bound, frees by libc what libstdc++ took from the sanitizer.
    set_tests_properties(${test_name} PROPERTIES TIMEOUT 300 LABELS "${ARG_LABELS}"
      ENVIRONMENT "OMP_WAIT_POLICY=passive;OMP_NUM_THREADS=2;QT_QPA_PLATFORM=offscreen;ASAN_OPTIONS=alloc_dealloc_mismatch=0:detect_container_overflow=0:detect_odr_violation=0:detect_leaks=0")
  endforeach()
endfunction()
