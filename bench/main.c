// SPDX-License-Identifier: GPL-2.0
/*
 * What is run, with whom, and how it is reported.
 *
 * Loading the module does it all.  Each result is a line of the kernel log,
 * made of words KEY=VALUE; tools/report.py reads them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "bench.h"
#include "chaos_alloc.h"

static char *works = "";
module_param(works, charp, 0444);
MODULE_PARM_DESC(works, "Which, separated by commas (default: all)");

static char *peers = "";
module_param(peers, charp, 0444);
MODULE_PARM_DESC(peers, "With whom, separated by commas (default: all)");

static unsigned int scale = 100;
module_param(scale, uint, 0444);
MODULE_PARM_DESC(scale, "Percent of the usual repetitions (default 100)");

static unsigned int repeat = 1;
module_param(repeat, uint, 0444);
MODULE_PARM_DESC(repeat, "How often all of it is done (default 1)");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "Of the random numbers (default 1)");

static const size_t sizes[] = {
	8, 16, 32, 64, 128, 256, 512, SZ_1K, SZ_2K, SZ_4K, SZ_8K, SZ_16K, SZ_32K,
	SZ_64K
};

static const char *const op_names[BENCH_OPS] = {
	[BENCH_ALLOC] = "alloc",
	[BENCH_FREE] = "free",
};

/* The cost of the same calls of a function that only returns, in ticks */
static u32 empty_cost[BENCH_OPS];

/* Is @name in a list with commas?  Everything is in an empty one. */
static bool listed(const char *list, const char *name)
{
	size_t length = strlen(name);
	const char *p = list;

	if (!*list)
		return true;
	while ((p = strstr(p, name))) {
		if ((p == list || p[-1] == ',') && (!p[length] || p[length] == ','))
			return true;
		p += length;
	}
	return false;
}

/* --------------------------------- reports -------------------------------- */

/* A number with two decimals; of thousandths */
#define DECIMALS_FMT		"%llu.%02llu"
#define DECIMALS(milli)		div_u64(milli, 1000), div_u64((milli) % 1000, 10)

static u64 net(u32 ticks, enum bench_op op)
{
	return counter_to_milli(ticks > empty_cost[op] ? ticks - empty_cost[op] : 0);
}

static u64 net_mean(const struct hist *hist, enum bench_op op)
{
	u64 empty = hist->n * empty_cost[op];

	if (hist->sum <= empty)
		return 0;
	return div64_u64(counter_to_milli(hist->sum - empty), hist->n);
}

static void report_hist(const struct bench *bench, const struct bench_work *work,
			enum bench_op op, unsigned int turn)
{
	const struct hist *hist = &bench->hist[op];

	if (!hist->n)
		return;
	pr_info("result: work=%s peer=%s size=%zu op=%s turn=%u n=%llu mean="
		DECIMALS_FMT " p50=" DECIMALS_FMT " p99=" DECIMALS_FMT " p999="
		DECIMALS_FMT " max=" DECIMALS_FMT "\n",
		work->name, bench->heap.peer->name, bench->size, op_names[op],
		turn, hist->n, DECIMALS(net_mean(hist, op)),
		DECIMALS(net(hist_quantile(hist, 500), op)),
		DECIMALS(net(hist_quantile(hist, 990), op)),
		DECIMALS(net(hist_quantile(hist, 999), op)),
		DECIMALS(net(hist->most, op)));
}

/* ---------------------------------- runs ---------------------------------- */

static void bench_reset(struct bench *bench, const struct bench_peer *peer,
			size_t size)
{
	memset(bench, 0, sizeof(*bench));
	bench->heap.peer = peer;
	bench->size = size;
	bench->scale = scale;
	prandom_seed_state(&bench->random, seed);
}

static int run_one(struct bench *bench, const struct bench_work *work,
		   const struct bench_peer *peer, size_t size, unsigned int turn)
{
	enum bench_op op;
	int err = 0;

	bench_reset(bench, peer, size);
	if (peer->setup)
		err = peer->setup(&bench->heap, size);
	if (err)
		goto failed;
	err = work->run(bench);
	if (peer->teardown)
		peer->teardown(&bench->heap);
	if (err)
		goto failed;
	for (op = 0; op < BENCH_OPS; op++)
		report_hist(bench, work, op, turn);
	return 0;
failed:
	pr_err("failed: work=%s peer=%s size=%zu turn=%u: %pe\n", work->name,
	       peer->name, size, turn, ERR_PTR(err));
	return err;
}

static int run_peers(struct bench *bench, const struct bench_work *work,
		     size_t size, unsigned int turn)
{
	const struct bench_peer *const *peer;
	int err = 0;

	for (peer = bench_peers; *peer; peer++) {
		if (!listed(peers, (*peer)->name) || (*peer)->sleeps ||
		    ((*peer)->fixed && !work->sized))
			continue;
		err = run_one(bench, work, *peer, size, turn) ?: err;
		cond_resched();
	}
	return err;
}

static int run_work(struct bench *bench, const struct bench_work *work,
		    unsigned int turn)
{
	unsigned int i;
	int err = 0;

	if (!work->sized)
		return run_peers(bench, work, 0, turn);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		err = run_peers(bench, work, sizes[i], turn) ?: err;
	return err;
}

/* The usual cost of a call of nothing; instructions are always the same. */
static int measure_empty(struct bench *bench)
{
	enum bench_op op;
	int err;

	bench_reset(bench, &bench_empty, 64);
	err = bench_works[0]->run(bench);
	for (op = 0; !err && op < BENCH_OPS; op++)
		empty_cost[op] = hist_quantile(&bench->hist[op], 500);
	return err;
}

static int __init bench_init(void)
{
	const struct bench_work *const *work;
	struct chaos_heap_stats stats;
	struct bench *bench;
	unsigned int turn;
	int err;

	err = counter_init();
	if (err)
		return err;
	bench = vzalloc(sizeof(*bench));
	if (!bench)
		return -ENOMEM;
	err = measure_empty(bench);
	if (err)
		goto out;
	chaos_heap_stats(NULL, &stats);
	pr_info("begin: unit=%s default=%s seed=%u scale=%u empty_alloc=" DECIMALS_FMT
		" empty_free=" DECIMALS_FMT "\n", counter_unit(), stats.allocator,
		seed, scale, DECIMALS(counter_to_milli(empty_cost[BENCH_ALLOC])),
		DECIMALS(counter_to_milli(empty_cost[BENCH_FREE])));
	for (turn = 0; turn < repeat; turn++)
		for (work = bench_works; *work; work++)
			if (listed(works, (*work)->name))
				err = run_work(bench, *work, turn) ?: err;
	pr_info("end: %s\n", err ? "failed" : "ok");
out:
	vfree(bench);
	return err;
}

/* All is done and given back by then; without it the module could not go. */
static void __exit bench_exit(void)
{
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_DESCRIPTION("Benchmark of chaos_alloc and the kernel's own allocators");
MODULE_LICENSE("GPL");
