// SPDX-License-Identifier: GPL-2.0
/*
 * The mimalloc engine: what pages are made of.
 *
 * A pool is cut into slices.  A bitmap says which are in use; it is changed by
 * atomic operations only, so any context takes slices and gives them back without
 * a lock, NMIs included.  CPUs begin to search in different words, so that
 * they meet only when memory gets scarce (in small pools, it always is).
 *
 * Who has set a slice's bit may write its descriptor.  The acquire of the
 * cmpxchg that sets a bit pairs with the release that cleared it: the new user
 * sees the descriptor as the old one left it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/topology.h>

#include "mi_internal.h"
#include "sanitize.h"

/*
 * The size of a slice.  A descriptor of 150 bytes for each is little for 4 KiB; only
 * pools that would not have 1024 of these are cut finer, so that each class can have
 * a page.  Nor have pools more than 16384 to search, unless they are very large.
 */
#define MI_SLICE_MIN_SHIFT	10
#define MI_SLICE_SHIFT		12
#define MI_SLICE_MAX_SHIFT	CHAOS_UNIT_SHIFT
#define MI_FEW_SLICES_SHIFT	10
#define MI_MANY_SLICES_SHIFT	14

/* What a page may waste behind its last block: this share of it. */
#define MI_WASTE_SHIFT		3
/* Blocks up to this size are at least two to a page, but in small pools. */
#define MI_PAIRED_MAX		SZ_8K
/* A page of several blocks has at most this share of the heap. */
#define MI_PAGE_SHARE_SHIFT	6
/* A page that is kept while it is empty has at most this share, or 64 KiB. */
#define MI_RETIRE_SHARE_SHIFT	9
/* Of what all theaps may keep, empty pages of one of them are at most this part. */
#define MI_SPARE_SHARE		8U
/*
 * For so many pages that a class has, its next ones are larger by a unit.  Where slices
 * are small because the pool is, memory counts more than time.
 */
#define MI_PAGES_PER_STEP	2
#define MI_PAGES_PER_SMALL_STEP	4

/* The beginning of a guard slice is filled and looked at. */
#define MI_GUARD_BYTE		0xb7
#define MI_GUARD_CHECKED	64

/* --------------------------------- bitmaps -------------------------------- */

/* Bits [from, to) of one long. */
static __kprobes unsigned long mi_word_mask(unsigned int from, unsigned int to)
{
	return (~0UL >> (BITS_PER_LONG - (to - from))) << (from % BITS_PER_LONG);
}

/* The end of the word that bit @i is in, but not more than @end. */
static __kprobes unsigned int mi_word_end(unsigned int i, unsigned int end)
{
	return min(end, round_down(i, BITS_PER_LONG) + BITS_PER_LONG);
}

static __kprobes bool mi_word_claim(unsigned long *word, unsigned long mask)
{
	unsigned long old = READ_ONCE(*word);

	do {
		if (old & mask)
			return false;
	} while (!try_cmpxchg_acquire(word, &old, old | mask));
	return true;
}

static __kprobes void mi_slices_put(struct mi_pool *mp, unsigned int index,
				    unsigned int n)
{
	unsigned int end = index + n, stop;
	atomic_long_t *word;

	for (; index < end; index = stop) {
		stop = mi_word_end(index, end);
		word = (atomic_long_t *)&mp->used[BIT_WORD(index)];
		/* Release: the descriptors are as we leave them. */
		atomic_long_fetch_andnot_release(mi_word_mask(index, stop), word);
	}
}

/* Take slices [index, index + n), all of them or none. */
static __kprobes bool mi_slices_claim(struct mi_pool *mp, unsigned int index,
				      unsigned int n)
{
	unsigned int end = index + n, i, stop;

	for (i = index; i < end; i = stop) {
		stop = mi_word_end(i, end);
		if (!mi_word_claim(&mp->used[BIT_WORD(i)], mi_word_mask(i, stop))) {
			mi_slices_put(mp, index, i - index);
			return false;
		}
	}
	return true;
}

/* The bits at which @n adjacent clear bits of @word begin. */
static __kprobes unsigned long mi_runs(unsigned long word, unsigned int n)
{
	unsigned long runs = ~word;
	unsigned int have, step;

	for (have = 1; have < n; have += step) {
		step = min(have, n - have);
		runs &= runs >> step;
	}
	return runs;
}

/* Every @align-th bit, @align being a power of two up to BITS_PER_LONG. */
static __kprobes unsigned long mi_every(unsigned int align)
{
	return align < BITS_PER_LONG ? ~0UL / ((1UL << align) - 1) : 1;
}

/* The same, where bits that are set, or the word's ends, enclose the @n bits. */
static __kprobes unsigned long mi_holes(unsigned long word, unsigned int n)
{
	unsigned long before = word << 1 | 1;
	unsigned long behind = word >> n | ~(~0UL >> n);

	return mi_runs(word, n) & before & behind;
}

/* Take @n adjacent slices with their bits in word @w; their index, or -1. */
static __kprobes int mi_take_of_word(struct mi_pool *mp, unsigned int w,
				     unsigned int n, unsigned long every,
				     bool hole)
{
	unsigned long word = READ_ONCE(mp->used[w]), runs, first;

	for (;;) {
		runs = (hole ? mi_holes(word, n) : mi_runs(word, n)) & every;
		if (!runs)
			return -1;
		first = __ffs(runs);
		/* If it fails, it tells us what the word is now. */
		if (try_cmpxchg_acquire(&mp->used[w], &word,
					word | mi_word_mask(first, first + n)))
			return w * BITS_PER_LONG + first;
	}
}

/*
 * Take @n adjacent slices whose bits are in one word; their index, or -1.  Each
 * CPU begins with another word.  But where slices are the smallest ones, the pool is
 * so small that large runs have to be left whole: a hole of that very size is taken
 * first (best fit), else the lowest run.
 */
static __kprobes int mi_take_in_word(struct mi_pool *mp, unsigned int n,
				     unsigned int align)
{
	bool tight = mp->pool->slice_shift == MI_SLICE_MIN_SHIFT;
	unsigned int w = tight ? 0 : raw_smp_processor_id() % mp->words, i;
	unsigned long every = mi_every(align);
	int index = -1;

	for (i = 0; tight && index < 0 && i < mp->words; i++)
		index = mi_take_of_word(mp, i, n, every, true);
	for (i = 0; index < 0 && i < mp->words; i++) {
		index = mi_take_of_word(mp, w, n, every, false);
		w = w + 1 < mp->words ? w + 1 : 0;
	}
	return index;
}

/* Take @n adjacent slices wherever they are; their index, or -1. */
static __kprobes int mi_take_anywhere(struct mi_pool *mp, unsigned int n,
				      size_t align)
{
	unsigned int shift = mp->pool->slice_shift;
	unsigned long mask = (align >> shift) ? (align >> shift) - 1 : 0;
	unsigned long start = mp->pool->start >> shift;
	unsigned long index = 0;

	for (;; index++) {
		/* data_race(): the claim decides. */
		index = data_race(bitmap_find_next_zero_area_off(mp->used, mp->slices,
								 index, n, mask, start));
		if (index >= mp->slices)
			return -1;
		if (mi_slices_claim(mp, index, n))
			return index;
	}
}

/* Take @n adjacent free slices, the first one aligned to @align bytes. */
static __kprobes struct mi_page *mi_pool_take(struct mi_pool *mp, size_t n,
					      size_t align)
{
	unsigned int shift = mp->pool->slice_shift;
	int index = -1;

	if (n > mp->slices)
		return NULL;
	/* The words begin at borders of 64 slices, and of 64 KiB. */
	if (n <= BITS_PER_LONG / 2 && align <= CHAOS_UNIT_SIZE)
		index = mi_take_in_word(mp, n, max(align >> shift, 1UL));
	if (index < 0 && (n > 1 || align > CHAOS_UNIT_SIZE))
		index = mi_take_anywhere(mp, n, align);
	return index < 0 ? NULL : &mp->page[index];
}

/* ---------------------------------- pages --------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static __kprobes unsigned long mi_new_key(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	u64 z;

	if (!heap->hardening)
		return mi->key;
	z = atomic64_add_return(0x9e3779b97f4a7c15ULL, &mi->seed);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return z | MI_KEY_TOP;
}

static __kprobes void *mi_guard_of(const struct mi_page *page)
{
	return (void *)(mi_page_start(page) +
			((size_t)(page->slices - 1) << page->slice_shift));
}

__kprobes bool mi_guard_intact(const struct mi_page *page)
{
	return !page->guard ||
	       chaos_san_is_all(mi_guard_of(page), MI_GUARD_BYTE,
				MI_GUARD_CHECKED);
}

/*
 * Make a page of the slices that @page heads.  A page with several blocks lets
 * each of its slices lead to its head; where there is but one block, any other
 * address is wrong anyway, so its later slices stay as they are: no page.
 */
static __kprobes void mi_page_init(struct chaos_heap *heap, struct mi_pool *mp,
				   struct mi_page *page, unsigned int slices,
				   unsigned int bin, size_t block_size)
{
	unsigned int shift = mp->pool->slice_shift, i;
	bool guard = heap->hardening > 1;
	size_t bytes = (size_t)(slices - guard) << shift;

	page->bin = bin;
	page->block_size = block_size;
	page->base = mp->pool->start - mi_first_link(page) +
		     ((unsigned long)(page - mp->page) << shift);
	page->magic = U64_MAX / mi_first_link(page) + 1;
	page->key = mi_new_key(heap);
	page->free = 0;
	page->allocs = 0;
	page->frees = 0;
	page->align_shift = ilog2(CHAOS_MIN_ALIGN);
	page->due = false;
	page->reserved = bin ? bytes / block_size : 1;
	page->slice_shift = shift;
	page->guard = guard;
	WRITE_ONCE(page->home, NULL);
	WRITE_ONCE(page->slices, slices);
	atomic64_set(&page->thread_free, MI_OWNED);
	if (page->reserved > 1)
		for (i = 1; i < slices; i++)
			WRITE_ONCE(mp->map[page - mp->page + i], page);
	if (guard)
		memset(mi_guard_of(page), MI_GUARD_BYTE, MI_GUARD_CHECKED);
}

/* Bytes that pages of such blocks should not exceed, as in mimalloc. */
static __kprobes size_t mi_page_cap(size_t block_size)
{
	if (block_size <= SZ_8K)
		return SZ_64K;
	if (block_size <= SZ_64K)
		return SZ_512K;
	return SZ_4M;
}

/* How many slices to look for: first for these ... */
enum mi_fit {
	MI_FIT_USE,	/* as the class is used: the more pages, the larger */
	MI_FIT_UNIT,	/* so that little is wasted */
	MI_FIT_LEAST,	/* for one block */
	MI_FITS
};

static __kprobes size_t mi_slices_for(struct chaos_heap *heap, struct mi_pool *mp,
				      unsigned int bin, size_t block_size,
				      enum mi_fit fit)
{
	struct mi_heap *mi = heap->priv;
	unsigned int least = 1, step = MI_PAGES_PER_STEP;
	unsigned int shift = mp->pool->slice_shift, unit = mp->unit[bin];
	unsigned int most, pages;

	if (!bin || fit == MI_FIT_LEAST)
		return (block_size + (1UL << shift) - 1) >> shift;
	if (fit == MI_FIT_UNIT)
		return unit;
	most = (READ_ONCE(mi->page_max) >> shift) / unit;
	if (heap->hardening > 1 && unit < MI_GUARDED_UNITS)
		least = clamp(most, 1U, MI_GUARDED_UNITS);
	most = min(most, (unsigned int)(mi_page_cap(block_size) >> shift) / unit);
	if (shift < MI_SLICE_SHIFT)
		step = MI_PAGES_PER_SMALL_STEP;
	pages = atomic_read(&mi->bin[bin].pages);
	return unit * clamp(pages / step, least, max(most, least));
}

/* Memory of one's own node first. */
static __kprobes bool mi_pool_is_near(const struct mi_pool *mp)
{
	return mp->pool->nid == NUMA_NO_NODE || mp->pool->nid == numa_mem_id();
}

static __kprobes struct mi_page *
mi_find_slices(struct chaos_heap *heap, unsigned int bin, size_t block_size,
	       size_t align, enum mi_fit fit, bool near)
{
	bool guard = heap->hardening > 1;
	struct mi_heap *mi = heap->priv;
	struct mi_page *page;
	struct mi_pool *mp;
	size_t n;

	mi_for_each_pool(mp, mi) {
		if (mi_pool_is_near(mp) != near)
			continue;
		n = mi_slices_for(heap, mp, bin, block_size, fit) + guard;
		page = mi_pool_take(mp, n, align);		/* model: slices-take */
		if (!page)
			continue;
		mi_page_init(heap, mp, page, n, bin, block_size); /* model: page-init */
		chaos_hold_atomic(heap, mi_page_bytes(page));
		return page;
	}
	return NULL;
}

static __kprobes void mi_count_new_page(struct mi_bin_state *bin)
{
	int pages = atomic_inc_return(&bin->pages);
	int peak = READ_ONCE(bin->peak);

	while (pages > peak && !try_cmpxchg(&bin->peak, &peak, pages))
		;
}

/*
 * A fresh page, owned by the caller and in no queue; NULL without memory.  It
 * has room for several blocks if that can be, for one at least.
 */
__kprobes struct mi_page *mi_page_alloc(struct chaos_heap *heap,
					unsigned int bin, size_t block_size,
					size_t align)
{
	enum mi_fit first = bin ? MI_FIT_USE : MI_FIT_LEAST, fit;
	struct mi_heap *mi = heap->priv;
	struct mi_page *page = NULL;

	chaos_busy_begin(&mi->events->busy);
	for (fit = first; !page && fit < MI_FITS; fit++)
		page = mi_find_slices(heap, bin, block_size, align, fit, true);
	if (nr_node_ids > 1)
		for (fit = first; !page && fit < MI_FITS; fit++)
			page = mi_find_slices(heap, bin, block_size, align, fit,
					      false);
	if (page)
		mi_count_new_page(&mi->bin[bin]);
	chaos_busy_end(&mi->events->busy);
	return page;
}

/*
 * Give the slices of an owned page without live blocks back.  No free can be in
 * flight: it would be that of a live block.  What is on thread_free was freed
 * by others.
 */
__kprobes void mi_page_free(struct chaos_heap *heap, struct mi_page *page)
{
	struct mi_pool *mp = mi_pool_of(page);
	struct mi_heap *mi = heap->priv;
	unsigned int bin = page->bin, slices = page->slices, i;
	bool intact = mi_guard_intact(page);
	void *guard = mi_guard_of(page);

	if (bin)
		this_cpu_add(mi->events->foreign_frees[bin], mi_page_used(page));
	else
		this_cpu_inc(mi->events->single_frees);

	chaos_busy_begin(&mi->events->busy);
	WRITE_ONCE(page->capacity, 0);
	WRITE_ONCE(page->limit, 0);
	atomic64_set(&page->thread_free, 0);		/* model: give-back */
	if (page->reserved > 1)
		for (i = 1; i < slices; i++)
			WRITE_ONCE(mp->map[page - mp->page + i], page + i);
	WRITE_ONCE(page->slices, 0);
	mi_slices_put(mp, page - mp->page, slices);	/* model: slices-put */
	chaos_unhold_atomic(heap, (size_t)slices << mp->pool->slice_shift);
	atomic_dec(&mi->bin[bin].pages);
	chaos_busy_end(&mi->events->busy);

	/* Last: what prints may allocate. */
	if (unlikely(!intact))
		chaos_report(heap, guard, CHAOS_OVERRUN, _RET_IP_);
}

/* ---------------------------------- pools --------------------------------- */

static unsigned int mi_slice_shift(size_t pool_size)
{
	int least = ilog2(pool_size) - MI_MANY_SLICES_SHIFT + 1;
	int most = ilog2(pool_size) - MI_FEW_SLICES_SHIFT;
	int shift = max(min(MI_SLICE_SHIFT, most), least);

	return clamp(shift, MI_SLICE_MIN_SHIFT, MI_SLICE_MAX_SHIFT);
}

/*
 * The least slices that blocks of @size do not waste more than allowed of.  Where
 * memory is not scarce, a page for each of the smaller blocks would be too dear.
 */
static unsigned int mi_unit(size_t size, unsigned int shift)
{
	unsigned int least = (size + (1UL << shift) - 1) >> shift, n;
	unsigned int blocks = shift >= MI_SLICE_SHIFT && size <= MI_PAIRED_MAX ? 2 : 1;

	for (n = least; ((size_t)n << shift) <= mi_page_cap(size); n++) {
		size_t bytes = (size_t)n << shift;

		if (bytes / size >= blocks && bytes % size <= bytes >> MI_WASTE_SHIFT)
			return n;
	}
	return least;
}

/* What the bitmap's word @w is when no slice of it is in use. */
static unsigned long mi_empty_word(const struct mi_pool *mp, unsigned int w)
{
	unsigned int rest = mp->slices - w * BITS_PER_LONG;

	return rest >= BITS_PER_LONG ? 0 : ~0UL << rest;
}

static void mi_pool_free(struct mi_pool *mp)
{
	kvfree(mp->listed);
	kvfree(mp->used);
	kvfree(mp->page);
	kvfree(mp);
}

static void *mi_meta_alloc(struct chaos_pool *pool, size_t n, size_t size)
{
	size_t bytes = array_size(n, size);

	pool->meta_size += bytes;
	return chaos_meta_alloc(bytes, pool->nid);
}

static struct mi_pool *mi_pool_new(struct chaos_pool *pool)
{
	unsigned int slices = pool->size >> pool->slice_shift;
	unsigned int words = BITS_TO_LONGS(slices), i;
	struct mi_pool *mp;

	pool->meta_size = 0;
	mp = mi_meta_alloc(pool, 1, struct_size(mp, map, slices));
	if (!mp)
		return NULL;
	mp->pool = pool;
	mp->slices = slices;
	mp->words = words;
	mp->used = mi_meta_alloc(pool, words, sizeof(long));
	mp->listed = mi_meta_alloc(pool, words, MI_BINS * sizeof(long));
	mp->page = mi_meta_alloc(pool, slices, sizeof(*mp->page));
	if (!mp->used || !mp->listed || !mp->page) {
		mi_pool_free(mp);
		return NULL;
	}
	for (i = 0; i < slices; i++) {
		mp->page[i].owner = MI_NO_TAG;
		mp->map[i] = &mp->page[i];
	}
	mp->used[words - 1] = mi_empty_word(mp, words - 1);
	for (i = 1; i < MI_BINS; i++)
		mp->unit[i] = mi_unit(mi_bin_size(i), pool->slice_shift);
	return mp;
}

/*
 * All theaps together may keep an eighth of the heap, and of a small heap less:
 * what a context keeps, the others cannot have.
 */
static void mi_update_limits(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	struct mi_pool *mp;
	size_t bytes = 0, limit;

	lockdep_assert_held(&heap->mutex);
	list_for_each_entry(mp, &mi->pools, list)
		bytes += mp->pool->size;
	limit = max(bytes / 8 - min(bytes / 8, SZ_64K), bytes / 32);
	WRITE_ONCE(mi->cache_limit, limit);
	/* What is untold is a sixteenth of it at most for each level. */
	WRITE_ONCE(mi->tell_batch, limit / (16 * num_possible_cpus()));
	WRITE_ONCE(mi->page_max, bytes >> MI_PAGE_SHARE_SHIFT);
	WRITE_ONCE(mi->retire_max,
		   max(bytes >> MI_RETIRE_SHARE_SHIFT, CHAOS_UNIT_SIZE));
	WRITE_ONCE(mi->spare_max, limit / max(MI_SPARE_SHARE, 2 * num_possible_cpus()));
}

int mi_add_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct mi_heap *mi = heap->priv;
	struct mi_pool *mp;
	int err;

	pool->slice_shift = mi_slice_shift(pool->size);
	mp = mi_pool_new(pool);
	if (!mp)
		return -ENOMEM;
	pool->priv = mp->map;
	err = chaos_pool_publish(pool);
	if (err) {
		mi_pool_free(mp);
		return err;
	}
	list_add_tail_rcu(&mp->list, &mi->pools);
	mi_update_limits(heap);
	return 0;
}

size_t mi_pool_used(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct mi_pool *mp = mi_pool_priv(pool);
	unsigned int n;

	/* data_race(): exact if nobody takes or gives back */
	n = data_race(bitmap_weight(mp->used, mp->slices));
	return (size_t)n << pool->slice_shift;
}

/*
 * Take all slices of the pool: then nobody else can, and there is no page in it.
 * Somebody who needs one just now may find the heap fuller than it is.
 */
static bool mi_pool_close(struct mi_pool *mp)
{
	unsigned int w;

	for (w = 0; w < mp->words; w++) {
		unsigned long old = mi_empty_word(mp, w);

		if (try_cmpxchg_acquire(&mp->used[w], &old, ~0UL)) /* model: pool-claim */
			continue;
		while (w--)
			/* Ours to give back: nobody else clears what we have set. */
			smp_store_release(&mp->used[w], mi_empty_word(mp, w));
		return false;
	}
	return true;
}

bool mi_release_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct mi_pool *mp = mi_pool_priv(pool);

	lockdep_assert_held(&heap->mutex);
	if (mi_pool_used(heap, pool) || !mi_pool_close(mp))
		return false;
	list_del_rcu(&mp->list);
	mi_update_limits(heap);
	return true;
}

void mi_remove_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	mi_pool_free(mi_pool_priv(pool));
}
