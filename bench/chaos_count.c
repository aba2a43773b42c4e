// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_count: the instructions of single calls, counted by the CPU's PMU.
 *
 * Loading it counts calls of the default heap's engine and prints a line for
 * each size.  Interrupts are masked meanwhile, so that nobody else's instructions
 * are counted; hence GFP_NOWAIT.  The figures are exact where the PMU's are:
 * in QEMU with -icount.  "make count" does all of this.
 *
 * Each figure is the difference to a call, through the same pointer, of a
 * function that only returns.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "pmu.h"

/* Pairs of calls that are counted, after as many that are not. */
#define COUNT_PAIRS	4096
/* Blocks that are allocated in a row, to be freed by an interrupt. */
#define COUNT_BATCH	256

typedef void *(*count_alloc_fn)(size_t size, gfp_t gfp);
typedef void (*count_free_fn)(const void *p);

/**
 * struct count_samples - what the same call has cost each time
 * @n: how many
 * @cost: instructions
 */
struct count_samples {
	unsigned int n;
	u32 cost[COUNT_PAIRS];
};

/**
 * struct count_run - all that is counted
 * @alloc: calls that allocate
 * @local: frees by the context that has allocated
 * @foreign: frees by another one
 * @block: live blocks
 * @work: frees them in hard interrupt context
 */
struct count_run {
	struct count_samples alloc;
	struct count_samples local;
	struct count_samples foreign;
	void *block[COUNT_BATCH];
	struct irq_work work;
};

/* --------------------------------- counting ------------------------------- */

static noinline notrace void *nothing_alloc(size_t size, gfp_t gfp)
{
	barrier();	/* or the compiler knows that there is nothing */
	return NULL;
}

static noinline notrace void nothing_free(const void *p)
{
	barrier();
}

static noinline u32 count_alloc(count_alloc_fn alloc, size_t size, void **p)
{
	u32 start;

	OPTIMIZER_HIDE_VAR(alloc);	/* the same call for all */
	start = pmu_read();
	*p = alloc(size, GFP_NOWAIT);
	return pmu_read() - start;
}

static noinline u32 count_free(count_free_fn free, void *p)
{
	u32 start;

	OPTIMIZER_HIDE_VAR(free);
	start = pmu_read();
	free(p);
	return pmu_read() - start;
}

static u32 empty_alloc(void)
{
	void *p;

	return count_alloc(nothing_alloc, 0, &p);
}

static u32 empty_free(void)
{
	return count_free(nothing_free, NULL);
}

static void count_add(struct count_samples *samples, u32 cost)
{
	if (samples->n < COUNT_PAIRS)
		samples->cost[samples->n++] = cost;
}

/* Allocate a block and free it, over and over. */
static int count_pairs(struct count_run *run, size_t size)
{
	struct pmu_state pmu;
	unsigned long flags;
	u32 alloc, free;
	unsigned int i;
	void *p = NULL;

	local_irq_save(flags);
	pmu_take(&pmu);
	for (i = 0; i < 2 * COUNT_PAIRS; i++) {
		alloc = count_alloc(chaos_alloc, size, &p);
		if (!p)
			break;
		free = count_free(chaos_free, p);
		if (i < COUNT_PAIRS)
			continue;
		count_add(&run->alloc, alloc - empty_alloc());
		count_add(&run->local, free - empty_free());
	}
	pmu_give(&pmu);
	local_irq_restore(flags);
	return p ? 0 : -ENOMEM;
}

static void count_foreign(struct irq_work *work)
{
	struct count_run *run = container_of(work, struct count_run, work);
	struct pmu_state pmu;
	unsigned long flags;
	unsigned int i;
	u32 free;

	local_irq_save(flags);
	pmu_take(&pmu);
	for (i = 0; i < COUNT_BATCH; i++) {
		free = count_free(chaos_free, run->block[i]);
		count_add(&run->foreign, free - empty_free());
	}
	pmu_give(&pmu);
	local_irq_restore(flags);
}

/* Blocks that a task has allocated, freed in hard interrupt context. */
static int count_foreign_frees(struct count_run *run, size_t size)
{
	if (chaos_alloc_bulk(size, GFP_KERNEL, COUNT_BATCH, run->block) != COUNT_BATCH)
		return -ENOMEM;
	irq_work_queue(&run->work);
	irq_work_sync(&run->work);
	return 0;
}

/* --------------------------------- figures -------------------------------- */

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* The most frequent one; of sorted samples. */
static u32 usual(const struct count_samples *samples)
{
	unsigned int i, first = 0, most = 0;
	u32 value = 0;

	for (i = 0; i < samples->n; i++) {
		if (samples->cost[i] != samples->cost[first])
			first = i;
		if (i - first + 1 > most) {
			most = i - first + 1;
			value = samples->cost[i];
		}
	}
	return value;
}

static u32 mean(const struct count_samples *samples)
{
	unsigned int i;
	u64 sum = 0;

	for (i = 0; i < samples->n; i++)
		sum += samples->cost[i];
	return (sum + samples->n / 2) / samples->n;
}

static void print_samples(const char *call, size_t size,
			  struct count_samples *samples)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(NULL, &stats);
	sort(samples->cost, samples->n, sizeof(samples->cost[0]), compare_u32,
	     NULL);
	pr_info("result: allocator=%s call=%s size=%zu n=%u usual=%u mean=%u max=%u\n",
		stats.allocator, call, size, samples->n, usual(samples),
		mean(samples), samples->cost[samples->n - 1]);
}

static int count_size(struct count_run *run, size_t size)
{
	int err;

	memset(run, 0, sizeof(*run));
	run->work = IRQ_WORK_INIT_HARD(count_foreign);
	err = count_pairs(run, size);
	if (!err)
		err = count_foreign_frees(run, size);
	if (err)
		return err;
	print_samples("alloc", size, &run->alloc);
	print_samples("free", size, &run->local);
	print_samples("foreign-free", size, &run->foreign);
	return 0;
}

static void print_empty(void)
{
	struct pmu_state pmu;
	unsigned long flags;
	u32 alloc, free;

	local_irq_save(flags);
	pmu_take(&pmu);
	alloc = empty_alloc();
	free = empty_free();
	pmu_give(&pmu);
	local_irq_restore(flags);
	pr_info("empty: alloc=%u free=%u\n", alloc, free);
}

static int __init count_init(void)
{
	struct count_run *run;
	int err;

	if (!pmu_able() || !pmu_exact()) {
		pr_err("the PMU does not count each instruction; in QEMU, it does with -icount\n");
		return -ENODEV;
	}
	run = kvzalloc(sizeof(*run), GFP_KERNEL);
	if (!run)
		return -ENOMEM;
	print_empty();
	err = count_size(run, 64);
	if (!err)
		err = count_size(run, SZ_1K);
	if (err)
		pr_err("stopped: %pe\n", ERR_PTR(err));
	kvfree(run);
	return err;
}

static void __exit count_exit(void)
{
}

module_init(count_init);
module_exit(count_exit);

MODULE_DESCRIPTION("Counts the instructions of chaos_alloc's calls");
MODULE_LICENSE("GPL");
