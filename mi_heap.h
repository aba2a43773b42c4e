/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mimalloc engine: types and the fast path.
 *
 * Memory is a hierarchy: a heap has pools; a pool is cut into slices; one or
 * more adjacent slices make a page; a page is an array of blocks of one size.
 * (These pages are mimalloc's, not the MMU's.)  Page descriptors stand in an
 * array apart from the memory, one for each slice, so no overrun reaches them.
 *
 * A heap is further divided into thread heaps ("theaps", as in mimalloc v3).
 * In user space each belongs to a thread; here each belongs to a CPU and a context
 * level: task, softirq, hardirq, NMI.  While preemption is off, nothing else
 * can run at the same level of the same CPU, so a theap and the pages that it
 * owns are changed without locks, atomics or masked interrupts.  An interrupt
 * that lands in the middle of an allocation uses the theap of its own level.
 *
 * Each page has three lists of free blocks, linked through the blocks:
 *
 *   free		allocation pops from here; owner only
 *   local_free		the owner's frees; becomes free when that has run out, so
 *			the generic path is entered at a bounded interval
 *   thread_free	everybody else's frees: one cmpxchg each, any context
 *
 * The word page->thread_free also says who may touch the other two.  It holds
 * the first block, two flags, and a count:
 *
 *   state	flags	count			how it is found
 *   OWNED	OWNED	-(blocks pushed since)	in the owner's queue, or in the
 *						hands of whoever claimed it
 *   FULL	none	blocks still live	by its blocks
 *   LISTED	LISTED	blocks still live	by a bit in mi_pool.listed
 *
 * Only who set OWNED may touch the plain fields.  A push subtracts one from
 * the count, so that it alone decides: the first free into a FULL page and the
 * last one into a LISTED page set OWNED in the same cmpxchg and thereby become
 * responsible for the page.  Documentation/ownership.rst has the protocol.
 *
 * Links are encoded.  A link is the byte offset of a block in its page plus
 * MI_LINK_BIAS, 0 ends the list, and what is stored is the link xor the
 * page's key.  One comparison tells a valid link, or the end, from what a stray
 * write left; the same comparison tells on free that the block is on a list
 * already, since allocation clears the word.
 */
#ifndef _CHAOS_MI_HEAP_H
#define _CHAOS_MI_HEAP_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/types.h>

#include "compat.h"
#include "engine.h"
#include "pool.h"

/*
 * Size classes ("bins"): every multiple of 8 up to 128, then eight steps for
 * each doubling (12.5 %) up to MI_BIN_MAX_SIZE.  Bin 0 stands for all that is
 * larger: each such block has a page of its own.
 */
#define MI_WORD_SHIFT		3
#define MI_STEP_SHIFT		3
#define MI_EXACT_BINS		(2U << MI_STEP_SHIFT)
#define MI_BIN_MAX_SHIFT	22
#define MI_BIN_MAX_SIZE		BIT(MI_BIN_MAX_SHIFT)
#define MI_BINS								\
	(MI_EXACT_BINS +						\
	 ((MI_BIN_MAX_SHIFT - MI_WORD_SHIFT - MI_STEP_SHIFT - 1) << MI_STEP_SHIFT) + 1)

/* Sizes up to this find their page with one load. */
#define MI_SMALL_MAX		1024UL
#define MI_DIRECT		((MI_SMALL_MAX >> MI_WORD_SHIFT) + 1)

#define MI_LINK_BIAS		8U

/* page->thread_free: count << 32 | link | flags */
#define MI_OWNED		1ULL
#define MI_LISTED		2ULL
#define MI_LINK_MASK		0xfffffff8ULL
#define MI_COUNT_SHIFT		32
#define MI_COUNT_ONE		BIT_ULL(MI_COUNT_SHIFT)

/* A key has its top bit set: it is above any valid link. */
#define MI_KEY_TOP		BIT(BITS_PER_LONG - 1)

#if !defined(CONFIG_64BIT) || defined(CONFIG_GENERIC_ATOMIC64)
#error "chaos_alloc wants 64 bits: see Kconfig"
#endif

/* Context levels, as interrupt_context_level() counts them. */
enum mi_level {
	MI_TASK,
	MI_SOFTIRQ,
	MI_HARDIRQ,
	MI_NMI,
	MI_LEVELS
};

/**
 * struct mi_page - the descriptor of a page: of its first slice, to be exact
 * @base: address of the first block minus MI_LINK_BIAS, so that base + link
 *	is a block
 * @key: encodes the links; above any valid link.  Random, and new for each use of
 *	the page unless the heap's hardening is 0.
 * @inverse: with @rotate, tells a block's start without a division: for an
 *	offset that is a multiple q of the block size,
 *	ror(offset * @inverse, @rotate) is q, for any other it is huge
 * @local_free: the owner's frees: their number << 32 | the first link
 * @free: first link of the free list
 * @used: blocks that are on neither of these two lists: live ones, and those
 *	on thread_free that have not been taken over
 * @capacity: blocks that have been put on a list so far (lazy extension); 0
 *	for slices that are not the first of a page in use
 * @limit: capacity * block size: no valid link is above
 * @rotate: see @inverse
 * @bin: the size class; 0 for a page with one block of its own size
 * @align_shift: log2 of the largest alignment that a caller has asked for
 * @retired: it was empty while it was the only page of its queue: noticed when
 *	that happened (1), and again when it was due (2)
 * @head_distance: for a later slice of a page, the number of slices back to
 *	the first; else 0
 * @theap: the owner, or NULL; compared with one's own to see if a free is
 *	local.  Only the owner itself changes it from or to its own address.
 * @thread_free: see above; atomic
 * @block_size: bytes of each; constant while the page is in use
 * @slices: number of slices of the page; 0 for slices that are not the first
 * @reserved: blocks that fit
 * @slice_shift: log2 of a slice's bytes
 * @guard: the last slice is a guard
 * @home: the theap that owned it last: who claims a page of its own takes it
 *	back into its queue
 * @next: in the owner's queue
 * @prev: in the owner's queue
 *
 * used == capacity - |free| - |local_free|; live blocks are used - |thread_free|.
 * A block is on at most one list.  The first cache line is all that allocation
 * and local free touch.
 */
struct mi_page {
	unsigned long base;
	unsigned long key;
	unsigned long inverse;
	u64 local_free;
	u32 free;
	u32 used;
	u32 capacity;
	u32 limit;
	u8 rotate;
	u8 bin;
	u8 align_shift;
	u8 retired;
	u32 head_distance;
	struct mi_theap *theap;

	atomic64_t thread_free;
	unsigned long block_size;
	u32 slices;
	u32 reserved;
	u8 slice_shift;
	bool guard;
	struct mi_theap *home;
	struct mi_page *next;
	struct mi_page *prev;
} __aligned(64);

static_assert(offsetof(struct mi_page, thread_free) <= 64);
static_assert(sizeof(struct mi_page) <= 128);

#define MI_LOCAL_ONE		BIT_ULL(32)

/**
 * struct mi_queue - a theap's pages of one size class
 * @first: allocation uses this one; the others have free blocks, or had some
 * @last: pages that were claimed are added here
 */
struct mi_queue {
	struct mi_page *first;
	struct mi_page *last;
};

/**
 * struct mi_class - what a theap has done in one size class
 * @allocs: blocks put on free lists, less those still there when a page left
 * @local_frees: blocks that came off local_free lists
 *
 * Counted on the generic path, for whole lists at a time.  For the exact numbers
 * the pages at hand have to be looked at, see mi_theap_count().  May be "negative":
 * only the sums over all theaps mean anything.
 */
struct mi_class {
	u64 allocs;
	u64 local_frees;
};

/**
 * struct mi_theap - the heap of one CPU and one context level
 * @direct: for sizes up to MI_SMALL_MAX, in words: the first page of the
 *	queue of that size's bin, or mi_empty_page
 * @queue: for each bin
 * @class: statistics for each bin
 * @heap: what it is a part of
 * @level: the context level
 * @pages: number of pages in the queues
 * @bins: a bit for each queue that is not empty
 * @stamp: jiffies when the generic path was last taken
 * @retire_at: jiffies when empty pages are looked for next; 0: there are no pages
 * @hand: the bin that mi_theap_shed() takes a page from next
 * @busy: NMI level only: an NMI is inside; a nested one, or a checker on this
 *	CPU, must keep out
 *
 * Touched only at its level of its CPU with preemption off, or by a task
 * on that CPU with interrupts off (then nothing but an NMI can be inside), or by
 * a task that keeps the dead CPU from coming back.  @pages and @stamp are
 * read by others, too.
 */
struct mi_theap {
	struct mi_page *direct[MI_DIRECT];
	struct mi_queue queue[MI_BINS];
	struct mi_class class[MI_BINS];
	struct chaos_heap *heap;
	enum mi_level level;
	unsigned int pages;
	DECLARE_BITMAP(bins, MI_BINS);
	unsigned long stamp;
	unsigned long retire_at;
	unsigned int hand;
	bool busy;
};

extern struct mi_page mi_empty_page;

/**
 * struct mi_pool - a pool's slices
 * @list: in mi_heap.pools; RCU
 * @pool: whose metadata this is
 * @slices: number of slices
 * @words: longs that have a bit for each
 * @unit: for each bin, the least number of slices that make a page which wastes
 *	no more than an eighth behind its last block
 * @used: a bit for each slice; set: in use.  Atomic; the bits behind the last
 *	slice are set.
 * @listed: for each bin, a bit for each slice that is the first of a LISTED page.
 *	Atomic, and only a hint: a bit may be set for another slice, too.
 * @page: the descriptors
 */
struct mi_pool {
	struct list_head list;
	struct chaos_pool *pool;
	unsigned int slices;
	unsigned int words;
	u16 unit[MI_BINS];
	unsigned long *used;
	unsigned long *listed;
	struct mi_page page[];
};

/* The descriptor that covers @p, an address inside @pool. */
static __always_inline struct mi_page *mi_page_of(const struct chaos_pool *pool,
						  const void *p)
{
	struct mi_pool *mp = pool->priv;
	struct mi_page *page;

	page = &mp->page[((unsigned long)p - pool->start) >> pool->slice_shift];
	return page - READ_ONCE(page->head_distance);
}

static __always_inline unsigned int mi_context_level(void)
{
	if (likely(!(preempt_count() &
		     (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET))))
		return MI_TASK;
	return interrupt_context_level();
}

static __always_inline struct mi_theap *mi_theap(const struct chaos_heap *heap,
						 unsigned int level)
{
	return this_cpu_ptr(heap->theaps) + level;
}

/*
 * FAST PATH.  Take the first block of the page's free list, if there is one and
 * the link in it is sound.
 */
static __always_inline void *mi_page_pop(struct mi_page *page)
{
	u32 link = page->free;		/* model: pop */
	unsigned long *block, next;

	if (unlikely(!link))
		return NULL;
	block = (unsigned long *)(page->base + link);
	next = *block ^ page->key;
	if (unlikely(next > page->limit))
		return NULL;	/* mi_page_refill() finds out and reports */
	page->free = next;
	page->used++;
	*block = 0;
	return block;
}

/*
 * FAST PATH.  A block of 0 < @size <= MI_SMALL_MAX bytes, if one is at hand; in
 * NMI, never (the generic path guards against nested ones).  Any context.
 */
static __always_inline void *mi_alloc_fast(const struct chaos_heap *heap,
					   size_t size)
{
	unsigned int level;
	void *p = NULL;

	preempt_disable();
	level = mi_context_level();
	if (likely(level != MI_NMI))
		p = mi_page_pop(mi_theap(heap, level)->direct[(size + 7) >>
							      MI_WORD_SHIFT]);
	preempt_enable();
	return p;
}

void *mi_alloc(struct chaos_heap *heap, size_t size, size_t align);
enum chaos_verdict mi_free(struct chaos_heap *heap, struct chaos_pool *pool,
			   void *p);

size_t mi_alloc_bulk(struct chaos_heap *heap, size_t size, size_t n, void **p);
size_t mi_free_bulk(struct chaos_heap *heap, size_t n, void **p,
		    enum chaos_verdict *verdict);

unsigned int mi_bin(size_t size);
size_t mi_bin_size(unsigned int bin);
unsigned int mi_bin_aligned(size_t size, size_t align);

#endif /* _CHAOS_MI_HEAP_H */
