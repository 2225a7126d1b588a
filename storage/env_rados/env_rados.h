// An env whose directories are stores in a Ceph cluster, named "rados:POOL/NAME".
//
// It keeps env.h's promises, and these: what pwrite has written survives the death of the process
// and of an object daemon at once; names and their changes are durable when the call returns;
// sync has nothing left to do. It cannot map or pre-allocate (LSM_INVALID), nor link between
// stores. A lock is a lease: see docs/scale-out.md.
#ifndef LSM_ENV_RADOS_ENV_RADOS_H
#define LSM_ENV_RADOS_ENV_RADOS_H

#include "env/env.h"

// Whether a store's path means a store in a cluster.
bool env_rados_named(const char *path);

// The store's name with the cluster's: "FSID,POOL,NAME". LSM_INVALID for a path of another kind.
int env_rados_key(const char *path, char *key, size_t size);

// Over librados. Static; never freed.
struct env *env_rados(void);

// The same for who follows a store that another process writes (lsm_options.follow): it holds no
// lease, keeps nothing of the index in memory, and changes nothing but for a sign that it is there.
// What it reads is what the cluster holds at that moment, so a file that was removed meanwhile
// reads LSM_CORRUPTION. Static; never freed.
struct env *env_rados_following(void);

#endif
