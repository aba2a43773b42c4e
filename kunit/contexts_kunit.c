// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_contexts: every engine in every context that the contract names,
 * blocks that are allocated in one and freed in another, and contexts that
 * interrupt each other in the middle of the heap's own functions.
 *
 * A job is a function that a stage runs in the stage's context.  The contexts:
 * task; preemption off; interrupts off; raw spinlock held; softirq, from a
 * tasklet; hardirq, from a hrtimer; NMI, see nmi.c, on machines that have some.
 */
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

/* ---------------------------------- stages -------------------------------- */

#define JOB_BLOCKS	48
#define JOB_MAX		SZ_8K

/**
 * struct stage - where jobs are run
 * @heap: what they use
 * @job: what is to be run
 * @blocks: of the last job that allocated
 * @tally: what the jobs counted
 * @misplaced: jobs that were not run in the context they were meant for
 * @late: interrupts that never came
 * @done: a job was run by an interrupt
 * @timer: for hardirq
 * @tasklet: for softirq
 * @lock: for jobs that hold one
 * @nmi: for NMI
 * @nmis: those that came
 * @irqs: those that came as an ordinary interrupt
 */
struct stage {
	struct chaos_heap *heap;
	void (*job)(struct stage *stage);
	struct chaos_test_block *blocks[JOB_BLOCKS];
	struct chaos_test_tally tally;
	size_t misplaced;
	size_t late;
	struct completion done;
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	raw_spinlock_t lock;
	struct chaos_test_nmi nmi;
	unsigned long nmis;
	unsigned long irqs;
};

static void run_task(struct stage *s)
{
	s->job(s);
}

static void run_preempt_off(struct stage *s)
{
	preempt_disable();
	s->job(s);
	preempt_enable();
}

static void run_irqs_off(struct stage *s)
{
	unsigned long flags;

	local_irq_save(flags);
	s->job(s);
	local_irq_restore(flags);
}

static void run_raw_spinlock(struct stage *s)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&s->lock, flags);
	s->job(s);
	raw_spin_unlock_irqrestore(&s->lock, flags);
}

static void await(struct stage *s)
{
	s->late += !chaos_test_wait(&s->done);
}

static void tasklet_fn(struct tasklet_struct *tasklet)
{
	struct stage *s = from_tasklet(s, tasklet, tasklet);

	s->misplaced += !in_serving_softirq();
	s->job(s);
	complete(&s->done);
}

static void run_softirq(struct stage *s)
{
	reinit_completion(&s->done);
	tasklet_schedule(&s->tasklet);
	await(s);
}

static enum hrtimer_restart timer_fn(struct hrtimer *timer)
{
	struct stage *s = container_of(timer, struct stage, timer);

	s->misplaced += !in_hardirq();
	s->job(s);
	complete(&s->done);
	return HRTIMER_NORESTART;
}

static void run_hardirq(struct stage *s)
{
	reinit_completion(&s->done);
	hrtimer_start(&s->timer, ns_to_ktime(50 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
	await(s);
}

/* An NMI cannot complete(): the task looks on. */
static void run_nmi(struct stage *s)
{
	unsigned long end = jiffies + 30 * HZ;

	WRITE_ONCE(s->nmis, 0);
	chaos_test_nmi_start(&s->nmi);
	/* It comes to this CPU, which sees its own stores. */
	while (!READ_ONCE(s->nmis) && time_before(jiffies, end))
		cpu_relax();
	chaos_test_nmi_stop(&s->nmi);
	s->late += !READ_ONCE(s->nmis);
}

static void nmi_fn(void *arg)
{
	struct stage *s = arg;

	if (!in_nmi()) {
		WRITE_ONCE(s->irqs, s->irqs + 1);
		return;
	}
	/* Once only: more of them come until the task has seen it. */
	if (!READ_ONCE(s->nmis))
		s->job(s);
	WRITE_ONCE(s->nmis, s->nmis + 1);
}

static void no_job(struct stage *s)
{
}

/* Skips the test on a machine without NMIs. */
static void stage_nmi(struct kunit *test, struct stage *s)
{
	unsigned long end = jiffies + 30 * HZ;
	int err;

	s->nmi.fn = nmi_fn;
	s->nmi.arg = s;
	s->job = no_job;
	err = chaos_test_nmi_init(&s->nmi, 100);
	if (err)
		kunit_skip(test, "nothing that raises NMIs: %d", err);
	chaos_test_defer(test, chaos_test_nmi_exit, &s->nmi);
	chaos_test_nmi_start(&s->nmi);
	while (!READ_ONCE(s->nmis) && !READ_ONCE(s->irqs) &&
	       time_before(jiffies, end))
		cpu_relax();
	chaos_test_nmi_stop(&s->nmi);
	if (!s->nmis && !s->irqs)
		kunit_skip(test, "the cycle counter never overflowed");
	if (!s->nmis)
		kunit_skip(test, "the cycle counter's interrupt is no NMI");
}

static void stage_down(void *arg)
{
	struct stage *s = arg;

	hrtimer_cancel(&s->timer);
	tasklet_kill(&s->tasklet);
}

static struct stage *stage_up(struct kunit *test)
{
	/* Heap first: it goes last. */
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct stage *s = chaos_test_buf(test, 1, sizeof(*s));

	/* While the background gives up pages, an NMI can allocate nothing. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	s->heap = heap;
	prandom_seed_state(&s->tally.rnd, 5);
	init_completion(&s->done);
	raw_spin_lock_init(&s->lock);
	tasklet_setup(&s->tasklet, tasklet_fn);
	hrtimer_setup(&s->timer, timer_fn, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	chaos_test_defer(test, stage_down, s);
	chaos_test_bind(test);
	return s;
}

/* ----------------------------------- jobs --------------------------------- */

static void job_alloc(struct stage *s)
{
	unsigned int i;

	for (i = 0; i < JOB_BLOCKS; i++) {
		size_t size = chaos_test_size(&s->tally.rnd, JOB_MAX);

		s->blocks[i] = chaos_test_make(s->heap, size, GFP_ATOMIC, i);
		if (s->blocks[i])
			s->tally.made++;
		else
			s->tally.failed++;
	}
}

static void job_free(struct stage *s)
{
	unsigned int i;

	for (i = 0; i < JOB_BLOCKS; i++) {
		if (s->blocks[i])
			s->tally.bad += !chaos_test_unmake(s->heap, s->blocks[i]);
		s->blocks[i] = NULL;
	}
}

/* All calls that may be made anywhere. */
static void job_all(struct stage *s)
{
	void *p, *q;

	job_alloc(s);
	job_free(s);
	p = chaos_heap_zalloc(s->heap, 1000, GFP_NOWAIT);
	s->tally.bad += p && !chaos_test_zeroed(p, 1000);
	s->tally.failed += !p;
	if (p)
		chaos_test_fill(p, 1000, 1);
	q = chaos_heap_realloc(s->heap, p, 3000, GFP_ATOMIC);
	s->tally.failed += !q;
	s->tally.bad += p && q && !chaos_test_filled(q, 1000, 1);
	if (q)
		p = q;
	s->tally.bad += p && chaos_heap_usable_size(s->heap, p) < 1000;
	s->tally.bad += p && !chaos_heap_owns(s->heap, p);
	chaos_heap_free(s->heap, p);
	p = chaos_heap_alloc_aligned(s->heap, 300, SZ_4K, GFP_ATOMIC);
	s->tally.failed += !p;
	s->tally.bad += !IS_ALIGNED((unsigned long)p, SZ_4K);
	chaos_heap_free(s->heap, p);
	/* Larger than any page of small blocks. */
	p = chaos_heap_alloc(s->heap, SZ_1M, GFP_ATOMIC);
	s->tally.failed += !p;
	chaos_heap_free(s->heap, p);
}

static void play(struct stage *s, void (*run)(struct stage *s),
		 void (*job)(struct stage *s))
{
	s->job = job;
	run(s);
}

static void expect_played(struct kunit *test, struct stage *s)
{
	KUNIT_EXPECT_EQ(test, s->late, 0);
	KUNIT_EXPECT_EQ(test, s->misplaced, 0);
	KUNIT_EXPECT_EQ(test, s->tally.bad, 0);
	KUNIT_EXPECT_GT(test, s->tally.made, 0);
}

/* ---------------------------- one context a case --------------------------- */

#define CAPACITY_SIZE	SZ_32K

/* After the last block was freed, all of the memory is there again. */
static void expect_nothing_lost(struct kunit *test, struct chaos_heap *heap,
				size_t capacity)
{
	chaos_test_idle(test, heap, 0);
	KUNIT_EXPECT_GE(test, chaos_test_capacity(test, heap, CAPACITY_SIZE),
			capacity);
	chaos_test_idle(test, heap, 0);
}

static void one_context(struct kunit *test, struct stage *s,
			void (*run)(struct stage *s))
{
	size_t capacity = chaos_test_capacity(test, s->heap, CAPACITY_SIZE);
	unsigned int i;

	for (i = 0; i < 100; i++)
		play(s, run, job_all);
	expect_played(test, s);
	KUNIT_EXPECT_EQ(test, s->tally.failed, 0);
	expect_nothing_lost(test, s->heap, capacity);
}

static void preemption_off(struct kunit *test)
{
	one_context(test, stage_up(test), run_preempt_off);
}

static void irqs_off(struct kunit *test)
{
	one_context(test, stage_up(test), run_irqs_off);
}

static void raw_spinlock(struct kunit *test)
{
	one_context(test, stage_up(test), run_raw_spinlock);
}

static void softirq(struct kunit *test)
{
	one_context(test, stage_up(test), run_softirq);
}

static void hardirq(struct kunit *test)
{
	one_context(test, stage_up(test), run_hardirq);
}

/* Nothing is held while the task only looks on: no NMI is told to wait. */
static void nmi(struct kunit *test)
{
	struct stage *s = stage_up(test);

	stage_nmi(test, s);
	one_context(test, s, run_nmi);
}

/* ------------------------ from one context to another ---------------------- */

#define CROSS_TURNS	20

static void from_to(struct stage *s, void (*from)(struct stage *s),
		    void (*to)(struct stage *s))
{
	unsigned int i;

	for (i = 0; i < CROSS_TURNS; i++) {
		play(s, from, job_alloc);
		play(s, to, job_free);
		/* What an interrupt that never came has left. */
		play(s, run_task, job_free);
	}
}

static void cross_contexts(struct kunit *test)
{
	static void (* const run[])(struct stage *s) = {
		run_task, run_irqs_off, run_raw_spinlock, run_softirq,
		run_hardirq,
	};
	struct stage *s = stage_up(test);
	size_t capacity = chaos_test_capacity(test, s->heap, CAPACITY_SIZE);
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(run); i++) {
		for (k = 0; k < ARRAY_SIZE(run); k++)
			from_to(s, run[i], run[k]);
	}
	expect_played(test, s);
	KUNIT_EXPECT_EQ(test, s->tally.failed, 0);
	expect_nothing_lost(test, s->heap, capacity);
}

static void job_stretch(struct stage *s)
{
	u8 *p = (u8 *)s->blocks[0];

	s->tally.made++;
	p = chaos_heap_realloc(s->heap, p, 1023, GFP_ATOMIC);
	if (!p)
		return;
	WRITE_ONCE(p[1022], 1);
	s->blocks[0] = (void *)p;
}

/*
 * A block that an NMI makes larger by what it has left over, with no memory to move it
 * to, stays; and the client can have the byte, also as KASAN sees it.
 */
static void nmi_stretch_in_full_heap(struct kunit *test)
{
	struct stage *s = stage_up(test);
	LLIST_HEAD(blocks);

	stage_nmi(test, s);
	s->blocks[0] = chaos_test_make(s->heap, 1022, GFP_KERNEL, 1);
	KUNIT_ASSERT_NOT_NULL(test, s->blocks[0]);
	chaos_test_exhaust(s->heap, 1022, GFP_KERNEL, &blocks);
	play(s, run_nmi, job_stretch);
	expect_played(test, s);
	KUNIT_EXPECT_GE(test, chaos_heap_usable_size(s->heap, s->blocks[0]), 1023);
	chaos_heap_free(s->heap, s->blocks[0]);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(s->heap, &blocks), 0);
	chaos_test_idle(test, s->heap, 0);
}

static void cross_nmi(struct kunit *test)
{
	static void (* const run[])(struct stage *s) = {
		run_task, run_irqs_off, run_softirq, run_hardirq,
	};
	struct stage *s = stage_up(test);
	size_t capacity;
	unsigned int i;

	stage_nmi(test, s);
	capacity = chaos_test_capacity(test, s->heap, CAPACITY_SIZE);
	for (i = 0; i < ARRAY_SIZE(run); i++) {
		from_to(s, run[i], run_nmi);
		from_to(s, run_nmi, run[i]);
	}
	expect_played(test, s);
	KUNIT_EXPECT_EQ(test, s->tally.failed, 0);
	expect_nothing_lost(test, s->heap, capacity);
}

/* ----------------------------------- storms -------------------------------- */

/*
 * Each of several emulated CPUs that contend for a lock may take a second for an
 * interrupt.  So a storm ends when there were enough, or, after a while, fewer; and
 * it fails if none comes any more, not if they come slowly.
 */
#define STORM_TICKS	1000
#define STORM_FEWEST	50
#define STORM_WHILE	(60 * HZ)
#define STORM_STALL	(60 * HZ)
#define STORM_SLOTS	256
#define STORM_MAX	SZ_8K
#define STORM_STEPS	6	/* in each interrupt */

/**
 * struct storm - a CPU whose task is interrupted while it uses a heap
 * @mill: where all contexts meet
 * @timer: the interrupt
 * @nmi_wanted: there are NMIs, too
 * @ticks: interrupts so far
 * @nmis: NMIs so far
 * @stalled: they came no more
 * @stop: the timer shall not start again
 * @task: what the task counted
 * @irq: what the interrupts counted
 * @nmi: what the NMIs counted
 */
struct storm {
	struct chaos_test_mill *mill;
	struct hrtimer timer;
	bool nmi_wanted;
	unsigned long ticks;
	unsigned long nmis;
	bool stalled;
	bool stop;
	struct chaos_test_tally task;
	struct chaos_test_tally irq;
	struct chaos_test_tally nmi;
};

static void mill_steps(struct chaos_test_mill *mill,
		       struct chaos_test_tally *tally)
{
	unsigned int i;

	for (i = 0; i < STORM_STEPS; i++)
		chaos_test_mill_step(mill, tally, GFP_ATOMIC);
}

static enum hrtimer_restart storm_tick(struct hrtimer *timer)
{
	struct storm *storm = container_of(timer, struct storm, timer);
	u64 pause = 50 + chaos_test_below(&storm->irq.rnd, 50);

	mill_steps(storm->mill, &storm->irq);
	WRITE_ONCE(storm->ticks, storm->ticks + 1);
	if (READ_ONCE(storm->stop))
		return HRTIMER_NORESTART;
	/* From now on: the task has its share, however slow the machine is. */
	hrtimer_set_expires(timer, ktime_add_us(ktime_get(), pause));
	return HRTIMER_RESTART;
}

static void storm_init(struct storm *storm, struct chaos_test_mill *mill,
		       unsigned int seed)
{
	storm->mill = mill;
	prandom_seed_state(&storm->task.rnd, 3 * seed);
	prandom_seed_state(&storm->irq.rnd, 3 * seed + 1);
	prandom_seed_state(&storm->nmi.rnd, 3 * seed + 2);
	hrtimer_setup(&storm->timer, storm_tick, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
}

/* Interrupts, or NMIs if there are fewer of these */
static unsigned long storm_seen(const struct storm *storm)
{
	unsigned long ticks = READ_ONCE(storm->ticks);

	return storm->nmi_wanted ? min(ticks, READ_ONCE(storm->nmis)) : ticks;
}

static void storm_rage(struct storm *storm)
{
	unsigned long enough_after = jiffies + STORM_WHILE;
	unsigned long stalled_after = jiffies + STORM_STALL;
	unsigned long seen = 0;

	hrtimer_start(&storm->timer, ns_to_ktime(50 * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
	while (seen < STORM_TICKS) {
		if (seen >= STORM_FEWEST && time_after(jiffies, enough_after))
			break;
		mill_steps(storm->mill, &storm->task);
		cond_resched();
		if (storm_seen(storm) != seen) {
			seen = storm_seen(storm);
			stalled_after = jiffies + STORM_STALL;
		} else if (time_after(jiffies, stalled_after)) {
			storm->stalled = true;
			break;
		}
	}
	WRITE_ONCE(storm->stop, true);
	hrtimer_cancel(&storm->timer);
}

static void expect_storm(struct kunit *test, struct storm *storm)
{
	unsigned long seen = storm_seen(storm);

	KUNIT_EXPECT_FALSE_MSG(test, storm->stalled, "after %lu", seen);
	KUNIT_EXPECT_GE(test, seen, STORM_FEWEST);
	if (seen < STORM_TICKS)
		kunit_info(test, "a slow machine: %lu interrupts\n", seen);
	KUNIT_EXPECT_GT(test, storm->task.made, 0);
	KUNIT_EXPECT_GT(test, storm->irq.made, 0);
	KUNIT_EXPECT_EQ(test, storm->task.failed, 0);
	KUNIT_EXPECT_EQ(test, storm->irq.failed, 0);
	KUNIT_EXPECT_EQ(test, storm->task.bad, 0);
	KUNIT_EXPECT_EQ(test, storm->irq.bad, 0);
	KUNIT_EXPECT_EQ(test, storm->nmi.bad, 0);
}

static void irq_storm(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct storm *storm = chaos_test_buf(test, 1, sizeof(*storm));
	struct chaos_test_mill mill;
	size_t capacity;

	chaos_test_bind(test);
	capacity = chaos_test_capacity(test, heap, CAPACITY_SIZE);
	chaos_test_mill_init(test, &mill, heap, STORM_SLOTS, STORM_MAX);
	storm_init(storm, &mill, 1);
	storm_rage(storm);
	chaos_test_sound(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&mill), 0);
	expect_storm(test, storm);
	expect_nothing_lost(test, heap, capacity);
}

static void storm_thread(struct chaos_test_thread *self)
{
	storm_rage(self->arg);
}

#define STORM_CPUS	4

/* The same on all CPUs, which share the slots: blocks change CPUs, too. */
static void irq_storm_smp(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct chaos_test_thread *threads;
	struct chaos_test_mill mill;
	struct storm *storm;
	unsigned int n = 0, i;
	size_t capacity;
	int cpu;

	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU");
	threads = chaos_test_buf(test, STORM_CPUS, sizeof(*threads));
	storm = chaos_test_buf(test, STORM_CPUS, sizeof(*storm));
	chaos_test_bind(test);
	capacity = chaos_test_capacity(test, heap, CAPACITY_SIZE);
	chaos_test_mill_init(test, &mill, heap, STORM_SLOTS, STORM_MAX);
	for_each_online_cpu(cpu) {
		if (n == STORM_CPUS)
			break;
		storm_init(&storm[n], &mill, n);
		threads[n].fn = storm_thread;
		threads[n].arg = &storm[n];
		threads[n].cpu = cpu;
		n++;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, n), 0);
	chaos_test_sound(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&mill), 0);
	for (i = 0; i < n; i++)
		expect_storm(test, &storm[i]);
	expect_nothing_lost(test, heap, capacity);
}

static void storm_nmi(void *arg)
{
	struct storm *storm = arg;

	if (in_nmi() && storm->nmis < STORM_TICKS) {
		chaos_test_mill_step(storm->mill, &storm->nmi, GFP_ATOMIC);
		WRITE_ONCE(storm->nmis, storm->nmis + 1);
	}
}

/*
 * Task, interrupts and NMIs on one CPU.  An NMI may be told that there is
 * nothing, when it interrupts the heap itself; but not always, and it can
 * always free.
 */
static void nmi_storm(struct kunit *test)
{
	struct stage *s = stage_up(test);
	struct storm *storm = chaos_test_buf(test, 1, sizeof(*storm));
	struct chaos_test_nmi source = { .fn = storm_nmi, .arg = storm };
	struct chaos_test_mill mill;
	size_t capacity;

	stage_nmi(test, s);
	capacity = chaos_test_capacity(test, s->heap, CAPACITY_SIZE);
	chaos_test_mill_init(test, &mill, s->heap, STORM_SLOTS, STORM_MAX);
	storm_init(storm, &mill, 1);
	storm->nmi_wanted = true;
	KUNIT_ASSERT_EQ(test, chaos_test_nmi_init(&source, 50), 0);
	chaos_test_nmi_start(&source);
	storm_rage(storm);
	chaos_test_nmi_stop(&source);
	chaos_test_nmi_exit(&source);
	chaos_test_sound(test, s->heap);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&mill), 0);
	KUNIT_EXPECT_GT(test, storm->nmi.made, 0);
	expect_storm(test, storm);
	expect_nothing_lost(test, s->heap, capacity);
}

/* ------------------------- from one CPU to another ------------------------- */

#define RELAY_BLOCKS	30000
#define RELAY_AHEAD	500

/**
 * struct relay - blocks on their way from one CPU to another
 * @heap: what they are from
 * @road: those that have been sent and not taken
 * @ahead: their number, at most RELAY_AHEAD
 * @sent: the sender has sent all
 * @tally: of the sender and the receiver
 */
struct relay {
	struct chaos_heap *heap;
	struct llist_head road;
	atomic_t ahead;
	bool sent;
	struct chaos_test_tally tally[2];
};

static void relay_send(struct relay *r, struct chaos_test_tally *tally)
{
	struct chaos_test_block *b;
	unsigned int i;

	for (i = 0; i < RELAY_BLOCKS; i++) {
		size_t size = chaos_test_size(&tally->rnd, SZ_2K);

		while (atomic_read(&r->ahead) >= RELAY_AHEAD)
			cond_resched();
		b = chaos_test_make(r->heap, size, GFP_KERNEL, i);
		if (b) {
			tally->made++;
			atomic_inc(&r->ahead);
			llist_add(&b->node, &r->road);
		} else {
			tally->failed++;
		}
	}
	/* After the last block. */
	smp_store_release(&r->sent, true);
}

static void relay_receive(struct relay *r, struct chaos_test_tally *tally)
{
	struct chaos_test_block *b, *next;
	bool last;

	do {
		/* Before the blocks: what was sent before it is on the road. */
		last = smp_load_acquire(&r->sent);
		llist_for_each_entry_safe(b, next, llist_del_all(&r->road), node) {
			tally->bad += !chaos_test_unmake(r->heap, b);
			tally->made++;
			atomic_dec(&r->ahead);
		}
		cond_resched();
	} while (!last);
}

static void relay_thread(struct chaos_test_thread *self)
{
	struct relay *r = self->arg;
	struct chaos_test_tally *tally = &r->tally[self->nr];

	prandom_seed_state(&tally->rnd, 20 + self->nr);
	if (self->nr)
		relay_receive(r, tally);
	else
		relay_send(r, tally);
}

static void producer_consumer(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_8M, 0);
	struct relay *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_thread *threads;
	size_t capacity;
	int first, second;

	first = cpumask_first(cpu_online_mask);
	second = cpumask_next(first, cpu_online_mask);
	if (second >= nr_cpu_ids)
		kunit_skip(test, "one CPU");
	threads = chaos_test_buf(test, 2, sizeof(*threads));
	chaos_test_bind(test);
	capacity = chaos_test_capacity(test, heap, CAPACITY_SIZE);
	r->heap = heap;
	init_llist_head(&r->road);
	threads[0].fn = relay_thread;
	threads[0].arg = r;
	threads[0].cpu = first;
	threads[1] = threads[0];
	threads[1].cpu = second;
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, 2), 0);
	KUNIT_EXPECT_EQ(test, r->tally[0].failed, 0);
	KUNIT_EXPECT_EQ(test, r->tally[0].made, RELAY_BLOCKS);
	KUNIT_EXPECT_EQ(test, r->tally[1].made, RELAY_BLOCKS);
	KUNIT_EXPECT_EQ(test, r->tally[1].bad, 0);
	expect_nothing_lost(test, heap, capacity);
}

static struct kunit_case contexts_cases[] = {
	CHAOS_CASE(preemption_off),
	CHAOS_CASE(irqs_off),
	CHAOS_CASE(raw_spinlock),
	CHAOS_CASE(softirq),
	CHAOS_CASE(hardirq),
	CHAOS_CASE(nmi),
	CHAOS_CASE(nmi_stretch_in_full_heap),
	CHAOS_CASE(cross_contexts),
	CHAOS_CASE(cross_nmi),
	CHAOS_CASE(irq_storm),
	CHAOS_CASE(irq_storm_smp),
	CHAOS_CASE(nmi_storm),
	CHAOS_CASE(producer_consumer),
	{}
};

static struct kunit_suite contexts_suite = {
	.name = "chaos_contexts",
	.test_cases = contexts_cases,
};

kunit_test_suites(&contexts_suite);
