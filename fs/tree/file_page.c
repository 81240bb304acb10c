/*
 * file_page: pages of a shared mapping that the kernel writes back through a handle opened with O_APPEND. They have a place of their own in the file, and the
 * server would put them at its end: they go through another handle of the file, or one more is opened on the server, when the first page comes.
 */
#include "tree/errors.h"
#include "tree/file_state.h"

static void opened(void *arg, const struct sftp_reply *answer)
{
	struct open_file *of = arg;
	struct real *real = of->real;
	struct writebehind_item *item;
	struct list waiting, *link;

	list_init(&waiting);
	pthread_mutex_lock(&real->lock);
	if (!answer->error)
		of->pages = answer->file;
	if (!answer->error && real->gone)
		sftp_file_gone(answer->file, true);
	of->pages_opening = false;
	list_splice(&waiting, &of->pages_waiting);
	pthread_mutex_unlock(&real->lock);
	while ((link = list_pop(&waiting))) {
		item = list_entry(link, struct writebehind_item, ready);
		if (answer->error)
			file_write_failed(real, item, errors_plain(answer->error));
		else
			file_send_through(real, item, answer->file);
	}
	open_file_unref(of);
}

static void open_pages(struct open_file *of)
{
	struct real *real = of->real;
	struct sftp_reply failed = { 0 };
	struct buf path = BUF_INIT;

	open_file_ref(of);
	failed.error = node_path(real->tree, real->node, NULL, &path);
	if (!failed.error)
		failed.error = sftp_open(real->tree->sftp, SFTP_DATA, path.data, SFTP_OPEN_WRITE, NULL, opened, of);
	buf_release(&path);
	if (failed.error)
		opened(of, &failed);
}

void file_page_send(struct real *real, struct writebehind_item *item)
{
	struct open_file *of = item->owner;
	struct sftp_file *file;
	bool begin = false;

	pthread_mutex_lock(&real->lock);
	if (!of->pages && !of->pages_opening) {		/* another handle may write at any place, if there is one */
		of->pages_lender = open_file_lend_locked(real, false, true, false);
		of->pages = of->pages_lender ? of->pages_lender->file : NULL;
	}
	file = of->pages;
	if (!file) {
		list_append(&of->pages_waiting, &item->ready);
		begin = !of->pages_opening;
		of->pages_opening = true;
	}
	pthread_mutex_unlock(&real->lock);
	if (file)
		file_send_through(real, item, file);
	else if (begin)
		open_pages(of);
}
