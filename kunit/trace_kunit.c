// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_trace: what the tracepoints say, to a probe as perf and ftrace have one;
 * and that the fast paths are closed as long as somebody listens, no longer.
 */
#include <linux/atomic.h>
#include <linux/kallsyms.h>
#include <linux/tracepoint.h>

#include "common.h"
#include "engine.h"
#include "trace.h"
#include "watch.h"

CHAOS_TEST_ENGINE_PARAM();

/* What has been seen of one heap, or of any */
enum { ALLOC, FREE, FAIL, GROW, SHRINK, EVENTS };

/**
 * struct seen - an event
 * @event: which
 * @caller: its call_site
 * @p: the block
 * @bytes: of the request, or the pool
 * @usable: bytes of the block
 * @gfp: flags
 * @why: the pool was added
 */
struct seen {
	unsigned int event;
	unsigned long caller;
	const void *p;
	size_t bytes;
	size_t usable;
	gfp_t gfp;
	enum chaos_grow why;
};

#define SEEN_MAX	64

/**
 * struct witness - who listens
 * @heap: to this one alone, or NULL
 * @n: events by kind; any context counts
 * @all: all of them
 * @grown: why the last pool was added
 * @seen: the first ones
 */
struct witness {
	const struct chaos_heap *heap;
	atomic_t n[EVENTS];
	atomic_t all;
	enum chaos_grow grown;
	struct seen seen[SEEN_MAX];
};

static void witness(struct witness *w, const struct chaos_heap *heap, const struct seen *seen)
{
	int i;

	if (w->heap && w->heap != heap)
		return;
	atomic_inc(&w->n[seen->event]);
	i = atomic_fetch_inc(&w->all);
	if (i < SEEN_MAX)
		w->seen[i] = *seen;
}

static void saw_alloc(void *w, unsigned long caller, const void *p, size_t req, size_t usable,
		      gfp_t gfp, const struct chaos_heap *heap)
{
	witness(w, heap, &(struct seen){
		.event = ALLOC, .caller = caller, .p = p, .bytes = req, .usable = usable,
		.gfp = gfp,
	});
}

static void saw_free(void *w, unsigned long caller, const void *p, size_t usable,
		     const struct chaos_heap *heap)
{
	witness(w, heap, &(struct seen){
		.event = FREE, .caller = caller, .p = p, .usable = usable,
	});
}

static void saw_fail(void *w, unsigned long caller, size_t req, size_t align, gfp_t gfp,
		     const struct chaos_heap *heap)
{
	witness(w, heap, &(struct seen){
		.event = FAIL, .caller = caller, .bytes = req, .usable = align, .gfp = gfp,
	});
}

static void saw_grow(void *w, const struct chaos_heap *heap, size_t bytes, int node,
		     enum chaos_grow why)
{
	struct witness *mine = w;

	WRITE_ONCE(mine->grown, why);
	witness(w, heap, &(struct seen){ .event = GROW, .bytes = bytes, .why = why });
}

static void saw_shrink(void *w, const struct chaos_heap *heap, size_t bytes, int node)
{
	witness(w, heap, &(struct seen){ .event = SHRINK, .bytes = bytes });
}

static void turn_away(void *w)
{
	unregister_trace_alloc(saw_alloc, w);
	unregister_trace_free(saw_free, w);
	unregister_trace_fail(saw_fail, w);
	unregister_trace_grow(saw_grow, w);
	unregister_trace_shrink(saw_shrink, w);
	tracepoint_synchronize_unregister();
}

/* Listen to all events of @heap's until the test ends. */
static struct witness *listen(struct kunit *test, const struct chaos_heap *heap)
{
	struct witness *w = chaos_test_buf(test, 1, sizeof(*w));
	int err;

	w->heap = heap;
	err = register_trace_alloc(saw_alloc, w) ?: register_trace_free(saw_free, w) ?:
	      register_trace_fail(saw_fail, w) ?: register_trace_grow(saw_grow, w) ?:
	      register_trace_shrink(saw_shrink, w);
	KUNIT_ASSERT_EQ(test, err, 0);
	chaos_test_defer(test, turn_away, w);
	return w;
}

static void expect_counts(struct kunit *test, struct witness *w, int allocs, int frees,
			  int fails)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[ALLOC]), allocs);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[FREE]), frees);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[FAIL]), fails);
}

static struct seen *last_seen(struct kunit *test, struct witness *w)
{
	int n = atomic_read(&w->all);

	KUNIT_ASSERT_GT(test, n, 0);
	KUNIT_ASSERT_LE(test, n, SEEN_MAX);
	return &w->seen[n - 1];
}

static bool called_by(const struct seen *seen, const char *function)
{
	char name[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(name, seen->caller);
	return !CHAOS_TEST_NAMES_CALLER || strstarts(name, function);
}

static void expect_alloc(struct kunit *test, struct witness *w, struct chaos_heap *heap,
			 const void *p, size_t size, gfp_t gfp)
{
	struct seen *seen = last_seen(test, w);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, seen->event, ALLOC);
	KUNIT_EXPECT_PTR_EQ(test, seen->p, p);
	KUNIT_EXPECT_EQ(test, seen->bytes, size);
	KUNIT_EXPECT_GE(test, seen->usable, chaos_heap_usable_size(heap, p));
	KUNIT_EXPECT_EQ(test, (__force unsigned int)seen->gfp, (__force unsigned int)gfp);
	KUNIT_EXPECT_TRUE(test, called_by(seen, "fields_of"));
}

static void expect_free(struct kunit *test, struct witness *w, const void *p)
{
	struct seen *seen = last_seen(test, w);

	KUNIT_EXPECT_EQ(test, seen->event, FREE);
	KUNIT_EXPECT_PTR_EQ(test, seen->p, p);
	KUNIT_EXPECT_GE(test, seen->usable, 100);
	KUNIT_EXPECT_TRUE(test, called_by(seen, "fields_of"));
}

static noinline void fields_of(struct kunit *test, struct witness *w, struct chaos_heap *heap)
{
	void *p;

	p = chaos_heap_alloc(heap, 100, GFP_KERNEL);
	expect_alloc(test, w, heap, p, 100, GFP_KERNEL);
	chaos_heap_free(heap, p);
	expect_free(test, w, p);
	p = chaos_heap_alloc(heap, 3000, GFP_NOWAIT);
	expect_alloc(test, w, heap, p, 3000, GFP_NOWAIT);
	chaos_heap_free(heap, p);
	p = chaos_heap_zalloc(heap, 200, GFP_KERNEL);
	expect_alloc(test, w, heap, p, 200, GFP_KERNEL | __GFP_ZERO);
	chaos_heap_free(heap, p);
	expect_free(test, w, p);
	p = chaos_heap_alloc_aligned(heap, 300, 512, GFP_ATOMIC);
	expect_alloc(test, w, heap, p, 300, GFP_ATOMIC);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, 150, GFP_KERNEL, 1, &p), 1);
	expect_alloc(test, w, heap, p, 150, GFP_KERNEL);
	chaos_heap_free_bulk(heap, 1, &p);
	expect_free(test, w, p);
	expect_counts(test, w, 5, 5, 0);
}

/* Each function of the API, with the caller and all that it has asked for. */
static void fields(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);

	fields_of(test, listen(test, heap), heap);
	chaos_test_idle(test, heap, 0);
}

/* The same at level 2, whose blocks have canaries. */
static void fields_hardened(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap_at(test, SZ_1M, CHAOS_HARDENING_2,
						     CHAOS_TRACK_DEFAULT);

	fields_of(test, listen(test, heap), heap);
	chaos_test_idle(test, heap, 0);
}

/* What is neither: size 0, NULL, and pointers that are refused. */
static void nothing(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	struct witness *w = listen(test, heap);
	void *p = chaos_heap_alloc(heap, 64, GFP_KERNEL);

	chaos_heap_free(heap, chaos_heap_alloc(heap, 0, GFP_KERNEL));
	chaos_heap_free(heap, NULL);
	expect_counts(test, w, 1, 0, 0);
	chaos_heap_free(heap, p);
	chaos_heap_free(heap, p);
	chaos_heap_free(heap, w);
	expect_counts(test, w, 1, 1, 0);
	chaos_test_idle(test, heap, 2);
}

/* Who keeps accounts of the events knows what is allocated, whatever realloc does. */
static void accounts(struct kunit *test)
{
	static const size_t sizes[] = { 100, 90, 20, 3000, 3001, 2900, 8, 40000, 39000, 64 };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	struct witness *w = listen(test, heap);
	const void *live = NULL;
	void *p = NULL;
	size_t i, bad = 0;
	int k = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = chaos_heap_realloc(heap, p, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ(test, last_seen(test, w)->event == ALLOC ?
				last_seen(test, w)->bytes : sizes[i], sizes[i]);
	}
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_realloc(heap, p, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	expect_counts(test, w, ARRAY_SIZE(sizes), ARRAY_SIZE(sizes), 0);
	/* Old and new may overlap in time, but are two then. */
	for (; k < atomic_read(&w->all); k++) {
		struct seen *seen = &w->seen[k];

		if (seen->event == ALLOC)
			bad += seen->p == live, live = seen->p;
		else if (seen->p == live)
			live = NULL;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_NULL(test, live);
	chaos_test_idle(test, heap, 0);
}

/* Bulk calls are as many events as blocks. */
static void bulk(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	struct witness *w = listen(test, heap);
	void *p[50];

	KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, 64, GFP_KERNEL, 50, p), 50);
	expect_counts(test, w, 50, 0, 0);
	chaos_heap_free_bulk(heap, 50, p);
	expect_counts(test, w, 50, 50, 0);
	/* All or nothing: what there was is given back. */
	KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, SZ_32K, GFP_KERNEL | __GFP_NOWARN,
						    50, p), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[ALLOC]), atomic_read(&w->n[FREE]));
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[FAIL]), 1);
}

/* NULL has an event, with all of the request, for each reason. */
static void fails(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	struct witness *w = listen(test, heap);
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct seen *seen;

	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, SZ_1M, gfp));
	seen = last_seen(test, w);
	KUNIT_EXPECT_EQ(test, seen->event, FAIL);
	KUNIT_EXPECT_EQ(test, seen->bytes, SZ_1M);
	KUNIT_EXPECT_EQ(test, (__force unsigned int)seen->gfp, (__force unsigned int)gfp);
	KUNIT_EXPECT_TRUE(test, called_by(seen, "fails"));
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc_aligned(heap, SZ_1M, 4096, gfp));
	KUNIT_EXPECT_EQ(test, last_seen(test, w)->usable, 4096);
	expect_counts(test, w, 0, 0, 2);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->failures), 2);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, 64, GFP_KERNEL | __GFP_DMA));
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc_aligned(heap, 64, 3, GFP_KERNEL));
	expect_counts(test, w, 0, 0, 4);
}

/* Pools come and go, and it is said why. */
static void pools(struct kunit *test)
{
	void *mem = chaos_test_vmem(test, SZ_256K);
	struct witness *w = listen(test, NULL);
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, SZ_4M);
	size_t grown;
	void *p;

	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[GROW]), 1);
	KUNIT_EXPECT_EQ(test, w->seen[0].why, CHAOS_GROW_CREATE);
	KUNIT_EXPECT_EQ(test, w->seen[0].bytes, SZ_256K);
	w->heap = heap;
	p = chaos_heap_alloc(heap, SZ_1M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[GROW]), 2);
	KUNIT_EXPECT_EQ(test, w->seen[1].event, GROW);
	KUNIT_EXPECT_EQ(test, w->seen[1].why, CHAOS_GROW_REQUEST);
	grown = heap->pool_bytes - SZ_256K;
	KUNIT_EXPECT_EQ(test, w->seen[1].bytes, grown);
	chaos_heap_free(heap, p);
	chaos_test_collect(heap);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[SHRINK]), 1);
	KUNIT_EXPECT_EQ(test, last_seen(test, w)->bytes, grown);
	KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(heap, mem, SZ_256K), 0);
	KUNIT_EXPECT_EQ(test, last_seen(test, w)->why, CHAOS_GROW_CLIENT);
	chaos_test_destroy(test, heap);
}

/* The worker's pools are the worker's. */
static void worker(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_4M);
	struct witness *w = listen(test, heap);
	LLIST_HEAD(blocks);
	unsigned long end = jiffies + 10 * HZ;

	chaos_test_exhaust(heap, 4000, GFP_NOWAIT, &blocks);
	while (!atomic_read(&w->n[GROW]) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_GT(test, atomic_read(&w->n[GROW]), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(w->grown), CHAOS_GROW_WORKER);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
}

/* Is the heap as if nobody had ever listened? */
static bool fast(const struct chaos_heap *heap)
{
	bool mi = heap->theaps && !CHAOS_SAN_KMEMLEAK;

	return heap->fast_max && !chaos_is_watched(heap) && !heap->main_pool->size == !mi;
}

/*
 * The fast paths are open when nobody listens, closed while anybody does, to heaps that
 * are created meanwhile too, and the default heap.
 */
static void paths(struct kunit *test)
{
	struct chaos_heap *old = chaos_test_heap(test, SZ_256K, 0), *new;
	struct witness *w = chaos_test_buf(test, 1, sizeof(*w));
	void *p;

	KUNIT_ASSERT_TRUE(test, fast(old));
	KUNIT_ASSERT_EQ(test, register_trace_free(saw_free, w), 0);
	new = chaos_test_heap(test, SZ_256K, 0);
	KUNIT_EXPECT_FALSE(test, old->fast_max || !chaos_is_watched(old) || old->main_pool->size);
	KUNIT_EXPECT_FALSE(test, new->fast_max || !chaos_is_watched(new) || new->main_pool->size);
	KUNIT_ASSERT_EQ(test, register_trace_alloc(saw_alloc, w), 0);
	unregister_trace_free(saw_free, w);
	KUNIT_EXPECT_FALSE(test, new->fast_max);
	p = chaos_alloc(64, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[ALLOC]), 1);
	unregister_trace_alloc(saw_alloc, w);
	tracepoint_synchronize_unregister();
	chaos_free(p);
	KUNIT_EXPECT_TRUE(test, fast(old));
	KUNIT_EXPECT_TRUE(test, fast(new));
	chaos_heap_free(new, chaos_heap_alloc(new, 64, GFP_KERNEL));
	expect_counts(test, w, 1, 0, 0);
}

/* A hook closes the fast path as well, in whatever order. */
static void hooked(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	struct witness *w = chaos_test_buf(test, 1, sizeof(*w));
	struct chaos_test_heart heart = { };

	chaos_register_deferred_free(heap, chaos_test_beat, &heart);
	KUNIT_ASSERT_EQ(test, register_trace_alloc(saw_alloc, w), 0);
	chaos_register_deferred_free(heap, NULL, NULL);
	KUNIT_EXPECT_EQ(test, heap->fast_max, 0);
	chaos_register_deferred_free(heap, chaos_test_beat, &heart);
	unregister_trace_alloc(saw_alloc, w);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, heap->fast_max, 0);
	chaos_register_deferred_free(heap, NULL, NULL);
	KUNIT_EXPECT_NE(test, heap->fast_max, 0);
}

/* In an interrupt, too. */
static void call_pair(void *heap)
{
	chaos_heap_free(heap, chaos_heap_alloc(heap, 64, GFP_ATOMIC));
}

static void hardirq(struct kunit *test)
{
	struct chaos_test_place place = { .cpu = raw_smp_processor_id(), .hardirq = true };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	struct witness *w = listen(test, heap);

	KUNIT_ASSERT_EQ(test, chaos_test_at(&place, call_pair, heap), 0);
	expect_counts(test, w, 1, 1, 0);
}

/**
 * struct nmi_calls - what NMIs have done
 * @heap: which they use
 * @lent: blocks that are there for them to free
 * @allocs: blocks they got
 * @frees: blocks they freed
 * @real: they were NMIs
 */
struct nmi_calls {
	struct chaos_heap *heap;
	struct llist_head lent;
	int allocs;
	int frees;
	bool real;
};

static void nmi_calls(void *arg)
{
	struct nmi_calls *calls = arg;
	struct llist_node *node = llist_del_first(&calls->lent);
	void *p = chaos_heap_alloc(calls->heap, 64, GFP_ATOMIC | __GFP_NOWARN);

	calls->real |= in_nmi();
	calls->allocs += !!p;
	calls->frees += !!p + !!node;
	chaos_heap_free(calls->heap, p);
	chaos_heap_free(calls->heap, node);
}

#define NMI_BLOCKS	200

/* In NMIs, while the task is in the middle of calls; none is lost or seen twice. */
static void nmi(struct kunit *test)
{
	struct nmi_calls *calls = chaos_test_buf(test, 1, sizeof(*calls));
	struct chaos_test_nmi source = { .fn = nmi_calls, .arg = calls };
	unsigned long end;
	struct witness *w;
	int n, mine = 0;

	calls->heap = chaos_test_heap(test, SZ_1M, 0);
	w = listen(test, calls->heap);
	for (n = 0; n < NMI_BLOCKS; n++)
		llist_add(chaos_heap_alloc(calls->heap, 64, GFP_KERNEL), &calls->lent);
	chaos_test_bind(test);
	if (chaos_test_nmi_init(&source, 50))
		kunit_skip(test, "no NMIs here");
	chaos_test_nmi_start(&source);
	for (end = jiffies + HZ; time_before(jiffies, end); mine++)
		chaos_heap_free(calls->heap, chaos_heap_alloc(calls->heap, 64, GFP_KERNEL));
	chaos_test_nmi_stop(&source);
	chaos_test_nmi_exit(&source);
	if (!calls->real)
		kunit_skip(test, "no NMI came");
	for (n = NMI_BLOCKS; !llist_empty(&calls->lent); )
		chaos_heap_free(calls->heap, llist_del_first(&calls->lent)), mine++, n--;
	/* Of these, @n were the NMIs'. */
	KUNIT_EXPECT_GT(test, n, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[FREE]), mine + calls->frees);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->n[ALLOC]),
			mine - (NMI_BLOCKS - n) + NMI_BLOCKS + calls->allocs);
	chaos_test_idle(test, calls->heap, 0);
}

/* ---------------------------------- races --------------------------------- */

#define RACE_STEPS	(6000 / CHAOS_TEST_FEWER)
#define RACE_TURNS	(24 / min(CHAOS_TEST_FEWER, 4))

/**
 * struct race - calls, while listeners and heaps come and go
 * @mill: the calls
 * @tally: of each thread
 * @w: the listener
 * @heard: it has been there as often as it will
 * @bad: what must not be
 */
struct race {
	struct chaos_test_mill mill;
	struct chaos_test_tally tally[4];
	struct witness *w;
	bool heard;
	atomic_t bad;
};

static void race_listen(struct race *r)
{
	unsigned int i;

	for (i = 0; i < RACE_TURNS; i++) {
		atomic_add(!!register_trace_alloc(saw_alloc, r->w), &r->bad);
		atomic_add(!!register_trace_free(saw_free, r->w), &r->bad);
		schedule_timeout_uninterruptible(1);
		unregister_trace_alloc(saw_alloc, r->w);
		unregister_trace_free(saw_free, r->w);
	}
	tracepoint_synchronize_unregister();
	WRITE_ONCE(r->heard, true);
}

static void race_create(struct race *r)
{
	struct chaos_heap_params params = {
		.name = "raced", .pool_size = SZ_64K, .node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap;
	unsigned int i;

	for (i = 0; i < RACE_TURNS; i++) {
		params.allocator = chaos_test_engines[i % CHAOS_TEST_ENGINES].name;
		heap = chaos_heap_create(&params);
		if (IS_ERR(heap)) {
			atomic_inc(&r->bad);
			continue;
		}
		chaos_heap_free(heap, chaos_heap_alloc(heap, 64, GFP_KERNEL));
		atomic_add(chaos_test_live(heap), &r->bad);
		chaos_heap_destroy(heap);
	}
}

static void race_thread(struct chaos_test_thread *self)
{
	struct race *r = self->arg;
	unsigned int i;

	if (self->nr == 0)
		return race_listen(r);
	if (self->nr == 1)
		return race_create(r);
	prandom_seed_state(&r->tally[self->nr].rnd, self->nr);
	for (i = 0; i < RACE_STEPS || !READ_ONCE(r->heard); i++) {
		chaos_test_mill_step(&r->mill, &r->tally[self->nr], GFP_KERNEL);
		cond_resched();
	}
}

static void races(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_2M, SZ_8M);
	struct race *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_thread threads[4];
	unsigned int i;

	r->w = chaos_test_buf(test, 1, sizeof(*r->w));
	chaos_test_mill_init(test, &r->mill, heap, 100, 2000);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		threads[i] = (struct chaos_test_thread){
			.fn = race_thread, .arg = r, .cpu = -1,
		};
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, ARRAY_SIZE(threads)), 0);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&r->mill), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		KUNIT_EXPECT_EQ(test, r->tally[i].bad, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&r->bad), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&r->w->n[ALLOC]), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&r->w->n[FREE]), 0);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case trace_cases[] = {
	CHAOS_CASE(fields),
	CHAOS_CASE(fields_hardened),
	CHAOS_CASE(nothing),
	CHAOS_CASE(accounts),
	CHAOS_CASE(bulk),
	CHAOS_CASE(fails),
	CHAOS_CASE(pools),
	CHAOS_CASE(worker),
	CHAOS_CASE(paths),
	CHAOS_CASE(hooked),
	CHAOS_CASE(hardirq),
	CHAOS_CASE(nmi),
	CHAOS_CASE(races),
	{}
};

static struct kunit_suite trace_suite = {
	.name = "chaos_trace",
	.test_cases = trace_cases,
};

kunit_test_suites(&trace_suite);
