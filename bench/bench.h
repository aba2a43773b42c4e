/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chaos_bench: chaos_alloc's engines and the kernel's own allocators, side by
 * side in one boot.
 *
 *   main.c      what is run, with whom, and how it is reported
 *   peers.c     the allocators, behind one interface
 *   timed.c     single calls of them, timed
 *   works.c     what they are given to do on one CPU; trace.c: a real trace
 *   parallel.c  what they are given to do on several CPUs
 *   memory.c    how much memory they hold meanwhile
 *   counter.h   instructions or nanoseconds; pmu.h: instructions on arm64
 *   hist.h      what the calls have cost
 *
 * A work is run with a peer that has been set up for it and is torn down after
 * it.  Its calls are timed one by one, with interrupts masked.  Every call goes
 * through a pointer to a small function of the peer's.  The peer "empty" has the
 * same functions around ones that only return, and their cost is subtracted.
 *
 * To read a clock costs as much as a call and varies more.  Where it is time that
 * is measured, pairs, batches and churn are therefore done again in loops that are
 * timed as a whole, with the empty peer as well.
 */
#ifndef _CHAOS_BENCH_H
#define _CHAOS_BENCH_H

#include <linux/gfp.h>
#include <linux/prandom.h>
#include <linux/types.h>

#include "counter.h"
#include "hist.h"
#include "use.h"

/*
 * What a peer has at hand: enough for the trace, and for 256 blocks of 64 KiB.
 * User-mode Linux maps each page for itself, and the host limits how many.
 */
#define BENCH_POOL	(48UL << 20)

/* Slots of random churn */
#define BENCH_SLOTS	2048

/* Calls of a kind with interrupts masked; blocks in a batch */
#define BENCH_BATCH	256

/* What atomic callers use; the works on one CPU are these. */
#define BENCH_GFP	(GFP_NOWAIT | __GFP_NOWARN)

struct bench_heap;

/**
 * struct bench_footprint - the memory that a peer holds
 * @held: bytes that it has taken and cannot give to others, its blocks included
 * @meta: bytes that it has for itself, apart from that
 */
struct bench_footprint {
	s64 held;
	s64 meta;
};

/**
 * struct bench_peer - an allocator
 * @name: for the reports
 * @fixed: serves one size only, that of its set-up
 * @sleeps: cannot be called with interrupts masked
 * @linear: looks for free memory from the start of its pool: too slow with
 *	hundreds of thousands of blocks
 * @least: the smallest size that it is meant for
 * @setup: before each work; sets &bench_heap.arg.  It is told the size and the
 *	alignment of all blocks; 0: of many
 * @teardown: after it, with all blocks freed
 * @alloc: as kmalloc(), after &bench_heap.arg
 * @free: is told the size of the allocation
 * @aligned: is told a size and an alignment, which is a power of two
 * @realloc: as krealloc()
 * @alloc_bulk: returns how many there are
 * @free_bulk: these again
 * @footprint: NULL: nobody can tell
 *
 * All but @name, @alloc and @free may be missing.
 */
struct bench_peer {
	const char *name;
	bool fixed;
	bool sleeps;
	bool linear;
	size_t least;
	int (*setup)(struct bench_heap *heap, size_t size, size_t align);
	void (*teardown)(struct bench_heap *heap);
	void *(*alloc)(void *arg, size_t size, gfp_t gfp);
	void (*free)(void *arg, void *p, size_t size);
	void *(*aligned)(void *arg, size_t size, size_t align, gfp_t gfp);
	void *(*realloc)(void *arg, void *p, size_t size, gfp_t gfp);
	size_t (*alloc_bulk)(void *arg, size_t size, gfp_t gfp, size_t n, void **p);
	void (*free_bulk)(void *arg, size_t n, void **p);
	void (*footprint)(void *arg, struct bench_footprint *footprint);
};

/**
 * struct bench_heap - a peer that is set up
 * @peer: whose functions
 * @arg: what they work on
 * @mem: memory that the peer was given
 */
struct bench_heap {
	const struct bench_peer *peer;
	void *arg;
	void *mem;
};

/* What is timed */
enum bench_op {
	BENCH_ALLOC,
	BENCH_FREE,
	BENCH_ALIGNED,
	BENCH_REALLOC,
	BENCH_ALLOC_BULK,
	BENCH_FREE_BULK,
	BENCH_OPS
};

/* What is timed in loops of BENCH_BATCH */
enum bench_loop {
	BENCH_LOOP_PAIR,
	BENCH_LOOP_ALLOC,
	BENCH_LOOP_FREE,
	BENCH_LOOPS
};

/* Points of a curve of memory over the time of a work */
#define BENCH_POINTS	128

struct bench_point {
	u32 x;
	u64 live;
	s64 held;
};

/**
 * struct bench_memory - what was live and what was held, in samples
 * @measured: there are samples
 * @before: held before the first allocation
 * @live: bytes asked for and not freed
 * @peak_live: the highest @live of a sample
 * @at_peak: held in that sample
 * @end_live: @live of the last sample
 * @at_end: held in that one
 * @steady_n: samples after the warm-up
 * @steady_live: sum over these
 * @steady_held: likewise
 * @points: how many there are
 * @point: the curve
 */
struct bench_memory {
	bool measured;
	struct bench_footprint before;
	u64 live;
	u64 peak_live;
	struct bench_footprint at_peak;
	u64 end_live;
	struct bench_footprint at_end;
	u64 steady_n;
	u64 steady_live;
	s64 steady_held;
	unsigned int points;
	struct bench_point point[BENCH_POINTS];
};

/**
 * struct bench - a work on its way
 * @heap: with whom
 * @size: the size of blocks; 0 where they are of many
 * @scale: percent of the usual repetitions
 * @random: seeded alike for each peer
 * @slot: live blocks
 * @slot_size: their sizes
 * @memory: how much of it
 * @hist: the cost of each call, in ticks
 * @loop: and of loops of calls, loop and all
 */
struct bench {
	struct bench_heap heap;
	size_t size;
	unsigned int scale;
	struct rnd_state random;
	void *slot[BENCH_SLOTS];
	u32 slot_size[BENCH_SLOTS];
	struct bench_memory memory;
	struct hist hist[BENCH_OPS];
	struct hist loop[BENCH_LOOPS];
};

/**
 * struct bench_work - what an allocator is given to do
 * @name: for the reports
 * @from: the smallest block size that it is done for; 0: sizes are its own affair
 * @to: the largest one
 * @align: blocks are aligned to their size
 * @able: can the peer do it?  NULL: any can, but for those of one size if sizes
 *	are of the work's own.
 * @run: does it; leaves no block behind
 */
struct bench_work {
	const char *name;
	size_t from;
	size_t to;
	bool align;
	bool (*able)(const struct bench_peer *peer);
	int (*run)(struct bench *bench);
};

extern const struct bench_peer *const bench_peers[];	/* ends with NULL */
extern const struct bench_peer bench_empty;		/* the first of them */
extern const struct bench_work *const bench_works[];	/* ends with NULL */
extern const struct bench_work bench_work_trace;

u32 bench_timed_alloc(const struct bench_heap *heap, size_t size, void **p);
u32 bench_timed_free(const struct bench_heap *heap, void *p, size_t size);
u32 bench_timed_aligned(const struct bench_heap *heap, size_t size, size_t align,
			void **p);
u32 bench_timed_realloc(const struct bench_heap *heap, void *old, size_t size,
			void **p);
u32 bench_timed_alloc_bulk(const struct bench_heap *heap, size_t size, size_t n,
			   void **p, size_t *got);
u32 bench_timed_free_bulk(const struct bench_heap *heap, size_t n, void **p);

void bench_memory_start(struct bench *bench);
void bench_memory_sample(struct bench *bench, bool steady);
void bench_memory_point(struct bench *bench, u32 x);

/* Is the name in a list of the module's parameters?  Everything is in an empty one. */
bool bench_work_wanted(const char *name);
bool bench_peer_wanted(const struct bench_peer *peer);

int bench_parallel(unsigned int turn);

/* Of a peer for a work; all of these, once set up, have to be torn down. */
int bench_heap_setup(struct bench_heap *heap, const struct bench_peer *peer,
		     size_t size, size_t align);
void bench_heap_teardown(struct bench_heap *heap);

#endif /* _CHAOS_BENCH_H */
