// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_common: the workloads that every engine has to get through.
 *
 * basic_test, mi_test, align_test, malloc_large, glibc_bench_simple,
 * glibc_bench and multi_thread are named after the tests of other allocators
 * that they restate.  The glibc ones use the sizes and the order of glibc's
 * benchtests/bench-malloc-simple.c and bench-malloc-thread.c.
 */
#include <linux/cpumask.h>
#include <linux/math64.h>
#include <linux/rbtree.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

/* A vector that grows by realloc, twofold. */
struct vec {
	u32 *item;
	size_t len;
	size_t room;
};

static bool vec_push(struct chaos_heap *heap, struct vec *v, u32 value)
{
	if (v->len == v->room) {
		size_t room = v->room ? v->room * 2 : 1;
		u32 *item = chaos_heap_realloc(heap, v->item,
					       room * sizeof(*item), GFP_KERNEL);

		if (!item)
			return false;
		v->item = item;
		v->room = room;
	}
	v->item[v->len++] = value;
	return true;
}

static size_t grow_vector(struct chaos_heap *heap, size_t n)
{
	struct vec v = {};
	size_t i, errors = 0;

	for (i = 0; i < n; i++)
		errors += !vec_push(heap, &v, i * 2654435761U);
	for (i = 0; i < v.len; i++)
		errors += v.item[i] != (u32)(i * 2654435761U);
	errors += v.len != n;
	chaos_heap_free(heap, v.item);
	return errors;
}

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static size_t check_sorted(const struct vec *v, u32 sum)
{
	size_t i, errors = 0;

	for (i = 0; i < v->len; i++) {
		errors += i && v->item[i - 1] > v->item[i];
		sum -= v->item[i];
	}
	return errors + !!sum;
}

/* @n vectors of @len items each, growing in turns, sorted, and checked. */
static size_t sort_vectors(struct chaos_heap *heap, size_t n, size_t len)
{
	struct rnd_state rnd;
	size_t i, errors = 0;
	struct vec *v;
	u32 *sum;

	prandom_seed_state(&rnd, 1);
	v = chaos_heap_zalloc(heap, n * sizeof(*v), GFP_KERNEL);
	sum = chaos_heap_zalloc(heap, n * sizeof(*sum), GFP_KERNEL);
	if (!v || !sum) {
		errors++;
		goto out;
	}

	for (i = 0; i < n * len; i++) {
		u32 value = prandom_u32_state(&rnd);

		sum[i % n] += value;
		errors += !vec_push(heap, &v[i % n], value);
	}
	for (i = 0; i < n; i++) {
		sort(v[i].item, v[i].len, sizeof(*v[i].item), compare_u32, NULL);
		errors += check_sorted(&v[i], sum[i]) + (v[i].len != len);
		chaos_heap_free(heap, v[i].item);
		cond_resched();
	}
out:
	chaos_heap_free(heap, sum);
	chaos_heap_free(heap, v);
	return errors;
}

/* A tree of strings; the key is a block of its own. */
struct word {
	struct rb_node node;
	char *key;
	u32 value;
};

#define WORD_LEN	24

static void word_text(char *text, u32 value)
{
	/* Longer or shorter, and not in the order of the values. */
	snprintf(text, WORD_LEN, "%x-%.*s", value * 2654435761U,
		 (int)(value % 13), "abcdefghijklm");
}

static struct word *word_find(struct rb_root *root, const char *key)
{
	struct rb_node *n = root->rb_node;

	while (n) {
		struct word *w = rb_entry(n, struct word, node);
		int order = strcmp(key, w->key);

		if (!order)
			return w;
		n = order < 0 ? n->rb_left : n->rb_right;
	}
	return NULL;
}

static bool word_less(struct rb_node *a, const struct rb_node *b)
{
	return strcmp(rb_entry(a, struct word, node)->key,
		      rb_entry(b, struct word, node)->key) < 0;
}

static void word_free(struct chaos_heap *heap, struct word *w)
{
	if (w)
		chaos_heap_free(heap, w->key);
	chaos_heap_free(heap, w);
}

static bool word_add(struct chaos_heap *heap, struct rb_root *root, u32 value)
{
	struct word *w = chaos_heap_alloc(heap, sizeof(*w), GFP_KERNEL);
	char text[WORD_LEN];

	word_text(text, value);
	if (w)
		w->key = chaos_heap_alloc(heap, strlen(text) + 1, GFP_KERNEL);
	if (!w || !w->key) {
		word_free(heap, w);
		return false;
	}
	memcpy(w->key, text, strlen(text) + 1);
	w->value = value;
	rb_add(&w->node, root, word_less);
	return true;
}

static size_t string_tree(struct chaos_heap *heap, u32 n)
{
	struct rb_root root = RB_ROOT;
	char text[WORD_LEN];
	size_t errors = 0;
	struct word *w;
	u32 i;

	for (i = 0; i < n; i++)
		errors += !word_add(heap, &root, i);
	/* Out in another order than in. */
	for (i = 0; i < n; i++) {
		u32 value = (u64)i * 7919 % n;

		word_text(text, value);
		w = word_find(&root, text);
		if (!w || w->value != value) {
			errors++;
			continue;
		}
		rb_erase(&w->node, &root);
		word_free(heap, w);
	}
	errors += !RB_EMPTY_ROOT(&root);
	return errors;
}

static void basic_test(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, SZ_64M);

	KUNIT_EXPECT_EQ(test, grow_vector(heap, 300000), 0);
	KUNIT_EXPECT_EQ(test, sort_vectors(heap, 400, 400), 0);
	/* A number of words that 7919 has no factor in common with. */
	KUNIT_EXPECT_EQ(test, string_tree(heap, 5000), 0);
	chaos_test_idle(test, heap, 0);
}

#define MI_TURNS	(1000 / CHAOS_TEST_FEWER)
#define MI_LIVE		8

static void mi_test(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, SZ_64M);
	void *live[MI_LIVE] = {};
	size_t failed = 0, bad = 0;
	unsigned int i;

	for (i = 0; i < MI_TURNS + MI_LIVE; i++) {
		void **p = &live[i % MI_LIVE];

		if (*p)
			bad += !chaos_test_filled(*p, SZ_2M, i - MI_LIVE);
		chaos_heap_free(heap, *p);
		*p = NULL;
		if (i >= MI_TURNS)
			continue;
		*p = chaos_heap_alloc(heap, SZ_2M, GFP_KERNEL);
		if (*p)
			chaos_test_fill(*p, SZ_2M, i);
		else
			failed++;
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, bad, 0);
	chaos_test_idle(test, heap, 0);
}

#define ALIGN_OPS	(100000 / CHAOS_TEST_FEWER)
#define ALIGN_SLOTS	256
#define ALIGN_MAX	SZ_64K
#define ALIGN_ORDERS	8	/* 1 to 128 */

struct aligned {
	void *p;
	size_t size;
	size_t align;
};

static size_t align_free(struct chaos_heap *heap, struct aligned *a, u64 key)
{
	bool bad = !chaos_test_filled(a->p, a->size, key);

	chaos_heap_free(heap, a->p);
	a->p = NULL;
	return bad;
}

/* One random operation; the number of things that were wrong. */
static size_t align_step(struct chaos_heap *heap, struct rnd_state *rnd,
			 struct aligned *a, u64 key)
{
	size_t errors = 0, size = chaos_test_size(rnd, ALIGN_MAX);
	void *p;

	if (a->p && chaos_test_below(rnd, 4))
		return align_free(heap, a, key);
	if (a->p) {
		p = chaos_heap_realloc(heap, a->p, size, GFP_KERNEL);
		if (p)
			errors += !chaos_test_filled(p, min(size, a->size), key);
	} else {
		a->align = BIT(chaos_test_below(rnd, ALIGN_ORDERS));
		p = chaos_heap_alloc_aligned(heap, size, a->align, GFP_KERNEL);
	}
	if (!p)
		return 1;
	a->p = p;
	a->size = size;
	errors += !IS_ALIGNED((unsigned long)p, a->align);
	chaos_test_fill(p, size, key);
	return errors;
}

static void align_test(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, SZ_64M);
	struct aligned *slots;
	struct rnd_state rnd;
	size_t errors = 0;
	u32 i, slot;

	slots = chaos_test_buf(test, ALIGN_SLOTS, sizeof(*slots));
	prandom_seed_state(&rnd, 2);
	for (i = 0; i < ALIGN_OPS; i++) {
		slot = chaos_test_below(&rnd, ALIGN_SLOTS);
		errors += align_step(heap, &rnd, &slots[slot], slot);
		if (i % 1024 == 0)
			cond_resched();
	}
	chaos_test_sound(test, heap);
	for (slot = 0; slot < ALIGN_SLOTS; slot++) {
		struct aligned *a = &slots[slot];

		errors += a->p && !chaos_test_filled(a->p, a->size, slot);
		chaos_heap_free(heap, a->p);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

#define LARGE_LIVE	10
#define LARGE_TURNS	40

static void malloc_large(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_128M, SZ_256M);
	struct chaos_test_block *live[LARGE_LIVE] = {};
	size_t failed = 0, bad = 0, size;
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 3);
	for (i = 0; i < LARGE_TURNS; i++) {
		struct chaos_test_block **b = &live[i % LARGE_LIVE];

		if (*b)
			bad += !chaos_test_unmake(heap, *b);
		size = SZ_2M + chaos_test_below(&rnd, 13 * SZ_1M + 1);
		*b = chaos_test_make(heap, size, GFP_KERNEL, i);
		failed += !*b;
		cond_resched();
	}
	chaos_test_sound(test, heap);
	for (i = 0; i < LARGE_LIVE; i++) {
		if (live[i])
			bad += !chaos_test_unmake(heap, live[i]);
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, bad, 0);
	chaos_test_idle(test, heap, 0);
}

#define SIMPLE_MAX	1600

/* Allocate @n blocks, free them in the same or in the reverse order. */
static size_t simple_round(struct chaos_heap *heap, size_t size, u32 n,
			   bool reverse, void **p)
{
	size_t errors = 0;
	u32 i;

	for (i = 0; i < n; i++) {
		p[i] = chaos_heap_alloc(heap, size, GFP_KERNEL);
		if (p[i])
			chaos_test_fill(p[i], size, i + size);
		else
			errors++;
	}
	for (i = 0; i < n; i++) {
		u32 k = reverse ? n - 1 - i : i;

		errors += p[k] && !chaos_test_filled(p[k], size, k + size);
		chaos_heap_free(heap, p[k]);
	}
	return errors;
}

static void glibc_bench_simple(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, SZ_64M);
	static const u32 counts[] = { 25, 100, 400, SIMPLE_MAX };
	size_t size, errors = 0;
	unsigned int i;
	void **p;

	p = chaos_test_buf(test, SIMPLE_MAX, sizeof(*p));
	for (size = 16; size <= 4096; size *= 2) {
		for (i = 0; i < ARRAY_SIZE(counts); i++) {
			errors += simple_round(heap, size, counts[i], false, p);
			errors += simple_round(heap, size, counts[i], true, p);
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, heap, 0);
}

#define GLIBC_MIN	4
#define GLIBC_MAX	32768
#define GLIBC_SLOTS	1024
#define GLIBC_OPS	(20000 / CHAOS_TEST_FEWER)
#define GLIBC_THREADS	4

/*
 * Inverse square distribution from GLIBC_MIN to GLIBC_MAX: for u in [0,1),
 * 1 / (1 / min - u (1 / min - 1 / max)).
 */
static size_t glibc_size(struct rnd_state *rnd)
{
	u64 u = prandom_u32_state(rnd);

	return div64_u64((u64)GLIBC_MIN * GLIBC_MAX << 32,
			 ((u64)GLIBC_MAX << 32) - (GLIBC_MAX - GLIBC_MIN) * u);
}

struct glibc_bench {
	struct chaos_heap *heap;
	struct {
		void *p;
		size_t size;
	} slot[GLIBC_SLOTS];
	size_t errors;
};

static void glibc_thread(struct chaos_test_thread *self)
{
	struct glibc_bench *bench = self->arg;
	struct rnd_state rnd;
	size_t errors = 0;
	u32 i, k;

	prandom_seed_state(&rnd, 88 + self->nr);
	for (i = 0; i < GLIBC_OPS + GLIBC_SLOTS; i++) {
		bool last = i >= GLIBC_OPS;

		k = last ? i - GLIBC_OPS : chaos_test_below(&rnd, GLIBC_SLOTS);
		if (bench->slot[k].p) {
			errors += !chaos_test_filled(bench->slot[k].p,
						     bench->slot[k].size, k);
			chaos_heap_free(bench->heap, bench->slot[k].p);
			bench->slot[k].p = NULL;
		}
		if (last)
			continue;
		bench->slot[k].size = glibc_size(&rnd);
		bench->slot[k].p = chaos_heap_alloc(bench->heap,
						    bench->slot[k].size,
						    GFP_KERNEL);
		if (bench->slot[k].p)
			chaos_test_fill(bench->slot[k].p, bench->slot[k].size, k);
		else
			errors++;
		if (i % 1024 == 0)
			cond_resched();
	}
	bench->errors = errors;
}

static void glibc_bench(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, SZ_64M);
	struct chaos_test_thread *threads;
	struct glibc_bench *bench;
	unsigned int i;

	threads = chaos_test_buf(test, GLIBC_THREADS, sizeof(*threads));
	bench = chaos_test_buf(test, GLIBC_THREADS, sizeof(*bench));
	for (i = 0; i < GLIBC_THREADS; i++) {
		bench[i].heap = heap;
		threads[i].fn = glibc_thread;
		threads[i].arg = &bench[i];
		threads[i].cpu = -1;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, GLIBC_THREADS), 0);
	for (i = 0; i < GLIBC_THREADS; i++)
		KUNIT_EXPECT_EQ(test, bench[i].errors, 0);
	chaos_test_idle(test, heap, 0);
}

#define MULTI_THREADS	10
#define MULTI_BLOCKS	1000
#define MULTI_TURNS	(100 / CHAOS_TEST_FEWER)
#define MULTI_MAX	512

/**
 * struct multi - a thread of multi_thread
 * @heap: everybody's
 * @next: whom half of the blocks are given to
 * @mailbox: what the thread before has given
 * @block: this turn's
 * @failed: NULLs
 * @bad: blocks with wrong contents
 */
struct multi {
	struct chaos_heap *heap;
	struct multi *next;
	struct llist_head mailbox;
	struct chaos_test_block *block[MULTI_BLOCKS];
	size_t failed;
	size_t bad;
};

static void multi_turn(struct multi *m, struct rnd_state *rnd)
{
	struct chaos_test_block *b, *next;
	unsigned int i;

	for (i = 0; i < MULTI_BLOCKS; i++) {
		size_t size = chaos_test_size(rnd, MULTI_MAX);

		m->block[i] = chaos_test_make(m->heap, size, GFP_KERNEL, i);
		m->failed += !m->block[i];
		/* A turn can take long, where CPUs are emulated and contend for a lock. */
		cond_resched();
	}
	for (i = 0; i < MULTI_BLOCKS; i++) {
		if (!m->block[i])
			continue;
		if (i % 2)
			llist_add(&m->block[i]->node, &m->next->mailbox);
		else
			m->bad += !chaos_test_unmake(m->heap, m->block[i]);
		cond_resched();
	}
	llist_for_each_entry_safe(b, next, llist_del_all(&m->mailbox), node) {
		m->bad += !chaos_test_unmake(m->heap, b);
		cond_resched();
	}
}

static void multi_fn(struct chaos_test_thread *self)
{
	struct rnd_state rnd;
	unsigned int turn;

	prandom_seed_state(&rnd, self->nr);
	for (turn = 0; turn < MULTI_TURNS; turn++)
		multi_turn(self->arg, &rnd);
}

static void multi_thread(struct kunit *test)
{
	/* Room for all that 9 threads give to one that does not run. */
	struct chaos_heap *heap = chaos_test_heap(test, SZ_32M, SZ_256M);
	struct chaos_test_thread *threads;
	struct multi *m;
	unsigned int i;

	threads = chaos_test_buf(test, MULTI_THREADS, sizeof(*threads));
	m = chaos_test_buf(test, MULTI_THREADS, sizeof(*m));
	for (i = 0; i < MULTI_THREADS; i++) {
		m[i].heap = heap;
		m[i].next = &m[(i + 1) % MULTI_THREADS];
		init_llist_head(&m[i].mailbox);
		threads[i].fn = multi_fn;
		threads[i].arg = &m[i];
		threads[i].cpu = -1;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, MULTI_THREADS), 0);
	chaos_test_sound(test, heap);
	for (i = 0; i < MULTI_THREADS; i++) {
		m[i].bad += chaos_test_drain(heap, &m[i].mailbox);
		KUNIT_EXPECT_EQ(test, m[i].failed, 0);
		KUNIT_EXPECT_EQ(test, m[i].bad, 0);
	}
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case common_cases[] = {
	CHAOS_CASE(basic_test),
	CHAOS_CASE_SLOW(mi_test),
	CHAOS_CASE_SLOW(align_test),
	CHAOS_CASE(malloc_large),
	CHAOS_CASE(glibc_bench_simple),
	CHAOS_CASE(glibc_bench),
	CHAOS_CASE_SLOW(multi_thread),
	{}
};

static struct kunit_suite common_suite = {
	.name = "chaos_common",
	.test_cases = common_cases,
};

kunit_test_suites(&common_suite);
