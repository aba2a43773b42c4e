// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_engine: what tlsf and evl promise to the heap around them (engine.h)
 * and no function of the API shows by itself: pools that come and go, figures,
 * and bulk operations.
 *
 * The heaps are made by hand, so that nothing else grows or tidies them up.  This
 * file is not instrumented by KASAN: it uses blocks without the API, which is
 * what tells KASAN of them.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "common.h"
#include "engine.h"
#include "lock.h"

#define RIG_POOLS	3
#define RIG_BLOCKS	1024

/**
 * struct rig - a heap without a life of its own
 * @heap: the heap
 * @engine: its engine
 * @mem: memory of its pools
 * @pool: the pools, each twice as large as the one before
 * @added: which of them the heap has
 * @block: room for pointers to all blocks
 * @rnd: random numbers
 */
struct rig {
	struct chaos_heap heap;
	const struct chaos_engine *engine;
	void *mem;
	struct chaos_pool pool[RIG_POOLS];
	bool added[RIG_POOLS];
	void *block[RIG_BLOCKS];
	struct rnd_state rnd;
};

static const struct chaos_test_engine rig_engines[] = {
	{ .name = "tlsf" },
	{ .name = "evl", .natural = true },
};

KUNIT_ARRAY_PARAM(rig, rig_engines, chaos_test_engine_desc);

#define RIG_CASE(fn)	KUNIT_CASE_PARAM(fn, rig_gen_params)

static int rig_add(struct rig *rig, unsigned int i)
{
	struct chaos_pool *pool = &rig->pool[i];
	int err;

	*pool = (struct chaos_pool){
		.start = (unsigned long)rig->mem + ((1UL << i) - 1) * SZ_64K,
		.size = SZ_64K << i,
		.heap = &rig->heap,
		.nid = NUMA_NO_NODE,
	};
	err = rig->engine->add_pool(&rig->heap, pool);
	if (err)
		return err;
	list_add_tail(&pool->node, &rig->heap.pools);
	rig->added[i] = true;
	return 0;
}

/* What the heap does once a pool has been released. */
static void rig_remove(struct rig *rig, unsigned int i)
{
	struct chaos_pool *pool = &rig->pool[i];

	list_del(&pool->node);
	chaos_pool_withdraw(pool);
	synchronize_rcu();
	rig->engine->remove_pool(&rig->heap, pool);
	rig->added[i] = false;
}

static bool rig_release(struct rig *rig, unsigned int i)
{
	return rig->engine->release_pool(&rig->heap, &rig->pool[i]);
}

static size_t rig_used(struct rig *rig, unsigned int i)
{
	return rig->engine->pool_used(&rig->heap, &rig->pool[i]);
}

static void rig_exit(void *arg)
{
	struct rig *rig = arg;
	unsigned int i;

	for (i = 0; i < RIG_POOLS; i++) {
		if (rig->added[i])
			rig_remove(rig, i);
	}
	rig->engine->exit(&rig->heap);
}

/* With @pools of the pools in it. */
static struct rig *rig_new(struct kunit *test, unsigned int pools)
{
	struct rig *rig = chaos_test_buf(test, 1, sizeof(*rig));
	unsigned int i;

	rig->engine = chaos_test_heap(test, SZ_64K, 0)->engine;
	rig->mem = PTR_ALIGN(chaos_test_vmem(test, SZ_64K << RIG_POOLS), SZ_64K);
	rig->heap.engine = rig->engine;
	rig->heap.low_mark = SIZE_MAX;
	rig->heap.node = NUMA_NO_NODE;
	INIT_LIST_HEAD(&rig->heap.pools);
	strscpy(rig->heap.name, "rig", sizeof(rig->heap.name));
	prandom_seed_state(&rig->rnd, 3);
	KUNIT_ASSERT_EQ(test, rig->engine->init(&rig->heap), 0);
	chaos_test_defer(test, rig_exit, rig);
	for (i = 0; i < pools; i++)
		KUNIT_ASSERT_EQ(test, rig_add(rig, i), 0);
	return rig;
}

static void *rig_alloc(struct rig *rig, size_t size)
{
	void *p;

	preempt_disable();
	p = rig->engine->alloc(&rig->heap, size, CHAOS_MIN_ALIGN);
	preempt_enable();
	return p;
}

/* Any number, as chaos_alloc_bulk() has them done: in batches. */
static size_t rig_alloc_bulk(struct rig *rig, size_t size, size_t n, void **p)
{
	size_t done = 0, batch, got;

	do {
		batch = min_t(size_t, n - done, CHAOS_BULK_BATCH);
		preempt_disable();
		got = rig->engine->alloc_bulk(&rig->heap, size, batch, p + done);
		preempt_enable();
		done += got;
	} while (got == batch && done < n);
	return done;
}

static size_t rig_free_bulk(struct rig *rig, size_t n, void **p,
			    enum chaos_verdict *verdict)
{
	size_t done = 0, batch, freed;

	do {
		batch = min_t(size_t, n - done, CHAOS_BULK_BATCH);
		preempt_disable();
		freed = rig->engine->free_bulk(&rig->heap, batch, p + done, verdict);
		preempt_enable();
		done += freed;
	} while (freed == batch && done < n);
	return done;
}

static bool rig_in(const struct rig *rig, unsigned int i, const void *p)
{
	return (unsigned long)p - rig->pool[i].start < rig->pool[i].size;
}

/* memchr_inv() is seen into by KASAN. */
static bool rig_only(const u8 *p, u8 key, size_t size)
{
	for (; size && *p == key; size--)
		p++;
	return !size;
}

/* As ints, for messages. */
static int rig_free(struct rig *rig, void *p)
{
	struct chaos_pool *pool;
	int verdict = CHAOS_FOREIGN;

	preempt_disable();
	pool = chaos_pool_of(p);
	if (pool)
		verdict = rig->engine->free(&rig->heap, pool, p);
	preempt_enable();
	return verdict;
}

static int rig_query(struct rig *rig, unsigned int i, const void *p)
{
	struct chaos_block block;
	int verdict;

	preempt_disable();
	verdict = rig->engine->query(&rig->heap, &rig->pool[i], p, &block);
	preempt_enable();
	return verdict;
}

/* Take all there is, in blocks of @size; how many. */
static unsigned int rig_exhaust(struct rig *rig, size_t size)
{
	unsigned int n = 0;

	while (n < RIG_BLOCKS) {
		rig->block[n] = rig_alloc(rig, size);
		if (!rig->block[n])
			break;
		memset(rig->block[n++], 0x5a, size);
	}
	return n;
}

static void rig_shuffle(struct rig *rig, unsigned int n)
{
	unsigned int i, k;

	for (i = n; i > 1; i--) {
		k = chaos_test_below(&rig->rnd, i);
		swap(rig->block[i - 1], rig->block[k]);
	}
}

/* Free the first @n blocks; how many could not be. */
static unsigned int rig_free_all(struct rig *rig, unsigned int n)
{
	unsigned int bad = 0;

	while (n--)
		bad += rig_free(rig, rig->block[n]) != CHAOS_OK;
	return bad;
}

static size_t rig_held(struct rig *rig)
{
	return atomic_long_read(&rig->heap.held);
}

static void rig_sound(struct kunit *test, struct rig *rig)
{
	KUNIT_EXPECT_EQ(test, rig->engine->check(&rig->heap), 0);
}

/* A heap that holds nothing, after a collection. */
static void rig_idle(struct kunit *test, struct rig *rig)
{
	rig->engine->collect(&rig->heap, true);
	KUNIT_EXPECT_EQ(test, rig_held(rig), 0);
	rig_sound(test, rig);
}

/* What of a pool is taken adds up; one block is enough to keep it. */
static void release_refused(struct kunit *test)
{
	struct rig *rig = rig_new(test, 2);
	unsigned int n, i, in[2] = { 0 };
	void *last = NULL;

	KUNIT_EXPECT_EQ(test, rig_used(rig, 0) + rig_used(rig, 1), 0);
	n = rig_exhaust(rig, 1000);
	KUNIT_ASSERT_LT(test, n, RIG_BLOCKS);
	for (i = 0; i < n; i++) {
		in[0] += rig_in(rig, 0, rig->block[i]);
		in[1] += rig_in(rig, 1, rig->block[i]);
	}
	KUNIT_EXPECT_EQ(test, in[0] + in[1], n);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_GE(test, rig_used(rig, i), in[i] * 1000);
		KUNIT_EXPECT_LE(test, rig_used(rig, i), rig->pool[i].size);
		KUNIT_EXPECT_FALSE(test, rig_release(rig, i));
	}
	KUNIT_EXPECT_EQ(test, rig_used(rig, 0) + rig_used(rig, 1), rig_held(rig));

	/* All but one of those in the second pool. */
	rig_shuffle(rig, n);
	for (i = 0; i < n; i++) {
		if (!last && rig_in(rig, 1, rig->block[i]))
			last = rig->block[i];
		else
			KUNIT_EXPECT_EQ(test, rig_free(rig, rig->block[i]),
					CHAOS_OK);
	}
	KUNIT_ASSERT_NOT_NULL(test, last);
	KUNIT_EXPECT_FALSE(test, rig_release(rig, 1));
	KUNIT_EXPECT_EQ(test, rig_used(rig, 0), 0);
	/* What is kept is held, but not used. */
	KUNIT_EXPECT_LE(test, rig_used(rig, 1), rig_held(rig));
	rig->engine->collect(&rig->heap, true);
	KUNIT_EXPECT_EQ(test, rig_used(rig, 1), rig_held(rig));
	KUNIT_EXPECT_TRUE(test, rig_only(last, 0x5a, 1000));
	KUNIT_EXPECT_EQ(test, rig_query(rig, 1, last), CHAOS_OK);
	rig_sound(test, rig);

	KUNIT_EXPECT_EQ(test, rig_free(rig, last), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, rig_used(rig, 1), 0);
	KUNIT_EXPECT_TRUE(test, rig_release(rig, 1));
	KUNIT_EXPECT_FALSE(test, rig_release(rig, 1));
	rig_idle(test, rig);
}

/* Pages that are kept for the next block do not keep a pool. */
static void release_spares(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1);
	size_t size;

	for (size = 1; size <= 256; size *= 2) {
		rig->block[0] = rig_alloc(rig, size);
		KUNIT_ASSERT_NOT_NULL(test, rig->block[0]);
		KUNIT_EXPECT_GT(test, rig_used(rig, 0), 0);
		KUNIT_EXPECT_EQ(test, rig_free_all(rig, 1), 0);
		KUNIT_EXPECT_EQ(test, rig_used(rig, 0), 0);
	}
	KUNIT_EXPECT_TRUE(test, rig_release(rig, 0));
	KUNIT_EXPECT_EQ(test, rig_held(rig), 0);
	KUNIT_EXPECT_NULL(test, rig_alloc(rig, 1));
	rig_sound(test, rig);
}

static bool count_visit(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	++*(size_t *)arg;
	return true;
}

/* Whatever is asked for, a released pool has no part in it. */
static void released_is_gone(struct kunit *test)
{
	static const size_t sizes[] = { 1, 16, 100, 256, 300, 1000, 5000, 60000 };
	struct rig *rig = rig_new(test, 3);
	unsigned int n, i, k, outside = 0;
	size_t visits;
	u8 *gone;

	/* Every part of it has been in use. */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		n = rig_exhaust(rig, sizes[i]);
		rig_shuffle(rig, n);
		KUNIT_EXPECT_EQ(test, rig_free_all(rig, n), 0);
	}
	gone = (u8 *)rig->pool[1].start;
	KUNIT_ASSERT_TRUE(test, rig_release(rig, 1));
	memset(gone, 0xa5, rig->pool[1].size);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		n = rig_exhaust(rig, sizes[i]);
		KUNIT_EXPECT_GT(test, n, 0);
		for (k = 0; k < n; k++)
			outside += !rig_in(rig, 0, rig->block[k]) &&
				   !rig_in(rig, 2, rig->block[k]);
		visits = 0;
		KUNIT_EXPECT_EQ(test, rig->engine->walk(&rig->heap, NULL, count_visit,
							&visits), 0);
		KUNIT_EXPECT_EQ(test, visits, n);
		rig_sound(test, rig);
		rig_shuffle(rig, n);
		KUNIT_EXPECT_EQ(test, rig_free_all(rig, n), 0);
	}
	KUNIT_EXPECT_EQ(test, outside, 0);
	/* Those who come too late find nothing. */
	for (i = 0; i < rig->pool[1].size; i += 8)
		outside += rig_query(rig, 1, gone + i) == CHAOS_OK ||
			   rig_free(rig, gone + i) == CHAOS_OK;
	KUNIT_EXPECT_EQ(test, outside, 0);
	KUNIT_EXPECT_TRUE(test, rig_only(gone, 0xa5, rig->pool[1].size));

	rig_remove(rig, 1);
	KUNIT_EXPECT_TRUE(test, rig_only(gone, 0xa5, SZ_128K));
	KUNIT_EXPECT_EQ(test, rig_free(rig, gone), CHAOS_FOREIGN);
	rig_idle(test, rig);
}

/* Pools come and go; the heap is the same in the end. */
static void release_cycles(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1);
	unsigned int turn, n, i, bad = 0, refused = 0;
	unsigned int before, with = 0;
	size_t meta = 0;

	before = rig_exhaust(rig, 500);
	KUNIT_EXPECT_EQ(test, rig_free_all(rig, before), 0);
	for (turn = 0; turn < 60; turn++) {
		unsigned int which = 1 + turn % 2;

		memset((void *)rig->mem + ((1UL << which) - 1) * SZ_64K,
		       turn, SZ_64K << which);
		KUNIT_ASSERT_EQ(test, rig_add(rig, which), 0);
		if (turn < 2)
			meta += rig->pool[which].meta_size;
		for (n = 0; n < RIG_BLOCKS; n++) {
			rig->block[n] = rig_alloc(rig, chaos_test_size(&rig->rnd,
								       8000));
			if (!rig->block[n])
				break;
		}
		rig_sound(test, rig);
		rig_shuffle(rig, n);
		for (i = 0; i < n; i++) {
			bad += rig_free(rig, rig->block[i]) != CHAOS_OK;
			/* Now and then, in case it is the last one there. */
			if (rig_used(rig, which))
				refused += !rig_release(rig, which);
			else
				break;
		}
		KUNIT_ASSERT_TRUE(test, rig_release(rig, which));
		for (i++; i < n; i++)
			bad += rig_free(rig, rig->block[i]) != CHAOS_OK;
		rig_sound(test, rig);
		rig_remove(rig, which);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_GT(test, refused, 0);
	KUNIT_EXPECT_GT(test, meta, 0);
	with = rig_exhaust(rig, 500);
	KUNIT_EXPECT_EQ(test, with, before);
	KUNIT_EXPECT_EQ(test, rig_free_all(rig, with), 0);
	rig_idle(test, rig);
}

#define STORM_THREADS	2
#define STORM_SLOTS	8
#define STORM_PAUSE	64	/* steps until a thread has nothing for once */

/**
 * struct storm - threads that allocate and free while pools come and go
 * @rig: the heap
 * @stop: they shall end
 * @bad: what went wrong
 */
struct storm {
	struct rig *rig;
	bool stop;
	atomic_t bad;
};

struct storm_slot {
	void *p;
	size_t size;
};

static void storm_get(struct storm *storm, struct storm_slot *slot, u8 key,
		      size_t size)
{
	slot->size = size;
	slot->p = rig_alloc(storm->rig, size);
	if (slot->p)
		memset(slot->p, key, size);
}

static void storm_put(struct storm *storm, struct storm_slot *slot, u8 key)
{
	if (!slot->p)
		return;
	if (!rig_only(slot->p, key, slot->size) ||
	    rig_free(storm->rig, slot->p) != CHAOS_OK)
		atomic_inc(&storm->bad);
	slot->p = NULL;
}

static void storm_thread(struct chaos_test_thread *self)
{
	struct storm_slot slot[STORM_SLOTS] = {};
	struct storm *storm = self->arg;
	unsigned int step, i;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, self->nr);
	for (step = 1; !READ_ONCE(storm->stop); step++) {
		i = chaos_test_below(&rnd, STORM_SLOTS);
		storm_put(storm, &slot[i], self->nr);
		if (step % STORM_PAUSE)
			storm_get(storm, &slot[i], self->nr,
				  chaos_test_size(&rnd, 30000));
		else
			for (i = 0; i < STORM_SLOTS; i++)
				storm_put(storm, &slot[i], self->nr);
		cond_resched();
	}
	for (i = 0; i < STORM_SLOTS; i++)
		storm_put(storm, &slot[i], self->nr);
}

/* Release the pools as often as possible; what is gone is nobody's. */
static void storm_release(struct storm *storm, unsigned int turns)
{
	unsigned long end = jiffies + 120 * HZ;
	struct rig *rig = storm->rig;
	unsigned int i = 0;
	u8 *mem;

	while (turns && time_before(jiffies, end)) {
		i = i == 1 ? 2 : 1;
		cond_resched();
		if (!rig_release(rig, i))
			continue;
		mem = (u8 *)rig->pool[i].start;
		memset(mem, 0xee, SZ_64K << i);
		rig_remove(rig, i);
		if (!rig_only(mem, 0xee, SZ_64K << i) || rig_add(rig, i))
			atomic_inc(&storm->bad);
		turns--;
	}
	if (turns)
		atomic_inc(&storm->bad);
}

static void storm_tidier(struct chaos_test_thread *self)
{
	struct storm *storm = self->arg;

	storm_release(storm, 20);
	WRITE_ONCE(storm->stop, true);
}

static void release_under_load(struct kunit *test)
{
	struct chaos_test_thread threads[STORM_THREADS + 1] = {};
	struct rig *rig = rig_new(test, 3);
	struct storm storm = { .rig = rig };
	unsigned int i;

	for (i = 0; i <= STORM_THREADS; i++) {
		threads[i].fn = i ? storm_thread : storm_tidier;
		threads[i].arg = &storm;
		threads[i].nr = i;
		threads[i].cpu = -1;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, ARRAY_SIZE(threads)), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&storm.bad), 0);
	rig_idle(test, rig);
}

static struct chaos_heap_stats rig_stats(struct rig *rig)
{
	struct chaos_heap_stats stats = { 0 };

	rig->engine->stats(&rig->heap, &stats);
	return stats;
}

/* Counted whether they come one by one or in bulk; refused ones never. */
static void stats_exact(struct kunit *test)
{
	struct rig *rig = rig_new(test, 2);
	struct chaos_heap_stats s;
	enum chaos_verdict verdict;
	struct chaos_block block;
	size_t usable = 0;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		rig->block[i] = rig_alloc(rig, 1 + 13 * i);
		KUNIT_ASSERT_NOT_NULL(test, rig->block[i]);
		preempt_disable();
		rig->engine->query(&rig->heap, chaos_pool_of(rig->block[i]),
				   rig->block[i], &block);
		preempt_enable();
		usable += block.size;
	}
	s = rig_stats(rig);
	KUNIT_EXPECT_EQ(test, s.allocs, 100);
	KUNIT_EXPECT_EQ(test, s.local_frees, 0);
	KUNIT_EXPECT_EQ(test, s.live_blocks, 100);
	KUNIT_EXPECT_EQ(test, s.live_bytes, usable);
	KUNIT_EXPECT_EQ(test, s.foreign_frees, 0);

	KUNIT_EXPECT_EQ(test, rig_alloc_bulk(rig, 40, 100, rig->block + 100), 100);
	KUNIT_EXPECT_NULL(test, rig_alloc(rig, SZ_1M));
	KUNIT_EXPECT_EQ(test, rig_alloc_bulk(rig, SZ_1M, 5, rig->block + 200), 0);
	KUNIT_EXPECT_EQ(test, rig_free(rig, rig->block[7]), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, rig_free(rig, rig->block[7]), CHAOS_FREED);
	KUNIT_EXPECT_NE(test, rig_free(rig, rig->block[8] + 1), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, rig_free_bulk(rig, 150, rig->block + 50, &verdict),
			150);
	s = rig_stats(rig);
	KUNIT_EXPECT_EQ(test, s.allocs, 200);
	KUNIT_EXPECT_EQ(test, s.local_frees, 151);
	KUNIT_EXPECT_EQ(test, s.live_blocks, 49);
	KUNIT_EXPECT_EQ(test, rig_free_bulk(rig, 7, rig->block, &verdict), 7);
	KUNIT_EXPECT_EQ(test, rig_free_bulk(rig, 42, rig->block + 8, &verdict), 42);
	s = rig_stats(rig);
	KUNIT_EXPECT_EQ(test, s.local_frees, 200);
	KUNIT_EXPECT_EQ(test, s.live_blocks, 0);
	KUNIT_EXPECT_EQ(test, s.live_bytes, 0);
	rig_idle(test, rig);
}

/* The classes, if there are any, add up to the whole. */
static void class_stats_add_up(struct kunit *test)
{
	struct rig *rig = rig_new(test, 3);
	struct chaos_class_stats *class, sum = { 0 };
	struct chaos_heap_stats s;
	size_t n, i, again;
	unsigned int k;

	for (k = 0; k < 200; k++) {
		rig->block[k] = rig_alloc(rig, chaos_test_size(&rig->rnd, 2000));
		KUNIT_ASSERT_NOT_NULL(test, rig->block[k]);
	}
	rig_shuffle(rig, 200);
	KUNIT_EXPECT_EQ(test, rig_free_all(rig, 90), 0);

	if (!rig->engine->class_stats) {
		KUNIT_EXPECT_STREQ(test, rig->engine->name, "tlsf");
		return;
	}
	n = rig->engine->class_stats(&rig->heap, NULL, 0);
	KUNIT_ASSERT_GT(test, n, 1);
	class = chaos_test_buf(test, n + 1, sizeof(*class));
	/* No more than there is room for. */
	memset(class, 0xff, (n + 1) * sizeof(*class));
	again = rig->engine->class_stats(&rig->heap, class, n - 1);
	KUNIT_EXPECT_EQ(test, again, n);
	KUNIT_EXPECT_EQ(test, class[n - 1].pages, SIZE_MAX);
	again = rig->engine->class_stats(&rig->heap, class, n + 1);
	KUNIT_EXPECT_EQ(test, again, n);
	KUNIT_EXPECT_EQ(test, class[n].pages, SIZE_MAX);

	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_EQ(test, class[i].allocs,
				class[i].local_frees + class[i].live_blocks);
		KUNIT_EXPECT_LE(test, class[i].live_bytes, class[i].page_bytes);
		KUNIT_EXPECT_LE(test, class[i].pages, class[i].peak_pages);
		if (i < n - 1)
			KUNIT_EXPECT_EQ(test, class[i].live_bytes,
					class[i].live_blocks * class[i].block_size);
		if (i > 0 && i < n - 1)
			KUNIT_EXPECT_GT(test, class[i].block_size,
					class[i - 1].block_size);
		sum.allocs += class[i].allocs;
		sum.local_frees += class[i].local_frees;
		sum.live_blocks += class[i].live_blocks;
		sum.live_bytes += class[i].live_bytes;
		sum.page_bytes += class[i].page_bytes;
	}
	KUNIT_EXPECT_EQ(test, class[n - 1].block_size, 0);
	s = rig_stats(rig);
	KUNIT_EXPECT_EQ(test, sum.allocs, 200);
	KUNIT_EXPECT_EQ(test, sum.local_frees, 90);
	KUNIT_EXPECT_EQ(test, sum.live_blocks, s.live_blocks);
	KUNIT_EXPECT_EQ(test, sum.live_bytes, s.live_bytes);
	KUNIT_EXPECT_EQ(test, sum.page_bytes, rig_held(rig));
}

/* More than one turn of the lock, and as much as there is. */
static void bulk_alloc(struct kunit *test)
{
	static const size_t counts[] = {
		1, CHAOS_BULK_BATCH - 1, CHAOS_BULK_BATCH, CHAOS_BULK_BATCH + 1,
		3 * CHAOS_BULK_BATCH + 5,
	};
	static const size_t sizes[] = { 1, 24, 256, 257, 1000 };
	struct rig *rig = rig_new(test, 3);
	unsigned int i, k, n, bad, one_by_one;
	enum chaos_verdict verdict;
	size_t got, freed;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (k = 0; k < ARRAY_SIZE(counts); k++) {
			got = rig_alloc_bulk(rig, sizes[i], counts[k],
					     rig->block);
			KUNIT_ASSERT_EQ(test, got, counts[k]);
			for (n = 0; n < got; n++)
				memset(rig->block[n], n, sizes[i]);
			for (n = 0, bad = 0; n < got; n++)
				bad += !rig_only(rig->block[n], n, sizes[i]);
			KUNIT_EXPECT_EQ(test, bad, 0);
			rig_sound(test, rig);
			rig_shuffle(rig, got);
			verdict = CHAOS_CORRUPT;
			freed = rig_free_bulk(rig, got, rig->block, &verdict);
			KUNIT_EXPECT_EQ(test, freed, got);
			KUNIT_EXPECT_EQ(test, verdict, CHAOS_OK);
		}
	}
	rig_idle(test, rig);

	/* All there is, from all pools. */
	one_by_one = rig_exhaust(rig, 1000);
	KUNIT_EXPECT_EQ(test, rig_free_all(rig, one_by_one), 0);
	got = rig_alloc_bulk(rig, 1000, RIG_BLOCKS, rig->block);
	KUNIT_EXPECT_EQ(test, got, one_by_one);
	KUNIT_EXPECT_NULL(test, rig_alloc(rig, 1000));
	rig_sound(test, rig);
	KUNIT_EXPECT_EQ(test, rig_free_bulk(rig, got, rig->block, &verdict), got);
	KUNIT_EXPECT_EQ(test, rig_alloc_bulk(rig, SIZE_MAX / 4, 3, rig->block), 0);
	rig_idle(test, rig);
}

/* Wrong pointers stop it where they are, each for its reason. */
static void bulk_free_refused(struct kunit *test)
{
	struct rig *rig = rig_new(test, 2);
	struct chaos_heap *other = chaos_test_heap(test, SZ_64K, 0);
	void *alien = chaos_heap_alloc(other, 100, GFP_KERNEL);
	static const unsigned int at[] = { 0, 1, 31, 32, 33, 99 };
	enum chaos_verdict verdict;
	void *good, *again;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, alien);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		struct { void *p; enum chaos_verdict verdict; } wrong[] = {
			{ rig, CHAOS_FOREIGN },
			{ alien, CHAOS_OTHER_HEAP },
			{ NULL, CHAOS_INTERIOR },
			{ NULL, CHAOS_FREED },
		};
		unsigned int k;

		for (k = 0; k < ARRAY_SIZE(wrong); k++) {
			KUNIT_ASSERT_EQ(test, rig_alloc_bulk(rig, 600, 100,
							     rig->block), 100);
			good = rig->block[at[i]];
			wrong[2].p = good + 8;
			/* A block of its own: not one that others merge with. */
			again = rig_alloc(rig, 600);
			KUNIT_ASSERT_NOT_NULL(test, again);
			KUNIT_EXPECT_EQ(test, rig_free(rig, again), CHAOS_OK);
			wrong[3].p = again;
			rig->block[at[i]] = wrong[k].p;
			KUNIT_EXPECT_EQ(test, rig_free_bulk(rig, 100, rig->block,
							    &verdict), at[i]);
			KUNIT_EXPECT_EQ(test, verdict, wrong[k].verdict);
			rig_sound(test, rig);
			rig->block[at[i]] = good;
			KUNIT_EXPECT_EQ(test, rig_free_bulk(rig, 100 - at[i],
							    rig->block + at[i],
							    &verdict),
					100 - at[i]);
			KUNIT_EXPECT_EQ(test, verdict, CHAOS_OK);
		}
	}
	rig_idle(test, rig);
	chaos_heap_free(other, alien);
	chaos_test_idle(test, other, 0);
}

static struct kunit_case engine_cases[] = {
	RIG_CASE(release_refused),
	RIG_CASE(release_spares),
	RIG_CASE(released_is_gone),
	RIG_CASE(release_cycles),
	RIG_CASE(release_under_load),
	RIG_CASE(stats_exact),
	RIG_CASE(class_stats_add_up),
	RIG_CASE(bulk_alloc),
	RIG_CASE(bulk_free_refused),
	{}
};

static struct kunit_suite engine_suite = {
	.name = "chaos_engine",
	.test_cases = engine_cases,
};

kunit_test_suites(&engine_suite);
