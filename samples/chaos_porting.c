// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_porting: the code of Documentation/porting.rst: small clients of kmalloc(), of
 * gen_pool and of mempools, each beside its port to a heap.  Both do the same work, and
 * insmod fails if they come to different results.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/genalloc.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/jhash.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "claim.h"

static char *engine;
module_param(engine, charp, 0444);
MODULE_PARM_DESC(engine, "engine of the heaps (default: that of the default heap)");

/* ---------------------------------- kmalloc -------------------------------- */

/* begin kmalloc-before */
struct route_before {
	size_t room;
	char *text;
};

static struct route_before *route_before_new(void)
{
	return kzalloc(sizeof(struct route_before), GFP_KERNEL);
}

static int route_before_add(struct route_before *route, const char *name)
{
	size_t used = route->text ? strlen(route->text) : 0;
	size_t need = used + strlen(name) + 2;
	char *text;

	if (need > route->room) {
		text = krealloc(route->text, need, GFP_KERNEL);
		if (!text)
			return -ENOMEM;
		route->text = text;
		route->room = need;	/* not ksize(): that is no permission any more */
	}
	snprintf(route->text + used, need, "/%s", name);
	return 0;
}

static void route_before_put(struct route_before *route)
{
	kfree(route->text);
	kfree(route);
}

/* end kmalloc-before */

static struct chaos_heap *route_heap;

/* begin kmalloc-after */
struct route {
	size_t room;
	char *text;
};

static struct route *route_new(void)
{
	return chaos_heap_zalloc(route_heap, sizeof(struct route), GFP_KERNEL);
}

static int route_add(struct route *route, const char *name)
{
	size_t used = route->text ? strlen(route->text) : 0;
	size_t need = used + strlen(name) + 2;
	char *text;

	if (need > route->room) {
		text = chaos_heap_realloc(route_heap, route->text, need, GFP_KERNEL);
		if (!text)
			return -ENOMEM;
		route->text = text;
		route->room = chaos_heap_usable_size(route_heap, text);
	}
	snprintf(route->text + used, need, "/%s", name);
	return 0;
}

static void route_put(struct route *route)
{
	chaos_heap_free(route_heap, route->text);
	chaos_heap_free(route_heap, route);
}

/* end kmalloc-after */

static int port_kmalloc(void)
{
	static const char * const names[] = { "sys", "kernel", "debug", "chaos_alloc", "default" };
	struct route_before *before = route_before_new();
	struct route *after = route_new();
	unsigned int i, turn;
	int err = 0;

	if (!before || !after)
		err = -ENOMEM;
	for (turn = 0; !err && turn < 20; turn++)
		for (i = 0; !err && i < ARRAY_SIZE(names); i++)
			err = route_before_add(before, names[i]) ?: route_add(after, names[i]);
	if (!err) {
		claim(strlen(after->text) == 20 * 37);
		claim(!strcmp(before->text, after->text));
	}
	if (after)
		route_put(after);
	if (before)
		route_before_put(before);
	return err;
}

/* --------------------------------- gen_pool -------------------------------- */

#define REGION_SIZE	SZ_256K
#define REGION_ORDER	6

/**
 * struct region - memory of one's own, and who deals it out
 * @mem: the memory
 * @phys: its physical address
 * @gen: before
 * @heap: after
 */
struct region {
	void *mem;
	phys_addr_t phys;
	struct gen_pool *gen;
	struct chaos_heap *heap;
};

#ifdef CONFIG_GENERIC_ALLOCATOR
/* begin genpool-before */
static int region_before_open(struct region *r)
{
	r->gen = gen_pool_create(REGION_ORDER, NUMA_NO_NODE);
	if (!r->gen)
		return -ENOMEM;
	return gen_pool_add_virt(r->gen, (unsigned long)r->mem, r->phys, REGION_SIZE,
				 NUMA_NO_NODE);
}

static void *region_before_get(struct region *r, size_t size)
{
	return (void *)gen_pool_alloc(r->gen, size);
}

static void region_before_put(struct region *r, void *p, size_t size)
{
	gen_pool_free(r->gen, (unsigned long)p, size);
}

static phys_addr_t region_before_phys(struct region *r, void *p)
{
	return gen_pool_virt_to_phys(r->gen, (unsigned long)p);
}

static void region_before_close(struct region *r)
{
	gen_pool_destroy(r->gen);	/* BUG() if something is still allocated */
}

/* end genpool-before */
#endif

/* begin genpool-after */
static int region_open(struct region *r)
{
	const struct chaos_heap_params params = {
		.name = "region",
		.allocator = engine,
		.node = NUMA_NO_NODE,
		.mem = r->mem,
		.mem_size = REGION_SIZE,
	};

	r->heap = chaos_heap_create(&params);
	return PTR_ERR_OR_ZERO(r->heap);
}

static void *region_get(struct region *r, size_t size)
{
	return chaos_heap_alloc_aligned(r->heap, size, BIT(REGION_ORDER),
					GFP_NOWAIT | __GFP_NOWARN);
}

static void region_put(struct region *r, void *p, size_t size)
{
	chaos_heap_free(r->heap, p);
}

static phys_addr_t region_phys(struct region *r, void *p)
{
	return r->phys + (p - r->mem);
}

static void region_close(struct region *r)
{
	chaos_heap_destroy(r->heap);
}

/* end genpool-after */

struct region_ops {
	int (*open)(struct region *r);
	void *(*get)(struct region *r, size_t size);
	void (*put)(struct region *r, void *p, size_t size);
	phys_addr_t (*phys)(struct region *r, void *p);
	void (*close)(struct region *r);
};

#define PACKETS		64

struct packet {
	u8 *data;
	size_t size;
	u8 fill;
};

static void packet_put(struct region *r, const struct region_ops *ops, struct packet *packet,
		       u32 *hash)
{
	if (!packet->data)
		return;
	claim(!memchr_inv(packet->data, packet->fill, packet->size));
	*hash = jhash(packet->data, packet->size, *hash);
	ops->put(r, packet->data, packet->size);
	packet->data = NULL;
}

static void packet_get(struct region *r, const struct region_ops *ops, struct packet *packet)
{
	packet->data = ops->get(r, packet->size);
	claim(packet->data);
	if (!packet->data)
		return;
	claim(IS_ALIGNED((unsigned long)packet->data, BIT(REGION_ORDER)));
	claim((void *)packet->data >= r->mem &&
	      (void *)packet->data + packet->size <= r->mem + REGION_SIZE);
	claim(ops->phys(r, packet->data) == virt_to_phys(packet->data));
	memset(packet->data, packet->fill, packet->size);
}

/* What the packets had in them, all in all */
static int region_work(struct region *r, const struct region_ops *ops, u32 *hash)
{
	static struct packet packets[PACKETS];
	struct rnd_state rnd;
	unsigned int i;
	int err = ops->open(r);

	if (err)
		return err;
	*hash = 0;
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < 2000; i++) {
		struct packet *packet = &packets[prandom_u32_state(&rnd) % PACKETS];

		packet_put(r, ops, packet, hash);
		packet->size = 1 + prandom_u32_state(&rnd) % 1500;
		packet->fill = i;
		packet_get(r, ops, packet);
	}
	for (i = 0; i < PACKETS; i++)
		packet_put(r, ops, &packets[i], hash);
	ops->close(r);
	return 0;
}

static int port_region(struct region *r)
{
	static const struct region_ops after = {
		region_open, region_get, region_put, region_phys, region_close,
	};
	u32 hash_after = 0;
	int err = region_work(r, &after, &hash_after);
#ifdef CONFIG_GENERIC_ALLOCATOR
	static const struct region_ops before = {
		region_before_open, region_before_get, region_before_put,
		region_before_phys, region_before_close,
	};
	u32 hash_before = 0;

	err = err ?: region_work(r, &before, &hash_before);
	claim(hash_before == hash_after);
#endif
	claim(hash_after);
	return err;
}

static int port_gen_pool(void)
{
	unsigned int order = get_order(REGION_SIZE);
	struct region r = { .mem = (void *)__get_free_pages(GFP_KERNEL, order) };
	int err;

	if (!r.mem)
		return -ENOMEM;
	r.phys = virt_to_phys(r.mem);
	err = port_region(&r);
	free_pages((unsigned long)r.mem, order);
	return err;
}

/* ----------------------------------- EVL ----------------------------------- */

/* begin evl-after */
static int port_evl(void)
{
	const struct chaos_heap_params params = {
		.name = "evl-heap",
		.allocator = "evl",
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);	/* evl_init_heap() */
	void *p, *q;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = chaos_heap_alloc(heap, 60, GFP_ATOMIC);		/* evl_alloc_chunk() */
	q = chaos_heap_zalloc(heap, 600, GFP_ATOMIC);		/* evl_zalloc_chunk() */
	if (p && q) {
		claim(chaos_heap_usable_size(heap, p) >= 60);	/* evl_check_chunk() */
		claim(!memchr_inv(q, 0, 600));
	}
	chaos_heap_free(heap, q);				/* evl_free_chunk() */
	chaos_heap_free(heap, p);
	chaos_heap_destroy(heap);				/* evl_destroy_heap() */
	return p && q ? 0 : -ENOMEM;
}

/* end evl-after */

/* ---------------------------------- mempool -------------------------------- */

#define ELEMENTS	16
#define ELEMENT_SIZE	512

/* begin mempool-before */
static mempool_t *elements_before(void)
{
	return mempool_create_kmalloc_pool(ELEMENTS, ELEMENT_SIZE);
}

/* end mempool-before */

/* begin mempool-on-heap */
static void *element_alloc(gfp_t gfp, void *heap)
{
	return chaos_heap_alloc(heap, ELEMENT_SIZE, gfp);
}

static void element_free(void *element, void *heap)
{
	chaos_heap_free(heap, element);
}

static mempool_t *elements_on_heap(struct chaos_heap *heap)
{
	return mempool_create(ELEMENTS, element_alloc, element_free, heap);
}

/* end mempool-on-heap */

/* begin mempool-reserve */
static struct chaos_heap *elements_reserve(void)
{
	const struct chaos_heap_params params = {
		.name = "elements",
		.allocator = engine,
		.pool_size = SZ_256K,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	void *p[ELEMENTS];

	if (IS_ERR(heap))
		return heap;
	/* Is it enough?  Better to know now. */
	if (!chaos_heap_alloc_bulk(heap, ELEMENT_SIZE, GFP_NOWAIT, ELEMENTS, p)) {
		chaos_heap_destroy(heap);
		return ERR_PTR(-ENOMEM);
	}
	chaos_heap_free_bulk(heap, ELEMENTS, p);
	return heap;
}

/* end mempool-reserve */

/* All that a pool gives without a wait; they are linked by their first word. */
static unsigned int pool_drain(mempool_t *pool, void **first, unsigned int most)
{
	unsigned int n = 0;
	void **p;

	for (*first = NULL; n < most; n++) {
		p = mempool_alloc(pool, GFP_NOWAIT);
		if (!p)
			break;
		*p = *first;
		*first = p;
	}
	return n;
}

static void pool_refill(mempool_t *pool, void *first)
{
	while (first) {
		void *next = *(void **)first;

		mempool_free(first, pool);
		first = next;
	}
}

/* Everything that the heap has for others; and, since that may sleep, what other CPUs keep */
static void *heap_fill(struct chaos_heap *heap)
{
	void *first = NULL, **p;

	while ((p = chaos_heap_alloc(heap, ELEMENT_SIZE, GFP_KERNEL | __GFP_NOWARN))) {
		*p = first;
		first = p;
	}
	return first;
}

static void heap_empty(struct chaos_heap *heap, void *first)
{
	while (first) {
		void *next = *(void **)first;

		chaos_heap_free(heap, first);
		first = next;
	}
}

/* Before: with memory to be had, the reserve is not touched. */
static int port_mempool_before(void)
{
	mempool_t *pool = elements_before();
	void *first;

	if (!pool)
		return -ENOMEM;
	claim(pool_drain(pool, &first, 2 * ELEMENTS) >= ELEMENTS);
	pool_refill(pool, first);
	mempool_destroy(pool);
	return 0;
}

static int port_mempool_on(struct chaos_heap *heap)
{
	mempool_t *pool = elements_on_heap(heap);
	void *others, *first;

	if (!pool)
		return -ENOMEM;
	/* The heap is full, and the pool has its elements. */
	others = heap_fill(heap);
	claim(pool_drain(pool, &first, 2 * ELEMENTS) == ELEMENTS);
	pool_refill(pool, first);
	heap_empty(heap, others);
	mempool_destroy(pool);
	return 0;
}

static int port_mempool(void)
{
	struct chaos_heap_stats stats;
	struct chaos_heap *heap;
	void *others;
	int err = port_mempool_before();

	if (err)
		return err;
	heap = elements_reserve();
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = port_mempool_on(heap);

	/* Without a mempool, who has filled the heap has the reserve, too. */
	others = heap_fill(heap);
	claim(!chaos_heap_alloc(heap, ELEMENT_SIZE, GFP_KERNEL | __GFP_NOWARN));
	heap_empty(heap, others);
	chaos_heap_stats(heap, &stats);
	claim(stats.live_blocks == 0);
	chaos_heap_destroy(heap);
	return err;
}

/* ----------------------------------- module -------------------------------- */

static int __init porting_run(void)
{
	struct chaos_heap_stats stats;
	int err;

	err = port_kmalloc() ?: port_gen_pool() ?: port_evl() ?: port_mempool();
	if (err)
		return err;
	chaos_heap_stats(route_heap, &stats);
	claim(stats.live_blocks == 0);
	pr_info("%s: %u statements, %u of them not so\n", stats.allocator, claims, claims_wrong);
	return claims_wrong ? -EBADE : 0;
}

static int __init porting_init(void)
{
	const struct chaos_heap_params params = {
		.name = "route",
		.allocator = engine,
		.pool_size = SZ_256K,
		.max_size = SZ_1M,
		.node = NUMA_NO_NODE,
	};
	int err;

	route_heap = chaos_heap_create(&params);
	if (IS_ERR(route_heap))
		return PTR_ERR(route_heap);
	err = porting_run();
	if (err)
		chaos_heap_destroy(route_heap);
	return err;
}

static void __exit porting_exit(void)
{
	chaos_heap_destroy(route_heap);
}

module_init(porting_init);
module_exit(porting_exit);

MODULE_DESCRIPTION("Clients of the kernel's allocators, and their ports to chaos_alloc");
MODULE_LICENSE("GPL");
