// SPDX-License-Identifier: GPL-2.0
/*
 * The mimalloc engine: free-list sharding (Leijen, Zorn, de Moura: "Mimalloc:
 * Free List Sharding in Action", MSR-TR-2019-18), with the page ownership of
 * mimalloc v3, for contexts in place of threads.  mi_heap.h explains the types
 * and the states of a page.
 *
 * What may run against what.  Code at one level of one CPU, with preemption
 * off, is alone with its theap and the pages it owns.  It can be interrupted by
 * a higher level, which then has a theap of its own.  The pages of other
 * owners are reached through page->thread_free only.  Shared by all:
 *
 *   mi_heap.slice_lock		the pools' slices, heap->held, the key generator
 *   mi_heap.abandoned[bin].lock	the abandoned list of that bin
 *   mi_heap.parked		lock-free stack of pages that an NMI claimed
 *
 * Both locks are raw, taken with interrupts off, for a bounded time, never one
 * inside the other, and only on the generic path.  NMIs only try them: if that
 * fails, an allocation is refused, and a free leaves the page that it has
 * claimed, if any, on the stack.
 *
 * What changes a theap is __kprobes: a probe in the middle would run its handler
 * at the same level, and the handler may allocate.  The kernel's own functions
 * that are called with a lock held (bitmaps, irq_work) cannot be: the
 * handler of a probe on these must not.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/cpu.h>
#include <linux/kprobes.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>

#include "lock.h"
#include "mi_heap.h"

/* Blocks that a page should have at least, memory permitting. */
#define MI_PAGE_BLOCKS		8
/* Blocks and bytes that one extension puts on the free list at most. */
#define MI_EXTEND_BLOCKS	64
#define MI_EXTEND_SIZE		4096
/* Slices: small pools are cut finer, so that each class can have a page. */
#define MI_SLICE_MIN_SHIFT	12
#define MI_SLICE_MAX_SHIFT	CHAOS_UNIT_SHIFT
#define MI_POOL_SLICES_SHIFT	8
/* How many listed pages an allocation looks at before it takes a fresh one. */
#define MI_ADOPT_TRIES		4
/* Pages that a count looks at before it lets others have the slices' lock. */
#define MI_SCAN_BATCH		64

struct mi_abandoned {
	raw_spinlock_t lock;
	struct list_head pages;
};

/**
 * struct mi_heap - what the theaps of a heap share
 * @slice_lock: protects the pools' bitmaps, heap->held and @seed
 * @pools: struct mi_pool, oldest first
 * @seed: state of the key generator
 * @parked: pages that were claimed where no lock may be taken; the next one
 *	on the generic path deals with them
 * @abandoned: for each bin, the LISTED pages, longest abandoned first
 */
struct mi_heap {
	raw_spinlock_t slice_lock;
	struct list_head pools;
	u64 seed;
	struct llist_head parked;
	struct mi_abandoned abandoned[MI_BINS];
};

/* Stands in for "no page" in theap->direct.  Never has a block, never written. */
struct mi_page mi_empty_page __ro_after_init;

/* ------------------------------ size classes ------------------------------ */

/* The smallest bin whose blocks have @size bytes, 0 < size <= MI_BIN_MAX_SIZE. */
VISIBLE_IF_KUNIT __kprobes unsigned int mi_bin(size_t size)
{
	size_t words = (size + 7) >> MI_WORD_SHIFT;
	unsigned int top;

	if (words <= MI_EXACT_BINS)
		return words;
	words--;
	top = __fls(words);
	return ((top - MI_STEP_SHIFT - 1) << MI_STEP_SHIFT) +
	       ((words >> (top - MI_STEP_SHIFT)) & ((1 << MI_STEP_SHIFT) - 1)) +
	       MI_EXACT_BINS + 1;
}
EXPORT_SYMBOL_IF_KUNIT(mi_bin);

VISIBLE_IF_KUNIT __kprobes size_t mi_bin_size(unsigned int bin)
{
	unsigned int step, top;

	if (bin <= MI_EXACT_BINS)
		return (size_t)bin << MI_WORD_SHIFT;
	bin -= MI_EXACT_BINS + 1;
	step = (bin & ((1 << MI_STEP_SHIFT) - 1)) + (1 << MI_STEP_SHIFT) + 1;
	top = (bin >> MI_STEP_SHIFT) + MI_STEP_SHIFT + 1;
	return (size_t)step << (top - MI_STEP_SHIFT + MI_WORD_SHIFT);
}
EXPORT_SYMBOL_IF_KUNIT(mi_bin_size);

/*
 * The smallest bin for @size whose blocks are all aligned to @align, a power of
 * two up to MI_BIN_MAX_SIZE: its size is a multiple of @align.  The first power
 * of two is one, so eight steps suffice.
 */
VISIBLE_IF_KUNIT __kprobes unsigned int mi_bin_aligned(size_t size, size_t align)
{
	unsigned int bin = mi_bin(max(size, align));

	while (mi_bin_size(bin) & (align - 1))
		bin++;
	return bin;
}
EXPORT_SYMBOL_IF_KUNIT(mi_bin_aligned);

static size_t lowest_bit(size_t n)
{
	return n & -n;
}

/* ---------------------------- page->thread_free --------------------------- */

static u32 mi_link_of(u64 word)
{
	return word & MI_LINK_MASK;
}

static s32 mi_count_of(u64 word)
{
	return (s32)(word >> MI_COUNT_SHIFT);
}

static u64 mi_count_word(s32 count)
{
	return (u64)(u32)count << MI_COUNT_SHIFT;
}

/*
 * Put the block at @p, with link @link, on the page's thread_free list.  If this
 * makes the caller the page's owner, *claimed is set.
 *
 * A page without an owner and without live blocks has just been given back: @p
 * was freed twice at once.  That is refused.
 *
 * The block's own word is written before the release that publishes it.  Whoever
 * takes the list has read it with acquire (mi_page_take_thread_free()).  A push
 * that claims acts on the plain fields next: the acquire half of the cmpxchg
 * pairs with the release in mi_page_disown() and mi_page_list().
 */
static __always_inline enum chaos_verdict
mi_page_push(struct mi_page *page, void *p, u32 link, bool *claimed)
{
	u64 old = atomic64_read(&page->thread_free), new;

	do {
		if (unlikely(!(old & MI_OWNED) && !mi_count_of(old)))
			return CHAOS_FREED;
		*(unsigned long *)p = mi_link_of(old) ^ page->key;
		new = ((old & ~MI_LINK_MASK) | link) - MI_COUNT_ONE;
		if (!(old & MI_OWNED) &&
		    (!(old & MI_LISTED) || !mi_count_of(new)))
			new |= MI_OWNED;
	} while (!atomic64_try_cmpxchg(&page->thread_free, (s64 *)&old, new));

	*claimed = (new & ~old) & MI_OWNED;
	return CHAOS_OK;
}

static bool mi_is_owned(u64 word)
{
	return (word & (MI_OWNED | MI_LISTED)) == MI_OWNED;
}

/*
 * Live blocks of a page, whatever its state; exact if it is at rest.  The owner
 * may be taking thread_free over: then the two numbers do not belong together,
 * and the sum is brought back to what is possible.
 */
static u32 mi_page_live(const struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);
	s64 live = mi_count_of(word);

	if (mi_is_owned(word))
		live += data_race(page->used);	/* data_race(): see above */
	return clamp_t(s64, live, 0, READ_ONCE(page->capacity));
}

/*
 * A push has made us the owner.  True if the page can be allocated from: it was
 * FULL, so all of its free blocks are on thread_free, and the count is that of
 * the live ones.  False if all of its blocks are free now: it had but one, or
 * was LISTED.
 */
static __kprobes bool mi_page_claimed(struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);

	if (word & MI_LISTED)
		return false;
	word = atomic64_xchg_acquire(&page->thread_free, MI_OWNED);
	page->free = mi_link_of(word);
	page->used = mi_count_of(word);
	return page->used;
}

/* The owner moves the whole thread_free list to the free list, which is empty. */
static __kprobes bool mi_page_take_thread_free(struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);

	if (!mi_link_of(word))
		return false;
	word = atomic64_xchg_acquire(&page->thread_free, MI_OWNED);
	page->free = mi_link_of(word);
	page->used += mi_count_of(word);
	return true;
}

/*
 * Let go of an owned page without free blocks: OWNED -> FULL.  Fails, and the
 * page stays owned, if somebody has freed a block of it meanwhile.
 *
 * Release: the next owner sees the plain fields as we leave them.
 */
static __kprobes bool mi_page_disown(struct mi_page *page)
{
	s64 old = MI_OWNED;

	page->home = page->theap;
	WRITE_ONCE(page->theap, NULL);
	if (atomic64_try_cmpxchg_release(&page->thread_free, &old,
					 mi_count_word(page->used)))
		return true;
	WRITE_ONCE(page->theap, page->home);
	return false;
}

/* ------------------------------- the slices ------------------------------- */

/* Multiplicative inverse of an odd number modulo the word size. */
static unsigned long odd_inverse(unsigned long n)
{
	unsigned long x = n;	/* right in 3 bits; each step doubles them */
	unsigned int bits;

	for (bits = 3; bits < BITS_PER_LONG; bits *= 2)
		x *= 2 - n * x;
	return x;
}

/* splitmix64 (Steele, Lea, Flood 2014); the top bit makes it no valid link. */
static unsigned long mi_next_key(struct mi_heap *mi)
{
	u64 z = (mi->seed += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return (unsigned long)z | (1UL << (BITS_PER_LONG - 1));
}

static size_t mi_slices_for(const struct mi_pool *mp, size_t bytes)
{
	return (bytes + (1UL << mp->pool->slice_shift) - 1) >>
		mp->pool->slice_shift;
}

/* Bytes of the page that blocks of this size should live in. */
static size_t mi_page_size(size_t block_size)
{
	return min(block_size * MI_PAGE_BLOCKS, MI_PAGE_MAX_SIZE);
}

/* Take @n adjacent free slices, the first one aligned to @align bytes. */
static __kprobes struct mi_page *mi_pool_take(struct mi_pool *mp, size_t n, size_t align)
{
	unsigned int shift = mp->pool->slice_shift;
	unsigned long mask = (align >> shift) ? (align >> shift) - 1 : 0;
	unsigned long index;

	if (n > mp->free_slices)
		return NULL;
	index = bitmap_find_next_zero_area_off(mp->used, mp->slices, mp->hint,
					       n, mask, mp->pool->start >> shift);
	if (index >= mp->slices)
		return NULL;
	bitmap_set(mp->used, index, n);
	mp->free_slices -= n;
	if (index == mp->hint)
		mp->hint = index + n;
	mp->page[index].slices = n;
	return &mp->page[index];
}

static __kprobes void mi_pool_put(struct mi_pool *mp, struct mi_page *page)
{
	unsigned int index = page - mp->page;

	bitmap_clear(mp->used, index, page->slices);
	mp->free_slices += page->slices;
	mp->hint = min(mp->hint, index);
}

static unsigned long mi_page_start(const struct mi_page *page)
{
	return page->base + MI_LINK_BIAS;
}

/*
 * Make a page of the slices that @page heads.  A page with several blocks lets
 * each of its slices lead to its head; where there is but one block, any other
 * address is wrong anyway, so its later slices stay as they are: no page.
 */
static __kprobes void mi_page_init(struct mi_pool *mp, struct mi_page *page,
				   unsigned int bin, size_t block_size,
				   unsigned long key)
{
	unsigned int shift = mp->pool->slice_shift, i;
	size_t bytes = (size_t)page->slices << shift;
	unsigned int odd_shift = __ffs(block_size);

	page->base = mp->pool->start - MI_LINK_BIAS +
		     ((unsigned long)(page - mp->page) << shift);
	page->key = key;
	page->free = 0;
	page->local_free = 0;
	page->used = 0;
	page->capacity = 0;
	page->limit = 0;
	page->bin = bin;
	page->align_shift = ilog2(CHAOS_MIN_ALIGN);
	page->block_size = block_size;
	page->reserved = bin ? bytes / block_size : 1;
	page->inverse = odd_inverse(block_size >> odd_shift);
	page->rotate = odd_shift;
	page->home = NULL;
	page->next = NULL;
	page->prev = NULL;
	INIT_LIST_HEAD(&page->list);
	atomic64_set(&page->thread_free, MI_OWNED);
	if (page->reserved > 1)
		for (i = 1; i < page->slices; i++)
			WRITE_ONCE(page[i].head_distance, i);
}

/*
 * Find slices for blocks of @block_size: for several of them if that can be, for
 * one at least.
 */
static __kprobes struct mi_page *
mi_find_slices(struct mi_heap *mi, unsigned int bin, size_t block_size,
	       size_t align, struct mi_pool **mpp)
{
	size_t want = bin ? mi_page_size(block_size) : block_size;
	struct mi_page *page;
	struct mi_pool *mp;

	list_for_each_entry(mp, &mi->pools, list) {
		*mpp = mp;
		page = mi_pool_take(mp, mi_slices_for(mp, want), align);
		if (page)
			return page;
	}
	if (want == block_size)
		return NULL;
	list_for_each_entry(mp, &mi->pools, list) {
		*mpp = mp;
		page = mi_pool_take(mp, mi_slices_for(mp, block_size), align);
		if (page)
			return page;
	}
	return NULL;
}

/* A fresh page, owned by the caller and in no queue; NULL without memory. */
static __kprobes struct mi_page *
mi_page_alloc(struct chaos_heap *heap, unsigned int bin, size_t block_size,
	      size_t align)
{
	struct mi_heap *mi = heap->priv;
	unsigned long flags, key = 0;
	struct mi_page *page;
	struct mi_pool *mp;

	if (!chaos_raw_lock(&mi->slice_lock, &flags))
		return NULL;
	page = mi_find_slices(mi, bin, block_size, align, &mp);
	if (page) {
		key = mi_next_key(mi);
		chaos_hold(heap, (size_t)page->slices << mp->pool->slice_shift);
	}
	raw_spin_unlock_irqrestore(&mi->slice_lock, flags);
	if (page)
		mi_page_init(mp, page, bin, block_size, key);
	return page;
}

static __kprobes struct mi_pool *mi_pool_of(const struct mi_page *page)
{
	return chaos_pool_of((void *)mi_page_start(page))->priv;
}

/*
 * Give the slices of an owned page without live blocks back.  No free can be in
 * flight: it would be that of a live block.  False only in NMI: nothing is done.
 */
static __kprobes bool mi_page_free(struct chaos_heap *heap, struct mi_page *page)
{
	struct mi_pool *mp = mi_pool_of(page);
	struct mi_heap *mi = heap->priv;
	unsigned long flags;
	unsigned int i;

	if (!chaos_raw_lock(&mi->slice_lock, &flags))
		return false;
	WRITE_ONCE(page->capacity, 0);
	WRITE_ONCE(page->theap, NULL);
	atomic64_set(&page->thread_free, 0);
	if (page->reserved > 1)
		for (i = 1; i < page->slices; i++)
			WRITE_ONCE(page[i].head_distance, 0);
	mi_pool_put(mp, page);
	chaos_unhold(heap, (size_t)page->slices << mp->pool->slice_shift);
	page->slices = 0;
	raw_spin_unlock_irqrestore(&mi->slice_lock, flags);
	return true;
}

/* ------------------------------- the queues ------------------------------- */

/* theap->direct follows the first page of the queue. */
static __kprobes void mi_queue_update_direct(struct mi_theap *theap, unsigned int bin)
{
	struct mi_page *first = theap->queue[bin].first ?: &mi_empty_page;
	size_t word = mi_bin_size(bin) >> MI_WORD_SHIFT;
	size_t low = mi_bin_size(bin - 1) >> MI_WORD_SHIFT;

	for (word = min(word, MI_DIRECT - 1); word > low; word--)
		theap->direct[word] = first;
}

static __kprobes void mi_queue_push_front(struct mi_theap *theap, struct mi_page *page)
{
	struct mi_queue *q = &theap->queue[page->bin];

	page->prev = NULL;
	page->next = q->first;
	if (q->first)
		q->first->prev = page;
	else
		q->last = page;
	q->first = page;
	mi_queue_update_direct(theap, page->bin);
}

static __kprobes void mi_queue_push_back(struct mi_theap *theap, struct mi_page *page)
{
	struct mi_queue *q = &theap->queue[page->bin];

	if (!q->first) {
		mi_queue_push_front(theap, page);
		return;
	}
	page->next = NULL;
	page->prev = q->last;
	q->last->next = page;
	q->last = page;
}

static __kprobes void mi_queue_remove(struct mi_theap *theap, struct mi_page *page)
{
	struct mi_queue *q = &theap->queue[page->bin];

	if (page->next)
		page->next->prev = page->prev;
	else
		q->last = page->prev;
	if (page->prev) {
		page->prev->next = page->next;
	} else {
		q->first = page->next;
		mi_queue_update_direct(theap, page->bin);
	}
}

/* The owned page becomes one of @theap's. */
static __kprobes void mi_page_own(struct mi_theap *theap, struct mi_page *page)
{
	WRITE_ONCE(page->theap, theap);
	mi_queue_push_back(theap, page);
}

/* ---------------------------- abandoned pages ----------------------------- */

/*
 * Publish an owned page on its abandoned list: OWNED -> LISTED.  Fails if all
 * of its blocks have been freed: then the page is to be freed, not listed.
 *
 * Frees go on meanwhile, hence the loop; each round it takes is another block
 * that somebody freed.  The list's lock is held so that nobody can find the page
 * on the list and not LISTED, other than one that the last free has claimed.
 */
static __kprobes bool mi_page_list(struct mi_abandoned *ab, struct mi_page *page)
{
	u64 old = atomic64_read(&page->thread_free), new;
	s32 live;

	lockdep_assert_held(&ab->lock);
	WRITE_ONCE(page->theap, NULL);
	do {
		live = page->used + mi_count_of(old);
		if (!live)
			return false;
		new = mi_link_of(old) | mi_count_word(live) | MI_LISTED;
	} while (!atomic64_try_cmpxchg_release(&page->thread_free, (s64 *)&old,
					       new));
	list_add_tail(&page->list, &ab->pages);
	return true;
}

/*
 * LISTED -> OWNED.  Fails if the last free has claimed the page.
 *
 * Acquire: see the plain fields as the last owner left them.
 */
static __kprobes bool mi_page_claim_listed(struct mi_page *page)
{
	u64 old = atomic64_read(&page->thread_free), new;

	do {
		if (old & MI_OWNED)
			return false;
		new = mi_link_of(old) | MI_OWNED |
		      mi_count_word(mi_count_of(old) - (s32)page->used);
	} while (!atomic64_try_cmpxchg_acquire(&page->thread_free, (s64 *)&old,
					       new));
	return true;
}

/*
 * A page that its last free has claimed while LISTED may still be on the list;
 * its count is that of the live blocks, 0.  False only in NMI.
 */
static __kprobes bool mi_page_unlist(struct mi_abandoned *ab, struct mi_page *page)
{
	unsigned long flags;

	if (!chaos_raw_lock(&ab->lock, &flags))
		return false;
	list_del_init(&page->list);
	raw_spin_unlock_irqrestore(&ab->lock, flags);
	return true;
}

static __kprobes bool mi_page_try_settle(struct chaos_heap *heap, struct mi_page *page)
{
	struct mi_heap *mi = heap->priv;
	struct mi_abandoned *ab = &mi->abandoned[page->bin];
	unsigned long flags;
	bool listed;

	if (atomic64_read(&page->thread_free) & MI_LISTED)
		return mi_page_unlist(ab, page) && mi_page_free(heap, page);

	if (!chaos_raw_lock(&ab->lock, &flags))
		return false;
	listed = mi_page_list(ab, page);
	raw_spin_unlock_irqrestore(&ab->lock, flags);
	return listed || mi_page_free(heap, page);
}

/*
 * Find a place for an owned page that is in no queue: free it if it is empty,
 * else let everybody have it.  An NMI that cannot have a lock parks the page.
 */
static __kprobes void mi_page_settle(struct chaos_heap *heap,
				     struct mi_page *page)
{
	struct mi_heap *mi = heap->priv;

	if (unlikely(!mi_page_try_settle(heap, page)))
		llist_add(&page->parked, &mi->parked);
}

/* Deal with what NMIs had to leave. */
static __kprobes void mi_settle_parked(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	struct mi_page *page, *next;

	if (likely(llist_empty(&mi->parked)))
		return;
	llist_for_each_entry_safe(page, next, llist_del_all(&mi->parked), parked)
		mi_page_settle(heap, page);
}

/* The first page of the list that can be claimed, if it is among the first few. */
static __kprobes struct mi_page *mi_abandoned_pop(struct mi_abandoned *ab)
{
	unsigned int tries = MI_ADOPT_TRIES;
	struct mi_page *page;

	lockdep_assert_held(&ab->lock);
	while (tries--) {
		page = list_first_entry_or_null(&ab->pages, struct mi_page, list);
		if (!page)
			break;
		list_del_init(&page->list);
		if (mi_page_claim_listed(page))
			return page;
	}
	return NULL;
}

/* Take over the page of this bin that has been abandoned for longest. */
static __kprobes struct mi_page *mi_page_adopt(struct mi_heap *mi, unsigned int bin)
{
	struct mi_abandoned *ab = &mi->abandoned[bin];
	struct mi_page *page;
	unsigned long flags;

	/* Unlocked: to miss a page that is being added is as good as earlier. */
	if (list_empty_careful(&ab->pages))
		return NULL;
	if (!chaos_raw_lock(&ab->lock, &flags))
		return NULL;
	page = mi_abandoned_pop(ab);
	raw_spin_unlock_irqrestore(&ab->lock, flags);
	return page;
}

/* ---------------------------- the generic path ---------------------------- */

/* Length of one of the page's lists, or -1 if it leads astray. */
static int mi_list_length(const struct mi_page *page, u32 link)
{
	unsigned long next;
	int n = 0;

	while (link) {
		if (++n > page->capacity)
			return -1;
		next = *(unsigned long *)(page->base + link) ^ page->key;
		if (next > page->limit || next & (CHAOS_MIN_ALIGN - 1))
			return -1;
		link = next;
	}
	return n;
}

static bool mi_link_sound(const struct mi_page *page, u32 link)
{
	return (*(unsigned long *)(page->base + link) ^ page->key) <= page->limit;
}

/*
 * The first block of the free list was written to after it had been freed.
 * Nothing behind it can be found any more: give the whole list up.  Its blocks
 * count as used from now on, so the page is never given back.
 */
static __cold void mi_page_drop_free(struct chaos_heap *heap,
				     struct mi_page *page)
{
	void *damaged = (void *)(page->base + page->free);
	int local = mi_list_length(page, page->local_free);

	if (local < 0) {
		page->local_free = 0;
		local = 0;
	}
	page->used = page->capacity - local;
	page->free = 0;
	/* Last: what prints may allocate. */
	chaos_report(heap, damaged, CHAOS_CORRUPT, _RET_IP_);
}

/*
 * Put more of the page's memory on its free list, which is empty.  In small
 * portions: the time of one call is bounded, and memory that is not needed stays
 * untouched.
 */
static __kprobes void mi_page_extend(struct mi_page *page)
{
	u32 n = clamp_t(size_t, MI_EXTEND_SIZE / page->block_size, 1,
			MI_EXTEND_BLOCKS);
	unsigned long size = page->block_size;
	u32 first = page->capacity * size + MI_LINK_BIAS;
	u32 link = first, i;

	n = min(n, page->reserved - page->capacity);
	for (i = 1; i < n; i++, link += size)
		*(unsigned long *)(page->base + link) = (link + size) ^ page->key;
	*(unsigned long *)(page->base + link) = page->key;

	page->free = first;
	WRITE_ONCE(page->limit, (page->capacity + n) * size);
	/* Pairs with mi_verdict(): who sees the blocks sees what they are in. */
	smp_store_release(&page->capacity, page->capacity + n);
}

/* See to it that the owned page's free list has a block; false if it is full. */
static __kprobes bool mi_page_refill(struct chaos_heap *heap, struct mi_page *page)
{
	for (;;) {
		if (page->free) {
			if (likely(mi_link_sound(page, page->free)))
				return true;
			mi_page_drop_free(heap, page);
		}
		if (page->local_free) {
			page->free = page->local_free;
			page->local_free = 0;
		} else if (!mi_page_take_thread_free(page)) {
			break;
		}
	}
	if (page->capacity == page->reserved)
		return false;
	mi_page_extend(page);
	return true;
}

/* Give the empty pages of a theap back to the pools. */
static __kprobes void mi_theap_trim(struct mi_theap *theap)
{
	struct mi_page *page, *next;
	unsigned int bin;

	for (bin = 1; bin < MI_BINS; bin++) {
		for (page = theap->queue[bin].first; page; page = next) {
			next = page->next;
			if (mi_page_live(page))
				continue;
			mi_queue_remove(theap, page);
			mi_page_free(theap->heap, page);
		}
	}
}

/*
 * There are no slices left: see if this CPU's theaps sit on empty pages.  With
 * interrupts off nothing is in the middle of our own level or of a higher one;
 * a lower one may have been interrupted, so it is left alone, and so is NMI's.
 */
static __kprobes bool mi_trim_this_cpu(struct chaos_heap *heap,
				       unsigned int level)
{
	size_t before = READ_ONCE(heap->held);
	unsigned long flags;

	if (level == MI_NMI)
		return false;
	local_irq_save(flags);
	for (; level < MI_NMI; level++)
		mi_theap_trim(mi_theap(heap, level));
	local_irq_restore(flags);
	return READ_ONCE(heap->held) != before;
}

/* A page for the theap that has none: an abandoned one, or a fresh one. */
static __kprobes struct mi_page *mi_page_get(struct mi_theap *theap, unsigned int bin)
{
	struct chaos_heap *heap = theap->heap;
	size_t size = mi_bin_size(bin);
	size_t align = min(lowest_bit(size), CHAOS_UNIT_SIZE);
	struct mi_page *page;

	page = mi_page_adopt(heap->priv, bin);
	if (!page)
		page = mi_page_alloc(heap, bin, size, align);
	if (!page && mi_trim_this_cpu(heap, theap->level))
		page = mi_page_alloc(heap, bin, size, align);
	return page;
}

/*
 * The first page of the bin's queue, with a block on its free list.  Pages that
 * turn out to be full are let go on the way; each was filled by as many
 * allocations as it has blocks.
 */
static __kprobes struct mi_page *mi_theap_page(struct mi_theap *theap,
					       unsigned int bin)
{
	struct mi_queue *q = &theap->queue[bin];
	struct mi_page *page;

	for (;;) {
		while ((page = q->first)) {
			if (mi_page_refill(theap->heap, page))
				return page;
			mi_queue_remove(theap, page);
			if (!mi_page_disown(page))
				mi_queue_push_front(theap, page);
		}
		page = mi_page_get(theap, bin);
		if (!page)
			return NULL;
		WRITE_ONCE(page->theap, theap);
		mi_queue_push_front(theap, page);
	}
}

static __kprobes void *mi_theap_alloc(struct mi_theap *theap, unsigned int bin,
				      size_t align)
{
	struct mi_page *page = theap->queue[bin].first;
	void *p = page ? mi_page_pop(page) : NULL;

	if (unlikely(!p)) {
		page = mi_theap_page(theap, bin);
		if (!page)
			return NULL;
		p = mi_page_pop(page);
	}
	if (align > 1UL << page->align_shift)
		page->align_shift = ilog2(align);
	return p;
}

/*
 * A block with a page of its own.  It is FULL from the start: whoever frees it
 * becomes the owner and gives the slices back.
 */
static __kprobes void *mi_alloc_single(struct chaos_heap *heap,
				       unsigned int level, size_t size,
				       size_t align)
{
	size_t natural = is_power_of_2(size) ? max(align, PAGE_SIZE) : align;
	struct mi_page *page = mi_page_alloc(heap, 0, size, natural);
	void *p;

	if (!page && mi_trim_this_cpu(heap, level))
		page = mi_page_alloc(heap, 0, size, natural);
	if (!page)
		return NULL;
	p = (void *)mi_page_start(page);
	*(unsigned long *)p = 0;
	page->block_size = (size_t)page->slices << mi_pool_of(page)->pool->slice_shift;
	page->align_shift = ilog2(align);
	page->used = 1;
	page->limit = MI_LINK_BIAS;
	/* Pairs with mi_verdict(). */
	smp_store_release(&page->capacity, 1);
	/* Pairs with the acquire of the free that claims the page. */
	atomic64_set_release(&page->thread_free, mi_count_word(1));
	return p;
}

__kprobes void *mi_alloc(struct chaos_heap *heap, size_t size, size_t align)
{
	unsigned int level = mi_context_level(), bin;
	struct mi_theap *theap = mi_theap(heap, level);
	void *p;

	mi_settle_parked(heap);
	if (size > MI_BIN_MAX_SIZE || align > CHAOS_UNIT_SIZE)
		return mi_alloc_single(heap, level, size, align);
	bin = likely(align <= CHAOS_MIN_ALIGN) ? mi_bin(size) :
						 mi_bin_aligned(size, align);
	if (likely(level != MI_NMI))
		return mi_theap_alloc(theap, bin, align);

	/* An NMI can be interrupted by another kind of NMI. */
	if (theap->busy)
		return NULL;
	WRITE_ONCE(theap->busy, true);
	barrier();
	p = mi_theap_alloc(theap, bin, align);
	barrier();
	WRITE_ONCE(theap->busy, false);
	return p;
}

/* --------------------------------- freeing -------------------------------- */

/*
 * The last block of an owned page has been freed.  The only page of its queue is
 * kept: the next allocation would need it back.
 */
static __kprobes void mi_page_retire(struct mi_theap *theap,
				     struct mi_page *page)
{
	struct mi_queue *q = &theap->queue[page->bin];

	if (q->first == q->last)
		return;
	mi_queue_remove(theap, page);
	mi_page_free(theap->heap, page);
}

/* A block of a page that is not ours.  @theap is NULL in NMI. */
static noinline __kprobes enum chaos_verdict
mi_free_foreign(struct chaos_heap *heap, struct mi_theap *theap,
		struct mi_page *page, void *p, u32 link)
{
	enum chaos_verdict verdict;
	bool claimed;

	verdict = mi_page_push(page, p, link, &claimed);
	if (verdict != CHAOS_OK || !claimed)
		return verdict;
	if (mi_page_claimed(page) && theap && page->home == theap)
		mi_page_own(theap, page);
	else
		mi_page_settle(heap, page);
	return CHAOS_OK;
}

static bool mi_slice_used(const struct chaos_pool *pool, const void *p)
{
	struct mi_pool *mp = pool->priv;

	return test_bit(((unsigned long)p - pool->start) >> pool->slice_shift,
			mp->used);
}

/* Quotient of the block's offset by its size, or something huge. */
static __always_inline unsigned long mi_block_index(const struct mi_page *page,
						    const void *p)
{
	unsigned long offset = (unsigned long)p - page->base - MI_LINK_BIAS;

#if BITS_PER_LONG == 64
	return ror64(offset * page->inverse, page->rotate);
#else
	return ror32(offset * page->inverse, page->rotate);
#endif
}

static __cold enum chaos_verdict mi_refuse(const struct chaos_pool *pool,
					   const struct mi_page *page,
					   const void *p)
{
	if (!mi_slice_used(pool, p))
		return CHAOS_FREED;
	/* Not extended so far: a block that has never been allocated. */
	if (READ_ONCE(page->slices) &&
	    mi_block_index(page, p) < READ_ONCE(page->reserved))
		return CHAOS_FREED;
	return CHAOS_INTERIOR;
}

/*
 * Is @p the start of a live block?  Everything that is read here is constant
 * while it is; capacity and limit only grow.  Of any other address, the
 * capacity is read first, with acquire: if it is that of a page, so is the rest.
 */
static __always_inline enum chaos_verdict
mi_verdict(const struct chaos_pool *pool, const struct mi_page *page,
	   const void *p)
{
	/* Pairs with mi_page_extend() and mi_alloc_single(). */
	u32 capacity = smp_load_acquire(&page->capacity);

	if (unlikely(mi_block_index(page, p) >= capacity))
		return mi_refuse(pool, page, p);
	if (unlikely((READ_ONCE(*(unsigned long *)p) ^ page->key) <=
		     READ_ONCE(page->limit)))
		return CHAOS_FREED;
	return CHAOS_OK;
}

/* FAST PATH.  Any context, preemption disabled. */
__kprobes enum chaos_verdict mi_free(struct chaos_heap *heap,
				     struct chaos_pool *pool, void *p)
{
	struct mi_page *page = mi_page_of(pool, p);
	enum chaos_verdict verdict = mi_verdict(pool, page, p);
	u32 link = (unsigned long)p - page->base;
	unsigned int level;
	struct mi_theap *theap;

	if (unlikely(verdict != CHAOS_OK))
		return verdict;
	level = mi_context_level();
	theap = likely(level != MI_NMI) ? mi_theap(heap, level) : NULL;
	if (unlikely(!theap || READ_ONCE(page->theap) != theap))
		return mi_free_foreign(heap, theap, page, p, link);
	*(unsigned long *)p = page->local_free ^ page->key;
	page->local_free = link;
	if (unlikely(!--page->used))
		mi_page_retire(theap, page);
	return CHAOS_OK;
}

static enum chaos_verdict mi_query(struct chaos_heap *heap,
				   struct chaos_pool *pool, const void *p,
				   struct chaos_block *block)
{
	const struct mi_page *page = mi_page_of(pool, p);
	enum chaos_verdict verdict = mi_verdict(pool, page, p);

	if (verdict != CHAOS_OK)
		return verdict;
	block->size = page->block_size;
	/* data_race(): only grows, and includes what this block was promised. */
	block->align = 1UL << data_race(page->align_shift);
	return CHAOS_OK;
}

/*
 * A block that would be less than half used is better moved, unless it would be
 * to one of the same kind.
 */
static bool mi_resize(struct chaos_heap *heap, struct chaos_pool *pool, void *p,
		      size_t size)
{
	const struct mi_page *page = mi_page_of(pool, p);
	/* data_race(): only grows; a move more or less is all it decides. */
	size_t align = 1UL << data_race(page->align_shift);

	if (size > page->block_size)
		return false;
	if (size >= page->block_size / 2)
		return true;
	if (!page->bin)
		return page->slices == 1;
	return align <= CHAOS_UNIT_SIZE &&
	       mi_bin_aligned(size, align) == page->bin;
}

/* ----------------------- looking at the heap as a whole -------------------- */

/**
 * struct mi_tour - a visit to all pages of a heap
 * @heap: which
 * @cpu: whose theaps are visited now
 * @theap_fn: called for each theap of the CPU, on that CPU, with interrupts
 *	off: nothing is in the middle of it
 * @visitor: for chaos_heap_walk()
 * @arg: its argument
 * @free: scratch: a bit for each free block of one page
 * @blocks: live blocks seen, for chaos_heap_stats()
 * @bytes: their usable bytes
 * @err: the first error; ends the tour
 */
struct mi_tour {
	struct chaos_heap *heap;
	unsigned int cpu;
	void (*theap_fn)(struct mi_tour *tour, struct mi_theap *theap);
	chaos_visitor visitor;
	void *arg;
	unsigned long *free;
	size_t blocks;
	size_t bytes;
	int err;
};

/* The most blocks that a page can have: the smallest ones in one slice. */
#define MI_BLOCKS_MAX	(1UL << (MI_SLICE_MAX_SHIFT - MI_WORD_SHIFT))

static int mi_tour_cpu(void *data)
{
	struct mi_tour *tour = data;
	struct mi_theap *theap = per_cpu_ptr(tour->heap->theaps, tour->cpu);
	struct mi_theap *end = theap + MI_LEVELS;
	unsigned long flags;

	local_irq_save(flags);
	for (; theap < end && !tour->err; theap++) {
		/* Keeps NMIs out of theirs; the other levels are at rest. */
		WRITE_ONCE(theap->busy, true);
		barrier();
		tour->theap_fn(tour, theap);
		barrier();
		WRITE_ONCE(theap->busy, false);
	}
	local_irq_restore(flags);
	return 0;
}

/*
 * A CPU that is offline cannot be in the middle of anything either: its theaps
 * are ours, as heap->mutex keeps other tours away.  The caller keeps CPUs from
 * coming and going.
 */
static void mi_tour_theaps(struct mi_tour *tour)
{
	lockdep_assert_held(&tour->heap->mutex);
	for_each_possible_cpu(tour->cpu) {
		if (cpu_online(tour->cpu))
			smp_call_on_cpu(tour->cpu, mi_tour_cpu, tour, false);
		else
			mi_tour_cpu(tour);
		if (tour->err)
			break;
	}
}

static void mi_collect_theap(struct mi_tour *tour, struct mi_theap *theap)
{
	mi_theap_trim(theap);
}

static void mi_collect(struct chaos_heap *heap, bool force)
{
	struct mi_tour tour = { .heap = heap, .theap_fn = mi_collect_theap };

	preempt_disable();
	mi_settle_parked(heap);
	preempt_enable();
	if (force)
		mi_tour_theaps(&tour);
}

static int mi_tour_init(struct mi_tour *tour, struct chaos_heap *heap)
{
	*tour = (struct mi_tour){ .heap = heap };
	tour->free = bitmap_alloc(MI_BLOCKS_MAX, GFP_KERNEL);
	return tour->free ? 0 : -ENOMEM;
}

/* Set the bit of each block of a list; the list's length, or -1 if it is bad. */
static int mi_mark_list(const struct mi_page *page, u32 link,
			unsigned long *free)
{
	unsigned long next;
	int n;

	for (n = 0; link; n++, link = next) {
		void *block = (void *)(page->base + link);
		unsigned long index = mi_block_index(page, block);

		if (index >= page->capacity || __test_and_set_bit(index, free))
			return -1;
		next = READ_ONCE(*(unsigned long *)block) ^ page->key;
		if (next > page->limit)
			return -1;
	}
	return n;
}

/*
 * Mark the page's free blocks and see that its numbers add up.  The caller keeps
 * its plain fields from changing; others may push meanwhile.
 */
static int mi_mark_free(struct mi_tour *tour, struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);
	s32 pushed = -mi_count_of(word);
	int n, local, foreign;

	if (word & MI_LISTED)
		pushed += page->used;
	bitmap_zero(tour->free, MI_BLOCKS_MAX);
	n = mi_mark_list(page, page->free, tour->free);
	local = mi_mark_list(page, page->local_free, tour->free);
	foreign = mi_mark_list(page, mi_link_of(word), tour->free);
	if (n < 0 || local < 0 || foreign < 0)
		return chaos_unclean(tour->heap, "page %p: a free list is broken",
				     page);
	if (page->used + n + local != page->capacity || foreign != pushed)
		return chaos_unclean(tour->heap,
				     "page %p: %u used + %d free + %d local != %u, or %d != %d pushed",
				     page, page->used, n, local, page->capacity,
				     foreign, pushed);
	if (page->capacity > page->reserved ||
	    page->limit != page->capacity * page->block_size)
		return chaos_unclean(tour->heap, "page %p: capacity %u of %u",
				     page, page->capacity, page->reserved);
	return 0;
}

/* Call the visitor for each block whose bit in tour->free is clear. */
static int mi_walk_page(struct mi_tour *tour, struct mi_page *page)
{
	unsigned long index;

	for_each_clear_bit(index, tour->free, page->capacity) {
		void *p = (void *)(mi_page_start(page) + index * page->block_size);

		if (!tour->visitor(tour->heap, p, page->block_size, tour->arg))
			return -ECANCELED;
	}
	return 0;
}

/* Check a page that nobody can change now, and walk it if that is what we do. */
static int mi_visit_page(struct mi_tour *tour, struct mi_page *page)
{
	int err = mi_mark_free(tour, page);

	if (!err && tour->visitor)
		err = mi_walk_page(tour, page);
	return err;
}

static int mi_visit_queue(struct mi_tour *tour, struct mi_theap *theap,
			  unsigned int bin)
{
	struct mi_page *page, *prev = NULL;
	int err;

	for (page = theap->queue[bin].first; page; prev = page, page = page->next) {
		if (page->theap != theap || page->bin != bin || page->prev != prev ||
		    page->block_size != mi_bin_size(bin))
			return chaos_unclean(tour->heap,
					     "page %p is not one of bin %u",
					     page, bin);
		if ((atomic64_read(&page->thread_free) & (MI_OWNED | MI_LISTED)) !=
		    MI_OWNED)
			return chaos_unclean(tour->heap,
					     "page %p has two owners", page);
		err = mi_visit_page(tour, page);
		if (err)
			return err;
	}
	if (theap->queue[bin].last != prev)
		return chaos_unclean(tour->heap, "queue %u ends early", bin);
	return 0;
}

static int mi_check_direct(struct mi_tour *tour, struct mi_theap *theap)
{
	struct mi_page *first;
	size_t word;

	for (word = 1; word < MI_DIRECT; word++) {
		first = theap->queue[mi_bin(word << MI_WORD_SHIFT)].first;
		if (theap->direct[word] != (first ?: &mi_empty_page))
			return chaos_unclean(tour->heap,
					     "direct[%zu] is not the queue's first",
					     word);
	}
	return 0;
}

static void mi_visit_theap(struct mi_tour *tour, struct mi_theap *theap)
{
	unsigned int bin;

	tour->err = mi_check_direct(tour, theap);
	for (bin = 1; bin < MI_BINS && !tour->err; bin++)
		tour->err = mi_visit_queue(tour, theap, bin);
}

/* Under the list's lock: nobody can take a page off, or free it, meanwhile. */
static int mi_visit_abandoned(struct mi_tour *tour, unsigned int bin)
{
	struct mi_heap *mi = tour->heap->priv;
	struct mi_page *page;
	int err = 0;

	lockdep_assert_held(&mi->abandoned[bin].lock);
	list_for_each_entry(page, &mi->abandoned[bin].pages, list) {
		if (page->bin != bin || page->theap)
			return chaos_unclean(tour->heap,
					     "page %p is not abandoned", page);
		err = mi_visit_page(tour, page);
		if (err)
			break;
	}
	return err;
}

/* Visit every page that is in a queue or on an abandoned list. */
static void mi_tour_pages(struct mi_tour *tour)
{
	struct mi_heap *mi = tour->heap->priv;
	unsigned long flags;
	unsigned int bin;

	tour->theap_fn = mi_visit_theap;
	mi_tour_theaps(tour);
	for (bin = 0; bin < MI_BINS && !tour->err; bin++) {
		raw_spin_lock_irqsave(&mi->abandoned[bin].lock, flags);
		tour->err = mi_visit_abandoned(tour, bin);
		raw_spin_unlock_irqrestore(&mi->abandoned[bin].lock, flags);
	}
}

static int mi_check_pool(struct mi_tour *tour, struct mi_pool *mp, size_t *held)
{
	unsigned int used = bitmap_weight(mp->used, mp->slices), i, n = 0;
	struct mi_page *page;

	for (i = 0; i < mp->slices; i += max(page->slices, 1U)) {
		page = &mp->page[i];
		n += page->slices;
		if (page->slices && (!test_bit(i, mp->used) || page->head_distance))
			return chaos_unclean(tour->heap,
					     "page %p is in free slices", page);
	}
	if (n != used || used + mp->free_slices != mp->slices)
		return chaos_unclean(tour->heap,
				     "pool %p: %u slices in pages, %u used, %u free of %u",
				     mp, n, used, mp->free_slices, mp->slices);
	*held += (size_t)used << mp->pool->slice_shift;
	return 0;
}

static int mi_check_slices(struct mi_tour *tour)
{
	struct mi_heap *mi = tour->heap->priv;
	struct mi_pool *mp;
	size_t held = 0;
	int err;

	list_for_each_entry(mp, &mi->pools, list) {
		err = mi_check_pool(tour, mp, &held);
		if (err)
			return err;
	}
	if (held != tour->heap->held)
		return chaos_unclean(tour->heap, "%zu bytes held, %zu in pages",
				     tour->heap->held, held);
	return 0;
}

static int mi_check(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	struct mi_tour tour;
	unsigned long flags;
	int err;

	err = mi_tour_init(&tour, heap);
	if (err)
		return err;
	mi_tour_pages(&tour);
	if (!tour.err) {
		raw_spin_lock_irqsave(&mi->slice_lock, flags);
		tour.err = mi_check_slices(&tour);
		raw_spin_unlock_irqrestore(&mi->slice_lock, flags);
	}
	bitmap_free(tour.free);
	return tour.err;
}

typedef void (*mi_page_fn)(struct mi_tour *tour, struct mi_page *page);

/*
 * Call @fn for every page of all pools.  Under slice_lock a page cannot be given
 * back; the lock is left after every @batch of them.  The pools only get
 * more, under heap->mutex, which is held.
 */
static void mi_scan_pages(struct mi_tour *tour, unsigned int batch,
			  mi_page_fn fn)
{
	struct mi_heap *mi = tour->heap->priv;
	struct mi_pool *mp;
	unsigned long flags;
	unsigned int i, n;

	list_for_each_entry(mp, &mi->pools, list) {
		for (i = 0; i < mp->slices && !tour->err;) {
			raw_spin_lock_irqsave(&mi->slice_lock, flags);
			for (n = 0; n < batch && i < mp->slices; n++) {
				struct mi_page *page = &mp->page[i];

				if (page->slices)
					fn(tour, page);
				i += max(page->slices, 1U);
			}
			raw_spin_unlock_irqrestore(&mi->slice_lock, flags);
		}
	}
}

/*
 * FULL pages are on no list.  Acquire pairs with the release that made it one,
 * in mi_page_disown() and mi_alloc_single().
 */
static void mi_walk_full(struct mi_tour *tour, struct mi_page *page)
{
	u64 word = atomic64_read_acquire(&page->thread_free);

	if (tour->err || word & (MI_OWNED | MI_LISTED) || !mi_count_of(word))
		return;
	bitmap_zero(tour->free, page->capacity);
	tour->err = mi_walk_page(tour, page);
}

static int mi_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg)
{
	struct mi_tour tour;
	int err;

	err = mi_tour_init(&tour, heap);
	if (err)
		return err;
	tour.visitor = visitor;
	tour.arg = arg;
	mi_collect(heap, false);
	mi_tour_pages(&tour);
	if (!tour.err)
		mi_scan_pages(&tour, 1, mi_walk_full);
	bitmap_free(tour.free);
	return tour.err;
}

static void mi_count_page(struct mi_tour *tour, struct mi_page *page)
{
	u32 live = mi_page_live(page);

	tour->blocks += live;
	/* data_race(): it may be about to become a page; then nothing is live. */
	tour->bytes += live * data_race(page->block_size);
}

static void mi_count(struct chaos_heap *heap, size_t *blocks, size_t *bytes)
{
	struct mi_tour tour = { .heap = heap };

	mi_scan_pages(&tour, MI_SCAN_BATCH, mi_count_page);
	*blocks = tour.blocks;
	*bytes = tour.bytes;
}

/* ------------------------------- the engine ------------------------------- */

static unsigned int mi_slice_shift(size_t pool_size)
{
	return clamp_t(unsigned int, ilog2(pool_size) - MI_POOL_SLICES_SHIFT,
		       MI_SLICE_MIN_SHIFT, MI_SLICE_MAX_SHIFT);
}

static void mi_pool_free(struct mi_pool *mp)
{
	bitmap_free(mp->used);
	kvfree(mp);
}

static struct mi_pool *mi_pool_new(struct chaos_pool *pool)
{
	unsigned int slices = pool->size >> pool->slice_shift;
	size_t size;
	struct mi_pool *mp;

	size = struct_size(mp, page, slices);
	mp = kvzalloc(size, GFP_KERNEL);
	if (!mp)
		return NULL;
	mp->used = bitmap_zalloc(slices, GFP_KERNEL);
	if (!mp->used) {
		kvfree(mp);
		return NULL;
	}
	mp->pool = pool;
	mp->slices = slices;
	mp->free_slices = slices;
	pool->meta_size = size + BITS_TO_LONGS(slices) * sizeof(long);
	return mp;
}

static int mi_add_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct mi_heap *mi = heap->priv;
	struct mi_pool *mp;
	unsigned long flags;
	int err;

	pool->slice_shift = mi_slice_shift(pool->size);
	mp = mi_pool_new(pool);
	if (!mp)
		return -ENOMEM;
	pool->priv = mp;
	err = chaos_pool_publish(pool);
	if (err) {
		mi_pool_free(mp);
		return err;
	}
	raw_spin_lock_irqsave(&mi->slice_lock, flags);
	list_add_tail(&mp->list, &mi->pools);
	raw_spin_unlock_irqrestore(&mi->slice_lock, flags);
	return 0;
}

static void mi_remove_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct mi_pool *mp = pool->priv;

	list_del(&mp->list);
	mi_pool_free(mp);
}

static size_t mi_pool_need(struct chaos_heap *heap, size_t size, size_t align)
{
	if (align > CHAOS_UNIT_SIZE)
		return ALIGN(size, CHAOS_UNIT_SIZE) + align;
	if (size > MI_BIN_MAX_SIZE)
		return size;
	return mi_bin_size(mi_bin_aligned(size, align));
}

static void mi_theap_init(struct mi_theap *theap, struct chaos_heap *heap,
			  enum mi_level level)
{
	size_t word;

	theap->heap = heap;
	theap->level = level;
	for (word = 0; word < MI_DIRECT; word++)
		theap->direct[word] = &mi_empty_page;
}

static int mi_init(struct chaos_heap *heap)
{
	struct mi_heap *mi = kvzalloc(sizeof(*mi), GFP_KERNEL);
	unsigned int cpu, i;

	if (!mi)
		return -ENOMEM;
	heap->theaps = __alloc_percpu(sizeof(struct mi_theap) * MI_LEVELS,
				      __alignof__(struct mi_theap));
	if (!heap->theaps) {
		kvfree(mi);
		return -ENOMEM;
	}
	raw_spin_lock_init(&mi->slice_lock);
	INIT_LIST_HEAD(&mi->pools);
	init_llist_head(&mi->parked);
	mi->seed = get_random_u64();
	for (i = 0; i < MI_BINS; i++) {
		raw_spin_lock_init(&mi->abandoned[i].lock);
		INIT_LIST_HEAD(&mi->abandoned[i].pages);
	}
	for_each_possible_cpu(cpu)
		for (i = 0; i < MI_LEVELS; i++)
			mi_theap_init(per_cpu_ptr(heap->theaps, cpu) + i, heap, i);
	heap->priv = mi;
	return 0;
}

static void mi_exit(struct chaos_heap *heap)
{
	free_percpu(heap->theaps);
	kvfree(heap->priv);
}

const struct chaos_engine chaos_mi_engine = {
	.name		= "mimalloc",
	.init		= mi_init,
	.exit		= mi_exit,
	.add_pool	= mi_add_pool,
	.remove_pool	= mi_remove_pool,
	.pool_need	= mi_pool_need,
	.alloc		= mi_alloc,
	.free		= mi_free,
	.resize		= mi_resize,
	.query		= mi_query,
	.check		= mi_check,
	.walk		= mi_walk,
	.count		= mi_count,
	.collect	= mi_collect,
};
