// SPDX-License-Identifier: GPL-2.0
/*
 * Where kmalloc() may not be called on PREEMPT_RT, and chaos_alloc() may: with
 * preemption or interrupts off, under raw spinlocks and in hard interrupt handlers.
 * To be loaded on a kernel whose checks are on (DEBUG_ATOMIC_SLEEP, PROVE_LOCKING with
 * PROVE_RAW_LOCK_NESTING): these say nothing.
 *
 * With demo_kmalloc=1, kmalloc() is called in the same places instead, or in the one that
 * place= names, and the checks report it.  insmod succeeds all the same; the machine is
 * in danger if it is in use.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "compat.h"

static bool demo_kmalloc;
module_param(demo_kmalloc, bool, 0444);
MODULE_PARM_DESC(demo_kmalloc, "call kmalloc() where it may not be called, to have the kernel report it (default no)");

static char *place = "";
module_param(place, charp, 0444);
MODULE_PARM_DESC(place, "the only place to call kmalloc() in (default all of them)");

#define RT_POOL		SZ_8M
#define RT_BLOCKS	64
#define RT_ROUNDS	50

/**
 * struct rt_job - what is done in a place
 * @heap: where the blocks are from; NULL: kmalloc()
 * @p: the blocks
 * @calls: calls that gave a block
 * @bad: NULLs, wrong contents, wrong places
 * @timer: for the hard interrupt
 * @done: it has come
 */
struct rt_job {
	struct chaos_heap *heap;
	void *p[RT_BLOCKS];
	unsigned long calls;
	unsigned long bad;
	struct hrtimer timer;
	struct completion done;
};

static size_t rt_size(unsigned int i)
{
	return 16 + 128 * i;
}

/* ------------------------------- what is done ------------------------------ */

static void *rt_alloc(struct chaos_heap *heap, unsigned int i)
{
	switch (i % 3) {
	case 0:	return chaos_heap_alloc(heap, rt_size(i), GFP_ATOMIC);
	case 1:	return chaos_heap_zalloc(heap, rt_size(i), GFP_ATOMIC);
	default: return chaos_heap_alloc_aligned(heap, rt_size(i), SZ_4K, GFP_ATOMIC);
	}
}

static void rt_grow(struct rt_job *job, unsigned int i)
{
	void *p = chaos_heap_realloc(job->heap, job->p[i], 2 * rt_size(i), GFP_ATOMIC);

	if (p)
		job->p[i] = p;
	else
		job->bad++;
}

static void rt_work(struct rt_job *job)
{
	unsigned int i;

	for (i = 0; i < RT_BLOCKS; i++) {
		job->p[i] = rt_alloc(job->heap, i);
		if (!job->p[i]) {
			job->bad++;
			continue;
		}
		job->calls++;
		memset(job->p[i], i, rt_size(i));
	}
	for (i = 0; i < RT_BLOCKS; i++) {
		if (job->p[i] && i % 4 == 0)
			rt_grow(job, i);
		if (job->p[i] && memchr_inv(job->p[i], i, rt_size(i)))
			job->bad++;
		chaos_heap_free(job->heap, job->p[i]);
	}
}

/* As many pages as it takes to get past what a CPU has at hand.  Seen in reports. */
static noinline void rt_work_kmalloc(struct rt_job *job)
{
	unsigned int i;

	for (i = 0; i < RT_BLOCKS; i++) {
		job->p[i] = kmalloc(SZ_4K, GFP_ATOMIC);
		job->calls += !!job->p[i];
	}
	for (i = 0; i < RT_BLOCKS; i++)
		kfree(job->p[i]);
}

static void rt_do(struct rt_job *job)
{
	if (job->heap)
		rt_work(job);
	else
		rt_work_kmalloc(job);
}

/* ---------------------------------- places --------------------------------- */

static DEFINE_RAW_SPINLOCK(rt_lock);

static void rt_preempt_off(struct rt_job *job)
{
	preempt_disable();
	rt_do(job);
	preempt_enable();
}

static void rt_irqs_off(struct rt_job *job)
{
	unsigned long flags;

	local_irq_save(flags);
	rt_do(job);
	local_irq_restore(flags);
}

static void rt_raw_spinlock(struct rt_job *job)
{
	raw_spin_lock(&rt_lock);
	rt_do(job);
	raw_spin_unlock(&rt_lock);
}

static void rt_raw_spinlock_irq(struct rt_job *job)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&rt_lock, flags);
	rt_do(job);
	raw_spin_unlock_irqrestore(&rt_lock, flags);
}

static enum hrtimer_restart rt_tick(struct hrtimer *timer)
{
	struct rt_job *job = container_of(timer, struct rt_job, timer);

	job->bad += !in_hardirq();
	rt_do(job);
	complete(&job->done);
	return HRTIMER_NORESTART;
}

static void rt_hardirq(struct rt_job *job)
{
	reinit_completion(&job->done);
	hrtimer_start(&job->timer, ns_to_ktime(NSEC_PER_MSEC), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&job->done);
}

static const struct {
	const char *name;
	void (*run)(struct rt_job *job);
} rt_places[] = {
	{ "preemption-off",	rt_preempt_off },
	{ "interrupts-off",	rt_irqs_off },
	{ "raw-spinlock",	rt_raw_spinlock },
	{ "raw-spinlock-irq",	rt_raw_spinlock_irq },
	{ "hard-interrupt",	rt_hardirq },
};

/* ----------------------------------- module -------------------------------- */

static int rt_everywhere(struct rt_job *job, const char *engine)
{
	unsigned long bad = 0;
	unsigned int i, n;

	for (i = 0; i < ARRAY_SIZE(rt_places); i++) {
		job->calls = 0;
		job->bad = 0;
		for (n = 0; n < RT_ROUNDS; n++)
			rt_places[i].run(job);
		pr_info("engine=%s place=%s blocks=%lu bad=%lu\n", engine,
			rt_places[i].name, job->calls, job->bad);
		bad += job->bad;
	}
	if (chaos_heap_check(job->heap))
		bad++;
	return bad ? -EIO : 0;
}

static int rt_engine(struct rt_job *job, const char *engine)
{
	const struct chaos_heap_params params = {
		.name = "rt",
		.allocator = engine,
		.pool_size = RT_POOL,
		.node = NUMA_NO_NODE,
	};
	int err;

	job->heap = chaos_heap_create(&params);
	if (IS_ERR(job->heap))
		return PTR_ERR(job->heap);
	err = rt_everywhere(job, engine);
	chaos_heap_destroy(job->heap);
	return err;
}

/* The kernel reports a sleep in the wrong place once a second at most. */
static void rt_kmalloc(struct rt_job *job)
{
	unsigned int i;

	job->heap = NULL;
	for (i = 0; i < ARRAY_SIZE(rt_places); i++) {
		if (*place && strcmp(place, rt_places[i].name))
			continue;
		msleep(1500);
		job->calls = 0;
		pr_info("kmalloc place=%s begin\n", rt_places[i].name);
		rt_places[i].run(job);
		pr_info("kmalloc place=%s end blocks=%lu\n", rt_places[i].name,
			job->calls);
	}
}

static int rt_engines(struct rt_job *job)
{
	static const char * const engines[] = { "mimalloc", "tlsf", "evl" };
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(engines); i++)
		err = rt_engine(job, engines[i]);
	return err;
}

static int __init rt_init(void)
{
	struct rt_job *job = kzalloc(sizeof(*job), GFP_KERNEL);
	int err = 0;

	if (!job)
		return -ENOMEM;
	init_completion(&job->done);
	hrtimer_setup(&job->timer, rt_tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	pr_info("begin preempt_rt=%d atomic_sleep=%d lockdep=%d\n",
		IS_ENABLED(CONFIG_PREEMPT_RT), IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP),
		IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING));
	if (demo_kmalloc)
		rt_kmalloc(job);
	else
		err = rt_engines(job);
	/* Its handler may still be returning. */
	hrtimer_cancel(&job->timer);
	kfree(job);
	pr_info("end: %s\n", err ? "FAILURE" : "SUCCESS");
	return err;
}

/* All is done by then; without it the module could not go. */
static void __exit rt_exit(void)
{
}

module_init(rt_init);
module_exit(rt_exit);

MODULE_DESCRIPTION("Calls of chaos_alloc where PREEMPT_RT forbids those of kmalloc");
MODULE_LICENSE("GPL");
