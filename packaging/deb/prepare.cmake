# cpack runs this between installing into its own folders, one a component, and making the packages:
# compresses the manual pages, strips the static library, adds copyright and changelog.

# Runs a command; a failure ends cpack.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "${ARGN}: ${status}")
  endif()
endfunction()

set(here ${CPACK_LSMFS_PACKAGING})
file(GLOB pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/man8/*.8)
if(pages)
  run(gzip -9 -n ${pages})
endif()
file(GLOB_RECURSE archives ${CPACK_TEMPORARY_DIRECTORY}/*/libtinylsm.a)
foreach(archive ${archives})
  run(${CPACK_LSMFS_STRIP} --strip-debug --remove-section=.comment --remove-section=.note
      --enable-deterministic-archives ${archive})
endforeach()

file(READ ${CPACK_LSMFS_LICENSE} license)
string(REGEX REPLACE "\n\n" "\n.\n" license "${license}")
string(REGEX REPLACE "\n([^\n])" "\n \\1" license "${license}")
foreach(component ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(doc ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share/doc/${package})
  file(MAKE_DIRECTORY ${doc})
  configure_file(${here}/copyright.in ${doc}/copyright @ONLY)
  configure_file(${here}/changelog.in ${doc}/changelog @ONLY)
  run(gzip -9 -n ${doc}/changelog)
endforeach()
