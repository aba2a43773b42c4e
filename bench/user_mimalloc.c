// SPDX-License-Identifier: GPL-2.0
/*
 * The loops of loops.h with mimalloc in user space: what the kernel's mimalloc
 * engine is compared with.
 *
 *   user_mimalloc [TURNS]
 *
 * Prints lines like those of chaos_native; see Documentation/native.rst.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/types.h>
#include <mimalloc.h>
#include <x86intrin.h>

#define gfp_t		unsigned int
#define GFP_NOWAIT	0
#define noinline	__attribute_noinline__

#define SEED		1
#define CALIBRATION_NS	200000000ULL

/* The fences keep calls inside. */
static inline __u32 loop_clock(void)
{
	__u32 low;

	_mm_lfence();
	low = __rdtsc();
	_mm_lfence();
	return low;
}

#include "loops.h"

#define SIZES		14

static const size_t sizes[SIZES] = {
	8, 16, 32, 64, 128, 256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10,
	32 << 10, 64 << 10
};

static double ns_per_tick;

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void calibrate(void)
{
	__u64 start = now_ns(), end;
	__u32 ticks = loop_clock();

	do
		end = now_ns();
	while (end - start < CALIBRATION_NS);
	ticks = loop_clock() - ticks;
	ns_per_tick = (double)(end - start) / ticks;
}

/* --------------------------------- allocators ------------------------------ */

static noinline void *nothing_alloc(size_t size)
{
	asm volatile("" : : "r" (size));
	return (void *)16;
}

static noinline void nothing_free(void *p)
{
	asm volatile("" : : "r" (p));
}

static void *empty_alloc(void *arg, size_t size, gfp_t gfp)
{
	return nothing_alloc(size);
}

static void empty_free(void *arg, void *p, size_t size)
{
	nothing_free(p);
}

static void *mimalloc_alloc(void *arg, size_t size, gfp_t gfp)
{
	return mi_malloc(size);
}

static void mimalloc_free(void *arg, void *p, size_t size)
{
	mi_free(p);
}

/* ------------------------------------ runs --------------------------------- */

static int compare_u32(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

static bool run(struct loop *loop, const struct loop_work *work, size_t size)
{
	__u32 ticks[LOOP_OPS] = {};
	bool able = true;
	int i, op;

	loop->size = size;
	loop->at = 0;
	for (i = -LOOP_WARM; able && i < LOOP_BLOCKS; i++) {
		able = work->block(loop, ticks);
		for (op = 0; i >= 0 && op < LOOP_OPS; op++)
			loop->sample[op][i] = ticks[op];
	}
	if (!work->sized)
		loop_empty_slots(loop);
	for (op = 0; op < LOOP_OPS; op++)
		qsort(loop->sample[op], LOOP_BLOCKS, sizeof(__u32), compare_u32);
	return able;
}

/* Nanoseconds of a call, less @empty ticks for a block of calls */
static double net(double ticks, double empty)
{
	return ticks > empty ? (ticks - empty) * ns_per_tick / LOOP_CALLS : 0;
}

static void report(const struct loop *loop, const struct loop_work *work,
		   const char *peer, size_t size, enum loop_op op,
		   unsigned int turn, double empty)
{
	const __u32 *sample = loop->sample[op];
	double sum = 0;
	int i;

	for (i = 0; i < LOOP_BLOCKS; i++)
		sum += sample[i];
	printf("user_mimalloc: result: work=%s peer=%s size=%zu op=%s cpus=1 cpu=0 turn=%u n=%u",
	       work->name, peer, size, loop_op_names[op], turn,
	       LOOP_BLOCKS * LOOP_CALLS);
	printf(" mean=%.2f p50=%.2f p99=%.2f p999=%.2f max=%.2f\n",
	       net(sum / LOOP_BLOCKS, empty), net(loop_quantile(sample, 500), empty),
	       net(loop_quantile(sample, 990), empty),
	       net(loop_quantile(sample, 999), empty),
	       net(sample[LOOP_BLOCKS - 1], empty));
}

static bool compare(struct loop *loop, const struct loop_work *work, size_t size,
		    unsigned int turn)
{
	double empty[LOOP_OPS];
	int op;

	loop->alloc = empty_alloc;
	loop->free = empty_free;
	if (!run(loop, work, size))
		return false;
	for (op = 0; op < LOOP_OPS; op++) {
		empty[op] = loop_quantile(loop->sample[op], 500);
		if (work->ops & 1U << op)
			report(loop, work, "user-empty", size, op, turn, 0);
	}

	loop->alloc = mimalloc_alloc;
	loop->free = mimalloc_free;
	if (!run(loop, work, size))
		return false;
	for (op = 0; op < LOOP_OPS; op++)
		if (work->ops & 1U << op)
			report(loop, work, "user-mimalloc", size, op, turn,
			       empty[op]);
	return true;
}

static bool run_work(struct loop *loop, const struct loop_work *work,
		     unsigned int turn)
{
	bool able = true;
	int i;

	if (!work->sized)
		return compare(loop, work, 0, turn);
	for (i = 0; i < SIZES; i++)
		able &= compare(loop, work, sizes[i], turn);
	return able;
}

int main(int argc, char **argv)
{
	unsigned int turns = argc > 1 ? strtoul(argv[1], NULL, 10) : 1, turn;
	static struct loop loop;
	bool able = true;
	int i;

	calibrate();
	loop_seed(&loop, SEED);
	for (turn = 0; turn < turns; turn++)
		for (i = 0; i < LOOP_WORKS; i++)
			able &= run_work(&loop, &loop_works[i], turn);
	if (!able)
		fprintf(stderr, "user_mimalloc: out of memory\n");
	return !able;
}
