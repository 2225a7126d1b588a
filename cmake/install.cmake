# What `cmake --install` lays down, in the components that cmake/package.cmake makes packages of:
#   lsmfs        programs, mount helpers, manual pages, systemd units, completions, an fstab example
#   library      the shared library (unless LSMFS_SHARED=OFF)
#   development  the static library, its one public header, CMake package, pkg-config file
#   bench        lsm_bench
# Without libfuse3 nothing of the mount.
option(LSMFS_SHARED "Also build and install libtinylsm as a shared library" ON)
set(LSMFS_UNIT_DIR lib/systemd/system CACHE STRING "Where systemd units are installed")
set(LSMFS_COMPLETION_DIR ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    CACHE STRING "Where completions for bash are installed")

# ---- programs
install(TARGETS lsmfsctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT lsmfs)
install(FILES man/lsmfsctl.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT lsmfs)
install(FILES packaging/completions/lsmfs DESTINATION ${LSMFS_COMPLETION_DIR} RENAME lsmfsctl
        COMPONENT lsmfs)
if(TARGET lsm_bench)
  install(TARGETS lsm_bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT bench)
endif()

# ---- the mount
# mount(8) and umount(8) look for helpers in /sbin; mounts have the type fuse.lsmfs.
if(TARGET lsmfs)
  install(TARGETS lsmfs RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT lsmfs)
  install(PROGRAMS mount-scripts/mount.lsmfs mount-scripts/umount.lsmfs
          DESTINATION ${CMAKE_INSTALL_SBINDIR} COMPONENT lsmfs)
  install(PROGRAMS mount-scripts/umount.lsmfs DESTINATION ${CMAKE_INSTALL_SBINDIR}
          RENAME umount.fuse.lsmfs COMPONENT lsmfs)
  install(FILES man/lsmfs.8 man/mount.lsmfs.8 man/umount.lsmfs.8 man/umount.fuse.lsmfs.8
          DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT lsmfs)
  foreach(name lsmfs umount.lsmfs)
    install(FILES packaging/completions/lsmfs DESTINATION ${LSMFS_COMPLETION_DIR} RENAME ${name}
            COMPONENT lsmfs)
  endforeach()
  install(FILES packaging/fstab DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT lsmfs)
  # Units name programs by their full path, which is known when they are installed.
  file(GLOB lsmfs_units CONFIGURE_DEPENDS packaging/systemd/*.in)
  foreach(unit ${lsmfs_units})
    get_filename_component(name ${unit} NAME_WLE)
    install(CODE "
      get_filename_component(bindir \"${CMAKE_INSTALL_BINDIR}\" ABSOLUTE BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
      get_filename_component(sbindir \"${CMAKE_INSTALL_SBINDIR}\" ABSOLUTE BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
      configure_file(\"${unit}\" \"${CMAKE_BINARY_DIR}/units/${name}\" @ONLY)" COMPONENT lsmfs)
    install(FILES ${CMAKE_BINARY_DIR}/units/${name} DESTINATION ${LSMFS_UNIT_DIR} COMPONENT lsmfs)
  endforeach()
endif()

# ---- the library
set(TINYLSM_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tinylsm)
set_target_properties(tinylsm PROPERTIES EXPORT_NAME tinylsm_static)
install(TARGETS tinylsm EXPORT tinylsm-static
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES storage/lsm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT tinylsm-static NAMESPACE tinylsm:: DESTINATION ${TINYLSM_CMAKE_DIR}
        COMPONENT development)
if(LSMFS_SHARED)
  # The same objects; only lsm_* is visible.
  file(WRITE ${CMAKE_BINARY_DIR}/tinylsm.map "{ global: lsm_*; local: *; };\n")
  add_library(tinylsm_shared SHARED $<TARGET_OBJECTS:tinylsm> $<TARGET_OBJECTS:lsmbase>)
  target_include_directories(tinylsm_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(tinylsm_shared PRIVATE PkgConfig::LZ4 PkgConfig::XXHASH PkgConfig::ZLIB
                                               Threads::Threads)
  target_link_options(tinylsm_shared PRIVATE -Wl,--version-script,${CMAKE_BINARY_DIR}/tinylsm.map)
  if(NOT LSMFS_SANITIZE)
    target_link_options(tinylsm_shared PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(tinylsm_shared PROPERTIES OUTPUT_NAME tinylsm LINKER_LANGUAGE C
    EXPORT_NAME tinylsm VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${CMAKE_BINARY_DIR}/tinylsm.map)
  install(TARGETS tinylsm_shared EXPORT tinylsm-shared
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development)
  install(EXPORT tinylsm-shared NAMESPACE tinylsm:: DESTINATION ${TINYLSM_CMAKE_DIR}
          COMPONENT development)
  set(TINYLSM_PRIVATE .private) # who links the shared library need not name what it needs
endif()

# Both find the prefix from where they lie, so the tree may be installed anywhere.
file(RELATIVE_PATH TINYLSM_UP ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/tinylsm.pc.in ${CMAKE_BINARY_DIR}/tinylsm.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tinylsm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT development)
include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/tinylsmConfig.cmake.in ${CMAKE_BINARY_DIR}/tinylsmConfig.cmake
  INSTALL_DESTINATION ${TINYLSM_CMAKE_DIR} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/tinylsmConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/tinylsmConfig.cmake ${CMAKE_BINARY_DIR}/tinylsmConfigVersion.cmake
        DESTINATION ${TINYLSM_CMAKE_DIR} COMPONENT development)
