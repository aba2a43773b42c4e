// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_dropin: the kmalloc family as chaos_kmalloc.h has it, on each engine.  From
 * where that is included on, the names of that family are the client's.
 */
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include "common.h"
#include "dropin_kernel.h"
#include "../dropin/client.h"

/* Then it takes a struct kmem_cache_args as well. */
#ifdef kmem_cache_create
#define DROPIN_CACHE_ARGS
#endif

#include "chaos_kmalloc.h"

CHAOS_TEST_ENGINE_PARAM();

#define DROPIN_MAX	SZ_16M

static struct chaos_client * const client = CHAOS_KMALLOC_CLIENT;

/* Is @p a live block of the client's? */
static bool is_ours(const void *p)
{
	return client->heap && chaos_heap_of(p) == client->heap;
}

static size_t live(void)
{
	return chaos_test_live(client->heap);
}

/* A block of the client's, which thereby has a heap. */
static void *first(struct kunit *test)
{
	void *p = kmalloc(100, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_TRUE(test, is_ours(p));
	return p;
}

static int dropin_init(struct kunit *test)
{
	chaos_client_set(chaos_test_engine(test)->name, DROPIN_MAX);
	return 0;
}

/* Everything was freed, and none of it twice. */
static void dropin_exit(struct kunit *test)
{
	if (client->heap)
		chaos_test_idle(test, client->heap, 0);
	chaos_client_close(client);
	KUNIT_EXPECT_NULL(test, client->heap);
	chaos_client_set(NULL, DROPIN_MAX);
}

/* ----------------------------------- heaps --------------------------------- */

/* It is made by who may wait for it; until then, the kernel serves, and gets it back. */
static void heap_made(struct kunit *test)
{
	struct chaos_heap_stats stats;
	unsigned int nofs;
	void *p[3];

	p[0] = kmalloc(100, GFP_ATOMIC);
	p[1] = kmalloc(100, GFP_NOIO);
	nofs = memalloc_nofs_save();
	p[2] = kmalloc(100, GFP_KERNEL);
	memalloc_nofs_restore(nofs);
	KUNIT_EXPECT_NULL(test, client->heap);
	kfree(first(test));
	chaos_heap_stats(client->heap, &stats);
	KUNIT_EXPECT_STREQ(test, stats.name, module_name(THIS_MODULE));
	KUNIT_EXPECT_STREQ(test, stats.allocator, chaos_test_engine(test)->name);
	KUNIT_EXPECT_EQ(test, stats.max_bytes, DROPIN_MAX);
	kfree(p[0]);
	kfree(p[1]);
	kfree(p[2]);
	KUNIT_EXPECT_EQ(test, live(), 0);
	p[0] = kmalloc(100, GFP_ATOMIC);
	KUNIT_EXPECT_TRUE(test, is_ours(p[0]));
	kfree(p[0]);
}

/**
 * struct meeting - threads that make their first request at once
 * @coming: how many are not there yet
 * @end: when not to wait for them any longer
 * @p: what each gets
 */
struct meeting {
	atomic_t coming;
	unsigned long end;
	void *p[4];
};

static void make_one(struct chaos_test_thread *self)
{
	struct meeting *m = self->arg;

	atomic_dec(&m->coming);
	/* Those who run then all find that there is no heap. */
	while (atomic_read(&m->coming) && time_before(jiffies, m->end))
		cond_resched();
	m->p[self->nr] = kmalloc(64, GFP_KERNEL);
}

/* By one of several who want it at once; again, since it may be over before others look. */
static void heap_made_once(struct kunit *test)
{
	struct chaos_test_thread *threads = chaos_test_buf(test, 4, sizeof(*threads));
	struct meeting *m = chaos_test_buf(test, 1, sizeof(*m));
	unsigned int i, round;

	for (round = 0; round < 10; round++) {
		atomic_set(&m->coming, 4);
		m->end = jiffies + 5 * HZ;
		for (i = 0; i < 4; i++) {
			memset(&threads[i], 0, sizeof(threads[i]));
			threads[i].fn = make_one;
			threads[i].arg = m;
			threads[i].cpu = -1;
		}
		KUNIT_ASSERT_EQ(test, chaos_test_run(threads, 4), 0);
		for (i = 0; i < 4; i++) {
			KUNIT_EXPECT_TRUE(test, is_ours(m->p[i]));
			kfree(m->p[i]);
		}
		chaos_client_close(client);
	}
}

/* One that cannot be made is not tried at each request, and breaks nothing. */
static void heap_fails(struct kunit *test)
{
	struct chaos_client poor = { .owner = THIS_MODULE };
	struct kmem_cache *cache;
	struct kmsg_dump_iter log;
	void *p[2];

	chaos_client_set("none", DROPIN_MAX);
	chaos_test_log_start(&log);
	p[0] = chaos_kmalloc(&poor, 100, GFP_KERNEL);
	cache = chaos_cache_create(&poor, "dropin_poor", 100, 0, 0, NULL);
	chaos_client_set(chaos_test_engine(test)->name, DROPIN_MAX);
	p[1] = chaos_kmalloc(&poor, 100, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, poor.heap);
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "gets no heap: "), 1);
	KUNIT_EXPECT_NOT_NULL(test, p[0]);
	KUNIT_EXPECT_NOT_NULL(test, p[1]);
	kfree(p[0]);
	kfree(p[1]);

	KUNIT_ASSERT_NOT_NULL(test, cache);
	p[0] = kmem_cache_alloc(cache, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p[0]);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(p[0]));
	kmem_cache_free(cache, p[0]);
	kmem_cache_destroy(cache);

	/* As if some seconds had passed */
	poor.pause = jiffies - 1 ?: -1UL;
	p[0] = chaos_kmalloc(&poor, 100, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, poor.heap);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_of(p[0]), poor.heap);
	kfree(p[0]);
	chaos_client_close(&poor);
}

static int plugged(unsigned int cpu)
{
	kfree(kmalloc(100, GFP_KERNEL));
	return 0;
}

/* What the parameter that tells of clients says of us */
static const char *read_clients(struct kunit *test, char *text, size_t size)
{
	struct file *file = filp_open("/sys/module/chaos_kmalloc/parameters/clients", O_RDONLY, 0);
	loff_t at = 0;
	ssize_t n;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	n = kernel_read(file, text, size - 1, &at);
	filp_close(file, NULL);
	KUNIT_ASSERT_GE(test, n, 0);
	text[n] = '\0';
	return strstr(text, KBUILD_MODNAME " ");
}

/*
 * The first request comes from a CPU hotplug callback: so who looks at clients' figures, which
 * locks hotplug out, must not keep anybody from making a heap.  Lockdep would tell.
 */
static void heap_of_hotplug(struct kunit *test)
{
	const char *engine = chaos_test_engine(test)->name;
	char *text = chaos_test_buf(test, 1, PAGE_SIZE), line[80];
	int state = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "chaos:dropin", plugged, NULL);

	KUNIT_ASSERT_GT(test, state, 0);
	cpuhp_remove_state_nocalls(state);
	KUNIT_ASSERT_NOT_NULL(test, client->heap);
	snprintf(line, sizeof(line), "%s %s allocs ", KBUILD_MODNAME, engine);
	KUNIT_EXPECT_NOT_NULL(test, read_clients(test, text, PAGE_SIZE));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, line));
	chaos_client_close(client);
	KUNIT_EXPECT_NULL(test, read_clients(test, text, PAGE_SIZE));
}

#define FULL_BLOCK	60000

/* Its budget is all that it gets. */
static void heap_full(struct kunit *test)
{
	size_t n = 0, most = DROPIN_MAX / FULL_BLOCK;
	void **p = chaos_test_buf(test, most + 1, sizeof(*p));
	void *more;

	while (n <= most && (p[n] = kmalloc(FULL_BLOCK, GFP_KERNEL | __GFP_NOWARN)))
		n++;
	KUNIT_EXPECT_GE(test, n, most * 3 / 4);
	KUNIT_EXPECT_LE(test, n, most);
	/* But what must not fail does not. */
	more = kmalloc(FULL_BLOCK, GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_EXPECT_NOT_NULL(test, more);
	KUNIT_EXPECT_FALSE(test, is_ours(more));
	kfree(more);
	/* Of whatever size, and also if it was there already. */
	more = kvmalloc(DROPIN_MAX + SZ_1M, GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_EXPECT_NOT_NULL(test, more);
	KUNIT_EXPECT_FALSE(test, is_ours(more));
	kvfree(more);
	chaos_test_fill(p[0], FULL_BLOCK, 1);
	more = chaos_kvrealloc(client, p[0], FULL_BLOCK, DROPIN_MAX + SZ_1M,
			       GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_ASSERT_NOT_NULL(test, more);
	KUNIT_EXPECT_FALSE(test, is_ours(more));
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(more, FULL_BLOCK, 1));
	kvfree(more);
	while (--n)
		kfree(p[n]);
}

/* Blocks stay behind when their client goes; so does the heap, until they have gone. */
static void heap_outlives(struct kunit *test)
{
	void *p = first(test), *q = first(test);
	struct chaos_heap *heap = client->heap;
	unsigned long end = jiffies + 30 * HZ;
	struct kmsg_dump_iter log;

	chaos_test_fill(p, 100, 1);
	chaos_test_log_start(&log);
	chaos_client_close(client);
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "left 2 blocks of"), 1);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 100, 1));
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_of(p), heap);
	/* The client comes again, with a heap that is another one. */
	kfree(first(test));
	KUNIT_EXPECT_PTR_NE(test, client->heap, heap);
	kfree(p);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_of(q), heap);
	kfree(q);
	while (chaos_heap_of(q) && time_before(jiffies, end))
		msleep(100);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(q));
}

/* Whose module is going already gets none, which would outlive it. */
static void heap_not_made(struct kunit *test)
{
	struct module *going = chaos_test_buf(test, 1, sizeof(*going));
	struct chaos_client late = { .owner = going };
	void *p;

	going->state = MODULE_STATE_GOING;
	p = chaos_kmalloc(&late, 100, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, late.heap);
	kfree(p);
	chaos_client_close(&late);
}

/* What no heap can give is the kernel's; what is but a wish, is not. */
static void flags(struct kunit *test)
{
	void *p = first(test), *q;

	q = kmalloc(100, GFP_KERNEL | GFP_DMA);
	KUNIT_EXPECT_NOT_NULL(test, q);
	KUNIT_EXPECT_FALSE(test, is_ours(q));
	kfree(q);
	q = kmalloc(100, GFP_KERNEL_ACCOUNT);
	KUNIT_EXPECT_TRUE(test, is_ours(q));
	kfree(q);
	q = kmalloc(100, GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_EXPECT_TRUE(test, is_ours(q));
	kfree(q);
	q = kmalloc_node(100, GFP_KERNEL | __GFP_THISNODE, 0);
	KUNIT_EXPECT_TRUE(test, is_ours(q));
	kfree(q);
	kfree(p);
}

/* ----------------------------------- blocks -------------------------------- */

static void alignment(struct kunit *test)
{
	size_t size;
	void *p, *q;

	kfree(first(test));
	for (size = 1; size <= SZ_128K; size *= 2) {
		p = kmalloc(size, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, is_ours(p));
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, max_t(size_t, size, 8)));
		KUNIT_EXPECT_GE(test, ksize(p), size);
		q = krealloc(p, 2 * size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, q);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)q, max_t(size_t, 2 * size, 8)));
		kfree(q);
	}
}

/* Of another size; if it cannot be had, as it is. */
static void *resized(struct kunit *test, void *p, size_t size, gfp_t gfp)
{
	void *new = krealloc(p, size, gfp);

	KUNIT_EXPECT_NOT_NULL(test, new);
	return new ?: p;
}

/* Of other sizes, to what divides them: so a structure's own alignment holds. */
static void alignment_divides(struct kunit *test)
{
	static const size_t odd[] = { 3, 5, 7, 9, 25 };
	size_t align, i;
	void *p, *q, *r;

	/* Nothing is aligned by chance. */
	q = kmalloc(24, GFP_KERNEL);
	for (align = 8; align <= SZ_8K; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(odd); i++) {
			p = kmalloc(odd[i] * align, GFP_KERNEL);
			r = kmalloc(24, GFP_KERNEL);
			KUNIT_EXPECT_TRUE(test, is_ours(p));
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
			p = resized(test, p, (odd[i] + 2) * align, GFP_KERNEL);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
			kfree(q);
			q = r;
			kfree(p);
		}
	}
	kfree(q);
}

static void zeroed(struct kunit *test)
{
	void *p[6];
	int i;

	/* So that there is something to be zeroed. */
	p[0] = kmalloc(1000, GFP_KERNEL);
	memset(p[0], 0xff, 1000);
	kfree(p[0]);
	p[0] = kzalloc(1000, GFP_KERNEL);
	p[1] = kcalloc(10, 100, GFP_KERNEL);
	p[2] = kvzalloc(1000, GFP_KERNEL);
	p[3] = kvcalloc(10, 100, GFP_KERNEL);
	p[4] = kzalloc_node(1000, GFP_KERNEL, 0);
	p[5] = kcalloc_node(10, 100, GFP_KERNEL, 0);
	for (i = 0; i < 6; i++) {
		KUNIT_EXPECT_TRUE(test, is_ours(p[i]));
		KUNIT_EXPECT_TRUE(test, chaos_test_zeroed(p[i], 1000));
		kvfree(p[i]);
	}
	p[0] = kmalloc(40000, GFP_KERNEL);
	memset(p[0], 0xff, 40000);
	kfree(p[0]);
	p[0] = kzalloc(10, GFP_KERNEL);
	p[0] = resized(test, p[0], 1000, GFP_KERNEL | __GFP_ZERO);
	p[0] = resized(test, p[0], SZ_16K, GFP_KERNEL | __GFP_ZERO);
	p[0] = resized(test, p[0], 40000, GFP_KERNEL | __GFP_ZERO | __GFP_NOFAIL);
	KUNIT_EXPECT_TRUE(test, is_ours(p[0]));
	KUNIT_EXPECT_TRUE(test, chaos_test_zeroed(p[0], 40000));
	kfree(p[0]);
}

/* 100 bytes, which are the client's; they go dirty. */
static void check_given(struct kunit *test, void *p, bool zeroes, const char *how)
{
	KUNIT_EXPECT_TRUE_MSG(test, is_ours(p), "%s", how);
	KUNIT_EXPECT_TRUE_MSG(test, !zeroes || chaos_test_zeroed(p, 100), "%s", how);
	if (p)
		memset(p, 0xff, 100);
	kvfree(p);
}

#define GIVES(how)		check_given(test, how, false, #how)
#define GIVES_ZEROES(how)	check_given(test, how, true, #how)

/* Names that no other case has */
static void names(struct kunit *test)
{
	kfree(first(test));
	GIVES(kmalloc_track_caller(100, GFP_KERNEL));
	GIVES(kmalloc_node_track_caller(100, GFP_KERNEL, 0));
	GIVES(kmalloc_array_node(20, 5, GFP_KERNEL, 0));
	GIVES(kvmalloc_node(100, GFP_KERNEL, 0));
	GIVES_ZEROES(kvzalloc_node(100, GFP_KERNEL, 0));
#ifdef kvmalloc_array_node
	GIVES(kvmalloc_array_node(20, 5, GFP_KERNEL, 0));
#endif
#ifdef kvcalloc_node
	GIVES_ZEROES(kvcalloc_node(20, 5, GFP_KERNEL, 0));
#endif
	/* With the old size, or without */
	GIVES(kvrealloc(kmalloc(10, GFP_KERNEL), 100, GFP_KERNEL));
	GIVES(kvrealloc(kmalloc(10, GFP_KERNEL), 10, 100, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, live(), 0);
}

#ifdef alloc_hooks
/* Those that kernels have had since allocations are profiled */
static void names_noprof(struct kunit *test)
{
	char text[100] = "";

	kfree(first(test));
	GIVES(kmalloc_noprof(100, GFP_KERNEL));
	GIVES_ZEROES(kzalloc_noprof(100, GFP_KERNEL));
	GIVES(kmalloc_node_noprof(100, GFP_KERNEL, 0));
	GIVES(kmalloc_array_noprof(20, 5, GFP_KERNEL));
	GIVES_ZEROES(kcalloc_noprof(20, 5, GFP_KERNEL));
	GIVES(kmalloc_array_node_noprof(20, 5, GFP_KERNEL, 0));
	GIVES(krealloc_noprof(NULL, 100, GFP_KERNEL));
	GIVES(krealloc_array_noprof(NULL, 20, 5, GFP_KERNEL));
	GIVES(kvmalloc_noprof(100, GFP_KERNEL));
	GIVES_ZEROES(kvzalloc_noprof(100, GFP_KERNEL));
	GIVES(kvmalloc_node_noprof(100, GFP_KERNEL, 0));
	GIVES(kvmalloc_array_noprof(20, 5, GFP_KERNEL));
	GIVES_ZEROES(kvcalloc_noprof(20, 5, GFP_KERNEL));
	GIVES(kvmalloc_array_node_noprof(20, 5, GFP_KERNEL, 0));
	GIVES_ZEROES(kvcalloc_node_noprof(20, 5, GFP_KERNEL, 0));
	GIVES(kvrealloc_noprof(NULL, 100, GFP_KERNEL));
	GIVES_ZEROES(kmemdup_noprof(text, sizeof(text), GFP_KERNEL));
	GIVES_ZEROES(kvmemdup(text, sizeof(text), GFP_KERNEL));
	GIVES_ZEROES(kmemdup_array(text, 20, 5, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, live(), 0);
}

static void caches_noprof(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("noprof", 100, 0, 0, NULL);
	void *p[2];

	KUNIT_ASSERT_NOT_NULL(test, cache);
	GIVES(kmem_cache_alloc_noprof(cache, GFP_KERNEL));
	GIVES(kmem_cache_alloc_node_noprof(cache, GFP_KERNEL, 0));
	KUNIT_EXPECT_EQ(test, kmem_cache_alloc_bulk_noprof(cache, GFP_KERNEL, 2, p), 2);
	GIVES(p[0]);
	GIVES(p[1]);
	p[0] = kmem_cache_alloc_lru_noprof(cache, NULL, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p[0]);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(p[0]));
	kmem_cache_free(cache, p[0]);
	kmem_cache_destroy(cache);
}
#endif

static void arrays(struct kunit *test)
{
	size_t huge = SIZE_MAX / 8 + 2;
	void *p = kmalloc_array(7, 9, GFP_KERNEL);

	KUNIT_EXPECT_TRUE(test, is_ours(p));
	KUNIT_EXPECT_GE(test, ksize(p), 63);
	KUNIT_EXPECT_NULL(test, kmalloc_array(huge, 8, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kcalloc(8, huge, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kvmalloc_array(huge, 8, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, krealloc_array(p, huge, 8, GFP_KERNEL));
#ifdef kmemdup_array
	KUNIT_EXPECT_NULL(test, kmemdup_array(p, huge, 8, GFP_KERNEL | __GFP_NOWARN));
#endif
	chaos_test_fill(p, 63, 3);
	p = krealloc_array(p, 100, 9, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 63, 3));
	kfree(p);
	KUNIT_EXPECT_PTR_EQ(test, kmalloc_array(0, 9, GFP_KERNEL), ZERO_SIZE_PTR);
	kfree(ZERO_SIZE_PTR);
	kfree(NULL);
}

static void reallocated(struct kunit *test)
{
	static const size_t sizes[] = { 1, 50, 64, 4000, 4096, 100000, 300, 17 };
	void *p = krealloc(NULL, 17, GFP_KERNEL);
	size_t i, size = 17;

	KUNIT_ASSERT_TRUE(test, is_ours(p));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		chaos_test_fill(p, size, i);
		p = i % 2 ? krealloc(p, sizes[i], GFP_KERNEL) :
		    chaos_kvrealloc(client, p, size, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, is_ours(p));
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, min(size, sizes[i]), i));
		size = sizes[i];
	}
	KUNIT_EXPECT_PTR_EQ(test, krealloc(p, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, live(), 0);
}

#ifdef krealloc_node_align
/* Names that not all kernels have */
static void named_since(struct kunit *test)
{
	void *p = kvmalloc_node_align(4000, 32, GFP_KERNEL, NUMA_NO_NODE);

	KUNIT_EXPECT_TRUE(test, is_ours(p));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, 32));
	chaos_test_fill(p, 4000, 4);
	p = krealloc_node(p, 5000, GFP_KERNEL, NUMA_NO_NODE);
	KUNIT_EXPECT_TRUE(test, is_ours(p));
	p = krealloc_node_align(p, 60000, 32, GFP_KERNEL, NUMA_NO_NODE);
	KUNIT_EXPECT_TRUE(test, is_ours(p));
	p = kvrealloc_node(p, 5000, GFP_KERNEL, NUMA_NO_NODE);
	KUNIT_EXPECT_TRUE(test, is_ours(p));
	p = kvrealloc_node_align(p, 60000, 32, GFP_KERNEL, NUMA_NO_NODE);
	KUNIT_EXPECT_TRUE(test, is_ours(p));
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 4000, 4));
	kfree_nolock(p);
	p = kvmalloc(100, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, is_ours(p));
	kvfree_atomic(p);
	KUNIT_EXPECT_EQ(test, live(), 0);
}
#endif

#ifdef kmalloc_obj
struct counted {
	size_t n;
	u64 array[] __counted_by(n);
};

/* By their types, as newer kernels have it */
static void objects(struct kunit *test)
{
	struct counted *p[4];
	u64 *q[4];
	int i;

	p[0] = kmalloc_flex(struct counted, array, 10);
	p[1] = kzalloc_flex(struct counted, array, 10, GFP_ATOMIC);
	p[2] = kvmalloc_flex(struct counted, array, 10);
	p[3] = kvzalloc_flex(struct counted, array, 10);
	q[0] = kmalloc_obj(u64);
	q[1] = kzalloc_objs(u64, 20);
	q[2] = kvmalloc_objs(u64, 20, GFP_KERNEL);
	q[3] = kvzalloc_obj(u64);
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_TRUE(test, is_ours(p[i]));
		KUNIT_EXPECT_TRUE(test, is_ours(q[i]));
		kfree(p[i]);
		kvfree(q[i]);
	}
}
#endif

/* What is somebody else's stays with them. */
static void realloc_foreign(struct kunit *test)
{
	struct chaos_heap *other = chaos_test_heap(test, SZ_1M, 0);
	void *small = dropin_kernel_kmalloc(100), *p;
	void *small_other = chaos_heap_alloc(other, 100, GFP_KERNEL), *q;

	kfree(first(test));
	chaos_test_fill(small, 100, 1);
	chaos_test_fill(small_other, 100, 2);
	p = krealloc(small, 5000, GFP_KERNEL);
	q = krealloc(small_other, 5000, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(p));
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_of(q), other);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 100, 1));
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(q, 100, 2));
	kfree(p);
	/* Also when it has to move, for its alignment, or for what may not fail. */
	q = resized(test, q, SZ_32K, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_of(q), other);
	q = resized(test, q, 300, GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_of(q), other);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(q, 100, 2));
	kfree(q);
	chaos_test_idle(test, other, 0);
}

/* So does what is freed; by whatever name. */
static void free_foreign(struct kunit *test)
{
	typedef void (*free_fn)(const void *);
	static const free_fn fn[] = {
		kfree, kvfree, chaos_kvfree_atomic, kfree_sensitive, kfree_const,
	};
	struct chaos_heap *other = chaos_test_heap(test, SZ_1M, 0);
	size_t i;

	kfree(first(test));
	for (i = 0; i < ARRAY_SIZE(fn); i++) {
		void *p = dropin_kernel_kmalloc(200);
		void *q = chaos_heap_alloc(other, 200, GFP_KERNEL);
		void *r = kmalloc(200, GFP_KERNEL);

		KUNIT_EXPECT_GE(test, ksize(p), 200);
		KUNIT_EXPECT_TRUE(test, is_ours(r));
		fn[i](p);
		fn[i](q);
		fn[i](r);
		chaos_test_idle(test, other, 0);
		KUNIT_EXPECT_EQ(test, live(), 0);
	}
}

static noinline __noclone void free_twice(struct kunit *test)
{
	void *p = first(test);

	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
	kfree(p);
	/* Which is no jump, then. */
	barrier();
}

/* The rate limit may have swallowed it: again, until the log has it. */
static void reports_name_client(struct kunit *test)
{
	struct kmsg_dump_iter log;
	unsigned int tries;
	size_t lines = 0;

	if (!IS_ENABLED(CONFIG_PRINTK) || !IS_ENABLED(CONFIG_KALLSYMS))
		kunit_skip(test, "a kernel without log or symbols");
	chaos_test_log_start(&log);
	for (tries = 0; !lines && tries < 400; tries++) {
		if (tries)
			msleep(50);
		free_twice(test);
		lines = chaos_test_log_lines(&log, "free_twice+");
	}
	KUNIT_EXPECT_GE(test, lines, 1);
	chaos_test_idle(test, client->heap, tries);
	chaos_client_close(client);
}

static void free_bulk(struct kunit *test)
{
	void *p[] = { first(test), dropin_kernel_kmalloc(100), kmalloc(1, GFP_KERNEL) };

	kfree_bulk(ARRAY_SIZE(p), p);
	KUNIT_EXPECT_EQ(test, live(), 0);
}

static void scoped(struct kunit *test)
{
	{
		void *p __free(kfree) = kmalloc(100, GFP_KERNEL);
		void *q __free(kvfree) = kvmalloc(100, GFP_KERNEL);
		void *r __free(kfree_sensitive) = kmalloc(100, GFP_KERNEL);
		void *s __free(kvfree_atomic) = kvmalloc(100, GFP_KERNEL);

		KUNIT_EXPECT_TRUE(test, is_ours(p) && is_ours(q) && is_ours(r) && is_ours(s));
		KUNIT_EXPECT_EQ(test, live(), 4);
	}
	KUNIT_EXPECT_EQ(test, live(), 0);
}

/* Is what was at @p overwritten?  Heaps are the owner's to read; the first words may be a link. */
static bool is_wiped(const void *p)
{
	return IS_ENABLED(CONFIG_KASAN) ||
	       !chaos_test_filled(p + 16, 400, 0x5a5a5a5a5a5a5a5aULL);
}

/* All of it is zero before anybody else may have it; at level 2, poison. */
static void sensitive(struct kunit *test)
{
	u8 *p = kmalloc(500, GFP_KERNEL);

	memset(p, 0x5a, 500);
	kfree_sensitive(p);
	KUNIT_EXPECT_TRUE(test, is_wiped(p));
	p = kvmalloc(500, GFP_KERNEL);
	memset(p, 0x5a, 500);
	kvfree_sensitive(p, 500);
	KUNIT_EXPECT_TRUE(test, is_wiped(p));
	KUNIT_EXPECT_EQ(test, live(), 0);
}

static __printf(1, 2) char *printed(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = kvasprintf(GFP_KERNEL, fmt, args);
	va_end(args);
	return text;
}

static void copies(struct kunit *test)
{
	static const char text[] = "a text of 26 bytes, no more";
	void *p[9];
	int i;

	p[0] = kstrdup(text, GFP_KERNEL);
	p[1] = kstrndup(text, 6, GFP_KERNEL);
	p[2] = kmemdup(text, sizeof(text), GFP_KERNEL);
	p[3] = kmemdup_nul(text, 6, GFP_KERNEL);
	p[4] = chaos_kvmemdup(client, text, sizeof(text), GFP_KERNEL);
	p[5] = kasprintf(GFP_KERNEL, "%s of %d", "a text", 26);
	p[6] = kmemdup(text, 12, GFP_KERNEL);
	p[7] = kstrndup(text, 1000, GFP_KERNEL);
	p[8] = printed("%d %s %d", 1, "text of", 26);
	for (i = 0; i < 9; i++)
		KUNIT_ASSERT_TRUE(test, is_ours(p[i]));
	KUNIT_EXPECT_STREQ(test, p[0], text);
	KUNIT_EXPECT_STREQ(test, p[1], "a text");
	KUNIT_EXPECT_STREQ(test, p[2], text);
	KUNIT_EXPECT_STREQ(test, p[3], "a text");
	KUNIT_EXPECT_STREQ(test, p[4], text);
	KUNIT_EXPECT_STREQ(test, p[5], "a text of 26");
	KUNIT_EXPECT_EQ(test, memcmp(p[6], text, 12), 0);
	KUNIT_EXPECT_STREQ(test, p[7], text);
	KUNIT_EXPECT_STREQ(test, p[8], "1 text of 26");
	KUNIT_EXPECT_NULL(test, kstrdup(NULL, GFP_KERNEL));
	for (i = 0; i < 9; i++)
		kfree(p[i]);
}

/* ----------------------------------- caches -------------------------------- */

struct thing {
	u64 made;
	u8 rest[100];
};

static unsigned int constructed;

static void construct(void *p)
{
	((struct thing *)p)->made = 0x1234;
	constructed++;
}

static void caches(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("things", sizeof(struct thing), 64, 0,
						     construct);
	struct thing *t[20];
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, cache);
	KUNIT_EXPECT_EQ(test, kmem_cache_size(cache), sizeof(struct thing));
	constructed = 0;
	for (i = 0; i < 20; i++) {
		t[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, is_ours(t[i]));
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)t[i], 64));
		KUNIT_EXPECT_EQ(test, t[i]->made, 0x1234);
		t[i]->made = i;
	}
	KUNIT_EXPECT_EQ(test, constructed, 20);
	for (i = 0; i < 20; i++)
		KUNIT_EXPECT_EQ(test, t[i]->made, i);
	kmem_cache_free_bulk(cache, 20, (void **)t);
	KUNIT_EXPECT_EQ(test, kmem_cache_alloc_bulk(cache, GFP_KERNEL, 20, (void **)t), 20);
	kmem_cache_free_bulk(cache, 20, (void **)t);
	KUNIT_EXPECT_EQ(test, kmem_cache_shrink(cache), 0);
	kmem_cache_destroy(cache);
}

/* Each way to describe a cache */
static void caches_made(struct kunit *test)
{
#ifdef DROPIN_CACHE_ARGS
	struct kmem_cache_args args = { .align = 128, .ctor = construct };
#endif
	struct kmem_cache *cache[] = {
		kmem_cache_create_usercopy("usercopy", sizeof(struct thing), 128, 0, 8, 100,
					   construct),
#ifdef DROPIN_CACHE_ARGS
		kmem_cache_create("args", sizeof(struct thing), &args, 0),
		kmem_cache_create("no_args", sizeof(struct thing), NULL, 0),
#endif
		KMEM_CACHE_USERCOPY(thing, 0, rest),
	};
	struct thing *t;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cache); i++) {
		KUNIT_ASSERT_TRUE(test, is_ours(cache[i]));
		KUNIT_EXPECT_EQ(test, kmem_cache_size(cache[i]), sizeof(struct thing));
		t = kmem_cache_alloc_node(cache[i], GFP_KERNEL, 0);
		KUNIT_EXPECT_TRUE(test, is_ours(t));
		/* The first half of them want that. */
		if (i < ARRAY_SIZE(cache) / 2) {
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)t, 128));
			KUNIT_EXPECT_EQ(test, t->made, 0x1234);
		}
		kmem_cache_free(cache[i], t);
		kmem_cache_destroy(cache[i]);
	}
}

static void caches_zeroed(struct kunit *test)
{
	struct kmem_cache *cache = KMEM_CACHE(thing, SLAB_HWCACHE_ALIGN);
	struct thing *t;

	KUNIT_ASSERT_NOT_NULL(test, cache);
	t = kmem_cache_alloc(cache, GFP_KERNEL);
	memset(t, 0xff, sizeof(*t));
	kmem_cache_free(cache, t);
	t = kmem_cache_zalloc(cache, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, is_ours(t));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)t, min(cache_line_size(), 64)));
	KUNIT_EXPECT_TRUE(test, chaos_test_zeroed(t, sizeof(*t)));
	/* Which is as good. */
	kfree(t);
	kmem_cache_destroy(cache);
	kmem_cache_destroy(NULL);
}

/* The kernel's can be used by the same names; and some become the kernel's. */
static void caches_of_kernel(struct kunit *test)
{
	struct kmem_cache *cache = dropin_kernel_cache(100);
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, cache);
	kfree(first(test));
	p = kmem_cache_alloc(cache, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(p));
	kmem_cache_free(cache, p);
	kmem_cache_destroy(cache);

	cache = kmem_cache_create("inodes", 100, 0, SLAB_RECLAIM_ACCOUNT, NULL);
	KUNIT_ASSERT_NOT_NULL(test, cache);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(cache));
	kmem_cache_destroy(cache);

	/* What goes into a list_lru has to have a struct page that says where it is. */
	cache = kmem_cache_create("listed", sizeof(struct thing), 0, 0, construct);
	KUNIT_EXPECT_TRUE(test, is_ours(cache));
	p = kmem_cache_alloc_lru(cache, NULL, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, chaos_heap_of(p));
	KUNIT_EXPECT_EQ(test, ((struct thing *)p)->made, 0x1234);
	kmem_cache_free(cache, p);
	kmem_cache_destroy(cache);
}

/* For as long as somebody may read it, a free object is as it was. */
static void typesafe(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("typesafe", 99, 0, SLAB_TYPESAFE_BY_RCU,
						     NULL);
	void *p, *q;

	KUNIT_ASSERT_NOT_NULL(test, cache);
	p = kmem_cache_alloc(cache, GFP_KERNEL);
	chaos_test_fill(p, 99, 5);
	rcu_read_lock();
	kmem_cache_free(cache, p);
	q = kmem_cache_alloc(cache, GFP_ATOMIC);
	KUNIT_EXPECT_PTR_NE(test, p, q);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 99, 5));
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, live(), 3);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, live(), 2);
	kmem_cache_free(cache, q);
	kmem_cache_destroy(cache);
	KUNIT_EXPECT_EQ(test, live(), 0);
}

static void use_pool(struct kunit *test, mempool_t *pool)
{
	void *p[6];
	int i;

	KUNIT_EXPECT_EQ(test, live(), 5);
	for (i = 0; i < 6; i++) {
		p[i] = mempool_alloc(pool, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, is_ours(p[i]));
	}
	for (i = 0; i < 6; i++)
		mempool_free(p[i], pool);
}

static void mempools(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("pooled", 200, 0, 0, NULL);
	mempool_t *pool = mempool_create_slab_pool(4, cache), inline_pool = {};

	KUNIT_ASSERT_NOT_NULL(test, pool);
	use_pool(test, pool);
	mempool_destroy(pool);
	pool = mempool_create(4, mempool_alloc_slab, mempool_free_slab, cache);
	KUNIT_ASSERT_NOT_NULL(test, pool);
	use_pool(test, pool);
	mempool_destroy(pool);
	KUNIT_ASSERT_EQ(test, mempool_init_slab_pool(&inline_pool, 4, cache), 0);
	use_pool(test, &inline_pool);
	mempool_exit(&inline_pool);
	KUNIT_EXPECT_EQ(test, live(), 1);
	kmem_cache_destroy(cache);
}

/* ------------------------------------ RCU ---------------------------------- */

struct late {
	u64 before[7];
	struct rcu_head rcu;
	u64 behind[9];
};

#define LATE_MANY	2000

/* Not before a reader has gone; then all of them, however they came. */
static void rcu(struct kunit *test)
{
	struct late *late[2];
	unsigned int i;

	late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
	late[1] = dropin_kernel_kmalloc(sizeof(*late[1]));
	chaos_test_fill(late[0]->behind, sizeof(late[0]->behind), 9);
	rcu_read_lock();
	kfree_rcu(late[0], rcu);
	kfree_rcu(late[1], rcu);
	mdelay(20);
	/* 0, if it were free already */
	KUNIT_EXPECT_GE(test, ksize(late[0]), sizeof(*late[0]));
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(late[0]->behind, sizeof(late[0]->behind), 9));
	rcu_read_unlock();
	for (i = 0; i < LATE_MANY; i++) {
		late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
		if (late[0])
			kvfree_rcu(late[0], rcu);
	}
	chaos_kvfree_rcu_barrier();
	KUNIT_EXPECT_EQ(test, live(), 0);
#ifdef kvfree_rcu_barrier
	late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
	kvfree_rcu(late[0], rcu);
	kvfree_rcu_barrier();
	KUNIT_EXPECT_EQ(test, live(), 0);
#endif
#ifdef kvfree_rcu_barrier_on_cache
	late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
	kvfree_rcu(late[0], rcu);
	kvfree_rcu_barrier_on_cache(NULL);
	KUNIT_EXPECT_EQ(test, live(), 0);
#endif
	late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
	kvfree_rcu_mightsleep(late[0]);
	KUNIT_EXPECT_EQ(test, live(), 0);
	late[0] = NULL;
	kfree_rcu(late[0], rcu);
	late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
	kvfree_rcu(late[0], rcu);
	late[0] = kmalloc(sizeof(*late[0]), GFP_KERNEL);
	kfree_rcu_mightsleep(late[0]);
	/* This waits for the others; and nothing of it is left over. */
	chaos_client_close(client);
	KUNIT_EXPECT_NULL(test, client->heap);
	kfree(first(test));
}

#define FLOOD_BARRIERS	3
#define FLOOD_PATIENCE	(30 * HZ)

/**
 * struct flood - somebody who frees after a grace period, again and again
 * @waited: somebody else has waited for what was there, so often
 * @done: enough
 */
struct flood {
	unsigned int waited;
	bool done;
};

static void flood_thread(struct chaos_test_thread *self)
{
	unsigned long end = jiffies + FLOOD_PATIENCE;
	struct flood *flood = self->arg;
	struct late *late;
	unsigned int i;

	if (self->nr) {
		for (i = 0; i < FLOOD_BARRIERS; i++) {
			chaos_kvfree_rcu_barrier();
			if (!READ_ONCE(flood->done))
				flood->waited++;
		}
		WRITE_ONCE(flood->done, true);
	} else {
		while (!READ_ONCE(flood->done) && time_before(jiffies, end)) {
			late = kmalloc(sizeof(*late), GFP_KERNEL);
			if (late)
				kfree_rcu(late, rcu);
			usleep_range(100, 200);
		}
		WRITE_ONCE(flood->done, true);
	}
}

/* Who waits does so for what there is, not for what others go on adding. */
static void rcu_flood(struct kunit *test)
{
	struct flood *flood = chaos_test_buf(test, 1, sizeof(*flood));
	struct chaos_test_thread threads[2] = {};
	unsigned int i;

	kfree(first(test));
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		threads[i] = (struct chaos_test_thread){
			.fn = flood_thread, .arg = flood, .cpu = -1,
		};
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, ARRAY_SIZE(threads)), 0);
	KUNIT_EXPECT_EQ(test, flood->waited, FLOOD_BARRIERS);
	chaos_kvfree_rcu_barrier();
	KUNIT_EXPECT_EQ(test, live(), 0);
}

struct shot {
	struct hrtimer timer;
	struct completion done;
	struct late *late;
};

static enum hrtimer_restart shoot(struct hrtimer *timer)
{
	struct shot *shot = container_of(timer, struct shot, timer);
	struct late *mine = kmalloc(sizeof(*mine), GFP_ATOMIC);

	kfree_rcu(shot->late, rcu);
	if (mine)
		kfree_rcu(mine, rcu);
	complete(&shot->done);
	return HRTIMER_NORESTART;
}

/* In a hard interrupt, on PREEMPT_RT too */
static void rcu_hardirq(struct kunit *test)
{
	struct shot *shot = chaos_test_buf(test, 1, sizeof(*shot));

	shot->late = kmalloc(sizeof(*shot->late), GFP_KERNEL);
	init_completion(&shot->done);
	hrtimer_setup(&shot->timer, shoot, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_start(&shot->timer, ns_to_ktime(NSEC_PER_MSEC), HRTIMER_MODE_REL_HARD);
	KUNIT_EXPECT_TRUE(test, chaos_test_wait(&shot->done));
	hrtimer_cancel(&shot->timer);
	chaos_client_close(client);
	KUNIT_EXPECT_NULL(test, client->heap);
}

static struct kunit_case dropin_cases[] = {
	CHAOS_CASE(heap_made),
	CHAOS_CASE(heap_made_once),
	CHAOS_CASE(heap_fails),
	CHAOS_CASE(heap_of_hotplug),
	CHAOS_CASE(heap_full),
	CHAOS_CASE_SLOW(heap_outlives),
	CHAOS_CASE(heap_not_made),
	CHAOS_CASE(flags),
	CHAOS_CASE(alignment),
	CHAOS_CASE(alignment_divides),
	CHAOS_CASE(zeroed),
	CHAOS_CASE(arrays),
	CHAOS_CASE(reallocated),
#ifdef krealloc_node_align
	CHAOS_CASE(named_since),
#endif
	CHAOS_CASE(names),
#ifdef alloc_hooks
	CHAOS_CASE(names_noprof),
	CHAOS_CASE(caches_noprof),
#endif
#ifdef kmalloc_obj
	CHAOS_CASE(objects),
#endif
	CHAOS_CASE(realloc_foreign),
	CHAOS_CASE(free_foreign),
	CHAOS_CASE(reports_name_client),
	CHAOS_CASE(free_bulk),
	CHAOS_CASE(scoped),
	CHAOS_CASE(sensitive),
	CHAOS_CASE(copies),
	CHAOS_CASE(caches),
	CHAOS_CASE(caches_made),
	CHAOS_CASE(caches_zeroed),
	CHAOS_CASE(caches_of_kernel),
	CHAOS_CASE(typesafe),
	CHAOS_CASE(mempools),
	CHAOS_CASE(rcu),
	CHAOS_CASE(rcu_flood),
	CHAOS_CASE(rcu_hardirq),
	{}
};

static struct kunit_suite dropin_suite = {
	.name = "chaos_dropin",
	.init = dropin_init,
	.exit = dropin_exit,
	.test_cases = dropin_cases,
};

kunit_test_suites(&dropin_suite);
