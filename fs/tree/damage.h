/*
 * damage: files in stage/ with a write that failed. Many programs, shells among them, never look at what close() says; so what was staged with a
 * hole in it must not be published, whatever its program ended with. Known by the path on the server, until the file is begun anew.
 *
 * Any thread. What is not below a queue's tmp/ is not kept.
 */
#ifndef CLAIMFS_TREE_DAMAGE_H
#define CLAIMFS_TREE_DAMAGE_H

struct damage;

int damage_new(struct damage **ret_damage);	/* 0 or -ENOMEM */
void damage_free(struct damage *damage);

void damage_note(struct damage *damage, const char *path, int error);	/* error: -errno; memory short: all of stage/ is damaged */
void damage_mend(struct damage *damage, const char *path);	/* it was made, or cut to nothing */
void damage_move(struct damage *damage, const char *path, const char *new_path);	/* renamed, a directory too */
int damage_at(struct damage *damage, const char *path);		/* 0 or the error; `damage` may be NULL */

#endif
