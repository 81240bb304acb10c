/*
 * errors: see errors.h. SSH_FX_FAILURE stands for every errno but ENOENT, EACCES, EPERM, EINVAL and their like (draft-ietf-secsh-filexfer-02,
 * section 7, and errno_to_portable() in OpenSSH's sftp-server): among others EEXIST, ENOTEMPTY, EISDIR, EXDEV, EROFS, ENOSPC, EDQUOT.
 *
 * Looking comes after the fact: another node may have changed things in between. Then the answer fits what is there now, which is
 * what a caller that asked a moment later would have got.
 */
#include "tree/errors.h"

#include <sys/stat.h>

#define SFTP_STATVFS_RDONLY 0x1

static bool is_there(const struct errors_look *look)
{
	return !look->error;
}

static bool is_type(const struct errors_look *look, uint32_t type)
{
	return !look->error && (look->attrs.flags & SFTP_ATTR_MODE) && (look->attrs.mode & S_IFMT) == type;
}

int errors_blame_disk(const struct errors_disk *disk)
{
	if (disk->error)
		return -EIO;
	if (disk->statvfs.flag & SFTP_STATVFS_RDONLY)
		return -EROFS;
	if (!disk->statvfs.bavail || (disk->statvfs.files && !disk->statvfs.favail))
		return -ENOSPC;
	return -EIO;
}

static bool other_disk(const struct errors_seen *seen)
{
	return !seen->disk.error && !seen->disk2.error && seen->disk.statvfs.fsid != seen->disk2.statvfs.fsid;
}

/* Nothing is at the new name, nor speaks against it: with an answer lost, send again; else the disk refused (or a directory above is missing). */
static int not_made(const struct errors_seen *seen)
{
	if (seen->error == -ENOENT)
		return -ENOENT;
	return seen->error == SFTP_UNKNOWN ? ERRORS_AGAIN : errors_blame_disk(&seen->disk);
}

static int decide_mkdir(const struct errors_seen *seen)
{
	if (!is_there(&seen->first))
		return not_made(seen);
	return seen->uncertain && is_type(&seen->first, S_IFDIR) ? 0 : -EEXIST;
}

static int decide_symlink(const struct errors_seen *seen)
{
	if (!is_there(&seen->first))
		return not_made(seen);
	return seen->uncertain && is_type(&seen->first, S_IFLNK) ? 0 : -EEXIST;
}

static int decide_rmdir(const struct errors_seen *seen)
{
	if (!is_there(&seen->first))
		return seen->uncertain ? 0 : -ENOENT;
	if (!is_type(&seen->first, S_IFDIR))
		return -ENOTDIR;
	if (seen->error == SFTP_UNKNOWN)
		return ERRORS_AGAIN;
	return errors_blame_disk(&seen->disk) == -EROFS ? -EROFS : -ENOTEMPTY;
}

static int decide_remove(const struct errors_seen *seen)
{
	if (!is_there(&seen->first))
		return seen->uncertain ? 0 : -ENOENT;
	if (is_type(&seen->first, S_IFDIR))
		return -EISDIR;
	return not_made(seen);
}

static int decide_link(const struct errors_seen *seen)
{
	if (is_there(&seen->second))	/* attributes of a hard link are those of its source */
		return seen->uncertain && is_there(&seen->first) && seen->first.attrs.size == seen->second.attrs.size &&
			seen->first.attrs.mtime == seen->second.attrs.mtime ? 0 : -EEXIST;
	if (!is_there(&seen->first))
		return -ENOENT;
	if (is_type(&seen->first, S_IFDIR))
		return -EPERM;
	return other_disk(seen) ? -EXDEV : not_made(seen);
}

/* The source is gone and the target is there: it has happened. */
static bool was_renamed(const struct errors_seen *seen)
{
	return seen->uncertain && !is_there(&seen->first) && is_there(&seen->second);
}

static int decide_rename(const struct errors_seen *seen)
{
	if (was_renamed(seen))
		return 0;
	if (!is_there(&seen->first))
		return -ENOENT;
	if (is_there(&seen->second)) {
		bool from_dir = is_type(&seen->first, S_IFDIR), to_dir = is_type(&seen->second, S_IFDIR);

		if (from_dir != to_dir)
			return from_dir ? -ENOTDIR : -EISDIR;
		if (seen->error != SFTP_UNKNOWN && from_dir)
			return -ENOTEMPTY;
	}
	return other_disk(seen) ? -EXDEV : not_made(seen);
}

static int decide_rename_new(const struct errors_seen *seen)
{
	if (was_renamed(seen))
		return 0;
	if (is_there(&seen->second))
		return -EEXIST;
	return decide_rename(seen);
}

/*
 * An exclusive create whose answer was lost, and a name that is there: this node's or another's cannot be told apart, so nobody may think to hold it.
 * (A lock file left over is safe; one held twice is not.)
 */
static int decide_create(const struct errors_seen *seen)
{
	return is_there(&seen->first) ? -EEXIST : not_made(seen);
}

static int decide_open(const struct errors_seen *seen)
{
	if (is_type(&seen->first, S_IFDIR))
		return -EISDIR;
	if (is_there(&seen->first) && !is_type(&seen->first, S_IFREG) && !is_type(&seen->first, S_IFLNK))
		return -ENXIO;
	return not_made(seen);
}

static int decide_disk(const struct errors_seen *seen)
{
	return not_made(seen);
}

static int (*const decide[CHANGE_KINDS])(const struct errors_seen *seen) = {
	[CHANGE_MKDIR] = decide_mkdir,
	[CHANGE_RMDIR] = decide_rmdir,
	[CHANGE_REMOVE] = decide_remove,
	[CHANGE_SYMLINK] = decide_symlink,
	[CHANGE_LINK] = decide_link,
	[CHANGE_RENAME] = decide_rename,
	[CHANGE_RENAME_NEW] = decide_rename_new,
	[CHANGE_CREATE] = decide_create,
	[CHANGE_OPEN] = decide_open,
	[CHANGE_WRITE] = decide_disk,
	[CHANGE_SETATTR] = decide_disk,
};

int errors_decide(enum change_kind kind, const struct errors_seen *seen)
{
	const struct errors_look *looks[] = { &seen->first, &seen->second };
	unsigned int i;

	for (i = 0; i < 2; i++)		/* a look that failed decides nothing */
		if (looks[i]->error && looks[i]->error != -ENOENT)
			return errors_plain(looks[i]->error);
	return decide[kind](seen);
}

int errors_plain(int error)
{
	return error == -EREMOTEIO || error == SFTP_UNKNOWN ? -EIO : error;
}
