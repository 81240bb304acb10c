/*
 * list: an intrusive doubly linked list with a head. An entry not on a list points to itself, so removing twice is harmless.
 * The owner of the entries locks.
 */
#ifndef CLAIMFS_BASE_LIST_H
#define CLAIMFS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
#define list_entry(pointer, type, member) container_of(pointer, type, member)

static inline void list_init(struct list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_append(struct list *head, struct list *entry)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

static inline void list_prepend(struct list *head, struct list *entry)
{
	list_append(head->next, entry);
}

static inline void list_remove(struct list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	list_init(entry);
}

/* Moves all of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

/* The first entry taken off, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	list_remove(first);
	return first;
}

#define list_for_each(position, head) \
	for ((position) = (head)->next; (position) != (head); (position) = (position)->next)

/* `next` keeps the walk safe when the body removes `position`. */
#define list_for_each_safe(position, next_, head)                                                   \
	for ((position) = (head)->next, (next_) = (position)->next; (position) != (head); \
	     (position) = (next_), (next_) = (position)->next)

#endif
