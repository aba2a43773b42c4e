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
 * Each page has two lists of free blocks, linked through the blocks:
 *
 *   free		allocation pops from here, the owner's frees are pushed to
 *			it; owner only
 *   thread_free	everybody else's frees: one cmpxchg each, any context
 *
 * (mimalloc has a third one, for the owner's frees, so that its generic path is
 * entered at a bounded interval.  Here, nothing depends on that, and a block that
 * was freed just now is the best one to allocate: it is in the cache.)
 *
 * The word page->thread_free also says who may touch the other one.  It holds
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
 * responsible for the page.  Who owned a FULL page last takes it back before it
 * frees a block of it.  Documentation/ownership.rst has the protocol.
 *
 * Links are encoded.  A link is the byte offset of a block in its page plus the
 * block size, so that 0 can end the list, and what is stored is the link xor the
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
/* Their bins: three doublings behind the exact ones. */
#define MI_DIRECT_BINS		(MI_EXACT_BINS + (3U << MI_STEP_SHIFT))

/* The link of a block that has a page of its own: its size may not fit. */
#define MI_SINGLE_LINK		8U

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
 * @owner: the owner's tag, or MI_NO_TAG; compared with one's own to see if a free
 *	is local.  Only the owner itself changes it from or to its own tag.
 * @base: address of the first block minus its link, so that base + link is a block
 * @key: encodes the links; above any valid link.  Random, and new for each use of
 *	the page unless the heap's hardening is 0.
 * @magic: tells multiples of the block size without a division, see
 *	mi_is_multiple()
 * @allocs: blocks that the owner has taken off the free list, and have not been
 *	accounted; see mi_page_account()
 * @frees: blocks that the owner has put on it, likewise; plus MI_RETIRED, so that
 *	it is never equal to @allocs, if it was empty and has been kept: then that
 *	need not be noticed again
 * @free: first link of the free list
 * @limit: the highest link that is valid
 * @capacity: blocks that have been put on a list so far (lazy extension); 0
 *	for slices that are not the first of a page in use
 * @bin: the size class; 0 for a page with one block of its own size
 * @align_shift: log2 of the largest alignment that a caller has asked for
 * @due: it was empty when empty pages were looked for
 * @theap: the owner, or NULL; changes with @owner
 * @thread_free: see above; atomic
 * @block_size: bytes of each; constant while the page is in use
 * @slices: number of slices of the page; 0 for slices that are not the first
 * @reserved: blocks that fit
 * @slice_shift: log2 of a slice's bytes
 * @guard: the last slice is a guard
 * @turn: mi_theap.turn when it was taken, or when the generic path last had a block of it
 * @home: the theap that owned it last: who claims a page of its own takes it
 *	back into its queue
 * @next: in the owner's queue
 * @prev: in the owner's queue
 *
 * allocs - frees blocks are not on the free list: live ones, and those on
 * thread_free that have not been taken over.  A block is on at most one list.
 * The first cache line is all that allocation and local free touch; what they read
 * together lies side by side, so that arm64 loads two fields at once.
 */
struct mi_page {
	unsigned long owner;
	unsigned long base;
	unsigned long key;
	unsigned long magic;
	u64 allocs;
	u64 frees;
	u32 free;
	u32 limit;
	u32 capacity;
	u8 bin;
	u8 align_shift;
	bool due;

	struct mi_theap *theap;
	atomic64_t thread_free;
	unsigned long block_size;
	u32 slices;
	u32 reserved;
	u8 slice_shift;
	bool guard;
	u32 turn;
	struct mi_theap *home;
	struct mi_page *next;
	struct mi_page *prev;
} __aligned(64);

/* In page->frees; far above any count, and not in the 32 bits of mi_page_used(). */
#define MI_RETIRED		BIT_ULL(63)

static_assert(offsetof(struct mi_page, theap) <= 64);
static_assert(sizeof(struct mi_page) <= 128);

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
 * struct mi_theap - the heap of one CPU and one context level
 * @direct: for sizes up to MI_SMALL_MAX, in words: the first page of the
 *	queue of that size's bin, or mi_empty_page
 * @queue: for each bin
 * @local_frees: for each bin, blocks of its own pages freed, but for those that the
 *	pages count themselves; see mi_page_account()
 * @heap: what it is a part of
 * @level: the context level
 * @tag: what its pages' owner is, see mi_context_tag()
 * @pages: number of pages in the queues
 * @untold: their bytes, less what is in mi_heap.cached of them
 * @retired: bytes of those that have MI_RETIRED
 * @bins: a bit for each queue that is not empty
 * @stamp: jiffies when the generic path was last taken
 * @retire_at: jiffies when empty pages are looked for next; 0: there are no pages
 * @sweep: the bin that is looked at next then
 * @hand: the bin that mi_theap_shed() takes a page from next
 * @turn: blocks that the generic path has found; tells whether one was between two frees
 * @busy: NMI level only: an NMI is inside; a nested one, or a checker on this
 *	CPU, must keep out
 *
 * Touched only at its level of its CPU with preemption off, or by a task
 * on that CPU with interrupts off (then nothing but an NMI can be inside), or by
 * a task that keeps the dead CPU from coming back.  @pages, @stamp and
 * @local_frees are read by others, too.
 */
struct mi_theap {
	struct mi_page *direct[MI_DIRECT];
	struct mi_queue queue[MI_BINS];
	u64 local_frees[MI_BINS];
	struct chaos_heap *heap;
	enum mi_level level;
	unsigned long tag;
	unsigned int pages;
	long untold;
	size_t retired;
	DECLARE_BITMAP(bins, MI_BINS);
	unsigned long stamp;
	unsigned long retire_at;
	unsigned int sweep;
	unsigned int hand;
	u32 turn;
	bool busy;
};

extern struct mi_page mi_empty_page;

void mi_page_retire(struct mi_page *page);

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
 * @map: for each slice, the page that it is a part of; this is what pool->priv
 *	points to.  Free slices are parts of their own descriptor's page, which
 *	has no blocks.
 */
struct mi_pool {
	struct list_head list;
	struct chaos_pool *pool;
	unsigned int slices;
	unsigned int words;
	u16 unit[MI_BINS];
	unsigned long *used;
	unsigned long *listed;
	struct mi_page *page;
	struct mi_page *map[];
};

/* The page that covers @p, an address inside @pool. */
static __always_inline struct mi_page *mi_page_of(const struct chaos_pool *pool,
						  const void *p)
{
	struct mi_page **map = pool->priv;

	return READ_ONCE(map[((unsigned long)p - pool->start) >> pool->slice_shift]);
}

/*
 * Is the link a multiple of the block size d?  It is if link * magic, modulo 2^64,
 * is below magic = ceil(2^64 / d), for any link and d below 2^32 (Lemire, Kaser,
 * Kurz: "Faster remainder by direct computation", 2019).
 */
static __always_inline bool mi_is_multiple(unsigned long link, unsigned long magic)
{
	return link * magic < magic;
}

/*
 * Nothing but a task, with softirqs enabled?  (Where they are only disabled, it is a
 * task still, but the longer way finds that out: arm64 tests this mask, which is one
 * run of bits, in one instruction.)
 */
static __always_inline bool mi_in_plain_task(void)
{
	return likely(!(preempt_count() & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_MASK)));
}

static __always_inline unsigned int mi_context_level(void)
{
	return mi_in_plain_task() ? MI_TASK : interrupt_context_level();
}

/*
 * A tag tells a CPU's context level from all others, without a load of where its
 * theap is: per-CPU offsets are unique, and multiples of far more than MI_LEVELS.
 * NMIs have none, because what they free might be a page that another NMI, which
 * they have interrupted, is in the middle of.
 */
#define MI_NO_TAG		(~0UL)
#define MI_NMI_TAG		(~1UL)

#ifdef CONFIG_SMP
#define mi_cpu_tag()		((unsigned long)__my_cpu_offset)
#define mi_tag_of_cpu(cpu)	((unsigned long)per_cpu_offset(cpu))
#else
#define mi_cpu_tag()		0UL
#define mi_tag_of_cpu(cpu)	((void)(cpu), 0UL)
#endif

static __always_inline unsigned long mi_level_tag(unsigned int level)
{
	return likely(level != MI_NMI) ? mi_cpu_tag() + level : MI_NMI_TAG;
}

static __always_inline unsigned long mi_context_tag(void)
{
	return mi_level_tag(mi_context_level());
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
static __always_inline bool mi_page_pop(struct mi_page *page, void **p)
{
	u32 link = page->free, limit = page->limit;	/* model: pop */
	unsigned long base = page->base, key = page->key, next;
	unsigned long *block = (unsigned long *)(base + link);

	if (unlikely(!link))
		return false;
	next = *block ^ key;
	if (unlikely(next > limit))
		return false;	/* mi_theap_pop_next() finds out and reports */
	page->free = next;
	page->allocs++;
	*block = 0;
	*p = block;
	return true;
}

/*
 * FAST PATH.  A block of 0 < @size <= MI_SMALL_MAX bytes for a context of this
 * level, if one is at hand; in NMI, never (the generic path guards against nested
 * ones).  Preemption disabled.
 */
static __always_inline bool mi_alloc_fast(const struct chaos_heap *heap,
					  unsigned int level, size_t size, void **p)
{
	if (unlikely(level == MI_NMI))
		return false;
	return mi_page_pop(mi_theap(heap, level)->direct[(size + 7) >> MI_WORD_SHIFT],
			   p);
}

/*
 * The bin of more than MI_EXACT_BINS words.  The top bit of words - 1 tells the
 * doubling, the MI_STEP_SHIFT bits below it the step.
 */
static __always_inline unsigned int mi_step_bin(size_t words)
{
	unsigned int top = __fls(--words);

	return ((top - MI_STEP_SHIFT) << MI_STEP_SHIFT) +
	       (words >> (top - MI_STEP_SHIFT)) + 1;
}

/* FAST PATH.  The same for MI_SMALL_MAX < @size <= MI_BIN_MAX_SIZE. */
static __always_inline bool mi_alloc_medium(const struct chaos_heap *heap,
					    unsigned int level, size_t size, void **p)
{
	struct mi_page *page;

	if (unlikely(level == MI_NMI))
		return false;
	page = mi_theap(heap, level)->queue[mi_step_bin((size + 7) >> MI_WORD_SHIFT)].first;
	return likely(page) && mi_page_pop(page, p);
}

/* What a free has come to. */
enum mi_freed {
	MI_FREED,
	MI_FREED_LAST,	/* and no block of the page is live: mi_page_retire() */
	MI_NOT_FREED,	/* nothing was changed: not for the fast path */
};

/*
 * FAST PATH.  Free the block at @p, an address inside @pool, for the context with
 * this tag, if it is sure to be a live block of a page of its own.  Preemption
 * disabled.
 *
 * Of a page with our tag, we have written the other fields, or acquired them with
 * the page: nobody else does.
 */
static __always_inline enum mi_freed
mi_free_fast(struct chaos_heap *heap, const struct chaos_pool *pool,
	     unsigned long tag, void *p, struct mi_page **pagep)
{
	struct mi_page *page = mi_page_of(pool, p);
	/* data_race(): others change it only from and to other values than ours */
	unsigned long owner = data_race(page->owner);
	unsigned long link = (unsigned long)p - page->base, key, magic;
	u32 free, limit;
	bool odd, beyond, last;
	u64 frees;

	*pagep = page;
	if (unlikely(owner != tag))			/* model: is-local */
		return MI_NOT_FREED;
	key = page->key;
	magic = page->magic;
	free = page->free;
	limit = page->limit;
	/* Both, for one branch. */
	odd = !mi_is_multiple(link, magic);
	beyond = link > limit;
	if (unlikely(odd | beyond))
		return MI_NOT_FREED;
	if (unlikely((READ_ONCE(*(unsigned long *)p) ^ key) <= limit))
		return MI_NOT_FREED;
	chaos_san_free(heap, p, page->block_size);
	frees = page->frees + 1;
	last = frees == page->allocs;
	*(unsigned long *)p = free ^ key;
	page->free = link;
	page->frees = frees;				/* model: local-free */
	return unlikely(last) ? MI_FREED_LAST : MI_FREED;
}

void *mi_alloc(struct chaos_heap *heap, size_t size, size_t align);
void *mi_alloc_more(struct mi_theap *theap, size_t size);
enum chaos_verdict mi_free(struct chaos_heap *heap, struct chaos_pool *pool,
			   void *p);

size_t mi_alloc_bulk(struct chaos_heap *heap, size_t size, size_t n, void **p);
size_t mi_free_bulk(struct chaos_heap *heap, size_t n, void **p,
		    enum chaos_verdict *verdict);

unsigned int mi_bin(size_t size);
size_t mi_bin_size(unsigned int bin);
unsigned int mi_bin_aligned(size_t size, size_t align);

#endif /* _CHAOS_MI_HEAP_H */
