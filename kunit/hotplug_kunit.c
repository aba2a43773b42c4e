// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_hotplug: CPUs that go and come back while heaps are in use.  What a
 * dead CPU kept is everybody's.
 */
#include <linux/cpu.h>
#include <linux/delay.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

#define PLUG_POOL	SZ_4M
#define PLUG_MAX	SZ_16K

/* -------------------------------- switching CPUs --------------------------- */

/* The machine may be late to take note that the CPU has gone. */
static int bring_back(unsigned int cpu)
{
	unsigned long end = jiffies + 30 * HZ;
	int err;

	while ((err = add_cpu(cpu)) && time_before(jiffies, end)) {
		pr_info("CPU %u does not come yet: %d\n", cpu, err);
		msleep(20);
	}
	return err;
}

static void bring_up(void *cpu)
{
	if (!cpu_online((unsigned long)cpu))
		bring_back((unsigned long)cpu);
}

/* A CPU that can go, other than the one that the test stays on. */
static unsigned int spare_cpu(struct kunit *test)
{
	unsigned int cpus[2];
	int err;

	chaos_test_cpus(test, cpus, 2);
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpus[0])),
			0);
	err = remove_cpu(cpus[1]);
	if (err)
		kunit_skip(test, "CPUs do not go: %d", err);
	chaos_test_defer(test, bring_up, (void *)(unsigned long)cpus[1]);
	KUNIT_ASSERT_EQ(test, bring_back(cpus[1]), 0);
	return cpus[1];
}

static void cpu_down(struct kunit *test, unsigned int cpu)
{
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	KUNIT_ASSERT_FALSE(test, cpu_online(cpu));
}

static void cpu_up(struct kunit *test, unsigned int cpu)
{
	KUNIT_ASSERT_EQ(test, bring_back(cpu), 0);
	KUNIT_ASSERT_TRUE(test, cpu_online(cpu));
}

/* ---------------------------- what a dead CPU kept ------------------------- */

/**
 * struct tenant - uses a heap at one place
 * @heap: the heap
 * @mill: blocks of all sizes
 * @tally: what it counted
 */
struct tenant {
	struct chaos_heap *heap;
	struct chaos_test_mill mill;
	struct chaos_test_tally tally;
};

static void tenant_init(struct kunit *test, struct tenant *t,
			struct chaos_heap *heap)
{
	memset(t, 0, sizeof(*t));
	t->heap = heap;
	prandom_seed_state(&t->tally.rnd, 50);
	chaos_test_mill_init(test, &t->mill, heap, 1000, PLUG_MAX);
}

static void tenant_works(void *arg)
{
	struct tenant *t = arg;
	unsigned int i;

	for (i = 0; i < 5000; i++)
		chaos_test_mill_step(&t->mill, &t->tally, GFP_ATOMIC);
}

static void tenant_leaves(void *arg)
{
	struct tenant *t = arg;

	t->tally.bad += chaos_test_mill_empty(&t->mill);
}

static struct chaos_heap *lasting_heap(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, PLUG_POOL, 0);

	/* Not the timer shall help. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	return heap;
}

static size_t fresh_capacity(struct kunit *test, size_t size)
{
	struct chaos_heap *heap = chaos_test_heap(test, PLUG_POOL, 0);
	LLIST_HEAD(blocks);
	size_t n;

	n = chaos_test_exhaust(heap, size, GFP_ATOMIC, &blocks);
	chaos_test_destroy(test, heap);
	KUNIT_ASSERT_GT(test, n, 0);
	return n;
}

static const size_t plug_sizes[] = { 64, 592, 4096, 30000 };

/*
 * The CPU has used the heap at two levels, and has freed all (@freed: itself; or
 * another one has).  When it is gone, the others can allocate as if it had
 * never been.
 */
static void expect_all_of_it(struct kunit *test, bool itself)
{
	struct chaos_test_place task = { .cpu = spare_cpu(test) };
	struct chaos_test_place irq = { .cpu = task.cpu, .hardirq = true };
	struct tenant t[2];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(plug_sizes); i++) {
		size_t fresh = fresh_capacity(test, plug_sizes[i]), n;
		struct chaos_heap *heap = lasting_heap(test);
		LLIST_HEAD(blocks);

		tenant_init(test, &t[0], heap);
		tenant_init(test, &t[1], heap);
		KUNIT_ASSERT_EQ(test, chaos_test_at(&task, tenant_works, &t[0]), 0);
		KUNIT_ASSERT_EQ(test, chaos_test_at(&irq, tenant_works, &t[1]), 0);
		KUNIT_EXPECT_GT(test, chaos_test_live(heap), 0);
		if (itself) {
			chaos_test_at(&task, tenant_leaves, &t[0]);
			chaos_test_at(&irq, tenant_leaves, &t[1]);
		}
		cpu_down(test, task.cpu);
		if (!itself) {
			tenant_leaves(&t[0]);
			tenant_leaves(&t[1]);
		}
		KUNIT_EXPECT_EQ(test, t[0].tally.bad + t[1].tally.bad, 0);
		n = chaos_test_exhaust(heap, plug_sizes[i], GFP_ATOMIC, &blocks);
		/* How the last blocks fit in depends on the order of things. */
		KUNIT_EXPECT_GE_MSG(test, n * 100, fresh * 98,
				    "%zu of %zu blocks of %zu", n, fresh,
				    plug_sizes[i]);
		chaos_test_sound(test, heap);
		cpu_up(test, task.cpu);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
		chaos_test_idle(test, heap, 0);
		chaos_test_destroy(test, heap);
	}
}

static void freed_then_down(struct kunit *test)
{
	expect_all_of_it(test, true);
}

static void down_then_freed(struct kunit *test)
{
	expect_all_of_it(test, false);
}

/* Free every other block of a list; how many are bad. */
static size_t thin_out(struct chaos_heap *heap, struct llist_head *blocks,
		       size_t *kept)
{
	struct chaos_test_block *b, *next;
	size_t bad = 0, i = 0;

	*kept = 0;
	llist_for_each_entry_safe(b, next, llist_del_all(blocks), node) {
		if (i++ % 2) {
			bad += !chaos_test_unmake(heap, b);
		} else {
			llist_add(&b->node, blocks);
			++*kept;
		}
	}
	return bad;
}

struct thinning {
	struct chaos_heap *heap;
	struct llist_head *blocks;
	size_t kept;
	size_t bad;
};

static void thin_out_here(void *arg)
{
	struct thinning *t = arg;

	t->bad = thin_out(t->heap, t->blocks, &t->kept);
}

/*
 * Every page of the dead CPU is half full.  The free half of each is there for
 * the others; the live half stays what it was.
 */
static void half_full_pages(struct kunit *test)
{
	struct chaos_test_place place = { .cpu = spare_cpu(test) };
	unsigned int i;
	size_t all, n;

	for (i = 0; i < ARRAY_SIZE(plug_sizes); i++) {
		struct chaos_heap *heap = lasting_heap(test);
		LLIST_HEAD(theirs);
		LLIST_HEAD(ours);
		struct thinning t = { .heap = heap, .blocks = &theirs };

		place.hardirq = i % 2;
		all = chaos_test_exhaust_at(&place, heap, plug_sizes[i], &theirs);
		KUNIT_ASSERT_EQ(test, chaos_test_at(&place, thin_out_here, &t), 0);
		KUNIT_EXPECT_EQ(test, t.bad, 0);
		KUNIT_EXPECT_EQ(test, t.kept, DIV_ROUND_UP(all, 2));
		cpu_down(test, place.cpu);
		n = chaos_test_exhaust(heap, plug_sizes[i], GFP_ATOMIC, &ours);
		KUNIT_EXPECT_GE_MSG(test, t.kept + n, all, "blocks of %zu",
				    plug_sizes[i]);
		chaos_test_sound(test, heap);
		KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &theirs), 0);
		cpu_up(test, place.cpu);
		KUNIT_EXPECT_EQ(test, chaos_test_drain_at(&place, heap, &ours), 0);
		chaos_test_idle(test, heap, 0);
		chaos_test_destroy(test, heap);
	}
}

/* ------------------------ heaps that come and go meanwhile ----------------- */

static void use_everywhere(struct kunit *test, struct chaos_heap *heap)
{
	struct tenant t;
	int cpu;

	tenant_init(test, &t, heap);
	for_each_online_cpu(cpu) {
		const struct chaos_test_place task = { .cpu = cpu };
		const struct chaos_test_place irq = { .cpu = cpu, .hardirq = true };

		KUNIT_EXPECT_EQ(test, chaos_test_at(&task, tenant_works, &t), 0);
		KUNIT_EXPECT_EQ(test, chaos_test_at(&irq, tenant_works, &t), 0);
	}
	KUNIT_EXPECT_GT(test, t.tally.made, 0);
	tenant_leaves(&t);
	KUNIT_EXPECT_EQ(test, t.tally.bad, 0);
	chaos_test_idle(test, heap, 0);
}

/* A CPU that was not there when the heap was made can use it. */
static void created_while_down(struct kunit *test)
{
	unsigned int cpu = spare_cpu(test);
	struct chaos_heap *heap;

	cpu_down(test, cpu);
	heap = chaos_test_heap(test, PLUG_POOL, 0);
	use_everywhere(test, heap);
	cpu_up(test, cpu);
	use_everywhere(test, heap);
	cpu_down(test, cpu);
	chaos_test_idle(test, heap, 0);
	cpu_up(test, cpu);
	use_everywhere(test, heap);
	chaos_test_destroy(test, heap);
}

/* Blocks of the dead CPU are still live, and go with the heap. */
static void destroyed_while_down(struct kunit *test)
{
	struct chaos_test_place place = { .cpu = spare_cpu(test) };
	struct chaos_heap *heap;
	struct tenant t;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		place.hardirq = i;
		heap = chaos_test_heap(test, PLUG_POOL, 0);
		tenant_init(test, &t, heap);
		KUNIT_ASSERT_EQ(test, chaos_test_at(&place, tenant_works, &t), 0);
		KUNIT_EXPECT_GT(test, chaos_test_live(heap), 0);
		cpu_down(test, place.cpu);
		chaos_test_sound(test, heap);
		chaos_test_destroy(test, heap);
		cpu_up(test, place.cpu);
	}
	/* The CPU's next heap may well be where the last one was. */
	heap = chaos_test_heap(test, PLUG_POOL, 0);
	use_everywhere(test, heap);
}

/* ----------------------------------- stress -------------------------------- */

#define STRESS_CYCLES	(16 / CHAOS_TEST_FEWER)
#define STRESS_FEWEST	2U
/* On a slow machine, STRESS_FEWEST have to do after this; and all have begun by then. */
#define STRESS_TIME	(60 * NSEC_PER_SEC)
#define STRESS_SLOTS	600
#define STRESS_STEPS	8	/* in each interrupt */

/**
 * struct stress - blocks that cross CPUs and levels while CPUs come and go
 * @mill: where all meet
 * @cycles: how often each CPU is to go
 * @stressors: those who use the heap, or visit it
 * @n: their number; the first @n - 1 of them have timers
 * @stop: enough
 */
struct stress {
	struct chaos_test_mill mill;
	unsigned int cycles;
	const struct stressor *stressors;
	unsigned int n;
	bool stop;
};

/**
 * struct stressor - a thread, and a timer, on a CPU, as long as there is one
 * @stress: what all share
 * @timer: the interrupt
 * @task: what the thread counted
 * @irq: what the interrupts counted
 */
struct stressor {
	struct stress *stress;
	struct hrtimer timer;
	struct chaos_test_tally task;
	struct chaos_test_tally irq;
};

static enum hrtimer_restart stress_tick(struct hrtimer *timer)
{
	struct stressor *s = container_of(timer, struct stressor, timer);
	ktime_t began = ktime_get();
	unsigned int i;

	for (i = 0; i < STRESS_STEPS; i++)
		chaos_test_mill_step(&s->stress->mill, &s->irq, GFP_ATOMIC);
	if (READ_ONCE(s->stress->stop))
		return HRTIMER_NORESTART;
	return chaos_test_again(timer, began);
}

/*
 * A thread that has lost its CPU goes back when it can.  Not to one that is going: the
 * kernel would leave it where it is, on a CPU that is not in its mask, and on PREEMPT_RT
 * warn of that when it lets go of its next lock.
 */
static void go_back(const struct chaos_test_thread *self)
{
	if (!cpus_read_trylock())
		return;
	set_cpus_allowed_ptr(current, cpumask_of(self->cpu));
	cpus_read_unlock();
}

static void stress_thread(struct chaos_test_thread *self)
{
	struct stressor *s = self->arg;
	unsigned int i = 0;

	/* On the thread's CPU; if that goes, on another one. */
	hrtimer_start(&s->timer, ns_to_ktime(50 * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
	while (!READ_ONCE(s->stress->stop)) {
		chaos_test_mill_step(&s->stress->mill, &s->task, GFP_ATOMIC);
		if (++i % 256 == 0)
			go_back(self);
		if (i % 64 == 0)
			cond_resched();
	}
	hrtimer_cancel(&s->timer);
}

/* What visits all CPUs, all the time. */
static void visitor_thread(struct chaos_test_thread *self)
{
	struct stressor *s = self->arg;
	struct chaos_heap *heap = s->stress->mill.heap;
	struct chaos_heap_stats stats;

	while (!READ_ONCE(s->stress->stop)) {
		s->task.bad += chaos_heap_check(heap) != 0;
		chaos_heap_stats(heap, &stats);
		s->task.bad += stats.held_bytes > stats.pool_bytes;
		chaos_heap_collect(heap, s->task.made++ % 2);
		usleep_range(500, 2000);
	}
}

static void plug_all(struct stressor *s)
{
	int cpu;

	for_each_present_cpu(cpu) {
		if (cpu == cpumask_first(cpu_present_mask))
			continue;
		if (remove_cpu(cpu))
			s->task.failed++;
		usleep_range(500, 5000);
		if (bring_back(cpu))
			s->task.failed++;
		s->task.made++;
	}
}

static bool all_have_begun(const struct stress *stress)
{
	const struct stressor *s = stress->stressors;
	unsigned int i;

	for (i = 0; i < stress->n; i++) {
		if (!READ_ONCE(s[i].task.made) ||
		    (i < stress->n - 1 && !READ_ONCE(s[i].irq.made)))
			return false;
	}
	return true;
}

static void plug_thread(struct chaos_test_thread *self)
{
	u64 end = ktime_get_ns() + STRESS_TIME;
	struct stressor *s = self->arg;
	unsigned int i;

	for (i = 0; i < s->stress->cycles || !all_have_begun(s->stress); i++) {
		if (i >= STRESS_FEWEST && ktime_get_ns() > end)
			break;
		plug_all(s);
	}
	WRITE_ONCE(s->stress->stop, true);
}

#define STRESS_CPUS	8
#define STRESS_LOCKED	2	/* of engines with a lock, where others only wait */

static void survives(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct stress *stress = chaos_test_buf(test, 1, sizeof(*stress));
	struct chaos_test_thread *threads;
	struct stressor *s;
	unsigned int cpus, n = 0, i;
	size_t capacity;
	int cpu;

	spare_cpu(test);
	cpus = chaos_test_mimalloc(test) ? STRESS_CPUS : STRESS_LOCKED;
	stress->cycles = chaos_test_mimalloc(test) ? STRESS_CYCLES : 2;
	threads = chaos_test_buf(test, STRESS_CPUS + 2, sizeof(*threads));
	s = chaos_test_buf(test, STRESS_CPUS + 2, sizeof(*s));
	capacity = chaos_test_capacity(test, heap, SZ_32K);
	chaos_test_mill_init(test, &stress->mill, heap, STRESS_SLOTS, SZ_8K);
	for (i = 0; i < STRESS_CPUS + 2; i++) {
		s[i].stress = stress;
		prandom_seed_state(&s[i].task.rnd, 60 + 2 * i);
		prandom_seed_state(&s[i].irq.rnd, 61 + 2 * i);
		hrtimer_setup(&s[i].timer, stress_tick, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
		threads[i].arg = &s[i];
		threads[i].cpu = -1;
	}
	for_each_online_cpu(cpu) {
		if (n < cpus) {
			threads[n].fn = stress_thread;
			threads[n++].cpu = cpu;
		}
	}
	stress->stressors = s;
	stress->n = n + 1;
	threads[n].fn = visitor_thread;
	threads[n + 1].fn = plug_thread;
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, n + 2), 0);

	chaos_test_sound(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&stress->mill), 0);
	for (i = 0; i < n + 2; i++) {
		KUNIT_EXPECT_EQ(test, s[i].task.failed, 0);
		KUNIT_EXPECT_EQ(test, s[i].task.bad, 0);
		KUNIT_EXPECT_GT(test, s[i].task.made, 0);
		KUNIT_EXPECT_EQ(test, s[i].irq.failed, 0);
		KUNIT_EXPECT_EQ(test, s[i].irq.bad, 0);
	}
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_GT(test, s[i].irq.made, 0);
	KUNIT_EXPECT_GE(test, s[n + 1].task.made,
			min(stress->cycles, STRESS_FEWEST) * (num_present_cpus() - 1));
	chaos_test_idle(test, heap, 0);
	KUNIT_EXPECT_GE(test, chaos_test_capacity(test, heap, SZ_32K), capacity);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case hotplug_cases[] = {
	CHAOS_CASE(freed_then_down),
	CHAOS_CASE(down_then_freed),
	CHAOS_CASE(half_full_pages),
	CHAOS_CASE(created_while_down),
	CHAOS_CASE(destroyed_while_down),
	CHAOS_CASE_SLOW(survives),
	{}
};

static struct kunit_suite hotplug_suite = {
	.name = "chaos_hotplug",
	.test_cases = hotplug_cases,
};

kunit_test_suites(&hotplug_suite);
