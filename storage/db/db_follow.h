// Following: reading a store while another process has it open and writes (lsm_refresh).
//
// Lock: a mutex of its own, held over the I/O of a refresh; before the store's mutex.
//
// Touched by: db_follow
#ifndef LSM_DB_DB_FOLLOW_H
#define LSM_DB_DB_FOLLOW_H

struct lsm;
struct db_follow;

// In place of recovery: takes nothing that the writer needs, writes nothing. On failure nothing is
// left but what db_follow_close() frees.
int db_follow_open(struct lsm *db);
void db_follow_close(struct lsm *db); // a store that is not followed is left alone

#endif
