/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The TLSF engine's structures and the arithmetic on them.  tlsf.c explains.
 */
#ifndef _CHAOS_TLSF_H
#define _CHAOS_TLSF_H

#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/list.h>
#include <linux/types.h>

#include "engine.h"
#include "lock.h"

/*
 * Sizes are multiples of TLSF_ALIGN.  A first level (fl) is a power of two, cut
 * into 2^TLSF_SLI lists, the second level (sl).  Below 2^(TLSF_FL_SHIFT + 1)
 * a list would be narrower than TLSF_ALIGN; those sizes share fl 0, in
 * steps of TLSF_ALIGN, and the first level counts from there.
 *
 * No block is as large as 2^TLSF_BLOCK_BITS.  A request may be half of that,
 * so that rounding it up never leaves the lists.
 */
#define TLSF_ALIGN_SHIFT	3
#define TLSF_ALIGN		BIT(TLSF_ALIGN_SHIFT)
#define TLSF_SLI		5
#define TLSF_SL_COUNT		BIT(TLSF_SLI)
#define TLSF_FL_SHIFT		(TLSF_SLI + TLSF_ALIGN_SHIFT - 1)
#if BITS_PER_LONG == 64
#define TLSF_BLOCK_BITS		40
#else
#define TLSF_BLOCK_BITS		31
#endif
#define TLSF_FL_COUNT		(TLSF_BLOCK_BITS - TLSF_FL_SHIFT)
#define TLSF_LISTS		(TLSF_FL_COUNT * TLSF_SL_COUNT)
#define TLSF_BLOCK_LIMIT	BIT(TLSF_BLOCK_BITS)
#define TLSF_REQUEST_MAX	(TLSF_BLOCK_LIMIT / 2)

/**
 * struct tlsf_block - a block, and what is known there of the one before it
 * @link: place in a free list of the block before this one
 * @prev_phys: the payload of the block before this one.  Both overlap the end of that
 *	payload and exist only while that block is free.
 * @head: size of the payload, flags, and the promised alignment
 * @payload: what callers get
 *
 * A free block's link is at its end, and so stays where it is when something is
 * cut off its front, and when the block before it is freed and merges with it.  If it
 * then is still on the right list, no list has to be touched.
 *
 * Blocks lie end to end from the start of a pool to its sentinel, a block of
 * size 0 that is never free.  No two neighbours are both free.
 *
 * Every member is on an 8-byte border, whatever the size of a pointer.
 */
struct tlsf_block {
	struct list_head link __aligned(8);
	void *prev_phys __aligned(8);
	u64 head __aligned(8);
	u8 payload[];
};

/* tlsf_block.head */
#define TLSF_FREE		1ULL
#define TLSF_PREV_FREE		2ULL
#define TLSF_SIZE		((1ULL << TLSF_BLOCK_BITS) - TLSF_ALIGN)
#define TLSF_PROMISE_SHIFT	56	/* log2(alignment / TLSF_ALIGN) */
#define TLSF_PROMISE_MAX	19	/* of CHAOS_MAX_ALIGN */

/*
 * What a block costs besides its payload; the least payload (the link, and
 * the next block's prev_phys); the least bytes that can become a block.
 */
#define TLSF_HEADER		8UL
#define TLSF_MIN_SIZE		24UL
#define TLSF_MIN_SPLIT		(TLSF_HEADER + TLSF_MIN_SIZE)

static_assert(offsetof(struct tlsf_block, payload) -
	      offsetof(struct tlsf_block, head) == TLSF_HEADER);
static_assert(offsetof(struct tlsf_block, head) <= TLSF_MIN_SIZE);
static_assert(TLSF_MIN_SIZE % TLSF_ALIGN == 0);
static_assert(TLSF_FL_COUNT <= BITS_PER_LONG);
static_assert(TLSF_SL_COUNT <= BITS_PER_LONG);
static_assert(sizeof(struct chaos_deferred_block) <= TLSF_MIN_SIZE);
static_assert(TLSF_ALIGN == CHAOS_MIN_ALIGN);
static_assert(TLSF_ALIGN << TLSF_PROMISE_MAX == CHAOS_MAX_ALIGN);

/**
 * struct tlsf_pool - one range of memory, and which addresses in it are blocks
 * @first: address of the first block's payload
 * @last: the last place where a block could begin, in steps of TLSF_ALIGN from @first
 * @allocs: blocks taken so far
 * @used: bytes of live blocks and their headers; between the two counters that
 *	change along with it
 * @frees: blocks given back so far; the others are live
 * @node: in tlsf.pools; by itself once the pool has been released
 * @live: bit n is set if and only if a live block's payload begins at
 *	@first + n * TLSF_ALIGN.  The sentinel's bit is set, too.
 *
 * Written under the control's lock; @live and @used are read without it, too.
 */
struct tlsf_pool {
	unsigned long first;
	unsigned long last;
	u64 allocs;
	size_t used;
	u64 frees;
	struct list_head node;
	unsigned long live[];
};

/*
 * Inside of the engine, a list has a key in place of (fl, sl): the same, but with
 * fl counting from TLSF_ALIGN_SHIFT.  That makes the fl of a size the shift that
 * leads to its sl, and all of it shorter.
 */
#define TLSF_FL_BASE		TLSF_ALIGN_SHIFT
#define TLSF_KEY_BASE		(TLSF_FL_BASE * TLSF_SL_COUNT)

/*
 * Each list has a bit of sl_bitmap, and each word of that one of fl_bitmap: a word is as
 * many first levels as fit.  Bits are counted from the top, where the first one set is
 * found at once by CPUs that count leading zeroes.
 */
#define TLSF_SL_WORD(key)	((unsigned long)(key) / BITS_PER_LONG)
#define TLSF_SL_WORDS		(TLSF_SL_WORD(TLSF_KEY_BASE + TLSF_LISTS - 1) + 1)
#define TLSF_FIRST_MARK		(1UL << (BITS_PER_LONG - 1))
#define TLSF_SL_MARK(key)	(TLSF_FIRST_MARK >> (key) % BITS_PER_LONG)
#define TLSF_FL_MARK(key)	(TLSF_FIRST_MARK >> TLSF_SL_WORD(key))

/**
 * struct tlsf - chaos_heap.priv: the control of any number of pools
 * @lock: covers all of this, heap->held and all that is in the pools; a core by
 *	itself has no use for it
 * @recent: the pool that was used last, or one without blocks
 * @fl_bitmap: TLSF_FL_MARK(key) is set if and only if TLSF_SL_WORD(key) of @sl_bitmap
 *	is not 0
 * @sl_bitmap: TLSF_SL_MARK(key) is set in that word if and only if the list is not
 *	empty
 * @heap: whose it is
 * @pools: all pools
 * @allocs: blocks taken from pools that are gone
 * @frees: blocks given back to these
 * @no_list: where the lists with keys less than TLSF_KEY_BASE would be, which
 *	makes the address of a list a single addition
 * @list: the free blocks: each is on the list that its size maps to.
 *	Circular, so that the ends of a link are checked and changed alike
 *	whether they are blocks or the head.
 */
struct tlsf {
	union {
		struct {
			struct chaos_lock lock;
			struct tlsf_pool *recent;
			unsigned long fl_bitmap;
			unsigned long sl_bitmap[TLSF_SL_WORDS];
			struct chaos_heap *heap;
			struct list_head pools;
			u64 allocs;
			u64 frees;
		};
		struct list_head no_list[TLSF_KEY_BASE];
	};
	struct list_head list[TLSF_LISTS];
};

static_assert(offsetof(struct tlsf, list) ==
	      TLSF_KEY_BASE * sizeof(struct list_head));
static_assert(TLSF_SL_WORDS <= BITS_PER_LONG);

/*
 * The list that holds blocks of @size, as fl * 2^sli + sl.  Up to twice the
 * first step, steps are equal; above, each power of two doubles them.
 */
static __always_inline unsigned int
tlsf_map(size_t size, unsigned int sli, unsigned int fl_shift)
{
	unsigned int k = __fls(size | 1UL << (fl_shift + 1)) - (fl_shift + 1);

	return (k << sli) + (unsigned int)(size >> (k + fl_shift + 1 - sli));
}

static __always_inline unsigned int tlsf_mapping_insert(size_t size)
{
	return tlsf_map(size, TLSF_SLI, TLSF_FL_SHIFT);
}

/*
 * log2 of the distance from one list to the next where @size is.  It is __fls(),
 * but an unsigned long from the start: conversions would be instructions.
 */
static __always_inline unsigned long tlsf_step_shift(size_t size)
{
	unsigned long zeroes = __builtin_clzl(size | BIT(TLSF_FL_SHIFT + 1));

	return BITS_PER_LONG - 1 - TLSF_SLI - zeroes;
}

/* The key of the list that holds blocks of @size. */
static __always_inline unsigned long tlsf_key(size_t size)
{
	unsigned long shift = tlsf_step_shift(size);

	return (shift << TLSF_SLI) + (size >> shift);
}

/* Whether blocks of @size, which are on the list @key, share it with those of @other. */
static __always_inline bool tlsf_key_same(unsigned long key, size_t size, size_t other)
{
	/*
	 * The fl of a list is one more than its blocks' shift.  (For fl 0 it is the shift,
	 * but there all sizes of a list are the same.)
	 */
	return !((size ^ other) >> (key / TLSF_SL_COUNT - 1));
}

/* The same, whatever list that is. */
static __always_inline bool tlsf_size_same(size_t size, size_t other)
{
	return !((size ^ other) >> tlsf_step_shift(size));
}

/*
 * The key of the first list none of whose blocks is smaller than @size > 0, and
 * the least size on it.
 */
static __always_inline unsigned long tlsf_key_up(size_t size, size_t *least)
{
	size_t last = size - 1;
	unsigned long shift = tlsf_step_shift(last);
	size_t steps = (last >> shift) + 1;

	*least = steps << shift;
	return (shift << TLSF_SLI) + steps;
}

static __always_inline unsigned int tlsf_mapping_search(size_t size)
{
	return tlsf_key_up(size, &size) - TLSF_KEY_BASE;
}

/* The payload of a block for @size <= TLSF_REQUEST_MAX bytes. */
static __always_inline size_t tlsf_round(size_t size)
{
	return max(ALIGN(size, TLSF_ALIGN), TLSF_MIN_SIZE);
}

static __always_inline size_t tlsf_size(const struct tlsf_block *block)
{
	return block->head & TLSF_SIZE;
}

static __always_inline struct tlsf_block *tlsf_block_of(const void *p)
{
	return (void *)p - offsetof(struct tlsf_block, payload);
}

/* Its head, with less arithmetic than by tlsf_block_of(). */
static __always_inline u64 *tlsf_head_of(const void *p)
{
	return (void *)p - TLSF_HEADER;
}

/* What would be the next block if @block were of @size. */
static __always_inline struct tlsf_block *
tlsf_next_at(const struct tlsf_block *block, size_t size)
{
	return (void *)block + TLSF_HEADER + size;
}

/* The free block whose link is @link. */
static __always_inline struct tlsf_block *
tlsf_block_linked(const struct list_head *link)
{
	return tlsf_block_of(container_of(link, struct tlsf_block, link)->prev_phys);
}

static __always_inline struct tlsf_block *
tlsf_next(const struct tlsf_block *block)
{
	return tlsf_next_at(block, tlsf_size(block));
}

/*
 * Cut @block, whose head is @head, to @size and return the rest as a block of
 * its own that is not free and follows one that is not; NULL if it is too
 * small to be one.  The flags that others keep about the rest are up to the
 * caller.
 */
static __always_inline struct tlsf_block *
tlsf_split(struct tlsf_block *block, u64 head, size_t size)
{
	size_t excess = (head & TLSF_SIZE) - size;
	struct tlsf_block *rest = tlsf_next_at(block, size);

	if (excess < TLSF_MIN_SPLIT)
		return NULL;
	rest->head = excess - TLSF_HEADER;
	block->head = head - excess;
	return rest;
}

/* Make @block and the next one, of @size, a single block. */
static __always_inline void tlsf_absorb(struct tlsf_block *block, size_t size)
{
	block->head += TLSF_HEADER + size;
}

/* Two of the engine's operations, for direct calls by the default heap. */
void *tlsf_op_alloc(struct chaos_heap *heap, size_t size, size_t align);
enum chaos_verdict tlsf_op_free(struct chaos_heap *heap, struct chaos_pool *pool,
				void *p);

#if IS_ENABLED(CONFIG_KUNIT)
void tlsf_init(struct tlsf *t, struct chaos_heap *heap);
size_t tlsf_pool_meta(size_t size);
int tlsf_add_pool(struct tlsf *t, struct tlsf_pool *pool, void *mem,
		  size_t size);
bool tlsf_release_pool(struct tlsf *t, struct tlsf_pool *pool);
void *tlsf_malloc(struct tlsf *t, size_t size, size_t align);
enum chaos_verdict tlsf_free(struct tlsf *t, struct tlsf_pool *pool, void *p);
bool tlsf_resize(struct tlsf *t, struct tlsf_pool *pool, void *p, size_t size);
int tlsf_check(struct tlsf *t);
struct tlsf *tlsf_of_heap(struct chaos_heap *heap);
struct chaos_lock *tlsf_lock_of_heap(struct chaos_heap *heap);
#endif

#endif /* _CHAOS_TLSF_H */
