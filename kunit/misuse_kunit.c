// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_misuse: pointers that must not be freed are reported, counted and
 * refused, and nothing happens to the heap.
 */
#include <linux/err.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

/* Small, medium and large in every engine's terms, and a few between. */
static const size_t block_sizes[] = {
	24, 64, 500, 1024, 3000, 8192, 20000, 70000, 300000, 1100000,
};

#define NR_BLOCKS	ARRAY_SIZE(block_sizes)
#define LARGEST		(NR_BLOCKS - 1)

/**
 * struct victim - a heap that wrong pointers are tried on
 * @heap: the heap
 * @live: blocks that must not notice
 * @bad_frees: how many refusals there ought to be so far
 */
struct victim {
	struct chaos_heap *heap;
	struct chaos_test_block *live[NR_BLOCKS];
	unsigned long bad_frees;
};

static struct victim *victim(struct kunit *test)
{
	struct victim *v = chaos_test_buf(test, 1, sizeof(*v));
	unsigned int i;

	v->heap = chaos_test_heap(test, SZ_16M, 0);
	for (i = 0; i < NR_BLOCKS; i++) {
		v->live[i] = chaos_test_make(v->heap, block_sizes[i], GFP_KERNEL,
					     i);
		KUNIT_ASSERT_NOT_NULL(test, v->live[i]);
	}
	return v;
}

/* Free what may not be freed: counted, and nothing else. */
#define EXPECT_REFUSED(test, v, p)					\
do {									\
	struct victim *__v = (v);					\
	void *__p = (void *)(p);					\
									\
	/* The compiler shall not know what it points to. */		\
	OPTIMIZER_HIDE_VAR(__p);					\
	chaos_heap_free(__v->heap, __p);				\
	__v->bad_frees++;						\
	KUNIT_EXPECT_EQ_MSG(test, chaos_test_bad_frees(__v->heap),	\
			    __v->bad_frees, #p);			\
	__v->bad_frees = chaos_test_bad_frees(__v->heap);		\
} while (0)

/* All live blocks are there, and the heap can be used on. */
static void expect_unhurt(struct kunit *test, struct victim *v)
{
	struct chaos_test_block *b;
	size_t errors = 0;
	unsigned int i;

	chaos_test_sound(test, v->heap);
	KUNIT_EXPECT_EQ(test, chaos_test_live(v->heap), NR_BLOCKS);
	for (i = 0; i < NR_BLOCKS; i++) {
		errors += !chaos_test_intact(v->live[i]);
		b = chaos_test_make(v->heap, block_sizes[i], GFP_KERNEL, i);
		errors += !b || !chaos_test_unmake(v->heap, b);
	}
	/* What a refused free had corrupted would be handed out now. */
	for (i = 0; i < NR_BLOCKS; i++)
		errors += !chaos_test_intact(v->live[i]);
	KUNIT_EXPECT_EQ(test, errors, 0);
}

static void lay_to_rest(struct kunit *test, struct victim *v)
{
	size_t errors = 0;
	unsigned int i;

	expect_unhurt(test, v);
	for (i = 0; i < NR_BLOCKS; i++)
		errors += !chaos_test_unmake(v->heap, v->live[i]);
	KUNIT_EXPECT_EQ(test, errors, 0);
	chaos_test_idle(test, v->heap, v->bad_frees);
}

static u64 module_data[4];

static void foreign_pointer(struct kunit *test)
{
	struct victim *v = victim(test);
	u64 on_stack[4];
	void *p, *pages;

	EXPECT_REFUSED(test, v, on_stack);
	EXPECT_REFUSED(test, v, module_data);
	EXPECT_REFUSED(test, v, foreign_pointer);
	EXPECT_REFUSED(test, v, v->heap);
	EXPECT_REFUSED(test, v, current);
	p = kmalloc(64, GFP_KERNEL);
	EXPECT_REFUSED(test, v, p);
	kfree(p);
	p = kmalloc(SZ_64K, GFP_KERNEL);
	EXPECT_REFUSED(test, v, p);
	kfree(p);
	pages = vmalloc(SZ_1M);
	EXPECT_REFUSED(test, v, pages);
	EXPECT_REFUSED(test, v, pages + SZ_64K);
	vfree(pages);
	lay_to_rest(test, v);
}

static bool is_live(const struct victim *v, unsigned long address)
{
	unsigned int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		if ((unsigned long)v->live[i] == address)
			return true;
	}
	return false;
}

static void wild_pointer(struct kunit *test)
{
	static const unsigned long addresses[] = {
		17, 24, 0x1000, 0x10000, 0x400000, 0x7fff0000,
		(unsigned long)-1, (unsigned long)-8, (unsigned long)-4096,
		(unsigned long)-65536, LONG_MAX, LONG_MAX - 7,
		(unsigned long)LONG_MIN, (unsigned long)LONG_MIN + 8,
#if BITS_PER_LONG == 64
		0x00007fffffffe000, 0x0000800000000000, 0x0001000000000000,
		0x5a5a5a5a5a5a5a5a, 0x6b6b6b6b6b6b6b6b, 0xdead000000000100,
		0xaaaaaaaaaaaaaaa8, 0xfff0000000000000, 0x0010000000000000,
#endif
	};
	struct victim *v = victim(test);
	unsigned long block = (unsigned long)v->live[2];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(addresses); i++)
		EXPECT_REFUSED(test, v, addresses[i]);
	EXPECT_REFUSED(test, v, ERR_PTR(-ENOMEM));
	/* A good pointer but for one bit. */
	for (i = 0; i < BITS_PER_LONG; i++) {
		if (!is_live(v, block ^ BIT(i)))
			EXPECT_REFUSED(test, v, block ^ BIT(i));
	}
	lay_to_rest(test, v);
}

/* In a heap that has not looked for any address yet. */
static void wild_pointer_first(struct kunit *test)
{
	static const long errors[] = { -1, -ENOMEM, -MAX_ERRNO };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		chaos_heap_free(heap, ERR_PTR(errors[i]));
	chaos_test_idle(test, heap, ARRAY_SIZE(errors));
}

static void interior_pointer(struct kunit *test)
{
	static const size_t offsets[] = {
		1, 2, 4, 7, 8, 15, 16, 24, 32, 64, 128, 256, 512, 1024, 4096,
		8192, 16384, 65536, 131072, 262144, 524288, 1048576,
	};
	struct victim *v = victim(test);
	unsigned int i, k;

	for (i = 0; i < NR_BLOCKS; i++) {
		char *p = (char *)v->live[i];
		size_t size = block_sizes[i];

		for (k = 0; k < ARRAY_SIZE(offsets) && offsets[k] < size; k++)
			EXPECT_REFUSED(test, v, p + offsets[k]);
		EXPECT_REFUSED(test, v, p + size / 2);
		EXPECT_REFUSED(test, v, p + size - 1);
	}
	lay_to_rest(test, v);
}

/* Every address around a block whose metadata might be next to it. */
static void near_pointer(struct kunit *test)
{
	struct victim *v = victim(test);
	long offset;

	for (offset = -64; offset < 64; offset++) {
		unsigned long address = (unsigned long)v->live[1] + offset;

		if (!is_live(v, address))
			EXPECT_REFUSED(test, v, address);
	}
	lay_to_rest(test, v);
}

static void double_free(struct kunit *test)
{
	struct victim *v = victim(test);
	unsigned int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		struct chaos_test_block *p;

		p = chaos_test_make(v->heap, block_sizes[i], GFP_KERNEL, i);
		KUNIT_EXPECT_NOT_NULL(test, p);
		if (!p)
			continue;
		chaos_heap_free(v->heap, p);
		EXPECT_REFUSED(test, v, p);
		EXPECT_REFUSED(test, v, p);
		EXPECT_REFUSED(test, v, (char *)p + 8);
	}
	lay_to_rest(test, v);
}

/* The second time long after: lists have moved on, neighbours have merged. */
static void double_free_later(struct kunit *test)
{
	struct victim *v = victim(test);
	struct chaos_test_block *p[32];
	unsigned int i, k;

	for (i = 0; i < NR_BLOCKS - 1; i++) {
		for (k = 0; k < ARRAY_SIZE(p); k++) {
			p[k] = chaos_test_make(v->heap, block_sizes[i],
					       GFP_KERNEL, k);
			KUNIT_EXPECT_NOT_NULL(test, p[k]);
		}
		for (k = 0; k < ARRAY_SIZE(p); k += 2)
			chaos_heap_free(v->heap, p[k]);
		for (k = 0; k < ARRAY_SIZE(p); k += 2) {
			if (p[k])
				EXPECT_REFUSED(test, v, p[k]);
		}
		for (k = 1; k < ARRAY_SIZE(p); k += 2)
			chaos_heap_free(v->heap, p[k]);
		for (k = 0; k < ARRAY_SIZE(p); k++) {
			if (p[k])
				EXPECT_REFUSED(test, v, p[k]);
		}
		chaos_heap_collect(v->heap, true);
		for (k = 0; k < ARRAY_SIZE(p); k++) {
			if (p[k])
				EXPECT_REFUSED(test, v, p[k]);
		}
		chaos_test_sound(test, v->heap);
	}
	lay_to_rest(test, v);
}

static void cross_heap_free(struct kunit *test)
{
	struct victim *v = victim(test);
	unsigned int i, k;

	for (k = 0; k < CHAOS_TEST_ENGINES; k++) {
		struct chaos_heap *other;

		other = chaos_test_heap_of(test, chaos_test_engines[k].name,
					   SZ_8M, 0);
		for (i = 0; i < NR_BLOCKS; i++) {
			struct chaos_test_block *p;

			p = chaos_test_make(other, block_sizes[i], GFP_KERNEL, i);
			KUNIT_EXPECT_NOT_NULL(test, p);
			if (!p)
				continue;
			EXPECT_REFUSED(test, v, p);
			KUNIT_EXPECT_TRUE(test, chaos_test_unmake(other, p));
		}
		/* It has done nothing wrong. */
		chaos_test_idle(test, other, 0);
	}
	lay_to_rest(test, v);
}

/* What lies in the pool and was never handed out. */
static void never_allocated(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "kunit-virgin",
		.allocator = chaos_test_engine(test)->name,
		.node = NUMA_NO_NODE,
		.mem_size = SZ_2M,
	};
	struct victim v = {};
	size_t offset;
	char *mem;

	mem = chaos_test_vmem(test, params.mem_size);
	params.mem = mem;
	v.heap = chaos_heap_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, v.heap);
	EXPECT_REFUSED(test, &v, PTR_ALIGN(mem, SZ_64K));
	for (offset = 0; offset < SZ_2M; offset += 65528)
		EXPECT_REFUSED(test, &v, mem + offset);
	EXPECT_REFUSED(test, &v, mem + SZ_2M - 8);
	EXPECT_REFUSED(test, &v, mem + SZ_2M);
	EXPECT_REFUSED(test, &v, mem - 8);
	chaos_test_idle(test, v.heap, v.bad_frees);
	chaos_heap_destroy(v.heap);
}

/* Every 8 bytes of a pool with one block in it, but the block. */
static void whole_pool(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "kunit-sweep",
		.allocator = chaos_test_engine(test)->name,
		.node = NUMA_NO_NODE,
		.mem_size = SZ_256K,
	};
	unsigned long frees = 0;
	struct chaos_heap *heap;
	struct chaos_test_block *b;
	size_t offset;
	char *mem;

	mem = chaos_test_vmem(test, params.mem_size);
	params.mem = mem;
	heap = chaos_heap_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	b = chaos_test_make(heap, 1000, GFP_KERNEL, 1);
	KUNIT_EXPECT_NOT_NULL(test, b);
	for (offset = 0; offset < params.mem_size; offset += 8) {
		if (mem + offset == (char *)b)
			continue;
		chaos_heap_free(heap, mem + offset);
		frees++;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), frees);
	KUNIT_EXPECT_TRUE(test, b && chaos_test_unmake(heap, b));
	chaos_test_idle(test, heap, frees);
	chaos_heap_destroy(heap);
}

/* The other functions that take a block. */
static void other_calls(struct kunit *test)
{
	struct victim *v = victim(test);
	struct chaos_test_block *freed;
	unsigned int i;
	void *wrong[4], *p;

	freed = chaos_test_make(v->heap, 64, GFP_KERNEL, 0);
	KUNIT_ASSERT_NOT_NULL(test, freed);
	chaos_heap_free(v->heap, freed);
	wrong[0] = &wrong;
	wrong[1] = (char *)v->live[3] + 16;
	wrong[2] = freed;
	wrong[3] = (void *)-8L;
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		p = wrong[i];
		OPTIMIZER_HIDE_VAR(p);
		KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(v->heap, p), 0);
		p = chaos_heap_realloc(v->heap, p, 500, GFP_KERNEL);
		KUNIT_EXPECT_NULL(test, p);
		p = wrong[i];
		OPTIMIZER_HIDE_VAR(p);
		p = chaos_heap_realloc(v->heap, p, 0, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, ZERO_OR_NULL_PTR(p));
	}
	v->bad_frees = chaos_test_bad_frees(v->heap);
	KUNIT_EXPECT_GE(test, v->bad_frees, ARRAY_SIZE(wrong));
	lay_to_rest(test, v);
}

#define MANY	10000

/* Few lines in the log, but each of them counted; and a line to begin with. */
static void rate_limit(struct kunit *test)
{
	struct victim *v = victim(test);
	struct kmsg_dump_iter log;
	unsigned int i;

	chaos_test_log_start(&log);
	for (i = 0; i < MANY; i++)
		chaos_heap_free(v->heap, &module_data[i % 4]);
	v->bad_frees += MANY;
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(v->heap), v->bad_frees);
	KUNIT_EXPECT_LT(test, chaos_test_log_lines(&log, "chaos_alloc:"),
			MANY / 50);
	lay_to_rest(test, v);
}

static struct kunit_case misuse_cases[] = {
	CHAOS_CASE(foreign_pointer),
	CHAOS_CASE(wild_pointer),
	CHAOS_CASE(wild_pointer_first),
	CHAOS_CASE(interior_pointer),
	CHAOS_CASE(near_pointer),
	CHAOS_CASE(double_free),
	CHAOS_CASE(double_free_later),
	CHAOS_CASE(cross_heap_free),
	CHAOS_CASE(never_allocated),
	CHAOS_CASE(whole_pool),
	CHAOS_CASE(other_calls),
	CHAOS_CASE(rate_limit),
	{}
};

static struct kunit_suite misuse_suite = {
	.name = "chaos_misuse",
	.test_cases = misuse_cases,
};

kunit_test_suites(&misuse_suite);
