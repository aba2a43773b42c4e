// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_replay: replay a trace of allocations through the default heap.
 *
 * Each CPU of the trace gets a thread bound to it, which runs the events of that
 * CPU in trace order and each in the context that the trace names: task,
 * softirq or hardirq.  Every block is filled with a pattern made from its ID,
 * and every byte of it is checked before it is freed.
 *
 * Ordering.  A free waits until its block has been allocated, possibly by
 * another CPU.  And no CPU runs more than REPLAY_WINDOW events ahead of any
 * other, so that what is live at one time is what was live in the trace, and
 * the peak does not depend on how the threads were scheduled.
 *
 * Neither wait can deadlock.  A thread waits only in task context and only for
 * the first of its events not yet run, the head.  Both waits are for events
 * of lower trace position than that head: a block is allocated before it is
 * freed, and the window only waits for heads that are behind.  So the thread whose
 * head is the lowest of all never waits; it runs, and the lowest position
 * rises.  Events after the head join its batch only if they need no wait: to
 * wait for them with the head still to be run would break the argument.
 *
 * With pause=, a thread also waits for somebody who writes to that parameter.
 *
 * A CPU that goes offline meanwhile costs the locality, not the order, which
 * hangs on the threads alone.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/bitfield.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/vmalloc.h>

#include "chaos_alloc.h"
#include "trace.h"

static char *trace;
module_param(trace, charp, 0444);
MODULE_PARM_DESC(trace, "Path of the packed trace (see tools/pack-trace)");

static unsigned int repeat = 1;
module_param(repeat, uint, 0444);
MODULE_PARM_DESC(repeat, "How often to replay it (default 1)");

static unsigned int pause;
module_param(pause, uint, 0644);
MODULE_PARM_DESC(pause, "Run no event from this position of the trace on; 0: run all (may be written meanwhile)");

/* Events run in one softirq or hardirq: enough to make its cost small. */
#define REPLAY_BATCH	32

/* How far one CPU may run ahead of another, in events of the trace. */
#define REPLAY_WINDOW	1024

/**
 * struct replay_slot - one block of the trace
 * @p: NULL before the allocation and after the free, SLOT_FAILED if there was
 *	no memory, else the block.  Published with release, as the thread that
 *	frees the block needs to see its content.
 * @size: in bytes
 */
struct replay_slot {
	void *p;
	u32 size;
};

#define SLOT_FAILED	ERR_PTR(-ENOMEM)

/**
 * struct replay_event - one event of a CPU
 * @pos: its position in the whole trace
 * @id: the block
 * @free: false: allocate
 * @ctx: an enum trace_ctx
 */
struct replay_event {
	u32 pos;
	u32 id;
	bool free;
	u8 ctx;
};

/**
 * struct replay_cpu - the events of one CPU and the thread that runs them
 * @events: in trace order
 * @nr_events: length of @events
 * @head: index of the first event that has not been run
 * @end: index of the first event after the current batch
 * @head_pos: trace position of the head, for the window of the others
 * @window_end: no event from this trace position on may be run before the
 *	heads of the others have been looked at again
 * @allocs: allocations tried
 * @frees: blocks freed by the trace
 * @failures: allocations that failed
 * @mismatches: blocks that were misaligned or did not hold their pattern
 * @cpu: where the thread is bound to
 * @task: the thread
 * @finished: the thread has run all of its events
 * @batch_done: the batch handed to @tasklet or @irq_work has been run
 * @tasklet: runs a batch in softirq context
 * @irq_work: runs a batch in hardirq context
 *
 * The thread sleeps while @tasklet or @irq_work runs a batch, so all plain
 * fields have one user at a time; @batch_done orders them.
 */
struct replay_cpu {
	struct replay_event *events;
	u32 nr_events;
	u32 head;
	u32 end;
	u32 head_pos;
	u32 window_end;

	u64 allocs;
	u64 frees;
	u64 failures;
	u64 mismatches;

	unsigned int cpu;
	struct task_struct *task;
	struct completion finished;
	struct completion batch_done;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
} ____cacheline_aligned_in_smp;

static struct replay_cpu replay_cpus[TRACE_CPUS];
static unsigned int nr_replay_cpus;

static struct replay_slot *replay_slots;
static u32 nr_replay_slots;

/* Bytes asked for and not freed, and the highest value this ever had. */
static atomic64_t replay_live;
static atomic64_t replay_peak;

struct replay_result {
	u64 allocs;
	u64 frees;
	u64 failures;
	u64 mismatches;
	s64 time_ms;
	int check;
	bool leaked;
};

/* Blocks: content and accounts */

static u64 block_pattern(u32 id)
{
	/* 2^64 / golden ratio: neighbouring IDs differ in every byte. */
	return (id + 1ULL) * 0x9e3779b97f4a7c15ULL;
}

static void block_fill(void *p, u32 size, u64 pattern)
{
	u32 bulk = round_down(size, sizeof(pattern));

	memset64(p, pattern, bulk / sizeof(pattern));
	memcpy(p + bulk, &pattern, size - bulk);
}

/* Returns the offset of the first byte that is not the pattern's, or @size. */
static u32 block_mismatch(const void *p, u32 size, u64 pattern)
{
	const u8 *expected = (const u8 *)&pattern;
	const u64 *words = p;
	const u8 *bytes = p;
	u32 i;

	for (i = 0; size - i >= sizeof(pattern); i += sizeof(pattern))
		if (words[i / sizeof(pattern)] != pattern)
			break;
	for (; i < size; i++)
		if (bytes[i] != expected[i % sizeof(pattern)])
			break;
	return i;
}

static void live_add(u32 size)
{
	s64 live = atomic64_add_return(size, &replay_live);
	s64 peak = atomic64_read(&replay_peak);

	while (live > peak && !atomic64_try_cmpxchg(&replay_peak, &peak, live))
		;
}

static void block_alloc(struct replay_cpu *rc, u32 id, gfp_t gfp)
{
	struct replay_slot *slot = &replay_slots[id];
	void *p = chaos_alloc(slot->size, gfp);

	rc->allocs++;
	if (!p) {
		rc->failures++;
		/* Pairs with the acquire in slot_ready(): free is to skip it. */
		smp_store_release(&slot->p, SLOT_FAILED);
		return;
	}

	if (!IS_ALIGNED((unsigned long)p, CHAOS_MIN_ALIGN)) {
		rc->mismatches++;
		pr_err_ratelimited("block %u of %u bytes is misaligned\n", id,
				   slot->size);
	}
	block_fill(p, slot->size, block_pattern(id));
	live_add(slot->size);
	/*
	 * Pairs with the acquire in slot_ready(): whoever sees the block sees its
	 * pattern and can free it after live_add() has counted it.
	 */
	smp_store_release(&slot->p, p);
}

/* Checks and frees a block; returns false if there is none. */
static bool block_free(struct replay_cpu *rc, u32 id)
{
	struct replay_slot *slot = &replay_slots[id];
	void *p = slot->p;
	u32 bad;

	/* Each block is freed once in the trace: nobody else looks at the slot. */
	slot->p = NULL;
	if (IS_ERR_OR_NULL(p))
		return false;

	bad = block_mismatch(p, slot->size, block_pattern(id));
	if (bad < slot->size) {
		rc->mismatches++;
		pr_err_ratelimited("block %u of %u bytes: byte %u is wrong: %#x\n",
				   id, slot->size, bad, ((u8 *)p)[bad]);
	}
	atomic64_sub(slot->size, &replay_live);
	chaos_free(p);
	return true;
}

/* Batches: one context, run at one go */

static void batch_run(struct replay_cpu *rc, gfp_t gfp)
{
	for (; rc->head < rc->end; rc->head++) {
		const struct replay_event *ev = &rc->events[rc->head];

		if (!ev->free)
			block_alloc(rc, ev->id, gfp);
		else if (block_free(rc, ev->id))
			rc->frees++;
	}
}

static void batch_softirq(struct tasklet_struct *tasklet)
{
	struct replay_cpu *rc = from_tasklet(rc, tasklet, tasklet);

	WARN_ON_ONCE(!in_serving_softirq());
	batch_run(rc, GFP_ATOMIC);
	complete(&rc->batch_done);
}

static void batch_hardirq(struct irq_work *work)
{
	struct replay_cpu *rc = container_of(work, struct replay_cpu, irq_work);

	WARN_ON_ONCE(!in_hardirq());
	batch_run(rc, GFP_ATOMIC);
	complete(&rc->batch_done);
}

static void batch_dispatch(struct replay_cpu *rc)
{
	switch (rc->events[rc->head].ctx) {
	case CTX_TASK:
		batch_run(rc, GFP_KERNEL);
		return;
	case CTX_SOFTIRQ:
		/* Pending softirqs run at the enable, without ksoftirqd. */
		local_bh_disable();
		tasklet_schedule(&rc->tasklet);
		local_bh_enable();
		break;
	case CTX_HARDIRQ:
		irq_work_queue(&rc->irq_work);
		break;
	}
	wait_for_completion(&rc->batch_done);
}

static bool event_ready(const struct replay_cpu *rc,
			const struct replay_event *ev)
{
	if (ev->pos >= rc->window_end)
		return false;
	/* Pairs with the releases in block_alloc(). */
	return !ev->free || smp_load_acquire(&replay_slots[ev->id].p);
}

/* Is it freed by an event that follows its allocation in the same batch? */
static bool event_in_batch(const struct replay_cpu *rc,
			   const struct replay_event *ev)
{
	u32 i;

	for (i = rc->head; i < rc->end; i++)
		if (rc->events[i].id == ev->id)
			return true;
	return false;
}

/* Extends the batch, which holds the head, for as long as no event needs a wait. */
static void batch_gather(struct replay_cpu *rc)
{
	const struct replay_event *head = &rc->events[rc->head];
	u32 max = min(rc->nr_events, rc->head + REPLAY_BATCH);

	for (rc->end = rc->head + 1; rc->end < max; rc->end++) {
		const struct replay_event *ev = &rc->events[rc->end];

		if (ev->ctx != head->ctx || ev->pos >= rc->window_end)
			break;
		if (!event_ready(rc, ev) && !event_in_batch(rc, ev))
			break;
	}
}

/* Threads */

static void window_move(struct replay_cpu *rc)
{
	u32 lowest = U32_MAX - REPLAY_WINDOW;
	unsigned int i;

	for (i = 0; i < nr_replay_cpus; i++)
		if (&replay_cpus[i] != rc)
			lowest = min(lowest, READ_ONCE(replay_cpus[i].head_pos));
	/* Nothing hangs on when it is seen that it has changed. */
	rc->window_end = min(lowest + REPLAY_WINDOW, READ_ONCE(pause) ?: U32_MAX);
}

/* All events before this position of the trace have been run, and have ended. */
static int position_get(char *buffer, const struct kernel_param *kp)
{
	u32 lowest = U32_MAX;
	unsigned int i;

	for (i = 0; i < nr_replay_cpus; i++)
		lowest = min(lowest, READ_ONCE(replay_cpus[i].head_pos));
	return sysfs_emit(buffer, "%u\n", nr_replay_cpus ? lowest : 0);
}

static const struct kernel_param_ops position_ops = {
	.get = position_get,
};

module_param_cb(position, &position_ops, NULL, 0444);
MODULE_PARM_DESC(position, "How far the replay has come");

static void head_wait(struct replay_cpu *rc)
{
	const struct replay_event *head = &rc->events[rc->head];
	unsigned int spins = 0;

	for (;;) {
		if (head->pos >= rc->window_end)
			window_move(rc);
		if (event_ready(rc, head))
			return;
		/* Soon there, as a rule; but leave the CPU idle if it is not. */
		if (++spins < 100) {
			cpu_relax();
			cond_resched();
		} else {
			usleep_range(20, 50);
		}
	}
}

static int replay_thread(void *arg)
{
	struct replay_cpu *rc = arg;

	while (rc->head < rc->nr_events) {
		/* Only the pace of the others hangs on it: no ordering needed. */
		WRITE_ONCE(rc->head_pos, rc->events[rc->head].pos);
		head_wait(rc);
		batch_gather(rc);
		batch_dispatch(rc);
		cond_resched();
	}
	WRITE_ONCE(rc->head_pos, U32_MAX);
	kthread_complete_and_exit(&rc->finished, 0);
}

/* Frees what the trace leaves, each block where it was allocated. */
static void drain(struct replay_cpu *rc)
{
	u32 i;

	for (i = 0; i < rc->nr_events; i++) {
		const struct replay_event *ev = &rc->events[i];

		if (!ev->free)
			block_free(rc, ev->id);
		if (i % REPLAY_BATCH == 0)
			cond_resched();
	}
}

static int drain_thread(void *arg)
{
	struct replay_cpu *rc = arg;

	drain(rc);
	kthread_complete_and_exit(&rc->finished, 0);
}

static int run_threads(int (*fn)(void *))
{
	struct replay_cpu *rc;
	unsigned int i;
	int err;

	/* All exist before the first one runs: it may wait for any other. */
	for (i = 0; i < nr_replay_cpus; i++) {
		rc = &replay_cpus[i];
		rc->head = 0;
		rc->head_pos = 0;
		rc->window_end = 0;
		init_completion(&rc->finished);
		rc->task = kthread_create_on_node(fn, rc, cpu_to_node(rc->cpu),
						  KBUILD_MODNAME "/%u", rc->cpu);
		if (IS_ERR(rc->task)) {
			err = PTR_ERR(rc->task);
			goto err_stop;
		}
		kthread_bind(rc->task, rc->cpu);
	}

	for (i = 0; i < nr_replay_cpus; i++)
		wake_up_process(replay_cpus[i].task);
	for (i = 0; i < nr_replay_cpus; i++) {
		rc = &replay_cpus[i];
		/* With a timeout: a long replay is no hung task. */
		while (!wait_for_completion_timeout(&rc->finished, 10 * HZ))
			;
	}
	return 0;

err_stop:
	while (i--)
		kthread_stop(replay_cpus[i].task);
	return err;
}

/* Loading */

/*
 * Not kernel_read_file(): that is for what the kernel itself trusts, and some
 * security modules warn about its READING_UNKNOWN.
 */
/* Positions up to a window past the last one must fit into a word. */
static bool header_valid(const struct trace_header *hdr, size_t size)
{
	return trace_header_valid(hdr, size) &&
	       le32_to_cpu(hdr->events) < U32_MAX - REPLAY_WINDOW;
}

/* Checks one event and enters its CPU and block into the tables. */
static bool event_valid(u32 word, u32 *allocs, unsigned long *freed,
			u32 *cpu_events)
{
	u32 value = FIELD_GET(TRACE_VALUE, word);

	if (FIELD_GET(TRACE_CTX, word) == CTX_NMI)
		return false;
	cpu_events[FIELD_GET(TRACE_CPU, word)]++;

	if (word & TRACE_FREE)
		return value && value <= *allocs &&
		       !__test_and_set_bit(*allocs - value, freed);

	if (*allocs == nr_replay_slots)
		return false;
	replay_slots[(*allocs)++].size = value;
	return true;
}

static int trace_validate(const __le32 *words, u32 events, u32 *cpu_events)
{
	unsigned long *freed;
	u32 allocs = 0;
	int err = 0;
	u32 pos;

	freed = kvcalloc(BITS_TO_LONGS(nr_replay_slots), sizeof(*freed),
			 GFP_KERNEL);
	if (!freed)
		return -ENOMEM;
	for (pos = 0; pos < events; pos++)
		if (!event_valid(le32_to_cpu(words[pos]), &allocs, freed,
				 cpu_events))
			break;
	if (pos < events || allocs != nr_replay_slots) {
		pr_err("%s: bad event at position %u\n", trace, pos);
		err = -EINVAL;
	}
	kvfree(freed);
	return err;
}

/* The online CPU that stands for a CPU of the trace. */
static unsigned int trace_to_online_cpu(unsigned int trace_cpu)
{
	unsigned int n = trace_cpu % num_online_cpus();
	unsigned int cpu;

	if (trace_cpu < nr_cpu_ids && cpu_online(trace_cpu))
		return trace_cpu;
	for_each_online_cpu(cpu)
		if (!n--)
			return cpu;
	return cpumask_first(cpu_online_mask);
}

static struct replay_cpu *replay_cpu_get(unsigned int cpu)
{
	struct replay_cpu *rc;

	for (rc = replay_cpus; rc < replay_cpus + nr_replay_cpus; rc++)
		if (rc->cpu == cpu)
			return rc;

	nr_replay_cpus++;
	rc->cpu = cpu;
	init_completion(&rc->batch_done);
	tasklet_setup(&rc->tasklet, batch_softirq);
	rc->irq_work = IRQ_WORK_INIT_HARD(batch_hardirq);
	return rc;
}

static int trace_distribute(const __le32 *words, u32 events,
			    const u32 *cpu_events)
{
	struct replay_cpu *map[TRACE_CPUS] = {};
	struct replay_cpu *rc;
	u32 allocs = 0;
	unsigned int i;
	u32 pos;

	for (i = 0; i < TRACE_CPUS; i++) {
		if (!cpu_events[i])
			continue;
		map[i] = replay_cpu_get(trace_to_online_cpu(i));
		map[i]->nr_events += cpu_events[i];
	}
	for (rc = replay_cpus; rc < replay_cpus + nr_replay_cpus; rc++) {
		rc->events = kvmalloc_array(rc->nr_events, sizeof(*rc->events),
					    GFP_KERNEL);
		if (!rc->events)
			return -ENOMEM;
	}

	for (pos = 0; pos < events; pos++) {
		u32 word = le32_to_cpu(words[pos]);
		bool free = word & TRACE_FREE;

		rc = map[FIELD_GET(TRACE_CPU, word)];
		/* head serves as the fill level until the replay starts. */
		rc->events[rc->head++] = (struct replay_event) {
			.pos = pos,
			.id = free ? allocs - FIELD_GET(TRACE_VALUE, word) : allocs,
			.free = free,
			.ctx = FIELD_GET(TRACE_CTX, word),
		};
		allocs += !free;
	}
	return 0;
}

static int trace_load(void)
{
	u32 cpu_events[TRACE_CPUS] = {};
	const struct trace_header *hdr;
	const __le32 *words;
	size_t size;
	int err;

	hdr = trace_read(trace, &size);
	if (IS_ERR(hdr)) {
		pr_err("cannot read %s: %pe\n", trace, hdr);
		return PTR_ERR(hdr);
	}
	if (!header_valid(hdr, size)) {
		pr_err("%s is not a packed trace of version %u, or is cut off\n",
		       trace, TRACE_VERSION);
		err = -EINVAL;
		goto out;
	}

	err = -ENOMEM;
	nr_replay_slots = le32_to_cpu(hdr->allocs);
	replay_slots = kvcalloc(nr_replay_slots, sizeof(*replay_slots),
				GFP_KERNEL);
	if (!replay_slots)
		goto out;

	words = (const __le32 *)(hdr + 1);
	err = trace_validate(words, le32_to_cpu(hdr->events), cpu_events);
	if (!err)
		err = trace_distribute(words, le32_to_cpu(hdr->events), cpu_events);
out:
	vfree(hdr);
	return err;
}

static void trace_unload(void)
{
	struct replay_cpu *rc;

	for (rc = replay_cpus; rc < replay_cpus + nr_replay_cpus; rc++) {
		/* They have completed, but may not have returned. */
		tasklet_kill(&rc->tasklet);
		irq_work_sync(&rc->irq_work);
		kvfree(rc->events);
	}
	kvfree(replay_slots);
}

/* The run and its result */

static int replay_once(struct replay_result *res)
{
	struct chaos_heap_stats before, after;
	unsigned int i;
	ktime_t start;
	int err;

	chaos_heap_stats(NULL, &before);

	start = ktime_get();
	err = run_threads(replay_thread);
	if (err)
		return err;
	res->time_ms += ktime_ms_delta(ktime_get(), start);

	res->check = res->check ?: chaos_heap_check(NULL);
	if (run_threads(drain_thread))
		for (i = 0; i < nr_replay_cpus; i++)
			drain(&replay_cpus[i]);
	res->check = res->check ?: chaos_heap_check(NULL);

	chaos_heap_stats(NULL, &after);
	if (after.live_blocks > before.live_blocks) {
		pr_err("%zu blocks left in the heap, %zu before the replay\n",
		       after.live_blocks, before.live_blocks);
		res->leaked = true;
	}
	if (after.bad_frees > before.bad_frees) {
		pr_err("%lu frees were refused\n",
		       after.bad_frees - before.bad_frees);
		res->leaked = true;
	}
	return 0;
}

static void replay_report(struct replay_result *res)
{
	struct chaos_heap_stats st;
	struct replay_cpu *rc;
	char check[16] = "ok";
	bool ok;

	for (rc = replay_cpus; rc < replay_cpus + nr_replay_cpus; rc++) {
		res->allocs += rc->allocs;
		res->frees += rc->frees;
		res->failures += rc->failures;
		res->mismatches += rc->mismatches;
	}
	if (res->check)
		snprintf(check, sizeof(check), "%d", res->check);
	ok = !res->failures && !res->mismatches && !res->check && !res->leaked;

	chaos_heap_stats(NULL, &st);
	pr_info("result: allocator=%s ops=%llu allocs=%llu frees=%llu failures=%llu mismatches=%llu check=%s peak_live=%lld held=%zu time_ms=%lld verdict=%s\n",
		st.allocator, res->allocs + res->frees, res->allocs, res->frees,
		res->failures, res->mismatches, check,
		atomic64_read(&replay_peak), st.peak_held_bytes, res->time_ms,
		ok ? "ok" : "bad");
}

static int __init replay_init(void)
{
	struct replay_result res = {};
	unsigned int i;
	int err;

	if (!trace || !repeat) {
		pr_err("needs trace=PATH of a packed trace, and repeat= of at least 1\n");
		return -EINVAL;
	}

	err = trace_load();
	for (i = 0; !err && i < repeat; i++)
		err = replay_once(&res);
	if (!err)
		replay_report(&res);
	trace_unload();
	return err;
}

/* All is done and given back by then; without it the module could not go. */
static void __exit replay_exit(void)
{
}

module_init(replay_init);
module_exit(replay_exit);

MODULE_DESCRIPTION("Replay of a kernel's allocation trace through chaos_alloc");
MODULE_LICENSE("GPL");
