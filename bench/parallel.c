// SPDX-License-Identifier: GPL-2.0
/*
 * What several CPUs can be given to do at once.
 *
 * Each CPU has a thread of its own.  They start together and go on until they
 * are told to stop; what counts is how many blocks they have allocated and freed
 * by then.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kfifo.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "bench.h"

static unsigned int parallel_ms;
module_param(parallel_ms, uint, 0444);
MODULE_PARM_DESC(parallel_ms, "Milliseconds of each work on several CPUs (default 0: none)");

/* Blocks of a basket */
#define BASKET		512
/* Blocks on their way from one CPU to another; a power of two */
#define RING		8192

#define CREW_GFP	(GFP_KERNEL | __GFP_NOWARN)

/**
 * struct basket - blocks that are handed over together
 * @p: NULL where there is none
 * @size: their sizes
 */
struct basket {
	void *p[BASKET];
	u32 size[BASKET];
};

/**
 * struct member - one CPU's part
 * @crew: of which it is one
 * @index: which one
 * @task: the thread
 * @done: it has stopped
 * @random: its own
 * @turn: steps so far
 * @pairs: blocks allocated and freed
 * @failures: allocations that failed
 * @basket: what it has
 * @mailbox: a basket that somebody has put there, for somebody else
 * @ring: from this member to the next; one puts, one gets, so without a lock
 */
struct member {
	struct crew *crew;
	unsigned int index;
	struct task_struct *task;
	struct completion done;
	struct rnd_state random;
	u64 turn;
	u64 pairs;
	u64 failures;
	struct basket *basket;
	struct basket *mailbox;
	DECLARE_KFIFO(ring, void *, RING);
} ____cacheline_aligned_in_smp;

/**
 * struct crew - all of them
 * @work: what they do
 * @heap: with whom
 * @size: of blocks, if that is the same for all
 * @n: how many
 * @go: all have been made
 * @stop: written once, read without ordering: only the time hangs on it
 * @member: each of them
 */
struct crew {
	const struct parallel_work *work;
	struct bench_heap heap;
	size_t size;
	unsigned int n;
	struct completion go;
	bool stop;
	struct member *member;
};

/**
 * struct parallel_work - what several CPUs are given to do
 * @name: for the reports
 * @sized: for each of the sizes
 * @team: members come in teams of so many
 * @step: some hundreds of calls
 */
struct parallel_work {
	const char *name;
	bool sized;
	unsigned int team;
	void (*step)(struct member *member);
};

static const size_t parallel_sizes[] = { 64, SZ_1K };

/* ---------------------------------- works --------------------------------- */

static void *member_alloc(struct member *member, size_t size)
{
	const struct bench_heap *heap = &member->crew->heap;
	void *p = heap->peer->alloc(heap->arg, size, CREW_GFP);

	if (!p)
		member->failures++;
	return p;
}

static void member_free(struct member *member, void *p, size_t size)
{
	const struct bench_heap *heap = &member->crew->heap;

	heap->peer->free(heap->arg, p, size);
	member->pairs++;
}

static void pair_step(struct member *member)
{
	size_t size = member->crew->size;
	unsigned int i;
	void *p;

	for (i = 0; i < BENCH_BATCH; i++) {
		p = member_alloc(member, size);
		if (p)
			member_free(member, p, size);
	}
}

static void batch_step(struct member *member)
{
	struct basket *basket = member->basket;
	size_t size = member->crew->size;
	unsigned int i;

	for (i = 0; i < BENCH_BATCH; i++)
		basket->p[i] = member_alloc(member, size);
	for (i = 0; i < BENCH_BATCH; i++) {
		if (basket->p[i])
			member_free(member, basket->p[i], size);
		basket->p[i] = NULL;
	}
}

/* 16 bytes to 4 KiB, as many of each power of two */
static u32 churn_size(struct member *member)
{
	u32 half = 16U << (prandom_u32_state(&member->random) % 8);

	return half + 1 + prandom_u32_state(&member->random) % half;
}

static void churn_step(struct member *member)
{
	struct basket *basket = member->basket;
	unsigned int i, slot;

	for (i = 0; i < BENCH_BATCH; i++) {
		slot = prandom_u32_state(&member->random) % BASKET;
		if (basket->p[slot])
			member_free(member, basket->p[slot], basket->size[slot]);
		basket->size[slot] = churn_size(member);
		basket->p[slot] = member_alloc(member, basket->size[slot]);
	}
}

/*
 * Larson's server: somebody else goes on with the blocks that a thread leaves.
 * The exchange is a full barrier, so what is in the basket comes with it.
 */
static void larson_step(struct member *member)
{
	struct crew *crew = member->crew;
	unsigned int next = (member->index + member->turn++) % crew->n;

	churn_step(member);
	member->basket = xchg(&crew->member[next].mailbox, member->basket);
}

static void produce(struct member *member)
{
	unsigned int i;
	void *p;

	for (i = 0; i < BENCH_BATCH && !kfifo_is_full(&member->ring); i++) {
		p = member_alloc(member, member->crew->size);
		if (!p)
			break;
		kfifo_put(&member->ring, p);
	}
}

static void consume(struct member *member, struct member *producer)
{
	unsigned int i;
	void *p;

	for (i = 0; i < BENCH_BATCH && kfifo_get(&producer->ring, &p); i++)
		member_free(member, p, member->crew->size);
}

/* Every block is freed by another CPU. */
static void producer_step(struct member *member)
{
	if (member->index % 2 == 0)
		produce(member);
	else
		consume(member, member - 1);
}

static const struct parallel_work parallel_works[] = {
	{ "parallel-pair", true, 1, pair_step },
	{ "parallel-batch", true, 1, batch_step },
	{ "parallel-churn", false, 1, churn_step },
	{ "larson", false, 1, larson_step },
	{ "producer", true, 2, producer_step },
};

/* ---------------------------------- crews --------------------------------- */

static int member_thread(void *arg)
{
	struct member *member = arg;
	struct crew *crew = member->crew;

	wait_for_completion(&crew->go);
	while (!READ_ONCE(crew->stop)) {
		crew->work->step(member);
		cond_resched();
	}
	kthread_complete_and_exit(&member->done, 0);
}

static unsigned int nth_online_cpu(unsigned int n)
{
	unsigned int cpu;

	for_each_online_cpu(cpu)
		if (!n--)
			break;
	return cpu;
}

static int member_init(struct crew *crew, unsigned int index)
{
	struct member *member = &crew->member[index];
	unsigned int cpu = nth_online_cpu(index);

	member->crew = crew;
	member->index = index;
	init_completion(&member->done);
	prandom_seed_state(&member->random, index + 1);
	INIT_KFIFO(member->ring);
	member->basket = vzalloc(sizeof(*member->basket));
	member->mailbox = vzalloc(sizeof(*member->mailbox));
	if (!member->basket || !member->mailbox)
		return -ENOMEM;
	member->task = kthread_create_on_node(member_thread, member, cpu_to_node(cpu),
					      KBUILD_MODNAME "/%u", cpu);
	if (IS_ERR(member->task)) {
		int err = PTR_ERR(member->task);

		member->task = NULL;
		return err;
	}
	kthread_bind(member->task, cpu);
	return 0;
}

static void basket_free(struct crew *crew, struct basket *basket)
{
	const struct bench_heap *heap = &crew->heap;
	unsigned int i;

	for (i = 0; basket && i < BASKET; i++)
		if (basket->p[i])
			heap->peer->free(heap->arg, basket->p[i], basket->size[i]);
	vfree(basket);
}

static void crew_exit(struct crew *crew)
{
	const struct bench_heap *heap = &crew->heap;
	unsigned int i;
	void *p;

	for (i = 0; i < crew->n; i++) {
		struct member *member = &crew->member[i];

		while (kfifo_get(&member->ring, &p))
			heap->peer->free(heap->arg, p, crew->size);
		basket_free(crew, member->basket);
		basket_free(crew, member->mailbox);
	}
	vfree(crew->member);
}

/* Those that never ran are stopped; they return without having looked at @go. */
static int crew_init(struct crew *crew)
{
	unsigned int i;
	int err = 0;

	init_completion(&crew->go);
	crew->member = vzalloc(array_size(crew->n, sizeof(*crew->member)));
	if (!crew->member)
		return -ENOMEM;
	for (i = 0; !err && i < crew->n; i++)
		err = member_init(crew, i);
	if (!err)
		return 0;
	for (i = 0; i < crew->n; i++)
		if (crew->member[i].task)
			kthread_stop(crew->member[i].task);
	crew_exit(crew);
	return err;
}

/* Returns for how many nanoseconds they have been at it. */
static u64 crew_run(struct crew *crew)
{
	unsigned int i;
	u64 start, ns;

	for (i = 0; i < crew->n; i++)
		wake_up_process(crew->member[i].task);
	start = ktime_get_ns();
	complete_all(&crew->go);
	msleep(parallel_ms);
	WRITE_ONCE(crew->stop, true);
	ns = ktime_get_ns() - start;
	for (i = 0; i < crew->n; i++)
		wait_for_completion(&crew->member[i].done);
	return ns;
}

static int crew_report(const struct crew *crew, unsigned int turn, u64 ns)
{
	u64 pairs = 0, failures = 0;
	unsigned int i;

	for (i = 0; i < crew->n; i++) {
		pairs += crew->member[i].pairs;
		failures += crew->member[i].failures;
	}
	pr_info("parallel: work=%s peer=%s size=%zu cpus=%u turn=%u pairs=%llu ns=%llu failures=%llu\n",
		crew->work->name, crew->heap.peer->name, crew->size, crew->n, turn,
		pairs, ns, failures);
	return failures ? -ENOMEM : 0;
}

static int run_crew(const struct parallel_work *work, const struct bench_peer *peer,
		    size_t size, unsigned int n, unsigned int turn)
{
	struct crew crew = { .work = work, .size = size, .n = n };
	int err;

	err = bench_heap_setup(&crew.heap, peer, size, 0);
	if (err)
		goto out;
	err = crew_init(&crew);
	if (!err) {
		err = crew_report(&crew, turn, crew_run(&crew));
		crew_exit(&crew);
	}
	bench_heap_teardown(&crew.heap);
out:
	if (err)
		pr_err("failed: work=%s peer=%s size=%zu cpus=%u turn=%u: %pe\n",
		       work->name, peer->name, size, n, turn, ERR_PTR(err));
	return err;
}

static int run_size(const struct parallel_work *work, size_t size, unsigned int turn)
{
	const struct bench_peer *const *peer;
	unsigned int n;
	int err = 0;

	for (peer = bench_peers; *peer; peer++) {
		if (!bench_peer_wanted(*peer) || (*peer)->sleeps ||
		    ((*peer)->fixed && !size))
			continue;
		for (n = work->team; n <= num_online_cpus(); n *= 2)
			err = run_crew(work, *peer, size, n, turn) ?: err;
	}
	return err;
}

static int run_work(const struct parallel_work *work, unsigned int turn)
{
	unsigned int i;
	int err = 0;

	if (!work->sized)
		return run_size(work, 0, turn);
	for (i = 0; i < ARRAY_SIZE(parallel_sizes); i++)
		err = run_size(work, parallel_sizes[i], turn) ?: err;
	return err;
}

/**
 * bench_parallel - do the works for several CPUs, if the parameters want them
 * @turn: of the repetitions
 */
int bench_parallel(unsigned int turn)
{
	unsigned int i;
	int err = 0;

	for (i = 0; parallel_ms && i < ARRAY_SIZE(parallel_works); i++)
		if (bench_work_wanted(parallel_works[i].name))
			err = run_work(&parallel_works[i], turn) ?: err;
	return err;
}
