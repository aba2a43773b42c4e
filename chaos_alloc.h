/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chaos_alloc: private heaps for kernel modules, callable from any context.
 *
 * This header is the whole public API.  Every function may be called from
 * task, softirq, hardirq and NMI context, with preemption or interrupts off and
 * under raw spinlocks, on PREEMPT_RT as well, unless its Context: says
 * otherwise.  Only a caller whose @gfp allows blocking can ever sleep, and
 * it sleeps only to grow the heap.
 *
 * Wherever a &struct chaos_heap pointer is taken, NULL names the default heap
 * (the one that insmod's allocator= configures).
 */
#ifndef _CHAOS_ALLOC_H
#define _CHAOS_ALLOC_H

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/slab.h>		/* ZERO_SIZE_PTR */
#include <linux/types.h>

struct chaos_heap;

/**
 * define CHAOS_MIN_ALIGN - alignment of every block, in bytes
 */
#define CHAOS_MIN_ALIGN		8

/**
 * define CHAOS_MAX_ALIGN - largest alignment that can be asked for, in bytes
 */
#define CHAOS_MAX_ALIGN		(4UL << 20)

/**
 * struct chaos_heap_params - what a new heap shall be
 * @name: shown in reports and statistics; copied, at most 31 characters
 * @allocator: "mimalloc", "tlsf" or "evl"; NULL for the default heap's engine
 * @pool_size: bytes reserved at creation, in addition to @mem; rounded up to
 *	whole pages.  May be 0 only if @mem is given.
 * @max_size: the heap grows on demand until its pools hold this many bytes;
 *	0: it never grows
 * @node: NUMA node that pools are taken from, or NUMA_NO_NODE
 * @mem: memory of the caller's to use as the first pool, or NULL.  It must
 *	stay valid until the heap has been destroyed, and lie in the kernel's
 *	address space.
 * @mem_size: size of @mem in bytes
 */
struct chaos_heap_params {
	const char *name;
	const char *allocator;
	size_t pool_size;
	size_t max_size;
	int node;
	void *mem;
	size_t mem_size;
};

/**
 * struct chaos_heap_stats - a snapshot of a heap
 * @name: the heap's name
 * @allocator: the engine's name
 * @pools: number of pools
 * @pool_bytes: bytes of all pools
 * @meta_bytes: bytes of metadata, outside of the pools
 * @max_bytes: bytes of pools that the heap may grow to
 * @held_bytes: pool bytes taken by blocks, their headers, rounding, and pages
 *	that are partly free; what is left is available to any request
 * @peak_held_bytes: the highest @held_bytes so far
 * @live_blocks: blocks allocated and not freed
 * @live_bytes: their usable bytes
 * @grows: how often a pool was added on demand
 * @failures: allocations that returned NULL for want of memory
 * @bad_frees: wrong pointers that were reported and refused
 *
 * Each figure is exact when nobody else uses the heap; otherwise it was true
 * at some moment during the call.
 */
struct chaos_heap_stats {
	const char *name;
	const char *allocator;
	unsigned int pools;
	size_t pool_bytes;
	size_t meta_bytes;
	size_t max_bytes;
	size_t held_bytes;
	size_t peak_held_bytes;
	size_t live_blocks;
	size_t live_bytes;
	unsigned long grows;
	unsigned long failures;
	unsigned long bad_frees;
};

/**
 * typedef chaos_visitor - called by chaos_heap_walk() for each live block
 * @heap: the heap that is walked
 * @p: the block
 * @size: its usable size in bytes
 * @arg: the argument given to chaos_heap_walk()
 *
 * Context: interrupts off, possibly under the heap's raw spinlock.  Must not
 * sleep and must not call any function on @heap.
 * Return: true to go on, false to stop the walk.
 */
typedef bool (*chaos_visitor)(struct chaos_heap *heap, void *p, size_t size,
			      void *arg);

/**
 * typedef chaos_deferred_free - called at a bounded interval of allocations
 * @heap: the heap whose heartbeat it is
 * @force: the heap is short of memory: free whatever can be freed
 * @heartbeat: counts the calls, from 1
 * @arg: the argument given to chaos_register_deferred_free()
 *
 * mimalloc's mi_deferred_free_fun: a client that reclaims in small steps
 * (reference counts, garbage collection) does a step here.  It may call any
 * function on @heap; the hook is not entered again from within itself.
 *
 * Context: that of the allocation that was due, hardirq included, never NMI;
 * preemption is not disabled by the heap.
 */
typedef void (*chaos_deferred_free)(struct chaos_heap *heap, bool force,
				    u64 heartbeat, void *arg);

void chaos_free(const void *p);
void chaos_free_sensitive(const void *p);
void chaos_free_bulk(size_t n, void **p);
size_t chaos_usable_size(const void *p);

void *chaos_alloc(size_t size, gfp_t gfp) __malloc __must_check __alloc_size(1);
void *chaos_zalloc(size_t size, gfp_t gfp) __malloc __must_check __alloc_size(1);
void *chaos_calloc(size_t n, size_t size, gfp_t gfp)
	__malloc __must_check __alloc_size(1, 2);
void *chaos_alloc_aligned(size_t size, size_t align, gfp_t gfp)
	__malloc __must_check __alloc_size(1);
void *chaos_realloc(const void *p, size_t size, gfp_t gfp)
	__must_check __realloc_size(2);
size_t chaos_alloc_bulk(size_t size, gfp_t gfp, size_t n, void **p) __must_check;

struct chaos_heap *chaos_heap_create(const struct chaos_heap_params *params);
void chaos_heap_destroy(struct chaos_heap *heap);

void chaos_heap_free(struct chaos_heap *heap, const void *p);
size_t chaos_heap_usable_size(struct chaos_heap *heap, const void *p);
void *chaos_heap_alloc(struct chaos_heap *heap, size_t size, gfp_t gfp)
	__malloc __must_check __alloc_size(2);
void *chaos_heap_zalloc(struct chaos_heap *heap, size_t size, gfp_t gfp)
	__malloc __must_check __alloc_size(2);
void *chaos_heap_alloc_aligned(struct chaos_heap *heap, size_t size,
			       size_t align, gfp_t gfp)
	__malloc __must_check __alloc_size(2);
void *chaos_heap_realloc(struct chaos_heap *heap, const void *p, size_t size,
			 gfp_t gfp) __must_check __realloc_size(3);

int chaos_heap_add_pool(struct chaos_heap *heap, void *mem, size_t size);
bool chaos_heap_owns(struct chaos_heap *heap, const void *p);
int chaos_heap_check(struct chaos_heap *heap);
int chaos_heap_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg);
void chaos_heap_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats);
void chaos_heap_collect(struct chaos_heap *heap, bool force);
int chaos_register_deferred_free(struct chaos_heap *heap,
				 chaos_deferred_free fn, void *arg);

/* void *p __free(chaos_free) = chaos_alloc(...); see <linux/cleanup.h> */
DEFINE_FREE(chaos_free, void *, if (!IS_ERR_OR_NULL(_T)) chaos_free(_T))

#endif /* _CHAOS_ALLOC_H */
