// The manifest: an append-only log of version edits; CURRENT names the one in force.
//
// manifest_format.h has the bytes. The first record is a whole snapshot of the version; each later
// one an edit, durable before the next is begun. A record that was being written when the power
// went is an edit that was never acknowledged and is dropped; anything else wrong is corruption,
// reported with file and offset.
#ifndef LSM_VERSION_MANIFEST_H
#define LSM_VERSION_MANIFEST_H

#include "env/env.h"
#include "version/version.h"

struct manifest; // the writing side; used by one thread at a time (the db's manifest lock)

struct manifest_state {
    struct version *version; // one reference, the caller's
    uint64_t log_number, next_file, last_sequence;
    uint64_t manifest_number;
    uint64_t manifest_end; // offset behind the last record that was read
    struct snapshot_set snapshots;
};

// Drops the version and the snapshots; leaves zeros.
void manifest_state_release(struct manifest_state *state);

// Reads CURRENT and the manifest that it names. ret_state->next_file is larger than every number in
// use, those of the manifest and its tables included. Writes nothing. A failure leaves *ret_state
// untouched:
//   LSM_NOT_FOUND     there is no CURRENT, and no trace of a store that has lost it (the remains of
//                     a creation that was interrupted before CURRENT count as nothing)
//   LSM_CORRUPTION    something is damaged or missing; the detail says what and where
//   LSM_NEWER_FORMAT  CURRENT or the manifest is of a later format
//   LSM_NOT_A_STORE   CURRENT is another program's
//   LSM_IO_ERROR, LSM_PERMISSION, LSM_NO_MEMORY
int manifest_recover(struct env *env, struct manifest_state *ret_state);

// Reads one manifest, whatever CURRENT says. Fails as above, with LSM_NOT_FOUND if there is no such
// file. *ret_incomplete (may be NULL), with LSM_CORRUPTION: the manifest's first record was never
// completed, so the manifest never was in force.
int manifest_read(struct env *env, uint64_t number, struct manifest_state *ret_state,
                  bool *ret_incomplete);

// For a store that another process has open: brings `state`, which was read from the manifest that
// CURRENT named, up to date with the records that were appended since. *ret_changed: there were
// some. A record that is not whole counts as one that is still being written. LSM_NOT_FOUND:
// CURRENT names another manifest now. After any failure `state` can only be released.
int manifest_follow(struct env *env, struct manifest_state *state, bool *ret_changed);

// Starts manifest `number` (not in use by any file that matters) with a snapshot of `state`,
// synced, and points CURRENT at it, durably. state->manifest_number is ignored. After a failure
// CURRENT names either the old manifest or, complete and synced, the new one; the old one after
// LSM_NO_SPACE, LSM_NO_MEMORY, LSM_NO_FILES, LSM_TRY_AGAIN. A new file that CURRENT does not name
// for sure is gone.
int manifest_create(struct env *env, uint64_t number, const struct manifest_state *state,
                    struct manifest **ret_manifest);

// Appends an edit and syncs it; one that adds snapshots raises the manifest's format. LSM_NO_SPACE,
// LSM_NO_MEMORY, LSM_NO_FILES, LSM_TRY_AGAIN: nothing has changed. After any other failure the
// manifest is unusable (later calls fail too) and nobody knows whether the edit is in it. The
// caller must then delete neither the files that the edit adds nor those that it removes, until a
// manifest_create() with the wanted state has succeeded.
int manifest_append(struct manifest *manifest, const struct version_edit *edit);

uint64_t manifest_size(const struct manifest *manifest); // bytes; start anew when it grows large
uint64_t manifest_number(const struct manifest *manifest);
void manifest_free(struct manifest *manifest); // NULL is allowed

#endif
