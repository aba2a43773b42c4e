/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who has to see each call of a heap: canaries, tracepoints, the histogram of
 * latencies.
 *
 * Each has a bit in heap->watch.  While any is set, the fast paths find themselves
 * closed by what they test anyway: allocations by heap->fast_max, frees by heap->watch
 * itself or, in mimalloc, by heap->main_pool.  So what nobody watches costs nothing.
 * Who is past the test already is not waited for: he is not seen.
 */
#ifndef _CHAOS_WATCH_H
#define _CHAOS_WATCH_H

#include <linux/compiler.h>
#include <linux/percpu.h>
#include <linux/timekeeping.h>
#include <linux/types.h>

#include "engine.h"

/*
 * heap->watch is this, or less, while no bit is set.  (What is compared with 0 is 0
 * afterwards, and gcc would keep that in one more register.)
 */
#define CHAOS_WATCH_NOBODY	1U
/* Blocks carry canaries; constant. */
#define CHAOS_WATCH_BLOCKS	2U
/* Somebody listens to the tracepoints alloc or free. */
#define CHAOS_WATCH_TRACE	4U
/* Calls are timed. */
#define CHAOS_WATCH_LATENCY	8U

#define CHAOS_WATCH_CALLS	(CHAOS_WATCH_TRACE | CHAOS_WATCH_LATENCY)

/* Why a pool was added */
enum chaos_grow {
	CHAOS_GROW_CREATE,	/* the heap was created with it */
	CHAOS_GROW_CLIENT,	/* chaos_heap_add_pool() */
	CHAOS_GROW_REQUEST,	/* a request that may block found no memory */
	CHAOS_GROW_WORKER,	/* free memory was below the watermark */
};

/* Has a free to be looked at? */
static __always_inline bool chaos_is_watched(const struct chaos_heap *heap)
{
	/* data_race(): as for heap->fast_max */
	return unlikely(data_race(heap->watch) > CHAOS_WATCH_NOBODY);
}

/* Has any call? */
static __always_inline bool chaos_is_seen(const struct chaos_heap *heap)
{
	return unlikely(READ_ONCE(heap->watch) & CHAOS_WATCH_CALLS);
}

static inline bool chaos_is_traced(const struct chaos_heap *heap)
{
	return unlikely(READ_ONCE(heap->watch) & CHAOS_WATCH_TRACE);
}

/* Open or close the fast paths.  With heap->mutex, or before others know the heap. */
void chaos_choose_paths(struct chaos_heap *heap);

/* Set or clear bits of heap->watch; takes heap->mutex. */
void chaos_watch(struct chaos_heap *heap, unsigned int bits, bool on);

/* The callbacks of the tracepoints alloc and free. */
int chaos_trace_begin(void);
void chaos_trace_end(void);

/* -------------------------------- latencies ------------------------------- */

enum chaos_call {
	CHAOS_CALL_ALLOC,
	CHAOS_CALL_FREE,
	CHAOS_CALLS,
};

/* Calls that took 0, 1, 2 to 3, 4 to 7, ... ns */
#define CHAOS_LATENCIES		65

/* Of one CPU.  this_cpu_inc() only: any context may interrupt any other. */
struct chaos_latency {
	u64 calls[CHAOS_LATENCIES][CHAOS_CALLS];
};

/**
 * struct chaos_latencies - how long a heap's calls have taken
 * @cpu: of each CPU
 * @base: their sums when they were reset; under heap->mutex
 * @max: the longest, in ns
 */
struct chaos_latencies {
	struct chaos_latency __percpu *cpu;
	struct chaos_latency base;
	unsigned long max[CHAOS_CALLS];
};

#ifdef CONFIG_DEBUG_FS
void chaos_latency_note(struct chaos_heap *heap, enum chaos_call call, u64 begun);

/* Now, if calls are timed, else 0 */
static inline u64 chaos_latency_begin(const struct chaos_heap *heap)
{
	return READ_ONCE(heap->watch) & CHAOS_WATCH_LATENCY ? ktime_get_mono_fast_ns() : 0;
}

static inline void chaos_latency_end(struct chaos_heap *heap, enum chaos_call call,
				     u64 begun)
{
	if (unlikely(begun))
		chaos_latency_note(heap, call, begun);
}

/* Begin to time calls: 0 or -ENOMEM */
int chaos_latency_on(struct chaos_heap *heap);
void chaos_latency_off(struct chaos_heap *heap);
void chaos_latency_reset(struct chaos_heap *heap);
/* The calls since the last reset, and the longest of them. */
void chaos_latency_read(struct chaos_heap *heap, struct chaos_latency *sum,
			unsigned long *max);
/* Nobody uses the heap any longer. */
void chaos_latency_exit(struct chaos_heap *heap);
#else
static inline u64 chaos_latency_begin(const struct chaos_heap *heap)
{
	return 0;
}

static inline void chaos_latency_end(struct chaos_heap *heap, enum chaos_call call,
				     u64 begun) {}
static inline void chaos_latency_exit(struct chaos_heap *heap) {}
#endif

#endif /* _CHAOS_WATCH_H */
