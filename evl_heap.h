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
 * Each length of a free range has a bin, up to what three levels of bitmaps of 64
 * bits can tell apart; longer ranges, from 128 MiB on, are in the size tree.  A row is
 * the bins that one word of words of bits stands for.  Ranges of less than
 * EVL_LONG pages (32 KiB) are short: their bins and their one word are at hand.
 */
#define EVL_WORD_SHIFT		6
#define EVL_WORD_BITS		BIT(EVL_WORD_SHIFT)
#define EVL_LONG		EVL_WORD_BITS
#define EVL_ROW_SHIFT		(2 * EVL_WORD_SHIFT)
#define EVL_ROW_SIZE		BIT(EVL_ROW_SHIFT)
#define EVL_NR_ROWS		EVL_WORD_BITS
#define EVL_NR_BINS		(EVL_ROW_SIZE * EVL_NR_ROWS)

static_assert(BITS_PER_TYPE(u64) == EVL_WORD_BITS);

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
	EVL_KEPT = EVL_MAX_LOG2 + 1, /* first page of evl_heap.kept */
	EVL_GUARD,		/* before the first page, after the last */
};

static_assert(EVL_FREE_END < EVL_MIN_LOG2);

/**
 * struct evl_page - an entry of the page map, one for each page of a pool
 * @type: what the page is, an &enum evl_page_type or log2 of a block size
 * @align: EVL_RANGE: log2 of the alignment that was promised
 * @slot: which of evl_heap.pools the page is in; constant
 * @busy: page of blocks: a set bit is a block that is allocated, or lies
 *	beyond the end of the page
 * @pages: EVL_RANGE, EVL_FREE, EVL_FREE_END, EVL_KEPT: length of the range
 * @prev: page of blocks: in the ring of evl_bucket.head; EVL_FREE: in its bin,
 *	NULL for the first
 * @next: the same; in a bin, NULL for the last
 * @range: EVL_FREE: the node in evl_heap.size_tree, if there is no bin
 *
 * The map is the only truth about the pool, and lies outside of it: nothing
 * that a client writes through a stale pointer can change it.  That is why the
 * lists need not be list_heads, whose hardened form costs a call for each
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
 * struct evl_range - a long free range
 * @size_node: in evl_heap.size_tree, if there is no bin
 * @page: the range's first page, whose @pages is the key; NULL: never used
 *
 * The first pages of two ranges of EVL_LONG pages or more are at least that far
 * apart, and so are their entries in the page map.  So there is one node for each
 * 2^EVL_NODE_SHIFT bytes of the map, and where the entry of its first page lies
 * tells a range which is its own.  What is no free range any longer may still have
 * one that points to it.
 */
struct evl_range {
	struct rb_node size_node;
	struct evl_page *page;
};

#define EVL_NODE_SHIFT		10

static_assert(EVL_LONG * sizeof(struct evl_page) >= BIT(EVL_NODE_SHIFT));

/*
 * From an entry of the page map to the address of the page: what adds EVL_PAGE_SIZE
 * for each sizeof(struct evl_page) is a product, if all bits above a word's are
 * dropped.  EVL_PAGE_SCALE * sizeof(struct evl_page) == EVL_PAGE_SIZE: the inverse
 * of 3 is ...aaab.
 */
#ifdef CONFIG_64BIT
#define EVL_PAGE_SCALE		(EVL_PAGE_SIZE / 8 * 0xaaaaaaaaaaaaaaabUL)
#else
#define EVL_PAGE_SCALE		(EVL_PAGE_SIZE / 16)
#endif

static_assert(EVL_PAGE_SCALE * sizeof(struct evl_page) == EVL_PAGE_SIZE);

/**
 * struct evl_pool - the engine's side of a pool
 * @start: address of the first page
 * @bias: what the address of a page is more than its entry's EVL_PAGE_SCALE times
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
	unsigned long bias;
	struct evl_range *range;
	u32 nr_pages;
	u32 used;
	u16 slot;
};

/**
 * struct evl_row - the bins of some lengths of long free ranges
 * @words: bit n is set if map[n] is not 0
 * @map: a bit for each bin, set if it is not empty
 * @nr: number of bins; constant
 * @bin: the first range of each length, or NULL
 */
struct evl_row {
	u64 words;
	u64 map[EVL_ROW_SIZE / EVL_WORD_BITS];
	u32 nr;
	struct evl_page *bin[];
};

/**
 * struct evl_use - what a bucket, or all ranges together, have been used for
 * @allocs: blocks allocated so far
 * @pages: pages that are neither free nor used by others
 * @frees: blocks freed so far; the others are live
 * @peak_pages: the highest @pages
 *
 * What an allocation changes is side by side, and so is what a free changes.
 */
struct evl_use {
	u64 allocs;
	size_t pages;
	u64 frees;
	size_t peak_pages;
};

/**
 * struct evl_bucket - the pages of blocks of one size
 * @head: ring of the pages, those with room in front, full ones behind.  A
 *	page itself, always full: an empty ring needs no test of its own.
 * @empty: the busy bits of a page without allocated blocks
 * @use: its figures
 *
 * No page but evl_heap.spare is empty.  The alignment makes an index a shift.
 */
struct evl_bucket {
	struct evl_page head;
	u32 empty;
	struct evl_use use;
} __aligned(16 * sizeof(long));

static_assert(!(sizeof(struct evl_bucket) & (sizeof(struct evl_bucket) - 1)));

/**
 * struct evl_heap - the engine's side of a heap
 * @lock: guards all below, and the page maps of all pools
 * @short_map: bit n is set if short_bin[n] is not empty
 * @kept: the short range that was freed last, not merged yet, or NULL
 * @kept_pages: its length, or 0
 * @nr_slots: length of @pools
 * @pools: the pools by slot; a free slot is NULL
 * @heap: whose it is
 * @block_pages: pages of blocks, in all buckets
 * @watch: no peak is exceeded while no more bytes than this are held
 * @ranges: figures of the allocated ranges, with @kept; but their pages are what
 *	is held and no page of blocks, see evl_range_pages()
 * @spare: the page of blocks that was last kept though empty, or NULL; it is in
 *	its ring, and by now it may be in use again
 * @rows: bit n is set if row[n] is there and has any range
 * @bucket: pages of blocks, by log2 of the block size less EVL_MIN_LOG2
 * @short_bin: the first of the short free ranges of each length, or NULL
 * @row: the bins of the longer ones; NULL where no pool is that long
 * @size_tree: free ranges of EVL_NR_BINS pages or more, by length
 *
 * Every free range is in exactly one bin or in the tree, and no two touch
 * unless they are of two pools.  @kept or @spare is all that is held and not in
 * use, and one of them is NULL: whoever finds no memory has one thing to merge with
 * its neighbours, and no more.
 */
struct evl_heap {
	struct chaos_lock lock;
	u64 short_map;
	struct evl_page *kept;
	u32 kept_pages;
	unsigned int nr_slots;
	struct evl_pool **pools;
	struct chaos_heap *heap;
	size_t block_pages;
	size_t watch;
	struct evl_use ranges;
	struct evl_page *spare;
	u64 rows;
	struct evl_bucket bucket[EVL_NR_BUCKETS];
	struct evl_page *short_bin[EVL_LONG];
	struct evl_row *row[EVL_NR_ROWS];
	struct rb_root_cached size_tree;
};

/* Which of evl_pool.range is that of a range that starts at @page? */
static inline size_t evl_node_nr(const struct evl_pool *ep,
				 const struct evl_page *page)
{
	return ((unsigned long)page - (unsigned long)ep->page) >> EVL_NODE_SHIFT;
}

static inline size_t evl_nr_nodes(size_t nr_pages)
{
	return (nr_pages * sizeof(struct evl_page) >> EVL_NODE_SHIFT) + 1;
}

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

#if IS_ENABLED(CONFIG_KUNIT)
/* For the white-box tests.  All but the first two are called with the lock held. */
size_t evl_round_size(size_t size);
int evl_add_bins(struct evl_heap *evl, size_t nr_pages);
void evl_insert_range_bysize(struct evl_heap *evl, struct evl_page *r);
void evl_remove_range_bysize(struct evl_heap *evl, struct evl_page *r);
void evl_insert_range_byaddr(struct evl_page *r, u32 pages);
void evl_remove_range_byaddr(struct evl_page *r);
struct evl_page *evl_search_left_mergeable(struct evl_page *page);
struct evl_page *evl_search_right_mergeable(struct evl_page *end);
struct evl_page *evl_search_size_ge(struct evl_heap *evl, u32 pages);
struct evl_page *evl_reserve_page_range(struct evl_heap *evl, u32 pages,
					size_t align);
void evl_move_page_front(struct evl_page *head, struct evl_page *page);
void evl_move_page_back(struct evl_page *head, struct evl_page *page);
void evl_release_page_range(struct evl_heap *evl, struct evl_page *page,
			    u32 pages);
enum chaos_verdict evl_free_unlocked(struct evl_heap *evl,
				     struct evl_pool *ep, void *p);
#endif

#endif /* _CHAOS_EVL_HEAP_H */
