/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chaos_alloc: private heaps for kernel modules, callable from any context.
 *
 * This header is the whole public API.  Every function may be called from
 * task, softirq, hardirq and NMI context, with preemption or interrupts off and
 * under raw spinlocks, on PREEMPT_RT as well, unless its Context: says
 * otherwise.  Of the functions for blocks, only an allocation whose @gfp allows
 * blocking can sleep: to grow the heap, or, with mimalloc, for up to 0.1 s, to get
 * back what other CPUs keep.  A free never sleeps.
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
 * enum chaos_hardening - what a heap spends on its defence
 * @CHAOS_HARDENING_DEFAULT: as insmod's hardening= says (1 if it says nothing)
 * @CHAOS_HARDENING_0: pointers and free lists are checked
 * @CHAOS_HARDENING_1: mimalloc's free lists are encoded with random keys, too
 * @CHAOS_HARDENING_2: blocks carry canaries past their requested size and are
 *	poisoned when they are freed; mimalloc's pages are filled in random order
 *	and followed by guard slices
 *
 * See Documentation/hardening.rst for what each level finds and costs.
 */
enum chaos_hardening {
	CHAOS_HARDENING_DEFAULT,
	CHAOS_HARDENING_0,
	CHAOS_HARDENING_1,
	CHAOS_HARDENING_2,
};

/**
 * enum chaos_track - what a heap's blocks remember of who allocated them
 * @CHAOS_TRACK_DEFAULT: as insmod's track= says (nothing if it says nothing)
 * @CHAOS_TRACK_NONE: nothing
 * @CHAOS_TRACK_CALLER: the call site.  What is left when a client's module is removed, or
 *	the heap destroyed, is reported with it.
 * @CHAOS_TRACK_STACK: the stack, too, unless that was in NMI
 *
 * See Documentation/leaks.rst.
 */
enum chaos_track {
	CHAOS_TRACK_DEFAULT,
	CHAOS_TRACK_NONE,
	CHAOS_TRACK_CALLER,
	CHAOS_TRACK_STACK,
};

/**
 * enum chaos_option - what can be changed while a heap is in use
 * @CHAOS_OPT_WATERMARK: percent of the pools, 0 to 50: with less free than
 *	that, a worker grows the heap, so that atomic callers find memory
 *	(default 12)
 * @CHAOS_OPT_RETIRE_DELAY: milliseconds, 0 to 3600000, that mimalloc's empty
 *	pages, and pages of contexts that are idle, stay where they are
 *	(default 100)
 * @CHAOS_OPT_RETURN_DELAY: milliseconds, 0 to 3600000, that a pool which the
 *	heap has grown by stays when it is empty (default 5000)
 * @CHAOS_OPT_HEARTBEAT: allocations, 1 to 2^30, from one call of the
 *	deferred-free hook to the next (default 256)
 * @CHAOS_OPT_GROWTH_STEP: bytes that the heap grows by, at least 64 KiB; 0: it
 *	doubles (default 0)
 */
enum chaos_option {
	CHAOS_OPT_WATERMARK,
	CHAOS_OPT_RETIRE_DELAY,
	CHAOS_OPT_RETURN_DELAY,
	CHAOS_OPT_HEARTBEAT,
	CHAOS_OPT_GROWTH_STEP,
};

/**
 * struct chaos_heap_params - what a new heap shall be
 * @name: shown in reports and statistics; copied, at most 31 characters
 * @allocator: "mimalloc", "tlsf" or "evl"; NULL for the default heap's engine
 * @pool_size: bytes reserved at creation, in addition to @mem; 64 KiB to half
 *	of the machine's memory, rounded up to whole 64 KiB.  May be 0 only if
 *	@mem is given.
 * @max_size: the heap grows on demand until its pools, @mem included, hold this
 *	many bytes, in whole 64 KiB; not less than @pool_size + @mem_size.
 *	0: it never grows
 * @node: NUMA node that pools are taken from, or NUMA_NO_NODE for that of the
 *	CPU which needs one.  To leave it out means node 0.
 * @mem: memory of the caller's to use as the first pool, or NULL.  Of it, whole
 *	64 KiB that are aligned to 64 KiB are used; there must be one.  It must
 *	stay valid until the heap has been destroyed, and lie in the kernel's
 *	address space.
 * @mem_size: size of @mem in bytes
 * @hardening: the level of defence
 * @track: whether blocks remember who allocated them
 */
struct chaos_heap_params {
	const char *name;
	const char *allocator;
	size_t pool_size;
	size_t max_size;
	int node;
	void *mem;
	size_t mem_size;
	enum chaos_hardening hardening;
	enum chaos_track track;
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
 * @allocs: blocks allocated so far
 * @local_frees: blocks freed so far; with mimalloc, only those that their page's
 *	owner freed
 * @foreign_frees: mimalloc: blocks freed by another CPU or context level
 * @pages: mimalloc: pages in use
 * @abandoned_pages: mimalloc: those that have no owner, and free blocks for
 *	anybody
 * @abandoned: mimalloc: how often a page became one of these
 * @adopted: mimalloc: how often a context took one of these over
 * @grows: how often a pool was added on demand
 * @returns: how often an idle pool was given back
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
	u64 allocs;
	u64 local_frees;
	u64 foreign_frees;
	size_t pages;
	size_t abandoned_pages;
	u64 abandoned;
	u64 adopted;
	unsigned long grows;
	unsigned long returns;
	unsigned long failures;
	unsigned long bad_frees;
};

/**
 * struct chaos_class_stats - a snapshot of one size class: mimalloc's, or evl's
 *	buckets; tlsf has none
 * @block_size: bytes of each block; 0 for the last class: blocks of any larger
 *	size, each with a page of its own
 * @pages: pages in use
 * @peak_pages: the highest number of them so far
 * @page_bytes: bytes of the pages in use; what live blocks do not use of these
 *	is the class's fragmentation
 * @capacity: blocks that these have room for
 * @live_blocks: blocks allocated and not freed
 * @live_bytes: their usable bytes
 * @allocs: blocks allocated so far
 * @local_frees: blocks freed so far by their page's owner
 * @foreign_frees: blocks freed so far by another CPU or context level
 * @abandoned_pages: pages that have no owner, and free blocks for anybody
 * @abandoned: how often a page became one of these
 * @adopted: how often a context took one of these over
 */
struct chaos_class_stats {
	size_t block_size;
	size_t pages;
	size_t peak_pages;
	size_t page_bytes;
	size_t capacity;
	size_t live_blocks;
	size_t live_bytes;
	u64 allocs;
	u64 local_frees;
	u64 foreign_frees;
	size_t abandoned_pages;
	u64 abandoned;
	u64 adopted;
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
 * @heartbeat: how many intervals have passed; grows with each call that is not
 *	forced
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
void chaos_heap_free_bulk(struct chaos_heap *heap, size_t n, void **p);
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
size_t chaos_heap_alloc_bulk(struct chaos_heap *heap, size_t size, gfp_t gfp,
			     size_t n, void **p) __must_check;

int chaos_heap_add_pool(struct chaos_heap *heap, void *mem, size_t size);
bool chaos_heap_owns(struct chaos_heap *heap, const void *p);
struct chaos_heap *chaos_heap_of(const void *p);
int chaos_heap_check(struct chaos_heap *heap);
int chaos_heap_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg);
void chaos_heap_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats);
size_t chaos_heap_class_stats(struct chaos_heap *heap,
			      struct chaos_class_stats *classes, size_t n);
void chaos_heap_collect(struct chaos_heap *heap, bool force);
int chaos_heap_set_option(struct chaos_heap *heap, enum chaos_option option,
			  unsigned long value);
int chaos_heap_get_option(struct chaos_heap *heap, enum chaos_option option,
			  unsigned long *value);
int chaos_register_deferred_free(struct chaos_heap *heap,
				 chaos_deferred_free fn, void *arg);

/* void *p __free(chaos_free) = chaos_alloc(...); see <linux/cleanup.h> */
DEFINE_FREE(chaos_free, void *, if (!IS_ERR_OR_NULL(_T)) chaos_free(_T))

#endif /* _CHAOS_ALLOC_H */
