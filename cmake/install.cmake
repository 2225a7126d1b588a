# What `cmake --install` lays down: programs, mount helpers, the library (static, and shared unless
# LSMFS_SHARED=OFF), its one public header, pkg-config file, manual pages. Without libfuse3 nothing of
# the mount.
option(LSMFS_SHARED "Also build and install libtinylsm as a shared library" ON)

set(lsmfs_programs)
foreach(program lsmfs lsmfsctl lsm_bench)
  if(TARGET ${program})
    list(APPEND lsmfs_programs ${program})
  endif()
endforeach()
install(TARGETS ${lsmfs_programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES man/lsmfsctl.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)

# mount(8) and umount(8) look for helpers in /sbin; mounts have the type fuse.lsmfs.
if(TARGET lsmfs)
  install(PROGRAMS mount-scripts/mount.lsmfs mount-scripts/umount.lsmfs
          DESTINATION ${CMAKE_INSTALL_SBINDIR})
  install(PROGRAMS mount-scripts/umount.lsmfs DESTINATION ${CMAKE_INSTALL_SBINDIR}
          RENAME umount.fuse.lsmfs)
  install(FILES man/lsmfs.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
endif()

install(TARGETS tinylsm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES storage/lsm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(LSMFS_SHARED)
  # The same objects; only lsm_* is visible.
  file(WRITE ${CMAKE_BINARY_DIR}/tinylsm.map "{ global: lsm_*; local: *; };\n")
  add_library(tinylsm_shared SHARED $<TARGET_OBJECTS:tinylsm> $<TARGET_OBJECTS:lsmbase>)
  target_link_libraries(tinylsm_shared PRIVATE PkgConfig::LZ4 PkgConfig::XXHASH PkgConfig::ZLIB
                                               Threads::Threads)
  target_link_options(tinylsm_shared PRIVATE -Wl,--version-script,${CMAKE_BINARY_DIR}/tinylsm.map)
  if(NOT LSMFS_SANITIZE)
    target_link_options(tinylsm_shared PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(tinylsm_shared PROPERTIES OUTPUT_NAME tinylsm LINKER_LANGUAGE C
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${CMAKE_BINARY_DIR}/tinylsm.map)
  install(TARGETS tinylsm_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  set(TINYLSM_PRIVATE .private) # who links the shared library need not name what it needs
endif()

# The pkg-config file finds the prefix from where it lies, so the tree may be installed anywhere.
file(RELATIVE_PATH TINYLSM_UP ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/tinylsm.pc.in ${CMAKE_BINARY_DIR}/tinylsm.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tinylsm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
