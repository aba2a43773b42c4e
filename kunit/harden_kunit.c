// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_harden: heaps at hardening level 2 are attacked.  What was written
 * past the end of a block is reported once, what was freed is poisoned, and the
 * heap can be used on.  The defences of mimalloc's free lists are attacked in
 * mi_kunit.c.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/poison.h>
#include <linux/string.h>

#include "common.h"
#include "harden.h"

CHAOS_TEST_ENGINE_PARAM();

#define OVERRUN	"written past its end"

/* Bytes behind the requested size that are the heap's in every block. */
#define TRAILER	16

static const size_t sizes[] = {
	1, 7, 8, 9, 16, 24, 60, 64, 100, 128, 500, 512, 1000, 1024, 3000, 4096,
	5000, 8192, 20000, 70000, 300000, 1100000,
};

static struct chaos_heap *heap_at(struct kunit *test, enum chaos_hardening level,
				  size_t pool_size)
{
	return chaos_test_heap_at(test, pool_size, level, CHAOS_TRACK_DEFAULT);
}

static struct chaos_heap *hard_heap(struct kunit *test)
{
	return heap_at(test, CHAOS_HARDENING_2, SZ_16M);
}

/* The attack.  KASAN would report it, too, and is kept from doing so. */
static noinline __no_sanitize_address void spoil(void *p, size_t offset, u8 bits)
{
	u8 *byte = p;

	OPTIMIZER_HIDE_VAR(byte);
	byte[offset] ^= bits;
}

static noinline __no_sanitize_address size_t count_bytes(const void *p, size_t size,
							 u8 value)
{
	const u8 *bytes = p;
	size_t i, n = 0;

	OPTIMIZER_HIDE_VAR(bytes);
	for (i = 0; i < size; i++)
		n += READ_ONCE(bytes[i]) == value;
	return n;
}

/* A live block, filled, or the test ends. */
static void *block_of(struct kunit *test, struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_alloc(heap, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", size);
	chaos_test_fill(p, size, size);
	return p;
}

/* The rate limit may have swallowed it: attack again until the log has it. */
static void expect_logged(struct kunit *test, struct chaos_heap *heap,
			  void (*attack)(struct kunit *test, struct chaos_heap *heap),
			  const char *text)
{
	struct kmsg_dump_iter log;
	unsigned int tries;
	size_t lines = 0;

	if (!IS_ENABLED(CONFIG_PRINTK))
		return;
	chaos_test_log_start(&log);
	for (tries = 0; !lines && tries < 400; tries++) {
		if (tries)
			msleep(50);
		attack(test, heap);
		lines = chaos_test_log_lines(&log, text);
	}
	KUNIT_EXPECT_GE_MSG(test, lines, 1, "\"%s\"", text);
}

/* ---------------------------------- canaries ------------------------------ */

/* Each byte behind the block, changed in one bit; one report each. */
static void overrun(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	unsigned long bad = 0;
	size_t i, offset;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (offset = 0; offset < TRAILER; offset++) {
			void *p = block_of(test, heap, sizes[i]);

			spoil(p, sizes[i] + offset, BIT(offset % 8));
			chaos_heap_free(heap, p);
			KUNIT_EXPECT_EQ_MSG(test, chaos_test_bad_frees(heap),
					    ++bad, "%zu bytes, + %zu", sizes[i],
					    offset);
		}
	}
	chaos_test_idle(test, heap, bad);
}

/* To write all that may be written is no attack. */
static void no_overrun(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	size_t i, errors = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = block_of(test, heap, sizes[i]);

		chaos_test_fill(p, sizes[i], -1);
		KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
		errors += !chaos_test_filled(p, sizes[i], -1);
		chaos_heap_free(heap, p);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static noinline void attack_overrun(struct kunit *test, struct chaos_heap *heap)
{
	void *p = block_of(test, heap, 100);

	spoil(p, 100, 1);
	chaos_heap_free(heap, p);
	barrier();	/* neither inlined nor a tail call: the report names it */
}

static noinline void attack_twice(struct kunit *test, struct chaos_heap *heap)
{
	void *p = block_of(test, heap, 100);

	chaos_heap_free(heap, p);
	OPTIMIZER_HIDE_VAR(p);
	chaos_heap_free(heap, p);
}

static void reports(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);

	expect_logged(test, heap, attack_overrun, OVERRUN);
	expect_logged(test, heap, attack_twice, "already freed");
	if (IS_ENABLED(CONFIG_KALLSYMS) && CHAOS_TEST_NAMES_CALLER)
		expect_logged(test, heap, attack_overrun, "attack_overrun+");
	chaos_test_idle(test, heap, chaos_test_bad_frees(heap));
}

static void overrun_found_by_realloc(struct kunit *test)
{
	static const size_t to[] = { 90, 101, 5000, 100 };
	const size_t from = 100;
	struct chaos_heap *heap = hard_heap(test);
	unsigned long bad = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(to); i++) {
		void *p = block_of(test, heap, from), *q;

		spoil(p, 105, 0x10);
		q = chaos_heap_realloc(heap, p, to[i], GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, q);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(q, min(to[i], from), from));
		KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), ++bad);
		KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(heap, q), to[i]);
		/* It has been mended. */
		chaos_test_sound(test, heap);
		chaos_heap_free(heap, q);
		KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), bad);
	}
	chaos_test_idle(test, heap, bad);
}

static void overrun_found_by_check(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	struct kmsg_dump_iter log;
	void *p[3];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = block_of(test, heap, 200);
	chaos_test_sound(test, heap);
	chaos_test_log_start(&log);
	spoil(p[1], 200, 0x80);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, OVERRUN), 1);
	/* A check changes nothing. */
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 0);
	chaos_heap_free(heap, p[1]);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	chaos_test_sound(test, heap);
	chaos_heap_free(heap, p[0]);
	chaos_heap_free(heap, p[2]);
	chaos_test_idle(test, heap, 1);
}

static noinline __no_sanitize_address void copy_raw(void *to, const void *from,
						    size_t size)
{
	const u8 *source = from;
	u8 *target = to;
	size_t i;

	for (i = 0; i < size; i++)
		WRITE_ONCE(target[i], READ_ONCE(source[i]));
}

/* The canary of one block is wrong for any other of the same size. */
static void canary_copied(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	/* With the trailer, a size that no engine rounds up. */
	void *a = block_of(test, heap, 48), *b = block_of(test, heap, 48);

	copy_raw(b + 48, a + 48, TRAILER);
	chaos_heap_free(heap, b);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	chaos_heap_free(heap, a);
	chaos_test_idle(test, heap, 1);
}

/* ----------------------------------- poison ------------------------------- */

/* No engine has more than this in a free block. */
#define WORDS	(16 * sizeof(u64))

/* Of a block full of @fill, so many bytes are still that after a free. */
static size_t bytes_left(struct kunit *test, struct chaos_heap *heap, size_t size, u8 fill)
{
	u8 *p = block_of(test, heap, size);

	memset(p, fill, size);
	chaos_heap_free(heap, p);
	if (size > WORDS)
		KUNIT_EXPECT_GE_MSG(test, count_bytes(p, size, POISON_FREE),
				    size - WORDS, "%zu bytes", size);
	return count_bytes(p, size, fill);
}

/*
 * The memory is the pool's, and stays.  Engines keep some words in it: links, the
 * nodes of a tree, and what marks the end.  A byte of a link may be @fill by chance,
 * and is again when the same block is freed in the same place; but then it is no other.
 */
static void poison(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	size_t i, turn, turns, left, limit;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		turns = sizes[i] <= WORDS ? 16 : 1;
		limit = turns * min(sizes[i], 2 * sizeof(u64)) / 2;
		for (left = 0, turn = 0; turn < turns; turn++)
			left += bytes_left(test, heap, sizes[i], turn % 2 ? 0x3c : 0xc3);
		KUNIT_EXPECT_LE_MSG(test, left, limit, "%zu bytes", sizes[i]);
	}
	chaos_test_idle(test, heap, 0);
}

/* What is no live block is not written to. */
static void only_live_is_touched(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test), *other = hard_heap(test);
	u64 outside[32];
	unsigned long bad = 0;
	size_t i, errors = 0;

	chaos_test_fill(outside, sizeof(outside), 3);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = block_of(test, heap, sizes[i]), *wrong = p + sizes[i] / 2;

		OPTIMIZER_HIDE_VAR(wrong);
		if (wrong == p)
			wrong++;
		chaos_heap_free(heap, wrong);
		chaos_heap_free(heap, &outside[i % ARRAY_SIZE(outside)]);
		wrong = p;
		OPTIMIZER_HIDE_VAR(wrong);
		chaos_heap_free(other, wrong);
		errors += !chaos_test_filled(p, sizes[i], sizes[i]);
		chaos_test_sound(test, heap);
		bad += 2;
		KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), bad);
		KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(other), i + 1);
		chaos_heap_free(heap, p);
	}
	errors += !chaos_test_filled(outside, sizeof(outside), 3);
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, bad);
	chaos_test_idle(test, other, ARRAY_SIZE(sizes));
}

/* ---------------------------------- promises ------------------------------ */

static void exact_sizes(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	size_t size, errors = 0;
	void *p;

	for (size = 1; size < SZ_1M; size += 1 + size / 7) {
		p = chaos_heap_alloc(heap, size, GFP_KERNEL);
		errors += chaos_heap_usable_size(heap, p) != size;
		chaos_heap_free(heap, p);
		p = chaos_heap_zalloc(heap, size, GFP_KERNEL);
		errors += chaos_heap_usable_size(heap, p) != size;
		errors += !p || !chaos_test_zeroed(p, size);
		chaos_heap_free(heap, p);
		p = chaos_heap_alloc_aligned(heap, size, 64, GFP_KERNEL);
		errors += chaos_heap_usable_size(heap, p) != size;
		errors += !IS_ALIGNED((unsigned long)p, 64);
		chaos_heap_free(heap, p);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

static void alignment(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	bool natural = chaos_test_engine(test)->natural;
	size_t size, align, i, errors = 0;
	void *p[4];

	for (size = 1; size <= SZ_64K; size *= 2) {
		align = natural ? min(size, PAGE_SIZE) : CHAOS_MIN_ALIGN;
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = chaos_heap_alloc(heap, size, GFP_KERNEL);
			errors += !p[i] || !IS_ALIGNED((unsigned long)p[i], align);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			chaos_heap_free(heap, p[i]);
	}
	for (align = 1; align <= SZ_1M; align *= 2) {
		p[0] = chaos_heap_alloc_aligned(heap, 100, align, GFP_KERNEL);
		errors += !p[0] || !IS_ALIGNED((unsigned long)p[0], align);
		p[1] = chaos_heap_realloc(heap, p[0], 10000, GFP_KERNEL);
		errors += !p[1] || !IS_ALIGNED((unsigned long)p[1], align);
		chaos_heap_free(heap, p[1] ?: p[0]);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

/* In place or not, larger or smaller: contents, size and canary are right. */
static void realloc_random(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	size_t old = 1, size, errors = 0, unsound = 0;
	struct rnd_state rnd;
	unsigned int i;
	void *p, *q;

	prandom_seed_state(&rnd, 5);
	p = chaos_heap_zalloc(heap, old, GFP_KERNEL);
	for (i = 0; i < 5000 / CHAOS_TEST_FEWER && p; i++) {
		bool zero = i % 3 == 0;

		size = i % 2 ? chaos_test_size(&rnd, SZ_64K) :
			       old + chaos_test_below(&rnd, 40);
		chaos_test_fill(p, old, i);
		q = chaos_heap_realloc(heap, p, size,
				       GFP_KERNEL | (zero ? __GFP_ZERO : 0));
		if (!q) {
			errors++;
			break;
		}
		p = q;
		errors += !chaos_test_filled(p, min(old, size), i);
		errors += chaos_heap_usable_size(heap, p) != size;
		/* Here the old size is known, so this holds for any block. */
		if (zero && size > old)
			errors += !chaos_test_zeroed(p + old, size - old);
		if (i % 16 == 0)
			unsound += chaos_heap_check(heap) != 0;
		old = size;
	}
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, errors, 0);
	KUNIT_EXPECT_EQ(test, unsound, 0);
	chaos_test_idle(test, heap, 0);
}

/* To shrink never fails, and the canary moves, when there is no memory at all. */
static void shrink_when_full(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_HARDENING_2, SZ_1M);
	LLIST_HEAD(blocks);
	void *p, *q;

	p = block_of(test, heap, 5000);
	chaos_test_exhaust(heap, 5000, GFP_NOWAIT, &blocks);
	chaos_test_exhaust(heap, 40, GFP_NOWAIT, &blocks);
	q = chaos_heap_realloc(heap, p, 50, GFP_NOWAIT);
	KUNIT_EXPECT_NOT_NULL(test, q);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(q, 48, 5000));
	KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(heap, q), 50);
	chaos_test_sound(test, heap);
	spoil(q, 50, 1);
	chaos_heap_free(heap, q);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 1);
}

struct census {
	size_t blocks;
	size_t bytes;
};

static bool count_block(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct census *census = arg;

	census->blocks++;
	census->bytes += size;
	return true;
}

static void walk_knows_sizes(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	void *p[ARRAY_SIZE(sizes)];
	struct census census = {};
	size_t i, bytes = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[i] = block_of(test, heap, sizes[i]);
		bytes += sizes[i];
	}
	KUNIT_EXPECT_EQ(test, chaos_heap_walk(heap, count_block, &census), 0);
	KUNIT_EXPECT_EQ(test, census.blocks, ARRAY_SIZE(sizes));
	KUNIT_EXPECT_EQ(test, census.bytes, bytes);
	chaos_heap_free_bulk(heap, ARRAY_SIZE(p), p);
	chaos_test_idle(test, heap, 0);
}

#define BULK	100

static void bulk(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	void *p[BULK];
	size_t i, errors = 0;

	KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, 100, GFP_KERNEL, BULK, p),
			BULK);
	for (i = 0; i < BULK; i++) {
		errors += chaos_heap_usable_size(heap, p[i]) != 100;
		chaos_test_fill(p[i], 100, i);
	}
	spoil(p[40], 100, 1);
	spoil(p[41], 115, 1);
	chaos_heap_free_bulk(heap, BULK, p);
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 2);
}

/* Levels 0 and 1 are heaps like any other, and have no canaries. */
static void lower_levels(struct kunit *test)
{
	static const enum chaos_hardening levels[] = {
		CHAOS_HARDENING_0, CHAOS_HARDENING_1,
	};
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(levels); k++) {
		struct chaos_heap *heap = heap_at(test, levels[k], SZ_16M);

		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			u8 *p = block_of(test, heap, sizes[i]);
			size_t usable = chaos_heap_usable_size(heap, p);

			KUNIT_EXPECT_GE(test, usable, sizes[i]);
			memset(p, 0xff, usable);
			chaos_heap_free(heap, p);
			OPTIMIZER_HIDE_VAR(p);
			chaos_heap_free(heap, p);
		}
		chaos_test_idle(test, heap, ARRAY_SIZE(sizes));
	}
}

/* ---------------------------------- contexts ------------------------------ */

/**
 * struct job - what is done somewhere else
 * @heap: with this heap
 * @p: the block
 * @spoilt: write past its end before it is freed
 */
struct job {
	struct chaos_heap *heap;
	void *p;
	bool spoilt;
};

static void job_alloc(void *arg)
{
	struct job *job = arg;

	job->p = chaos_heap_alloc(job->heap, 200, GFP_ATOMIC);
	if (job->p)
		chaos_test_fill(job->p, 200, 9);
}

static void job_free(void *arg)
{
	struct job *job = arg;

	if (job->spoilt)
		spoil(job->p, 207, 4);
	chaos_heap_free(job->heap, job->p);
}

/* Allocated and freed in task and interrupt of one CPU or two. */
static void everywhere(struct kunit *test)
{
	struct job job = { .heap = hard_heap(test) };
	unsigned long bad = 0;
	unsigned int cpus[2] = {}, from, to;

	if (num_online_cpus() > 1)
		chaos_test_cpus(test, cpus, 2);
	else
		chaos_test_cpus(test, cpus, 1);
	for (from = 0; from < 4; from++) {
		for (to = 0; to < 8; to++) {
			const struct chaos_test_place here = {
				.cpu = cpus[from / 2], .hardirq = from % 2,
			};
			const struct chaos_test_place there = {
				.cpu = cpus[to / 2 % 2], .hardirq = to % 2,
			};

			if (from / 2 && !cpus[1])
				continue;
			KUNIT_ASSERT_EQ(test, chaos_test_at(&here, job_alloc, &job), 0);
			KUNIT_ASSERT_NOT_NULL(test, job.p);
			KUNIT_EXPECT_TRUE(test, chaos_test_filled(job.p, 200, 9));
			chaos_test_sound(test, job.heap);
			job.spoilt = to > 3;
			bad += job.spoilt;
			KUNIT_ASSERT_EQ(test, chaos_test_at(&there, job_free, &job), 0);
			KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(job.heap), bad);
		}
	}
	chaos_test_idle(test, job.heap, bad);
}

#define MILLERS		3
#define MILL_STEPS	(20000 / CHAOS_TEST_FEWER)

/**
 * struct works - a heap in use, and somebody who checks it
 * @mill: where the blocks come and go
 * @tally: of each miller
 * @running: millers that have not finished
 * @checks: how many checks there were
 * @alarms: how many of them found something
 */
struct works {
	struct chaos_test_mill mill;
	struct chaos_test_tally tally[MILLERS];
	atomic_t running;
	size_t checks;
	size_t alarms;
};

static void mill(struct chaos_test_thread *self)
{
	struct works *works = self->arg;
	unsigned int i;

	if (self->nr == MILLERS) {
		do {
			works->alarms += chaos_heap_check(works->mill.heap) != 0;
			works->checks++;
			/* There may be one CPU, and no preemption. */
			cond_resched();
		} while (atomic_read(&works->running));
		return;
	}
	for (i = 0; i < MILL_STEPS; i++) {
		chaos_test_mill_step(&works->mill, &works->tally[self->nr],
				     i % 2 ? GFP_KERNEL : GFP_ATOMIC);
		cond_resched();
	}
	atomic_dec(&works->running);
}

/* Checks while the heap is in use: no alarm is false. */
static void check_in_use(struct kunit *test)
{
	struct works *works = chaos_test_buf(test, 1, sizeof(*works));
	struct chaos_test_thread *threads;
	size_t i, bad = 0, made = 0;

	threads = chaos_test_buf(test, MILLERS + 1, sizeof(*threads));
	chaos_test_mill_init(test, &works->mill, hard_heap(test), 50, SZ_2K);
	atomic_set(&works->running, MILLERS);
	for (i = 0; i <= MILLERS; i++) {
		threads[i].fn = mill;
		threads[i].arg = works;
		threads[i].cpu = -1;
		if (i < MILLERS)
			prandom_seed_state(&works->tally[i].rnd, i);
	}
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, MILLERS + 1), 0);
	for (i = 0; i < MILLERS; i++) {
		bad += works->tally[i].bad;
		made += works->tally[i].made;
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_GE(test, made, MILL_STEPS);
	KUNIT_EXPECT_GE(test, works->checks, 1);
	KUNIT_EXPECT_EQ(test, works->alarms, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&works->mill), 0);
	chaos_test_idle(test, works->mill.heap, 0);
}

#define RACES	(5000 / CHAOS_TEST_FEWER)

/**
 * struct race - two who free the same block
 * @heap: its heap
 * @p: the block of this round
 * @round: the round that may begin
 * @done: how many have finished theirs
 */
struct race {
	struct chaos_heap *heap;
	void *p;
	unsigned int round;
	atomic_t done;
};

static void race(struct chaos_test_thread *self)
{
	struct race *race = self->arg;
	unsigned int i;

	for (i = 1; i <= RACES; i++) {
		if (!self->nr) {
			while (atomic_read(&race->done) != 2 * (i - 1))
				cond_resched();
			race->p = chaos_heap_alloc(race->heap, 300, GFP_KERNEL);
			/* The block before the round; pairs with the next. */
			smp_store_release(&race->round, i);
		}
		/* The round before the block; pairs with the one above. */
		while (smp_load_acquire(&race->round) != i)
			cond_resched();
		chaos_heap_free(race->heap, race->p);
		atomic_inc(&race->done);
	}
}

/* Freed twice at once: one of the two is refused, each time. */
static void free_race(struct kunit *test)
{
	struct race *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_thread *threads;
	unsigned int cpus[2];

	chaos_test_cpus(test, cpus, 2);
	r->heap = hard_heap(test);
	threads = chaos_test_buf(test, 2, sizeof(*threads));
	threads[0] = (struct chaos_test_thread){
		.fn = race, .arg = r, .cpu = cpus[0],
	};
	threads[1] = (struct chaos_test_thread){
		.fn = race, .arg = r, .cpu = cpus[1],
	};
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, 2), 0);
	chaos_test_idle(test, r->heap, RACES);
}

/*
 * By the time that a block gets its canary, a stale pointer may have freed it, and a
 * smaller one be in its place.
 */
static void lay_smaller(struct kunit *test)
{
	struct chaos_heap *heap = hard_heap(test);
	size_t i;
	u8 *p = chaos_heap_zalloc(heap, 256, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i <= 64; i++)
		chaos_harden_lay(heap, p, i, 64 - TRAILER + 1);
	KUNIT_EXPECT_EQ(test, count_bytes(p, 256, 0), 256);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	chaos_heap_free(heap, p);
	chaos_test_destroy(test, heap);
}

static struct kunit_case harden_cases[] = {
	CHAOS_CASE(overrun),
	CHAOS_CASE(no_overrun),
	CHAOS_CASE(reports),
	CHAOS_CASE(overrun_found_by_realloc),
	CHAOS_CASE(overrun_found_by_check),
	CHAOS_CASE(canary_copied),
	CHAOS_CASE(poison),
	CHAOS_CASE(only_live_is_touched),
	CHAOS_CASE(exact_sizes),
	CHAOS_CASE(alignment),
	CHAOS_CASE(realloc_random),
	CHAOS_CASE(shrink_when_full),
	CHAOS_CASE(walk_knows_sizes),
	CHAOS_CASE(bulk),
	CHAOS_CASE(lower_levels),
	CHAOS_CASE(everywhere),
	CHAOS_CASE(check_in_use),
	CHAOS_CASE(free_race),
	CHAOS_CASE(lay_smaller),
	{}
};

static struct kunit_suite harden_suite = {
	.name = "chaos_harden",
	.test_cases = harden_cases,
};

kunit_test_suites(&harden_suite);
