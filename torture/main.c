// SPDX-License-Identifier: GPL-2.0
/*
 * The module: parameters, progress, the verdict.
 *
 * insmod starts a run and returns.  A thread watches it, says every now and then how
 * far it has got, ends it when its time is over or something was found wrong, and says
 * how it went.  The parameter "result" shows the same.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "torture.h"

#define MAX_REPORTS	10
#define GRACE		(120 * HZ)

struct torture_options torture_options = {
	.nmi_period = 2000000,
	.keep_free = 24,
	.bug = "",
	.task = true, .softirq = true, .hardirq = true, .nmi = true,
	.check = true, .onoff = true, .heaps = true, .exhaust = true,
	.collect = true, .pressure = true,
};

static char *engine = "mimalloc";
module_param(engine, charp, 0444);
MODULE_PARM_DESC(engine, "of the heap under test: mimalloc, tlsf or evl (default mimalloc)");

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "of all random numbers; 0: one of its own choice (default 0)");

static unsigned int seconds = 60;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "that the run lasts (default 60)");

static unsigned int stat_interval = 10;
module_param(stat_interval, uint, 0444);
MODULE_PARM_DESC(stat_interval, "seconds from one line of progress to the next; 0: none (default 10)");

static unsigned int slots = 2048;
module_param(slots, uint, 0444);
MODULE_PARM_DESC(slots, "of the heap under test, about half of which have a block (default 2048)");

static unsigned int pool_kib = 4096;
module_param(pool_kib, uint, 0444);
MODULE_PARM_DESC(pool_kib, "KiB that the heap under test begins with (default 4096)");

static unsigned int max_kib = 32768;
module_param(max_kib, uint, 0444);
MODULE_PARM_DESC(max_kib, "KiB that it may grow to; 0: it does not grow (default 32768)");

static int hardening = -1;
module_param(hardening, int, 0444);
MODULE_PARM_DESC(hardening, "its level, 0 to 2; -1: chaos_alloc's default (default -1)");

static bool need_nmi;
module_param(need_nmi, bool, 0444);
MODULE_PARM_DESC(need_nmi, "fail if the machine has no NMIs (default no)");

module_param_named(nthreads, torture_options.nthreads, uint, 0444);
MODULE_PARM_DESC(nthreads, "threads; every other one is bound to a CPU; 0: two for each CPU (default 0)");
module_param_named(nmi_period, torture_options.nmi_period, uint, 0444);
MODULE_PARM_DESC(nmi_period, "cycles from one NMI of a CPU to the next (default 2000000)");
module_param_named(keep_free, torture_options.keep_free, uint, 0444);
MODULE_PARM_DESC(keep_free, "MiB that memory pressure leaves to the system (default 24)");
module_param_named(bug, torture_options.bug, charp, 0444);
MODULE_PARM_DESC(bug, "a mistake to make, which is to be found: double, share, leak, overrun or stale (default none)");
module_param_named(task, torture_options.task, bool, 0444);
MODULE_PARM_DESC(task, "operations in threads (default yes)");
module_param_named(softirq, torture_options.softirq, bool, 0444);
MODULE_PARM_DESC(softirq, "operations in softirqs (default yes)");
module_param_named(hardirq, torture_options.hardirq, bool, 0444);
MODULE_PARM_DESC(hardirq, "operations in hard interrupts (default yes)");
module_param_named(nmi, torture_options.nmi, bool, 0444);
MODULE_PARM_DESC(nmi, "operations in NMIs (default yes)");
module_param_named(check, torture_options.check, bool, 0444);
MODULE_PARM_DESC(check, "check and walk heaps in use (default yes)");
module_param_named(onoff, torture_options.onoff, bool, 0444);
MODULE_PARM_DESC(onoff, "switch CPUs off and on (default yes)");
module_param_named(heaps, torture_options.heaps, bool, 0444);
MODULE_PARM_DESC(heaps, "create and destroy heaps (default yes)");
module_param_named(exhaust, torture_options.exhaust, bool, 0444);
MODULE_PARM_DESC(exhaust, "fill heaps up (default yes)");
module_param_named(collect, torture_options.collect, bool, 0444);
MODULE_PARM_DESC(collect, "tidy heaps up, change their options and hooks (default yes)");
module_param_named(pressure, torture_options.pressure, bool, 0444);
MODULE_PARM_DESC(pressure, "take the system's memory (default yes)");

static const char *result = "running";

static int result_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", READ_ONCE(result));
}

static const struct kernel_param_ops result_ops = { .get = result_get };

module_param_cb(result, &result_ops, NULL, 0444);
MODULE_PARM_DESC(result, "running, success or failure");

/* ------------------------------ for all the others ------------------------- */

static bool stopping;
static atomic_t failures;
static unsigned long begin;

bool torture_stopping(void)
{
	return READ_ONCE(stopping);
}

void torture_fail(const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	/* One mistake has many victims; the first reports are worth reading. */
	if (atomic_inc_return(&failures) <= MAX_REPORTS) {
		va_start(args, fmt);
		vaf.fmt = fmt;
		vaf.va = &args;
		pr_err("after %u ms: %pV\n", jiffies_to_msecs(jiffies - begin), &vaf);
		va_end(args);
	}
	WRITE_ONCE(stopping, true);
}

/* Called by one thread at a time. */
void torture_seed_next(struct rnd_state *rnd)
{
	static u32 nr;

	prandom_seed_state(rnd, ((u64)seed << 32 | ++nr) * 0x9e3779b97f4a7c15ULL);
}

void torture_pause(unsigned int ms)
{
	set_current_state(TASK_INTERRUPTIBLE);
	if (!kthread_should_stop())
		schedule_timeout(msecs_to_jiffies(ms) + 1);
	__set_current_state(TASK_RUNNING);
}

/* ----------------------------------- figures ------------------------------- */

static struct torture_actor watcher;

/* What has been counted, by context; until the next call, by the same thread. */
static const struct torture_tally *sums(void)
{
	static struct torture_tally sum[TORTURE_CTXS];

	memset(sum, 0, sizeof(sum));
	torture_actors_sum(sum);
	torture_company_sum(&sum[TORTURE_TASK]);
	torture_tally_add(&sum[TORTURE_TASK], &watcher);
	return sum;
}

static u64 all_ops(const struct torture_tally *sum)
{
	unsigned int i;
	u64 n = 0;

	for (i = 0; i < TORTURE_OPS; i++)
		n += sum->ops[i];
	return n;
}

static void total(const struct torture_tally *sum, struct torture_tally *all)
{
	unsigned int ctx, i;

	memset(all, 0, sizeof(*all));
	for (ctx = 0; ctx < TORTURE_CTXS; ctx++) {
		for (i = 0; i < TORTURE_OPS; i++)
			all->ops[i] += sum[ctx].ops[i];
		all->made += sum[ctx].made;
		all->freed += sum[ctx].freed;
		all->foreign += sum[ctx].foreign;
		all->nulls += sum[ctx].nulls;
	}
}

static void say_figures(const char *what)
{
	const struct torture_company *c = &torture_company;
	const struct torture_tally *sum = sums();
	struct torture_tally all;

	total(sum, &all);
	pr_info("%s engine=%s seed=%u seconds=%u task=%llu softirq=%llu hardirq=%llu nmi=%llu made=%llu freed=%llu foreign=%llu live=%lld nulls=%llu nmi_nulls=%llu checks=%llu switches=%llu heaps=%llu full=%llu collects=%llu hooks=%llu squeezes=%llu mistakes=%llu\n",
		what, engine, seed, jiffies_to_msecs(jiffies - begin) / 1000,
		all_ops(&sum[TORTURE_TASK]), all_ops(&sum[TORTURE_SOFTIRQ]),
		all_ops(&sum[TORTURE_HARDIRQ]), all_ops(&sum[TORTURE_NMI]),
		all.made, all.freed, all.foreign, (s64)(all.made - all.freed),
		all.nulls, sum[TORTURE_NMI].nulls, c->checks, c->switches, c->heaps,
		c->full, c->collects, c->hooks, c->squeezes, c->mistakes);
}

static void say_operations(void)
{
	struct torture_tally all;
	const u64 *ops = all.ops;

	total(sums(), &all);
	pr_info("operations: alloc=%llu zalloc=%llu aligned=%llu free=%llu visit=%llu realloc=%llu bulk=%llu tiny=%llu\n",
		ops[TORTURE_ALLOC], ops[TORTURE_ZALLOC], ops[TORTURE_ALIGNED],
		ops[TORTURE_FREE], ops[TORTURE_VISIT], ops[TORTURE_REALLOC],
		ops[TORTURE_BULK], ops[TORTURE_TINY]);
}

/* ----------------------------------- verdict ------------------------------- */

/* What was wanted, and has not been done once; or NULL. */
static const char *not_done(void)
{
	const struct torture_options *o = &torture_options;
	const struct torture_company *c = &torture_company;
	const struct torture_tally *sum = sums();
	const struct {
		bool wanted;
		u64 done;
		const char *what;
	} work[] = {
		{ o->task, all_ops(&sum[TORTURE_TASK]), "operations in threads" },
		{ o->softirq, all_ops(&sum[TORTURE_SOFTIRQ]), "operations in softirqs" },
		{ o->hardirq, all_ops(&sum[TORTURE_HARDIRQ]), "operations in interrupts" },
		{ o->nmi && need_nmi, all_ops(&sum[TORTURE_NMI]), "operations in NMIs" },
		{ o->check, c->checks, "checks" },
		{ o->onoff, c->switches, "CPUs switched off and on" },
		{ o->heaps, c->heaps, "heaps created and destroyed" },
		{ o->exhaust, c->full, "heaps filled up" },
		{ o->collect, c->collects, "collections" },
		{ o->pressure, c->squeezes, "shortages of memory" },
		{ *o->bug, c->mistakes, "mistakes" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(work); i++) {
		if (work[i].wanted && !work[i].done)
			return work[i].what;
	}
	return NULL;
}

static void expect_balance(void)
{
	struct torture_tally all;

	total(sums(), &all);
	if (all.made != all.freed)
		torture_fail("%llu blocks were allocated, %llu freed", all.made,
			     all.freed);
}

static void say_verdict(void)
{
	bool ok = !atomic_read(&failures);

	say_operations();
	say_figures(ok ? "SUCCESS" : "FAILURE");
	WRITE_ONCE(result, ok ? "success" : "failure");
}

/* ----------------------------------- the run ------------------------------- */

static void run_end(bool in_full)
{
	const char *missing;

	WRITE_ONCE(stopping, true);
	torture_company_stop();
	torture_actors_stop();
	if (!atomic_read(&failures)) {
		torture_clear(&torture_arenas[TORTURE_MAIN], &watcher);
		torture_clear(&torture_arenas[TORTURE_DEFAULT], &watcher);
		expect_balance();
		missing = not_done();
		if (in_full && missing)
			torture_fail("%s: none at all", missing);
	}
	say_verdict();
}

/* On a slow machine, some things want more than their time to happen at all. */
static bool is_over(void)
{
	unsigned long end = begin + (unsigned long)seconds * HZ;

	if (kthread_should_stop() || torture_stopping())
		return true;
	return time_after(jiffies, end) &&
	       (!not_done() || time_after(jiffies, end + GRACE));
}

static int watch(void *unused)
{
	unsigned long next = begin + stat_interval * HZ;

	while (!is_over()) {
		torture_pause(100);
		if (!stat_interval || time_before(jiffies, next))
			continue;
		next += stat_interval * HZ;
		say_figures("progress");
	}
	run_end(!kthread_should_stop());
	while (!kthread_should_stop())
		torture_pause(1000);
	return 0;
}

static void run_free(void)
{
	torture_actors_free();
	/*
	 * What was found damaged is still live.  It goes with the heap; but in the
	 * default heap it stays, and rmmod tells.
	 */
	torture_destroy(&torture_arenas[TORTURE_MAIN]);
	torture_destroy(&torture_arenas[TORTURE_DEFAULT]);
}

static int open_heaps(void)
{
	const struct chaos_heap_params params = {
		.name = "torture",
		.allocator = engine,
		.pool_size = (size_t)pool_kib * SZ_1K,
		.max_size = (size_t)max_kib * SZ_1K,
		.node = NUMA_NO_NODE,
		.hardening = hardening + CHAOS_HARDENING_0,
	};
	int err;

	err = torture_open(&torture_arenas[TORTURE_MAIN], &params, slots);
	if (!err)
		err = torture_open(&torture_arenas[TORTURE_DEFAULT], NULL, slots / 4);
	return err;
}

static int check_params(void)
{
	static const char * const bugs[] = {
		"", "double", "share", "leak", "overrun", "stale",
	};

	if (match_string(bugs, ARRAY_SIZE(bugs), torture_options.bug) < 0) {
		pr_err("bug=%s: double, share, leak, overrun and stale are valid\n",
		       torture_options.bug);
		return -EINVAL;
	}
	if (hardening < -1 || hardening > 2 || slots < 4) {
		pr_err("hardening= wants -1 to 2, slots= at least 4\n");
		return -EINVAL;
	}
	return 0;
}

static void settle_params(void)
{
	while (!seed)
		seed = get_random_u32();
	if (!torture_options.nthreads)
		torture_options.nthreads = 2 * num_online_cpus();
	if (!torture_can_switch_cpus())
		torture_options.onoff = false;
}

static int __init torture_init(void)
{
	struct task_struct *task;
	int err = check_params();

	if (err)
		return err;
	settle_params();
	pr_info("begin engine=%s seed=%u seconds=%u cpus=%u nthreads=%u\n", engine,
		seed, seconds, num_online_cpus(), torture_options.nthreads);
	torture_actor_init(&watcher, TORTURE_TASK, -1);
	begin = jiffies;
	err = open_heaps();
	if (!err)
		err = torture_actors_start();
	if (!err)
		err = torture_company_start();
	if (err)
		goto stop;
	task = kthread_run(watch, NULL, "chaos_torture");
	if (!IS_ERR(task)) {
		watcher.task = task;
		return 0;
	}
	err = PTR_ERR(task);
stop:
	pr_err("cannot start: %d\n", err);
	WRITE_ONCE(stopping, true);
	torture_company_stop();
	torture_actors_stop();
	run_free();
	return err;
}

static void __exit torture_exit(void)
{
	kthread_stop(watcher.task);
	run_free();
}

module_init(torture_init);
module_exit(torture_exit);

MODULE_DESCRIPTION("Torture test of chaos_alloc");
MODULE_LICENSE("GPL");
