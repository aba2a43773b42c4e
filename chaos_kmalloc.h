/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chaos_kmalloc: the kmalloc family of a module on a heap of its own.
 *
 * Include it after <linux/slab.h>, in each file of the module, or build the module with
 *
 *	ccflags-y += -include, and the path of it
 *
 * and no line of it has to change.  The module gets a heap with its name at its first
 * request with GFP_KERNEL, which goes when the module does.  What the kernel's allocators
 * have given is recognised when it is freed here, and goes back to them, and so is what
 * another module's heap has given.  What the kernel itself frees of this module's blocks, is
 * recognised by chaos_kmalloc.ko, which looks at the kernel's kfree() for that.
 *
 * See Documentation/dropin.rst for what is replaced, and for what cannot be: memory for
 * DMA, above all, since heaps are in vmalloc'd memory.
 */
#ifndef _CHAOS_KMALLOC_H
#define _CHAOS_KMALLOC_H

#include <linux/err.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
/* Before 6.6, kernel.h had it. */
#ifndef COUNT_ARGS
#include <linux/args.h>
#endif

struct chaos_heap;

/**
 * struct chaos_client - a module whose kmalloc family is on a heap
 * @heap: NULL before the first request with GFP_KERNEL; set once
 * @owner: the module
 * @node: in the list of all clients that have a heap
 * @pause: in jiffies, until when no heap is made because the last try has failed; or 0
 *
 * All of it is chaos_kmalloc.ko's.
 */
struct chaos_client {
	struct chaos_heap *heap;
	struct module *owner;
	struct list_head node;
	unsigned long pause;
};

#ifndef CHAOS_KMALLOC_CLIENT
#ifndef MODULE
#error "this is for modules: what is built into the kernel never goes, nor would its heap"
#endif
/* One for the module, however many files of it include this. */
extern struct chaos_client chaos_this_client __attribute__((__visibility__("hidden")));
struct chaos_client chaos_this_client __weak = { .owner = THIS_MODULE };
#define CHAOS_KMALLOC_CLIENT	(&chaos_this_client)
#endif

void chaos_kfree(const void *p);
void chaos_kfree_sensitive(const void *p);
void chaos_kfree_nolock(const void *p);
void chaos_kvfree(const void *p);
void chaos_kvfree_atomic(const void *p);
void chaos_kvfree_sensitive(const void *p, size_t size);
void chaos_kfree_const(const void *p);
void chaos_kfree_bulk(size_t n, void **p);
void chaos_kfree_rcu(struct rcu_head *head, void *p);
void chaos_kvfree_rcu_barrier(void);
size_t chaos_ksize(const void *p);

void *chaos_kmalloc(struct chaos_client *client, size_t size, gfp_t gfp)
	__malloc __alloc_size(2);
void *chaos_kmalloc_array(struct chaos_client *client, size_t n, size_t size, gfp_t gfp)
	__malloc __alloc_size(2, 3);
void *chaos_krealloc(struct chaos_client *client, const void *p, size_t size, gfp_t gfp)
	__must_check __realloc_size(3);
void *chaos_krealloc_array(struct chaos_client *client, void *p, size_t n, size_t size,
			   gfp_t gfp) __must_check __realloc_size(3, 4);
void *chaos_kvmalloc(struct chaos_client *client, size_t size, gfp_t gfp)
	__malloc __alloc_size(2);
void *chaos_kvmalloc_array(struct chaos_client *client, size_t n, size_t size, gfp_t gfp)
	__malloc __alloc_size(2, 3);
void *chaos_kvrealloc(struct chaos_client *client, const void *p, size_t old_size,
		      size_t size, gfp_t gfp) __must_check __realloc_size(4);

char *chaos_kstrdup(struct chaos_client *client, const char *s, gfp_t gfp) __malloc;
char *chaos_kstrndup(struct chaos_client *client, const char *s, size_t max, gfp_t gfp)
	__malloc;
void *chaos_kmemdup(struct chaos_client *client, const void *src, size_t len, gfp_t gfp)
	__realloc_size(3);
void *chaos_kvmemdup(struct chaos_client *client, const void *src, size_t len, gfp_t gfp)
	__realloc_size(3);
char *chaos_kmemdup_nul(struct chaos_client *client, const char *s, size_t len, gfp_t gfp);
__printf(3, 4) __malloc
char *chaos_kasprintf(struct chaos_client *client, gfp_t gfp, const char *fmt, ...);
__printf(3, 0) __malloc
char *chaos_kvasprintf(struct chaos_client *client, gfp_t gfp, const char *fmt, va_list args);

struct kmem_cache *chaos_cache_create(struct chaos_client *client, const char *name,
				      unsigned int size, unsigned int align,
				      slab_flags_t flags, void (*ctor)(void *));
struct kmem_cache *chaos_cache_create_usercopy(struct chaos_client *client,
					       const char *name, unsigned int size,
					       unsigned int align, slab_flags_t flags,
					       unsigned int offset, unsigned int len,
					       void (*ctor)(void *));
void chaos_cache_destroy(struct kmem_cache *cache);
void *chaos_cache_alloc(struct kmem_cache *cache, gfp_t gfp) __malloc;
void *chaos_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, gfp_t gfp)
	__malloc;
void *chaos_cache_alloc_node(struct kmem_cache *cache, gfp_t gfp, int node) __malloc;
int chaos_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n, void **p);
void chaos_cache_free(struct kmem_cache *cache, void *p);
void chaos_cache_free_bulk(struct kmem_cache *cache, size_t n, void **p);
int chaos_cache_shrink(struct kmem_cache *cache);
unsigned int chaos_cache_size(struct kmem_cache *cache);
void *chaos_mempool_alloc(gfp_t gfp, void *cache);
void chaos_mempool_free(void *p, void *cache);

/* void *p __free(kfree) = kmalloc(...), see <linux/cleanup.h> */
DEFINE_FREE(chaos_kfree, void *, if (!IS_ERR_OR_NULL(_T)) chaos_kfree(_T))
DEFINE_FREE(chaos_kvfree, void *, if (!IS_ERR_OR_NULL(_T)) chaos_kvfree(_T))
DEFINE_FREE(chaos_kvfree_atomic, void *, if (!IS_ERR_OR_NULL(_T)) chaos_kvfree_atomic(_T))
DEFINE_FREE(chaos_kfree_sensitive, void *, if (!IS_ERR_OR_NULL(_T)) chaos_kfree_sensitive(_T))

/* For who needs the kernel's own names as well. */
#ifndef CHAOS_KMALLOC_DECLARE_ONLY

#define __free_kfree		__free_chaos_kfree
#define __free_kvfree		__free_chaos_kvfree
#define __free_kvfree_atomic	__free_chaos_kvfree_atomic
#define __free_kfree_sensitive	__free_chaos_kfree_sensitive

/*
 * A name that the kernel does not have may be one of the module's own functions, and is left
 * alone.  Of names that are no macros, it is told by one that came with them or later: what
 * allocates may then stay the kernel's; or earlier: what frees must not.
 */

/* -- Freed: without arguments, since functions to free with are passed around -- */

#undef kfree
#define kfree			chaos_kfree
#undef kfree_sensitive
#define kfree_sensitive		chaos_kfree_sensitive
#undef kvfree
#define kvfree			chaos_kvfree
#ifdef kmalloc_nolock
#undef kfree_nolock
#define kfree_nolock		chaos_kfree_nolock
#undef kvfree_atomic
#define kvfree_atomic		chaos_kvfree_atomic
#endif
#undef kvfree_sensitive
#define kvfree_sensitive	chaos_kvfree_sensitive
#undef kfree_const
#define kfree_const		chaos_kfree_const
#undef kfree_bulk
#define kfree_bulk		chaos_kfree_bulk
#undef ksize
#define ksize			chaos_ksize

#define __chaos_kfree_rcu1(p)	chaos_kfree_rcu(NULL, (void *)(p))
#define __chaos_kfree_rcu2(p, rhf)						\
do {										\
	typeof(p) __chaos_p = (p);						\
										\
	if (__chaos_p)								\
		chaos_kfree_rcu(&__chaos_p->rhf, (void *)__chaos_p);		\
} while (0)

#undef kvfree_rcu
#define kvfree_rcu(...)								\
	CONCATENATE(__chaos_kfree_rcu, COUNT_ARGS(__VA_ARGS__))(__VA_ARGS__)
#undef kfree_rcu
#define kfree_rcu(...)		kvfree_rcu(__VA_ARGS__)
#undef kfree_rcu_mightsleep
#define kfree_rcu_mightsleep(p)	__chaos_kfree_rcu1(p)
#undef kvfree_rcu_mightsleep
#define kvfree_rcu_mightsleep(p) __chaos_kfree_rcu1(p)
#ifdef kmem_cache_create
#undef kvfree_rcu_barrier
#define kvfree_rcu_barrier	chaos_kvfree_rcu_barrier
#endif
#ifdef kmalloc_nolock
#undef kvfree_rcu_barrier_on_cache
#define kvfree_rcu_barrier_on_cache(cache)					\
	((void)(cache), chaos_kvfree_rcu_barrier())
#endif

/* -- Allocated: a node is a wish, and the heap has its own -- */

#undef kmalloc
#define kmalloc(size, gfp)	chaos_kmalloc(CHAOS_KMALLOC_CLIENT, size, gfp)
#undef kzalloc
#define kzalloc(size, gfp)	kmalloc(size, (gfp) | __GFP_ZERO)
#undef kmalloc_node
#define kmalloc_node(size, gfp, node)						\
	((void)(node), kmalloc(size, gfp))
#undef kzalloc_node
#define kzalloc_node(size, gfp, node)						\
	((void)(node), kzalloc(size, gfp))
#undef kmalloc_track_caller
#define kmalloc_track_caller(size, gfp)	kmalloc(size, gfp)
#undef kmalloc_node_track_caller
#define kmalloc_node_track_caller(size, gfp, node)				\
	kmalloc_node(size, gfp, node)
#undef kmalloc_array
#define kmalloc_array(n, size, gfp)						\
	chaos_kmalloc_array(CHAOS_KMALLOC_CLIENT, n, size, gfp)
#undef kcalloc
#define kcalloc(n, size, gfp)	kmalloc_array(n, size, (gfp) | __GFP_ZERO)
#undef kmalloc_array_node
#define kmalloc_array_node(n, size, gfp, node)					\
	((void)(node), kmalloc_array(n, size, gfp))
#undef kcalloc_node
#define kcalloc_node(n, size, gfp, node)					\
	((void)(node), kcalloc(n, size, gfp))
#undef krealloc
#define krealloc(p, size, gfp)							\
	chaos_krealloc(CHAOS_KMALLOC_CLIENT, p, size, gfp)
#undef krealloc_array
#define krealloc_array(p, n, size, gfp)						\
	chaos_krealloc_array(CHAOS_KMALLOC_CLIENT, p, n, size, gfp)

/* The alignment that may be asked for is what there is anyway. */
#ifdef krealloc_node_align
#undef krealloc_node
#define krealloc_node(p, size, gfp, node)					\
	((void)(node), krealloc(p, size, gfp))
#undef krealloc_node_align
#define krealloc_node_align(p, size, align, gfp, node)				\
	((void)(align), krealloc_node(p, size, gfp, node))
#endif

#undef kvmalloc
#define kvmalloc(size, gfp)	chaos_kvmalloc(CHAOS_KMALLOC_CLIENT, size, gfp)
#undef kvzalloc
#define kvzalloc(size, gfp)	kvmalloc(size, (gfp) | __GFP_ZERO)
#undef kvmalloc_node
#define kvmalloc_node(size, gfp, node)						\
	((void)(node), kvmalloc(size, gfp))
#undef kvzalloc_node
#define kvzalloc_node(size, gfp, node)						\
	((void)(node), kvzalloc(size, gfp))
#ifdef kvmalloc_node_align
#undef kvmalloc_node_align
#define kvmalloc_node_align(size, align, gfp, node)				\
	((void)(align), kvmalloc_node(size, gfp, node))
#endif
#undef kvmalloc_array
#define kvmalloc_array(n, size, gfp)						\
	chaos_kvmalloc_array(CHAOS_KMALLOC_CLIENT, n, size, gfp)
#undef kvcalloc
#define kvcalloc(n, size, gfp)	kvmalloc_array(n, size, (gfp) | __GFP_ZERO)
#ifdef kvmalloc_array_node
#undef kvmalloc_array_node
#define kvmalloc_array_node(n, size, gfp, node)					\
	((void)(node), kvmalloc_array(n, size, gfp))
#endif
#ifdef kvcalloc_node
#undef kvcalloc_node
#define kvcalloc_node(n, size, gfp, node)					\
	((void)(node), kvcalloc(n, size, gfp))
#endif

/* It has lost an argument: the old size, which a heap knows. */
#define __chaos_kvrealloc3(p, size, gfp)					\
	chaos_kvrealloc(CHAOS_KMALLOC_CLIENT, p, 0, size, gfp)
#define __chaos_kvrealloc4(p, old_size, size, gfp)				\
	chaos_kvrealloc(CHAOS_KMALLOC_CLIENT, p, old_size, size, gfp)
#undef kvrealloc
#define kvrealloc(...)								\
	CONCATENATE(__chaos_kvrealloc, COUNT_ARGS(__VA_ARGS__))(__VA_ARGS__)
#ifdef kvrealloc_node_align
#undef kvrealloc_node
#define kvrealloc_node(p, size, gfp, node)					\
	((void)(node), kvrealloc(p, size, gfp))
#undef kvrealloc_node_align
#define kvrealloc_node_align(p, size, align, gfp, node)				\
	((void)(align), kvrealloc_node(p, size, gfp, node))
#endif

/* -- Copied -- */

#undef kstrdup
#define kstrdup(s, gfp)		chaos_kstrdup(CHAOS_KMALLOC_CLIENT, s, gfp)
#undef kstrndup
#define kstrndup(s, max, gfp)	chaos_kstrndup(CHAOS_KMALLOC_CLIENT, s, max, gfp)
#undef kmemdup
#define kmemdup(src, len, gfp)	chaos_kmemdup(CHAOS_KMALLOC_CLIENT, src, len, gfp)
#ifdef alloc_hooks
#undef kmemdup_array
#define kmemdup_array(src, n, size, gfp)	kmemdup(src, size_mul(n, size), gfp)
#undef kvmemdup
#define kvmemdup(src, len, gfp)	chaos_kvmemdup(CHAOS_KMALLOC_CLIENT, src, len, gfp)
#endif
#undef kmemdup_nul
#define kmemdup_nul(s, len, gfp)						\
	chaos_kmemdup_nul(CHAOS_KMALLOC_CLIENT, s, len, gfp)
#undef kasprintf
#define kasprintf(gfp, ...)	chaos_kasprintf(CHAOS_KMALLOC_CLIENT, gfp, __VA_ARGS__)
#undef kvasprintf
#define kvasprintf(gfp, fmt, args)						\
	chaos_kvasprintf(CHAOS_KMALLOC_CLIENT, gfp, fmt, args)

/* -- The same, where who is charged for it is said by the caller -- */

#ifdef alloc_hooks
#undef kmalloc_noprof
#define kmalloc_noprof(size, gfp)		kmalloc(size, gfp)
#undef kzalloc_noprof
#define kzalloc_noprof(size, gfp)		kzalloc(size, gfp)
#undef kmalloc_node_noprof
#define kmalloc_node_noprof(size, gfp, node)	kmalloc_node(size, gfp, node)
#undef kmalloc_array_noprof
#define kmalloc_array_noprof(n, size, gfp)	kmalloc_array(n, size, gfp)
#undef kcalloc_noprof
#define kcalloc_noprof(n, size, gfp)		kcalloc(n, size, gfp)
#undef kmalloc_array_node_noprof
#define kmalloc_array_node_noprof(n, size, gfp, node)				\
	kmalloc_array_node(n, size, gfp, node)
#undef krealloc_noprof
#define krealloc_noprof(p, size, gfp)		krealloc(p, size, gfp)
#undef krealloc_array_noprof
#define krealloc_array_noprof(p, n, size, gfp)	krealloc_array(p, n, size, gfp)
#undef kvmalloc_noprof
#define kvmalloc_noprof(size, gfp)		kvmalloc(size, gfp)
#undef kvzalloc_noprof
#define kvzalloc_noprof(size, gfp)		kvzalloc(size, gfp)
#undef kvmalloc_node_noprof
#define kvmalloc_node_noprof(size, gfp, node)	kvmalloc_node(size, gfp, node)
#undef kvmalloc_array_noprof
#define kvmalloc_array_noprof(n, size, gfp)	kvmalloc_array(n, size, gfp)
#undef kvcalloc_noprof
#define kvcalloc_noprof(n, size, gfp)		kvcalloc(n, size, gfp)
#undef kvmalloc_array_node_noprof
#define kvmalloc_array_node_noprof(n, size, gfp, node)				\
	((void)(node), kvmalloc_array(n, size, gfp))
#undef kvcalloc_node_noprof
#define kvcalloc_node_noprof(n, size, gfp, node)				\
	((void)(node), kvcalloc(n, size, gfp))
#undef kvrealloc_noprof
#define kvrealloc_noprof(...)			kvrealloc(__VA_ARGS__)
#undef kmemdup_noprof
#define kmemdup_noprof(src, len, gfp)		kmemdup(src, len, gfp)
#undef kmem_cache_alloc_noprof
#define kmem_cache_alloc_noprof			chaos_cache_alloc
#undef kmem_cache_alloc_lru_noprof
#define kmem_cache_alloc_lru_noprof		chaos_cache_alloc_lru
#undef kmem_cache_alloc_node_noprof
#define kmem_cache_alloc_node_noprof		chaos_cache_alloc_node
#undef kmem_cache_alloc_bulk_noprof
#define kmem_cache_alloc_bulk_noprof		chaos_cache_alloc_bulk
#endif

/* -- Caches -- */

/* What describes a cache came with kmem_cache_create() as a macro. */
#ifdef kmem_cache_create
static inline struct kmem_cache *
__chaos_cache_create_args(struct chaos_client *client, const char *name, unsigned int size,
			  struct kmem_cache_args *args, slab_flags_t flags)
{
	const struct kmem_cache_args none = {};

	if (!args)
		args = (struct kmem_cache_args *)&none;
	return chaos_cache_create_usercopy(client, name, size, args->align, flags,
					   args->useroffset, args->usersize, args->ctor);
}

static inline struct kmem_cache *
__chaos_cache_create_none(struct chaos_client *client, const char *name, unsigned int size,
			  void *args, slab_flags_t flags)
{
	return chaos_cache_create(client, name, size, 0, flags, NULL);
}

#undef kmem_cache_create
#define kmem_cache_create(name, size, args, ...)				\
	_Generic((args),							\
		 struct kmem_cache_args *: __chaos_cache_create_args,		\
		 void *: __chaos_cache_create_none,				\
		 default: chaos_cache_create)(CHAOS_KMALLOC_CLIENT, name, size,	\
					      args, __VA_ARGS__)
#else
#define kmem_cache_create(name, size, align, flags, ctor)			\
	chaos_cache_create(CHAOS_KMALLOC_CLIENT, name, size, align, flags, ctor)
#endif

#undef kmem_cache_create_usercopy
#define kmem_cache_create_usercopy(name, size, align, flags, offset, len, ctor)	\
	chaos_cache_create_usercopy(CHAOS_KMALLOC_CLIENT, name, size, align,	\
				    flags, offset, len, ctor)
#undef KMEM_CACHE
#define KMEM_CACHE(type, flags)							\
	chaos_cache_create(CHAOS_KMALLOC_CLIENT, #type, sizeof(struct type),	\
			   __alignof__(struct type), flags, NULL)
#undef KMEM_CACHE_USERCOPY
#define KMEM_CACHE_USERCOPY(type, flags, field)					\
	chaos_cache_create_usercopy(CHAOS_KMALLOC_CLIENT, #type,		\
				    sizeof(struct type), __alignof__(struct type),	\
				    flags, offsetof(struct type, field),	\
				    sizeof_field(struct type, field), NULL)

#undef kmem_cache_destroy
#define kmem_cache_destroy	chaos_cache_destroy
#undef kmem_cache_alloc
#define kmem_cache_alloc	chaos_cache_alloc
#undef kmem_cache_zalloc
#define kmem_cache_zalloc(cache, gfp)	chaos_cache_alloc(cache, (gfp) | __GFP_ZERO)
#undef kmem_cache_alloc_lru
#define kmem_cache_alloc_lru	chaos_cache_alloc_lru
#undef kmem_cache_alloc_node
#define kmem_cache_alloc_node	chaos_cache_alloc_node
#undef kmem_cache_alloc_bulk
#define kmem_cache_alloc_bulk	chaos_cache_alloc_bulk
#undef kmem_cache_free
#define kmem_cache_free		chaos_cache_free
#undef kmem_cache_free_bulk
#define kmem_cache_free_bulk	chaos_cache_free_bulk
#undef kmem_cache_shrink
#define kmem_cache_shrink	chaos_cache_shrink
#undef kmem_cache_size
#define kmem_cache_size		chaos_cache_size

/* The kernel calls these with a cache of ours. */
#undef mempool_alloc_slab
#define mempool_alloc_slab	chaos_mempool_alloc
#undef mempool_free_slab
#define mempool_free_slab	chaos_mempool_free
#undef mempool_init_slab_pool
#define mempool_init_slab_pool(pool, min, cache)				\
	mempool_init(pool, min, chaos_mempool_alloc, chaos_mempool_free, (void *)(cache))
#undef mempool_create_slab_pool
#define mempool_create_slab_pool(min, cache)					\
	mempool_create(min, chaos_mempool_alloc, chaos_mempool_free, (void *)(cache))

#endif /* CHAOS_KMALLOC_DECLARE_ONLY */
#endif /* _CHAOS_KMALLOC_H */
