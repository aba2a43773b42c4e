/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The evl engine's structures; see evl_heap.c for what they are for.
 */
#ifndef _CHAOS_EVL_HEAP_H
#define _CHAOS_EVL_HEAP_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/kconfig.h>
#include <linux/limits.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "engine.h"
#include "lock.h"

/*
 * A page of 512 bytes is 32 of the smallest blocks: one word of busy bits.
 * Blocks of half a page are the largest ones that can share a page.
 */
#define EVL_PAGE_SHIFT		9
#define EVL_PAGE_SIZE		BIT(EVL_PAGE_SHIFT)
#define EVL_MIN_LOG2		4
#define EVL_MAX_LOG2		(EVL_PAGE_SHIFT - 1)
#define EVL_MIN_BLOCK		BIT(EVL_MIN_LOG2)
#define EVL_NR_BUCKETS		(EVL_MAX_LOG2 - EVL_MIN_LOG2 + 1)
#define EVL_ALL_BUSY		U32_MAX

static_assert(EVL_PAGE_SIZE / EVL_MIN_BLOCK == BITS_PER_TYPE(u32));
/* A block must be able to hold the link of chaos_defer_free(). */
static_assert(sizeof(struct chaos_deferred_block) <= EVL_MIN_BLOCK);

/*
 * Free ranges shorter than this wait in a list of their exact length, so that
 * one word tells which lengths there are; longer ones are in the size tree.
 */
#define EVL_NR_BINS		64

/* Pages are counted in 32 bits: a pool ends below 2 TiB on 64-bit machines. */
#define EVL_MAX_PAGES		((size_t)U32_MAX)

/*
 * What a page is.  Everything but EVL_NONE is the first page of something,
 * or the last page of a free range; a page is EVL_NONE if and only if it is
 * inside of a range.  Types from EVL_MIN_LOG2 to EVL_MAX_LOG2 are pages of
 * blocks of that size.
 */
enum evl_page_type {
	EVL_NONE,
	EVL_FREE,		/* first page of a free range */
	EVL_RANGE,		/* first page of an allocated range */
	EVL_FREE_END,		/* last page of a free range of two or more */
	EVL_GUARD = EVL_MAX_LOG2 + 1, /* before the first, after the last */
};

static_assert(EVL_FREE_END < EVL_MIN_LOG2);

/**
 * struct evl_page - an entry of the page map, one for each page of a pool
 * @type: what the page is, an &enum evl_page_type or log2 of a block size
 * @align: EVL_RANGE: log2 of the alignment that was promised
 * @slot: which of evl_heap.pools the page is in; constant
 * @busy: page of blocks: a set bit is a block that is allocated, or lies
 *	beyond the end of the page
 * @pages: EVL_RANGE, EVL_FREE, EVL_FREE_END: length of the range
 * @prev: page of blocks: in the ring of evl_bucket.head; EVL_FREE: in that of
 *	evl_heap.bin, if the range is short
 * @next: the same
 * @range: EVL_FREE: the node in evl_heap.size_tree, if the range is long
 *
 * The map is the only truth about the pool, and lies outside of it: nothing
 * that a client writes through a stale pointer can change it.  That is why the
 * rings need not be list_heads, whose hardened form costs a call for each
 * link.
 */
struct evl_page {
	u8 type;
	u8 align;
	u16 slot;
	union {
		u32 busy;
		u32 pages;
	};
	union {
		struct {
			struct evl_page *prev;
			struct evl_page *next;
		};
		struct evl_range *range;
	};
};

static_assert(sizeof(struct evl_page) == 8 + 2 * sizeof(void *));

/**
 * struct evl_range - where a long free range is in the size tree
 * @size_node: in evl_heap.size_tree
 * @page: the range's first page, whose @pages is the key; NULL: not in use
 *
 * The first pages of two ranges of EVL_NR_BINS pages or more are at least
 * that far apart.  So there is one node for each EVL_NR_BINS pages of the
 * pool, and the number of its first page tells a range which is its own.
 */
struct evl_range {
	struct rb_node size_node;
	struct evl_page *page;
};

/**
 * struct evl_pool - the engine's side of a pool
 * @start: address of the first page
 * @page: the page map; page[-1] and page[nr_pages] are guards
 * @range: nodes of the long free ranges
 * @nr_pages: pages of the pool
 * @used: those that are not in free ranges
 * @slot: index in evl_heap.pools
 *
 * All but @used are constant.
 */
struct evl_pool {
	unsigned long start;
	struct evl_page *page;
	struct evl_range *range;
	u32 nr_pages;
	u32 used;
	u16 slot;
};

/**
 * struct evl_use - what a bucket, or all ranges together, have been used for
 * @allocs: blocks allocated so far
 * @frees: blocks freed so far; the others are live
 * @pages: pages that are neither free nor used by others
 * @peak_pages: the highest @pages
 */
struct evl_use {
	u64 allocs;
	u64 frees;
	size_t pages;
	size_t peak_pages;
};

/**
 * struct evl_bucket - the pages of blocks of one size
 * @head: ring of the pages, those with room in front, full ones behind.  A
 *	page itself, always full: an empty ring needs no test of its own.
 * @empty: the busy bits of a page without allocated blocks
 * @spare: the page that was last kept though empty, or NULL; it is in the
 *	ring, and by now it may be in use again
 * @use: its figures
 *
 * No page but @spare is empty.  The alignment makes an index a shift.
 */
struct evl_bucket {
	struct evl_page head;
	u32 empty;
	struct evl_page *spare;
	struct evl_use use;
} __aligned(16 * sizeof(long));

static_assert(!(sizeof(struct evl_bucket) & (sizeof(struct evl_bucket) - 1)));

/**
 * struct evl_heap - the engine's side of a heap
 * @lock: guards all below, and the page maps of all pools
 * @bin_map: bit n is set if bin[n] is not empty
 * @heap: whose it is
 * @pools: the pools by slot; a free slot is NULL
 * @nr_slots: length of @pools
 * @bucket: pages of blocks, by log2 of the block size less EVL_MIN_LOG2
 * @size_tree: free ranges of EVL_NR_BINS pages or more, by length
 * @ranges: figures of the allocated ranges
 * @bin: heads of the rings of shorter free ranges, by length; bin[0] is not used
 *
 * Every free range is in exactly one bin or in the tree, and no two touch
 * unless they are of two pools.
 */
struct evl_heap {
	struct chaos_lock lock;
	u64 bin_map;
	struct chaos_heap *heap;
	struct evl_pool **pools;
	unsigned int nr_slots;
	struct evl_bucket bucket[EVL_NR_BUCKETS];
	struct rb_root_cached size_tree;
	struct evl_use ranges;
	struct evl_page bin[EVL_NR_BINS];
};

static_assert(EVL_NR_BINS == 64);

static inline struct evl_bucket *evl_bucket_of(struct evl_heap *evl,
					       unsigned int log2)
{
	return &evl->bucket[log2 - EVL_MIN_LOG2];
}

static inline size_t evl_live(const struct evl_use *use)
{
	return use->allocs - use->frees;
}

/* The busy bits that stand for blocks. */
static inline u32 evl_block_mask(unsigned int log2)
{
	return GENMASK((EVL_PAGE_SIZE >> log2) - 1, 0);
}

/* Two of the engine's operations, for direct calls by the default heap. */
void *evl_alloc(struct chaos_heap *heap, size_t size, size_t align);
enum chaos_verdict evl_free(struct chaos_heap *heap, struct chaos_pool *pool,
			    void *p);

#if IS_ENABLED(CONFIG_KUNIT)
/* For the white-box tests.  All but the first are called with the lock held. */
size_t evl_round_size(size_t size);
void evl_insert_range_bysize(struct evl_heap *evl, struct evl_page *r);
void evl_remove_range_bysize(struct evl_heap *evl, struct evl_page *r);
void evl_insert_range_byaddr(struct evl_page *r, u32 pages);
void evl_remove_range_byaddr(struct evl_page *r);
struct evl_page *evl_search_left_mergeable(struct evl_page *page);
struct evl_page *evl_search_right_mergeable(struct evl_page *end);
struct evl_page *evl_search_size_ge(struct evl_heap *evl, u32 pages);
struct evl_page *evl_reserve_page_range(struct evl_heap *evl, u32 pages,
					size_t align);
void evl_release_page_range(struct evl_heap *evl, struct evl_page *page,
			    u32 pages);
void evl_move_page_front(struct evl_page *head, struct evl_page *page);
void evl_move_page_back(struct evl_page *head, struct evl_page *page);
enum chaos_verdict evl_free_unlocked(struct evl_heap *evl,
				     struct evl_pool *ep, void *p);
#endif

#endif /* _CHAOS_EVL_HEAP_H */
