/*
 * proto: constants of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions (its file PROTOCOL), and the limits
 * this engine keeps whatever the peer says.
 *
 *   packet:  uint32 length · byte type · uint32 id (INIT and VERSION: the version) · body
 */
#ifndef CLAIMFS_SFTP_PROTO_H
#define CLAIMFS_SFTP_PROTO_H

#define PROTO_VERSION 3

enum proto_type {
	FXP_INIT = 1, FXP_VERSION = 2, FXP_OPEN = 3, FXP_CLOSE = 4, FXP_READ = 5, FXP_WRITE = 6, FXP_LSTAT = 7, FXP_FSTAT = 8,
	FXP_SETSTAT = 9, FXP_FSETSTAT = 10, FXP_OPENDIR = 11, FXP_READDIR = 12, FXP_REMOVE = 13, FXP_MKDIR = 14, FXP_RMDIR = 15,
	FXP_REALPATH = 16, FXP_STAT = 17, FXP_RENAME = 18, FXP_READLINK = 19, FXP_SYMLINK = 20,
	FXP_STATUS = 101, FXP_HANDLE = 102, FXP_DATA = 103, FXP_NAME = 104, FXP_ATTRS = 105,
	FXP_EXTENDED = 200, FXP_EXTENDED_REPLY = 201,
};

enum proto_status {
	FX_OK = 0, FX_EOF = 1, FX_NO_SUCH_FILE = 2, FX_PERMISSION_DENIED = 3, FX_FAILURE = 4, FX_BAD_MESSAGE = 5,
	FX_NO_CONNECTION = 6, FX_CONNECTION_LOST = 7, FX_OP_UNSUPPORTED = 8,
	/* Of later versions, which some servers send all the same. */
	FX_INVALID_HANDLE = 9, FX_NO_SUCH_PATH = 10, FX_FILE_ALREADY_EXISTS = 11, FX_WRITE_PROTECT = 12, FX_NO_MEDIA = 13,
	FX_NO_SPACE_ON_FILESYSTEM = 14, FX_QUOTA_EXCEEDED = 15, FX_DIR_NOT_EMPTY = 18, FX_NOT_A_DIRECTORY = 19,
	FX_INVALID_FILENAME = 20, FX_LINK_LOOP = 21, FX_FILE_IS_A_DIRECTORY = 24,
};

#define PROTO_ATTR_SIZE 0x00000001u
#define PROTO_ATTR_OWNER 0x00000002u
#define PROTO_ATTR_MODE 0x00000004u
#define PROTO_ATTR_TIMES 0x00000008u
#define PROTO_ATTR_EXTENDED 0x80000000u

#define EXT_POSIX_RENAME "posix-rename@openssh.com"	/* version "1" */
#define EXT_HARDLINK "hardlink@openssh.com"		/* "1" */
#define EXT_FSYNC "fsync@openssh.com"			/* "1" */
#define EXT_STATVFS "statvfs@openssh.com"		/* "2" */
#define EXT_LSETSTAT "lsetstat@openssh.com"		/* "1" */
#define EXT_LIMITS "limits@openssh.com"			/* "1" */
#define EXT_EXPAND_PATH "expand-path@openssh.com"	/* "1" */
#define EXT_COPY_DATA "copy-data"			/* "1" */

#define PROTO_MAX_PACKET (256u * 1024 + 4096)	/* length field; OpenSSH's own limit is 256 KiB */
#define PROTO_MAX_HANDLE 256u			/* draft, section 6.3 */
#define PROTO_MAX_PATH 4095u			/* PATH_MAX without its NUL: no server on Linux takes a longer one */
#define PROTO_MAX_NAME 4096u			/* of a listed name; longer ones are dropped */
#define PROTO_DEFAULT_DATA (32u * 1024)		/* what every version 3 server takes (draft, section 3: packets of 34,000) */
#define PROTO_MIN_DATA 512u			/* whatever it says: less is no server's need, and every byte would cost a hundred here */
#define PROTO_MAX_DATA (255u * 1024)		/* OpenSSH: 256 KiB a message less 1 KiB */
#define PROTO_HEAD 9u				/* length, type, id */

#endif
