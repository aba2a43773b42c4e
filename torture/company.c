// SPDX-License-Identifier: GPL-2.0
/*
 * What runs alongside the actors: threads that check the heaps, switch CPUs off and
 * on, create and destroy heaps, fill them up, tidy them up and change their options,
 * and take the system's memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "torture.h"

struct torture_company torture_company;

/* ----------------------------------- checks -------------------------------- */

static bool count_block(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	size_t *blocks = arg;

	++*blocks;
	return true;
}

static void check_round(struct torture_actor *a)
{
	struct torture_arena *arena;
	size_t blocks = 0;
	int err;

	arena = torture_enter(torture_below(&a->rnd, TORTURE_ARENAS));
	if (arena) {
		torture_expect_sound(arena);
		err = chaos_heap_walk(arena->heap, count_block, &blocks);
		if (err && err != -ENOMEM)
			torture_fail("chaos_heap_walk() says %d after %zu blocks", err,
				     blocks);
		torture_leave(arena);
		torture_company.checks++;
	}
	torture_pause(10 + torture_below(&a->rnd, 150));
}

/* ---------------------------------- hotplug -------------------------------- */

#ifdef CONFIG_HOTPLUG_CPU
bool torture_can_switch_cpus(void)
{
	return num_online_cpus() > 1;
}

/* What it takes, it may be refused for want of memory. */
static void bring_back(int cpu)
{
	unsigned int tries = 0;
	int err;

	/* More than 0: somebody else has done it. */
	while ((err = add_cpu(cpu)) < 0 && tries++ < 500)
		msleep(20);
	if (err < 0)
		torture_fail("CPU %d does not come back: %d", cpu, err);
	else
		torture_cpu_joined(cpu);
}

/* Any but the first, which many machines cannot do without */
static int choose_cpu(struct rnd_state *rnd)
{
	unsigned int online = num_online_cpus();
	u32 nr = 1 + (online > 1 ? torture_below(rnd, online - 1) : 0);
	int cpu;

	for_each_online_cpu(cpu) {
		if (!nr--)
			return cpu;
	}
	return -1;
}

/* Others may switch CPUs, too, and may have been faster. */
static bool take_away(int cpu)
{
	int err;

	if (cpu < 0)
		return false;
	torture_cpu_leaves(cpu);
	err = remove_cpu(cpu);
	if (!err)
		return true;
	pr_info("CPU %d does not go: %d\n", cpu, err);
	torture_cpu_joined(cpu);
	return false;
}

static void onoff_round(struct torture_actor *a)
{
	int cpu = choose_cpu(&a->rnd);

	if (take_away(cpu)) {
		torture_pause(torture_below(&a->rnd, 300));
		bring_back(cpu);
		torture_company.switches++;
	}
	torture_pause(50 + torture_below(&a->rnd, 500));
}
#else
bool torture_can_switch_cpus(void)
{
	return false;
}

static void onoff_round(struct torture_actor *a)
{
	torture_pause(1000);
}
#endif

/* --------------------------- heaps that come and go ------------------------ */

#define GUEST_POOL	SZ_1M
#define GUEST_SLOTS	256

static int open_guest(struct torture_arena *arena, struct rnd_state *rnd)
{
	static const char * const engines[] = { "mimalloc", "tlsf", "evl" };
	struct chaos_heap_params params = {
		.name = "torture guest",
		.allocator = engines[torture_below(rnd, ARRAY_SIZE(engines))],
		.pool_size = GUEST_POOL,
		.node = NUMA_NO_NODE,
		.hardening = torture_below(rnd, CHAOS_HARDENING_2 + 1),
	};
	int err;

	if (!torture_below(rnd, 3)) {
		arena->mem = vmalloc(GUEST_POOL);
		if (!arena->mem)
			return -ENOMEM;
		params.mem = arena->mem;
		params.mem_size = GUEST_POOL;
	}
	if (torture_below(rnd, 2))
		params.max_size = 8 * GUEST_POOL;
	err = torture_open(arena, &params, GUEST_SLOTS);
	if (err) {
		vfree(arena->mem);
		arena->mem = NULL;
	}
	return err;
}

/* Blocks that are still live go with the heap: one in four is destroyed so. */
static void close_guest(struct torture_arena *arena, struct torture_actor *a)
{
	torture_shut(arena);
	if (torture_below(&a->rnd, 4))
		torture_clear(arena, a);
	else
		torture_abandon(arena, a);
	torture_destroy(arena);
}

static void guest_round(struct torture_actor *a, struct torture_arena *arena)
{
	int err = open_guest(arena, &a->rnd);

	if (!err) {
		torture_pause(torture_below(&a->rnd, 1000));
		close_guest(arena, a);
		torture_company.heaps++;
	} else if (err != -ENOMEM) {
		torture_fail("a heap cannot be created: %d", err);
	}
	torture_pause(torture_below(&a->rnd, 100));
}

/* Both are kept by one thread each, so that their heaps overlap. */
static void first_guest_round(struct torture_actor *a)
{
	guest_round(a, &torture_arenas[TORTURE_FIRST_GUEST]);
}

static void second_guest_round(struct torture_actor *a)
{
	guest_round(a, &torture_arenas[TORTURE_FIRST_GUEST + 1]);
}

/* --------------------------------- exhaustion ------------------------------ */

#define FILL_BLOCKS	16384
#define FILL_MIN	SZ_2K
#define FILL_MAX	SZ_64K

static struct torture_block **filling;

/* Until there is nothing left; how many */
static u32 fill(struct torture_arena *arena, struct torture_actor *a, gfp_t gfp)
{
	size_t max = torture_size(&a->rnd, FILL_MIN, FILL_MAX);
	u32 n = 0;

	while (n < FILL_BLOCKS && !torture_stopping()) {
		size_t size = FILL_MIN + torture_below(&a->rnd, max - FILL_MIN + 1);

		filling[n] = torture_new(arena, a, size, gfp);
		if (!filling[n])
			break;
		n++;
		cond_resched();
	}
	if (n < FILL_BLOCKS && !torture_stopping())
		torture_company.full++;
	return n;
}

/* What others have left in the slots is as it was. */
static void visit_slots(struct torture_arena *arena, struct torture_actor *a)
{
	struct torture_block *b;
	u32 i;

	for (i = 0; i < arena->nr_slots; i++) {
		b = xchg(&arena->slots[i], NULL);
		if (b && torture_block_intact(b))
			torture_put(arena, a, b);
		cond_resched();
	}
}

/* Growing a block must fail, or succeed, without harm to any. */
static void stretch(struct torture_arena *arena, struct torture_actor *a, u32 n,
		    gfp_t gfp)
{
	u32 i;

	for (i = 0; i < n; i += 1 + torture_below(&a->rnd, 64)) {
		size_t size = filling[i]->size + torture_below(&a->rnd, FILL_MAX);

		filling[i] = torture_resize(arena, a, filling[i], size, gfp);
		if (!filling[i])
			return;
		cond_resched();
	}
}

/* In another order than they came */
static void drain(struct torture_arena *arena, struct torture_actor *a, u32 n)
{
	while (n) {
		u32 i = torture_below(&a->rnd, n);

		if (filling[i])
			torture_free(arena, a, filling[i]);
		filling[i] = filling[--n];
		cond_resched();
	}
}

static void exhaust_round(struct torture_actor *a)
{
	struct torture_arena *arena;
	gfp_t gfp = torture_below(&a->rnd, 2) ? GFP_KERNEL : GFP_ATOMIC;
	u32 n;

	gfp |= __GFP_NOWARN;
	arena = torture_enter(torture_below(&a->rnd, TORTURE_ARENAS));
	if (arena) {
		n = fill(arena, a, gfp);
		visit_slots(arena, a);
		stretch(arena, a, n, gfp);
		drain(arena, a, n);
		torture_leave(arena);
	}
	torture_pause(200 + torture_below(&a->rnd, 2000));
}

/* ------------------------- collection, options, hooks ----------------------- */

static struct torture_actor hooked[TORTURE_FIRST_GUEST];

/* Called under the heap's own protection, by one at a time: that is its actor. */
static void free_deferred(struct chaos_heap *heap, bool force, u64 heartbeat,
			  void *arg)
{
	struct torture_arena *arena = arg;
	struct torture_actor *a = &hooked[arena - torture_arenas];
	struct torture_block *b = torture_take(arena, &a->rnd);

	if (!b)
		return;
	torture_free(arena, a, b);
	WRITE_ONCE(torture_company.hooks, torture_company.hooks + 1);
}

static void set_option(struct torture_arena *arena, struct rnd_state *rnd)
{
	static const struct {
		enum chaos_option option;
		unsigned long value[4];
	} choice[] = {
		{ CHAOS_OPT_WATERMARK,	  { 0, 12, 25, 50 } },
		{ CHAOS_OPT_RETIRE_DELAY, { 0, 1, 10, 100 } },
		{ CHAOS_OPT_RETURN_DELAY, { 0, 10, 100, 1000 } },
		{ CHAOS_OPT_HEARTBEAT,	  { 1, 16, 64, 256 } },
		{ CHAOS_OPT_GROWTH_STEP,  { 0, SZ_64K, SZ_1M, SZ_4M } },
	};
	u32 i = torture_below(rnd, ARRAY_SIZE(choice));

	if (chaos_heap_set_option(arena->heap, choice[i].option,
				  choice[i].value[torture_below(rnd, 4)]))
		torture_fail("an option was refused");
}

/* Half of the time, there is none. */
static void set_hook(struct rnd_state *rnd)
{
	u32 nr = torture_below(rnd, TORTURE_FIRST_GUEST);
	struct torture_arena *arena = &torture_arenas[nr];

	chaos_register_deferred_free(arena->heap,
				     torture_below(rnd, 2) ? free_deferred : NULL,
				     arena);
}

static void unset_hooks(void)
{
	u32 nr;

	for (nr = 0; nr < TORTURE_FIRST_GUEST; nr++)
		chaos_register_deferred_free(torture_arenas[nr].heap, NULL, NULL);
}

static void collect_round(struct torture_actor *a)
{
	struct torture_arena *arena;

	arena = torture_enter(torture_below(&a->rnd, TORTURE_ARENAS));
	if (arena) {
		chaos_heap_collect(arena->heap, torture_below(&a->rnd, 2));
		set_option(arena, &a->rnd);
		torture_leave(arena);
		torture_company.collects++;
	}
	if (!torture_below(&a->rnd, 4))
		set_hook(&a->rnd);
	torture_pause(10 + torture_below(&a->rnd, 100));
}

/* ------------------------------ memory pressure ---------------------------- */

static LIST_HEAD(hoard);
static DEFINE_SPINLOCK(hoard_lock);
/* There was so little left that the kernel would have killed somebody. */
static bool hoard_complete;

/* Single pages would take minutes, where interrupts leave tasks little time. */
#define HOARD_ORDER	8

static bool hoard_pages(unsigned int order)
{
	struct page *page = alloc_pages(GFP_HIGHUSER | __GFP_NORETRY | __GFP_NOWARN, order);

	if (!page)
		return false;
	set_page_private(page, order);
	spin_lock(&hoard_lock);
	list_add(&page->lru, &hoard);
	spin_unlock(&hoard_lock);
	return true;
}

/* @max of them, or a few more; how many */
static unsigned long unhoard(unsigned long max)
{
	unsigned long n = 0, order;
	struct page *page;

	while (n < max) {
		spin_lock(&hoard_lock);
		page = list_first_entry_or_null(&hoard, struct page, lru);
		if (page)
			list_del(&page->lru);
		spin_unlock(&hoard_lock);
		if (!page)
			break;
		order = page_private(page);
		set_page_private(page, 0);
		__free_pages(page, order);
		n += 1UL << order;
		cond_resched();
	}
	return n;
}

/* Better than that somebody is killed. */
static int hoard_oom(struct notifier_block *nb, unsigned long unused, void *freed)
{
	WRITE_ONCE(hoard_complete, true);
	*(unsigned long *)freed += unhoard(ULONG_MAX);
	return NOTIFY_OK;
}

static struct notifier_block hoard_nb = { .notifier_call = hoard_oom };

/*
 * All there is, for a moment; then all but a reserve, for a while.  If somebody could not do
 * without, all of it was had: to begin again at once might go on for ever.
 */
static void pressure_round(struct torture_actor *a)
{
	unsigned long reserve = (unsigned long)torture_options.keep_free * SZ_1M;
	unsigned int order = HOARD_ORDER + 1;

	WRITE_ONCE(hoard_complete, false);
	while (order--)
		while (!torture_stopping() && !READ_ONCE(hoard_complete) && hoard_pages(order))
			cond_resched();
	unhoard(reserve >> PAGE_SHIFT);
	torture_company.squeezes++;
	torture_pause(torture_below(&a->rnd, 500));
	unhoard(ULONG_MAX);
	torture_pause(1000 + torture_below(&a->rnd, 3000));
}

/* ------------------------- mistakes that are to be found ------------------- */

/* In the heap under test, as a client would make them */
static void make_mistake(struct torture_actor *a, struct torture_arena *arena,
			 struct torture_block *b)
{
	if (!strcmp(torture_options.bug, "double")) {
		torture_free(arena, a, b);
		chaos_heap_free(arena->heap, b);
	} else if (!strcmp(torture_options.bug, "share")) {
		torture_put(arena, a, b);
		torture_put(arena, a, b);
	} else if (!strcmp(torture_options.bug, "overrun")) {
		OPTIMIZER_HIDE_VAR(b);
		((u8 *)b)[b->size] ^= 1;
		torture_put(arena, a, b);
	} else if (!strcmp(torture_options.bug, "stale")) {
		torture_free(arena, a, b);
		((u8 *)b)[2 * sizeof(u64)] ^= 1;
	}
	/* leak: do nothing with it */
}

static void bug_round(struct torture_actor *a)
{
	struct torture_arena *arena = &torture_arenas[TORTURE_MAIN];
	struct torture_block *b;

	torture_pause(100);
	b = torture_stopping() ? NULL : torture_take(arena, &a->rnd);
	if (b) {
		make_mistake(a, arena, b);
		torture_company.mistakes++;
	}
}

/* ------------------------------------ all ---------------------------------- */

/**
 * struct companion - a thread
 * @name: its name
 * @on: whether it is wanted
 * @round: what it does again and again, a pause included
 * @actor: its blocks are accounted here
 */
struct companion {
	const char *name;
	const bool *on;
	void (*round)(struct torture_actor *a);
	struct torture_actor actor;
};

static bool bug_on;

static struct companion companions[] = {
	{ "check",    &torture_options.check,	 check_round },
	{ "onoff",    &torture_options.onoff,	 onoff_round },
	{ "guest1",   &torture_options.heaps,	 first_guest_round },
	{ "guest2",   &torture_options.heaps,	 second_guest_round },
	{ "exhaust",  &torture_options.exhaust,	 exhaust_round },
	{ "collect",  &torture_options.collect,	 collect_round },
	{ "pressure", &torture_options.pressure, pressure_round },
	{ "bug",      &bug_on,			 bug_round },
};

static int companion_thread(void *arg)
{
	struct companion *c = arg;

	while (!kthread_should_stop()) {
		if (torture_stopping())
			torture_pause(10);
		else
			c->round(&c->actor);
	}
	return 0;
}

static int start_companion(struct companion *c)
{
	struct task_struct *task;

	memset(&c->actor, 0, sizeof(c->actor));
	torture_actor_init(&c->actor, TORTURE_TASK, -1);
	if (!*c->on)
		return 0;
	task = kthread_run(companion_thread, c, "chaos_torture/%s", c->name);
	if (IS_ERR(task))
		return PTR_ERR(task);
	c->actor.task = task;
	return 0;
}

int torture_company_start(void)
{
	unsigned int i;
	int err = 0;

	bug_on = *torture_options.bug;
	filling = kvcalloc(FILL_BLOCKS, sizeof(*filling), GFP_KERNEL);
	if (!filling)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(hooked); i++)
		torture_actor_init(&hooked[i], TORTURE_TASK, -1);
	register_oom_notifier(&hoard_nb);
	for (i = 0; !err && i < ARRAY_SIZE(companions); i++)
		err = start_companion(&companions[i]);
	return err;
}

void torture_company_stop(void)
{
	unsigned int i;

	if (!filling)
		return;
	for (i = 0; i < ARRAY_SIZE(companions); i++) {
		if (companions[i].actor.task)
			kthread_stop(companions[i].actor.task);
		companions[i].actor.task = NULL;
	}
	unset_hooks();
	unregister_oom_notifier(&hoard_nb);
	unhoard(ULONG_MAX);
	kvfree(filling);
	filling = NULL;
}

void torture_company_sum(struct torture_tally *sum)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(companions); i++)
		torture_tally_add(sum, &companions[i].actor);
	for (i = 0; i < ARRAY_SIZE(hooked); i++)
		torture_tally_add(sum, &hooked[i]);
}
