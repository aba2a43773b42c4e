// SPDX-License-Identifier: GPL-2.0
/*
 * Mistakes of a client that KASAN and kmemleak have to report, and uses that they
 * must not.
 *
 * This is a module of its own, driven by rootfs/provoke.sh: what it provokes
 * would end any other test.  Writing "CASE ENGINE" to the parameter run makes
 * one mistake, in a function called provoke_CASE(), with a fresh heap, and
 * fails if that does not lead to one report, which names the function.  It is
 * announced in the log: tools/expected.awk takes what has been announced for
 * granted, once, and nothing else.
 *
 * Cases called legal_... make no mistake, and fail if there is a report.  Those
 * called tight_... go past the end of a block whose size is one of the engine's
 * classes: without a red zone, what is there would be a live neighbour's.
 *
 * The mistakes do no harm: where one writes, it writes what is there already.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kasan-checks.h>
#include <linux/kmsg_dump.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "chaos_alloc.h"

static unsigned int hardening;
module_param(hardening, uint, 0444);
MODULE_PARM_DESC(hardening, "level of the heaps: 0 to 2 (default 0)");

/* What the compiler must not optimise away ends here. */
static u8 sink;

#define CROWD	33

/**
 * struct scene - where a mistake happens
 * @engine: engine of the heap
 * @heap: a fresh heap
 * @crowd: live blocks, all of one size
 */
struct scene {
	const char *engine;
	struct chaos_heap *heap;
	u8 *crowd[CROWD];
};

static struct chaos_heap *make_heap(const char *engine, size_t max_size,
				    void *mem, size_t mem_size)
{
	const struct chaos_heap_params params = {
		.name = "provoke",
		.allocator = engine,
		.pool_size = mem ? 0 : SZ_4M,
		.max_size = max_size,
		.node = NUMA_NO_NODE,
		.mem = mem,
		.mem_size = mem_size,
		.hardening = CHAOS_HARDENING_0 + hardening,
	};

	return chaos_heap_create(&params);
}

/* Without the attributes by which the compiler would see what is coming. */
static noinline u8 *take(struct chaos_heap *heap, size_t size)
{
	u8 *p = chaos_heap_alloc(heap, size, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	return p;
}

/* A read that KASAN does not see. */
static noinline notrace __no_sanitize_address u8 peek(const u8 *p)
{
	return READ_ONCE(*p);
}

/*
 * A block of @size in the midst of others that are live: whatever is next to it
 * belongs to somebody.
 */
static u8 *in_a_crowd(struct scene *s, size_t size)
{
	unsigned int i, k, below;

	for (i = 0; i < CROWD; i++) {
		s->crowd[i] = take(s->heap, size);
		if (!s->crowd[i])
			return NULL;
		memset(s->crowd[i], 0x42, size);
	}
	for (i = 0; i < CROWD; i++) {
		below = 0;
		for (k = 0; k < CROWD; k++)
			below += s->crowd[k] < s->crowd[i];
		if (below == CROWD / 2)
			return s->crowd[i];
	}
	return NULL;
}

static int sound(struct scene *s)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(s->heap, &stats);
	return stats.bad_frees ? -EBADF : chaos_heap_check(s->heap);
}

/* -- One report each -- */

static noinline int read_freed(struct scene *s, size_t size, u8 **p)
{
	*p = in_a_crowd(s, size);
	if (!*p)
		return -ENOMEM;
	chaos_heap_free(s->heap, *p);
	return 0;
}

static noinline int provoke_uaf_first(struct scene *s)
{
	u8 *p;
	int err = read_freed(s, 100, &p);

	if (!err)
		sink = READ_ONCE(p[0]);
	return err;
}

static noinline int provoke_uaf_later(struct scene *s)
{
	u8 *p;
	int err = read_freed(s, 100, &p);

	if (!err)
		sink = READ_ONCE(p[57]);
	return err;
}

static noinline int provoke_uaf_large(struct scene *s)
{
	u8 *p = take(s->heap, 100000);

	if (!p)
		return -ENOMEM;
	chaos_heap_free(s->heap, p);
	sink = READ_ONCE(p[70000]);
	return 0;
}

static noinline int provoke_uaf_write(struct scene *s)
{
	u8 *p;
	int err = read_freed(s, 100, &p);

	if (!err)
		WRITE_ONCE(p[8], peek(p + 8));
	return err;
}

static noinline int provoke_uaf_bulk(struct scene *s)
{
	void *p[40];

	if (chaos_heap_alloc_bulk(s->heap, 100, GFP_KERNEL, 40, p) != 40)
		return -ENOMEM;
	chaos_heap_free_bulk(s->heap, 40, p);
	sink = READ_ONCE(*(u8 *)p[20]);
	return 0;
}

static noinline int provoke_uaf_sensitive(struct scene *s)
{
	u8 *p = chaos_alloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	if (!p)
		return -ENOMEM;
	chaos_free_sensitive(p);
	sink = READ_ONCE(p[3]);
	return 0;
}

static noinline int provoke_uaf_realloc(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100), *q;

	if (!p)
		return -ENOMEM;
	q = chaos_heap_realloc(s->heap, p, 3000, GFP_KERNEL);
	if (!q || q == p)
		return -EXDEV;
	OPTIMIZER_HIDE_VAR(p);
	sink = READ_ONCE(p[0]);
	return 0;
}

/* 100 is no class of any engine, 128 and 4096 are one of each. */
static noinline int provoke_overflow_read_100(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);

	if (p)
		sink = READ_ONCE(p[100]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_tight_read_128(struct scene *s)
{
	u8 *p = in_a_crowd(s, 128);

	if (p)
		sink = READ_ONCE(p[128]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_overflow_write_100(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);

	if (p)
		WRITE_ONCE(p[100], peek(p + 100));
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_tight_write_128(struct scene *s)
{
	u8 *p = in_a_crowd(s, 128);

	if (p)
		WRITE_ONCE(p[128], peek(p + 128));
	return p ? 0 : -ENOMEM;
}

/* What is next is nobody's. */
static noinline int provoke_overflow_read_128(struct scene *s)
{
	u8 *p = in_a_crowd(s, 128), *next = NULL;
	unsigned int i;

	for (i = 0; p && i < CROWD; i++) {
		if (s->crowd[i] > p && (!next || s->crowd[i] < next))
			next = s->crowd[i];
	}
	if (!next)
		return -ENOMEM;
	chaos_heap_free(s->heap, next);
	sink = READ_ONCE(p[128]);
	return 0;
}

static noinline int provoke_overflow_1(struct scene *s)
{
	u8 *p = in_a_crowd(s, 1);

	if (p)
		sink = READ_ONCE(p[1]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_tight_read_4096(struct scene *s)
{
	u8 *p = in_a_crowd(s, 4096);

	if (p)
		sink = READ_ONCE(p[4096]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_overflow_large(struct scene *s)
{
	u8 *p = take(s->heap, 70001);

	if (p)
		sink = READ_ONCE(p[70001]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_overflow_zalloc(struct scene *s)
{
	u8 *p = chaos_heap_zalloc(s->heap, 100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	if (p)
		sink = READ_ONCE(p[100]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_overflow_aligned(struct scene *s)
{
	u8 *p = chaos_heap_alloc_aligned(s->heap, 100, 512, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	if (p)
		sink = READ_ONCE(p[100]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_overflow_bulk(struct scene *s)
{
	void *p[40];

	if (chaos_heap_alloc_bulk(s->heap, 100, GFP_KERNEL, 40, p) != 40)
		return -ENOMEM;
	sink = READ_ONCE(((u8 *)p[20])[100]);
	return 0;
}

/* Wherever it is now, what it was before does not count. */
static noinline int provoke_overflow_shrunk(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);

	p = chaos_heap_realloc(s->heap, p, 90, GFP_KERNEL);
	OPTIMIZER_HIDE_VAR(p);
	if (p)
		sink = READ_ONCE(p[90]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_overflow_grown(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);

	p = chaos_heap_realloc(s->heap, p, 102, GFP_KERNEL);
	OPTIMIZER_HIDE_VAR(p);
	if (p)
		sink = READ_ONCE(p[102]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_tight_usable(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);
	size_t usable;

	if (!p)
		return -ENOMEM;
	usable = chaos_heap_usable_size(s->heap, p);
	sink = READ_ONCE(p[usable]);
	return 0;
}

static noinline int provoke_underflow_100(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);

	if (p)
		sink = READ_ONCE(p[-1]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_tight_underflow(struct scene *s)
{
	u8 *p = in_a_crowd(s, 128);

	if (p)
		sink = READ_ONCE(p[-1]);
	return p ? 0 : -ENOMEM;
}

static noinline int provoke_never_allocated(struct scene *s)
{
	u8 *p = take(s->heap, 100), *q;

	if (!p)
		return -ENOMEM;
	q = p + SZ_256K;
	if (!chaos_heap_owns(s->heap, q))
		q = p - SZ_256K;
	if (!chaos_heap_owns(s->heap, q))
		return -EXDEV;
	sink = READ_ONCE(*q);
	return 0;
}

/* The check alone: the memory is unmapped, and an access would be an oops. */
static noinline int provoke_destroyed(struct scene *s)
{
	u8 *p = take(s->heap, 100);

	if (!p)
		return -ENOMEM;
	chaos_heap_destroy(s->heap);
	s->heap = NULL;
	kasan_check_read(p, 1);
	return 0;
}

/* chaos_heap_owns() does nothing with the heap but look whether it is one. */
static noinline int provoke_heap_destroyed(struct scene *s)
{
	struct chaos_heap *heap = s->heap;

	s->heap = NULL;
	chaos_heap_destroy(heap);
	return chaos_heap_owns(heap, s) ? -EBADF : 0;
}

/* -- None -- */

/* That one is ours to report. */
static noinline int provoke_legal_double_free(struct scene *s)
{
	u8 *p = in_a_crowd(s, 100);
	struct chaos_heap_stats stats;

	if (!p)
		return -ENOMEM;
	chaos_heap_free(s->heap, p);
	chaos_heap_free(s->heap, p);
	chaos_heap_free(s->heap, p + 8);
	chaos_heap_stats(s->heap, &stats);
	if (stats.bad_frees != 2 || stats.live_blocks != CROWD - 1)
		return -EBADF;
	chaos_heap_destroy(s->heap);
	s->heap = NULL;
	return 0;
}

static noinline int provoke_legal_sizes(struct scene *s)
{
	size_t size;
	u8 *p;

	for (size = 1; size < 200000; size += 1 + size / 7) {
		p = take(s->heap, size);
		if (!p)
			return -ENOMEM;
		memset(p, size, size);
		if (memchr_inv(p, (u8)size, size))
			return -EIO;
		chaos_heap_free(s->heap, p);
	}
	return 0;
}

static noinline int provoke_legal_usable(struct scene *s)
{
	size_t size, usable;
	u8 *p;

	for (size = 1; size < 100000; size += 1 + size / 5) {
		p = in_a_crowd(s, min_t(size_t, size, 4000));
		if (!p)
			return -ENOMEM;
		usable = chaos_heap_usable_size(s->heap, p);
		memset(p, 1, usable);
		if (memchr_inv(p, 1, usable))
			return -EIO;
		chaos_heap_free_bulk(s->heap, CROWD, (void **)s->crowd);
	}
	return 0;
}

/* Up and down, in place and not, with all that was asked for written. */
static noinline int provoke_legal_realloc(struct scene *s)
{
	struct rnd_state rnd;
	size_t size = 0, next;
	unsigned int turn;
	u8 *p = NULL;

	if (!in_a_crowd(s, 64))
		return -ENOMEM;
	prandom_seed_state(&rnd, 5);
	for (turn = 0; turn < 500; turn++) {
		next = 1 + prandom_u32_state(&rnd) % (1U << (turn % 17));
		p = chaos_heap_realloc(s->heap, p, next, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		if (turn && memchr_inv(p, (u8)(turn - 1), min(size, next)))
			return -EIO;
		size = next;
		memset(p, turn, size);
	}
	chaos_heap_free(s->heap, p);
	return 0;
}

static noinline int provoke_legal_zalloc(struct scene *s)
{
	size_t size;
	u8 *p;

	for (size = 1; size < 100000; size += 1 + size / 3) {
		p = chaos_heap_zalloc(s->heap, size, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		if (memchr_inv(p, 0, size))
			return -EIO;
		memset(p, 0xff, size);
		/* The new bytes too: all calls for the block had __GFP_ZERO. */
		p = chaos_heap_realloc(s->heap, p, size + 50,
				       GFP_KERNEL | __GFP_ZERO);
		if (!p)
			return -ENOMEM;
		memset(p, 0xff, size + 50);
		chaos_heap_free(s->heap, p);
	}
	return 0;
}

static noinline int provoke_legal_sensitive(struct scene *s)
{
	size_t size;
	u8 *p;

	for (size = 1; size < 100000; size += 1 + size / 3) {
		p = chaos_alloc(size, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		memset(p, 0xff, size);
		chaos_free_sensitive(p);
	}
	return 0;
}

static noinline int provoke_legal_aligned(struct scene *s)
{
	size_t align;
	u8 *p;

	for (align = 1; align <= SZ_64K; align *= 2) {
		p = chaos_heap_alloc_aligned(s->heap, 300, align, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		memset(p, 1, 300);
		p = chaos_heap_realloc(s->heap, p, 5000, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		memset(p, 1, 5000);
		chaos_heap_free(s->heap, p);
	}
	return 0;
}

static noinline int provoke_legal_bulk(struct scene *s)
{
	static const size_t sizes[] = { 1, 100, 128, 600, 5000 };
	unsigned int i, k;
	void *p[40];

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (chaos_heap_alloc_bulk(s->heap, sizes[i], GFP_KERNEL, 40,
					  p) != 40)
			return -ENOMEM;
		for (k = 0; k < 40; k++)
			memset(p[k], k, sizes[i]);
		for (k = 0; k < 40; k++) {
			if (memchr_inv(p[k], k, sizes[i]))
				return -EIO;
		}
		chaos_heap_free_bulk(s->heap, 40, p);
	}
	return 0;
}

/* All of the memory is the caller's again, used or not. */
static noinline int provoke_legal_callers_memory(struct scene *s)
{
	size_t size = SZ_4M;
	struct chaos_heap *heap;
	u8 *mem = vmalloc(size);
	int err = 0, i;
	u8 *p;

	if (!mem)
		return -ENOMEM;
	memset(mem, 1, size);
	heap = make_heap(s->engine, 0, mem, size);
	if (IS_ERR(heap)) {
		err = PTR_ERR(heap);
		goto out;
	}
	for (i = 0; i < 40 && !err; i++) {
		p = take(heap, 1 + 50 * i);
		if (!p)
			err = -ENOMEM;
		else if (i % 2)
			chaos_heap_free(heap, p);
	}
	chaos_heap_destroy(heap);
	memset(mem, 2, size);
	if (memchr_inv(mem, 2, size))
		err = -EIO;
out:
	vfree(mem);
	return err;
}

static bool look_at(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	++*(unsigned int *)arg;
	return true;
}

static noinline int provoke_legal_inspection(struct scene *s)
{
	struct chaos_heap_stats stats;
	unsigned int seen = 0, i;

	if (!in_a_crowd(s, 100))
		return -ENOMEM;
	for (i = 0; i < CROWD; i += 2)
		chaos_heap_free(s->heap, s->crowd[i]);
	chaos_heap_stats(s->heap, &stats);
	chaos_heap_class_stats(s->heap, NULL, 0);
	if (chaos_heap_walk(s->heap, look_at, &seen) || seen != CROWD / 2 ||
	    stats.live_blocks != seen)
		return -EIO;
	chaos_heap_collect(s->heap, false);
	chaos_heap_collect(s->heap, true);
	return chaos_heap_check(s->heap);
}

/* Pools come and go; the next one may get the same addresses. */
static noinline int provoke_legal_growth(struct scene *s)
{
	struct chaos_heap *heap = make_heap(s->engine, SZ_16M, NULL, 0);
	unsigned int turn, i, n;
	u8 *p[40];
	int err = 0;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	for (turn = 0; turn < 5 && !err; turn++) {
		for (n = 0; n < ARRAY_SIZE(p); n++) {
			p[n] = take(heap, 200001);
			if (!p[n]) {
				err = -ENOMEM;
				break;
			}
			memset(p[n], n, 200001);
		}
		for (i = 0; i < n; i++) {
			if (memchr_inv(p[i], i, 200001))
				err = -EIO;
			chaos_heap_free(heap, p[i]);
		}
		chaos_heap_collect(heap, true);
	}
	chaos_heap_destroy(heap);
	return err;
}

/* What one has freed, the next one has, at any size. */
static noinline int provoke_legal_churn(struct scene *s)
{
	struct { u8 *p; size_t size; } slot[32] = {};
	struct rnd_state rnd;
	unsigned int turn, i;

	prandom_seed_state(&rnd, 6);
	for (turn = 0; turn < 5000; turn++) {
		i = prandom_u32_state(&rnd) % ARRAY_SIZE(slot);
		if (slot[i].p) {
			if (memchr_inv(slot[i].p, i, slot[i].size))
				return -EIO;
			chaos_heap_free(s->heap, slot[i].p);
		}
		slot[i].size = 1 + prandom_u32_state(&rnd) % (1U << (turn % 13));
		slot[i].p = take(s->heap, slot[i].size);
		if (!slot[i].p)
			return -ENOMEM;
		memset(slot[i].p, i, slot[i].size);
	}
	return 0;
}

/* -- Leaks -- */

/**
 * struct leaks - what one engine's heap has leaked, and what only seems so
 * @heap: the heap
 * @root: a live block: all that is reachable is reachable from here
 * @dropped: the complement of a pointer to a block that was never freed
 * @hidden: the same for an object of kmalloc() whose only pointer was in a block
 *	that has been freed
 * @child: the same for one whose only pointer is in @root
 * @done: all of that
 */
struct leaks {
	struct chaos_heap *heap;
	void **root;
	unsigned long dropped;
	unsigned long hidden;
	unsigned long child;
	struct completion done;
};

#define ENGINES	3

static struct leaks leaks[ENGINES];

/*
 * What a caller does not have in a register during its next calls, no interrupt saves on its
 * stack, where kmemleak would find it: the complement of the pointer is all that comes back.
 */
static noinline unsigned long drop_one(struct scene *s)
{
	u8 *p = in_a_crowd(s, 200);
	unsigned int i;

	for (i = 0; i < CROWD; i++) {
		if (s->crowd[i] == p)
			s->crowd[i] = NULL;
	}
	return p ? ~(unsigned long)p : 0;
}

static noinline int provoke_leak_dropped(struct leaks *l)
{
	struct scene s = { .heap = l->heap };
	unsigned int i;

	l->dropped = drop_one(&s);
	if (!l->dropped)
		return -ENOMEM;
	for (i = 0; i < CROWD; i++)
		chaos_heap_free(l->heap, s.crowd[i]);
	return 0;
}

static noinline unsigned long fill_with_pointer(void **p, size_t n)
{
	void *object = kmalloc(300, GFP_KERNEL);
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = object;
	return object ? ~(unsigned long)object : 0;
}

static noinline int provoke_leak_hidden(struct leaks *l)
{
	void **p = (void **)take(l->heap, 256);

	if (!p)
		return -ENOMEM;
	l->hidden = fill_with_pointer(p, 256 / sizeof(*p));
	chaos_heap_free(l->heap, p);
	return l->hidden ? 0 : -ENOMEM;
}

static noinline int provoke_leak_freed(struct leaks *l)
{
	unsigned int i;
	u8 *p;

	for (i = 0; i < 50; i++) {
		p = take(l->heap, 500);
		if (!p)
			return -ENOMEM;
		chaos_heap_free(l->heap, p);
	}
	return 0;
}

/* A chain of blocks, each of which only the one before knows. */
static noinline int provoke_leak_chain(struct leaks *l)
{
	void **p;
	int i;

	l->root = (void **)take(l->heap, 64);
	for (p = l->root, i = 0; p && i < 10; p = p[7], i++) {
		memset(p, 0, 64);
		p[7] = take(l->heap, 64);
	}
	if (!p)
		return -ENOMEM;
	memset(p, 0, 64);
	return 0;
}

static noinline int provoke_leak_child(struct leaks *l)
{
	void *object = kmalloc(300, GFP_KERNEL);

	if (!object)
		return -ENOMEM;
	l->child = ~(unsigned long)object;
	l->root[3] = object;
	return 0;
}

static int leak_all(void *arg)
{
	struct leaks *l = arg;
	int err;

	err = provoke_leak_dropped(l) ?: provoke_leak_hidden(l) ?:
	      provoke_leak_freed(l) ?: provoke_leak_chain(l) ?:
	      provoke_leak_child(l);
	complete(&l->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return err;
}

/* In a thread, because pointers stay behind on stacks. */
static int leak(unsigned int n, const char *engine)
{
	struct leaks *l = &leaks[n];
	struct task_struct *task;

	if (l->heap)
		return -EBUSY;
	l->heap = make_heap(engine, 0, NULL, 0);
	if (IS_ERR(l->heap))
		return PTR_ERR(l->heap);
	init_completion(&l->done);
	task = kthread_run(leak_all, l, "leak");
	if (IS_ERR(task))
		return PTR_ERR(task);
	/* What is stopped before it began never does. */
	wait_for_completion(&l->done);
	/* It sleeps again and again, which overwrites what was left on its stack. */
	schedule_timeout_uninterruptible(HZ / 10);
	return kthread_stop(task);
}

static void free_hidden(unsigned long complement)
{
	if (complement)
		kfree((void *)~complement);
}

static int unleak(unsigned int n)
{
	struct leaks *l = &leaks[n];

	if (IS_ERR_OR_NULL(l->heap))
		return -ENOENT;
	chaos_heap_destroy(l->heap);
	free_hidden(l->hidden);
	free_hidden(l->child);
	*l = (struct leaks){ 0 };
	return 0;
}

/* -- The cases -- */

/**
 * struct provocation - a mistake of a client
 * @name: of the case; "legal_": it is none
 * @fn: makes it
 * @where: the function that KASAN finds it in
 */
struct provocation {
	const char *name;
	int (*fn)(struct scene *s);
	const char *where;
};

#define PROVOCATION(case)	{ #case, provoke_##case, "provoke_" #case }

static const struct provocation provocations[] = {
	PROVOCATION(uaf_first),
	PROVOCATION(uaf_later),
	PROVOCATION(uaf_large),
	PROVOCATION(uaf_write),
	PROVOCATION(uaf_bulk),
	PROVOCATION(uaf_sensitive),
	PROVOCATION(uaf_realloc),
	PROVOCATION(overflow_read_100),
	PROVOCATION(tight_read_128),
	PROVOCATION(overflow_write_100),
	PROVOCATION(tight_write_128),
	PROVOCATION(overflow_read_128),
	PROVOCATION(overflow_1),
	PROVOCATION(tight_read_4096),
	PROVOCATION(overflow_large),
	PROVOCATION(overflow_zalloc),
	PROVOCATION(overflow_aligned),
	PROVOCATION(overflow_bulk),
	PROVOCATION(overflow_shrunk),
	PROVOCATION(overflow_grown),
	PROVOCATION(tight_usable),
	PROVOCATION(underflow_100),
	PROVOCATION(tight_underflow),
	PROVOCATION(never_allocated),
	PROVOCATION(destroyed),
	{ "heap_destroyed", provoke_heap_destroyed, "chaos_heap_owns" },
	PROVOCATION(legal_double_free),
	PROVOCATION(legal_sizes),
	PROVOCATION(legal_usable),
	PROVOCATION(legal_realloc),
	PROVOCATION(legal_zalloc),
	PROVOCATION(legal_sensitive),
	PROVOCATION(legal_aligned),
	PROVOCATION(legal_bulk),
	PROVOCATION(legal_callers_memory),
	PROVOCATION(legal_inspection),
	PROVOCATION(legal_growth),
	PROVOCATION(legal_churn),
};

/* How far the log has been read. */
static struct kmsg_dump_iter log;

static bool is_report_of(const char *line, const char *where)
{
	const char *at = strstr(line, "BUG: KASAN: ");
	size_t len = strlen(where);

	at = at ? strstr(at, " in ") : NULL;
	if (!at)
		return false;
	at += strlen(" in ");
	return !strncmp(at, where, len) && at[len] == '+';
}

/* Reports in the log since the last call; *@others are not of this case. */
static unsigned int count_reports(const char *where, unsigned int *others)
{
	unsigned int n = 0;
	char line[256];
	size_t len;

	*others = 0;
	while (kmsg_dump_get_line(&log, false, line, sizeof(line) - 1, &len)) {
		line[min(len, sizeof(line) - 1)] = '\0';
		if (is_report_of(line, where))
			n++;
		else if (strstr(line, "BUG: "))
			++*others;
	}
	return n;
}

static int judge(const struct provocation *provocation, unsigned int expected)
{
	unsigned int others, n = count_reports(provocation->where, &others);

	if (n == expected && !others)
		return 0;
	pr_err("%s: %u reports, not %u, and %u others\n", provocation->name, n, expected,
	       others);
	return -EPROTO;
}

static int provoke(const struct provocation *provocation, const char *engine)
{
	struct scene *s = kzalloc(sizeof(*s), GFP_KERNEL);
	unsigned int expected, others;
	int err;

	if (!s)
		return -ENOMEM;
	expected = !strstarts(provocation->name, "legal_");
	s->engine = engine;
	s->heap = make_heap(engine, 0, NULL, 0);
	if (IS_ERR(s->heap)) {
		err = PTR_ERR(s->heap);
		goto out;
	}
	count_reports(provocation->where, &others);
	if (expected)
		pr_info("expect %u: KASAN: * in %s+\n", expected, provocation->where);
	err = provocation->fn(s);
	if (!err && s->heap)
		err = sound(s);
	chaos_heap_destroy(s->heap);
	if (expected)
		pr_info("expect end\n");
	err = err ?: judge(provocation, expected);
out:
	kfree(s);
	return err;
}

static int run_set(const char *val, const struct kernel_param *kp)
{
	static const char * const engines[ENGINES] = { "mimalloc", "tlsf", "evl" };
	char name[32], engine[16];
	unsigned int i, n;

	if (sscanf(val, "%31s %15s", name, engine) != 2)
		return -EINVAL;
	for (n = 0; n < ENGINES && strcmp(engine, engines[n]); n++)
		;
	if (n == ENGINES)
		return -EINVAL;
	if (!strcmp(name, "leak"))
		return leak(n, engines[n]);
	if (!strcmp(name, "unleak"))
		return unleak(n);
	for (i = 0; i < ARRAY_SIZE(provocations); i++) {
		if (!strcmp(name, provocations[i].name))
			return provoke(&provocations[i], engines[n]);
	}
	return -EINVAL;
}

static int run_get(char *buffer, const struct kernel_param *kp)
{
	unsigned int i;
	int len = 0;

	for (i = 0; i < ARRAY_SIZE(provocations); i++)
		len += sysfs_emit_at(buffer, len, "%s\n", provocations[i].name);
	return len;
}

static const struct kernel_param_ops run_ops = {
	.set = run_set,
	.get = run_get,
};

module_param_cb(run, &run_ops, NULL, 0600);
MODULE_PARM_DESC(run, "write CASE ENGINE to run a case; read for the cases");

static int __init provoke_init(void)
{
	return hardening > 2 ? -EINVAL : 0;
}

static void __exit provoke_exit(void)
{
	unsigned int n;

	for (n = 0; n < ENGINES; n++)
		unleak(n);
}

module_init(provoke_init);
module_exit(provoke_exit);

MODULE_DESCRIPTION("Mistakes that KASAN and kmemleak have to report");
MODULE_LICENSE("GPL");
