# Compiler settings of our own builds: nothing here reaches a consumer of the installed package.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)  # there are none; newer CMake would scan every source
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

if(PROJECT_IS_TOP_LEVEL)
  find_program(REEVE_CCACHE ccache)
  if(REEVE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
        CCACHE_NOHASHDIR=1 ${REEVE_CCACHE})  # checkouts at different places share what they compiled
  endif()
  find_program(REEVE_MOLD mold)
  if(REEVE_MOLD)
    add_link_options(-fuse-ld=mold)
  endif()
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "reeve needs clang 19 or newer (found ${CMAKE_CXX_COMPILER_VERSION}): older ones miscompile "
                      "coroutines. Use g++ 12 or newer, or clang++-19.")
endif()

# Applied to every target of ours, never to a consumer.
add_library(reeve_private_options INTERFACE)
target_compile_options(reeve_private_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                       -Woverloaded-virtual -Wno-missing-field-initializers)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(reeve_private_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports false positives inside coroutine frames and std::variant at -O2.
  target_compile_options(reeve_private_options INTERFACE -Wno-maybe-uninitialized -Wno-tsan
                         -Wno-mismatched-new-delete -Wno-dangling-pointer -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(REEVE_SANITIZE STREQUAL "address")
  target_compile_options(reeve_private_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                         -fno-omit-frame-pointer)
  target_link_options(reeve_private_options INTERFACE -fsanitize=address,undefined)
elseif(REEVE_SANITIZE STREQUAL "thread")
  target_compile_options(reeve_private_options INTERFACE -fsanitize=thread)
  target_link_options(reeve_private_options INTERFACE -fsanitize=thread)
elseif(REEVE_SANITIZE)
  message(FATAL_ERROR "REEVE_SANITIZE is '${REEVE_SANITIZE}'; it may be empty, 'address' or 'thread'")
endif()
