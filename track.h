/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who allocated it: each live block of a heap with tracking remembers its caller.
 */
#ifndef _CHAOS_TRACK_H
#define _CHAOS_TRACK_H

#include <linux/kallsyms.h>
#include <linux/types.h>

#include "engine.h"

struct chaos_gone;
struct seq_file;

/**
 * struct chaos_origin - the last bytes of a tracked block
 * @site: where the allocation returned to
 * @stack: the stack's handle in the kernel's depot, or 0
 * @epoch: how often code had gone that blocks remember; see gone.c
 * @check: of the three, and of the block's address
 */
struct chaos_origin {
	unsigned long site;
	u32 stack;
	u32 epoch;
	u64 check;
};

/* Callers that a report can tell apart, and slots to find them in. */
#define CHAOS_CALLERS		192
#define CHAOS_CALLER_SLOTS	256

/* Those that a report prints. */
#define CHAOS_CALLERS_SHOWN	16

/**
 * struct chaos_caller - blocks of the same origin
 * @site: see struct chaos_origin
 * @stack: see there
 * @epoch: see there; 0 if there is no stack
 * @gone: the name, if the code at @site has gone since, or NULL
 * @blocks: how many there are; 0: the slot is empty
 * @bytes: how many of their bytes are the client's
 */
struct chaos_caller {
	unsigned long site;
	u32 stack;
	u32 epoch;
	struct chaos_gone *gone;
	size_t blocks;
	size_t bytes;
};

/* Is a block of this caller, whose @blocks and @bytes are 0, to be counted?  As a visitor. */
typedef bool (*chaos_caller_filter)(const struct chaos_caller *caller, void *arg);

/**
 * struct chaos_callers - what a walk over the live blocks has found
 * @wanted: which of them are counted, or NULL: all
 * @arg: its argument
 * @in_use: some may be counted as those of who had them before
 * @moved: some may not have been seen, or twice
 * @n: callers
 * @slots: a hash table of them; those with most bytes first after chaos_callers_find()
 * @damaged: blocks whose origin was overwritten
 * @others: blocks of callers that there was no room for
 * @name: for chaos_site_name()
 */
struct chaos_callers {
	chaos_caller_filter wanted;
	void *arg;
	bool in_use;
	bool moved;
	unsigned int n;
	struct chaos_caller slots[CHAOS_CALLER_SLOTS];
	struct chaos_caller damaged;
	struct chaos_caller others;
	char name[KSYM_SYMBOL_LEN];
};

static __always_inline bool chaos_is_tracked(const struct chaos_heap *heap)
{
	return heap->track;
}

/* Bytes of a block that are its origin. */
static inline size_t chaos_track_size(const struct chaos_heap *heap)
{
	return chaos_is_tracked(heap) ? sizeof(struct chaos_origin) : 0;
}

/* insmod's or the heap's level; what it needs of the kernel.  Task context. */
void chaos_track_init(struct chaos_heap *heap, enum chaos_track track);

/* The block at @p, of @usable bytes, is @caller's. */
void chaos_track_lay(struct chaos_heap *heap, void *p, size_t usable, gfp_t gfp,
		     unsigned long caller);

struct chaos_callers *chaos_callers_new(void);

/*
 * Who has the live blocks of @heap, as far as they are @wanted, most bytes first.  Under
 * chaos_gone_mutex until the result is not needed any more, with CPU hotplug locked out.
 * As engine->walk().
 */
int chaos_callers_find(struct chaos_heap *heap, struct chaos_callers *callers,
		       chaos_caller_filter wanted, void *arg);

/* How many *@frames of its stack are known; the first is the call site. */
unsigned int chaos_stack_frames(u32 handle, unsigned long **frames);

/* The first of those that were found; how many are left. */
void chaos_callers_print(struct seq_file *m, struct chaos_heap *heap,
			 struct chaos_callers *callers);

/* For callers->name, or that of what has gone. */
const char *chaos_site_name(struct chaos_callers *callers, unsigned long site, u32 epoch);

/* The callers of a tracked heap's blocks, in debugfs or, if @m is NULL, in the log. */
int chaos_callers_show(struct seq_file *m, struct chaos_heap *heap);

#endif /* _CHAOS_TRACK_H */
