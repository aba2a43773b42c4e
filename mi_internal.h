/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the mimalloc engine share: mi_heap.c has the theaps and the
 * pages' ownership, mi_slices.c the memory that pages are made of, mi_check.c
 * what looks at the heap as a whole.
 */
#ifndef _CHAOS_MI_INTERNAL_H
#define _CHAOS_MI_INTERNAL_H

#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/rculist.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "busy.h"
#include "mi_heap.h"

/**
 * struct mi_bin_state - what a heap knows of a size class
 * @pages: pages in use
 * @peak: the highest @pages
 * @listed: LISTED pages, and those that are just becoming so
 */
struct mi_bin_state {
	atomic_t pages;
	int peak;
	atomic_t listed;
};

/**
 * struct mi_visit - to a CPU, which is to give back what its theaps keep
 * @work: does so, there
 * @heap: whose theaps
 * @force: all that can be given back, not only what is overdue
 * @asked: how often collections have queued it; changed under heap->mutex
 * @done: the @asked that its last visit began with
 * @awaited: by the collection that queued it last; under heap->mutex
 */
struct mi_visit {
	struct work_struct work;
	struct chaos_heap *heap;
	bool force;
	unsigned int asked;
	unsigned int done;
	bool awaited;
};

/**
 * struct mi_events - what a CPU has done that is not a theap's alone
 * @busy: pages that are being taken or given back
 * @foreign_frees: for each bin, blocks taken over from thread_free
 * @single_frees: blocks of bin 0
 * @abandoned: for each bin, pages made LISTED
 * @adopted: for each bin, LISTED pages taken over by an allocation
 * @regained: FULL pages taken over by a free
 *
 * this_cpu_add() only: any level may interrupt any other.
 */
struct mi_events {
	struct chaos_busy busy;
	u64 single_frees;
	u64 foreign_frees[MI_BINS];
	u64 abandoned[MI_BINS];
	u64 adopted[MI_BINS];
	u64 regained;
};

/**
 * struct mi_heap - what the theaps of a heap share
 * @pools: struct mi_pool, oldest first; changed under heap->mutex, RCU
 * @seed: state of the key generator
 * @key: all pages' key when the heap's hardening is 0
 * @cached: bytes of the pages in all theaps' queues, as far as they have told
 * @cache_limit: theaps that find @cached above it let pages go
 * @tell_batch: bytes that a theap may leave untold, in either direction
 * @page_max: bytes that a page of several blocks may have
 * @retire_max: pages of more bytes are given back as soon as they are empty
 * @spare_max: bytes of empty pages that a theap may keep, but for each class's last
 * @events: statistics
 * @visits: collections, on each CPU
 * @visited: woken when one is done
 * @bin: for each bin
 */
struct mi_heap {
	struct list_head pools;
	atomic64_t seed;
	unsigned long key;
	atomic_long_t cached;
	size_t cache_limit;
	long tell_batch;
	size_t page_max;
	size_t retire_max;
	size_t spare_max;
	struct mi_events __percpu *events;
	struct mi_visit __percpu *visits;
	wait_queue_head_t visited;
	struct mi_bin_state bin[MI_BINS];
};

/* At level 2, pages have several units, so that a guard costs not as much as they. */
#define MI_GUARDED_UNITS	4U

/* ------------------------------ words and links --------------------------- */

static inline u32 mi_link_of(u64 word)
{
	return word & MI_LINK_MASK;
}

static inline s32 mi_count_of(u64 word)
{
	return (s32)(word >> MI_COUNT_SHIFT);
}

static inline u64 mi_count_word(s32 count)
{
	return (u64)(u32)count << MI_COUNT_SHIFT;
}

static inline bool mi_is_owned(u64 word)
{
	return (word & (MI_OWNED | MI_LISTED)) == MI_OWNED;
}

/* Without an owner, and no block has been freed since it had one. */
static inline bool mi_is_full(u64 word)
{
	return mi_count_of(word) > 0 && !(word & U32_MAX);
}

static inline bool mi_is_dying(u64 word)
{
	return (word & (MI_OWNED | MI_LISTED)) == (MI_OWNED | MI_LISTED);
}

/* Blocks of an owned page that are not on its free list. */
static inline u32 mi_page_used(const struct mi_page *page)
{
	return page->allocs - page->frees;
}

/* Blocks on the free list of a page that we own. */
static inline u32 mi_free_count(const struct mi_page *page)
{
	return page->capacity - mi_page_used(page);
}

static inline u32 mi_first_link(const struct mi_page *page)
{
	return page->bin ? page->block_size : MI_SINGLE_LINK;
}

static inline unsigned long mi_page_start(const struct mi_page *page)
{
	return page->base + mi_first_link(page);
}

/* The number of the block that a link leads to, or something huge. */
static inline unsigned long mi_block_index(const struct mi_page *page,
					   unsigned long link)
{
	if (!link || link > U32_MAX || !mi_is_multiple(link, page->magic))
		return ULONG_MAX;
	return link / mi_first_link(page) - 1;
}

static inline struct mi_pool *mi_pool_priv(const struct chaos_pool *pool)
{
	return container_of(pool->priv, struct mi_pool, map);
}

static inline struct mi_pool *mi_pool_of(const struct mi_page *page)
{
	return mi_pool_priv(chaos_pool_of((void *)mi_page_start(page)));
}

static inline size_t mi_page_bytes(const struct mi_page *page)
{
	return (size_t)page->slices << page->slice_shift;
}

static inline bool mi_slice_used(const struct mi_pool *mp, unsigned int index)
{
	return test_bit(index, mp->used);
}

/*
 * The pools' list changes under heap->mutex.  Others read it with preemption
 * off, which an RCU grace period waits for.
 */
#define mi_for_each_pool(mp, mi)					\
	list_for_each_entry_rcu(mp, &(mi)->pools, list, true)

/* mi_slices.c */
struct mi_page *mi_page_alloc(struct chaos_heap *heap, unsigned int bin,
			      size_t block_size, size_t align);
void mi_page_free(struct chaos_heap *heap, struct mi_page *page);
bool mi_guard_intact(const struct mi_page *page);
int mi_add_pool(struct chaos_heap *heap, struct chaos_pool *pool);
size_t mi_pool_used(struct chaos_heap *heap, struct chaos_pool *pool);
bool mi_release_pool(struct chaos_heap *heap, struct chaos_pool *pool);
void mi_remove_pool(struct chaos_heap *heap, struct chaos_pool *pool);

/* mi_heap.c */
u64 mi_page_claim(struct mi_page *page, bool listed_only);
bool mi_page_settle(struct chaos_heap *heap, struct mi_page *page);
bool mi_theap_abandon(struct mi_theap *theap, unsigned int n);
bool mi_theap_was_busy(struct mi_theap *theap);

/* mi_check.c */
int mi_check(struct chaos_heap *heap);
int mi_walk(struct chaos_heap *heap, struct chaos_pool *pool, chaos_visitor visitor,
	    void *arg);
size_t mi_cell(const struct chaos_pool *pool);
size_t mi_next_unusable(const struct chaos_pool *pool, size_t offset);
u64 mi_moves(struct chaos_heap *heap);
void mi_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats);
size_t mi_class_stats(struct chaos_heap *heap, struct chaos_class_stats *classes,
		      size_t n);
bool mi_collect(struct chaos_heap *heap, bool force);
void mi_collect_init(struct chaos_heap *heap);
void mi_quiesce(struct chaos_heap *heap);
void mi_cpu_dead(struct chaos_heap *heap, unsigned int cpu);

#endif /* _CHAOS_MI_INTERNAL_H */
