// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_kmalloc: kmem_cache_*() on clients' heaps.
 *
 * A cache is what its objects have in common, no more: the heap has size classes of its
 * own.  It lies in the client's heap, and by that is told from the kernel's caches, of
 * which modules know some (names_cachep).  So the functions here take both.
 *
 * A constructor runs at each allocation instead of once for each slab.  What a client can
 * see is the same: an object is as the constructor, or as whoever freed it, left it.
 *
 * SLAB_TYPESAFE_BY_RCU promises that what is read in an RCU section stays an object of the
 * cache.  Here, it even stays the same one: it is freed after a grace period.  Until then
 * nothing of it may change, so the link is behind it.
 */
#include <linux/cache.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dropin.h"

/**
 * struct chaos_cache - a cache
 * @client: whose
 * @size: bytes of an object, without its tail
 * @align: of an object
 * @flags: as for kmem_cache_create()
 * @ctor: the constructor, or NULL
 */
struct chaos_cache {
	struct chaos_client *client;
	unsigned int size;
	unsigned int align;
	slab_flags_t flags;
	void (*ctor)(void *p);
};

/**
 * struct object_tail - behind an object that is freed after a grace period
 * @rcu: the callback
 * @object: it
 */
struct object_tail {
	struct rcu_head rcu;
	void *object;
};

/*
 * Caches that are the kernel's: of a zone; and of what its shrinkers have lists of (inodes),
 * because a list_lru looks at the struct page behind an object's address.
 */
#define CACHE_KERNEL	(SLAB_CACHE_DMA | SLAB_CACHE_DMA32 | SLAB_RECLAIM_ACCOUNT)

/* NULL: it is one of the kernel's. */
static struct chaos_cache *our_cache(struct kmem_cache *cache)
{
	return chaos_heap_of(cache) ? (struct chaos_cache *)cache : NULL;
}

static size_t tail_offset(const struct chaos_cache *cache)
{
	return ALIGN(cache->size, __alignof__(struct object_tail));
}

static size_t object_size(const struct chaos_cache *cache)
{
	if (!(cache->flags & SLAB_TYPESAFE_BY_RCU))
		return cache->size;
	return tail_offset(cache) + sizeof(struct object_tail);
}

/* As slab does it: a line for each object, but several small ones in one. */
static unsigned int object_align(unsigned int size, unsigned int align, slab_flags_t flags)
{
	unsigned int line = cache_line_size();

	if (flags & SLAB_HWCACHE_ALIGN) {
		while (size <= line / 2)
			line /= 2;
		align = max(align, line);
	}
	return max_t(unsigned int, align, ARCH_SLAB_MINALIGN);
}

/* Part of the function that the client calls, so that _RET_IP_ is in the client. */
static __always_inline struct kmem_cache *
cache_create(struct chaos_client *client, const char *name, unsigned int size,
	     unsigned int align, slab_flags_t flags, unsigned int offset, unsigned int len,
	     void (*ctor)(void *))
{
	struct chaos_cache *cache;

	if (flags & CACHE_KERNEL || !chaos_client_heap(client, GFP_KERNEL))
		return kmem_cache_create_usercopy(name, size, align, flags, offset, len, ctor);
	cache = chaos_client_kmalloc(client, sizeof(*cache), GFP_KERNEL, _RET_IP_);
	if (!cache) {
		if (flags & SLAB_PANIC)
			panic("chaos_kmalloc: no memory for the cache %s\n", name);
		return NULL;
	}
	cache->client = client;
	cache->size = size;
	cache->align = object_align(size, align, flags);
	cache->flags = flags;
	cache->ctor = ctor;
	return (struct kmem_cache *)cache;
}

/**
 * chaos_cache_create_usercopy() - kmem_cache_create_usercopy() on a client's heap
 * @client: whose
 * @name: for the kernel's; reports of ours know modules and callers
 * @size: bytes of an object
 * @align: of an object; 0: any
 * @flags: as for kmem_cache_create()
 * @offset: where in an object that begins what may be copied from and to users; checks
 *	know slabs only
 * @len: its bytes
 * @ctor: the constructor, or NULL
 *
 * A cache of a DMA zone, or with SLAB_RECLAIM_ACCOUNT, is the kernel's; and so is that of a
 * client who gets no heap.
 *
 * Context: task; may sleep.
 * Return: the cache, or NULL
 */
struct kmem_cache *chaos_cache_create_usercopy(struct chaos_client *client,
					       const char *name, unsigned int size,
					       unsigned int align, slab_flags_t flags,
					       unsigned int offset, unsigned int len,
					       void (*ctor)(void *))
{
	return cache_create(client, name, size, align, flags, offset, len, ctor);
}
EXPORT_SYMBOL_GPL(chaos_cache_create_usercopy);

/**
 * chaos_cache_create() - kmem_cache_create() on a client's heap
 * @client: whose
 * @name: see chaos_cache_create_usercopy(), as for all of these
 * @size: bytes of an object
 * @align: of an object; 0: any
 * @flags: as for kmem_cache_create()
 * @ctor: the constructor, or NULL
 *
 * Context: task; may sleep.
 * Return: the cache, or NULL
 */
struct kmem_cache *chaos_cache_create(struct chaos_client *client, const char *name,
				      unsigned int size, unsigned int align,
				      slab_flags_t flags, void (*ctor)(void *))
{
	return cache_create(client, name, size, align, flags, 0, 0, ctor);
}
EXPORT_SYMBOL_GPL(chaos_cache_create);

/**
 * chaos_cache_destroy() - kmem_cache_destroy() for caches of whomever
 * @cache: no object of which is in use any longer; NULL is ignored
 *
 * Context: task; may sleep.
 */
void chaos_cache_destroy(struct kmem_cache *cache)
{
	struct chaos_cache *ours = our_cache(cache);

	if (!ours) {
		kmem_cache_destroy(cache);
		return;
	}
	/* Until then there are objects. */
	if (ours->flags & SLAB_TYPESAFE_BY_RCU)
		rcu_barrier();
	chaos_client_free(ours, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_cache_destroy);

static void *construct(const struct chaos_cache *cache, void *p)
{
	if (p && cache->ctor)
		cache->ctor(p);
	return p;
}

static void *object_alloc(const struct chaos_cache *cache, gfp_t gfp, unsigned long caller)
{
	return construct(cache, chaos_client_alloc(cache->client, object_size(cache),
						   cache->align, gfp, caller));
}

/**
 * chaos_cache_alloc() - kmem_cache_alloc() for caches of whomever
 * @cache: the cache
 * @gfp: as for kmem_cache_alloc()
 *
 * Context: a heap's: any; else as kmem_cache_alloc().
 * Return: an object, or NULL
 */
void *chaos_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	struct chaos_cache *ours = our_cache(cache);

	if (!ours)
		return kmem_cache_alloc(cache, gfp);
	return object_alloc(ours, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_cache_alloc);

/**
 * chaos_cache_alloc_lru() - kmem_cache_alloc_lru() for caches of whomever
 * @cache: the cache
 * @lru: what the object is going to be in
 * @gfp: as for kmem_cache_alloc()
 *
 * The object is the kernel's, see CACHE_KERNEL.  It is no memory cgroup's, as little as the
 * others: the list has no place for those of a cgroup unless kmem_cache_alloc_lru() itself
 * has made it.
 *
 * Context: as kmem_cache_alloc().
 * Return: an object, or NULL
 */
void *chaos_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, gfp_t gfp)
{
	struct chaos_cache *ours = our_cache(cache);

	if (!ours)
		return kmem_cache_alloc_lru(cache, lru, gfp);
	return construct(ours, chaos_kernel_alloc(object_size(ours), ours->align,
						  gfp & ~__GFP_ACCOUNT));
}
EXPORT_SYMBOL_GPL(chaos_cache_alloc_lru);

/**
 * chaos_cache_alloc_node() - kmem_cache_alloc_node() for caches of whomever
 * @cache: the cache
 * @gfp: as for kmem_cache_alloc()
 * @node: the node, if the cache is the kernel's
 *
 * Context: see chaos_cache_alloc()
 * Return: an object, or NULL
 */
void *chaos_cache_alloc_node(struct kmem_cache *cache, gfp_t gfp, int node)
{
	struct chaos_cache *ours = our_cache(cache);

	if (!ours)
		return kmem_cache_alloc_node(cache, gfp, node);
	return object_alloc(ours, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_cache_alloc_node);

/* Also for what the kernel has given in place of a heap that was full. */
static void object_free_rcu(struct rcu_head *rcu)
{
	chaos_kfree(container_of(rcu, struct object_tail, rcu)->object);
}

static void object_free(const struct chaos_cache *cache, void *p, unsigned long caller)
{
	struct object_tail *tail;

	if (p && cache->flags & SLAB_TYPESAFE_BY_RCU) {
		tail = p + tail_offset(cache);
		tail->object = p;
		call_rcu(&tail->rcu, object_free_rcu);
	} else {
		chaos_client_free(p, caller);
	}
}

/**
 * chaos_cache_free() - kmem_cache_free() for caches of whomever
 * @cache: the cache
 * @p: an object of it, or NULL
 *
 * Context: a heap's: any, but not NMI if it is freed after a grace period; else as
 * kmem_cache_free().
 */
void chaos_cache_free(struct kmem_cache *cache, void *p)
{
	struct chaos_cache *ours = our_cache(cache);

	if (ours)
		object_free(ours, p, _RET_IP_);
	else
		kmem_cache_free(cache, p);
}
EXPORT_SYMBOL_GPL(chaos_cache_free);

/**
 * chaos_cache_alloc_bulk() - kmem_cache_alloc_bulk() for caches of whomever
 * @cache: the cache
 * @gfp: as for kmem_cache_alloc()
 * @n: how many
 * @p: where to put them
 *
 * Context: see chaos_cache_alloc()
 * Return: @n; 0 if there are not as many
 */
int chaos_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n, void **p)
{
	struct chaos_cache *ours = our_cache(cache);
	size_t i;

	/* Which says how many, or whether. */
	if (!ours)
		return kmem_cache_alloc_bulk(cache, gfp, n, p) ? n : 0;
	for (i = 0; i < n; i++) {
		p[i] = object_alloc(ours, gfp, _RET_IP_);
		if (!p[i]) {
			chaos_cache_free_bulk(cache, i, p);
			return 0;
		}
	}
	return n;
}
EXPORT_SYMBOL_GPL(chaos_cache_alloc_bulk);

/**
 * chaos_cache_free_bulk() - kmem_cache_free_bulk() for caches of whomever
 * @cache: the cache; NULL: they are blocks
 * @n: how many
 * @p: the objects
 *
 * Context: see chaos_cache_free()
 */
void chaos_cache_free_bulk(struct kmem_cache *cache, size_t n, void **p)
{
	struct chaos_cache *ours = our_cache(cache);

	if (cache && !ours) {
		kmem_cache_free_bulk(cache, n, p);
		return;
	}
	while (n--) {
		if (ours)
			object_free(ours, p[n], _RET_IP_);
		else
			chaos_client_free(p[n], _RET_IP_);
	}
}
EXPORT_SYMBOL_GPL(chaos_cache_free_bulk);

/**
 * chaos_cache_shrink() - kmem_cache_shrink() for caches of whomever
 * @cache: the cache; if it is ours, all of its client's heap is tidied up
 *
 * Context: task; may sleep.
 * Return: 0 if nothing is left that the cache does not need, else 1
 */
int chaos_cache_shrink(struct kmem_cache *cache)
{
	struct chaos_heap *heap = chaos_heap_of(cache);

	if (!heap)
		return kmem_cache_shrink(cache);
	chaos_heap_collect(heap, true);
	return 0;
}
EXPORT_SYMBOL_GPL(chaos_cache_shrink);

/**
 * chaos_cache_size() - kmem_cache_size() for caches of whomever
 * @cache: the cache
 *
 * Context: any.
 * Return: bytes of an object
 */
unsigned int chaos_cache_size(struct kmem_cache *cache)
{
	struct chaos_cache *ours = our_cache(cache);

	return ours ? ours->size : kmem_cache_size(cache);
}
EXPORT_SYMBOL_GPL(chaos_cache_size);

/**
 * chaos_mempool_alloc() - a mempool_alloc_t, mempool_alloc_slab() for caches of whomever
 * @gfp: as for kmem_cache_alloc()
 * @cache: the cache
 *
 * Context: see chaos_cache_alloc()
 * Return: an object, or NULL
 */
void *chaos_mempool_alloc(gfp_t gfp, void *cache)
{
	return chaos_cache_alloc(cache, gfp);
}
EXPORT_SYMBOL_GPL(chaos_mempool_alloc);

/**
 * chaos_mempool_free() - a mempool_free_t, mempool_free_slab() for caches of whomever
 * @p: an object
 * @cache: the cache
 *
 * Context: see chaos_cache_free()
 */
void chaos_mempool_free(void *p, void *cache)
{
	chaos_cache_free(cache, p);
}
EXPORT_SYMBOL_GPL(chaos_mempool_free);
