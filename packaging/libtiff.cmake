# A libtiff of our own, for wheels: static, with no more than the codecs that
# images of this kind are stored in, and with the libraries these need. Makes
# the target `bundled`, to link with. What is built is said by sources.json.
#
# RS_TENSOR_SOURCES names a directory that holds their unpacked sources, each under
# its name, instead of a download: see sources.py.

enable_language(CXX)  # LERC is C++
include(ExternalProject)
set(RS_TENSOR_SOURCES "" CACHE PATH "Directory with the sources of the bundled libraries")
set(pins "${CMAKE_CURRENT_LIST_DIR}/sources.json")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${pins}")
file(READ "${pins}" pins)

set(prefix "${CMAKE_CURRENT_BINARY_DIR}/bundled")
file(MAKE_DIRECTORY "${prefix}/include")
add_library(bundled INTERFACE)
target_include_directories(bundled INTERFACE "${prefix}/include")

# Compiled as this project is, found nowhere but in our prefix.
set(common
  -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_INSTALL_PREFIX=${prefix}
  -DCMAKE_INSTALL_LIBDIR=lib
  -DCMAKE_PREFIX_PATH=${prefix}
  -DCMAKE_POSITION_INDEPENDENT_CODE=ON
  -DCMAKE_C_VISIBILITY_PRESET=hidden
  -DCMAKE_CXX_VISIBILITY_PRESET=hidden
  -DCMAKE_POLICY_VERSION_MINIMUM=3.5
  -DBUILD_SHARED_LIBS=OFF)
foreach(setting CMAKE_TOOLCHAIN_FILE CMAKE_OSX_ARCHITECTURES CMAKE_OSX_DEPLOYMENT_TARGET)
  if(${setting})
    string(REPLACE ";" "|" value "${${setting}}")
    list(APPEND common "-D${setting}=${value}")
  endif()
endforeach()
# A compiler may be a command with words behind it, such as "zig cc -target ...".
string(REPLACE " " "|" c "${CMAKE_C_COMPILER}${CMAKE_C_COMPILER_ARG1}")
string(REPLACE " " "|" cxx "${CMAKE_CXX_COMPILER}${CMAKE_CXX_COMPILER_ARG1}")
list(APPEND common "-DCMAKE_C_COMPILER=${c}" "-DCMAKE_CXX_COMPILER=${cxx}")
if(NOT MSVC)
  list(APPEND common "-DCMAKE_ASM_COMPILER=${c}")
endif()

# unpack(NAME VARIABLE): where the source is, whose licence is installed
function(unpack name variable)
  string(JSON licence GET "${pins}" ${name} licence_file)
  if(RS_TENSOR_SOURCES)
    set(source "${RS_TENSOR_SOURCES}/${name}")
  else()
    string(JSON url GET "${pins}" ${name} url)
    string(JSON sha256 GET "${pins}" ${name} sha256)
    string(REGEX MATCH "[.]tar[.][a-z]+$" ending "${url}")
    set(archive "${prefix}/${sha256}${ending}")
    # Not left to ExternalProject, which tries a wrong archive again for half an hour.
    message(STATUS "Fetching ${url}")
    file(DOWNLOAD "${url}" "${archive}" EXPECTED_HASH SHA256=${sha256} TLS_VERIFY ON)
    if(NOT IS_DIRECTORY "${prefix}/${sha256}")
      file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${prefix}/${sha256}")
    endif()
    file(GLOB source LIST_DIRECTORIES ON "${prefix}/${sha256}/*")
  endif()
  if(NOT EXISTS "${source}/${licence}")
    message(FATAL_ERROR "${source} does not hold the source of ${name}")
  endif()
  if(SKBUILD_METADATA_DIR)
    install(FILES "${source}/${licence}" DESTINATION "${SKBUILD_METADATA_DIR}/licenses/${name}"
      COMPONENT python)
  endif()
  set(${variable} "${source}" PARENT_SCOPE)
endfunction()

# bundle(NAME LIBRARY [IN subdirectory] [PART component] [AFTER names] [WITH settings])
function(bundle name library)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "IN;PART" "AFTER;WITH")
  unpack(${name} source)
  set(install "${CMAKE_COMMAND}" --install <BINARY_DIR> --config Release)
  if(arg_PART)
    list(APPEND install --component ${arg_PART})
  endif()
  set(file "${prefix}/lib/${CMAKE_STATIC_LIBRARY_PREFIX}${library}${CMAKE_STATIC_LIBRARY_SUFFIX}")
  ExternalProject_Add(${name}
    SOURCE_DIR "${source}"
    PREFIX "${prefix}/${name}"
    SOURCE_SUBDIR "${arg_IN}"
    DEPENDS ${arg_AFTER}
    LIST_SEPARATOR |
    CMAKE_ARGS ${common} ${arg_WITH}
    INSTALL_COMMAND ${install}
    BUILD_BYPRODUCTS "${file}"
    LOG_CONFIGURE ON LOG_BUILD ON LOG_INSTALL ON LOG_OUTPUT_ON_FAILURE ON)
  add_dependencies(bundled ${name})
  add_library(bundled_${name} STATIC IMPORTED)
  set_target_properties(bundled_${name} PROPERTIES IMPORTED_LOCATION "${file}")
endfunction()

bundle(zlib z PART Development
  WITH -DZLIB_BUILD_SHARED=OFF -DZLIB_BUILD_TESTING=OFF)
bundle(libdeflate deflate WITH -DLIBDEFLATE_BUILD_SHARED_LIB=OFF -DLIBDEFLATE_BUILD_GZIP=OFF)
bundle(zstd zstd IN build/cmake
  WITH -DZSTD_BUILD_SHARED=OFF -DZSTD_BUILD_PROGRAMS=OFF -DZSTD_BUILD_TESTS=OFF
       -DZSTD_LEGACY_SUPPORT=OFF -DZSTD_MULTITHREAD_SUPPORT=OFF -DZSTD_BUILD_DICTBUILDER=OFF)
bundle(xz lzma
  WITH -DXZ_THREADS=no -DXZ_NLS=OFF -DXZ_DOC=OFF -DXZ_TOOL_XZ=OFF -DXZ_TOOL_XZDEC=OFF
       -DXZ_TOOL_LZMADEC=OFF -DXZ_TOOL_LZMAINFO=OFF -DXZ_TOOL_SCRIPTS=OFF -DXZ_SANDBOX=no)
bundle(lerc Lerc)
bundle(libtiff tiff
  AFTER zlib libdeflate zstd xz lerc
  WITH -Dtiff-tools=OFF -Dtiff-tests=OFF -Dtiff-contrib=OFF -Dtiff-docs=OFF -Dtiff-cxx=OFF
       -Dtiff-install=ON -Dzlib=ON -Dlibdeflate=ON -Dzstd=ON -Dlzma=ON -Dlerc=ON
       # Not for samples of whole bytes, or converted colours: see image.pxd.
       -Dccitt=OFF -Dthunder=OFF -Dnext=OFF -Dlogluv=OFF -Dmdi=OFF -Dpixarlog=OFF
       -Djbig=OFF -Djpeg=OFF -Dold-jpeg=OFF -Dwebp=OFF)

# No more than its header is needed.
unpack(xxhash xxhash)
target_include_directories(bundled INTERFACE "${xxhash}")

# In the order of linking: what is used stands behind what uses it.
foreach(name libtiff lerc zstd xz zlib libdeflate)
  target_link_libraries(bundled INTERFACE bundled_${name})
endforeach()
set_target_properties(bundled_lerc PROPERTIES IMPORTED_LINK_INTERFACE_LANGUAGES CXX)
target_compile_definitions(bundled INTERFACE RS_TENSOR_BUNDLED_LIBTIFF LERC_STATIC)
# Other modules of the process may bring another libtiff or zlib: ours stays inside.
if(APPLE)
  target_link_options(bundled INTERFACE "LINKER:-exported_symbol,_PyInit__tiff" "LINKER:-dead_strip")
elseif(UNIX)
  target_link_options(bundled INTERFACE
    "LINKER:--version-script,${CMAKE_CURRENT_LIST_DIR}/exports.map" "LINKER:--gc-sections")
endif()
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_link_options(bundled INTERFACE -static-libstdc++ -static-libgcc)
endif()
if(UNIX)
  target_link_libraries(bundled INTERFACE m)
endif()
