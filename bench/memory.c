// SPDX-License-Identifier: GPL-2.0
/*
 * How much memory a peer holds while a work goes on.
 *
 * Samples are taken between batches of calls.  What was held before the first
 * allocation is subtracted: that is the rest of the kernel's, where a peer is
 * shared with it.
 */
#include "bench.h"

static struct bench_footprint memory_now(const struct bench *bench)
{
	const struct bench_footprint *before = &bench->memory.before;
	struct bench_footprint now = {};

	bench->heap.peer->footprint(bench->heap.arg, &now);
	now.held -= before->held;
	now.meta -= before->meta;
	return now;
}

void bench_memory_start(struct bench *bench)
{
	struct bench_memory *memory = &bench->memory;

	if (!bench->heap.peer->footprint)
		return;
	memory->measured = true;
	memory->before.held = memory_now(bench).held;
}

/**
 * bench_memory_sample - look at the peer's memory
 * @bench: whose &bench_memory.live is up to date
 * @steady: the warm-up is over
 */
void bench_memory_sample(struct bench *bench, bool steady)
{
	struct bench_memory *memory = &bench->memory;
	struct bench_footprint now;

	if (!memory->measured)
		return;
	now = memory_now(bench);
	if (memory->live >= memory->peak_live) {
		memory->peak_live = memory->live;
		memory->at_peak = now;
	}
	memory->end_live = memory->live;
	memory->at_end = now;
	if (!steady)
		return;
	memory->steady_n++;
	memory->steady_live += memory->live;
	memory->steady_held += now.held;
}

/* Enters the last sample in the curve, while there is room. */
void bench_memory_point(struct bench *bench, u32 x)
{
	struct bench_memory *memory = &bench->memory;

	if (!memory->measured || memory->points == BENCH_POINTS)
		return;
	memory->point[memory->points++] = (struct bench_point) {
		.x = x,
		.live = memory->end_live,
		.held = memory->at_end.held,
	};
}
