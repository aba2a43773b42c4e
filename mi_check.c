// SPDX-License-Identifier: GPL-2.0
/*
 * The mimalloc engine: what looks at the heap as a whole: check, walk,
 * statistics, and the collection of what theaps keep.
 *
 * A page is looked at by who owns it.  Those in the queues of a theap are visited
 * on its CPU with interrupts off: nothing is in the middle of it.  All others
 * are claimed, looked at, and let go again, as any context could do.  Statistics own
 * nothing: they add up what can be read from anywhere.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "grow.h"
#include "mi_internal.h"

/* How often the slices are counted when others change them meanwhile. */
#define MI_SUM_TRIES	1000

/* Pages that are let go at most while a CPU's interrupts are off. */
#define MI_COLLECT_BATCH	64U

/**
 * struct mi_tour - a visit to all pages of a heap
 * @heap: which
 * @cpu: whose theaps are visited now
 * @theap_fn: called for each theap of the CPU, on that CPU, with interrupts
 *	off: nothing is in the middle of it
 * @pool: walk this one alone, or NULL
 * @visitor: for chaos_heap_walk()
 * @arg: its argument
 * @free: scratch: a bit for each free block of one page
 * @retired: bytes of the pages with MI_RETIRED of one theap
 * @classes: MI_BINS of them, or one, for all bins
 * @per_class: which of the two
 * @err: the first error; ends the tour
 */
struct mi_tour {
	struct chaos_heap *heap;
	unsigned int cpu;
	void (*theap_fn)(struct mi_tour *tour, struct mi_theap *theap);
	struct chaos_pool *pool;
	chaos_visitor visitor;
	void *arg;
	unsigned long *free;
	size_t retired;
	struct chaos_class_stats *classes;
	bool per_class;
	int err;
};

/* The most blocks that a page can have: the smallest ones, at level 2. */
#define MI_BLOCKS_MAX	((MI_GUARDED_UNITS << CHAOS_UNIT_SHIFT) >> MI_WORD_SHIFT)

/* ------------------------------ theaps on a CPU --------------------------- */

static int mi_tour_cpu(void *data)
{
	struct mi_tour *tour = data;
	struct mi_theap *theap = per_cpu_ptr(tour->heap->theaps, tour->cpu);
	struct mi_theap *end = theap + MI_LEVELS;
	unsigned long flags;

	for (; theap < end && !tour->err; theap++) {
		local_irq_save(flags);
		/* Keeps NMIs out of theirs; the other levels are at rest. */
		WRITE_ONCE(theap->busy, true);
		barrier();
		tour->theap_fn(tour, theap);
		barrier();
		WRITE_ONCE(theap->busy, false);
		local_irq_restore(flags);
	}
	return 0;
}

/*
 * A CPU that is offline cannot be in the middle of anything either: its theaps
 * are ours, as heap->mutex keeps other tours away, and mi_visit_work() looks at those of
 * its own CPU alone.  The caller keeps CPUs from coming and going.  When nobody uses the heap
 * any longer, so are those of all: a CPU that lets nobody in does not keep it alive.
 */
static void mi_visit_cpu(struct mi_tour *tour, unsigned int cpu)
{
	lockdep_assert_held(&tour->heap->mutex);
	tour->cpu = cpu;
	if (cpu_online(cpu) && !READ_ONCE(tour->heap->closing))
		smp_call_on_cpu(cpu, mi_tour_cpu, tour, false);
	else
		mi_tour_cpu(tour);
}

/* Are there pages?  Racy: who has just taken the first one may be missed. */
static bool mi_cpu_keeps(struct chaos_heap *heap, unsigned int cpu)
{
	struct mi_theap *theap = per_cpu_ptr(heap->theaps, cpu);
	struct mi_theap *end = theap + MI_LEVELS;

	for (; theap < end; theap++)
		if (READ_ONCE(theap->pages))
			return true;
	return false;
}

/* A CPU that keeps nothing has nothing to show to visitors, and is not to be disturbed. */
static void mi_tour_theaps(struct mi_tour *tour)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		if (!tour->visitor || mi_cpu_keeps(tour->heap, cpu))
			mi_visit_cpu(tour, cpu);
		if (tour->err)
			break;
	}
}

/* ------------------------------- collection ------------------------------- */

static void mi_collect_theap(struct mi_tour *tour, struct mi_theap *theap)
{
	mi_theap_abandon(theap, MI_COLLECT_BATCH);
}

/*
 * How often must the CPU be visited until it has let go what it ought to?  A theap
 * that is in use lets its empty pages go itself.  Racy: the next time is early enough.
 */
static unsigned int mi_cpu_is_due(struct chaos_heap *heap, unsigned int cpu, bool force)
{
	unsigned long delay = msecs_to_jiffies(READ_ONCE(heap->options.retire_delay));
	struct mi_theap *theap = per_cpu_ptr(heap->theaps, cpu);
	struct mi_theap *end = theap + MI_LEVELS;
	unsigned int pages, due = 0;

	for (; theap < end; theap++) {
		pages = READ_ONCE(theap->pages);
		if (!pages)
			continue;
		if (force || time_after_eq(jiffies, READ_ONCE(theap->stamp) + delay))
			due = max(due, DIV_ROUND_UP(pages, MI_COLLECT_BATCH));
	}
	return due;
}

static void mi_collect_idle(struct mi_tour *tour, struct mi_theap *theap)
{
	unsigned long delay;

	delay = msecs_to_jiffies(READ_ONCE(tour->heap->options.retire_delay));
	if (time_before(jiffies, theap->stamp + delay))
		return;
	if (mi_theap_was_busy(theap))
		WRITE_ONCE(theap->stamp, jiffies);
	else
		mi_theap_abandon(theap, MI_COLLECT_BATCH);
}

/*
 * On the CPU.  If that has gone, the work runs elsewhere, and what the CPU kept is
 * mi_cpu_dead()'s.
 */
static void mi_visit_work(struct work_struct *work)
{
	struct mi_visit *visit = container_of(work, struct mi_visit, work);
	struct mi_heap *mi = visit->heap->priv;
	/* Who asks after this may not be heard any more.  Pairs with mi_collect_cpu(). */
	unsigned int asked = smp_load_acquire(&visit->asked);
	bool force = xchg(&visit->force, false);
	struct mi_tour tour = {
		.heap = visit->heap,
		.theap_fn = force ? mi_collect_theap : mi_collect_idle,
	};
	unsigned int n;

	/* No CPU goes with one who may not leave it. */
	migrate_disable();
	tour.cpu = smp_processor_id();
	if (visit == per_cpu_ptr(mi->visits, tour.cpu))
		for (n = mi_cpu_is_due(tour.heap, tour.cpu, force); n; n--) {
			mi_tour_cpu(&tour);
			cond_resched();
		}
	migrate_enable();
	/* After what was given back; pairs with mi_is_awaited(). */
	smp_store_release(&visit->done, asked);
	wake_up_all(&mi->visited);
}

void mi_collect_init(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	unsigned int cpu;

	init_waitqueue_head(&mi->visited);
	for_each_possible_cpu(cpu) {
		struct mi_visit *visit = per_cpu_ptr(mi->visits, cpu);

		visit->heap = heap;
		INIT_WORK(&visit->work, mi_visit_work);
	}
}

/* Nobody asks for collections any more, but there may be a CPU that has not come to its own. */
void mi_quiesce(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		cancel_work_sync(&per_cpu_ptr(mi->visits, cpu)->work);
}

/*
 * One that a collection has waited for in vain is queued still, and not waited for again.  It
 * may have begun, with another idea of @force: then it comes a second time.
 */
static void mi_collect_cpu(struct chaos_heap *heap, unsigned int cpu, bool force)
{
	struct mi_heap *mi = heap->priv;
	struct mi_visit *visit = per_cpu_ptr(mi->visits, cpu);

	visit->awaited = false;
	if (!mi_cpu_is_due(heap, cpu, force))
		return;
	if (force)
		WRITE_ONCE(visit->force, true);
	visit->awaited = visit->asked == READ_ONCE(visit->done);
	/* After @force; pairs with mi_visit_work(). */
	smp_store_release(&visit->asked, visit->asked + 1);
	schedule_work_on(cpu, &visit->work);
}

static bool mi_is_awaited(struct mi_heap *mi)
{
	const struct mi_visit *visit;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		visit = per_cpu_ptr(mi->visits, cpu);
		/* Pairs with mi_visit_work(). */
		if (visit->awaited && smp_load_acquire(&visit->done) != visit->asked)
			return true;
	}
	return false;
}

/*
 * A CPU is disturbed only if no theap of it has been on its generic path for the
 * retirement delay: once if the CPU has been idle, since it keeps nothing after that; once in
 * each delay if it allocates all the time, but always finds blocks at hand.
 *
 * It may be one that never gets to it, as it runs a real-time task: heap->mutex is held, so
 * there is a limit to the wait.  The visit stays queued, and is not waited for again.
 */
bool mi_collect(struct chaos_heap *heap, bool force)
{
	struct mi_heap *mi = heap->priv;
	bool any = false;
	unsigned int cpu;

	lockdep_assert_held(&heap->mutex);
	for_each_online_cpu(cpu)
		mi_collect_cpu(heap, cpu, force);
	wait_event_timeout(mi->visited, !mi_is_awaited(mi), CHAOS_COLLECT_TIMEOUT);
	for_each_possible_cpu(cpu)
		any |= mi_cpu_keeps(heap, cpu);
	return any;
}

/* Nothing runs there, and CPU hotplug waits for us. */
void mi_cpu_dead(struct chaos_heap *heap, unsigned int cpu)
{
	struct mi_theap *theap = per_cpu_ptr(heap->theaps, cpu);
	unsigned int level;

	preempt_disable();
	for (level = 0; level < MI_LEVELS; level++)
		mi_theap_abandon(theap + level, UINT_MAX); /* model: cpu-dead */
	preempt_enable();
}

/* ------------------------------ check and walk ---------------------------- */

static int mi_tour_init(struct mi_tour *tour, struct chaos_heap *heap)
{
	*tour = (struct mi_tour){ .heap = heap };
	tour->free = chaos_meta_alloc(BITS_TO_LONGS(MI_BLOCKS_MAX) * sizeof(long),
				      NUMA_NO_NODE);
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
		unsigned long index = mi_block_index(page, link);

		if (index >= page->capacity || __test_and_set_bit(index, free))
			return -1;
		next = READ_ONCE(*(unsigned long *)block) ^ page->key;
		if (next > page->limit)
			return -1;
	}
	return n;
}

/* Mark the free blocks of a page that is ours; see that its numbers add up. */
static int mi_mark_free(struct mi_tour *tour, struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);
	int n, foreign;

	if (page->reserved > MI_BLOCKS_MAX)
		return chaos_unclean(tour->heap, "page %p: %u blocks", page,
				     page->reserved);
	bitmap_zero(tour->free, MI_BLOCKS_MAX);
	n = mi_mark_list(page, page->free, tour->free);
	foreign = mi_mark_list(page, mi_link_of(word), tour->free);
	if (n < 0 || foreign < 0)
		return chaos_unclean(tour->heap, "page %p: a free list is broken",
				     page);
	if (mi_page_used(page) + n != page->capacity ||
	    foreign != -mi_count_of(word))
		return chaos_unclean(tour->heap,
				     "page %p: %u used + %d free != %u, or %d != %d pushed",
				     page, mi_page_used(page), n, page->capacity,
				     foreign, -mi_count_of(word));
	if (page->capacity > page->reserved ||
	    (page->bin && page->limit != page->capacity * page->block_size))
		return chaos_unclean(tour->heap, "page %p: capacity %u of %u",
				     page, page->capacity, page->reserved);
	if (!mi_guard_intact(page))
		return chaos_unclean(tour->heap, "page %p: written past its end",
				     page);
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

/* Check a page that is ours, and walk it if that is what we do. */
static int mi_visit_page(struct mi_tour *tour, struct mi_page *page)
{
	int err;

	if (tour->pool && !chaos_pool_has(tour->pool, (void *)mi_page_start(page)))
		return 0;
	err = mi_mark_free(tour, page);
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
		if (page->theap != theap || page->owner != theap->tag ||
		    page->bin != bin || page->prev != prev ||
		    page->block_size != mi_bin_size(bin))
			return chaos_unclean(tour->heap,
					     "page %p is not one of bin %u",
					     page, bin);
		if (!mi_is_owned(atomic64_read(&page->thread_free)))
			return chaos_unclean(tour->heap,
					     "page %p has two owners", page);
		if (page->frees & MI_RETIRED)
			tour->retired += mi_page_bytes(page);
		err = mi_visit_page(tour, page);
		if (err)
			return err;
	}
	if (theap->queue[bin].last != prev ||
	    !test_bit(bin, theap->bins) != !theap->queue[bin].first)
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
	tour->retired = 0;
	for (bin = 1; bin < MI_BINS && !tour->err; bin++)
		tour->err = mi_visit_queue(tour, theap, bin);
	/* Visitors may free. */
	if (!tour->err && !tour->visitor && tour->retired != theap->retired)
		tour->err = chaos_unclean(tour->heap, "%zu bytes of retired pages, not %zu",
					  tour->retired, theap->retired);
}

/* Visit a page that has no owner, by being it for the while. */
static void mi_visit_unowned(struct mi_tour *tour, struct mi_page *page)
{
	struct mi_heap *mi = tour->heap->priv;
	unsigned long flags;
	u64 word;

	local_irq_save(flags);	/* for the visitor */
	word = mi_page_claim(page, false);
	if (word) {
		if (word & MI_LISTED)
			atomic_dec(&mi->bin[page->bin].listed);
		if (page->theap || page->owner != MI_NO_TAG)
			tour->err = chaos_unclean(tour->heap,
						  "page %p is not abandoned", page);
		else
			tour->err = mi_visit_page(tour, page);
		mi_page_settle(tour->heap, page);	/* model: visit */
	}
	local_irq_restore(flags);
}

static bool mi_in_tour(const struct mi_tour *tour, const struct mi_pool *mp)
{
	return !tour->pool || tour->pool == mp->pool;
}

/* Visit every page.  One that changes hands meanwhile may be seen twice, or not. */
static void mi_tour_pages(struct mi_tour *tour)
{
	struct mi_heap *mi = tour->heap->priv;
	struct mi_pool *mp;
	unsigned int i;

	tour->theap_fn = mi_visit_theap;
	mi_tour_theaps(tour);
	list_for_each_entry(mp, &mi->pools, list)
		for (i = 0; mi_in_tour(tour, mp) && i < mp->slices && !tour->err; i++)
			mi_visit_unowned(tour, &mp->page[i]);
}

/* ------------------------------- the slices ------------------------------- */

/**
 * struct mi_sum - what the slices add up to
 * @used: whose bits are set
 * @paged: that descriptors say to be in pages
 * @bytes: of those
 * @held: that the heap has counted
 * @stray: the descriptor of a page in slices that are free, or NULL
 */
struct mi_sum {
	size_t used;
	size_t paged;
	size_t bytes;
	size_t held;
	struct mi_page *stray;
};

static void mi_sum_pool(struct mi_pool *mp, struct mi_sum *sum)
{
	unsigned int i, slices;

	/* data_race(): whether it is at rest is seen afterwards */
	sum->used += data_race(bitmap_weight(mp->used, mp->slices));
	for (i = 0; i < mp->slices; i += max(slices, 1U)) {
		slices = READ_ONCE(mp->page[i].slices);
		sum->paged += slices;
		sum->bytes += (size_t)slices << mp->pool->slice_shift;
		if (slices &&
		    (!mi_slice_used(mp, i) || READ_ONCE(mp->map[i]) != &mp->page[i]))
			sum->stray = &mp->page[i];
	}
}

/* The sums are true if no page was taken or given back meanwhile. */
static bool mi_sum_slices(struct chaos_heap *heap, struct mi_sum *sum)
{
	struct mi_heap *mi = heap->priv;
	unsigned long begun;
	struct mi_pool *mp;

	if (!chaos_busy_none(&mi->events->busy, &begun))
		return false;
	*sum = (struct mi_sum){ .held = atomic_long_read(&heap->held) };
	list_for_each_entry(mp, &mi->pools, list)
		mi_sum_pool(mp, sum);
	return chaos_busy_none_since(&mi->events->busy, begun);
}

static int mi_check_sum(struct chaos_heap *heap, const struct mi_sum *sum)
{
	if (sum->stray)
		return chaos_unclean(heap, "page %p is in free slices",
				     sum->stray);
	if (sum->used != sum->paged)
		return chaos_unclean(heap, "%zu slices used, %zu in pages",
				     sum->used, sum->paged);
	if (sum->held != sum->bytes)
		return chaos_unclean(heap, "%zu bytes held, %zu in pages",
				     sum->held, sum->bytes);
	return 0;
}

/* A heap that is never at rest cannot be summed up: that is no error. */
static int mi_check_slices(struct chaos_heap *heap)
{
	unsigned int tries;
	struct mi_sum sum;

	for (tries = 0; tries < MI_SUM_TRIES; tries++) {
		if (mi_sum_slices(heap, &sum))
			return mi_check_sum(heap, &sum);
		cond_resched();
	}
	return 0;
}

int mi_check(struct chaos_heap *heap)
{
	struct mi_tour tour;
	int err;

	err = mi_tour_init(&tour, heap);
	if (err)
		return err;
	mi_tour_pages(&tour);
	kvfree(tour.free);
	return tour.err ?: mi_check_slices(heap);
}

int mi_walk(struct chaos_heap *heap, struct chaos_pool *pool, chaos_visitor visitor,
	    void *arg)
{
	struct mi_tour tour;
	int err;

	err = mi_tour_init(&tour, heap);
	if (err)
		return err;
	tour.pool = pool;
	tour.visitor = visitor;
	tour.arg = arg;
	mi_tour_pages(&tour);
	kvfree(tour.free);
	return tour.err;
}

size_t mi_cell(const struct chaos_pool *pool)
{
	return 1UL << pool->slice_shift;
}

/* The guards.  Pages may come and go meanwhile: it was true at some moment. */
size_t mi_next_unusable(const struct chaos_pool *pool, size_t offset)
{
	struct mi_pool *mp = mi_pool_priv(pool);
	unsigned int i, slices;

	for (i = offset >> pool->slice_shift; i < mp->slices; i += max(slices, 1U)) {
		slices = READ_ONCE(mp->page[i].slices);
		if (slices && READ_ONCE(mp->page[i].guard))
			return (size_t)(i + slices - 1) << pool->slice_shift;
	}
	return SIZE_MAX;
}

/* ------------------------------- statistics ------------------------------- */

static struct chaos_class_stats *mi_tour_class(struct mi_tour *tour,
					       unsigned int bin)
{
	return tour->per_class ? &tour->classes[bin] : tour->classes;
}

/* Its pages have figures of their own; see mi_page_account(). */
static void mi_count_theap(struct mi_tour *tour, const struct mi_theap *theap)
{
	unsigned int bin;

	for (bin = 1; bin < MI_BINS; bin++)
		mi_tour_class(tour, bin)->local_frees += READ_ONCE(theap->local_frees[bin]);
}

/*
 * From here, whatever their CPUs are doing: a system is to be watched while it works, and CPUs
 * that real-time tasks have for themselves answer nobody.
 */
static void mi_count_theaps(struct mi_tour *tour)
{
	const struct mi_theap *theap;
	unsigned int cpu, level;

	for_each_possible_cpu(cpu) {
		theap = per_cpu_ptr(tour->heap->theaps, cpu);
		for (level = 0; level < MI_LEVELS; level++)
			mi_count_theap(tour, theap + level);
	}
}

static void mi_count_events(struct mi_tour *tour)
{
	struct mi_heap *mi = tour->heap->priv;
	struct chaos_class_stats *class;
	struct mi_events *events;
	unsigned int cpu, bin;

	for_each_possible_cpu(cpu) {
		events = per_cpu_ptr(mi->events, cpu);
		class = mi_tour_class(tour, 0);
		class->local_frees += READ_ONCE(events->single_frees);
		for (bin = 1; bin < MI_BINS; bin++) {
			class = mi_tour_class(tour, bin);
			class->foreign_frees += READ_ONCE(events->foreign_frees[bin]);
			class->abandoned += READ_ONCE(events->abandoned[bin]);
			class->adopted += READ_ONCE(events->adopted[bin]);
		}
	}
}

static void mi_count_bins(struct mi_tour *tour)
{
	struct mi_heap *mi = tour->heap->priv;
	unsigned int bin;

	for (bin = 0; bin < MI_BINS; bin++) {
		struct chaos_class_stats *class = mi_tour_class(tour, bin);

		class->pages += atomic_read(&mi->bin[bin].pages);
		class->peak_pages += READ_ONCE(mi->bin[bin].peak);
		class->abandoned_pages += max(atomic_read(&mi->bin[bin].listed), 0);
	}
}

/*
 * A page that may be anybody's.  Its numbers belong together if it is at rest;
 * otherwise the sum is brought back to what is possible.
 */
static void mi_count_page(struct mi_tour *tour, const struct mi_page *page)
{
	u64 word = atomic64_read(&page->thread_free);
	s64 count = mi_count_of(word);
	/* In this order; pairs with mi_page_account(). */
	u64 allocs = smp_load_acquire(&page->allocs);
	u64 frees = READ_ONCE(page->frees) & ~MI_RETIRED;
	s64 used = (s32)(allocs - frees);
	unsigned int bin = READ_ONCE(page->bin);
	struct chaos_class_stats *class = mi_tour_class(tour, bin);
	s64 live = mi_is_owned(word) ? used + count : count;

	live = clamp_t(s64, live, 0, READ_ONCE(page->capacity));
	/* data_race(): the same for each use of the slice */
	class->page_bytes += (size_t)READ_ONCE(page->slices) << data_race(page->slice_shift);
	class->live_blocks += live;
	class->live_bytes += live * READ_ONCE(page->block_size);
	class->capacity += READ_ONCE(page->reserved);
	if (!bin)
		return;
	class->local_frees += frees;
	class->foreign_frees += max(mi_is_owned(word) ? -count : used - count, 0);
}

static void mi_count_pages(struct mi_tour *tour)
{
	struct mi_heap *mi = tour->heap->priv;
	struct mi_pool *mp;
	unsigned int i;

	list_for_each_entry(mp, &mi->pools, list)
		for (i = 0; i < mp->slices; i++)
			if (READ_ONCE(mp->page[i].slices))
				mi_count_page(tour, &mp->page[i]);
}

/* What was allocated is what was freed and what is live; nobody has to count it. */
static void mi_count_allocs(struct mi_tour *tour)
{
	struct chaos_class_stats *class = tour->classes;
	struct chaos_class_stats *end = class + (tour->per_class ? MI_BINS : 1);

	for (; class < end; class++)
		class->allocs = class->live_blocks + class->local_frees +
				class->foreign_frees;
}

static void mi_count(struct mi_tour *tour)
{
	mi_count_theaps(tour);
	mi_count_events(tour);
	mi_count_bins(tour);
	mi_count_pages(tour);
	mi_count_allocs(tour);
}

u64 mi_moves(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	struct mi_events *events;
	unsigned int cpu, bin;
	u64 moves = 0;

	for_each_possible_cpu(cpu) {
		events = per_cpu_ptr(mi->events, cpu);
		moves += READ_ONCE(events->regained);
		for (bin = 1; bin < MI_BINS; bin++)
			moves += READ_ONCE(events->abandoned[bin]) +
				 READ_ONCE(events->adopted[bin]);
	}
	return moves;
}

void mi_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats)
{
	struct chaos_class_stats sum = {};
	struct mi_tour tour = { .heap = heap, .classes = &sum };

	mi_count(&tour);
	stats->live_blocks = sum.live_blocks;
	stats->live_bytes = sum.live_bytes;
	stats->allocs = sum.allocs;
	stats->local_frees = sum.local_frees;
	stats->foreign_frees = sum.foreign_frees;
	stats->pages = sum.pages;
	stats->abandoned_pages = sum.abandoned_pages;
	stats->abandoned = sum.abandoned;
	stats->adopted = sum.adopted;
	stats->meta_bytes += sizeof(struct mi_heap) + num_possible_cpus() *
		(MI_LEVELS * sizeof(struct mi_theap) + sizeof(struct mi_events));
}

/* The last class is bin 0. */
size_t mi_class_stats(struct chaos_heap *heap, struct chaos_class_stats *classes,
		      size_t n)
{
	struct mi_tour tour = { .heap = heap, .per_class = true };
	unsigned int bin;

	tour.classes = chaos_meta_alloc(MI_BINS * sizeof(*tour.classes), NUMA_NO_NODE);
	if (!tour.classes)
		return 0;
	mi_count(&tour);
	for (bin = 0; bin < MI_BINS; bin++) {
		size_t i = (bin + MI_BINS - 1) % MI_BINS;

		tour.classes[bin].block_size = bin ? mi_bin_size(bin) : 0;
		if (i < n)
			classes[i] = tour.classes[bin];
	}
	kvfree(tour.classes);
	return MI_BINS;
}
