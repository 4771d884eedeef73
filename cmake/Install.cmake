# Install rules and the package files behind find_package(reeve): one export set per component, so that a program that
# asks for one component needs only what that component needs.
include(CMakePackageConfigHelpers)

set(reeve_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/reeve)

# Packages whose imported targets carry another prefix than the package's name, with the oldest version that serves.
set(reeve_package_of_Boost "Boost 1.81")
set(reeve_package_of_SQLite "SQLite3")
set(reeve_package_of_CUDA "CUDAToolkit")

# Splits what a library links into other components (`components`) and packages to find (`packages`).
function(reeve_link_needs target)
  set(components "")
  set(packages "")
  set(links "")
  foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
    get_target_property(value ${target} ${property})
    if(value)
      list(APPEND links ${value})
    endif()
  endforeach()
  get_property(all GLOBAL PROPERTY REEVE_COMPONENTS)
  foreach(link IN LISTS links)
    string(REGEX REPLACE "\\$<LINK_ONLY:(.*)>$" "\\1" link "${link}")
    if(link MATCHES "BUILD_INTERFACE|^::@")
      continue()
    elseif(link IN_LIST all)
      get_target_property(name ${link} EXPORT_NAME)
      list(APPEND components ${name})
    elseif(link MATCHES "^reeve::(.+)$")
      list(APPEND components ${CMAKE_MATCH_1})
    elseif(link MATCHES "^([A-Za-z0-9_]+)::")
      if(DEFINED reeve_package_of_${CMAKE_MATCH_1})
        list(APPEND packages ${reeve_package_of_${CMAKE_MATCH_1}})
      else()
        list(APPEND packages ${CMAKE_MATCH_1})
      endif()
    elseif(link MATCHES "^/")
      message(FATAL_ERROR "${target} links ${link}: an absolute path would be written into the installed package. "
                          "Link an imported target or the library's plain name.")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES components)
  list(REMOVE_DUPLICATES packages)
  set(components "${components}" PARENT_SCOPE)
  set(packages "${packages}" PARENT_SCOPE)
endfunction()

set(reeve_component_table "")
get_property(reeve_targets GLOBAL PROPERTY REEVE_COMPONENTS)
foreach(target IN LISTS reeve_targets)
  get_target_property(name ${target} EXPORT_NAME)
  reeve_link_needs(${target})
  string(APPEND reeve_component_table
         "set(_reeve_components_of_${name} \"${components}\")\nset(_reeve_packages_of_${name} \"${packages}\")\n")
  list(APPEND reeve_component_names ${name})
  install(TARGETS ${target} EXPORT reeve-${name} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT reeve-${name} NAMESPACE reeve:: FILE reeve-${name}.cmake DESTINATION ${reeve_package_dir})
endforeach()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/reeve DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/reeve)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/reeve-config.cmake.in
                              ${PROJECT_BINARY_DIR}/reeve-config.cmake INSTALL_DESTINATION ${reeve_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/reeve-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/reeve-config.cmake ${PROJECT_BINARY_DIR}/reeve-config-version.cmake
        DESTINATION ${reeve_package_dir})
