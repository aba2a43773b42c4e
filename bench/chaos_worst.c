// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_worst: what single calls cost at worst, for the engines that promise a
 * bound.
 *
 * Loading it makes a heap of its own for each engine and pool size, brings it
 * into each of several states that are hard on it, and counts the instructions
 * of every call from then on, one by one.  Interrupts are masked meanwhile, so
 * that nobody else's instructions are counted; hence GFP_NOWAIT.  The figures are
 * exact where the PMU's are: in QEMU with -icount.  Each is the difference to a
 * call, through the same pointer, of a function that only returns.
 *
 * The patterns, each but the last two with as many blocks as fill the pool to two
 * thirds:
 *
 * churn	blocks of random sizes from 16 bytes to 4 KiB; a random one is
 *		freed, or allocated anew
 * checkerboard	blocks of one size, every second of them free: a free has two
 *		free neighbours; what is allocated is smaller than what is free
 * lists	blocks of sizes that grow by an eighth each, with a wall between
 *		any two, in random order: all lists, or trees, have something
 * aligned	as churn, with random alignments up to 64 KiB
 * merges	three blocks side by side, the middle one freed last
 * full		as churn, of sizes up to 64 KiB, aligned or not, with all of the pool
 *		allocated first: what is freed last is wanted
 * pieces	nothing is free but what was one block of 512 KiB, freed in pieces:
 *		what is wanted is longer than any of them
 *
 * Output, for each engine, pool size, pattern and operation:
 *
 *	chaos_worst: result: engine=E pool=BYTES op=OP pattern=P calls=N mean=M
 *		p50=A p99=B p999=C max=D
 *	chaos_worst: histogram: engine=E pool=BYTES op=OP pattern=P FROM:CALLS ...
 *
 * A histogram counts calls in steps of WORST_STEP instructions; lines that are too
 * long are continued by others that begin alike.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "pmu.h"
#include "use.h"

static unsigned long calls = 220000;
module_param(calls, ulong, 0444);
MODULE_PARM_DESC(calls, "calls of each pattern that are counted (220000: 1.1 million for each engine and pool)");

static char *engine = "";
module_param(engine, charp, 0444);
MODULE_PARM_DESC(engine, "tlsf or evl, and not the other one (both)");

static char *pattern = "";
module_param(pattern, charp, 0444);
MODULE_PARM_DESC(pattern, "one of the patterns, and no others (all)");

static unsigned long smallest;
module_param(smallest, ulong, 0444);
MODULE_PARM_DESC(smallest, "leave pools smaller than this out (0)");

static unsigned long largest = SZ_1G;
module_param(largest, ulong, 0444);
MODULE_PARM_DESC(largest, "leave pools larger than this out (1 GiB)");

/* What costs more is counted with the last. */
#define WORST_LIMIT	65536
#define WORST_STEP	10
/* Calls in a row with interrupts masked. */
#define WORST_BATCH	256
/* Of what the pool has, blocks and what they cost besides take so much. */
#define WORST_FILL(pool)	((pool) / 3 * 2)

/**
 * struct worst_hist - what calls have cost
 * @n: how many
 * @sum: instructions of all of them
 * @most: of the most expensive one
 * @count: calls by instructions
 */
struct worst_hist {
	u64 n;
	u64 sum;
	u32 most;
	u32 count[WORST_LIMIT];
};

enum worst_op {
	WORST_ALLOC,
	WORST_ALIGNED,
	WORST_FREE,
	WORST_OPS,
};

static const char *const worst_op_names[] = {
	[WORST_ALLOC] = "alloc",
	[WORST_ALIGNED] = "alloc_aligned",
	[WORST_FREE] = "free",
};

/**
 * struct worst_run - one engine and pool size
 * @engine: its name
 * @pool: bytes of the pool
 * @heap: the heap under test
 * @rnd: the sequence is the same each time
 * @slots: how many of @block there are
 * @block: live blocks, or NULL
 * @left: calls of the pattern that are yet to be counted
 * @batch: of these, until interrupts are let in
 * @hist: by operation
 */
struct worst_run {
	const char *engine;
	size_t pool;
	struct chaos_heap *heap;
	struct rnd_state rnd;
	unsigned long slots;
	void **block;
	unsigned long left;
	unsigned int batch;
	struct worst_hist *hist;
};

/* ---------------------------------- PMU ----------------------------------- */

static struct pmu_state worst_pmu;
static unsigned long worst_flags;

static void worst_begin(void)
{
	local_irq_save(worst_flags);
	pmu_take(&worst_pmu);
}

static void worst_end(void)
{
	pmu_give(&worst_pmu);
	local_irq_restore(worst_flags);
}

/* ------------------------------- single calls ----------------------------- */

typedef void *(*worst_alloc_fn)(struct chaos_heap *heap, size_t size, gfp_t gfp);
typedef void *(*worst_aligned_fn)(struct chaos_heap *heap, size_t size,
				  size_t align, gfp_t gfp);
typedef void (*worst_free_fn)(struct chaos_heap *heap, const void *p);

static noinline notrace void *nothing_alloc(struct chaos_heap *heap, size_t size,
					    gfp_t gfp)
{
	/* Or the compiler does not hand on what is not made use of. */
	bench_use(heap);
	bench_use(size);
	bench_use(gfp);
	return NULL;
}

static noinline notrace void *nothing_aligned(struct chaos_heap *heap,
					      size_t size, size_t align,
					      gfp_t gfp)
{
	bench_use(heap);
	bench_use(size);
	bench_use(align);
	bench_use(gfp);
	return NULL;
}

static noinline notrace void nothing_free(struct chaos_heap *heap, const void *p)
{
	bench_use(heap);
	bench_use(p);
}

static noinline u32 cost_alloc(worst_alloc_fn alloc, struct chaos_heap *heap,
			       size_t size, void **p)
{
	u32 start;

	OPTIMIZER_HIDE_VAR(alloc);	/* the same call for all */
	start = pmu_read();
	*p = alloc(heap, size, GFP_NOWAIT | __GFP_NOWARN);
	return pmu_read() - start;
}

static noinline u32 cost_aligned(worst_aligned_fn alloc, struct chaos_heap *heap,
				 size_t size, size_t align, void **p)
{
	u32 start;

	OPTIMIZER_HIDE_VAR(alloc);
	start = pmu_read();
	*p = alloc(heap, size, align, GFP_NOWAIT | __GFP_NOWARN);
	return pmu_read() - start;
}

static noinline u32 cost_free(worst_free_fn free, struct chaos_heap *heap,
			      const void *p)
{
	u32 start;

	OPTIMIZER_HIDE_VAR(free);
	start = pmu_read();
	free(heap, p);
	return pmu_read() - start;
}

static void worst_count(struct worst_run *run, enum worst_op op, u32 cost)
{
	struct worst_hist *hist = &run->hist[op];

	hist->n++;
	hist->sum += cost;
	hist->most = max(hist->most, cost);
	hist->count[min_t(u32, cost, WORST_LIMIT - 1)]++;
	if (run->left)
		run->left--;
	if (++run->batch < WORST_BATCH)
		return;
	run->batch = 0;
	worst_end();
	cond_resched();
	worst_begin();
}

/* Allocations that fail are not counted: they are another story. */
static void *worst_alloc(struct worst_run *run, size_t size)
{
	u32 cost, empty;
	void *p, *none;

	cost = cost_alloc(chaos_heap_alloc, run->heap, size, &p);
	empty = cost_alloc(nothing_alloc, run->heap, size, &none);
	if (p)
		worst_count(run, WORST_ALLOC, cost - empty);
	else if (run->left)
		run->left--;
	return p;
}

static void *worst_alloc_aligned(struct worst_run *run, size_t size, size_t align)
{
	u32 cost, empty;
	void *p, *none;

	cost = cost_aligned(chaos_heap_alloc_aligned, run->heap, size, align, &p);
	empty = cost_aligned(nothing_aligned, run->heap, size, align, &none);
	if (p)
		worst_count(run, WORST_ALIGNED, cost - empty);
	else if (run->left)
		run->left--;
	return p;
}

static void worst_free(struct worst_run *run, void *p)
{
	u32 cost, empty;

	if (!p)
		return;
	cost = cost_free(chaos_heap_free, run->heap, p);
	empty = cost_free(nothing_free, run->heap, p);
	worst_count(run, WORST_FREE, cost - empty);
}

/* --------------------------------- patterns ------------------------------- */

static u32 worst_random(struct worst_run *run, u32 below)
{
	return prandom_u32_state(&run->rnd) % below;
}

static size_t worst_size(struct worst_run *run)
{
	return 16 + worst_random(run, SZ_4K - 16 + 1);
}

/* Free the block in slot @i, if there is one. */
static bool worst_freed(struct worst_run *run, unsigned long i)
{
	void *p = run->block[i];

	if (!p)
		return false;
	run->block[i] = NULL;
	worst_free(run, p);
	return true;
}

static void worst_churn(struct worst_run *run)
{
	unsigned long n = min_t(unsigned long, run->slots,
				WORST_FILL(run->pool) / SZ_2K * 2);
	unsigned long i;

	while (run->left) {
		i = worst_random(run, n);
		if (!worst_freed(run, i))
			run->block[i] = worst_alloc(run, worst_size(run));
	}
}

static void worst_aligned(struct worst_run *run)
{
	unsigned long n = min_t(unsigned long, run->slots,
				WORST_FILL(run->pool) / SZ_8K * 2);
	unsigned long i;

	while (run->left) {
		i = worst_random(run, n);
		if (!worst_freed(run, i))
			run->block[i] = worst_alloc_aligned(run, worst_size(run),
							    16UL << worst_random(run, 13));
	}
}

static void worst_checkerboard(struct worst_run *run)
{
	unsigned long n = min_t(unsigned long, run->slots,
				WORST_FILL(run->pool) / 512) & ~1UL;
	unsigned long i;

	for (i = 0; i < n; i++)
		run->block[i] = worst_alloc(run, 480);
	for (i = 0; i < n; i += 2)
		worst_freed(run, i);
	/* A field of the other colour goes or comes, or a free one is cut. */
	while (run->left) {
		i = worst_random(run, n);
		if (!worst_freed(run, i))
			run->block[i] = worst_alloc(run, i & 1 ? 480 :
						    16 + worst_random(run, 400));
	}
}

static void worst_lists(struct worst_run *run)
{
	size_t size = 16, most = run->pool / 32;
	unsigned long i, n;

	/* Blocks at even places, walls at odd ones. */
	for (n = 0; n + 1 < run->slots && size < most; n += 2) {
		run->block[n] = worst_alloc(run, size);
		run->block[n + 1] = worst_alloc(run, 16);
		size = ALIGN(size + size / 8 + 1, 8);
	}
	while (run->left) {
		i = worst_random(run, n / 2) * 2;
		if (worst_freed(run, i))
			continue;
		size = 16UL << worst_random(run, ilog2(most / 16));
		size += worst_random(run, size);
		run->block[i] = worst_alloc(run, size);
	}
}

static void worst_merges(struct worst_run *run)
{
	void *p[4];
	unsigned int i;

	while (run->left) {
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = worst_alloc(run, worst_size(run));
		worst_free(run, p[0]);
		worst_free(run, p[2]);
		worst_free(run, p[1]);
		/* The last is a wall, now and then for long. */
		i = worst_random(run, run->slots);
		worst_free(run, run->block[i]);
		run->block[i] = p[3];
	}
}

static void *worst_alloc_any(struct worst_run *run, size_t size)
{
	if (worst_random(run, 4))
		return worst_alloc(run, size);
	return worst_alloc_aligned(run, size, 16UL << worst_random(run, 13));
}

/* Fill the pool with blocks of @size and less.  They go with the heap. */
static void worst_fill(struct worst_run *run, size_t size)
{
	for (; size >= 16; size /= 2) {
		while (chaos_heap_alloc(run->heap, size, GFP_NOWAIT | __GFP_NOWARN))
			;
	}
}

static size_t worst_log_size(struct worst_run *run)
{
	size_t size = 16UL << worst_random(run, 12);

	return size + worst_random(run, size);
}

static void worst_full(struct worst_run *run)
{
	unsigned long i, n = 0;

	while (n < run->slots && run->left) {
		run->block[n] = worst_alloc_any(run, worst_log_size(run));
		if (!run->block[n++])
			break;
	}
	worst_fill(run, SZ_1K);
	while (run->left) {
		i = worst_random(run, n);
		worst_free(run, run->block[i]);
		run->block[i] = worst_alloc_any(run, worst_log_size(run));
	}
}

#define WORST_WHOLE	SZ_512K

/* Pieces of pages, of a few pages, and of many; then most of it at once. */
static void worst_pieces(struct worst_run *run)
{
	void *whole, *p[8];
	unsigned int i, k;

	whole = worst_alloc(run, WORST_WHOLE);
	worst_fill(run, run->pool / 2);
	worst_free(run, whole);
	while (run->left) {
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = worst_alloc(run, 16UL << worst_random(run, 13));
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			k = worst_random(run, i + 1);
			swap(p[i], p[k]);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			worst_free(run, p[i]);
		whole = worst_alloc_any(run, WORST_WHOLE -
					worst_random(run, SZ_64K));
		worst_free(run, whole);
	}
}

static const struct {
	const char *name;
	void (*fn)(struct worst_run *run);
} worst_patterns[] = {
	{ "churn", worst_churn },
	{ "checkerboard", worst_checkerboard },
	{ "lists", worst_lists },
	{ "aligned", worst_aligned },
	{ "merges", worst_merges },
	{ "full", worst_full },
	{ "pieces", worst_pieces },
};

/* ---------------------------------- output -------------------------------- */

/* The least cost that @share of 1,000 calls are not above. */
static u32 worst_quantile(const struct worst_hist *hist, unsigned int share)
{
	u64 rank = max_t(u64, div_u64(hist->n * share + 999, 1000), 1);
	u64 seen = 0;
	u32 cost;

	for (cost = 0; cost < WORST_LIMIT - 1; cost++) {
		seen += hist->count[cost];
		if (seen >= rank)
			break;
	}
	return cost;
}

static void worst_print_histogram(const struct worst_run *run,
				  const char *pattern, enum worst_op op)
{
	const struct worst_hist *hist = &run->hist[op];
	u32 from, cost, n;
	char line[512];
	int len = 0;

	for (from = 0; from < WORST_LIMIT; from += WORST_STEP) {
		for (n = 0, cost = from;
		     cost < min_t(u32, from + WORST_STEP, WORST_LIMIT); cost++)
			n += hist->count[cost];
		if (n)
			len += scnprintf(line + len, sizeof(line) - len,
					 " %u:%u", from, n);
		if (len < (int)sizeof(line) - 32 &&
		    (!len || from + WORST_STEP < WORST_LIMIT))
			continue;
		pr_info("histogram: engine=%s pool=%zu op=%s pattern=%s%s\n",
			run->engine, run->pool, worst_op_names[op], pattern, line);
		len = 0;
	}
}

static void worst_print(const struct worst_run *run, const char *pattern)
{
	const struct worst_hist *hist;
	enum worst_op op;

	for (op = 0; op < WORST_OPS; op++) {
		hist = &run->hist[op];
		if (!hist->n)
			continue;
		pr_info("result: engine=%s pool=%zu op=%s pattern=%s calls=%llu mean=%llu p50=%u p99=%u p999=%u max=%u\n",
			run->engine, run->pool, worst_op_names[op], pattern,
			hist->n, div64_u64(hist->sum + hist->n / 2, hist->n),
			worst_quantile(hist, 500), worst_quantile(hist, 990),
			worst_quantile(hist, 999), hist->most);
		worst_print_histogram(run, pattern, op);
	}
}

/* ----------------------------------- runs --------------------------------- */

/* A heap that is empty but for its pool, and gone with all of its blocks. */
static int worst_run_pattern(struct worst_run *run, unsigned int i)
{
	const struct chaos_heap_params params = {
		.name = "worst",
		.allocator = run->engine,
		.pool_size = run->pool,
		.node = NUMA_NO_NODE,
		.hardening = CHAOS_HARDENING_1,
	};
	int err;

	run->heap = chaos_heap_create(&params);
	if (IS_ERR(run->heap))
		return PTR_ERR(run->heap);
	memset(run->block, 0, run->slots * sizeof(*run->block));
	memset(run->hist, 0, WORST_OPS * sizeof(*run->hist));
	prandom_seed_state(&run->rnd, 20241121);
	run->left = calls;
	run->batch = 0;

	worst_begin();
	worst_patterns[i].fn(run);
	worst_end();

	err = chaos_heap_check(run->heap);
	chaos_heap_destroy(run->heap);
	if (!err)
		worst_print(run, worst_patterns[i].name);
	return err;
}

static int worst_run_pool(const char *engine, size_t pool)
{
	struct worst_run run = {
		.engine = engine,
		.pool = pool,
		.slots = WORST_FILL(pool) / 512,
	};
	unsigned int i;
	int err = -ENOMEM;

	run.block = kvcalloc(run.slots, sizeof(*run.block), GFP_KERNEL);
	run.hist = kvcalloc(WORST_OPS, sizeof(*run.hist), GFP_KERNEL);
	if (run.block && run.hist)
		for (i = 0, err = 0; i < ARRAY_SIZE(worst_patterns) && !err; i++) {
			if (!*pattern || !strcmp(pattern, worst_patterns[i].name))
				err = worst_run_pattern(&run, i);
		}
	kvfree(run.hist);
	kvfree(run.block);
	return err;
}

static int __init worst_init(void)
{
	static const char *const engines[] = { "tlsf", "evl" };
	static const size_t pools[] = { SZ_1M, SZ_64M, SZ_1G };
	unsigned int i, k;
	int err;

	if (!pmu_able() || !pmu_exact()) {
		pr_err("the PMU does not count each instruction; in QEMU, it does with -icount\n");
		return -ENODEV;
	}
	for (i = 0; i < ARRAY_SIZE(pools); i++) {
		if (pools[i] < smallest || pools[i] > largest)
			continue;
		for (k = 0; k < ARRAY_SIZE(engines); k++) {
			if (*engine && strcmp(engine, engines[k]))
				continue;
			err = worst_run_pool(engines[k], pools[i]);
			if (err) {
				pr_err("%s, %zu bytes: %pe\n", engines[k],
				       pools[i], ERR_PTR(err));
				return err;
			}
		}
	}
	return 0;
}

static void __exit worst_exit(void)
{
}

module_init(worst_init);
module_exit(worst_exit);

MODULE_DESCRIPTION("Counts what single calls of chaos_alloc cost at worst");
MODULE_LICENSE("GPL");
