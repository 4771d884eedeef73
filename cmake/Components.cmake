# reeve_component(NAME SOURCES... [PUBLIC libs] [PRIVATE libs]): one library reeve::NAME with install and export.
# reeve_test(NAME [LIBRARIES libs]): one test program from tests/NAME/*_test.cpp; suites whose name ends with Full get
# the label full.
set_property(GLOBAL PROPERTY REEVE_COMPONENTS "")

# A component whose tests are not wanted is built only where another one needs it.
set(REEVE_TEST_ONLY "" CACHE STRING "Components whose tests are built and run; empty for all")

function(reeve_component name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(reeve_${name} STATIC ${arg_SOURCES})
  add_library(reeve::${name} ALIAS reeve_${name})
  set_target_properties(reeve_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(reeve_${name} PUBLIC cxx_std_20)
  target_include_directories(reeve_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_include_directories(reeve_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(reeve_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE}
                        $<BUILD_INTERFACE:reeve_private_options>)
  set_property(GLOBAL APPEND PROPERTY REEVE_COMPONENTS reeve_${name})
  if(REEVE_TEST_ONLY AND NOT name STREQUAL core AND NOT name IN_LIST REEVE_TEST_ONLY)
    set_target_properties(reeve_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

set_property(GLOBAL PROPERTY REEVE_SKIPPED "")

# reeve_skip(NAME REASON): leaves a component out, with its tests, examples and benchmarks, and ends its CMakeLists.txt.
macro(reeve_skip name reason)
  message(STATUS "reeve::${name} is left out: ${reason}")
  set_property(GLOBAL APPEND PROPERTY REEVE_SKIPPED ${name})
  return()
endmacro()

# reeve_add_folders(): every folder with its own CMakeLists.txt adds itself, unless its component was left out.
macro(reeve_add_folders)
  get_property(reeve_skipped GLOBAL PROPERTY REEVE_SKIPPED)
  if("inference" IN_LIST reeve_skipped)
    list(APPEND reeve_skipped study)  # the main example is one of inference
  endif()
  file(GLOB reeve_folders CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} */CMakeLists.txt)
  foreach(reeve_folder IN LISTS reeve_folders)
    get_filename_component(reeve_folder ${reeve_folder} DIRECTORY)
    if(NOT reeve_folder IN_LIST reeve_skipped)
      add_subdirectory(${reeve_folder})
    endif()
  endforeach()
endmacro()

# What all test programs share is compiled once: the precompiled header (7 s of a processor), main with and without
# workers, and the code that runs coroutines.
function(reeve_test_support)
  set(support ${PROJECT_SOURCE_DIR}/tests/support)
  foreach(part pch main main_workers)
    add_library(reeve_test_${part} OBJECT ${support}/$<IF:$<STREQUAL:${part},pch>,run,main>.cpp)
    target_include_directories(reeve_test_${part} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(reeve_test_${part} PRIVATE reeve::core GTest::gtest GTest::gmock rapidcheck rapidcheck_gtest
                          reeve_private_options)
  endforeach()
  target_compile_definitions(reeve_test_main_workers PRIVATE REEVE_TEST_WORKERS)
  target_precompile_headers(reeve_test_pch PRIVATE ${support}/pch.hpp)
endfunction()

function(reeve_test name)
  cmake_parse_arguments(arg "WORKERS" "" "LIBRARIES;SOURCES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/*_test.cpp)
  list(APPEND sources ${arg_SOURCES})
  set(program reeve_${name}_tests)
  # With WORKERS main calls reeve::init: workers are copies of the test program.
  add_executable(${program} ${sources} $<TARGET_OBJECTS:reeve_test_main$<$<BOOL:${arg_WORKERS}>:_workers>>
                 $<TARGET_OBJECTS:reeve_test_pch>)
  set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${program} PRIVATE ${arg_LIBRARIES} GTest::gtest GTest::gmock rapidcheck rapidcheck_gtest
                        reeve_private_options)
  target_precompile_headers(${program} REUSE_FROM reeve_test_pch)
  if(REEVE_TEST_ONLY AND NOT name IN_LIST REEVE_TEST_ONLY)
    set_target_properties(${program} PROPERTIES EXCLUDE_FROM_ALL ON)
    return()
  endif()
  gtest_discover_tests(${program} TEST_PREFIX "${name}." TEST_FILTER "-*Full.*" DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "ci\\;${name}" TIMEOUT 120)
  # No test program needs a suite for the long counts; an empty list is fine.
  gtest_discover_tests(${program} TEST_PREFIX "${name}." TEST_FILTER "*Full.*" TEST_LIST ${program}_full
                       DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "full\\;${name}" TIMEOUT 7200)
endfunction()
