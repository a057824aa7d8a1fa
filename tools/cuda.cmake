# cuda.cmake: the GPU libraries, made of the same kernels/*.cu: libmill_cuda.so by nvcc, opened at run time where a GPU is, and
# libmill_simt.so by the C++ compiler and the emulator of tests/simt, for tests. The program is built without either, too.
# ptxas says what each kernel needs; tools/kernel_table.py compares that with kernels/registers.tsv (0 bytes spilled).
set(MILL_KERNELS runtime collect text_stats text_scan words minhash)
list(APPEND MILL_KERNELS pretok word_table encode)
list(APPEND MILL_KERNELS bpe_pairs bpe_rounds)
set(MILL_CUDA_ARCHS "80;90;100" CACHE STRING "Chips that kernels are compiled for; the first also as PTX, for later ones")
list(TRANSFORM MILL_KERNELS PREPEND ${PROJECT_SOURCE_DIR}/kernels/ OUTPUT_VARIABLE mill_kernel_files)
list(TRANSFORM mill_kernel_files APPEND .cu)
file(GLOB mill_kernel_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.h ${PROJECT_SOURCE_DIR}/kernels/shared/*.h)

set(MILL_HAVE_CUDA OFF)
if(NOT MILL_CUDA STREQUAL "OFF")
  file(GLOB mill_fetched_cuda ${CMAKE_BINARY_DIR}/cuda/lib/python3*/site-packages/nvidia/cu13/bin) # by tools/setup cuda
  find_program(MILL_NVCC nvcc HINTS /usr/local/cuda/bin ${mill_fetched_cuda})
  if(MILL_NVCC)
    set(MILL_HAVE_CUDA ON)
  elseif(MILL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MILL_CUDA=ON: nvcc was not found; tools/setup cuda fetches it")
  else()
    message(STATUS "CUDA: off, no GPU library (nvcc was not found)")
  endif()
endif()

if(MILL_HAVE_CUDA)
  set(mill_gencode "")
  foreach(arch ${MILL_CUDA_ARCHS})
    list(APPEND mill_gencode -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  list(GET MILL_CUDA_ARCHS 0 mill_oldest)
  list(APPEND mill_gencode -gencode arch=compute_${mill_oldest},code=compute_${mill_oldest})
  set(mill_cuda_objects "")
  set(mill_cuda_logs "")
  foreach(name ${MILL_KERNELS})
    set(object ${CMAKE_BINARY_DIR}/kernels/${name}.o)
    set(log ${CMAKE_BINARY_DIR}/kernels/${name}.ptxas)
    add_custom_command(OUTPUT ${object} ${log}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/kernels
      COMMAND sh -c "\"$@\" >${log} 2>&1 || { cat ${log} >&2; exit 1; }" nvcc ${MILL_NVCC} -std=c++17 -O3 ${mill_gencode}
        -Werror all-warnings -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra
        -I${PROJECT_SOURCE_DIR}/kernels -c ${PROJECT_SOURCE_DIR}/kernels/${name}.cu -o ${object}
      DEPENDS ${PROJECT_SOURCE_DIR}/kernels/${name}.cu ${mill_kernel_headers}
      COMMENT "nvcc ${name}.cu" VERBATIM)
    list(APPEND mill_cuda_objects ${object})
    list(APPEND mill_cuda_logs ${log})
  endforeach()
  get_filename_component(mill_cuda_root ${MILL_NVCC} DIRECTORY)
  get_filename_component(mill_cuda_root ${mill_cuda_root} DIRECTORY)
  set(mill_cuda_library ${CMAKE_BINARY_DIR}/libmill_cuda.so)
  add_custom_command(OUTPUT ${mill_cuda_library}
    COMMAND ${MILL_NVCC} -shared -cudart static ${mill_gencode} ${mill_cuda_objects} -o ${mill_cuda_library}
      -L${mill_cuda_root}/lib # where wheels have cudart; a toolkit's own place is known to nvcc
    DEPENDS ${mill_cuda_objects} COMMENT "libmill_cuda.so" VERBATIM)
  add_custom_target(mill_cuda ALL DEPENDS ${mill_cuda_library})
  install(FILES ${mill_cuda_library} DESTINATION ${CMAKE_INSTALL_LIBDIR}/shardmill)
endif()

# The checks on the kernels; tests/CMakeLists.txt adds those that run them.
function(mill_kernel_tests)
  if(MILL_HAVE_CUDA AND Python3_FOUND)
    add_test(NAME house_kernels COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/kernel_table.py
      ${PROJECT_SOURCE_DIR}/kernels/registers.tsv ${mill_cuda_logs})
    set_tests_properties(house_kernels PROPERTIES LABELS house)
  endif()
endfunction()
