// SPDX-License-Identifier: GPL-2.0
/*
 * A real kernel's trace of allocations, replayed by one CPU.
 *
 * Events are done in the order of the trace, each in the context that the trace
 * names: task, softirq or hardirq.  What follows each other in the same context
 * is one batch.  All blocks are freed in the end; that is not counted.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitfield.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

#include "../samples/trace.h"
#include "bench.h"

static char *trace;
module_param(trace, charp, 0444);
MODULE_PARM_DESC(trace, "Path of the packed trace (see tools/pack-trace); without it, none is replayed");

/* Events from one sample of memory to the next, at least */
#define TRACE_SAMPLE	512

/**
 * struct replay - a replay on its way
 * @bench: the work
 * @words: the events
 * @events: how many
 * @pos: the next one
 * @end: the first one after this batch
 * @allocs: allocations so far
 * @nr_blocks: in the whole trace
 * @block: live blocks, by number
 * @size: their sizes
 * @err: of the batch
 * @done: the batch that was given to @tasklet or @irq_work has been done
 * @tasklet: does a batch in softirq context
 * @irq_work: does one in hard interrupt context
 */
struct replay {
	struct bench *bench;
	const __le32 *words;
	u32 events;
	u32 pos;
	u32 end;
	u32 allocs;
	u32 nr_blocks;
	void **block;
	u32 *size;
	int err;
	struct completion done;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
};

static int replay_alloc(struct replay *replay, u32 size)
{
	struct bench *bench = replay->bench;
	u32 id = replay->allocs;
	u32 cost;

	if (id == replay->nr_blocks)
		return -EINVAL;
	cost = bench_timed_alloc(&bench->heap, size, &replay->block[id]);
	if (!replay->block[id])
		return -ENOMEM;
	hist_add(&bench->hist[BENCH_ALLOC], cost);
	replay->size[id] = size;
	replay->allocs++;
	bench->memory.live += size;
	return 0;
}

static int replay_free(struct replay *replay, u32 back)
{
	struct bench *bench = replay->bench;
	u32 id = replay->allocs - back;
	u32 cost;

	if (!back || back > replay->allocs || !replay->block[id])
		return -EINVAL;
	cost = bench_timed_free(&bench->heap, replay->block[id], replay->size[id]);
	hist_add(&bench->hist[BENCH_FREE], cost);
	replay->block[id] = NULL;
	bench->memory.live -= replay->size[id];
	return 0;
}

static void replay_batch(struct replay *replay)
{
	struct counter_section section;

	counter_begin(&section, true);
	while (!replay->err && replay->pos < replay->end) {
		u32 word = le32_to_cpu(replay->words[replay->pos++]);
		u32 value = FIELD_GET(TRACE_VALUE, word);

		replay->err = word & TRACE_FREE ? replay_free(replay, value)
						: replay_alloc(replay, value);
	}
	counter_end(&section);
}

static void replay_softirq(struct tasklet_struct *t)
{
	struct replay *replay = from_tasklet(replay, t, tasklet);

	replay_batch(replay);
	complete(&replay->done);
}

static void replay_hardirq(struct irq_work *work)
{
	struct replay *replay = container_of(work, struct replay, irq_work);

	replay_batch(replay);
	complete(&replay->done);
}

static u32 replay_context(const struct replay *replay, u32 pos)
{
	return FIELD_GET(TRACE_CTX, le32_to_cpu(replay->words[pos]));
}

static void replay_dispatch(struct replay *replay)
{
	switch (replay_context(replay, replay->pos)) {
	case CTX_TASK:
		replay_batch(replay);
		return;
	case CTX_SOFTIRQ:
		/* Pending softirqs run at the enable, without ksoftirqd. */
		local_bh_disable();
		tasklet_schedule(&replay->tasklet);
		local_bh_enable();
		break;
	case CTX_HARDIRQ:
		irq_work_queue(&replay->irq_work);
		break;
	default:
		replay->err = -EINVAL;
		return;
	}
	wait_for_completion(&replay->done);
}

/* The events from @pos on that are of the same context */
static u32 replay_batch_end(const struct replay *replay)
{
	u32 context = replay_context(replay, replay->pos);
	u32 limit = min(replay->events, replay->pos + BENCH_BATCH);
	u32 end = replay->pos + 1;

	while (end < limit && replay_context(replay, end) == context)
		end++;
	return end;
}

static void replay_all(struct replay *replay)
{
	u32 sample = 0, point = 0;

	while (!replay->err && replay->pos < replay->events) {
		replay->end = replay_batch_end(replay);
		replay_dispatch(replay);
		if (replay->pos < sample && replay->pos < replay->events)
			continue;
		sample = replay->pos + TRACE_SAMPLE;
		bench_memory_sample(replay->bench, false);
		cond_resched();
		if (replay->pos < point && replay->pos < replay->events)
			continue;
		point += replay->events / (BENCH_POINTS - 1);
		bench_memory_point(replay->bench, replay->pos);
	}
}

static void replay_free_rest(struct replay *replay)
{
	const struct bench_heap *heap = &replay->bench->heap;
	u32 id;

	for (id = 0; id < replay->allocs; id++) {
		if (replay->block[id])
			heap->peer->free(heap->arg, replay->block[id],
					 replay->size[id]);
		if (id % BENCH_BATCH == 0)
			cond_resched();
	}
}

static int replay_run(struct bench *bench, const struct trace_header *hdr)
{
	struct replay *replay = kvzalloc(sizeof(*replay), GFP_KERNEL);
	int err = -ENOMEM;

	if (!replay)
		return err;
	replay->bench = bench;
	replay->words = (const __le32 *)(hdr + 1);
	replay->events = le32_to_cpu(hdr->events);
	replay->nr_blocks = le32_to_cpu(hdr->allocs);
	init_completion(&replay->done);
	tasklet_setup(&replay->tasklet, replay_softirq);
	replay->irq_work = IRQ_WORK_INIT_HARD(replay_hardirq);
	replay->block = kvcalloc(replay->nr_blocks, sizeof(*replay->block), GFP_KERNEL);
	replay->size = kvcalloc(replay->nr_blocks, sizeof(*replay->size), GFP_KERNEL);
	if (replay->block && replay->size) {
		bench_memory_start(bench);
		replay_all(replay);
		/* They have completed, but may not have returned. */
		tasklet_kill(&replay->tasklet);
		irq_work_sync(&replay->irq_work);
		replay_free_rest(replay);
		err = replay->err;
	}
	kvfree(replay->size);
	kvfree(replay->block);
	kvfree(replay);
	return err;
}

static int trace_run(struct bench *bench)
{
	int err = -EINVAL;
	size_t size;
	void *file;

	file = trace_read(trace, &size);
	if (IS_ERR(file)) {
		pr_err("cannot read %s: %pe\n", trace, file);
		return PTR_ERR(file);
	}
	if (trace_header_valid(file, size))
		err = replay_run(bench, file);
	else
		pr_err("%s is not a packed trace of version %u, or is cut off\n",
		       trace, TRACE_VERSION);
	vfree(file);
	return err;
}

static bool trace_able(const struct bench_peer *peer)
{
	return trace && !peer->fixed && !peer->sleeps && !peer->linear;
}

const struct bench_work bench_work_trace = {
	.name = "trace",
	.able = trace_able,
	.run = trace_run,
};
