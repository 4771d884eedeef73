# Builds and runs tests/consumer/program as a user of reeve would. Run by CTest with -P:
#   WAY (installed | subdirectory), SOURCE, BUILD (of reeve), WORK (scratch folder), COMPILER, BUILD_TYPE, LINK_FLAGS.
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " line)
    message(FATAL_ERROR "consumer: '${line}' failed (${status}):\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(options -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${BUILD_TYPE}
            -DCMAKE_EXE_LINKER_FLAGS=${LINK_FLAGS})
if(WAY STREQUAL "installed")
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
  list(APPEND options -DCMAKE_PREFIX_PATH=${WORK}/prefix)
  # The package must not remember the trees it came from.
  file(GLOB_RECURSE package_files ${WORK}/prefix/*.cmake)
  foreach(file IN LISTS package_files)
    file(READ ${file} text)
    string(FIND "${text}" "${SOURCE}" where)
    if(NOT where EQUAL -1)
      message(FATAL_ERROR "consumer: ${file} names the source tree")
    endif()
  endforeach()
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/program -B ${WORK}/unknown ${options}
                          -DUNKNOWN_COMPONENT=ON RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE output)
  if(status EQUAL 0 OR NOT output MATCHES "no[ \n]+component[ \n]+'nosuch'")
    message(FATAL_ERROR "consumer: an unknown component was not refused by name:\n${output}")
  endif()
else()
  # Whether it compiles and works is asked, not how fast: half the time without optimisation.
  list(APPEND options -DREEVE_SOURCE_DIR=${SOURCE} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0)
endif()

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/program -B ${WORK}/build ${options})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer_core)
if(NOT output MATCHES "2.0 GiB|2 GiB")
  message(FATAL_ERROR "consumer: unexpected output: ${output}")
endif()
run(${WORK}/build/consumer_all)
message("consumer: ${WAY} works")
