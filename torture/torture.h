/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chaos_torture: random operations from every context at once, on heaps that are
 * checked, squeezed, filled up, created and destroyed meanwhile, while CPUs go and
 * come.  Uses what chaos_alloc.h exports and nothing else, as any client.
 *
 *   main.c      parameters, progress, the verdict
 *   block.c     blocks that know what they contain
 *   arena.c     heaps, and the slots in which blocks change hands
 *   ops.c       the operations
 *   actors.c    who performs them: threads, timers, performance counters
 *   company.c   what runs alongside: hotplug, creation, collection, checks, exhaustion,
 *               memory pressure
 *
 * A block that lies in a slot is nobody's.  Whoever takes it out, by xchg(), owns it
 * until it frees the block or puts it back, by xchg().  The two xchg()s are full
 * barriers: who takes a block sees all that was written to it before it was put
 * there.  So nothing but the slot is shared, and any context, NMI included, may free
 * what any other has allocated.
 */
#ifndef _CHAOS_TORTURE_H
#define _CHAOS_TORTURE_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "chaos_alloc.h"

struct perf_event;

/* ----------------------------------- blocks -------------------------------- */

/**
 * struct torture_block - what a block begins with
 * @sum: checksum of the rest of this header and the block's address
 * @size: bytes asked for, this header included
 * @seed: what the bytes behind this header are made from
 * @cpu: where it was allocated
 * @ctx: and in which context; see &enum torture_ctx
 * @align: the alignment that was asked for, as a power of two
 */
struct torture_block {
	u32 sum;
	u32 size;
	u32 seed;
	u16 cpu;
	u8 ctx;
	u8 align;
};

#define TORTURE_MIN		sizeof(struct torture_block)

/* Write header and pattern into new memory of @size bytes. */
struct torture_block *torture_block_make(void *p, size_t size, u8 align, u32 seed);
/*
 * Is the block what it was made, as a block at @addr, up to byte @kept?  If it is
 * not, that is reported.
 */
bool torture_block_kept(const struct torture_block *b, unsigned long addr,
			size_t kept);
/* All of it, where it is. */
bool torture_block_intact(const struct torture_block *b);
/* It is going to be freed: who finds it still in use is told. */
void torture_block_kill(struct torture_block *b);

/* ----------------------------------- arenas -------------------------------- */

/**
 * struct torture_arena - a heap and its slots
 * @heap: the heap; NULL: the default heap, by the functions for that
 * @natural: its engine aligns powers of two naturally
 * @closing: no new users
 * @users: who uses it, and 1 as long as it is open; 0: there is no heap
 * @nr_slots: number of slots
 * @slots: blocks, or NULL; only xchg'd
 * @mem: memory given to the heap, or NULL
 * @live: blocks of others that are in it
 * @bad_frees: pointers of others that it has refused
 */
struct torture_arena {
	struct chaos_heap *heap;
	bool natural;
	bool closing;
	atomic_t users;
	u32 nr_slots;
	struct torture_block **slots;
	void *mem;
	size_t live;
	unsigned long bad_frees;
};

/* The first is the heap under test, then the default heap, and some that come and go. */
#define TORTURE_MAIN		0
#define TORTURE_DEFAULT		1
#define TORTURE_FIRST_GUEST	2
#define TORTURE_GUESTS		2
#define TORTURE_ARENAS		(TORTURE_FIRST_GUEST + TORTURE_GUESTS)

extern struct torture_arena torture_arenas[TORTURE_ARENAS];

struct torture_actor;

/* An arena that stays until torture_leave(), or NULL.  Any context. */
struct torture_arena *torture_enter(u32 nr);
void torture_leave(struct torture_arena *arena);

/* Task; may sleep. */
int torture_open(struct torture_arena *arena, const struct chaos_heap_params *params,
		 u32 nr_slots);
void torture_shut(struct torture_arena *arena);
/* Nobody is in it: free what is in the slots, and see that nothing is left. */
void torture_clear(struct torture_arena *arena, struct torture_actor *a);
/* The same, but leave the blocks to the heap, which is going to be destroyed. */
void torture_abandon(struct torture_arena *arena, struct torture_actor *a);
/* The heap is checked, in use or not. */
void torture_expect_sound(struct torture_arena *arena);
void torture_destroy(struct torture_arena *arena);

/* ----------------------------------- actors -------------------------------- */

enum torture_ctx {
	TORTURE_TASK,
	TORTURE_SOFTIRQ,
	TORTURE_HARDIRQ,
	TORTURE_NMI,
	TORTURE_CTXS,
};

enum torture_op {
	TORTURE_ALLOC,
	TORTURE_ZALLOC,
	TORTURE_ALIGNED,
	TORTURE_FREE,
	TORTURE_VISIT,
	TORTURE_REALLOC,
	TORTURE_BULK,
	TORTURE_TINY,
	TORTURE_OPS,
};

/**
 * struct torture_tally - what one actor has counted; nobody else writes it
 * @ops: operations of each kind
 * @made: blocks allocated
 * @freed: blocks freed
 * @foreign: those of them from another CPU or context
 * @nulls: allocations and reallocations that failed
 */
struct torture_tally {
	u64 ops[TORTURE_OPS];
	u64 made;
	u64 freed;
	u64 foreign;
	u64 nulls;
};

/**
 * struct torture_actor - performs operations
 * @ctx: in which context
 * @cpu: on which CPU, or -1
 * @rnd: its random numbers
 * @tally: what it has counted
 * @timer: softirq, hardirq: what calls it
 * @event: NMI: what calls it
 * @task: task: what calls it
 * @lock: task: held during some operations
 * @stray: times that it was called in another context than @ctx
 */
struct torture_actor {
	enum torture_ctx ctx;
	int cpu;
	struct rnd_state rnd;
	struct torture_tally tally;
	struct hrtimer timer;
	struct perf_event *event;
	struct task_struct *task;
	raw_spinlock_t lock;
	u64 stray;
};

/* From 0 to @n - 1. */
static inline u32 torture_below(struct rnd_state *rnd, u32 n)
{
	return prandom_u32_state(rnd) % n;
}

/* From @min to @max, every order of magnitude as likely. */
size_t torture_size(struct rnd_state *rnd, size_t min, size_t max);

void torture_actor_init(struct torture_actor *a, enum torture_ctx ctx, int cpu);

/* One random operation.  Any context that @gfp allows. */
void torture_step(struct torture_actor *a, gfp_t gfp, size_t max);
/* The steps of an operation. */
struct torture_block *torture_new(struct torture_arena *arena,
				  struct torture_actor *a, size_t size, gfp_t gfp);
void torture_free(struct torture_arena *arena, struct torture_actor *a,
		  struct torture_block *b);
struct torture_block *torture_take(struct torture_arena *arena, struct rnd_state *rnd);
void torture_put(struct torture_arena *arena, struct torture_actor *a,
		 struct torture_block *b);
struct torture_block *torture_resize(struct torture_arena *arena,
				     struct torture_actor *a,
				     struct torture_block *b, size_t size, gfp_t gfp);

int torture_actors_start(void);
void torture_actors_stop(void);
void torture_actors_free(void);
/* What all of them have counted, by context. */
void torture_actors_sum(struct torture_tally sum[TORTURE_CTXS]);
void torture_tally_add(struct torture_tally *sum, const struct torture_actor *a);
/* A CPU is about to go; has come. */
void torture_cpu_leaves(int cpu);
void torture_cpu_joined(int cpu);

/* ----------------------------------- company ------------------------------- */

/**
 * struct torture_company - what has been done alongside
 * @checks: times that a heap was checked
 * @switches: times that a CPU went and came
 * @heaps: heaps that came and went
 * @full: times that a heap was filled until there was nothing left
 * @squeezes: times that the system was short of memory
 * @mistakes: made on purpose
 * @collects: times that a heap was tidied up, or its options changed
 * @hooks: blocks that the deferred-free hook freed
 */
struct torture_company {
	u64 checks;
	u64 switches;
	u64 heaps;
	u64 full;
	u64 squeezes;
	u64 mistakes;
	u64 collects;
	u64 hooks;
};

extern struct torture_company torture_company;

/* Once the actors have started; before they stop. */
int torture_company_start(void);
void torture_company_stop(void);
/* What they have counted themselves is added. */
void torture_company_sum(struct torture_tally *sum);
bool torture_can_switch_cpus(void);

/* ------------------------------------ main --------------------------------- */

/**
 * struct torture_options - the module's parameters, as far as others need them
 * @nthreads: threads
 * @nmi_period: cycles from one NMI to the next
 * @keep_free: MiB that memory pressure leaves to the system
 * @bug: what a client is to do wrong
 * @task: threads are on
 * @softirq: soft timers are on
 * @hardirq: hard timers are on
 * @nmi: performance counters are on
 * @check: checks are on
 * @onoff: CPU hotplug is on
 * @heaps: heaps that come and go are on
 * @exhaust: filling heaps up is on
 * @collect: collection, options and hooks are on
 * @pressure: memory pressure is on
 */
struct torture_options {
	unsigned int nthreads;
	unsigned int nmi_period;
	unsigned int keep_free;
	char *bug;
	bool task;
	bool softirq;
	bool hardirq;
	bool nmi;
	bool check;
	bool onoff;
	bool heaps;
	bool exhaust;
	bool collect;
	bool pressure;
};

extern struct torture_options torture_options;

/* Something is wrong: it is reported, and the end is near.  Any context. */
__printf(1, 2) void torture_fail(const char *fmt, ...);
bool torture_stopping(void);

/* The random numbers of the next actor. */
void torture_seed_next(struct rnd_state *rnd);

/* In threads: sleep so long, or until the thread is to stop. */
void torture_pause(unsigned int ms);

#endif /* _CHAOS_TORTURE_H */
