/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chaos_bench: chaos_alloc's engines and the kernel's own allocators, side by
 * side in one boot.
 *
 *   main.c      what is run, with whom, and how it is reported
 *   peers.c     the allocators, behind one interface
 *   works.c     what they are given to do on one CPU
 *   counter.h   instructions or nanoseconds; pmu.h: instructions on arm64
 *   hist.h      what the calls have cost
 *
 * A work is run with a peer that has been set up for it and is torn down after
 * it; its calls are timed one by one, with interrupts masked.  Every call goes
 * through a pointer to a small function of the peer's.  The peer "empty" has the
 * same function around one that only returns, and its cost is subtracted.
 */
#ifndef _CHAOS_BENCH_H
#define _CHAOS_BENCH_H

#include <linux/gfp.h>
#include <linux/prandom.h>
#include <linux/types.h>

#include "counter.h"
#include "hist.h"

/* What a peer has at hand; 256 blocks of 64 KiB are a quarter of it. */
#define BENCH_POOL	(64UL << 20)

/* Slots of random churn */
#define BENCH_SLOTS	2048

struct bench_heap;

/**
 * struct bench_peer - an allocator
 * @name: for the reports
 * @fixed: serves one size only, that of its set-up
 * @sleeps: cannot be called with interrupts masked
 * @least: the smallest size that it is meant for
 * @setup: before each work; sets &bench_heap.arg
 * @teardown: after it, with all blocks freed
 * @alloc: as kmalloc(); @arg is &bench_heap.arg
 * @free: @size is that of the allocation
 * @held: bytes of memory that the peer has taken, and cannot give to others; or
 *	NULL: nobody can tell
 */
struct bench_peer {
	const char *name;
	bool fixed;
	bool sleeps;
	size_t least;
	int (*setup)(struct bench_heap *heap, size_t size);
	void (*teardown)(struct bench_heap *heap);
	void *(*alloc)(void *arg, size_t size, gfp_t gfp);
	void (*free)(void *arg, void *p, size_t size);
	size_t (*held)(void *arg);
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
	BENCH_OPS
};

/**
 * struct bench - a work on its way
 * @heap: with whom
 * @size: the size of blocks; 0 where they are of many
 * @scale: percent of the usual repetitions
 * @random: seeded alike for each peer
 * @slot: live blocks
 * @slot_size: their sizes
 * @hist: the cost of each call, in ticks
 */
struct bench {
	struct bench_heap heap;
	size_t size;
	unsigned int scale;
	struct rnd_state random;
	void *slot[BENCH_SLOTS];
	u32 slot_size[BENCH_SLOTS];
	struct hist hist[BENCH_OPS];
};

/**
 * struct bench_work - what an allocator is given to do
 * @name: for the reports
 * @sized: it is done for each block size
 * @run: does it; leaves no block behind
 */
struct bench_work {
	const char *name;
	bool sized;
	int (*run)(struct bench *bench);
};

extern const struct bench_peer bench_empty;
extern const struct bench_peer *const bench_peers[];	/* ends with NULL */
extern const struct bench_work *const bench_works[];	/* likewise */

u32 bench_timed_alloc(const struct bench_heap *heap, size_t size, void **p);
u32 bench_timed_free(const struct bench_heap *heap, void *p, size_t size);

#endif /* _CHAOS_BENCH_H */
