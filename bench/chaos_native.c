// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_native: loops of calls at the full speed of a machine, in nanoseconds.
 *
 * For User-mode Linux, whose kernel code runs natively.  The loops are those of
 * loops.h; mimalloc in user space runs the same (user_mimalloc.c).  Each CPU that takes
 * part has a thread, and a loop of its own.  Threads go on until all have their
 * samples, so that nobody's are taken alone.
 *
 * What is reported is a distribution over blocks of LOOP_CALLS calls.  Its median
 * stands for the cost of a call: a machine that is shared takes the CPU away now
 * and then, which a mean would show and the median does not.  The same loop of a
 * function that only returns, "empty", is subtracted.
 *
 * Interrupts are masked for a block at a time.  User-mode Linux with several CPUs
 * needs a system call for that, which costs more than all else; masked already,
 * those who mask interrupts in each call pay nothing for it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "chaos_alloc.h"
#include "use.h"

static unsigned int turns = 1;
module_param(turns, uint, 0444);
MODULE_PARM_DESC(turns, "How often all of it is done (default 1)");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "Of the random numbers (default 1)");

static char *only = "";
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "Peers, separated by commas (default: all)");

static char *works = "";
module_param(works, charp, 0444);
MODULE_PARM_DESC(works, "Loops, separated by commas (default: all)");

static unsigned int sizes[16] = {
	8, 16, 32, 64, 128, 256, 512, SZ_1K, SZ_2K, SZ_4K, SZ_8K, SZ_16K, SZ_32K,
	SZ_64K
};

static unsigned int nr_sizes = 14;
module_param_array(sizes, uint, &nr_sizes, 0444);
MODULE_PARM_DESC(sizes, "Of blocks (default: powers of two, 8 to 65536)");

/* 32 bits: blocks of calls and the calibration are much shorter than that. */
static __always_inline u32 loop_clock(void)
{
	u32 low, high;

	/* User-mode Linux has no name for it.  The fences keep calls inside. */
	asm volatile("lfence; rdtsc; lfence" : "=a" (low), "=d" (high) : : "memory");
	return low;
}

#include "loops.h"

/* What a heap of ours has at hand: 256 blocks of 64 KiB are a quarter of it. */
#define NATIVE_POOL		(64UL << 20)

/* Blocks on their way from one CPU to another: a power of two, some batches */
#define NATIVE_RING		(4 * LOOP_CALLS)

#define CALIBRATION_MS		200

struct native_member;
struct native_crew;

/**
 * struct native_peer - an allocator
 * @name: for the reports
 * @engine: a heap of ours with this engine is @arg
 * @cache: a kmem_cache is @arg
 * @alloc: as kmalloc()
 * @free: @size is that of the allocation
 */
struct native_peer {
	const char *name;
	const char *engine;
	bool cache;
	void *(*alloc)(void *arg, size_t size, gfp_t gfp);
	void (*free)(void *arg, void *p, size_t size);
};

/**
 * struct native_ring - blocks on their way from one CPU to another
 * @head: how many have been put in; written by the producer
 * @tail: how many have been taken out; written by the consumer
 * @p: the blocks
 *
 * @head is released after the blocks were written to @p, and acquired before they
 * are read; @tail likewise before their places are written again.
 */
struct native_ring {
	unsigned int head ____cacheline_aligned;
	unsigned int tail ____cacheline_aligned;
	void *p[NATIVE_RING] ____cacheline_aligned;
};

/**
 * struct native_member - one CPU's part
 * @loop: what it runs, and its samples
 * @crew: of which it is one
 * @index: which one
 * @task: the thread
 * @done: it has stopped
 */
struct native_member {
	struct loop loop;
	struct native_crew *crew;
	unsigned int index;
	struct task_struct *task;
	struct completion done;
};

/**
 * struct native_crew - those that run a work at the same time
 * @work: what they do
 * @n: how many
 * @ring: between the first and the second
 * @go: all have been made
 * @sampled: how many have all their samples
 * @failed: one of them had no memory, and the others had better stop
 * @member: each of them
 */
struct native_crew {
	const struct loop_work *work;
	unsigned int n;
	struct native_ring ring;
	struct completion go;
	atomic_t sampled;
	bool failed;
	struct native_member *member[];
};

/* The empty loop's ticks for a block of calls, of each CPU */
struct native_empty {
	u32 ticks[NR_CPUS][LOOP_OPS];
};

static u64 femto_per_tick;

/* ----------------------------------- peers -------------------------------- */

static noinline notrace void *nothing_alloc(size_t size, gfp_t gfp)
{
	/* Or the compiler does not hand on what is not made use of. */
	bench_use(size);
	bench_use(gfp);
	return ZERO_SIZE_PTR;
}

static noinline notrace void nothing_free(const void *p)
{
	bench_use(p);
}

static void *empty_alloc(void *arg, size_t size, gfp_t gfp)
{
	return nothing_alloc(size, gfp);
}

static void empty_free(void *arg, void *p, size_t size)
{
	nothing_free(p);
}

static void *kmalloc_alloc(void *arg, size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

static void kmalloc_free(void *arg, void *p, size_t size)
{
	kfree(p);
}

static void *cache_alloc(void *arg, size_t size, gfp_t gfp)
{
	return kmem_cache_alloc(arg, gfp);
}

static void cache_free(void *arg, void *p, size_t size)
{
	kmem_cache_free(arg, p);
}

static void *default_alloc(void *arg, size_t size, gfp_t gfp)
{
	return chaos_alloc(size, gfp);
}

static void default_free(void *arg, void *p, size_t size)
{
	chaos_free(p);
}

static void *heap_alloc(void *arg, size_t size, gfp_t gfp)
{
	return chaos_heap_alloc(arg, size, gfp);
}

static void heap_free(void *arg, void *p, size_t size)
{
	chaos_heap_free(arg, p);
}

static const struct native_peer peer_empty = {
	.name = "empty",
	.alloc = empty_alloc,
	.free = empty_free,
};

static const struct native_peer peers[] = {
	{ .name = "kmalloc", .alloc = kmalloc_alloc, .free = kmalloc_free },
	{ .name = "kmem_cache", .cache = true, .alloc = cache_alloc, .free = cache_free },
	{ .name = "default", .alloc = default_alloc, .free = default_free },
	{ .name = "mimalloc", .engine = "mimalloc", .alloc = heap_alloc, .free = heap_free },
	{ .name = "tlsf", .engine = "tlsf", .alloc = heap_alloc, .free = heap_free },
	{ .name = "evl", .engine = "evl", .alloc = heap_alloc, .free = heap_free },
};

static int peer_setup(const struct native_peer *peer, size_t size, void **arg)
{
	struct chaos_heap_params params = {
		.name = "native",
		.allocator = peer->engine,
		.pool_size = NATIVE_POOL,
		.node = NUMA_NO_NODE,
	};

	*arg = NULL;
	if (peer->cache)
		*arg = kmem_cache_create("chaos_native", size, 0, 0, NULL);
	else if (peer->engine)
		*arg = chaos_heap_create(&params);
	else
		chaos_heap_collect(NULL, true);
	return peer->cache && !*arg ? -ENOMEM : PTR_ERR_OR_ZERO(*arg);
}

static void peer_teardown(const struct native_peer *peer, void *arg)
{
	if (peer->cache)
		kmem_cache_destroy(arg);
	else if (peer->engine)
		chaos_heap_destroy(arg);
}

/* --------------------------------- hand-over ------------------------------- */

static bool crew_over(struct native_crew *crew)
{
	return READ_ONCE(crew->failed) || atomic_read(&crew->sampled) == crew->n;
}

static bool ring_ready(const struct native_ring *ring, bool producer)
{
	unsigned int head, tail;

	if (producer) {
		tail = smp_load_acquire(&ring->tail);	/* pairs with consume() */
		return ring->head - tail <= NATIVE_RING - LOOP_CALLS;
	}
	head = smp_load_acquire(&ring->head);	/* pairs with produce() */
	return head - ring->tail >= LOOP_CALLS;
}

static noinline bool produce(struct loop *loop, struct native_ring *ring,
			     u32 ticks[LOOP_OPS])
{
	unsigned int n, head = ring->head;
	u32 start = loop_clock();
	void *p;

	for (n = 0; n < LOOP_CALLS; n++) {
		p = loop->alloc(loop->arg, loop->size, GFP_NOWAIT);
		if (!p)
			break;
		ring->p[(head + n) % NATIVE_RING] = p;
	}
	ticks[LOOP_ALLOC] = loop_clock() - start;
	smp_store_release(&ring->head, head + n);	/* pairs with ring_ready() */
	return n == LOOP_CALLS;
}

static noinline void consume(struct loop *loop, struct native_ring *ring,
			     u32 ticks[LOOP_OPS])
{
	unsigned int i, tail = ring->tail;
	u32 start = loop_clock();

	for (i = 0; i < LOOP_CALLS; i++)
		loop->free(loop->arg, ring->p[(tail + i) % NATIVE_RING], loop->size);
	ticks[LOOP_FREE] = loop_clock() - start;
	smp_store_release(&ring->tail, tail + i);	/* pairs with ring_ready() */
}

/* Blocks are allocated on one CPU and freed on another. */
static bool handover(struct loop *loop, u32 ticks[LOOP_OPS])
{
	struct native_member *member = container_of(loop, struct native_member, loop);
	struct native_ring *ring = &member->crew->ring;

	if (!member->index)
		return produce(loop, ring, ticks);
	consume(loop, ring, ticks);
	return true;
}

static const struct loop_work handover_work = {
	.name = "handover",
	.sized = true,
	.ops = 1U << LOOP_ALLOC | 1U << LOOP_FREE,
	.block = handover,
};

/* Who hands over waits for the other; false: there is nothing to wait for. */
static bool member_wait(const struct native_member *member)
{
	struct native_crew *crew = member->crew;

	if (crew->work != &handover_work)
		return true;
	while (!ring_ready(&crew->ring, !member->index)) {
		if (crew_over(crew))
			return false;
		cpu_relax();
		cond_resched();
	}
	return true;
}

static void ring_empty(struct native_crew *crew)
{
	struct loop *loop = &crew->member[0]->loop;
	struct native_ring *ring = &crew->ring;

	for (; ring->tail != ring->head; ring->tail++)
		loop->free(loop->arg, ring->p[ring->tail % NATIVE_RING], loop->size);
}

/* ----------------------------------- crews -------------------------------- */

static bool member_block(struct native_member *member, u32 ticks[LOOP_OPS])
{
	unsigned long flags;
	bool able;

	local_irq_save(flags);
	able = member->crew->work->block(&member->loop, ticks);
	local_irq_restore(flags);
	return able;
}

static void member_sample(struct native_member *member, int i,
			  const u32 ticks[LOOP_OPS])
{
	unsigned int op;

	for (op = 0; i >= 0 && i < LOOP_BLOCKS && op < LOOP_OPS; op++)
		member->loop.sample[op][i] = ticks[op];
	if (i == LOOP_BLOCKS - 1)
		atomic_inc(&member->crew->sampled);
}

static int member_thread(void *arg)
{
	struct native_member *member = arg;
	struct native_crew *crew = member->crew;
	u32 ticks[LOOP_OPS] = {};
	int i;

	wait_for_completion(&crew->go);
	for (i = -LOOP_WARM; !crew_over(crew) && member_wait(member); i++) {
		if (!member_block(member, ticks))
			WRITE_ONCE(crew->failed, true);
		member_sample(member, i, ticks);
		cond_resched();
	}
	if (!crew->work->sized)
		loop_empty_slots(&member->loop);
	kthread_complete_and_exit(&member->done, 0);
}

static int member_start(struct native_crew *crew, unsigned int index)
{
	struct native_member *member = crew->member[index];

	member->crew = crew;
	member->index = index;
	member->loop.at = 0;
	init_completion(&member->done);
	member->task = kthread_create(member_thread, member, KBUILD_MODNAME "/%u",
				      index);
	if (IS_ERR(member->task))
		return PTR_ERR(member->task);
	kthread_bind(member->task, index);
	wake_up_process(member->task);
	return 0;
}

static int crew_run(struct native_crew *crew, const struct native_peer *peer,
		    void *arg, size_t size)
{
	unsigned int i, started;
	int err = 0;

	init_completion(&crew->go);
	atomic_set(&crew->sampled, 0);
	crew->failed = false;
	crew->ring.head = 0;
	crew->ring.tail = 0;
	for (started = 0; started < crew->n; started++) {
		struct loop *loop = &crew->member[started]->loop;

		loop->alloc = peer->alloc;
		loop->free = peer->free;
		loop->arg = arg;
		loop->size = size;
		err = member_start(crew, started);
		if (err)
			break;
	}
	if (err)
		crew->failed = true;
	complete_all(&crew->go);
	for (i = 0; i < started; i++)
		wait_for_completion(&crew->member[i]->done);
	ring_empty(crew);
	return err ?: crew->failed ? -ENOMEM : 0;
}

static void crew_free(struct native_crew *crew)
{
	unsigned int i;

	for (i = 0; i < crew->n; i++)
		vfree(crew->member[i]);
	vfree(crew);
}

static struct native_crew *crew_new(const struct loop_work *work, unsigned int n)
{
	struct native_crew *crew = vzalloc(struct_size(crew, member, n));
	unsigned int i;

	if (!crew)
		return NULL;
	crew->work = work;
	for (i = 0; i < n; i++) {
		crew->member[i] = vzalloc(sizeof(*crew->member[i]));
		if (!crew->member[i]) {
			crew_free(crew);
			return NULL;
		}
		crew->n++;
		loop_seed(&crew->member[i]->loop, seed + i);
	}
	return crew;
}

/* ---------------------------------- reports -------------------------------- */

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* Hundredths of a nanosecond of a call */
static u64 net(u64 ticks, u64 empty)
{
	if (ticks <= empty)
		return 0;
	return div_u64((ticks - empty) * femto_per_tick, LOOP_CALLS * 10000U);
}

static u64 mean(const u32 *sample)
{
	unsigned int i;
	u64 sum = 0;

	for (i = 0; i < LOOP_BLOCKS; i++)
		sum += sample[i];
	return div_u64(sum, LOOP_BLOCKS);
}

/* A number with two decimals, as text */
struct figure {
	char text[24];
};

static struct figure hundredths(u64 x)
{
	struct figure figure;
	u32 rest;

	x = div_u64_rem(x, 100, &rest);
	snprintf(figure.text, sizeof(figure.text), "%llu.%02u", x, rest);
	return figure;
}

/* Of those that hand over, the first has only allocated, the second only freed. */
static bool has_op(const struct native_member *member, unsigned int op)
{
	if (member->crew->work == &handover_work)
		return op == (member->index ? LOOP_FREE : LOOP_ALLOC);
	return member->crew->work->ops & 1U << op;
}

static void member_report(struct native_member *member, const struct native_peer *peer,
			  unsigned int turn, struct native_empty *empty)
{
	unsigned int op;

	for (op = 0; op < LOOP_OPS; op++) {
		u32 *sample = member->loop.sample[op];
		u32 less = empty->ticks[member->index][op];

		if (!has_op(member, op))
			continue;
		sort(sample, LOOP_BLOCKS, sizeof(*sample), compare_u32, NULL);
		if (peer == &peer_empty)
			empty->ticks[member->index][op] = loop_quantile(sample, 500);
		pr_info("result: work=%s peer=%s size=%zu op=%s cpus=%u cpu=%u turn=%u n=%u mean=%s p50=%s p99=%s p999=%s max=%s\n",
			member->crew->work->name, peer->name, member->loop.size,
			loop_op_names[op], member->crew->n, member->index, turn,
			LOOP_BLOCKS * LOOP_CALLS,
			hundredths(net(mean(sample), less)).text,
			hundredths(net(loop_quantile(sample, 500), less)).text,
			hundredths(net(loop_quantile(sample, 990), less)).text,
			hundredths(net(loop_quantile(sample, 999), less)).text,
			hundredths(net(sample[LOOP_BLOCKS - 1], less)).text);
	}
}

/* ----------------------------------- runs --------------------------------- */

/* How a heap of ours has been used since it was made */
static void heap_report(const struct native_crew *crew, const struct native_peer *peer,
			size_t size, unsigned int turn, struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	pr_info("heap: work=%s peer=%s size=%zu cpus=%u turn=%u allocs=%llu local=%llu foreign=%llu abandoned=%llu adopted=%llu peak_held=%zu\n",
		crew->work->name, peer->name, size, crew->n, turn, stats.allocs,
		stats.local_frees, stats.foreign_frees, stats.abandoned,
		stats.adopted, stats.peak_held_bytes);
}

static int run_peer(struct native_crew *crew, const struct native_peer *peer,
		    size_t size, unsigned int turn, struct native_empty *empty)
{
	unsigned int i;
	void *arg;
	int err;

	err = peer_setup(peer, size, &arg);
	if (!err) {
		err = crew_run(crew, peer, arg, size);
		if (peer->engine)
			heap_report(crew, peer, size, turn, arg);
		peer_teardown(peer, arg);
	}
	if (err) {
		pr_err("failed: work=%s peer=%s size=%zu cpus=%u turn=%u: %pe\n",
		       crew->work->name, peer->name, size, crew->n, turn,
		       ERR_PTR(err));
		return err;
	}
	for (i = 0; i < crew->n; i++)
		member_report(crew->member[i], peer, turn, empty);
	return 0;
}

/* Is @name in a list with commas?  All are in an empty one. */
static bool listed(const char *list, const char *name)
{
	size_t length = strlen(name);
	const char *p = list;

	if (!*list)
		return true;
	for (; (p = strstr(p, name)); p += length)
		if ((p == list || p[-1] == ',') && (!p[length] || p[length] == ','))
			return true;
	return false;
}

static int run_size(struct native_crew *crew, size_t size, unsigned int turn)
{
	struct native_empty *empty = kzalloc(sizeof(*empty), GFP_KERNEL);
	unsigned int i;
	int err;

	if (!empty)
		return -ENOMEM;
	err = run_peer(crew, &peer_empty, size, turn, empty);
	for (i = 0; i < ARRAY_SIZE(peers); i++)
		if (listed(only, peers[i].name) && (!peers[i].cache || size))
			err = run_peer(crew, &peers[i], size, turn, empty) ?: err;
	kfree(empty);
	return err;
}

static int run_work(const struct loop_work *work, unsigned int n, unsigned int turn)
{
	struct native_crew *crew;
	unsigned int i;
	int err = 0;

	if (!listed(works, work->name))
		return 0;
	crew = crew_new(work, n);
	if (!crew)
		return -ENOMEM;
	if (!work->sized)
		err = run_size(crew, 0, turn);
	for (i = 0; work->sized && i < nr_sizes; i++)
		err = run_size(crew, sizes[i], turn) ?: err;
	crew_free(crew);
	return err;
}

static int run_turn(unsigned int turn)
{
	unsigned int i, n;
	int err = 0;

	for (n = 1; n <= num_online_cpus(); n *= 2)
		for (i = 0; i < LOOP_WORKS; i++)
			err = run_work(&loop_works[i], n, turn) ?: err;
	if (num_online_cpus() > 1)
		err = run_work(&handover_work, 2, turn) ?: err;
	return err;
}

/* Both clocks go on while the machine takes the CPU away. */
static void calibrate(void)
{
	u64 start = ktime_get_ns();
	u32 ticks = loop_clock();

	mdelay(CALIBRATION_MS);
	ticks = loop_clock() - ticks;
	femto_per_tick = div_u64((ktime_get_ns() - start) * 1000000, ticks);
}

static int __init native_init(void)
{
	struct chaos_heap_stats stats;
	unsigned int turn;
	int err = 0;

	calibrate();
	chaos_heap_stats(NULL, &stats);
	pr_info("begin: unit=ns default=%s cpus=%u femto_per_tick=%llu\n",
		stats.allocator, num_online_cpus(), femto_per_tick);
	for (turn = 0; turn < turns; turn++)
		err = run_turn(turn) ?: err;
	pr_info("end: %s\n", err ? "failed" : "ok");
	return err;
}

/* All is done and given back by then; without it the module could not go. */
static void __exit native_exit(void)
{
}

module_init(native_init);
module_exit(native_exit);

MODULE_DESCRIPTION("Loops of allocator calls, timed natively");
MODULE_LICENSE("GPL");
