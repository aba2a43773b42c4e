/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the module supports, 6.1 and later.
 * The only file that names a kernel version.
 */
#ifndef _CHAOS_COMPAT_H
#define _CHAOS_COMPAT_H

#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include <asm/barrier.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#include <kunit/visibility.h>
#elif IS_ENABLED(CONFIG_KUNIT)
#define VISIBLE_IF_KUNIT
#define EXPORT_SYMBOL_IF_KUNIT(symbol)	EXPORT_SYMBOL_GPL(symbol)
#else
#define VISIBLE_IF_KUNIT		static
#define EXPORT_SYMBOL_IF_KUNIT(symbol)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
}
#endif

/*
 * Stacks are saved with flags since 6.8.  (The only one that we use is whether the
 * depot may allocate.)
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0) && IS_ENABLED(CONFIG_STACKDEPOT)
#include <linux/stackdepot.h>

#define STACK_DEPOT_FLAG_CAN_ALLOC	1

static inline depot_stack_handle_t
stack_depot_save_flags(unsigned long *frames, unsigned int n, gfp_t gfp,
		       unsigned int flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	return __stack_depot_save(frames, n, 0, gfp, flags);
#else
	return __stack_depot_save(frames, n, gfp, flags);
#endif
}
#endif

/*
 * Shrinkers are made by the kernel since 6.7; before, they were the caller's.
 * Their objects cost no I/O to make again: seeks is 0.
 */
typedef unsigned long (*chaos_shrinker_fn)(struct shrinker *shrinker,
					   struct shrink_control *sc);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
static inline struct shrinker *chaos_shrinker_add(const char *name,
						  unsigned int flags,
						  chaos_shrinker_fn count,
						  chaos_shrinker_fn scan)
{
	struct shrinker *shrinker = shrinker_alloc(flags, "%s", name);

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = 0;
	shrinker_register(shrinker);
	return shrinker;
}

static inline void chaos_shrinker_remove(struct shrinker *shrinker)
{
	shrinker_free(shrinker);
}
#else
static inline struct shrinker *chaos_shrinker_add(const char *name,
						  unsigned int flags,
						  chaos_shrinker_fn count,
						  chaos_shrinker_fn scan)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (!shrinker)
		return NULL;
	shrinker->flags = flags;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
	return shrinker;
}

static inline void chaos_shrinker_remove(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
/* Pages of @node, or of others if it has none left, mapped one by one. */
static inline void *chaos_vmap_node(unsigned long size, gfp_t gfp, int node)
{
	unsigned long i, n = PAGE_ALIGN(size) >> PAGE_SHIFT;
	struct page **pages = kvmalloc_array(n, sizeof(*pages), gfp);
	void *mem = NULL;

	for (i = 0; pages && i < n; i++) {
		pages[i] = alloc_pages_node(node, gfp, 0);
		if (!pages[i])
			break;
		cond_resched();
	}
	if (pages && i == n)
		mem = vmap(pages, n, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (mem)
		return mem;
	while (pages && i)
		__free_page(pages[--i]);
	kvfree(pages);
	return NULL;
}

/*
 * What the kernel has since 6.16.  Before, modules may have vmalloc_node(), which
 * takes no gfp_t and therefore would rather kill processes than fail; and, with
 * gfp_t, the node of the current CPU, unless the task's memory policy wants
 * another.  Huge pages come from there alone.
 */
static inline void *vmalloc_huge_node(unsigned long size, gfp_t gfp, int node)
{
	void *mem;

	if (node != NUMA_NO_NODE && node != numa_mem_id())
		return chaos_vmap_node(size, gfp, node);
	mem = vmalloc_huge(size, gfp);
	if (!mem || node == NUMA_NO_NODE ||
	    page_to_nid(vmalloc_to_page(mem)) == node)
		return mem;
	vfree(mem);
	return chaos_vmap_node(size, gfp, node);
}
#endif

/* Measurements in User-mode Linux are to be those of an x86: tools/uml.sh. */
#ifdef CHAOS_BENCH_UML
#include "bench/uml.h"
#endif

/* Sparse's conditional acquire; kernels that have done with sparse's lack it. */
#ifndef __cond_lock
#define __cond_lock(x, c)		(c)
#endif

/* Namespaces are strings since 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define CHAOS_KUNIT_NS			"EXPORTED_FOR_KUNIT_TESTING"
#else
#define CHAOS_KUNIT_NS			EXPORTED_FOR_KUNIT_TESTING
#endif

/* It takes one argument less since 6.12. */
static inline void *chaos_kernel_kvrealloc(const void *p, size_t old_size, size_t size,
					   gfp_t gfp)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	return kvrealloc(p, size, gfp);
#else
	return kvrealloc(p, old_size, size, gfp);
#endif
}

/* For what comes from kmalloc_nolock(), in any context, since 6.18. */
static inline void chaos_kernel_kfree_nolock(const void *p)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	kfree_nolock(p);
#else
	kfree(p);
#endif
}

/* In atomic context. */
static inline void chaos_kernel_kvfree_atomic(const void *p)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
	kvfree_atomic(p);
#else
	kvfree(p);
#endif
}

/* Since 6.12.  Before, nobody could wait for kfree_rcu(). */
static inline void chaos_kernel_kvfree_rcu_barrier(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	kvfree_rcu_barrier();
#endif
}

/*
 * kfree_rcu()'s function is told of the block since 6.3.  Before, of how far its rcu_head
 * is from its beginning, or of the block if it has none.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
static inline void *chaos_kvfree_rcu_block(struct rcu_head *head, void *arg)
{
	return arg;
}

static inline void *chaos_kvfree_rcu_arg(struct rcu_head *head, void *p)
{
	return p;
}
#else
static inline void *chaos_kvfree_rcu_block(struct rcu_head *head, void *arg)
{
	return head ? (void *)head - (unsigned long)arg : arg;
}

static inline rcu_callback_t chaos_kvfree_rcu_arg(struct rcu_head *head, void *p)
{
	return (rcu_callback_t)(head ? (void *)((void *)head - p) : p);
}
#endif

/*
 * Does kfree_rcu() have to be caught?  With TINY_RCU, what it is given came back by kvfree()
 * until 6.15; since then it is given to vfree() if that is where it seems to be from.
 */
#if !defined(CONFIG_TINY_RCU) || LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define CHAOS_HAS_KVFREE_CALL_RCU
#endif

/* To a list_lru, by the address of what is in an object of a cache; renamed in 6.8. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define chaos_list_lru_add(lru, item)		list_lru_add_obj(lru, item)
#define chaos_list_lru_del(lru, item)		list_lru_del_obj(lru, item)
#else
#define chaos_list_lru_add(lru, item)		list_lru_add(lru, item)
#define chaos_list_lru_del(lru, item)		list_lru_del(lru, item)
#endif

/*
 * How ftrace lets a function be replaced.  All registers are saved for that, or, where
 * the architecture can, the arguments: since 6.2, these have accessors.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
#define CHAOS_CAN_CATCH
#define CHAOS_FTRACE_FLAGS			0
#define chaos_ftrace_arg(regs, n)		ftrace_regs_get_argument(regs, n)
#define chaos_ftrace_go_to(regs, ip)		ftrace_regs_set_instruction_pointer(regs, ip)
#endif
#elif defined(CONFIG_DYNAMIC_FTRACE_WITH_REGS)
#define CHAOS_CAN_CATCH
#define CHAOS_FTRACE_FLAGS			FTRACE_OPS_FL_SAVE_REGS
#define chaos_ftrace_arg(regs, n)					\
	regs_get_kernel_argument(ftrace_get_regs(regs), n)
#define chaos_ftrace_go_to(regs, ip)					\
	instruction_pointer_set(ftrace_get_regs(regs), ip)
#endif

#endif /* _CHAOS_COMPAT_H */
