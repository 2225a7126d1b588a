# Packages for Debian: `cpack -G DEB` in a build folder that was configured with
# -DCMAKE_INSTALL_PREFIX=/usr makes lsmfs, libtinylsm0 and libtinylsm-dev (docs/hacking.md).
#
# The maintainer of a package is who makes it: LSMFS_MAINTAINER, or as for Debian's own tools
# DEBFULLNAME and DEBEMAIL, else the user on this host.
set(maintainer "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
if("$ENV{DEBEMAIL}" STREQUAL "")
  cmake_host_system_information(RESULT host QUERY FQDN)
  set(maintainer "lsmfs packager <root@${host}>")
elseif("$ENV{DEBFULLNAME}" STREQUAL "")
  set(maintainer "lsmfs packager <$ENV{DEBEMAIL}>")
endif()
set(LSMFS_MAINTAINER "${maintainer}" CACHE STRING "Maintainer of the packages: NAME <ADDRESS>")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lsmfs)
set(CPACK_PACKAGE_CONTACT "${LSMFS_MAINTAINER}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL lsmfs development)
if(LSMFS_SHARED)
  list(APPEND CPACK_COMPONENTS_ALL library)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(library_package libtinylsm${PROJECT_VERSION_MAJOR})

set(CPACK_DEBIAN_LSMFS_PACKAGE_NAME lsmfs)
set(CPACK_DEBIAN_LSMFS_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_LSMFS_PACKAGE_SHLIBDEPS ON)
if(TARGET lsmfs)
  set(CPACK_DEBIAN_LSMFS_PACKAGE_DEPENDS fuse3)
endif()
set(CPACK_DEBIAN_LSMFS_PACKAGE_SUGGESTS "bash-completion, librados2")
set(CPACK_DEBIAN_LSMFS_DESCRIPTION "file system in a log-structured key-value store
A file system over FUSE whose files live in a key-value store: compressed,
checksummed, with snapshots. Each operation is atomic, also across a crash.
This package has the daemon lsmfs, helpers for mount and umount, systemd
units, and lsmfsctl, which works on a store with or without a mount.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library_package})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "embedded key-value store, a log-structured merge tree
An ordered key-value store in a directory, for one process at a time, with
atomic batches, snapshots, compression and checksums.
This package has the shared library.")

# For who links it; and the loader's cache is renewed when it comes and goes.
file(WRITE ${CMAKE_BINARY_DIR}/deb/shlibs
  "libtinylsm ${PROJECT_VERSION_MAJOR} ${library_package} (>= ${PROJECT_VERSION})\n")
file(WRITE ${CMAKE_BINARY_DIR}/deb/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
  ${CMAKE_BINARY_DIR}/deb/shlibs ${CMAKE_BINARY_DIR}/deb/triggers)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libtinylsm-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "liblz4-dev, libxxhash-dev, zlib1g-dev")
if(LSMFS_SHARED)
  string(PREPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "${library_package} (= ${PROJECT_VERSION}), ")
endif()
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "embedded key-value store, development files
An ordered key-value store in a directory, for one process at a time, with
atomic batches, snapshots, compression and checksums.
This package has the header, the static library, and what CMake and
 pkg-config need to find it.")

# What Debian wants of files beside what `cmake --install` does.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/packaging/deb/prepare.cmake)
set(CPACK_LSMFS_PACKAGING ${CMAKE_SOURCE_DIR}/packaging/deb)
set(CPACK_LSMFS_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
# The changelog's date: of the newest change, where that is known.
execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} log -1 --format=%cD
  OUTPUT_VARIABLE CPACK_LSMFS_DATE OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT CPACK_LSMFS_DATE)
  execute_process(COMMAND date -R OUTPUT_VARIABLE CPACK_LSMFS_DATE OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
set(CPACK_LSMFS_STRIP ${CMAKE_STRIP})
include(CPack)
