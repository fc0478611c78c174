# SPDX-License-Identifier: Apache-2.0
# Install and export, so that find_package(Polyphony) works from another project. Two components: `polyphony_core`
# (base, core, moe: LibTorch only) and `polyphony_full` (what else was built, programs included).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(POLYPHONY_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Polyphony)

# polyphony_install(COMPONENT EXPORT TARGETS...): libraries, programs and the export file of one component.
function(polyphony_install component export)
  install(TARGETS ${ARGN} EXPORT ${export}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${component}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${component}
          RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component})
  install(EXPORT ${export} NAMESPACE polyphony:: DESTINATION ${POLYPHONY_PACKAGE_DIR} COMPONENT ${component})
endfunction()

polyphony_install(polyphony_core PolyphonyCoreTargets polyphony_base polyphony_core polyphony_moe)

get_property(full_targets GLOBAL PROPERTY POLYPHONY_MODULES)
list(REMOVE_ITEM full_targets polyphony_base polyphony_core polyphony_moe)
if(full_targets)
  polyphony_install(polyphony_full PolyphonyFullTargets ${full_targets})
endif()
foreach(program polyphony polyphony-studio)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT polyphony_full)
  endif()
endforeach()

foreach(folder core moe)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION include/polyphony COMPONENT polyphony_core
          FILES_MATCHING PATTERN "*.h")
endforeach()
foreach(folder modalities pipelines)
  if(full_targets)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION include/polyphony COMPONENT polyphony_full
            FILES_MATCHING PATTERN "*.h")
  endif()
endforeach()

set(POLYPHONY_BUILT_TORCH_DIR ${POLYPHONY_TORCH_DIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/PolyphonyConfig.cmake.in ${CMAKE_BINARY_DIR}/PolyphonyConfig.cmake
                              INSTALL_DESTINATION ${POLYPHONY_PACKAGE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/PolyphonyConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/PolyphonyConfig.cmake ${CMAKE_BINARY_DIR}/PolyphonyConfigVersion.cmake
        ${PROJECT_SOURCE_DIR}/cmake/torch.cmake
        DESTINATION ${POLYPHONY_PACKAGE_DIR} COMPONENT polyphony_core)
