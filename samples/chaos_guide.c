// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_guide: the code of Documentation/guide.rst, which has its examples from here.  A
 * claim() is what the document says; if one does not hold, insmod fails.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/align.h>
#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/cpuhotplug.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "chaos_alloc.h"
#include "claim.h"
#include "compat.h"	/* hrtimer_setup() on kernels that lack it */

static char *engine;
module_param(engine, charp, 0444);
MODULE_PARM_DESC(engine, "engine of the guide's heaps (default: that of the default heap)");

/* ----------------------------- the default heap ---------------------------- */

/* begin default */
struct guide_counter {
	u64 hits;
	char name[24];
};

static int guide_default(void)
{
	struct guide_counter *counter, *table;

	counter = chaos_zalloc(sizeof(*counter), GFP_KERNEL);
	if (!counter)
		return -ENOMEM;
	claim(counter->hits == 0);
	claim(chaos_usable_size(counter) >= sizeof(*counter));

	table = chaos_calloc(100, sizeof(*table), GFP_KERNEL);
	claim(table && table[99].hits == 0);

	chaos_free(table);	/* NULL would be fine, too */
	chaos_free(counter);
	return 0;
}

/* end default */

/* begin scoped */
static int guide_scoped(void)
{
	char *text __free(chaos_free) = chaos_alloc(64, GFP_KERNEL);

	if (!text)
		return -ENOMEM;
	if (strscpy(text, "freed on each way out", 64) < 0)
		return -E2BIG;
	return 0;
}

/* end scoped */

/* begin sensitive */
static int guide_sensitive(void)
{
	u8 *key = chaos_alloc(32, GFP_KERNEL);

	if (!key)
		return -ENOMEM;
	memset(key, 0xa5, 32);
	chaos_free_sensitive(key);	/* all usable bytes are cleared first */
	return 0;
}

/* end sensitive */

/* ---------------------------- a heap of one's own -------------------------- */

/* begin create */
static struct chaos_heap *guide_heap;

static int guide_create(void)
{
	const struct chaos_heap_params params = {
		.name = "guide",
		.allocator = engine,	/* "mimalloc", "tlsf", "evl"; NULL: the default heap's */
		.pool_size = SZ_1M,	/* reserved now */
		.max_size = SZ_8M,	/* the budget */
		.node = NUMA_NO_NODE,	/* that of the CPU which needs memory */
	};

	guide_heap = chaos_heap_create(&params);
	return PTR_ERR_OR_ZERO(guide_heap);
}

/* end create */

/* begin use */
static int guide_use(void)
{
	char *p, *q;

	p = chaos_heap_alloc(guide_heap, 100, GFP_KERNEL);
	q = chaos_heap_zalloc(guide_heap, array_size(50, sizeof(u64)), GFP_KERNEL);
	if (p && q) {
		memset(p, 'x', 100);
		claim(!memchr_inv(q, 0, array_size(50, sizeof(u64))));
		claim(chaos_heap_usable_size(guide_heap, p) >= 100);
		claim(chaos_heap_owns(guide_heap, p));
		claim(!chaos_heap_owns(NULL, p));	/* NULL is the default heap */
		claim(chaos_heap_of(p) == guide_heap);
	}
	chaos_heap_free(guide_heap, q);
	chaos_heap_free(guide_heap, p);
	return p && q ? 0 : -ENOMEM;
}

/* end use */

/* begin budget */
static int guide_budget(void)
{
	const struct chaos_heap_params params = {
		.name = "guide-budget",
		.allocator = engine,
		.pool_size = SZ_256K,
		.max_size = SZ_2M,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	struct chaos_heap_stats stats;
	void *p, *q;

	if (IS_ERR(heap))
		return PTR_ERR(heap);

	/* Who may not sleep has what is there already. */
	p = chaos_heap_alloc(heap, SZ_1M, GFP_ATOMIC | __GFP_NOWARN);
	claim(!p);
	/* For who may sleep, the heap grows, */
	p = chaos_heap_alloc(heap, SZ_1M, GFP_KERNEL);
	claim(p);
	/* but not beyond max_size. */
	q = chaos_heap_alloc(heap, SZ_1M, GFP_KERNEL | __GFP_NOWARN);
	claim(!q);
	/* To other heaps, nothing has happened. */
	q = chaos_alloc(SZ_1M, GFP_KERNEL);
	claim(q);

	chaos_free(q);
	chaos_heap_free(heap, p);
	/* What it has grown by goes some seconds after it is empty; or now: */
	chaos_heap_collect(heap, true);
	chaos_heap_stats(heap, &stats);
	claim(stats.grows >= 1 && stats.returns == stats.grows);
	claim(stats.pool_bytes == SZ_256K);

	chaos_heap_destroy(heap);
	return 0;
}

/* end budget */

/* --------------------------- where one must not sleep ---------------------- */

/* begin record */
struct guide_record {
	struct llist_node node;
	u64 when;
};

static LLIST_HEAD(guide_records);

/* In any context */
static bool guide_record(void)
{
	struct guide_record *record;

	record = chaos_heap_alloc(guide_heap, sizeof(*record), GFP_ATOMIC | __GFP_NOWARN);
	if (!record)
		return false;
	record->when = ktime_get_mono_fast_ns();
	llist_add(&record->node, &guide_records);
	return true;
}

/* In any other one */
static unsigned int guide_collect(void)
{
	struct guide_record *record, *next;
	unsigned int n = 0;

	llist_for_each_entry_safe(record, next, llist_del_all(&guide_records), node) {
		chaos_heap_free(guide_heap, record);
		n++;
	}
	return n;
}

/* end record */

/* begin atomic */
static DEFINE_RAW_SPINLOCK(guide_lock);

static int guide_atomic(void)
{
	unsigned long flags;
	bool got;

	raw_spin_lock_irqsave(&guide_lock, flags);
	got = guide_record();
	raw_spin_unlock_irqrestore(&guide_lock, flags);
	claim(got);
	claim(guide_collect() == 1);
	return 0;
}

/* end atomic */

/* begin hardirq */
static DECLARE_COMPLETION(guide_ticked);
static unsigned int guide_ticks, guide_recorded;

static enum hrtimer_restart guide_tick(struct hrtimer *timer)
{
	guide_recorded += guide_record();
	if (++guide_ticks == 10) {
		complete(&guide_ticked);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, ms_to_ktime(1));
	return HRTIMER_RESTART;
}

static int guide_hardirq(void)
{
	static struct hrtimer timer;

	/* HARD: in the interrupt itself, on PREEMPT_RT as well */
	hrtimer_setup(&timer, guide_tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_start(&timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&guide_ticked);
	hrtimer_cancel(&timer);
	claim(guide_recorded == 10);
	claim(guide_collect() == 10);
	return 0;
}

/* end hardirq */

#ifdef CONFIG_PERF_EVENTS
/* begin nmi */
static void *guide_gift;
static unsigned int guide_nmis, guide_interrupts, guide_nothing;

static void guide_overflow(struct perf_event *event, struct perf_sample_data *data,
			   struct pt_regs *regs)
{
	if (in_nmi())
		guide_nmis++;
	else
		guide_interrupts++;
	/* NULL is possible here, even if there is memory. */
	if (!guide_record())
		guide_nothing++;
	/* A free is never refused. */
	chaos_heap_free(guide_heap, xchg(&guide_gift, NULL));
}

/* end nmi */

/* Overflows of the cycle counter are NMIs, where the machine has them. */
static struct perf_event *guide_nmi_source(void)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_HARDWARE,
		.config		= PERF_COUNT_HW_CPU_CYCLES,
		.size		= sizeof(attr),
		.sample_period	= 100000,
		.pinned		= 1,
		.disabled	= 1,
	};

	return perf_event_create_kernel_counter(&attr, -1, current, guide_overflow, NULL);
}

static int guide_nmi(void)
{
	unsigned long end = jiffies + 2 * HZ;
	struct perf_event *event = guide_nmi_source();

	if (IS_ERR(event)) {
		pr_info("nothing that raises NMIs: %pe\n", event);
		return 0;
	}
	guide_gift = chaos_heap_alloc(guide_heap, 200, GFP_KERNEL);
	perf_event_enable(event);
	while (READ_ONCE(guide_nmis) + READ_ONCE(guide_interrupts) < 10 &&
	       time_before(jiffies, end))
		cpu_relax();
	perf_event_disable(event);
	perf_event_release_kernel(event);
	pr_info("%u NMIs, %u ordinary interrupts\n", guide_nmis, guide_interrupts);
	if (guide_nmis + guide_interrupts)
		claim(!guide_gift);
	claim(guide_collect() + guide_nothing == guide_nmis + guide_interrupts);
	chaos_heap_free(guide_heap, guide_gift);
	return 0;
}
#else
static int guide_nmi(void)
{
	return 0;
}
#endif

/* begin hotplug */
static DEFINE_PER_CPU(void *, guide_buffer);

/* In the CPU's own hotplug thread, which may sleep */
static int guide_online(unsigned int cpu)
{
	void *buffer = chaos_heap_zalloc(guide_heap, 1000, GFP_KERNEL);

	if (!buffer)
		return -ENOMEM;
	per_cpu(guide_buffer, cpu) = buffer;
	return 0;
}

static int guide_offline(unsigned int cpu)
{
	chaos_heap_free(guide_heap, per_cpu(guide_buffer, cpu));
	per_cpu(guide_buffer, cpu) = NULL;
	return 0;
}

static int guide_hotplug(void)
{
	struct chaos_heap_stats stats;
	int state;

	state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "chaos_guide:online", guide_online,
				  guide_offline);
	if (state < 0)
		return state;
	chaos_heap_stats(guide_heap, &stats);
	claim(stats.live_blocks >= 1);
	cpuhp_remove_state(state);
	chaos_heap_stats(guide_heap, &stats);
	claim(stats.live_blocks == 0);
	return 0;
}

/* end hotplug */

/* ---------------------- alignment, reallocation, bulks --------------------- */

/* begin aligned */
static int guide_aligned(void)
{
	void *p, *q;

	p = chaos_heap_alloc_aligned(guide_heap, 100, SZ_4K, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	claim(IS_ALIGNED((unsigned long)p, SZ_4K));

	/* Wherever the block goes to, it keeps that. */
	q = chaos_heap_realloc(guide_heap, p, 10000, GFP_KERNEL);
	claim(IS_ALIGNED((unsigned long)q, SZ_4K));
	chaos_heap_free(guide_heap, q ?: p);

	/* 24 is no power of two. */
	q = chaos_heap_alloc_aligned(guide_heap, 100, 24, GFP_KERNEL);
	claim(!q);

	/* For the default heap */
	q = chaos_alloc_aligned(100, 64, GFP_KERNEL);
	claim(IS_ALIGNED((unsigned long)q, 64));
	chaos_free(q);
	return 0;
}

/* end aligned */

/* begin realloc */
static int guide_realloc(void)
{
	char *p, *q;

	/* NULL: as chaos_heap_alloc() */
	p = chaos_heap_realloc(guide_heap, NULL, 100, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	memset(p, 'x', 100);

	q = chaos_heap_realloc(guide_heap, p, 5000, GFP_KERNEL);
	if (!q) {
		chaos_heap_free(guide_heap, p);	/* it is still there */
		return -ENOMEM;
	}
	p = q;
	claim(!memchr_inv(p, 'x', 100));

	/* More than the heap may ever have: the block stays as it was. */
	q = chaos_heap_realloc(guide_heap, p, SZ_64M, GFP_KERNEL | __GFP_NOWARN);
	claim(!q && !memchr_inv(p, 'x', 100));

	/* To make a block smaller never fails. */
	q = chaos_heap_realloc(guide_heap, p, 50, GFP_NOWAIT);
	claim(q && !memchr_inv(q, 'x', 50));

	/* 0 frees it. */
	q = chaos_heap_realloc(guide_heap, q, 0, GFP_NOWAIT);
	claim(q == ZERO_SIZE_PTR);

	/* For the default heap */
	q = chaos_realloc(NULL, 50, GFP_KERNEL);
	claim(q);
	chaos_free(q);
	return 0;
}

/* end realloc */

/* begin bulk */
static int guide_bulk(void)
{
	void *blocks[32];
	size_t n;

	n = chaos_heap_alloc_bulk(guide_heap, 256, GFP_KERNEL, ARRAY_SIZE(blocks), blocks);
	if (!n)
		return -ENOMEM;
	claim(n == ARRAY_SIZE(blocks));
	chaos_heap_free_bulk(guide_heap, n, blocks);

	/* All or nothing: 32 MiB are more than the budget. */
	n = chaos_heap_alloc_bulk(guide_heap, SZ_1M, GFP_KERNEL | __GFP_NOWARN,
				  ARRAY_SIZE(blocks), blocks);
	claim(n == 0);

	/* For the default heap */
	n = chaos_alloc_bulk(100, GFP_KERNEL, 2, blocks);
	claim(n == 2);
	chaos_free_bulk(n, blocks);
	return 0;
}

/* end bulk */

/* ------------------------- memory of the caller's own ---------------------- */

/* begin mem */
static int guide_memory(void *mem, void *more)
{
	const struct chaos_heap_params params = {
		.name = "guide-mem",
		.allocator = engine,
		.node = NUMA_NO_NODE,
		.mem = mem,
		.mem_size = SZ_256K,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	struct chaos_heap_stats stats;
	void *p;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = chaos_heap_alloc(heap, 1000, GFP_KERNEL);
	claim(p >= mem && p + 1000 <= mem + SZ_256K);

	/* Neither pool_size nor max_size: it has this memory, and nothing else. */
	p = chaos_heap_alloc(heap, SZ_512K, GFP_KERNEL | __GFP_NOWARN);
	claim(!p);

	/* Later, more of it */
	claim(chaos_heap_add_pool(heap, more, SZ_128K) == 0);
	claim(chaos_heap_add_pool(heap, more, SZ_128K) == -EEXIST);
	claim(chaos_heap_add_pool(heap, mem, SZ_4K) == -EINVAL);	/* too small */
	chaos_heap_stats(heap, &stats);
	claim(stats.pools == 2);

	/* First the heap, then, by the caller, its memory. */
	chaos_heap_destroy(heap);
	return 0;
}

/* end mem */

static int guide_own_memory(void)
{
	void *mem = vmalloc(SZ_256K), *more = vmalloc(SZ_128K);
	int err = -ENOMEM;

	if (mem && more)
		err = guide_memory(mem, more);
	vfree(more);
	vfree(mem);
	return err;
}

/* ------------------------------ freed by scope ----------------------------- */

/* begin cleanup */
DEFINE_FREE(guide_free, void *, chaos_heap_free(guide_heap, _T))

static char *guide_greeting(const char *name)
{
	char *text __free(guide_free) = chaos_heap_alloc(guide_heap, 16, GFP_KERNEL);

	if (!text || strscpy(text, name, 16) < 0)
		return NULL;			/* freed */
	return no_free_ptr(text);		/* not freed: it is the caller's now */
}

static int guide_cleanup(void)
{
	struct chaos_heap_stats stats;
	char *p;

	p = guide_greeting("hello");
	claim(p && !strcmp(p, "hello"));
	chaos_heap_free(guide_heap, p);
	p = guide_greeting("too long for sixteen bytes");
	claim(!p);
	chaos_heap_stats(guide_heap, &stats);
	claim(stats.live_blocks == 0);
	return 0;
}

/* end cleanup */

/* ----------------------------- options, the hook --------------------------- */

/* begin options */
static int guide_options(void)
{
	unsigned long value;

	/* An empty pool goes after 200 ms, and a quarter of the heap shall be free. */
	claim(chaos_heap_set_option(guide_heap, CHAOS_OPT_RETURN_DELAY, 200) == 0);
	claim(chaos_heap_set_option(guide_heap, CHAOS_OPT_WATERMARK, 25) == 0);
	claim(chaos_heap_get_option(guide_heap, CHAOS_OPT_WATERMARK, &value) == 0);
	claim(value == 25);

	/* Out of range: the log says what is valid, and nothing changes. */
	claim(chaos_heap_set_option(guide_heap, CHAOS_OPT_WATERMARK, 51) == -EINVAL);
	claim(chaos_heap_get_option(guide_heap, CHAOS_OPT_WATERMARK, &value) == 0);
	claim(value == 25);
	return 0;
}

/* end options */

/* begin hook */
struct guide_garbage {
	struct llist_head list;
	unsigned int calls;
};

static void guide_sweep(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg)
{
	struct guide_garbage *garbage = arg;
	struct guide_record *record, *next;

	garbage->calls++;
	llist_for_each_entry_safe(record, next, llist_del_all(&garbage->list), node)
		chaos_heap_free(heap, record);
}

static int guide_hook(void)
{
	struct guide_garbage garbage = { .list = LLIST_HEAD_INIT(garbage.list) };
	struct guide_record *record;
	unsigned int i;

	chaos_heap_set_option(guide_heap, CHAOS_OPT_HEARTBEAT, 16);
	chaos_register_deferred_free(guide_heap, guide_sweep, &garbage);
	for (i = 0; i < 64; i++) {
		record = chaos_heap_alloc(guide_heap, sizeof(*record), GFP_KERNEL);
		if (record)
			llist_add(&record->node, &garbage.list);
	}
	/* When this returns, the hook is not running, and will not be called. */
	chaos_register_deferred_free(guide_heap, NULL, NULL);

	claim(garbage.calls == 4);
	guide_sweep(guide_heap, true, 0, &garbage);	/* what came after the last call */
	return 0;
}

/* end hook */

/* -------------------------------- looking inside --------------------------- */

/* begin inside */
struct guide_seen {
	size_t blocks;
	size_t bytes;
};

/* With interrupts off: it must not sleep, nor call anything for this heap. */
static bool guide_visit(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct guide_seen *seen = arg;

	seen->blocks++;
	seen->bytes += size;
	return seen->blocks < 10;	/* false: that is enough */
}

static int guide_inside(void)
{
	struct chaos_heap_stats stats;
	struct guide_seen seen = { };
	size_t classes;
	void *p[9], *q;

	if (!chaos_heap_alloc_bulk(guide_heap, 100, GFP_KERNEL, ARRAY_SIZE(p), p))
		return -ENOMEM;

	claim(chaos_heap_check(guide_heap) == 0);	/* -EUCLEAN: damaged */

	claim(chaos_heap_walk(guide_heap, guide_visit, &seen) == 0);
	claim(seen.blocks == 9 && seen.bytes >= 9 * 100);

	/* With the tenth block, the visitor has seen enough. */
	q = chaos_heap_alloc(guide_heap, 100, GFP_KERNEL);
	seen = (struct guide_seen){ };
	claim(chaos_heap_walk(guide_heap, guide_visit, &seen) == -ECANCELED);

	chaos_heap_stats(guide_heap, &stats);
	claim(stats.live_blocks == 10 && stats.live_bytes >= 10 * 100);
	claim(stats.held_bytes <= stats.pool_bytes && stats.pool_bytes <= stats.max_bytes);
	claim(stats.bad_frees == 0);

	/* tlsf has no size classes. */
	classes = chaos_heap_class_stats(guide_heap, NULL, 0);
	claim(!strcmp(stats.allocator, "tlsf") ? !classes : classes);

	chaos_heap_free(guide_heap, q);
	chaos_heap_free_bulk(guide_heap, ARRAY_SIZE(p), p);
	return 0;
}

/* end inside */

/* ------------------------------ defence, leaks ----------------------------- */

/* KASAN would report this at once, and be right. */
static noinline __no_sanitize_address void guide_overrun(char *p, size_t size)
{
	p[size] = 'x';
}

/* begin harden */
static int guide_harden(void)
{
	const struct chaos_heap_params params = {
		.name = "guide-harden",
		.allocator = engine,
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
		.hardening = CHAOS_HARDENING_2,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	struct chaos_heap_stats stats;
	char *p;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = chaos_heap_alloc(heap, 100, GFP_KERNEL);
	if (p) {
		guide_overrun(p, 100);	/* p[100] = 'x' */
		claim(chaos_heap_check(heap) == -EUCLEAN);
		chaos_heap_free(heap, p);	/* reported, and freed */
		chaos_heap_stats(heap, &stats);
		claim(stats.bad_frees == 1 && stats.live_blocks == 0);
		claim(chaos_heap_check(heap) == 0);
	}
	chaos_heap_destroy(heap);
	return p ? 0 : -ENOMEM;
}

/* end harden */

/* begin track */
static int guide_track(void)
{
	const struct chaos_heap_params params = {
		.name = "guide-track",
		.allocator = engine,
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
		.track = CHAOS_TRACK_CALLER,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	void *p[2];

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	claim(chaos_heap_alloc_bulk(heap, 100, GFP_KERNEL, 2, p) == 2);
	/* Destroyed with two blocks in it: the log says who allocated them. */
	chaos_heap_destroy(heap);
	return 0;
}

/* end track */

/* ------------------------------------ errors ------------------------------- */

/* begin errors */
static int guide_errors(void)
{
	struct chaos_heap_params params = { .name = "guide-none", .node = NUMA_NO_NODE };
	size_t huge = SIZE_MAX / 2;
	void *p;

	OPTIMIZER_HIDE_VAR(huge);	/* or the compiler would refuse it already */

	p = chaos_alloc(0, GFP_KERNEL);
	claim(p == ZERO_SIZE_PTR);
	chaos_free(p);

	p = chaos_alloc(huge, GFP_KERNEL | __GFP_NOWARN);
	claim(!p);
	p = chaos_calloc(huge, 4, GFP_KERNEL | __GFP_NOWARN);
	claim(!p);
	p = chaos_alloc(100, GFP_KERNEL_ACCOUNT);	/* cannot be honoured */
	claim(!p);

	/* No memory at all; then, no such engine */
	claim(PTR_ERR(chaos_heap_create(&params)) == -EINVAL);
	params.pool_size = SZ_1M;
	params.allocator = "malloc";
	claim(PTR_ERR(chaos_heap_create(&params)) == -EINVAL);
	return 0;
}

/* end errors */

/* begin wrong */
static int guide_wrong(void)
{
	struct chaos_heap_stats before, after;
	char *p = chaos_heap_alloc(guide_heap, 100, GFP_KERNEL);
	char *q = chaos_heap_alloc(guide_heap, 100, GFP_KERNEL);
	int local;

	chaos_heap_stats(guide_heap, &before);
	if (p && q) {
		chaos_heap_free(guide_heap, &local);	/* not from any heap */
		chaos_heap_free(guide_heap, q + 16);	/* not the start of a block */
		chaos_heap_free(guide_heap, p);
		chaos_heap_free(guide_heap, p);		/* already freed */
		chaos_free(q);				/* belongs to another heap */
		p = NULL;
	}
	chaos_heap_stats(guide_heap, &after);
	claim(after.bad_frees == before.bad_frees + 3);	/* the default heap has the fourth */
	claim(after.live_blocks == before.live_blocks - 1);
	claim(chaos_heap_check(guide_heap) == 0);
	chaos_heap_free(guide_heap, q);
	chaos_heap_free(guide_heap, p);
	return 0;
}

/* end wrong */

/* ----------------------------------- module -------------------------------- */

static int (* const guide_examples[])(void) = {
	guide_default, guide_scoped, guide_sensitive, guide_use, guide_budget,
	guide_atomic, guide_hardirq, guide_nmi, guide_hotplug,
	guide_aligned, guide_realloc, guide_bulk, guide_own_memory,
	guide_cleanup, guide_options, guide_hook, guide_inside,
	guide_harden, guide_track, guide_errors, guide_wrong,
};

static int guide_run(void)
{
	struct chaos_heap_stats stats;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(guide_examples); i++) {
		err = guide_examples[i]();
		if (err)
			return err;
	}
	chaos_heap_stats(guide_heap, &stats);
	claim(stats.live_blocks == 0);
	pr_info("%s: %u statements, %u of them not so\n", stats.allocator, claims, claims_wrong);
	return claims_wrong ? -EBADE : 0;
}

/* begin module */
static int __init guide_init(void)
{
	int err = guide_create();

	if (err)
		return err;
	err = guide_run();
	if (err)
		chaos_heap_destroy(guide_heap);
	return err;
}

static void __exit guide_exit(void)
{
	/* What is still in it goes with it; nobody may be using it any more. */
	chaos_heap_destroy(guide_heap);
}

/* end module */

module_init(guide_init);
module_exit(guide_exit);

MODULE_DESCRIPTION("The examples of Documentation/guide.rst");
MODULE_LICENSE("GPL");
