/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites share: a parameter per engine, heaps and buffers that go when
 * the test ends, blocks that know what they ought to contain, threads, and a
 * look at the kernel log.
 *
 * Nothing here but what takes a &struct kunit asserts: the rest may be called
 * from any context or thread, and reports by its return value.  In the
 * loops, errors are counted, and the count is expected to be 0 at the end.
 */
#ifndef _CHAOS_KUNIT_COMMON_H
#define _CHAOS_KUNIT_COMMON_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kmsg_dump.h>
#include <linux/llist.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "chaos_alloc.h"
#include "compat.h"

/**
 * struct chaos_test_engine - the parameter of the suites that run per engine
 * @name: what chaos_heap_params.allocator takes
 * @natural: power-of-two sizes up to a page are aligned to their size
 */
struct chaos_test_engine {
	const char *name;
	bool natural;
};

#define CHAOS_TEST_ENGINES	3

/*
 * Kernels with KASAN, KCSAN or lockdep are much slower at what the suites do most.
 * Where the number of blocks is not what a case is about, it takes fewer of them.
 */
#define CHAOS_TEST_FEWER						\
	(IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN) ||	\
	 IS_ENABLED(CONFIG_PROVE_LOCKING) ? 16 : 1)

/*
 * A report names the caller if our functions end with a jump to the one that reports.  They
 * cannot where KCSAN models weak memory: there, each function ends with a call to KCSAN.
 */
#define CHAOS_TEST_NAMES_CALLER	(!IS_ENABLED(CONFIG_KCSAN_WEAK_MEMORY))

extern const struct chaos_test_engine chaos_test_engines[CHAOS_TEST_ENGINES];

void chaos_test_engine_desc(const struct chaos_test_engine *engine, char *desc);

/* Once in a file that has per-engine cases. */
#define CHAOS_TEST_ENGINE_PARAM() \
	KUNIT_ARRAY_PARAM(engine, chaos_test_engines, chaos_test_engine_desc)

#define CHAOS_CASE(fn)		KUNIT_CASE_PARAM(fn, engine_gen_params)

/* A case that takes seconds; kernels since 6.6 can leave such cases out. */
#ifdef KUNIT_CASE_PARAM_ATTR
#define CHAOS_CASE_SLOW(fn) \
	KUNIT_CASE_PARAM_ATTR(fn, engine_gen_params, {.speed = KUNIT_SPEED_SLOW})
#else
#define CHAOS_CASE_SLOW(fn)	CHAOS_CASE(fn)
#endif

#ifndef KUNIT_CASE_SLOW
#define KUNIT_CASE_SLOW(fn)	KUNIT_CASE(fn)
#endif

/* In a case that is not run per engine, mimalloc. */
static inline const struct chaos_test_engine *
chaos_test_engine(struct kunit *test)
{
	return test->param_value ?: &chaos_test_engines[0];
}

static inline bool chaos_test_mimalloc(struct kunit *test)
{
	return chaos_test_engine(test) == &chaos_test_engines[0];
}

/* Things that go when the test ends; the test ends if it can't have them. */
void chaos_test_defer(struct kunit *test, void (*fn)(void *), void *arg);
void *chaos_test_buf(struct kunit *test, size_t n, size_t size);
struct chaos_heap *chaos_test_create(struct kunit *test,
				     const struct chaos_heap_params *params);
struct chaos_heap *chaos_test_heap(struct kunit *test, size_t pool_size,
				   size_t max_size);
/* The same, at a level of defence, and with blocks that remember as much. */
struct chaos_heap *chaos_test_heap_at(struct kunit *test, size_t pool_size,
				      enum chaos_hardening level, enum chaos_track track);
struct chaos_heap *chaos_test_heap_of(struct kunit *test, const char *allocator,
				      size_t pool_size, size_t max_size);
/*
 * For tests that count on a block of the very size that they ask for: no red zone
 * behind the heap's blocks.  Before the first allocation; returns @heap.
 */
struct chaos_heap *chaos_test_exact(struct chaos_heap *heap);
/* The longest of these delays, in milliseconds: what would be done then is not done. */
#define CHAOS_TEST_NEVER	3600000U
void chaos_test_never(struct kunit *test, struct chaos_heap *heap, enum chaos_option delay);
/* Destroy one of these heaps before the test ends. */
void chaos_test_destroy(struct kunit *test, struct chaos_heap *heap);
/* Until the test ends: before the heap that gets it, so that it goes after it. */
void *chaos_test_vmem(struct kunit *test, size_t size);
void chaos_test_bind(struct kunit *test);

/* Expect a sound heap with nothing live, and as many refused pointers. */
void chaos_test_idle(struct kunit *test, struct chaos_heap *heap,
		     unsigned long bad_frees);
void chaos_test_sound(struct kunit *test, struct chaos_heap *heap);

/* Collect all that CPUs keep, however long one of them is about it. */
void chaos_test_collect(struct chaos_heap *heap);

size_t chaos_test_live(struct chaos_heap *heap);
unsigned long chaos_test_bad_frees(struct chaos_heap *heap);

/* Contents: @key in every 8 bytes. */
void chaos_test_fill(void *p, size_t size, u64 key);
bool chaos_test_filled(const void *p, size_t size, u64 key);
bool chaos_test_zeroed(const void *p, size_t size);

/* From 1 to @max, every order of magnitude as likely. */
size_t chaos_test_size(struct rnd_state *rnd, size_t max);

/* From 0 to @n - 1. */
static inline u32 chaos_test_below(struct rnd_state *rnd, u32 n)
{
	return prandom_u32_state(rnd) % n;
}

/**
 * struct chaos_test_block - a block that says itself what is in it
 * @node: for lists of blocks
 * @size: size asked for, this header included
 * @key: what the rest is filled with
 *
 * Such blocks can be handed from context to context by their address alone.
 */
struct chaos_test_block {
	struct llist_node node;
	size_t size;
	u64 key;
};

struct chaos_test_block *chaos_test_make(struct chaos_heap *heap, size_t size,
					 gfp_t gfp, u64 key);
bool chaos_test_intact(const struct chaos_test_block *b);
/* Free @b; false if its contents were not what they ought to be. */
bool chaos_test_unmake(struct chaos_heap *heap, struct chaos_test_block *b);

/* Allocate until there is no more; how many.  Free a list; how many are bad. */
size_t chaos_test_exhaust(struct chaos_heap *heap, size_t size, gfp_t gfp,
			  struct llist_head *blocks);
size_t chaos_test_drain(struct chaos_heap *heap, struct llist_head *blocks);
/* How many blocks of @size fit; the heap is left as it was. */
size_t chaos_test_capacity(struct kunit *test, struct chaos_heap *heap,
			   size_t size);

/**
 * struct chaos_test_mill - slots that anybody may put blocks in and take out
 * @heap: where the blocks are from
 * @max: largest size
 * @nr_slots: their number
 * @slots: blocks; only xchg'd, so any context or CPU may take part
 *
 * Each step picks a slot at random and frees the block it finds there, or
 * leaves a new one.  So blocks are freed by whoever comes across them.
 */
struct chaos_test_mill {
	struct chaos_heap *heap;
	size_t max;
	u32 nr_slots;
	struct chaos_test_block **slots;
};

/**
 * struct chaos_test_tally - what one context counted
 * @rnd: its random numbers
 * @made: blocks allocated
 * @failed: NULLs
 * @bad: blocks with wrong contents
 */
struct chaos_test_tally {
	struct rnd_state rnd;
	size_t made;
	size_t failed;
	size_t bad;
};

void chaos_test_mill_init(struct kunit *test, struct chaos_test_mill *mill,
			  struct chaos_heap *heap, u32 nr_slots, size_t max);
void chaos_test_mill_step(struct chaos_test_mill *mill,
			  struct chaos_test_tally *tally, gfp_t gfp);
/* Free what is left; how many are bad. */
size_t chaos_test_mill_empty(struct chaos_test_mill *mill);

/**
 * struct chaos_test_thread - one of the threads of chaos_test_run()
 * @fn: what it does
 * @arg: for @fn
 * @nr: its number, from 0
 * @cpu: the CPU it is bound to, or -1
 * @task: the thread
 * @done: it has returned from @fn
 */
struct chaos_test_thread {
	void (*fn)(struct chaos_test_thread *self);
	void *arg;
	unsigned int nr;
	int cpu;
	struct task_struct *task;
	struct completion done;
};

/* Overwrite a word as a client would that KASAN does not see; what it was. */
u64 chaos_test_put_word(u64 *p, u64 value);

/* Run all of them at once, and wait for them; -errno if one did not start. */
int chaos_test_run(struct chaos_test_thread *threads, unsigned int n);

/*
 * Let @timer, whose handler began at @began, run again: not before the task has had
 * as much time as the handler, however slow the machine is.
 */
enum hrtimer_restart chaos_test_again(struct hrtimer *timer, ktime_t began);

/**
 * struct chaos_test_nmi - NMIs on one CPU, again and again while it is switched on
 * @fn: what they do.  On a machine where the interrupt that ought to be an NMI is
 *	none, it is called nevertheless: see in_nmi().
 * @arg: for @fn
 * @event: the counter whose overflow they are; or
 * @sender: the thread on another CPU that sends them,
 * @cpu: to this CPU,
 * @period_us: so often, more or less,
 * @on: if they are wanted; and
 * @pending: the last one has not been handled
 */
struct chaos_test_nmi {
	void (*fn)(void *arg);
	void *arg;
	struct perf_event *event;
	struct task_struct *sender;
	unsigned int cpu;
	unsigned int period_us;
	bool on;
	bool pending;
};

/* For this CPU, to which the caller is bound; @fn and @arg are set.  0 or -errno. */
int chaos_test_nmi_init(struct chaos_test_nmi *nmi, unsigned int period_us);
void chaos_test_nmi_start(struct chaos_test_nmi *nmi);
void chaos_test_nmi_stop(struct chaos_test_nmi *nmi);
void chaos_test_nmi_exit(void *nmi);

/* Wait for an interrupt handler; false if it did not come for very long. */
bool chaos_test_wait(struct completion *done);

/**
 * struct chaos_test_place - where code runs: mimalloc's heaps belong to these
 * @cpu: the CPU
 * @hardirq: in an interrupt; else in a task
 */
struct chaos_test_place {
	unsigned int cpu;
	bool hardirq;
};

/* The first @n CPUs that are online; the test is skipped if there are fewer. */
void chaos_test_cpus(struct kunit *test, unsigned int *cpus, unsigned int n);

/* Run fn(arg) at @place and wait for it.  Sleeps. */
int chaos_test_at(const struct chaos_test_place *place, void (*fn)(void *arg),
		  void *arg);

/* The same as without _at, but at @place, and with GFP_ATOMIC. */
size_t chaos_test_exhaust_at(const struct chaos_test_place *place,
			     struct chaos_heap *heap, size_t size,
			     struct llist_head *blocks);
size_t chaos_test_drain_at(const struct chaos_test_place *place,
			   struct chaos_heap *heap, struct llist_head *blocks);

/**
 * struct chaos_test_heart - what a deferred-free hook has seen
 * @last: the last heartbeat
 * @calls: calls that were not forced
 * @forced: calls that were
 * @wrong: heartbeats that did not increase, calls within calls
 * @inside: the hook is running
 * @block: it allocates a block of this size each time, if not 0
 */
struct chaos_test_heart {
	u64 last;
	size_t calls;
	size_t forced;
	size_t wrong;
	bool inside;
	size_t block;
};

/* The hook; its argument is the heart. */
void chaos_test_beat(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg);

/* The lines that the log got after chaos_test_log_start(). */
void chaos_test_log_start(struct kmsg_dump_iter *log);
size_t chaos_test_log_lines(struct kmsg_dump_iter *log, const char *text);

#endif /* _CHAOS_KUNIT_COMMON_H */
