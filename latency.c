// SPDX-License-Identifier: GPL-2.0
/*
 * How long a heap's calls take: a histogram, for its file in debugfs.
 *
 * Calls come from any context, NMIs included, and are counted on their CPU without a
 * lock.  The counters only ever go up; a reset remembers how far they were, so that no
 * call is counted wrongly because of it.
 */
#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "engine.h"
#include "fault.h"
#include "grow.h"
#include "watch.h"

static void chaos_latency_max(struct chaos_latencies *l, enum chaos_call call,
			      unsigned long ns)
{
	unsigned long max = READ_ONCE(l->max[call]);

	while (ns > max && !try_cmpxchg(&l->max[call], &max, ns))
		;
}

/* The clock is the one that NMIs may read; it may go back a little. */
void chaos_latency_note(struct chaos_heap *heap, enum chaos_call call, u64 begun)
{
	/* Pairs with chaos_latency_prepare(). */
	struct chaos_latencies *l = smp_load_acquire(&heap->latencies);
	u64 now = ktime_get_mono_fast_ns();
	u64 ns = now > begun ? now - begun : 0;

	if (!l)
		return;
	this_cpu_inc(l->cpu->calls[fls64(ns)][call]);
	chaos_latency_max(l, call, ns);
}

static struct chaos_latencies *chaos_latencies_new(void)
{
	struct chaos_latencies *l;

	l = chaos_unless_fails(CHAOS_FAULT_SETUP, kzalloc(sizeof(*l), GFP_KERNEL));
	if (!l)
		return NULL;
	l->cpu = chaos_unless_fails(CHAOS_FAULT_PERCPU, alloc_percpu(struct chaos_latency));
	if (!l->cpu) {
		kfree(l);
		return NULL;
	}
	return l;
}

static void chaos_latencies_free(struct chaos_latencies *l)
{
	if (!l)
		return;
	free_percpu(l->cpu);
	kfree(l);
}

/*
 * Not under heap->mutex: who allocates per-CPU memory holds pcpu_alloc_mutex, and may enter
 * reclaim with it, under which others grow heaps.
 */
static int chaos_latency_prepare(struct chaos_heap *heap)
{
	struct chaos_latencies *l;
	unsigned int noio;

	if (READ_ONCE(heap->latencies))
		return 0;
	l = chaos_latencies_new();
	if (!l)
		return -ENOMEM;
	noio = chaos_heap_lock(heap);
	if (!heap->latencies) {
		/* Pairs with chaos_latency_note(). */
		smp_store_release(&heap->latencies, l);
		l = NULL;
	}
	chaos_heap_unlock(heap, noio);
	chaos_latencies_free(l);
	return 0;
}

int chaos_latency_on(struct chaos_heap *heap)
{
	int err = chaos_latency_prepare(heap);

	if (!err)
		chaos_watch(heap, CHAOS_WATCH_LATENCY, true);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(chaos_latency_on);

/* What was counted stays, until the heap goes: somebody may be counting. */
void chaos_latency_off(struct chaos_heap *heap)
{
	chaos_watch(heap, CHAOS_WATCH_LATENCY, false);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_latency_off);

static void chaos_latency_sum(const struct chaos_latencies *l, struct chaos_latency *sum)
{
	const struct chaos_latency *one;
	unsigned int cpu, i, call;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		one = per_cpu_ptr(l->cpu, cpu);
		for (i = 0; i < CHAOS_LATENCIES; i++)
			for (call = 0; call < CHAOS_CALLS; call++)
				sum->calls[i][call] += READ_ONCE(one->calls[i][call]);
	}
}

void chaos_latency_reset(struct chaos_heap *heap)
{
	unsigned int noio = chaos_heap_lock(heap);
	struct chaos_latencies *l = heap->latencies;
	unsigned int call;

	if (l) {
		chaos_latency_sum(l, &l->base);
		for (call = 0; call < CHAOS_CALLS; call++)
			WRITE_ONCE(l->max[call], 0);
	}
	chaos_heap_unlock(heap, noio);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_latency_reset);

void chaos_latency_read(struct chaos_heap *heap, struct chaos_latency *sum,
			unsigned long *max)
{
	unsigned int noio = chaos_heap_lock(heap), i, call;
	struct chaos_latencies *l = heap->latencies;

	memset(sum, 0, sizeof(*sum));
	memset(max, 0, CHAOS_CALLS * sizeof(*max));
	if (l) {
		chaos_latency_sum(l, sum);
		for (i = 0; i < CHAOS_LATENCIES; i++)
			for (call = 0; call < CHAOS_CALLS; call++)
				sum->calls[i][call] -= l->base.calls[i][call];
		for (call = 0; call < CHAOS_CALLS; call++)
			max[call] = READ_ONCE(l->max[call]);
	}
	chaos_heap_unlock(heap, noio);
}

void chaos_latency_exit(struct chaos_heap *heap)
{
	chaos_latencies_free(heap->latencies);
}
