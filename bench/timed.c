// SPDX-License-Identifier: GPL-2.0
/*
 * Single calls, timed: what is between the two readings is the call alone.
 */
#include "bench.h"

noinline u32 bench_timed_alloc(const struct bench_heap *heap, size_t size, void **p)
{
	typeof(heap->peer->alloc) alloc = heap->peer->alloc;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	*p = alloc(arg, size, BENCH_GFP);
	return counter_read() - start;
}

noinline u32 bench_timed_free(const struct bench_heap *heap, void *p, size_t size)
{
	typeof(heap->peer->free) free = heap->peer->free;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	free(arg, p, size);
	return counter_read() - start;
}

noinline u32 bench_timed_aligned(const struct bench_heap *heap, size_t size,
				 size_t align, void **p)
{
	typeof(heap->peer->aligned) aligned = heap->peer->aligned;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	*p = aligned(arg, size, align, BENCH_GFP);
	return counter_read() - start;
}

noinline u32 bench_timed_realloc(const struct bench_heap *heap, void *old,
				 size_t size, void **p)
{
	typeof(heap->peer->realloc) realloc = heap->peer->realloc;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	*p = realloc(arg, old, size, BENCH_GFP);
	return counter_read() - start;
}

noinline u32 bench_timed_alloc_bulk(const struct bench_heap *heap, size_t size,
				    size_t n, void **p, size_t *got)
{
	typeof(heap->peer->alloc_bulk) alloc_bulk = heap->peer->alloc_bulk;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	*got = alloc_bulk(arg, size, BENCH_GFP, n, p);
	return counter_read() - start;
}

noinline u32 bench_timed_free_bulk(const struct bench_heap *heap, size_t n, void **p)
{
	typeof(heap->peer->free_bulk) free_bulk = heap->peer->free_bulk;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	free_bulk(arg, n, p);
	return counter_read() - start;
}
