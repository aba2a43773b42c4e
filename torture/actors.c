// SPDX-License-Identifier: GPL-2.0
/*
 * Who performs the operations.
 *
 * Threads, half of them bound to a CPU, which they go back to when it was away; two
 * hrtimers for each CPU, one in hardirq, also on PREEMPT_RT, and one in softirq; and a
 * performance counter for each CPU, whose overflow is an NMI where the machine has it
 * so (on arm64 with irqchip.gicv3_pseudo_nmi=1), else an interrupt.
 *
 * Timers of a CPU that goes move to another one, and back when it returns.  Counters
 * do not: they are released before, and made anew.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/perf_event.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>

#include "compat.h"
#include "torture.h"

#define TASK_MAX	SZ_16K
#define TASK_LARGE	SZ_1M
#define ATOMIC_MAX	SZ_2K
#define TICK_STEPS	6
#define TICK_PAUSE	(200 * NSEC_PER_USEC)
#define NMI_STEPS	2

/**
 * struct torture_cpu - the actors of a CPU
 * @softirq: called by a timer
 * @hardirq: called by a timer
 * @nmi: called by a performance counter
 * @nmi_irq: the same, where that is no NMI
 * @nmi_rest: no operations of these two until then
 */
struct torture_cpu {
	struct torture_actor softirq;
	struct torture_actor hardirq;
	struct torture_actor nmi;
	struct torture_actor nmi_irq;
	u64 nmi_rest;
};

static struct torture_cpu *cpus;
static struct torture_actor *threads;

void torture_actor_init(struct torture_actor *a, enum torture_ctx ctx, int cpu)
{
	a->ctx = ctx;
	a->cpu = cpu;
	raw_spin_lock_init(&a->lock);
	torture_seed_next(&a->rnd);
}

/* ---------------------------------- threads -------------------------------- */

/* Where a task may not sleep */
static void step_atomically(struct torture_actor *a)
{
	unsigned long flags;

	switch (torture_below(&a->rnd, 3)) {
	case 0:
		preempt_disable();
		torture_step(a, GFP_ATOMIC, ATOMIC_MAX);
		preempt_enable();
		break;
	case 1:
		local_irq_save(flags);
		torture_step(a, GFP_ATOMIC, ATOMIC_MAX);
		local_irq_restore(flags);
		break;
	default:
		raw_spin_lock_irqsave(&a->lock, flags);
		torture_step(a, GFP_ATOMIC, ATOMIC_MAX);
		raw_spin_unlock_irqrestore(&a->lock, flags);
		break;
	}
}

static void step_in_task(struct torture_actor *a)
{
	switch (torture_below(&a->rnd, 256)) {
	case 0:
		torture_step(a, GFP_KERNEL, TASK_LARGE);
		break;
	case 1 ... 64:
		torture_step(a, GFP_NOWAIT, TASK_MAX);
		break;
	case 65 ... 128:
		step_atomically(a);
		break;
	default:
		torture_step(a, GFP_KERNEL, TASK_MAX);
		break;
	}
}

/*
 * To where the thread belongs, unless that CPU is away.  Not while it is going: the kernel
 * would leave the thread where it is, on a CPU that is not in its mask, and on PREEMPT_RT
 * warn of that when it lets go of its next lock.
 */
static void go_back(const struct torture_actor *a)
{
	if (a->cpu < 0 || !cpus_read_trylock())
		return;
	set_cpus_allowed_ptr(current, cpumask_of(a->cpu));
	cpus_read_unlock();
}

static int torture_thread(void *arg)
{
	struct torture_actor *a = arg;
	unsigned int i;

	/* Whoever watches, or runs alongside, comes first. */
	set_user_nice(current, MAX_NICE);
	for (i = 1; !kthread_should_stop(); i++) {
		if (torture_stopping()) {
			torture_pause(10);
			continue;
		}
		step_in_task(a);
		if (i % 16 == 0)
			cond_resched();
		if (i % 1024 == 0) {
			go_back(a);
			torture_pause(1);
		}
	}
	return 0;
}

static int start_threads(void)
{
	unsigned int i;
	int cpu = -1;

	threads = kvcalloc(torture_options.nthreads, sizeof(*threads), GFP_KERNEL);
	if (!threads)
		return -ENOMEM;
	for (i = 0; i < torture_options.nthreads; i++) {
		struct torture_actor *a = &threads[i];
		struct task_struct *task;

		if (i % 2 == 0) {
			cpu = cpumask_next(cpu, cpu_online_mask);
			if (cpu >= nr_cpu_ids)
				cpu = cpumask_first(cpu_online_mask);
		}
		torture_actor_init(a, TORTURE_TASK, i % 2 ? -1 : cpu);
		task = kthread_create(torture_thread, a, "chaos_torture/%u", i);
		if (IS_ERR(task))
			return PTR_ERR(task);
		if (a->cpu >= 0)
			kthread_bind(task, a->cpu);
		a->task = task;
		wake_up_process(task);
	}
	return 0;
}

static void stop_threads(void)
{
	unsigned int i;

	for (i = 0; threads && i < torture_options.nthreads; i++) {
		if (threads[i].task)
			kthread_stop(threads[i].task);
		threads[i].task = NULL;
	}
}

/* ---------------------------------- timers --------------------------------- */

/* The CPU's other work has as much time as this had, however slow the machine is. */
static enum hrtimer_restart tick(struct torture_actor *a, bool stray)
{
	ktime_t began = ktime_get(), now;
	u64 pause;
	unsigned int i;

	if (torture_stopping())
		return HRTIMER_NORESTART;
	a->stray += stray;
	for (i = 0; i < TICK_STEPS; i++)
		torture_step(a, GFP_ATOMIC, ATOMIC_MAX);
	now = ktime_get();
	pause = TICK_PAUSE / 2 + torture_below(&a->rnd, TICK_PAUSE) +
		2 * ktime_to_ns(ktime_sub(now, began));
	hrtimer_set_expires(&a->timer, ktime_add_ns(now, pause));
	return HRTIMER_RESTART;
}

static enum hrtimer_restart tick_hardirq(struct hrtimer *timer)
{
	return tick(container_of(timer, struct torture_actor, timer),
		    !in_hardirq());
}

static enum hrtimer_restart tick_softirq(struct hrtimer *timer)
{
	return tick(container_of(timer, struct torture_actor, timer),
		    !in_serving_softirq());
}

static const ktime_t soon = TICK_PAUSE;

/* On the CPU that they are for; elsewhere, they may be running. */
static int start_timers(void *arg)
{
	struct torture_cpu *c = arg;

	if (torture_options.softirq) {
		hrtimer_cancel(&c->softirq.timer);
		hrtimer_start(&c->softirq.timer, soon, HRTIMER_MODE_REL_PINNED_SOFT);
	}
	if (torture_options.hardirq) {
		hrtimer_cancel(&c->hardirq.timer);
		hrtimer_start(&c->hardirq.timer, soon, HRTIMER_MODE_REL_PINNED_HARD);
	}
	return 0;
}

/* ----------------------------------- NMIs ---------------------------------- */

#if IS_ENABLED(CONFIG_PERF_EVENTS)
static void overflow(struct perf_event *event, struct perf_sample_data *data,
		     struct pt_regs *regs)
{
	struct torture_cpu *c = event->overflow_handler_context;
	struct torture_actor *a = in_nmi() ? &c->nmi : &c->nmi_irq;
	u64 began = ktime_get_mono_fast_ns(), now;
	unsigned int i;

	/* As tick(): where a step takes longer than the period, NMIs would be all there is. */
	if (began < c->nmi_rest)
		return;
	for (i = 0; i < NMI_STEPS && !torture_stopping(); i++)
		torture_step(a, GFP_ATOMIC, ATOMIC_MAX);
	now = ktime_get_mono_fast_ns();
	c->nmi_rest = now + 3 * (now - began);
}

/* Of the CPU, not of a task: it counts in interrupts, too. */
static void start_counter(int cpu)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_HARDWARE,
		.config		= PERF_COUNT_HW_CPU_CYCLES,
		.size		= sizeof(attr),
		.sample_period	= torture_options.nmi_period,
		.pinned		= 1,
	};
	struct perf_event *event;

	if (!torture_options.nmi)
		return;
	event = perf_event_create_kernel_counter(&attr, cpu, NULL, overflow,
						 &cpus[cpu]);
	if (IS_ERR(event))
		pr_info_once("no cycle counter that overflows: %pe\n", event);
	else
		cpus[cpu].nmi.event = event;
}

static void stop_counter(int cpu)
{
	struct perf_event *event = cpus[cpu].nmi.event;

	cpus[cpu].nmi.event = NULL;
	if (event)
		perf_event_release_kernel(event);
}
#else
static void start_counter(int cpu)
{
	if (torture_options.nmi)
		pr_info_once("a kernel without performance events\n");
}

static void stop_counter(int cpu)
{
}
#endif

/* ------------------------------------ all ---------------------------------- */

static void init_cpu(int cpu)
{
	struct torture_cpu *c = &cpus[cpu];

	torture_actor_init(&c->softirq, TORTURE_SOFTIRQ, cpu);
	torture_actor_init(&c->hardirq, TORTURE_HARDIRQ, cpu);
	torture_actor_init(&c->nmi, TORTURE_NMI, cpu);
	torture_actor_init(&c->nmi_irq, TORTURE_HARDIRQ, cpu);
	hrtimer_setup(&c->softirq.timer, tick_softirq, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_SOFT);
	hrtimer_setup(&c->hardirq.timer, tick_hardirq, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
}

void torture_cpu_joined(int cpu)
{
	smp_call_on_cpu(cpu, start_timers, &cpus[cpu], false);
	start_counter(cpu);
}

void torture_cpu_leaves(int cpu)
{
	stop_counter(cpu);
}

int torture_actors_start(void)
{
	int cpu, err;

	cpus = kvcalloc(nr_cpu_ids, sizeof(*cpus), GFP_KERNEL);
	if (!cpus)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		init_cpu(cpu);
	for_each_online_cpu(cpu)
		torture_cpu_joined(cpu);
	err = torture_options.task ? start_threads() : 0;
	return err;
}

static void expect_no_stray(const struct torture_actor *a)
{
	if (a->stray)
		torture_fail("%llu times in the wrong context", a->stray);
}

void torture_actors_stop(void)
{
	int cpu;

	stop_threads();
	if (!cpus)
		return;
	for_each_possible_cpu(cpu) {
		stop_counter(cpu);
		hrtimer_cancel(&cpus[cpu].softirq.timer);
		hrtimer_cancel(&cpus[cpu].hardirq.timer);
		expect_no_stray(&cpus[cpu].softirq);
		expect_no_stray(&cpus[cpu].hardirq);
	}
}

void torture_actors_free(void)
{
	kvfree(threads);
	kvfree(cpus);
	threads = NULL;
	cpus = NULL;
}

void torture_tally_add(struct torture_tally *sum, const struct torture_actor *a)
{
	unsigned int i;

	for (i = 0; i < TORTURE_OPS; i++)
		sum->ops[i] += READ_ONCE(a->tally.ops[i]);
	sum->made += READ_ONCE(a->tally.made);
	sum->freed += READ_ONCE(a->tally.freed);
	sum->foreign += READ_ONCE(a->tally.foreign);
	sum->nulls += READ_ONCE(a->tally.nulls);
}

void torture_actors_sum(struct torture_tally sum[TORTURE_CTXS])
{
	unsigned int i;
	int cpu;

	for (i = 0; threads && i < torture_options.nthreads; i++)
		torture_tally_add(&sum[TORTURE_TASK], &threads[i]);
	for_each_possible_cpu(cpu) {
		torture_tally_add(&sum[TORTURE_SOFTIRQ], &cpus[cpu].softirq);
		torture_tally_add(&sum[TORTURE_HARDIRQ], &cpus[cpu].hardirq);
		torture_tally_add(&sum[TORTURE_HARDIRQ], &cpus[cpu].nmi_irq);
		torture_tally_add(&sum[TORTURE_NMI], &cpus[cpu].nmi);
	}
}
