// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_sample: what a client of chaos_alloc looks like.
 *
 * A timer allocates a record in hard interrupt context each millisecond, from a
 * heap that nobody else can exhaust; the module's init collects the records.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "compat.h"	/* hrtimer_setup() on kernels that lack it */

#define SAMPLE_TICKS	10

static bool leak;
module_param(leak, bool, 0444);
MODULE_PARM_DESC(leak, "Forget the heap, and three blocks of the default heap, for the report at rmmod");

struct sample_record {
	struct llist_node node;
	ktime_t when;
};

static struct chaos_heap *sample_heap;
static struct hrtimer sample_timer;
static LLIST_HEAD(sample_records);
static DECLARE_COMPLETION(sample_done);
static unsigned int sample_ticks;

static enum hrtimer_restart sample_tick(struct hrtimer *timer)
{
	struct sample_record *record;

	/* GFP_ATOMIC: from the memory reserved at creation, so NULL is possible. */
	record = chaos_heap_alloc(sample_heap, sizeof(*record), GFP_ATOMIC);
	if (record) {
		record->when = ktime_get();
		llist_add(&record->node, &sample_records);
	}

	if (++sample_ticks == SAMPLE_TICKS) {
		complete(&sample_done);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(timer, ms_to_ktime(1));
	return HRTIMER_RESTART;
}

static unsigned int sample_collect(void)
{
	struct sample_record *record, *next;
	unsigned int n = 0;

	llist_for_each_entry_safe(record, next, llist_del_all(&sample_records), node) {
		chaos_heap_free(sample_heap, record);
		n++;
	}
	return n;
}

/* The default heap needs no heap pointer, and its blocks can free themselves. */
static int sample_default_heap(void)
{
	char *text __free(chaos_free) = chaos_zalloc(64, GFP_KERNEL);

	if (!text)
		return -ENOMEM;
	strscpy(text, "freed when it goes out of scope", 64);
	pr_debug("%s\n", text);
	return 0;
}

static int __init sample_leak(void)
{
	void *blocks[3];

	if (chaos_alloc_bulk(100, GFP_KERNEL, 3, blocks) == 3)
		return 0;
	return -ENOMEM;
}

static int __init sample_use(void)
{
	struct chaos_heap_stats st;
	unsigned int records;
	void *buffer;
	int err;

	/* A task may sleep: with GFP_KERNEL the heap can grow up to max_size. */
	buffer = chaos_heap_zalloc(sample_heap, SZ_256K, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;

	hrtimer_setup(&sample_timer, sample_tick, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	hrtimer_start(&sample_timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&sample_done);
	hrtimer_cancel(&sample_timer);

	chaos_heap_stats(sample_heap, &st);
	records = sample_collect();
	chaos_heap_free(sample_heap, buffer);

	err = chaos_heap_check(sample_heap) ?: sample_default_heap();
	if (!err && leak)
		err = sample_leak();
	if (err)
		return err;

	pr_info("%s: %u of %u records from hardirq, %zu blocks and %zu bytes live in %u pools of %zu bytes\n",
		st.allocator, records, SAMPLE_TICKS, st.live_blocks,
		st.live_bytes, st.pools, st.pool_bytes);
	return 0;
}

static int __init sample_init(void)
{
	const struct chaos_heap_params params = {
		.name = "sample",
		.allocator = "tlsf",
		.pool_size = SZ_1M,
		.max_size = SZ_4M,
		.node = NUMA_NO_NODE,
	};
	int err;

	sample_heap = chaos_heap_create(&params);
	if (IS_ERR(sample_heap))
		return PTR_ERR(sample_heap);

	err = sample_use();
	if (err)
		chaos_heap_destroy(sample_heap);
	return err;
}

static void __exit sample_exit(void)
{
	/* Frees every block that is still in it. */
	if (!leak)
		chaos_heap_destroy(sample_heap);
}

module_init(sample_init);
module_exit(sample_exit);

MODULE_DESCRIPTION("Sample client of chaos_alloc");
MODULE_LICENSE("GPL");
