// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_tlsf: the TLSF engine from inside.
 *
 * The cases up to tlsf_allocator have the names and the worked values of the lab
 * that the engine follows; the others guard one defence or property each.  Most
 * use a control and pools of their own, without a heap.
 */
#include <kunit/test.h>
#include <linux/list.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "common.h"
#include "compat.h"
#include "engine.h"
#include "lock.h"
#include "tlsf.h"
#include "tlsf_core.h"

/**
 * struct lab - a control and one pool
 * @t: the control
 * @heap: what the control reports to: a name and a counter
 * @mem: the pool's memory
 * @size: its size
 * @pool: its description
 */
struct lab {
	struct tlsf t;
	struct chaos_heap heap;
	void *mem;
	size_t size;
	struct tlsf_pool *pool;
};

static const struct chaos_engine lab_engine = { .name = "tlsf" };

static struct tlsf_pool *lab_pool(struct kunit *test, struct lab *lab,
				  void *mem, size_t size)
{
	struct tlsf_pool *pool;

	pool = kunit_kzalloc(test, tlsf_pool_meta(size), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pool);
	KUNIT_ASSERT_EQ(test, tlsf_add_pool(&lab->t, pool, mem, size), 0);
	return pool;
}

static struct lab *lab_bare(struct kunit *test, size_t size)
{
	struct lab *lab = kunit_kzalloc(test, sizeof(*lab), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, lab);
	strscpy(lab->heap.name, "lab", sizeof(lab->heap.name));
	lab->heap.engine = &lab_engine;
	tlsf_init(&lab->t, &lab->heap);
	lab->size = size;
	lab->mem = kunit_kmalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, lab->mem);
	return lab;
}

static struct lab *lab_new(struct kunit *test, size_t size)
{
	struct lab *lab = lab_bare(test, size);

	lab->pool = lab_pool(test, lab, lab->mem, size);
	return lab;
}

static void *lab_malloc(struct lab *lab, size_t size)
{
	return tlsf_malloc(&lab->t, size, TLSF_ALIGN);
}

/* As an int, for messages. */
static int lab_free(struct lab *lab, void *p)
{
	return tlsf_free(&lab->t, lab->pool, p);
}

static void lab_sound(struct kunit *test, struct lab *lab)
{
	KUNIT_EXPECT_EQ(test, tlsf_check(&lab->t), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap.bad_frees), 0);
}

/* The list of blocks of @size. */
static struct list_head *lab_list(struct lab *lab, size_t size)
{
	return &lab->t.list[tlsf_mapping_insert(size)];
}

/* The first block on it. */
static struct tlsf_block *lab_listed(struct lab *lab, size_t size)
{
	struct list_head *list = lab_list(lab, size);

	if (list_empty(list))
		return NULL;
	return tlsf_block_linked(list->next);
}

/* Expect the only free block to be one of @size. */
static void lab_one_free(struct kunit *test, struct lab *lab, size_t size)
{
	unsigned int index = tlsf_mapping_insert(size);
	unsigned long key = TLSF_KEY_BASE + index;
	struct tlsf_block *block = lab_listed(lab, size);

	KUNIT_EXPECT_EQ(test, lab->t.fl_bitmap, TLSF_FL_MARK(key));
	KUNIT_EXPECT_EQ(test, lab->t.sl_bitmap[TLSF_SL_WORD(key)],
			TLSF_SL_MARK(key));
	KUNIT_ASSERT_NOT_NULL(test, block);
	KUNIT_EXPECT_EQ(test, tlsf_size(block), size);
	KUNIT_EXPECT_TRUE(test, block->head & TLSF_FREE);
	KUNIT_EXPECT_TRUE(test, list_is_singular(lab_list(lab, size)));
}

static size_t live_blocks(const struct tlsf *t)
{
	const struct tlsf_pool *pool;
	size_t live = t->allocs - t->frees;

	list_for_each_entry(pool, &t->pools, node)
		live += pool->allocs - pool->frees;
	return live;
}

/* Expect nothing to be live, and the pool to be one block again. */
static void lab_empty(struct kunit *test, struct lab *lab)
{
	lab_one_free(test, lab, lab->size - 2 * TLSF_HEADER);
	KUNIT_EXPECT_EQ(test, live_blocks(&lab->t), 0);
	lab_sound(test, lab);
}

/*
 * The lab's cases
 */

struct c_style {
	unsigned long val1;
	unsigned long val2;
	struct list_head list1;
	struct list_head list2;
};

/* The larger value first, on each list by itself. */
static void sort_descending(struct c_style *a, struct c_style *b,
			    struct list_head *list1, struct list_head *list2)
{
	list_add_tail(a->val1 > b->val1 ? &a->list1 : &b->list1, list1);
	list_add_tail(a->val1 > b->val1 ? &b->list1 : &a->list1, list1);
	list_add_tail(a->val2 > b->val2 ? &a->list2 : &b->list2, list2);
	list_add_tail(a->val2 > b->val2 ? &b->list2 : &a->list2, list2);
}

/*
 * One structure on two lists, as free blocks are: the containing structure is
 * found from either link.  Then the same with the engine's own list.
 */
static void c_style_list(struct kunit *test)
{
	struct c_style a = { .val1 = 7, .val2 = 3 };
	struct c_style b = { .val1 = 5, .val2 = 9 };
	struct lab *lab = lab_new(test, 2048);
	struct list_head *list;
	LIST_HEAD(list1);
	LIST_HEAD(list2);
	void *p[4];
	int i;

	sort_descending(&a, &b, &list1, &list2);
	KUNIT_EXPECT_PTR_EQ(test, &a,
			    list_first_entry(&list1, struct c_style, list1));
	KUNIT_EXPECT_PTR_EQ(test, &b,
			    list_last_entry(&list1, struct c_style, list1));
	KUNIT_EXPECT_PTR_EQ(test, &b,
			    list_first_entry(&list2, struct c_style, list2));
	KUNIT_EXPECT_PTR_EQ(test, &a,
			    list_last_entry(&list2, struct c_style, list2));

	/* Blocks of one size, kept apart: the last one freed is first. */
	for (i = 0; i < 4; i++)
		p[i] = lab_malloc(lab, 64);
	KUNIT_ASSERT_NOT_NULL(test, p[3]);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0]), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[2]), CHAOS_OK);
	list = lab_list(lab, 64);
	KUNIT_EXPECT_PTR_EQ(test, tlsf_block_linked(list->next), tlsf_block_of(p[2]));
	KUNIT_EXPECT_PTR_EQ(test, tlsf_block_linked(list->next->next),
			    tlsf_block_of(p[0]));
	KUNIT_EXPECT_PTR_EQ(test, list->prev->next, list);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[3]), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, tlsf_block_linked(list->next), tlsf_block_of(p[0]));
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[1]), CHAOS_OK);
	lab_empty(test, lab);
}

static void block_header_split(struct kunit *test)
{
	struct tlsf_block *block, *rest;
	u64 buf[64] = { 0 };

	block = (struct tlsf_block *)buf;
	block->head = 400 | TLSF_FREE;
	rest = tlsf_split(block, block->head, 104);
	KUNIT_ASSERT_NOT_NULL(test, rest);
	KUNIT_EXPECT_PTR_EQ(test, (void *)rest,
			    (void *)buf + TLSF_HEADER + 104);
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 104);
	KUNIT_EXPECT_EQ(test, tlsf_size(rest), 400 - 104 - TLSF_HEADER);
	KUNIT_EXPECT_PTR_EQ(test, tlsf_next(block), rest);

	/* The flags and the promise stay with the first. */
	KUNIT_EXPECT_EQ(test, block->head & ~TLSF_SIZE, TLSF_FREE);
	KUNIT_EXPECT_EQ(test, rest->head & ~TLSF_SIZE, 0);
	block->head = 400 | TLSF_PREV_FREE | 5ULL << TLSF_PROMISE_SHIFT;
	rest = tlsf_split(block, block->head, 200);
	KUNIT_ASSERT_NOT_NULL(test, rest);
	KUNIT_EXPECT_EQ(test, block->head,
			200 | TLSF_PREV_FREE | 5ULL << TLSF_PROMISE_SHIFT);
	KUNIT_EXPECT_EQ(test, rest->head, 400 - 200 - TLSF_HEADER);

	/* The least that can be split off, and less. */
	block->head = 400;
	rest = tlsf_split(block, block->head, 400 - TLSF_MIN_SPLIT);
	KUNIT_ASSERT_NOT_NULL(test, rest);
	KUNIT_EXPECT_EQ(test, rest->head, TLSF_MIN_SIZE);
	block->head = 400;
	KUNIT_EXPECT_NULL(test, tlsf_split(block, block->head,
					   400 - TLSF_MIN_SPLIT + TLSF_ALIGN));
	KUNIT_EXPECT_NULL(test, tlsf_split(block, block->head, 400));
	KUNIT_EXPECT_EQ(test, block->head, 400);
}

static void block_header_absorb(struct kunit *test)
{
	struct tlsf_block *block, *rest;
	u64 buf[64] = { 0 };

	block = (struct tlsf_block *)buf;
	block->head = 400 | TLSF_PREV_FREE;
	rest = tlsf_split(block, block->head, 104);
	KUNIT_ASSERT_NOT_NULL(test, rest);
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 104);

	/* What was split is whole again, and so are the flags. */
	tlsf_absorb(block, tlsf_size(rest));
	KUNIT_EXPECT_EQ(test, block->head, 400 | TLSF_PREV_FREE);
	KUNIT_EXPECT_PTR_EQ(test, (void *)tlsf_next(block),
			    (void *)buf + TLSF_HEADER + 400);
}

static void expect_maps(struct kunit *test, unsigned int index,
			unsigned int sli, unsigned int fl, unsigned int sl)
{
	KUNIT_EXPECT_EQ_MSG(test, index >> sli, fl, "(%u, %u)", fl, sl);
	KUNIT_EXPECT_EQ_MSG(test, index & (BIT(sli) - 1), sl, "(%u, %u)", fl, sl);
}

static void mapping_insert(struct kunit *test)
{
	size_t size, last;
	unsigned int index;

	/* As in the paper: the first level counts from 2^0. */
	expect_maps(test, tlsf_map(460, 4, 0), 4, 8, 12);
	expect_maps(test, tlsf_map(1234, 5, 0), 5, 10, 6);

	/* As in the engine: fl 0 is [0, 256), fl 1 is [256, 512). */
	KUNIT_EXPECT_EQ(test, TLSF_FL_SHIFT, 7);
	expect_maps(test, tlsf_mapping_insert(24), 5, 0, 3);
	expect_maps(test, tlsf_mapping_insert(248), 5, 0, 31);
	expect_maps(test, tlsf_mapping_insert(256), 5, 1, 0);
	expect_maps(test, tlsf_mapping_insert(464), 5, 1, 26);
	expect_maps(test, tlsf_mapping_insert(504), 5, 1, 31);
	expect_maps(test, tlsf_mapping_insert(512), 5, 2, 0);
	expect_maps(test, tlsf_mapping_insert(1560), 5, 3, 16);
	expect_maps(test, tlsf_mapping_insert(2032), 5, 3, 31);
	expect_maps(test, tlsf_mapping_insert(TLSF_BLOCK_LIMIT - TLSF_ALIGN), 5,
		    TLSF_FL_COUNT - 1, 31);

	/* A search passes over no list that is sure, and takes none that isn't. */
	expect_maps(test, tlsf_mapping_search(464), 5, 1, 26);
	expect_maps(test, tlsf_mapping_search(512), 5, 2, 0);
	expect_maps(test, tlsf_mapping_search(520), 5, 2, 1);
	expect_maps(test, tlsf_mapping_search(1023), 5, 3, 0);
	expect_maps(test, tlsf_mapping_search(TLSF_REQUEST_MAX), 5,
		    TLSF_FL_COUNT - 1, 0);
	last = 0;
	for (size = TLSF_MIN_SIZE; size < SZ_64K; size += TLSF_ALIGN) {
		index = tlsf_mapping_search(size);
		if (tlsf_mapping_insert(size) > index ||
		    tlsf_mapping_insert(size) + 1 < index || index < last) {
			KUNIT_FAIL(test, "size %zu", size);
			break;
		}
		/* No block of a smaller size is on the list. */
		if (tlsf_mapping_insert(size - TLSF_ALIGN) >= index) {
			KUNIT_FAIL(test, "%zu serves %zu", size - TLSF_ALIGN,
				   size);
			break;
		}
		last = index;
	}
}

static bool same_list(struct kunit *test, size_t a, size_t b)
{
	unsigned long key = tlsf_key(a);
	bool same = key == tlsf_key(b);

	if (tlsf_key_same(key, a, b) == same && tlsf_size_same(a, b) == same)
		return true;
	KUNIT_FAIL(test, "%zu and %zu: same list %d", a, b, same);
	return false;
}

/* Whether two sizes share a list is told without the other one's key. */
static void mapping_same(struct kunit *test)
{
	size_t size, other, far;

	for (size = TLSF_MIN_SIZE; size < SZ_4K; size += TLSF_ALIGN)
		for (other = TLSF_ALIGN; other < SZ_8K; other += TLSF_ALIGN)
			if (!same_list(test, size, other))
				return;
	/* The ends of lists, up to the largest block. */
	for (far = SZ_4K; far < TLSF_BLOCK_LIMIT; far <<= 1) {
		for (size = far; size < 2 * far; size += far / TLSF_SL_COUNT) {
			other = size + far / TLSF_SL_COUNT;
			if (!same_list(test, size, size - TLSF_ALIGN) ||
			    !same_list(test, size - TLSF_ALIGN, size) ||
			    !same_list(test, size, other - TLSF_ALIGN) ||
			    !same_list(test, other - TLSF_ALIGN, size))
				return;
		}
	}
}

/* add_pool */
static void init(struct kunit *test)
{
	struct lab *lab = lab_bare(test, 2048);
	struct tlsf_block *block;

	KUNIT_EXPECT_EQ(test, lab->t.fl_bitmap, 0);
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 8));
	lab_sound(test, lab);

	lab->pool = lab_pool(test, lab, lab->mem, 2048);
	lab_one_free(test, lab, 2032);
	block = lab_listed(lab, 2032);
	KUNIT_EXPECT_PTR_EQ(test, lab->t.list[3 * 32 + 31].next, &tlsf_next(block)->link);
	KUNIT_EXPECT_PTR_EQ(test, (void *)block->payload,
			    lab->mem + TLSF_HEADER);
	KUNIT_EXPECT_EQ(test, block->head, 2032 | TLSF_FREE);

	/* The sentinel ends where the memory ends. */
	KUNIT_EXPECT_PTR_EQ(test, (void *)tlsf_next(block)->payload,
			    lab->mem + 2048);
	KUNIT_EXPECT_EQ(test, tlsf_next(block)->head, TLSF_PREV_FREE);
	KUNIT_EXPECT_PTR_EQ(test, tlsf_next(block)->prev_phys,
			    (void *)block->payload);
	lab_empty(test, lab);

	KUNIT_EXPECT_EQ(test, tlsf_add_pool(&lab->t, lab->pool, lab->mem + 4,
					    1024), -EINVAL);
	KUNIT_EXPECT_EQ(test, tlsf_add_pool(&lab->t, lab->pool, lab->mem, 32),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, tlsf_add_pool(&lab->t, lab->pool, lab->mem,
					    TLSF_BLOCK_LIMIT), -EFBIG);
}

/* Named as the lab names it; the C library's is not in the kernel. */
static void lab_malloc_case(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	struct tlsf_block *block, *rest;
	void *p;

	p = lab_malloc(lab, 460);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_PTR_EQ(test, p, lab->mem + TLSF_HEADER);
	memset(p, 0x5a, 460);
	block = tlsf_block_of(p);
	KUNIT_EXPECT_EQ(test, block->head, 464);
	lab_one_free(test, lab, 1560);
	rest = lab_listed(lab, 1560);
	KUNIT_EXPECT_PTR_EQ(test, tlsf_next(block), rest);
	KUNIT_EXPECT_PTR_EQ(test, tlsf_next(rest)->prev_phys,
			    (void *)rest->payload);
	lab_sound(test, lab);

	/* All that is left; the payload is all of it. */
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 1561));
	p = lab_malloc(lab, 1560);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, lab->t.fl_bitmap, 0);
	memset(p, 0xa5, 1560);
	KUNIT_EXPECT_NULL(test, memchr_inv(block->payload, 0x5a, 460));
	KUNIT_EXPECT_EQ(test, tlsf_next(tlsf_block_of(p))->head, 0);
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 1));
	KUNIT_EXPECT_EQ(test, live_blocks(&lab->t), 2);
	lab_sound(test, lab);
}

/* Merging with nothing, the next, the one before, and both. */
static void lab_free_case(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	struct tlsf_block *merged;
	void *p[5];
	int i;

	for (i = 0; i < 5; i++) {
		p[i] = lab_malloc(lab, 100);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		memset(p[i], i, 100);
	}
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[1]), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab_listed(lab, 104), tlsf_block_of(p[1]));
	KUNIT_EXPECT_PTR_EQ(test, tlsf_block_of(p[2])->prev_phys, p[1]);
	KUNIT_EXPECT_TRUE(test, tlsf_block_of(p[2])->head & TLSF_PREV_FREE);
	lab_sound(test, lab);

	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0]), CHAOS_OK);
	merged = lab_listed(lab, 104 + 8 + 104);
	KUNIT_EXPECT_PTR_EQ(test, merged, tlsf_block_of(p[0]));
	KUNIT_EXPECT_PTR_EQ(test, tlsf_block_of(p[2])->prev_phys, p[0]);
	KUNIT_EXPECT_NULL(test, lab_listed(lab, 104));
	lab_sound(test, lab);

	KUNIT_EXPECT_EQ(test, lab_free(lab, p[2]), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab_listed(lab, 3 * 104 + 2 * 8),
			    tlsf_block_of(p[0]));
	lab_sound(test, lab);

	KUNIT_EXPECT_EQ(test, lab_free(lab, p[4]), CHAOS_OK);
	KUNIT_EXPECT_NULL(test, memchr_inv(p[3], 3, 100));
	lab_sound(test, lab);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[3]), CHAOS_OK);
	lab_empty(test, lab);
}

/*
 * What is cut off the front of a large block, and merged there again, leaves the block
 * on its list between the same two others, whatever its link says.
 */
static void front_of_large(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_1M);
	struct list_head *link = &tlsf_next(lab_listed(lab, SZ_1M - 16))->link;
	struct list_head was = *link;
	void *p;

	/* The long way looks at all; from now on, the pool is the one used last. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, lab_malloc(lab, 64)), CHAOS_OK);
	link->next = NULL;
	link->prev = NULL;
	p = lab_malloc(lab, 64);
	KUNIT_EXPECT_PTR_EQ(test, p, lab->mem + TLSF_HEADER);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	/* Not if it has to go to another list. */
	KUNIT_EXPECT_NULL(test, link->next);
	*link = was;
	p = lab_malloc(lab, SZ_64K);
	KUNIT_ASSERT_NOT_NULL(test, p);
	was = *link;
	link->next = NULL;
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_CORRUPT);
	*link = was;
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_empty(test, lab);
}

static void multiple_alloc(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_16K);
	unsigned int most = SZ_16K / TLSF_MIN_SPLIT;
	unsigned int n, i, round;
	void **p;

	p = kunit_kcalloc(test, most, sizeof(*p), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	for (round = 0; round < 3; round++) {
		for (n = 0; n < most; n++) {
			p[n] = lab_malloc(lab, 16 + n % 7 * 24);
			if (!p[n])
				break;
			memset(p[n], n, 16 + n % 7 * 24);
		}
		KUNIT_EXPECT_GE(test, n, 150U);
		lab_sound(test, lab);
		for (i = 0; i < n; i++)
			KUNIT_EXPECT_NULL(test, memchr_inv(p[i], i & 0xff,
							   16 + i % 7 * 24));
		/* Forwards, backwards, and every second first. */
		for (i = 0; i < n; i++) {
			unsigned int k = i;

			if (round == 1)
				k = n - 1 - i;
			else if (round == 2)
				k = i < (n + 1) / 2 ? 2 * i :
				    2 * (i - (n + 1) / 2) + 1;
			KUNIT_EXPECT_EQ(test, lab_free(lab, p[k]), CHAOS_OK);
		}
		lab_empty(test, lab);
	}
}

/* Random sizes and alignments, all contents checked, all bookkeeping. */
static void torture(struct kunit *test)
{
	const unsigned int slots = 128;
	struct { u8 *p; size_t size; } *slot;
	struct lab *lab = lab_new(test, SZ_64K);
	unsigned int turn, bad = 0;
	struct rnd_state rnd;

	slot = kunit_kcalloc(test, slots, sizeof(*slot), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, slot);
	prandom_seed_state(&rnd, 20240601);
	for (turn = 0; turn < 50000; turn++) {
		u32 r = prandom_u32_state(&rnd);
		unsigned int k = r % slots;
		size_t size = 1 + prandom_u32_state(&rnd) % 1500;
		size_t align = r & 0x10000 ? 8UL << (r >> 17) % 7 : 8;
		u8 *p = slot[k].p;

		if (!p) {
			p = tlsf_malloc(&lab->t, size, align);
			bad += (unsigned long)p & (align - 1) ? 1 : 0;
		} else if (memchr_inv(p, k, slot[k].size)) {
			bad++;
		} else if (r & 0x1000000) {
			if (!tlsf_resize(&lab->t, lab->pool, p, size))
				continue;
			bad += !!memchr_inv(p, k, min(size, slot[k].size));
		} else {
			bad += lab_free(lab, p) != CHAOS_OK;
			slot[k].p = NULL;
			continue;
		}
		slot[k].p = p;
		slot[k].size = size;
		if (p)
			memset(p, k, size);
		if (turn % 1000 == 0)
			bad += tlsf_check(&lab->t) != 0;
		if (bad)
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, bad, 0U, "turn %u", turn);
	for (turn = 0; turn < slots; turn++) {
		if (slot[turn].p)
			KUNIT_EXPECT_EQ(test, lab_free(lab, slot[turn].p),
					CHAOS_OK);
	}
	lab_empty(test, lab);
}

static struct chaos_heap *tlsf_heap(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "kunit-tlsf",
		.allocator = "tlsf",
		.pool_size = SZ_1M,
		.node = NUMA_NO_NODE,
	};

	return chaos_test_create(test, &params);
}

static unsigned long heap_bad_frees(struct chaos_heap *heap)
{
	return atomic_long_read(&heap->bad_frees);
}

/* Objects of several types, through the public API. */
static void tlsf_allocator(struct kunit *test)
{
	static const char hello[] = "hello world from our allocator";
	struct chaos_heap *heap = tlsf_heap(test);
	int i, k;

	for (i = 0; i < 100; i++) {
		char *a = chaos_heap_alloc(heap, sizeof(hello), GFP_KERNEL);
		u32 *b = chaos_heap_alloc(heap, sizeof(*b), GFP_KERNEL);
		u64 *c = chaos_heap_alloc(heap, sizeof(*c), GFP_KERNEL);
		int *d = chaos_heap_zalloc(heap, 10 * sizeof(*d), GFP_KERNEL);

		if (!a || !b || !c || !d) {
			KUNIT_FAIL(test, "turn %d", i);
			break;
		}
		memcpy(a, hello, sizeof(hello));
		*b = 123456789;
		*c = 1234567890123456789ULL;
		for (k = 0; k < 10; k++)
			d[k] += k;
		KUNIT_EXPECT_STREQ(test, a, hello);
		KUNIT_EXPECT_EQ(test, *b, 123456789);
		KUNIT_EXPECT_EQ(test, *c, 1234567890123456789ULL);
		KUNIT_EXPECT_EQ(test, d[9], 9);
		chaos_heap_free(heap, b);
		chaos_heap_free(heap, a);
		chaos_heap_free(heap, d);
		chaos_heap_free(heap, c);
	}
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), 0);
	KUNIT_EXPECT_EQ(test, live_blocks(tlsf_of_heap(heap)), 0);
	KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), 0);
	chaos_test_destroy(test, heap);
}

/*
 * One defence or property each
 */

static void interior_pointers(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	u8 *a = lab_malloc(lab, 200);
	u8 *b = lab_malloc(lab, 200);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, b);
	memset(a, 1, 200);
	/* A perfect imitation of a block before @b, which is not one. */
	((u64 *)a)[3] = 168;
	for (i = 1; i < 208; i++)
		KUNIT_EXPECT_EQ_MSG(test, lab_free(lab, a + i), CHAOS_INTERIOR,
				    "offset %d", i);
	KUNIT_EXPECT_FALSE(test, tlsf_resize(&lab->t, lab->pool, a + 32, 8));
	KUNIT_EXPECT_EQ(test, ((u64 *)a)[3], 168);
	KUNIT_EXPECT_EQ(test, lab_free(lab, lab->mem), CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b + 208), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b + 1000), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b + 1001), CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, lab_free(lab, lab->mem + 2040), CHAOS_INTERIOR);
	lab_sound(test, lab);
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b), CHAOS_OK);
	lab_empty(test, lab);
}

static void double_free(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	void *a = lab_malloc(lab, 100);
	void *b = lab_malloc(lab, 100);
	void *c = lab_malloc(lab, 100);

	KUNIT_ASSERT_NOT_NULL(test, c);
	/* By itself; merged into the one before; merged into all. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b), CHAOS_FREED);
	lab_sound(test, lab);
	KUNIT_EXPECT_EQ(test, lab_free(lab, c), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, c), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_FREED);
	KUNIT_EXPECT_FALSE(test, tlsf_resize(&lab->t, lab->pool, a, 50));
	lab_empty(test, lab);
}

/**
 * struct listed - a free block on a list with another, and live ones around
 * @lab: where
 * @a: the first on the list
 * @guard: a live block between the two
 * @b: the second on the list
 */
struct listed {
	struct lab *lab;
	u64 *a;
	u64 *guard;
	u64 *b;
};

static struct listed listed_new(struct kunit *test)
{
	struct listed l = { .lab = lab_new(test, 4096) };

	l.a = lab_malloc(l.lab, 100);
	l.guard = lab_malloc(l.lab, 100);
	l.b = lab_malloc(l.lab, 100);
	KUNIT_ASSERT_NOT_NULL(test, lab_malloc(l.lab, 100));
	memset(l.guard, 0x11, 100);
	KUNIT_EXPECT_EQ(test, lab_free(l.lab, l.b), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(l.lab, l.a), CHAOS_OK);
	return l;
}

/*
 * With @l->a damaged: its list is dropped and reported once, nothing else
 * happens, and other lists go on.
 */
static void listed_dropped(struct kunit *test, struct listed *l,
			   const char *what)
{
	struct lab *lab = l->lab;
	void *p;

	KUNIT_EXPECT_NE_MSG(test, tlsf_check(&lab->t), 0, "%s", what);
	p = lab_malloc(lab, 100);
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&lab->heap.bad_frees), 1,
			    "%s", what);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, p != l->a && p != l->b && p != l->guard);
	memset(p, 0x22, 100);
	KUNIT_EXPECT_NULL(test, memchr_inv(l->guard, 0x11, 100));
	KUNIT_EXPECT_NULL(test, lab_listed(lab, 104));
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
}

/* Writes after free into what the heap keeps in a free block. */
static void corrupted_free_list(struct kunit *test)
{
	static u64 outside[4];
	const struct { int word; u64 value; const char *what; } writes[] = {
		{ 10, 0, "next cleared" },
		{ 10, 0x6b6b6b6b6b6b6b6bULL, "next poisoned" },
		{ 10, ~0ULL, "next all ones" },
		{ 10, (unsigned long)outside, "next outside" },
		{ 11, 0, "prev cleared" },
		{ 11, 0x6b6b6b6b6b6b6b6bULL, "prev poisoned" },
		{ 11, (unsigned long)outside, "prev outside" },
		{ -1, 0, "head cleared" },
		{ -1, 104, "head not free" },
		{ -1, 104 | TLSF_FREE | TLSF_PREV_FREE, "head after a free one" },
		{ -1, 112 | TLSF_FREE, "head larger" },
		{ -1, 96 | TLSF_FREE, "head smaller" },
		{ -1, 0x6b6b6b6b6b6b6b6bULL, "head poisoned" },
		{ 12, 0, "end cleared" },
		{ 12, (unsigned long)outside, "end outside" },
		{ 12, 0x6b6b6b6b6b6b6b6bULL, "end poisoned" },
	};
	struct tlsf_pool *pool;
	struct listed l;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		l = listed_new(test);
		l.a[writes[i].word] = writes[i].value;
		listed_dropped(test, &l, writes[i].what);
		/* A neighbour cannot merge with it: refused, unharmed. */
		KUNIT_EXPECT_EQ_MSG(test, lab_free(l.lab, l.guard),
				    CHAOS_CORRUPT, "%s", writes[i].what);
		KUNIT_EXPECT_NULL(test, memchr_inv(l.guard, 0x11, 100));
	}

	l = listed_new(test);
	l.a[10] = (unsigned long)l.guard;
	listed_dropped(test, &l, "next to a live block");

	/* A live block is never handed out, even if all else is consistent. */
	l = listed_new(test);
	pool = l.lab->pool;
	__set_bit(((unsigned long)l.a - pool->first) / TLSF_ALIGN, pool->live);
	listed_dropped(test, &l, "live block on a list");

	/* Nor cut, for what shall be aligned. */
	l = listed_new(test);
	pool = l.lab->pool;
	__set_bit(((unsigned long)l.a - pool->first) / TLSF_ALIGN, pool->live);
	KUNIT_EXPECT_NOT_NULL(test, tlsf_malloc(&l.lab->t, 24, 16));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&l.lab->heap.bad_frees), 1);
	KUNIT_EXPECT_NULL(test, lab_listed(l.lab, 104));
}

/* An overrun into the next block's head: refused when that is freed. */
static void overrun(struct kunit *test)
{
	static const u64 heads[] = {
		0, TLSF_FREE, TLSF_PREV_FREE, 104 | TLSF_FREE,
		104 | TLSF_PREV_FREE, 96, 112, 1560, 1UL << 30,
		0x4141414141414141ULL, ~0ULL,
	};
	struct lab *lab = lab_new(test, 2048);
	u64 *a = lab_malloc(lab, 100);
	u64 *b = lab_malloc(lab, 100);
	void *c = lab_malloc(lab, 100);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	memset(c, 0x33, 100);
	memset(a, 0, 104);
	for (i = 0; i < ARRAY_SIZE(heads); i++) {
		a[13] = heads[i];
		KUNIT_EXPECT_EQ_MSG(test, lab_free(lab, b), CHAOS_CORRUPT,
				    "head %#llx", heads[i]);
	}
	/* Its neighbour looks at it, too. */
	a[13] = TLSF_PREV_FREE | 104;
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_CORRUPT);
	KUNIT_EXPECT_FALSE(test, tlsf_resize(&lab->t, lab->pool, a, 8));

	a[13] = 104;
	KUNIT_EXPECT_EQ(test, lab_free(lab, b), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_OK);
	KUNIT_EXPECT_NULL(test, memchr_inv(c, 0x33, 100));
	KUNIT_EXPECT_EQ(test, lab_free(lab, c), CHAOS_OK);
	lab_empty(test, lab);
}

/* A write after free that is noticed when a neighbour is freed. */
static void corrupted_neighbour(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	u64 *a = lab_malloc(lab, 100);
	u64 *b = lab_malloc(lab, 100);
	u64 *c = lab_malloc(lab, 100);
	u64 saved, *words[] = { &a[-1], &a[10], &a[11], &a[12] };
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, lab_malloc(lab, 8));
	/* The free one before, then the free one behind. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_OK);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		saved = *words[i];
		*words[i] = 0x4141414141414140ULL;
		KUNIT_EXPECT_EQ_MSG(test, lab_free(lab, b), CHAOS_CORRUPT,
				    "before, %u", i);
		*words[i] = saved;
	}
	KUNIT_EXPECT_PTR_EQ(test, lab_malloc(lab, 100), (void *)a);
	KUNIT_EXPECT_EQ(test, lab_free(lab, c), CHAOS_OK);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		u64 *word = words[i] - a + c;

		saved = *word;
		*word = 0x4141414141414140ULL;
		KUNIT_EXPECT_EQ_MSG(test, lab_free(lab, b), CHAOS_CORRUPT,
				    "behind, %u", i);
		*word = saved;
	}
	lab_sound(test, lab);
	KUNIT_EXPECT_EQ(test, lab_free(lab, b), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_OK);
	lab_sound(test, lab);
}

/* An alignment that no block can have been promised, whatever a shift by it gives. */
static void corrupted_promise(struct kunit *test)
{
	static const u8 promises[] = { 20, 63, 64, 79, 207, 255 };
	struct chaos_heap *heap = tlsf_heap(test);
	u8 *p = chaos_heap_alloc(heap, 100, GFP_KERNEL);
	unsigned int i;
	u64 *head, saved;

	KUNIT_ASSERT_NOT_NULL(test, p);
	head = &tlsf_block_of(p)->head;
	saved = *head;
	for (i = 0; i < ARRAY_SIZE(promises); i++) {
		*head = saved | (u64)promises[i] << TLSF_PROMISE_SHIFT;
		KUNIT_EXPECT_EQ_MSG(test, chaos_heap_usable_size(heap, p), 0, "2^%u",
				    promises[i]);
		KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), i + 1);
	}
	*head = saved;
	KUNIT_EXPECT_GE(test, chaos_heap_usable_size(heap, p), 100);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), ARRAY_SIZE(promises));
	chaos_test_destroy(test, heap);
}

static void huge_sizes(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	void *p = lab_malloc(lab, 8);
	size_t size;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (size = SIZE_MAX; size > SIZE_MAX - 70; size--) {
		KUNIT_EXPECT_NULL(test, lab_malloc(lab, size));
		KUNIT_EXPECT_NULL(test, tlsf_malloc(&lab->t, size, 4096));
		KUNIT_EXPECT_FALSE(test, tlsf_resize(&lab->t, lab->pool, p,
						     size));
	}
	for (size = 2048; size; size <<= 1) {
		KUNIT_EXPECT_NULL(test, lab_malloc(lab, size));
		KUNIT_EXPECT_NULL(test, lab_malloc(lab, size - 1));
		KUNIT_EXPECT_NULL(test, tlsf_malloc(&lab->t, size,
						    CHAOS_MAX_ALIGN));
	}
	KUNIT_EXPECT_EQ(test, tlsf_size(tlsf_block_of(p)), TLSF_MIN_SIZE);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_empty(test, lab);
}

/* What is before an aligned block is nothing, or a free block at once. */
static void alignment_slivers(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_16K);
	size_t align, lead;

	for (align = 8; align <= 4096; align <<= 1) {
		for (lead = 24; lead < 24 + 2 * align && lead < 200; lead += 8) {
			void *before = lab_malloc(lab, lead);
			void *p = tlsf_malloc(&lab->t, 40, align);
			struct tlsf_block *block, *prev;
			void *end;

			if (!before || !p) {
				KUNIT_FAIL(test, "%zu after %zu", align, lead);
				return;
			}
			KUNIT_EXPECT_TRUE(test,
					  IS_ALIGNED((unsigned long)p, align));
			block = tlsf_block_of(p);
			KUNIT_EXPECT_EQ(test, tlsf_size(block), 40);
			KUNIT_EXPECT_EQ(test, TLSF_ALIGN <<
					(block->head >> TLSF_PROMISE_SHIFT),
					align);
			end = tlsf_next(tlsf_block_of(before))->payload;
			if (block->head & TLSF_PREV_FREE) {
				prev = tlsf_block_of(block->prev_phys);
				KUNIT_EXPECT_PTR_EQ(test, block->prev_phys, end);
				KUNIT_EXPECT_PTR_EQ(test, lab_listed(lab,
								     tlsf_size(prev)),
						    prev);
			} else {
				KUNIT_EXPECT_PTR_EQ(test, p, end);
			}
			KUNIT_EXPECT_EQ(test, tlsf_check(&lab->t), 0);
			KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
			KUNIT_EXPECT_EQ(test, lab_free(lab, before), CHAOS_OK);
		}
	}
	lab_empty(test, lab);
}

/* What the fast path alone has to say. */
static void *lab_fast(struct lab *lab, size_t size, size_t align)
{
	unsigned long key;
	size_t least, cost;
	void *p = NULL;

	size = tlsf_round(size);
	key = tlsf_key_up(size, &least);
	if (align > TLSF_ALIGN)
		tlsf_take_aligned(&lab->t, size, align, &p, &cost);
	else
		tlsf_take(&lab->t, key, least, size, &p, &cost);
	return p;
}

/* A pool of one block that the request needs all of, or that is 8 bytes short of that. */
static void last_block(struct kunit *test, size_t size, size_t align)
{
	size_t need = tlsf_round(size);
	struct lab *lab;
	void *p;

	if (align > TLSF_ALIGN)
		need = tlsf_aligned_need(need, align);
	lab = lab_new(test, need + 2 * TLSF_HEADER);
	p = lab_fast(lab, size, align);
	KUNIT_EXPECT_NOT_NULL_MSG(test, p, "%zu at %zu", size, align);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
	KUNIT_EXPECT_EQ(test, tlsf_check(&lab->t), 0);
	if (p) {
		KUNIT_EXPECT_GE(test, tlsf_size(tlsf_block_of(p)), size);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	}
	lab_empty(test, lab);

	/* The long way does not find more, nor think of a list as damaged. */
	lab = lab_new(test, need + TLSF_HEADER);
	KUNIT_EXPECT_NULL_MSG(test, lab_fast(lab, size, align), "%zu at %zu",
			      size, align);
	KUNIT_EXPECT_NULL(test, tlsf_malloc(&lab->t, size, align));
	lab_empty(test, lab);
}

/* What the fast path does not find is not there: none of that is looked for twice. */
static void all_that_is_left(struct kunit *test)
{
	static const size_t sizes[] = {
		32, 40, 100, 248, 256, 264, 511, 1000, 2048, 2056, 5000,
	};
	size_t align;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (align = TLSF_ALIGN; align <= SZ_4K; align <<= 3)
			last_block(test, sizes[i], align);
	}
}

static void resize_in_place(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	struct tlsf *t = &lab->t;
	void *a = tlsf_malloc(t, 200, 64);
	void *b = lab_malloc(lab, 200);
	void *c = lab_malloc(lab, 200);
	struct tlsf_block *block;
	u64 promise;

	KUNIT_ASSERT_NOT_NULL(test, c);
	block = tlsf_block_of(a);
	promise = block->head >> TLSF_PROMISE_SHIFT;
	memset(a, 1, 200);
	memset(c, 3, 200);

	/* Nothing to grow into; nothing worth giving back. */
	KUNIT_EXPECT_FALSE(test, tlsf_resize(t, lab->pool, a, 201));
	KUNIT_EXPECT_TRUE(test, tlsf_resize(t, lab->pool, a, 176));
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 200);

	/* Shrunk, the rest is a block at once; grown, it is gone again. */
	KUNIT_EXPECT_TRUE(test, tlsf_resize(t, lab->pool, a, 100));
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 104);
	KUNIT_EXPECT_NOT_NULL(test, lab_listed(lab, 200 - 104 - TLSF_HEADER));
	KUNIT_EXPECT_EQ(test, tlsf_check(t), 0);
	KUNIT_EXPECT_TRUE(test, tlsf_resize(t, lab->pool, a, 200));
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 200);
	KUNIT_EXPECT_NULL(test, memchr_inv(a, 1, 104));
	lab_sound(test, lab);

	/* Into the neighbour: all of it, not more, a part of it. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, b), CHAOS_OK);
	KUNIT_EXPECT_FALSE(test, tlsf_resize(t, lab->pool, a, 409));
	KUNIT_EXPECT_TRUE(test, tlsf_resize(t, lab->pool, a, 408));
	KUNIT_EXPECT_PTR_EQ(test, (void *)tlsf_next(block)->payload, c);
	KUNIT_EXPECT_EQ(test, tlsf_check(t), 0);
	memset(a, 1, 408);
	KUNIT_EXPECT_TRUE(test, tlsf_resize(t, lab->pool, a, 300));
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 304);
	/* The rest joins the free block behind. */
	KUNIT_EXPECT_TRUE(test, tlsf_resize(t, lab->pool, a, 296));
	KUNIT_EXPECT_NOT_NULL(test, lab_listed(lab, 408 - 296 - TLSF_HEADER));
	KUNIT_EXPECT_EQ(test, tlsf_size(block), 296);
	KUNIT_EXPECT_NULL(test, memchr_inv(a, 1, 296));
	KUNIT_EXPECT_NULL(test, memchr_inv(c, 3, 200));
	KUNIT_EXPECT_EQ(test, block->head >> TLSF_PROMISE_SHIFT, promise);
	lab_sound(test, lab);
	KUNIT_EXPECT_EQ(test, lab_free(lab, c), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, a), CHAOS_OK);
	lab_empty(test, lab);
}

/* A freed block serves the request it was cut for, though the search rounds. */
static void exact_fit(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_16K);
	size_t size;

	for (size = 464; size < 3000; size += 136) {
		void *p = lab_malloc(lab, size);
		void *guard = lab_malloc(lab, 8);
		void *rest, *again;

		KUNIT_ASSERT_NOT_NULL(test, guard);
		/* Nowhere else to go. */
		rest = lab_malloc(lab, 12000);
		KUNIT_ASSERT_NOT_NULL(test, rest);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
		again = lab_malloc(lab, size);
		KUNIT_EXPECT_PTR_EQ_MSG(test, again, p, "size %zu", size);
		KUNIT_EXPECT_EQ(test, lab_free(lab, again), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, lab_free(lab, guard), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, lab_free(lab, rest), CHAOS_OK);
	}
	lab_empty(test, lab);
}

/* Two pools side by side stay two. */
static void adjacent_pools(struct kunit *test)
{
	struct lab *lab = lab_bare(test, 4096);
	struct tlsf_pool *low, *high;
	void *a, *b;

	low = lab_pool(test, lab, lab->mem, 2048);
	high = lab_pool(test, lab, lab->mem + 2048, 2048);
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 2033));
	a = lab_malloc(lab, 2032);
	b = lab_malloc(lab, 2032);
	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 1));
	memset(a, 1, 2032);
	memset(b, 2, 2032);
	KUNIT_EXPECT_NULL(test, memchr_inv(a, 1, 2032));
	lab_sound(test, lab);
	if (a > b)
		swap(a, b);
	KUNIT_EXPECT_EQ(test, tlsf_free(&lab->t, low, a), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, tlsf_free(&lab->t, high, b), CHAOS_OK);
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 2033));
	KUNIT_EXPECT_EQ(test, live_blocks(&lab->t), 0);
	lab_sound(test, lab);
}

/* A pool that goes leaves the lists as they were before it came. */
static void release_pool(struct kunit *test)
{
	struct lab *lab = lab_bare(test, 6144);
	struct tlsf *before = kunit_kzalloc(test, sizeof(*before), GFP_KERNEL);
	struct tlsf_pool *low, *high;
	void *a, *b, *high_mem;

	KUNIT_ASSERT_NOT_NULL(test, before);
	low = lab_pool(test, lab, lab->mem, 2048);
	a = tlsf_malloc(&lab->t, 100, TLSF_ALIGN);
	b = tlsf_malloc(&lab->t, 100, TLSF_ALIGN);
	KUNIT_ASSERT_NOT_NULL(test, b);
	KUNIT_EXPECT_EQ(test, tlsf_free(&lab->t, low, a), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, low->used, 112);
	*before = lab->t;

	high_mem = lab->mem + 2048;
	high = lab_pool(test, lab, high_mem, 4096);
	a = lab_malloc(lab, 3000);
	KUNIT_ASSERT_PTR_EQ(test, a, high_mem + TLSF_HEADER);
	KUNIT_EXPECT_EQ(test, high->used, 3016);
	KUNIT_EXPECT_PTR_EQ(test, lab->t.recent, high);
	KUNIT_EXPECT_FALSE(test, tlsf_release_pool(&lab->t, high));
	KUNIT_EXPECT_FALSE(test, tlsf_release_pool(&lab->t, low));
	lab_sound(test, lab);
	KUNIT_EXPECT_TRUE(test, tlsf_resize(&lab->t, high, a, 2000));
	/* As much as a search for 2000 bytes would have found. */
	KUNIT_EXPECT_EQ(test, high->used, 2024);
	KUNIT_EXPECT_EQ(test, tlsf_free(&lab->t, high, a), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, high->used, 0);

	KUNIT_EXPECT_TRUE(test, tlsf_release_pool(&lab->t, high));
	KUNIT_EXPECT_EQ(test, lab->t.fl_bitmap, before->fl_bitmap);
	KUNIT_EXPECT_MEMEQ(test, lab->t.sl_bitmap, before->sl_bitmap,
			   sizeof(before->sl_bitmap));
	KUNIT_EXPECT_MEMEQ(test, lab->t.list, before->list,
			   sizeof(before->list));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&lab->t.pools));
	KUNIT_EXPECT_PTR_NE(test, lab->t.recent, high);
	KUNIT_EXPECT_FALSE(test, tlsf_release_pool(&lab->t, high));
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 2000));
	KUNIT_EXPECT_EQ(test, tlsf_free(&lab->t, high, a), CHAOS_FREED);
	KUNIT_EXPECT_FALSE(test, tlsf_resize(&lab->t, high, a, 8));
	lab_sound(test, lab);

	/* The same memory again. */
	memset(high_mem, 0x6b, 4096);
	memset(high, 0, tlsf_pool_meta(4096));
	KUNIT_EXPECT_EQ(test, tlsf_add_pool(&lab->t, high, high_mem, 4096), 0);
	KUNIT_EXPECT_PTR_EQ(test, lab_malloc(lab, 3000), a);
	lab_sound(test, lab);
}

/*
 * With a write after free into the one block that there is, others may have
 * links to it: the pool has to stay.
 */
static void release_damaged(struct kunit *test)
{
	struct lab *lab = lab_new(test, 2048);
	u64 *word = lab->mem;
	static const unsigned int damaged[] = {
		0,		/* head */
		2048 / 8 - 4,	/* next */
		2048 / 8 - 3,	/* prev */
		2048 / 8 - 2,	/* the end's link back */
	};
	unsigned int i;
	u64 was;

	for (i = 0; i < ARRAY_SIZE(damaged); i++) {
		was = word[damaged[i]];
		word[damaged[i]] ^= 8;
		KUNIT_EXPECT_FALSE(test, tlsf_release_pool(&lab->t, lab->pool));
		word[damaged[i]] = was;
		lab_empty(test, lab);
	}
	/* Its list was dropped meanwhile: no list leads to it. */
	word[2048 / 8 - 4] = 0;
	KUNIT_EXPECT_NULL(test, lab_malloc(lab, 100));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap.bad_frees), 1);
	KUNIT_EXPECT_FALSE(test, tlsf_release_pool(&lab->t, lab->pool));
}

/* A block that an NMI has freed, which found the lock held. */
static void leave_deferred(struct kunit *test, struct chaos_heap *heap)
{
	struct chaos_lock *lock = tlsf_lock_of_heap(heap);
	void *p = chaos_heap_alloc(heap, 1, GFP_KERNEL);
	unsigned long flags;
	bool deferred;

	KUNIT_ASSERT_NOT_NULL(test, p);
	raw_spin_lock_irqsave(&lock->raw, flags);
	deferred = chaos_defer_free(lock, p);
	raw_spin_unlock_irqrestore(&lock->raw, flags);
	KUNIT_EXPECT_TRUE(test, deferred);
}

/* It is no reason to keep a pool. */
static void release_deferred(struct kunit *test)
{
	struct chaos_heap *heap = tlsf_heap(test);
	struct chaos_lock *lock = tlsf_lock_of_heap(heap);
	struct chaos_pool *pool = list_first_entry(&heap->pools,
						   struct chaos_pool, node);

	leave_deferred(test, heap);
	KUNIT_EXPECT_GT(test, heap->engine->pool_used(heap, pool), 0);
	KUNIT_EXPECT_TRUE(test, heap->engine->release_pool(heap, pool));
	KUNIT_EXPECT_TRUE(test, llist_empty(&lock->deferred));
	KUNIT_EXPECT_EQ(test, heap->engine->pool_used(heap, pool), 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), 0);
	chaos_test_destroy(test, heap);
}

/* Nor is it a reason to complain, if the whole heap goes before anybody has taken the lock. */
static void destroy_deferred(struct kunit *test)
{
	struct chaos_heap *heap = tlsf_heap(test);
	struct kmsg_dump_iter log;

	leave_deferred(test, heap);
	/* The rate limit may swallow the report. */
	heap->engine->quiesce(heap);
	KUNIT_EXPECT_TRUE(test, llist_empty(&tlsf_lock_of_heap(heap)->deferred));
	leave_deferred(test, heap);
	chaos_test_log_start(&log);
	chaos_test_destroy(test, heap);
	KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "bad pointer"), 0);
}

/* Without the API, which may refuse a pointer before the engine sees it. */
static int engine_free(struct chaos_heap *heap, void *p)
{
	int verdict;

	preempt_disable();
	verdict = heap->engine->free(heap, chaos_pool_of(p), p);
	preempt_enable();
	return verdict;
}

/*
 * What an NMI does that finds the lock held: the blocks wait, a second free is
 * recognised, and the next call of any kind does the work.
 */
static void deferred_frees(struct kunit *test)
{
	struct chaos_heap *heap = tlsf_heap(test);
	struct chaos_lock *lock = tlsf_lock_of_heap(heap);
	struct tlsf *t = tlsf_of_heap(heap);
	unsigned long flags;
	unsigned int call;
	size_t held;
	void *p[3];
	void *keep;
	int i;

	keep = chaos_heap_alloc(heap, 1000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, keep);
	held = atomic_long_read(&heap->held);
	for (call = 0; call < 5; call++) {
		bool first[3], second[3];

		for (i = 0; i < 3; i++) {
			p[i] = chaos_heap_zalloc(heap, 16 << i, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
		}
		raw_spin_lock_irqsave(&lock->raw, flags);
		for (i = 0; i < 3; i++) {
			first[i] = chaos_defer_free(lock, p[i]);
			second[i] = chaos_defer_free(lock, p[i]);
		}
		raw_spin_unlock_irqrestore(&lock->raw, flags);
		for (i = 0; i < 3; i++) {
			KUNIT_EXPECT_TRUE(test, first[i]);
			KUNIT_EXPECT_FALSE(test, second[i]);
		}
		KUNIT_EXPECT_EQ(test, live_blocks(t), 4);
		/* They are as good as free: this is a double free. */
		if (call == 0)
			KUNIT_EXPECT_EQ(test, engine_free(heap, p[1]),
					CHAOS_FREED);
		else if (call == 1)
			p[0] = chaos_heap_alloc(heap, 16, GFP_NOWAIT);
		else if (call == 2)
			KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
		else if (call == 3)
			chaos_heap_collect(heap, false);
		else
			keep = chaos_heap_realloc(heap, keep, 1000, GFP_NOWAIT);
		KUNIT_EXPECT_TRUE(test, llist_empty(&lock->deferred));
		if (call == 1) {
			KUNIT_EXPECT_EQ(test, live_blocks(t), 2);
			chaos_heap_free(heap, p[0]);
		}
		KUNIT_EXPECT_EQ(test, live_blocks(t), 1);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), held);
		KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), 0);
	}
	chaos_heap_free(heap, keep);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	chaos_test_destroy(test, heap);
}

/*
 * An NMI has left a block that its CPU was just freeing: lists of free blocks are where its
 * link was, which is not to be followed.
 */
static void deferred_twice(struct kunit *test)
{
	struct chaos_heap *heap = tlsf_heap(test);
	struct chaos_lock *lock = tlsf_lock_of_heap(heap);
	struct tlsf *t = tlsf_of_heap(heap);
	enum chaos_verdict verdict;
	bool deferred[2];
	unsigned long flags;
	void *p[4];
	int i;

	for (i = 0; i < 4; i++) {
		p[i] = chaos_heap_zalloc(heap, 16, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	raw_spin_lock_irqsave(&lock->raw, flags);
	deferred[0] = chaos_defer_free(lock, p[0]);
	deferred[1] = chaos_defer_free(lock, p[2]);
	verdict = tlsf_free(t, chaos_pool_of(p[2])->priv, p[2]);
	chaos_unhold(heap, TLSF_HEADER + TLSF_MIN_SIZE);
	raw_spin_unlock_irqrestore(&lock->raw, flags);
	KUNIT_EXPECT_TRUE(test, deferred[0] && deferred[1]);
	KUNIT_EXPECT_EQ(test, verdict, CHAOS_OK);

	chaos_heap_collect(heap, false);
	KUNIT_EXPECT_TRUE(test, llist_empty(&lock->deferred));
	KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), 1);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	/* What was behind it remains. */
	KUNIT_EXPECT_EQ(test, live_blocks(t), 3);
	chaos_test_destroy(test, heap);
}

/* Blocks promised an alignment keep it wherever a realloc moves them. */
static void realloc_aligned(struct kunit *test)
{
	struct chaos_heap *heap = tlsf_heap(test);
	unsigned int walls = 0;
	void *p, *old;
	size_t size;

	p = chaos_heap_alloc_aligned(heap, 100, 4096, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 0x77, 100);
	for (size = 200; size < 40000; size *= 3) {
		/* Fill up what is before it, until there is one behind. */
		while (tlsf_next(tlsf_block_of(p))->head & TLSF_FREE &&
		       walls++ < 1000)
			KUNIT_ASSERT_NOT_NULL(test,
					      chaos_heap_alloc(heap, 40, GFP_KERNEL));
		old = p;
		p = chaos_heap_realloc(heap, p, size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_PTR_NE(test, p, old);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, 4096));
		KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x77, 100));
	}
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, heap_bad_frees(heap), 0);
	chaos_test_destroy(test, heap);
}

static struct kunit_case chaos_tlsf_cases[] = {
	KUNIT_CASE(c_style_list),
	KUNIT_CASE(block_header_split),
	KUNIT_CASE(block_header_absorb),
	KUNIT_CASE(mapping_insert),
	KUNIT_CASE(mapping_same),
	KUNIT_CASE(init),
	{ .run_case = lab_malloc_case, .name = "malloc" },
	{ .run_case = lab_free_case, .name = "free" },
	KUNIT_CASE(front_of_large),
	KUNIT_CASE(multiple_alloc),
	KUNIT_CASE(torture),
	KUNIT_CASE(tlsf_allocator),
	KUNIT_CASE(interior_pointers),
	KUNIT_CASE(double_free),
	KUNIT_CASE(corrupted_free_list),
	KUNIT_CASE(overrun),
	KUNIT_CASE(corrupted_neighbour),
	KUNIT_CASE(corrupted_promise),
	KUNIT_CASE(huge_sizes),
	KUNIT_CASE(alignment_slivers),
	KUNIT_CASE(all_that_is_left),
	KUNIT_CASE(resize_in_place),
	KUNIT_CASE(exact_fit),
	KUNIT_CASE(adjacent_pools),
	KUNIT_CASE(release_pool),
	KUNIT_CASE(release_damaged),
	KUNIT_CASE(release_deferred),
	KUNIT_CASE(destroy_deferred),
	KUNIT_CASE(deferred_frees),
	KUNIT_CASE(deferred_twice),
	KUNIT_CASE(realloc_aligned),
	{}
};

static struct kunit_suite chaos_tlsf_suite = {
	.name = "chaos_tlsf",
	.test_cases = chaos_tlsf_cases,
};

kunit_test_suites(&chaos_tlsf_suite);
