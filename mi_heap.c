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
 * owners are reached through page->thread_free only.  Everything that is shared
 * is atomic, and there is no lock: slices are taken and given back in bitmaps
 * (mi_slices.c); pages without an owner are found by hints, which the state of
 * the page confirms.  So every function may be called from NMI, too.
 *
 * What changes a theap is __kprobes: a probe in the middle would run its handler
 * at the same level, and the handler may allocate.  The kernel's own functions
 * that are called in between (bitmaps, irq_work) cannot be: the handler of a
 * probe on these must not.
 *
 * The comments of the form "model:" name the step of model/ownership.pml that
 * checks what is done there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/kprobes.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "fault.h"
#include "mi_internal.h"
#include "sanitize.h"

/*
 * Blocks that one extension puts on the free list: as many as have that many bytes, but
 * not less or more than these.
 */
#define MI_EXTEND_SIZE		4096
#define MI_EXTEND_MIN		16
#define MI_EXTEND_MAX		64
/* Pages that one allocation lets go at most when too much is kept. */
#define MI_SHED_PAGES		4
/* Bins that one visit to the generic path looks through for empty pages. */
#define MI_EXPIRE_BINS		8
/* When memory is scarce, blocks up to four times as large will do. */
#define MI_SCRAPE_BINS		(2U << MI_STEP_SHIFT)
/* Pages that are let go at most while interrupts are off. */
#define MI_ABANDON_BATCH	16

/* Stands in for "no page" in theap->direct.  Never has a block, never written. */
struct mi_page mi_empty_page __ro_after_init = { .owner = MI_NO_TAG };

/* ------------------------------ size classes ------------------------------ */

/* The smallest bin whose blocks have @size bytes, 0 < size <= MI_BIN_MAX_SIZE. */
__kprobes unsigned int mi_bin(size_t size)
{
	size_t words = (size + 7) >> MI_WORD_SHIFT;

	return words <= MI_EXACT_BINS ? words : mi_step_bin(words);
}
EXPORT_SYMBOL_IF_KUNIT(mi_bin);

__kprobes size_t mi_bin_size(unsigned int bin)
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
__kprobes unsigned int mi_bin_aligned(size_t size, size_t align)
{
	unsigned int bin = mi_bin(max(size, align));

	while (mi_bin_size(bin) & (align - 1))
		bin++;
	return bin;
}
EXPORT_SYMBOL_IF_KUNIT(mi_bin_aligned);

static __kprobes size_t lowest_bit(size_t n)
{
	return n & -n;
}

/* ---------------------------- page->thread_free --------------------------- */

/*
 * Put the blocks from @p, with link @link, to @last, chained by their links, @n in
 * all, on the page's thread_free list.  If this makes the caller the page's
 * owner, *claimed is set.
 *
 * A page without an owner and with less live blocks than that has just been
 * given back: something was freed twice at once.  That is refused.
 *
 * The blocks' own words are written before the release that publishes them.  Who
 * takes the list reads it with acquire (mi_page_take_thread_free()).  A push
 * that claims acts on the plain fields next: the acquire half of the cmpxchg
 * pairs with the release in mi_page_disown() and mi_page_list().
 */
static __always_inline enum chaos_verdict
mi_page_push(struct mi_page *page, void *last, u32 link, u32 n, bool *claimed)
{
	u64 old = atomic64_read(&page->thread_free), new;

	do {
		if (unlikely(!(old & MI_OWNED) && mi_count_of(old) < (s32)n))
			return CHAOS_FREED;			/* model: push-refuse */
		*(unsigned long *)last = mi_link_of(old) ^ page->key; /* model: push-link */
		new = ((old & ~MI_LINK_MASK) | link) - n * MI_COUNT_ONE;
		if (!(old & MI_OWNED) &&
		    (!(old & MI_LISTED) || !mi_count_of(new)))
			new |= MI_OWNED;			/* model: push-claim */
		/* model: push */
	} while (!atomic64_try_cmpxchg(&page->thread_free, (s64 *)&old, new));

	*claimed = (new & ~old) & MI_OWNED;
	return CHAOS_OK;
}

/* Blocks of this bin have been freed by somebody else than their page's owner. */
static __kprobes void mi_count_foreign(struct chaos_heap *heap, unsigned int bin, u32 n)
{
	struct mi_heap *mi = heap->priv;

	if (bin)
		this_cpu_add(mi->events->foreign_frees[bin], n);
}

/*
 * A push has made us the owner.  If the page was FULL, all of its free blocks are
 * on thread_free, and the count is that of the live ones: make it a page to
 * allocate from.  True if it is one: it is not if it was LISTED, and has no
 * live block any more.
 */
static __kprobes bool mi_page_claimed(struct chaos_heap *heap,
				      struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);

	if (word & MI_LISTED)
		return false;
	word = atomic64_xchg_acquire(&page->thread_free, MI_OWNED); /* model: claimed */
	mi_count_foreign(heap, page->bin, mi_page_used(page) - mi_count_of(word));
	page->free = mi_link_of(word);
	page->allocs = mi_count_of(word);
	page->frees = 0;
	return page->allocs;
}

/* Has anybody freed blocks of the owned page? */
static __always_inline bool mi_page_has_foreign(const struct mi_page *page)
{
	return mi_link_of(atomic64_read(&page->thread_free));
}

/* The owner moves the whole thread_free list to the free list, which is empty. */
static noinline __kprobes void mi_page_take_thread_free(struct chaos_heap *heap,
							struct mi_page *page)
{
	/* model: take-foreign */
	u64 word = atomic64_xchg_acquire(&page->thread_free, MI_OWNED);

	mi_count_foreign(heap, page->bin, -mi_count_of(word));
	page->free = mi_link_of(word);
	page->allocs += mi_count_of(word);
}

/* Live blocks of a page that we own. */
static __kprobes u32 mi_page_live(const struct mi_page *page)
{
	return mi_page_used(page) + mi_count_of(atomic64_read(&page->thread_free));
}

/*
 * Let go of an owned page without free blocks: OWNED -> FULL.  Fails, and the
 * page stays owned, if somebody has freed a block of it meanwhile.
 *
 * Release: the next owner sees the plain fields as we leave them.
 */
static __always_inline bool mi_page_disown(struct mi_page *page)
{
	s64 old = MI_OWNED;

	/* model: disown */
	return atomic64_try_cmpxchg_release(&page->thread_free, &old,
					    mi_count_word(mi_page_used(page)));
}

/*
 * LISTED -> OWNED or, unless that is @listed_only, FULL -> OWNED.  Returns what the
 * word was, or 0 if somebody else owns the page or it has been given back.
 *
 * The count is that of the live blocks at first, as it was; pushes do not
 * look at it while the page is owned.  It is set right when the plain fields are
 * known to be ours.
 *
 * Acquire: see them as the last owner left them.
 */
__kprobes u64 mi_page_claim(struct mi_page *page, bool listed_only)
{
	u64 old = atomic64_read(&page->thread_free), new;

	do {
		if (old & MI_OWNED || !mi_count_of(old) ||
		    (listed_only && !(old & MI_LISTED)))
			return 0;
		new = (old & ~MI_LISTED) | MI_OWNED;
		/* model: claim */
	} while (!atomic64_try_cmpxchg_acquire(&page->thread_free, (s64 *)&old,
					       new));
	atomic64_sub(mi_count_word(mi_page_used(page)), &page->thread_free);
	return old;
}

/* ---------------------------- abandoned pages ----------------------------- */

static __kprobes unsigned long *mi_listed_word(struct mi_pool *mp, unsigned int bin)
{
	return mp->listed + bin * mp->words;
}

/*
 * Publish an owned page: OWNED -> LISTED, then the hint.  Fails if all of its
 * blocks have been freed: then the page is to be given back.
 *
 * The word goes first.  Who finds the hint clears it and then looks at the
 * word: both orders are full, so either he sees that the page is LISTED, or we set
 * the hint after he has cleared it.  By the time it is set, the page may be
 * somebody's, or no page; a hint that is wrong costs who follows it a look.
 */
static __kprobes bool mi_page_list(struct mi_heap *mi, struct mi_pool *mp,
				   struct mi_page *page)
{
	u64 old = atomic64_read(&page->thread_free), new;
	unsigned int bin = page->bin;
	s32 live;

	/* First, so that nobody looks past the page: too many does no harm. */
	atomic_inc(&mi->bin[bin].listed);
	do {
		live = mi_page_used(page) + mi_count_of(old);
		if (!live) {
			atomic_dec(&mi->bin[bin].listed);
			/*
			 * The frees that have emptied it are over before anybody uses
			 * its memory again: pairs with mi_page_push().
			 */
			atomic64_read_acquire(&page->thread_free);
			return false;				/* model: list-empty */
		}
		new = mi_link_of(old) | mi_count_word(live) | MI_LISTED;
		/* model: list */
	} while (!atomic64_try_cmpxchg(&page->thread_free, (s64 *)&old, new));

	set_bit(page - mp->page, mi_listed_word(mp, bin));	/* model: list-hint */
	return true;
}

/* A page that was LISTED is not any longer. */
static __kprobes void mi_page_unlist(struct mi_heap *mi, struct mi_pool *mp,
				     struct mi_page *page)
{
	clear_bit(page - mp->page, mi_listed_word(mp, page->bin));
	atomic_dec(&mi->bin[page->bin].listed);
}

static __kprobes bool mi_page_has_free(const struct mi_page *page)
{
	return page->free || page->capacity < page->reserved;
}

/*
 * Find a place for an owned page that is in no queue: give it back if it is
 * empty, else let everybody have it.  True if it is LISTED now.
 */
__kprobes bool mi_page_settle(struct chaos_heap *heap, struct mi_page *page)
{
	struct mi_pool *mp = mi_pool_of(page);
	struct mi_heap *mi = heap->priv;

	if (mi_is_dying(atomic64_read(&page->thread_free)))
		mi_page_unlist(mi, mp, page);			/* model: dying */
	else if (!mi_page_has_free(page) && mi_page_disown(page)) /* model: settle */
		return false;
	else if (mi_page_list(mi, mp, page))
		return true;
	mi_page_free(heap, page);
	return false;
}

/* The same, when the page was somebody's until now. */
static __kprobes void mi_page_abandon(struct chaos_heap *heap,
				      struct mi_page *page)
{
	struct mi_heap *mi = heap->priv;
	unsigned int bin = page->bin;

	if (mi_page_settle(heap, page))
		this_cpu_inc(mi->events->abandoned[bin]);
}

/*
 * Try the page that a hint leads to.  It may be LISTED in another bin: then its
 * own hint is not there any more, or not yet.
 */
static __kprobes bool mi_page_try_adopt(struct chaos_heap *heap,
					struct mi_page *page, unsigned int bin)
{
	struct mi_heap *mi = heap->priv;

	/* FULL pages have nothing for us. */
	if (!mi_page_claim(page, true))
		return false;
	atomic_dec(&mi->bin[page->bin].listed);
	if (likely(page->bin == bin)) {
		this_cpu_inc(mi->events->adopted[bin]);
		return true;
	}
	mi_page_settle(heap, page);	/* model: adopt-bin */
	return false;
}

static __kprobes struct mi_page *
mi_pool_adopt(struct chaos_heap *heap, struct mi_pool *mp, unsigned int bin)
{
	unsigned int w = raw_smp_processor_id() % mp->words, i;
	unsigned long *listed = mi_listed_word(mp, bin), hints;
	struct mi_page *page;

	for (i = 0; i < mp->words; i++, w = w + 1 < mp->words ? w + 1 : 0) {
		for (hints = READ_ONCE(listed[w]); hints; hints &= hints - 1) {
			unsigned int index = w * BITS_PER_LONG + __ffs(hints);

			/* Full order; pairs with mi_page_list(). */
			if (!test_and_clear_bit(index, listed))	/* model: adopt-hint */
				continue;
			page = &mp->page[index];
			if (mi_page_try_adopt(heap, page, bin))
				return page;
		}
	}
	return NULL;
}

/* Take over a page of this bin that has no owner. */
static __kprobes struct mi_page *mi_page_adopt(struct chaos_heap *heap,
					       unsigned int bin)
{
	struct mi_heap *mi = heap->priv;
	struct mi_page *page;
	struct mi_pool *mp;

	if (atomic_read(&mi->bin[bin].listed) <= 0)
		return NULL;
	mi_for_each_pool(mp, mi) {
		page = mi_pool_adopt(heap, mp, bin);
		if (page)
			return page;
	}
	return NULL;
}

/* ------------------------------- the queues ------------------------------- */

/* The sizes, in words, of the bins that theap->direct leads to. */
static const u8 mi_direct_words[MI_DIRECT_BINS + 1] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	18, 20, 22, 24, 26, 28, 30, 32,
	36, 40, 44, 48, 52, 56, 60, 64,
	72, 80, 88, 96, 104, 112, 120, 128,
};

/*
 * theap->direct follows the first page of the queue.  Bins that are not exact have an even
 * number of sizes.
 */
static __kprobes void mi_queue_update_direct(struct mi_theap *theap, unsigned int bin)
{
	struct mi_page *first = theap->queue[bin].first ?: &mi_empty_page;
	unsigned int word;

	if (bin <= MI_EXACT_BINS) {
		theap->direct[bin] = first;
		return;
	}
	if (bin > MI_DIRECT_BINS)
		return;
	for (word = mi_direct_words[bin]; word > mi_direct_words[bin - 1]; word -= 2) {
		theap->direct[word] = first;
		theap->direct[word - 1] = first;
	}
}

static __kprobes void mi_queue_push_front(struct mi_theap *theap, struct mi_page *page)
{
	struct mi_queue *q = &theap->queue[page->bin];

	page->prev = NULL;
	page->next = q->first;
	if (q->first) {
		q->first->prev = page;
	} else {
		q->last = page;
		__set_bit(page->bin, theap->bins);
	}
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

/* Take the first page out of the queue. */
static __always_inline void mi_queue_pop(struct mi_theap *theap, struct mi_page *page)
{
	struct mi_queue *q = &theap->queue[page->bin];
	struct mi_page *next = page->next;

	q->first = next;
	if (next) {
		next->prev = NULL;
	} else {
		q->last = NULL;
		__clear_bit(page->bin, theap->bins);
	}
	mi_queue_update_direct(theap, page->bin);
}

static __kprobes void mi_queue_remove(struct mi_theap *theap, struct mi_page *page)
{
	if (!page->prev) {
		mi_queue_pop(theap, page);
		return;
	}
	page->prev->next = page->next;
	if (page->next)
		page->next->prev = page->prev;
	else
		theap->queue[page->bin].last = page->prev;
}

static noinline __kprobes void mi_theap_look_later(struct mi_theap *theap)
{
	unsigned int delay = READ_ONCE(theap->heap->options.retire_delay);

	theap->retire_at = (jiffies + msecs_to_jiffies(delay)) | 1;
}

/* From now on, it is noticed again when the page becomes empty. */
static __always_inline void mi_page_unretire(struct mi_theap *theap, struct mi_page *page)
{
	if (!(page->frees & MI_RETIRED))
		return;
	page->frees &= ~MI_RETIRED;
	theap->retired -= mi_page_bytes(page);
}

/*
 * The blocks that have come and gone are counted by the theap from now on; those in
 * use by the page still.  Who reads the page's figures from elsewhere, see mi_count_page(),
 * may find too many in use, but none too few as long as nobody allocates.
 */
static __kprobes void mi_page_account(struct mi_theap *theap, struct mi_page *page)
{
	u64 frees;

	mi_page_unretire(theap, page);
	frees = page->frees;
	/* Read by statistics, elsewhere */
	WRITE_ONCE(theap->local_frees[page->bin], theap->local_frees[page->bin] + frees);
	WRITE_ONCE(page->frees, 0);
	/* After that; pairs with mi_count_page(). */
	smp_store_release(&page->allocs, page->allocs - frees);
}

/*
 * The theap has so many bytes of pages more, or less.  The sum of all is told in larger
 * portions, or if @tell, which is when the last page goes.
 */
static __always_inline void mi_theap_keep(struct mi_theap *theap, long bytes, bool tell)
{
	struct mi_heap *mi = theap->heap->priv;
	long untold = theap->untold + bytes;

	if (likely(!tell && abs(untold) <= READ_ONCE(mi->tell_batch))) {
		theap->untold = untold;
		return;
	}
	theap->untold = 0;
	atomic_long_add(untold, &mi->cached);
}

static __always_inline void mi_theap_enter(struct mi_theap *theap, struct mi_page *page)
{
	unsigned int pages = theap->pages;

	page->theap = theap;
	page->turn = theap->turn;
	WRITE_ONCE(page->owner, theap->tag);
	WRITE_ONCE(page->home, theap);
	WRITE_ONCE(theap->pages, pages + 1);
	if (unlikely(!theap->retire_at))
		mi_theap_look_later(theap);
	mi_theap_keep(theap, mi_page_bytes(page), false);
	if (likely(pages))
		return;
	/* Pairs with the one in chaos_tidy_work(): it sees that there are pages, or we
	 * see that nobody is going to look.
	 */
	smp_mb();
	chaos_keeps(theap->heap);
}

/* The owned page becomes the first one of @theap's. */
static noinline __kprobes void mi_theap_own(struct mi_theap *theap,
					    struct mi_page *page)
{
	mi_theap_enter(theap, page);
	mi_queue_push_front(theap, page);
}

/* Or the last one. */
static __always_inline void mi_theap_own_last(struct mi_theap *theap,
					      struct mi_page *page)
{
	mi_theap_enter(theap, page);
	mi_queue_push_back(theap, page);
}

/* The reverse: the page is ours still, but has left its queue. */
static __always_inline void mi_theap_disown(struct mi_theap *theap,
					    struct mi_page *page)
{
	unsigned int pages = theap->pages - 1;

	WRITE_ONCE(page->owner, MI_NO_TAG);	/* model: disown-theap */
	page->theap = NULL;
	page->due = false;
	WRITE_ONCE(theap->pages, pages);
	mi_theap_keep(theap, -(long)mi_page_bytes(page), !pages);
	mi_page_account(theap, page);
}

static noinline __kprobes void mi_theap_let_go(struct mi_theap *theap, struct mi_page *page)
{
	mi_queue_remove(theap, page);
	mi_theap_disown(theap, page);
	mi_page_abandon(theap->heap, page);
}

/*
 * Let up to @n pages of a theap go; true if it has more.  It is our own, or its CPU's
 * interrupts are off, or that CPU is dead.
 */
__kprobes bool mi_theap_abandon(struct mi_theap *theap, unsigned int n)
{
	unsigned int bin;

	while (theap->pages && n--) {
		bin = find_first_bit(theap->bins, MI_BINS);
		mi_theap_let_go(theap, theap->queue[bin].first); /* model: abandon */
	}
	return theap->pages;
}

/*
 * Have blocks been freed since this was asked last?  Who frees what it allocates may
 * never need the generic path.  One page for each bin tells: the one that is
 * allocated from.
 */
bool mi_theap_was_busy(struct mi_theap *theap)
{
	struct mi_page *page;
	unsigned int bin;
	bool busy = false;

	for_each_set_bit(bin, theap->bins, MI_BINS) {
		page = theap->queue[bin].first;
		if (page->frees & ~MI_RETIRED)
			busy = true;
		mi_page_account(theap, page);
	}
	return busy;
}

static __kprobes bool mi_keeps_too_much(struct mi_heap *mi)
{
	return atomic_long_read(&mi->cached) > READ_ONCE(mi->cache_limit);
}

/*
 * The theaps keep more than they may: let some of ours go, one bin after the
 * other.  An allocation adds one page at most, so the sum of all soon is within
 * the limit again.
 */
static noinline __kprobes void mi_theap_shed(struct mi_theap *theap)
{
	unsigned int n = MI_SHED_PAGES;

	while (n-- && theap->pages && mi_keeps_too_much(theap->heap->priv)) {
		theap->hand = find_next_bit(theap->bins, MI_BINS, theap->hand + 1);
		if (theap->hand >= MI_BINS)
			theap->hand = find_first_bit(theap->bins, MI_BINS);
		mi_theap_let_go(theap, theap->queue[theap->hand].last);
	}
}

/* -------------------------------- retirement ------------------------------ */

/*
 * Is it worth while to keep the page, which is empty?  The next allocation would need the
 * only one of its queue back.  Others are kept as long as they are few: who has freed
 * many blocks at once is likely to want as many again.
 */
static __kprobes bool mi_may_retire(const struct mi_theap *theap,
				    const struct mi_page *page)
{
	const struct mi_queue *q = &theap->queue[page->bin];
	const struct mi_heap *mi = theap->heap->priv;
	size_t bytes = mi_page_bytes(page);

	return (q->first == q->last ||
		(page->turn == theap->turn &&
		 theap->retired + bytes <= READ_ONCE(mi->spare_max))) &&
	       bytes <= READ_ONCE(mi->retire_max) &&
	       READ_ONCE(theap->heap->options.retire_delay);
}

/* The last block of an owned page has been freed: it goes, or is kept for a while. */
noinline __kprobes void mi_page_retire(struct mi_page *page)
{
	struct mi_theap *theap = page->theap;

	if (!mi_may_retire(theap, page)) {
		mi_theap_let_go(theap, page);		/* model: retire */
		return;
	}
	page->frees |= MI_RETIRED;
	theap->retired += mi_page_bytes(page);
}

/* Give a page back that is empty for the second time; others may have emptied it. */
static __kprobes void mi_page_expire(struct mi_theap *theap, struct mi_page *page)
{
	mi_page_unretire(theap, page);
	if (mi_page_live(page))
		page->due = false;
	else if (!page->due)
		page->due = true;
	else
		mi_theap_let_go(theap, page);
}

/*
 * Look at the last page of each bin, some bins at a time: that bounds the time.  The
 * others of a queue come last some day, or are shed.
 */
static noinline __kprobes void mi_theap_expire(struct mi_theap *theap)
{
	unsigned int bin = theap->sweep, n;

	for (n = 0; n < MI_EXPIRE_BINS; n++) {
		bin = find_next_bit(theap->bins, MI_BINS, bin);
		if (bin >= MI_BINS)
			break;
		mi_page_expire(theap, theap->queue[bin++].last);
	}
	theap->sweep = bin;
	if (n == MI_EXPIRE_BINS)
		return;		/* and go on next time */
	theap->sweep = 0;
	theap->retire_at = 0;
	if (theap->pages)
		mi_theap_look_later(theap);
}

/* ---------------------------- the generic path ---------------------------- */

/*
 * The first block of the free list was written to after it had been freed.
 * Nothing behind it can be found any more: give the whole list up.  Its blocks
 * count as used from now on, so the page is never given back.
 */
static noinline __cold void mi_page_drop_free(struct chaos_heap *heap,
					      struct mi_page *page)
{
	void *damaged = (void *)(page->base + page->free);

	page->allocs = page->frees + page->capacity;
	page->free = 0;
	/* Last: what prints may allocate. */
	chaos_report(heap, damaged, CHAOS_CORRUPT, _RET_IP_);
}

/* Chain the @n blocks from @first on as they lie. */
static __kprobes u32 mi_chain_in_order(struct mi_page *page, u32 first, u32 n)
{
	unsigned long size = page->block_size;
	u32 link = first;

	for (; n > 1; n--, link += size)
		*(unsigned long *)(page->base + link) = (link + size) ^ page->key;
	*(unsigned long *)(page->base + link) = page->key;
	return first;
}

/*
 * The same in random order: Fisher-Yates, driven by xorshift64 (Marsaglia 2003).
 * Who knows one block's address does not know the next one's.
 */
static noinline __kprobes u32 mi_chain_shuffled(struct mi_page *page, u32 first, u32 n)
{
	u64 random = page->key + first;
	u8 order[MI_EXTEND_MAX];
	u32 link = 0, i, k;

	for (i = 0; i < n; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		k = (u32)(random >> 32) % (i + 1);
		if (k != i)
			order[i] = order[k];
		order[k] = i;
	}
	for (i = 0; i < n; i++) {
		u32 block = first + order[i] * page->block_size;

		*(unsigned long *)(page->base + block) = link ^ page->key;
		link = block;
	}
	return link;
}

/*
 * Put more of the page's memory on its free list, which is empty.  In small
 * portions: the time of one call is bounded, and memory that is not needed stays
 * untouched.
 */
static __kprobes void mi_page_extend(struct chaos_heap *heap, struct mi_page *page)
{
	u32 n = clamp_t(size_t, MI_EXTEND_SIZE / page->block_size, MI_EXTEND_MIN,
			MI_EXTEND_MAX);
	u32 first = (page->capacity + 1) * page->block_size;

	n = min(n, page->reserved - page->capacity);
	if (heap->hardening > 1)
		page->free = mi_chain_shuffled(page, first, n);
	else
		page->free = mi_chain_in_order(page, first, n);
	WRITE_ONCE(page->capacity, page->capacity + n);
	/* Pairs with mi_verdict(): who sees the blocks sees what they are in. */
	smp_store_release(&page->limit, page->capacity * page->block_size);
}

/* See to it that the owned page's free list has a block.  False: the page is full. */
static __always_inline bool mi_page_refill(struct chaos_heap *heap,
					   struct mi_page *page)
{
	if (page->free)
		return true;
	if (mi_page_has_foreign(page))
		mi_page_take_thread_free(heap, page);
	else if (page->capacity < page->reserved)
		mi_page_extend(heap, page);		/* model: extend */
	else
		return false;
	return true;
}

/* The first page of its queue is full: let it go, for whoever frees a block of it. */
static noinline __kprobes void mi_theap_drop_full(struct mi_theap *theap,
						  struct mi_page *page)
{
	mi_queue_pop(theap, page);
	mi_theap_disown(theap, page);
	if (!mi_page_disown(page))
		mi_theap_own(theap, page);		/* model: disown-undo */
}

/* A page for the theap that has none: an abandoned one, or a fresh one. */
static noinline __kprobes struct mi_page *mi_page_get(struct mi_theap *theap,
						      unsigned int bin)
{
	struct chaos_heap *heap = theap->heap;
	size_t size = mi_bin_size(bin);
	struct mi_page *page;

	page = mi_page_adopt(heap, bin);
	if (!page)
		page = mi_page_alloc(heap, bin, size,
				     min(lowest_bit(size), CHAOS_UNIT_SIZE));
	return page;
}

/*
 * The first page of the bin's queue, with a block on its free list.  Pages that
 * turn out to be full are let go on the way; each was filled by as many
 * allocations as it has blocks.
 */
static __always_inline struct mi_page *mi_theap_page(struct mi_theap *theap,
						     unsigned int bin)
{
	struct mi_queue *q = &theap->queue[bin];
	struct mi_page *page;

	for (;;) {
		while ((page = q->first)) {
			if (mi_page_refill(theap->heap, page))
				return page;
			mi_theap_drop_full(theap, page);
		}
		page = mi_page_get(theap, bin);
		if (!page)
			return NULL;
		mi_theap_own(theap, page);
	}
}

/* A caller has asked for a block of the page that is aligned so. */
static __always_inline void mi_page_promise(struct mi_page *page, size_t align)
{
	if (align > CHAOS_MIN_ALIGN && align > 1UL << page->align_shift)
		page->align_shift = ilog2(align);
}

/* A block of the bin, of a page that is at hand or to be had.  The first page has none. */
static noinline __kprobes void *mi_theap_pop_next(struct mi_theap *theap,
						  unsigned int bin, size_t align)
{
	unsigned long now = jiffies, retire_at = theap->retire_at;
	struct mi_page *page;
	void *p;

	WRITE_ONCE(theap->stamp, now);
	if (unlikely(retire_at && time_after_eq(now, retire_at)))
		mi_theap_expire(theap);
	for (;;) {
		page = mi_theap_page(theap, bin);
		if (unlikely(!page))
			return NULL;
		if (likely(mi_page_pop(page, &p)))
			break;
		/* It prints, which may allocate: the page may not be ours any more. */
		mi_page_drop_free(theap->heap, page);
	}
	page->turn = ++theap->turn;
	mi_page_promise(page, align);
	if (unlikely(mi_keeps_too_much(theap->heap->priv)))
		mi_theap_shed(theap);
	return p;
}

/* The same, if the first page may have one. */
static noinline __kprobes void *mi_theap_pop(struct mi_theap *theap,
					     unsigned int bin, size_t align)
{
	struct mi_page *page = theap->queue[bin].first;
	void *p;

	if (unlikely(!page || !mi_page_pop(page, &p)))
		return mi_theap_pop_next(theap, bin, align);
	mi_page_promise(page, align);
	return p;
}

/*
 * A block of 0 < @size <= MI_BIN_MAX_SIZE bytes, when the first page of the bin has none,
 * and unless slices are short.
 */
__kprobes void *mi_alloc_more(struct mi_theap *theap, size_t size)
{
	return mi_theap_pop_next(theap, mi_bin(size), CHAOS_MIN_ALIGN);
}

/* Some pages of a higher level than ours, which cannot be in the middle of it. */
static __kprobes bool mi_abandon_some(struct mi_theap *theap)
{
	unsigned long flags;
	bool more;

	local_irq_save(flags);
	WRITE_ONCE(theap->busy, true);	/* interrupts off do not keep NMIs out */
	barrier();
	more = mi_theap_abandon(theap, MI_ABANDON_BATCH);
	barrier();
	WRITE_ONCE(theap->busy, false);
	local_irq_restore(flags);
	return more;
}

/*
 * Memory is scarce: let everybody have what this CPU keeps at our own level and the
 * higher ones.  A lower one may have been interrupted, so it is left alone.
 */
static noinline __kprobes void mi_abandon_this_cpu(struct chaos_heap *heap,
						   unsigned int level)
{
	mi_theap_abandon(mi_theap(heap, level), UINT_MAX);
	while (++level < MI_LEVELS)
		while (mi_abandon_some(mi_theap(heap, level)))
			;
}

/* The alignment that blocks of this bin have to have. */
static __kprobes size_t mi_bin_promise(unsigned int bin, size_t align)
{
	size_t size = mi_bin_size(bin);

	return is_power_of_2(size) ? max(align, min(size, PAGE_SIZE)) : align;
}

/*
 * There are no slices left.  Once this CPU keeps nothing, see if a page of this
 * bin or a larger one has room.
 */
static noinline __kprobes void *mi_theap_scrape(struct mi_theap *theap,
						unsigned int bin, size_t align)
{
	unsigned int last = min(bin + MI_SCRAPE_BINS, MI_BINS - 1);
	size_t promise = mi_bin_promise(bin, align);
	struct mi_page *page;
	void *p;

	mi_abandon_this_cpu(theap->heap, theap->level);
	p = mi_theap_pop(theap, bin, align);
	while (!p && ++bin <= last) {
		if (mi_bin_size(bin) & (promise - 1))
			continue;
		page = mi_page_adopt(theap->heap, bin);
		if (!page)
			continue;
		mi_theap_own(theap, page);
		p = mi_theap_pop(theap, bin, align);
	}
	return p;
}

static __kprobes void *mi_theap_alloc(struct mi_theap *theap, unsigned int bin,
				      size_t align)
{
	void *p = mi_theap_pop(theap, bin, align);

	return likely(p) ? p : mi_theap_scrape(theap, bin, align);
}

static __kprobes bool mi_could_fit(struct mi_heap *mi, size_t size)
{
	struct mi_pool *mp;

	mi_for_each_pool(mp, mi)
		if (mp->pool->size >= size)
			return true;
	return false;
}

/*
 * A block with a page of its own.  It is FULL from the start: whoever frees it
 * becomes the owner and gives the slices back.
 */
static noinline __kprobes void *mi_alloc_single(struct chaos_heap *heap,
						unsigned int level, size_t size,
						size_t align)
{
	size_t natural = is_power_of_2(size) ? max(align, PAGE_SIZE) : align;
	struct mi_page *page = mi_page_alloc(heap, 0, size, natural);
	struct mi_heap *mi = heap->priv;
	void *p;

	if (!page && mi_could_fit(mi, size)) {
		mi_abandon_this_cpu(heap, level);
		page = mi_page_alloc(heap, 0, size, natural);
	}
	if (!page)
		return NULL;
	p = (void *)mi_page_start(page);
	*(unsigned long *)p = 0;
	page->block_size = (size_t)(page->slices - page->guard) <<
			   mi_pool_of(page)->pool->slice_shift;
	page->align_shift = ilog2(align);
	page->allocs = 1;
	WRITE_ONCE(page->capacity, 1);
	/* Pairs with mi_verdict(). */
	smp_store_release(&page->limit, MI_SINGLE_LINK);
	/* Pairs with the acquire of the free that claims the page. */
	atomic64_set_release(&page->thread_free, mi_count_word(1)); /* model: single */
	return p;
}

static __always_inline void *mi_alloc_at(struct mi_theap *theap, size_t size,
					 size_t align)
{
	unsigned int bin;

	if (size > MI_BIN_MAX_SIZE || align > CHAOS_UNIT_SIZE)
		return mi_alloc_single(theap->heap, theap->level, size, align);
	bin = likely(align <= CHAOS_MIN_ALIGN) ? mi_bin(size) :
						 mi_bin_aligned(size, align);
	return mi_theap_alloc(theap, bin, align);
}

/* An NMI can be interrupted by another kind of NMI, which has to keep out. */
static noinline __kprobes void *mi_alloc_nmi(struct mi_theap *theap, size_t size,
					     size_t align)
{
	void *p;

	if (theap->busy)
		return NULL;
	WRITE_ONCE(theap->busy, true);
	barrier();
	p = mi_alloc_at(theap, size, align);
	barrier();
	WRITE_ONCE(theap->busy, false);
	return p;
}

__kprobes void *mi_alloc(struct chaos_heap *heap, size_t size, size_t align)
{
	unsigned int level = mi_context_level();
	struct mi_theap *theap = mi_theap(heap, level);

	if (unlikely(level == MI_NMI))
		return mi_alloc_nmi(theap, size, align);
	return mi_alloc_at(theap, size, align);
}

/* Take up to @n blocks off the page's free list at once. */
static __always_inline size_t mi_page_pop_many(struct mi_page *page, size_t n,
					       void **p)
{
	unsigned long key = page->key, base = page->base, next;
	u32 link = page->free, limit = page->limit;
	unsigned long *block;
	size_t i;

	for (i = 0; i < n && link; i++, link = next) {
		block = (unsigned long *)(base + link);
		next = *block ^ key;
		if (unlikely(next > limit))
			break;
		*block = 0;
		p[i] = block;
	}
	page->free = link;
	page->allocs += i;
	return i;
}

__kprobes size_t mi_alloc_bulk(struct chaos_heap *heap, size_t size, size_t n,
			       void **p)
{
	unsigned int level = mi_context_level(), bin;
	struct mi_theap *theap = mi_theap(heap, level);
	struct mi_page *page;
	size_t done = 0;

	if (level == MI_NMI || size > MI_BIN_MAX_SIZE)
		return 0;
	bin = mi_bin(size);
	while (done < n) {
		page = theap->queue[bin].first;
		if (page)
			done += mi_page_pop_many(page, n - done, p + done);
		if (done == n)
			break;
		p[done] = mi_theap_alloc(theap, bin, CHAOS_MIN_ALIGN);
		if (!p[done])
			break;
		done++;
	}
	return done;
}

/* --------------------------------- freeing -------------------------------- */

/* A page that was in no queue comes into one. */
static __kprobes void mi_page_regain(struct mi_theap *theap, struct mi_page *page)
{
	struct mi_heap *mi = theap->heap->priv;

	this_cpu_inc(mi->events->regained);
	mi_theap_own_last(theap, page);
}

/* A push has made us the owner of a page. */
static noinline __kprobes void mi_page_inherit(struct chaos_heap *heap,
					       struct mi_page *page)
{
	bool usable = mi_page_claimed(heap, page);
	struct mi_theap *home = page->home;

	if (usable && home && home->tag == mi_context_tag() &&
	    !mi_keeps_too_much(heap->priv))
		mi_page_regain(home, page);		/* model: go-home */
	else
		mi_page_abandon(heap, page);
}

/*
 * FULL -> OWNED, by our own free; @word is what thread_free was.  Nothing is on that list,
 * so all blocks are live, and the page goes on as if it had never been full.
 *
 * Acquire: see the plain fields as the last owner left them, whoever that was.
 */
static noinline __kprobes bool mi_page_reclaim(struct mi_theap *theap,
					       struct mi_page *page, u64 word)
{
	if (mi_keeps_too_much(theap->heap->priv) ||
	    /* model: reclaim */
	    !atomic64_try_cmpxchg_acquire(&page->thread_free, (s64 *)&word, MI_OWNED))
		return false;
	mi_page_regain(theap, page);
	return true;
}

/*
 * Is the page ours at this level?  Or was it, and is only full: then a free of our own
 * is what it waits for.
 */
static __always_inline bool mi_page_is_ours(struct chaos_heap *heap,
					    struct mi_page *page, unsigned int level)
{
	struct mi_theap *theap = mi_theap(heap, level);
	u64 word;

	/* Only a hint: it may be somebody else's by now. */
	if (READ_ONCE(page->home) != theap || level == MI_NMI)
		return false;
	word = atomic64_read(&page->thread_free);
	if (mi_is_full(word))
		return mi_page_reclaim(theap, page, word);
	return READ_ONCE(page->owner) == mi_level_tag(level);
}

/* A block of a page that is not ours. */
static noinline __kprobes enum chaos_verdict
mi_free_foreign(struct chaos_heap *heap, struct mi_page *page, void *p)
{
	enum chaos_verdict verdict;
	bool claimed;

	verdict = mi_page_push(page, p, (unsigned long)p - page->base, 1, &claimed);
	if (unlikely(verdict == CHAOS_OK && claimed))
		mi_page_inherit(heap, page);
	return verdict;
}

static __cold enum chaos_verdict mi_refuse(const struct chaos_pool *pool,
					   const struct mi_page *page,
					   const void *p)
{
	unsigned long slice = ((unsigned long)p - pool->start) >> pool->slice_shift;

	if (!mi_slice_used(mi_pool_priv(pool), slice))
		return CHAOS_FREED;
	/* Not extended so far: a block that has never been allocated. */
	if (READ_ONCE(page->slices) &&
	    mi_block_index(page, (unsigned long)p - page->base) <
	    READ_ONCE(page->reserved))
		return CHAOS_FREED;
	return CHAOS_INTERIOR;
}

/*
 * The first word of the block may be a link.  If it does not lead to a block, it is
 * the client's, and by chance.
 */
static __cold enum chaos_verdict mi_confirm_free(const struct mi_page *page,
						 const void *p)
{
	unsigned long link = READ_ONCE(*(unsigned long *)p) ^ page->key;

	return mi_is_multiple(link, page->magic) ? CHAOS_FREED : CHAOS_OK;
}

/*
 * Is @p the start of a live block?  Everything that is read here is constant
 * while it is; the limit only grows.  Of any other address, the limit is read
 * first, with acquire: if it is that of a page, so is the rest.
 */
static __always_inline enum chaos_verdict
mi_verdict(const struct chaos_pool *pool, const struct mi_page *page,
	   const void *p)
{
	/* Pairs with mi_page_extend() and mi_alloc_single(). */
	u32 limit = smp_load_acquire(&page->limit);
	unsigned long link = (unsigned long)p - page->base;

	if (unlikely(link > limit || !mi_is_multiple(link, page->magic)))
		return mi_refuse(pool, page, p);
	if (unlikely((READ_ONCE(*(unsigned long *)p) ^ page->key) <= limit))
		return mi_confirm_free(page, p);
	return CHAOS_OK;
}

/* A block whose first word is the client's, though it looks like a link. */
static __kprobes void mi_free_local(struct mi_page *page, void *p)
{
	*(unsigned long *)p = page->free ^ page->key;
	page->free = (unsigned long)p - page->base;
	if (++page->frees == page->allocs)
		mi_page_retire(page);
}

/* The same as mi_free_fast(), to the end, and whatever the context. */
static __always_inline bool mi_free_ours(struct chaos_heap *heap,
					 const struct chaos_pool *pool,
					 unsigned int level, void *p,
					 struct mi_page **page)
{
	switch (mi_free_fast(heap, pool, mi_level_tag(level), p, page)) {
	case MI_NOT_FREED:
		return false;
	case MI_FREED_LAST:
		mi_page_retire(*page);
		fallthrough;
	default:
		return true;
	}
}

/**
 * struct mi_chain - blocks of one page that are freed by one push
 * @page: of a foreign page
 * @last: the first one that was added, the last one of the list
 * @link: the one that was added last
 * @n: their number
 */
struct mi_chain {
	struct mi_page *page;
	void *last;
	u32 link;
	u32 n;
};

/*
 * The page had not as many live blocks: one of these was freed by somebody else at
 * the same time.  Save the others.
 */
static noinline __cold void mi_chain_push_each(struct chaos_heap *heap,
					       struct mi_chain *chain)
{
	unsigned long key = chain->page->key;
	u32 link = chain->link, n;
	enum chaos_verdict verdict;

	for (n = chain->n; n; n--) {
		void *p = (void *)(chain->page->base + link);

		link = *(unsigned long *)p ^ key;
		verdict = mi_free_foreign(heap, chain->page, p);
		if (verdict != CHAOS_OK)
			chaos_report(heap, p, verdict, _RET_IP_);
	}
}

static noinline __kprobes void mi_chain_push(struct chaos_heap *heap,
					     struct mi_chain *chain)
{
	enum chaos_verdict verdict;
	bool claimed;

	if (!chain->n)
		return;
	verdict = mi_page_push(chain->page, chain->last, chain->link, chain->n,
			       &claimed);
	if (unlikely(verdict != CHAOS_OK))
		mi_chain_push_each(heap, chain);
	else if (claimed)
		mi_page_inherit(heap, chain->page);
	chain->n = 0;
}

/* The block's word says at once that it is free: twice in one call is found. */
static __kprobes void mi_chain_add(struct mi_chain *chain, struct mi_page *page,
				   void *p)
{
	if (!chain->n) {
		chain->page = page;
		chain->last = p;
		chain->link = 0;
	}
	*(unsigned long *)p = chain->link ^ page->key;
	chain->link = (unsigned long)p - page->base;
	chain->n++;
}

/*
 * What mi_free_ours() has not freed.  If the page is not ours, the block goes to
 * @chain, or if that is NULL, to the page at once.
 */
static __always_inline enum chaos_verdict
mi_free_other(struct chaos_heap *heap, struct chaos_pool *pool, unsigned int level,
	      void *p, struct mi_page *page, struct mi_chain *chain)
{
	enum chaos_verdict verdict = mi_verdict(pool, page, p);

	if (unlikely(verdict != CHAOS_OK))
		return verdict;
	chaos_san_free(heap, p, page->block_size);
	if (mi_page_is_ours(heap, page, level)) {
		mi_free_local(page, p);
		return CHAOS_OK;
	}
	if (!chain)
		return mi_free_foreign(heap, page, p);
	if (chain->n && chain->page != page)
		mi_chain_push(heap, chain);
	mi_chain_add(chain, page, p);
	return CHAOS_OK;
}

/* Any context, preemption disabled. */
__kprobes enum chaos_verdict mi_free(struct chaos_heap *heap,
				     struct chaos_pool *pool, void *p)
{
	unsigned int level = mi_context_level();
	struct mi_page *page;

	if (likely(mi_free_ours(heap, pool, level, p, &page)))
		return CHAOS_OK;
	return mi_free_other(heap, pool, level, p, page, NULL);
}

/* Neighbours in the array that are neighbours in a foreign page share a cmpxchg. */
__kprobes size_t mi_free_bulk(struct chaos_heap *heap, size_t n, void **p,
			      enum chaos_verdict *verdict)
{
	unsigned int level = mi_context_level();
	struct mi_chain chain = { .n = 0 };
	struct chaos_pool *pool = NULL;
	struct mi_page *page;
	size_t i;

	for (i = 0; i < n; i++) {
		pool = chaos_pool_guess(heap, pool, p[i], verdict);
		if (unlikely(!pool))
			break;
		if (likely(mi_free_ours(heap, pool, level, p[i], &page)))
			continue;
		*verdict = mi_free_other(heap, pool, level, p[i], page, &chain);
		if (unlikely(*verdict != CHAOS_OK))
			break;
	}
	mi_chain_push(heap, &chain);
	return i;
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

/* ------------------------------- the engine ------------------------------- */

static size_t mi_pool_need(struct chaos_heap *heap, size_t size, size_t align)
{
	size_t guard = heap->hardening > 1 ? CHAOS_UNIT_SIZE : 0;

	if (align > CHAOS_UNIT_SIZE)
		return ALIGN(size, CHAOS_UNIT_SIZE) + align + guard;
	if (size > MI_BIN_MAX_SIZE)
		return size + guard;
	return mi_bin_size(mi_bin_aligned(size, align)) + guard;
}

static void mi_theap_init(struct mi_theap *theap, struct chaos_heap *heap,
			  unsigned long tag, enum mi_level level)
{
	size_t word;

	theap->heap = heap;
	theap->level = level;
	theap->tag = tag + level;
	for (word = 0; word < MI_DIRECT; word++)
		theap->direct[word] = &mi_empty_page;
}

static void mi_exit(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;

	free_percpu(heap->theaps);
	free_percpu(mi->events);
	free_percpu(mi->visits);
	kvfree(mi);
}

static struct mi_theap __percpu *mi_alloc_theaps(void)
{
	return __alloc_percpu(sizeof(struct mi_theap) * MI_LEVELS,
			      __alignof__(struct mi_theap));
}

static int mi_init(struct chaos_heap *heap)
{
	unsigned int cpu, i;
	struct mi_heap *mi;

	mi = chaos_unless_fails(CHAOS_FAULT_SETUP, kvzalloc(sizeof(*mi), GFP_KERNEL));
	if (!mi)
		return -ENOMEM;
	heap->priv = mi;
	heap->theaps = chaos_unless_fails(CHAOS_FAULT_PERCPU, mi_alloc_theaps());
	mi->events = chaos_unless_fails(CHAOS_FAULT_PERCPU, alloc_percpu(struct mi_events));
	mi->visits = chaos_unless_fails(CHAOS_FAULT_PERCPU, alloc_percpu(struct mi_visit));
	if (mi->visits)
		mi_collect_init(heap);
	if (!heap->theaps || !mi->events || !mi->visits) {
		mi_exit(heap);
		return -ENOMEM;
	}
	INIT_LIST_HEAD(&mi->pools);
	atomic64_set(&mi->seed, get_random_u64());
	mi->key = get_random_long() | MI_KEY_TOP;
	for_each_possible_cpu(cpu)
		for (i = 0; i < MI_LEVELS; i++)
			mi_theap_init(per_cpu_ptr(heap->theaps, cpu) + i, heap,
				      mi_tag_of_cpu(cpu), i);
	return 0;
}

const struct chaos_engine chaos_mi_engine = {
	.name		= "mimalloc",
	.natural	= true,
	.fast_max	= MI_SMALL_MAX,
	.init		= mi_init,
	.quiesce	= mi_quiesce,
	.exit		= mi_exit,
	.add_pool	= mi_add_pool,
	.pool_used	= mi_pool_used,
	.release_pool	= mi_release_pool,
	.remove_pool	= mi_remove_pool,
	.pool_need	= mi_pool_need,
	.alloc		= mi_alloc,
	.alloc_bulk	= mi_alloc_bulk,
	.free		= mi_free,
	.free_bulk	= mi_free_bulk,
	.resize		= mi_resize,
	.query		= mi_query,
	.check		= mi_check,
	.walk		= mi_walk,
	.moves		= mi_moves,
	.cell		= mi_cell,
	.next_unusable	= mi_next_unusable,
	.stats		= mi_stats,
	.class_stats	= mi_class_stats,
	.collect	= mi_collect,
	.cpu_dead	= mi_cpu_dead,
};
