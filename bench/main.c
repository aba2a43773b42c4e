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

/* Calls of nothing */
#define EMPTY_CALLS	1024

static const char *const op_names[BENCH_OPS] = {
	[BENCH_ALLOC] = "alloc",
	[BENCH_FREE] = "free",
	[BENCH_ALIGNED] = "alloc",
	[BENCH_REALLOC] = "realloc",
	[BENCH_ALLOC_BULK] = "alloc",
	[BENCH_FREE_BULK] = "free",
};

/* Blocks of a call */
static const unsigned int op_blocks[BENCH_OPS] = {
	[BENCH_ALLOC] = 1,
	[BENCH_FREE] = 1,
	[BENCH_ALIGNED] = 1,
	[BENCH_REALLOC] = 1,
	[BENCH_ALLOC_BULK] = BENCH_BATCH,
	[BENCH_FREE_BULK] = BENCH_BATCH,
};

static const char *const loop_names[BENCH_LOOPS] = {
	[BENCH_LOOP_PAIR] = "pair",
	[BENCH_LOOP_ALLOC] = "alloc",
	[BENCH_LOOP_FREE] = "free",
};

/* The points of a distribution that are reported, of 100,000 */
static const unsigned int shares[] = {
	0, 100, 1000, 5000, 10000, 25000, 50000, 75000, 90000, 95000, 99000, 99500,
	99900, 99950, 99990, 99999, 100000
};

/* The cost of the same calls of functions that only return, in ticks */
static u32 empty_cost[BENCH_OPS];

/* ------------------------------- selections ------------------------------- */

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

bool bench_work_wanted(const char *name)
{
	return listed(works, name);
}

/* Loops need the empty one to compare with; single calls have been compared. */
bool bench_peer_wanted(const struct bench_peer *peer)
{
	if (peer == &bench_empty)
		return !counter_instructions;
	return listed(peers, peer->name);
}

static bool able(const struct bench_peer *peer, const struct bench_work *work,
		 size_t size)
{
	if (!bench_peer_wanted(peer) || size < peer->least)
		return false;
	if (!size && (peer->fixed || peer->sleeps))
		return false;
	return !work->able || work->able(peer);
}

/* --------------------------------- reports -------------------------------- */

/* All figures are in thousandths, of instructions or of nanoseconds. */

static u64 net(u32 ticks, enum bench_op op)
{
	u32 cost = ticks > empty_cost[op] ? ticks - empty_cost[op] : 0;

	return div_u64(counter_to_milli(cost), op_blocks[op]);
}

static u64 net_mean(const struct hist *hist, enum bench_op op)
{
	u64 empty = hist->n * empty_cost[op];

	if (hist->sum <= empty)
		return 0;
	return div64_u64(counter_to_milli(hist->sum - empty),
			 hist->n * op_blocks[op]);
}

static void report_result(const struct bench *bench, const char *work,
			  unsigned int turn, enum bench_op op)
{
	const struct hist *hist = &bench->hist[op];

	pr_info("result: work=%s peer=%s size=%zu turn=%u op=%s n=%llu mean=%llu p50=%llu p99=%llu p999=%llu max=%llu\n",
		work, bench->heap.peer->name, bench->size, turn, op_names[op],
		hist->n, net_mean(hist, op), net(hist_quantile(hist, 50000), op),
		net(hist_quantile(hist, 99000), op),
		net(hist_quantile(hist, 99900), op), net(hist->most, op));
}

/* Works of many sizes have distributions worth a look. */
static void report_distribution(const struct bench *bench, const char *work,
				enum bench_op op)
{
	char points[ARRAY_SIZE(shares) * sizeof("100000:4294967295000,")];
	unsigned int i;
	int used = 0;

	for (i = 0; i < ARRAY_SIZE(shares); i++)
		used += scnprintf(points + used, sizeof(points) - used, "%s%u:%llu",
				  i ? "," : "", shares[i],
				  net(hist_quantile(&bench->hist[op], shares[i]), op));
	pr_info("distribution: work=%s peer=%s op=%s points=%s\n", work,
		bench->heap.peer->name, op_names[op], points);
}

/*
 * Gross: what the loop itself costs is the result of the empty peer.  Of a machine
 * that is shared, the median says more than the mean.
 */
static void report_loop(const struct bench *bench, const char *work,
			unsigned int turn, enum bench_loop loop)
{
	const struct hist *hist = &bench->loop[loop];
	u64 mean = div64_u64(counter_to_milli(hist->sum), hist->n * BENCH_BATCH);
	u64 p50 = counter_to_milli(hist_quantile(hist, 50000)) / BENCH_BATCH;

	pr_info("loop: work=%s peer=%s size=%zu turn=%u op=%s n=%llu mean=%llu p50=%llu\n",
		work, bench->heap.peer->name, bench->size, turn, loop_names[loop],
		hist->n, mean, p50);
}

static void report_memory(const struct bench *bench, const char *work,
			  unsigned int turn)
{
	const struct bench_memory *memory = &bench->memory;
	u64 n = max(memory->steady_n, 1ULL);

	pr_info("memory: work=%s peer=%s turn=%u peak_live=%llu peak_held=%lld peak_meta=%lld end_live=%llu end_held=%lld steady_live=%llu steady_held=%lld\n",
		work, bench->heap.peer->name, turn, memory->peak_live,
		memory->at_peak.held, memory->at_peak.meta, memory->end_live,
		memory->at_end.held, div64_u64(memory->steady_live, n),
		div64_s64(memory->steady_held, n));
}

static void report_curve(const struct bench *bench, const char *work)
{
	const struct bench_memory *memory = &bench->memory;
	unsigned int i;

	for (i = 0; i < memory->points; i++)
		pr_info("curve: work=%s peer=%s x=%u live=%llu held=%lld\n", work,
			bench->heap.peer->name, memory->point[i].x,
			memory->point[i].live, memory->point[i].held);
}

static void report(const struct bench *bench, const char *work, unsigned int turn)
{
	unsigned int i;

	for (i = 0; i < BENCH_OPS; i++) {
		if (!bench->hist[i].n)
			continue;
		report_result(bench, work, turn, i);
		if (!bench->size && !turn)
			report_distribution(bench, work, i);
	}
	for (i = 0; i < BENCH_LOOPS; i++)
		if (bench->loop[i].n)
			report_loop(bench, work, turn, i);
	if (bench->memory.measured)
		report_memory(bench, work, turn);
	if (!turn)
		report_curve(bench, work);
}

/* ---------------------------------- runs ---------------------------------- */

static int run_one(struct bench *bench, const struct bench_work *work,
		   const struct bench_peer *peer, size_t size, unsigned int turn)
{
	int err;

	memset(bench, 0, sizeof(*bench));
	bench->size = size;
	bench->scale = scale;
	prandom_seed_state(&bench->random, seed);
	err = bench_heap_setup(&bench->heap, peer, size, work->align ? size : 0);
	if (!err) {
		err = work->run(bench);
		bench_heap_teardown(&bench->heap);
	}
	if (err)
		pr_err("failed: work=%s peer=%s size=%zu turn=%u: %pe\n",
		       work->name, peer->name, size, turn, ERR_PTR(err));
	else
		report(bench, work->name, turn);
	return err;
}

static int run_peers(struct bench *bench, const struct bench_work *work,
		     size_t size, unsigned int turn)
{
	const struct bench_peer *const *peer;
	int err = 0;

	for (peer = bench_peers; *peer; peer++)
		if (able(*peer, work, size))
			err = run_one(bench, work, *peer, size, turn) ?: err;
	return err;
}

static int run_work(struct bench *bench, const struct bench_work *work,
		    unsigned int turn)
{
	size_t size;
	int err = 0;

	if (!work->from)
		return run_peers(bench, work, 0, turn);
	for (size = work->from; size <= work->to; size *= 2)
		err = run_peers(bench, work, size, turn) ?: err;
	return err;
}

static int run_all(struct bench *bench)
{
	const struct bench_work *const *work;
	unsigned int turn;
	int err = 0;

	for (turn = 0; turn < repeat; turn++) {
		for (work = bench_works; *work; work++)
			if (bench_work_wanted((*work)->name))
				err = run_work(bench, *work, turn) ?: err;
		err = bench_parallel(turn) ?: err;
	}
	return err;
}

/* The usual cost of each call of nothing; of instructions, it is always the same. */
static void measure_empty(struct bench *bench)
{
	const struct bench_heap *heap = &bench->heap;
	struct counter_section section;
	unsigned int i;
	size_t got;
	void *p;

	memset(bench, 0, sizeof(*bench));
	bench_heap_setup(&bench->heap, &bench_empty, 0, 0);
	counter_begin(&section, true);
	for (i = 0; i < EMPTY_CALLS; i++) {
		hist_add(&bench->hist[BENCH_ALLOC], bench_timed_alloc(heap, 64, &p));
		hist_add(&bench->hist[BENCH_FREE], bench_timed_free(heap, p, 64));
		hist_add(&bench->hist[BENCH_ALIGNED],
			 bench_timed_aligned(heap, 64, 64, &p));
		hist_add(&bench->hist[BENCH_REALLOC],
			 bench_timed_realloc(heap, p, 64, &p));
		hist_add(&bench->hist[BENCH_ALLOC_BULK],
			 bench_timed_alloc_bulk(heap, 64, 1, &p, &got));
		hist_add(&bench->hist[BENCH_FREE_BULK],
			 bench_timed_free_bulk(heap, 1, &p));
	}
	counter_end(&section);
	for (i = 0; i < BENCH_OPS; i++)
		empty_cost[i] = hist_quantile(&bench->hist[i], 50000);
}

static void report_begin(void)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(NULL, &stats);
	pr_info("begin: unit=%s default=%s cpus=%u seed=%u scale=%u repeat=%u empty_alloc=%llu empty_free=%llu\n",
		counter_instructions ? "instructions" : "ns", stats.allocator,
		num_online_cpus(), seed, scale, repeat,
		counter_to_milli(empty_cost[BENCH_ALLOC]),
		counter_to_milli(empty_cost[BENCH_FREE]));
}

static int __init bench_init(void)
{
	struct bench *bench;
	int err;

	err = counter_init();
	if (err)
		return err;
	bench = vzalloc(sizeof(*bench));
	if (!bench)
		return -ENOMEM;
	measure_empty(bench);
	report_begin();
	err = run_all(bench);
	pr_info("end: %s\n", err ? "failed" : "ok");
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
