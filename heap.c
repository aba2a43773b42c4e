// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_alloc: heaps as a whole, and the module: its parameters and the default
 * heap.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/overflow.h>
#include <linux/panic.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "engine.h"
#include "fault.h"
#include "gone.h"
#include "grow.h"
#include "harden.h"
#include "heap.h"
#include "mi_heap.h"
#include "options.h"
#include "sanitize.h"
#include "see.h"
#include "track.h"
#include "watch.h"

#define CHAOS_POOL_MIN		CHAOS_UNIT_SIZE
#define CHAOS_POOL_DEFAULT	(16UL << 20)
#define CHAOS_MAX_DEFAULT	(256UL << 20)

static const struct chaos_engine * const chaos_engines[] = {
	&chaos_mi_engine,
	&chaos_tlsf_engine,
	&chaos_evl_engine,
};

struct chaos_heap *chaos_default __ro_after_init;
struct chaos_pool *chaos_default_pool __read_mostly = &chaos_no_pool;
DEFINE_STATIC_KEY_TRUE(chaos_default_is_mi);
DEFINE_STATIC_KEY_FALSE(chaos_default_is_evl);

/* --------------------------- heaps in operation --------------------------- */

/**
 * chaos_heap_add_pool() - give a heap memory of the caller's
 * @heap: the heap, or NULL for the default heap
 * @mem: any kernel memory; it must stay valid until the heap is destroyed
 * @size: its bytes.  Only whole 64 KiB units that are aligned to 64 KiB are
 *	used.
 *
 * Not limited by max_size.
 *
 * Context: task; may sleep.
 * Return: 0; -EINVAL if no whole unit is in the range or it is not the kernel's;
 * -EEXIST if part of it is in a pool already; -EFBIG if it is more than a pool of the
 * engine can be (tlsf: less than 1 TiB, evl: less than 2 TiB); -ENOSPC if the heap has
 * as many pools as it can have (evl: 65536); -ENOMEM
 */
int chaos_heap_add_pool(struct chaos_heap *heap, void *mem, size_t size)
{
	unsigned int noio;
	int err;

	heap = chaos_heap_or_default(heap);
	noio = chaos_heap_lock(heap);
	err = chaos_add_pool(heap, chaos_pool_adopt(heap, mem, size), CHAOS_GROW_CLIENT);
	chaos_update_low_mark(heap, false);
	chaos_heap_unlock(heap, noio);
	return err;
}
EXPORT_SYMBOL_GPL(chaos_heap_add_pool);

/**
 * chaos_heap_check() - walk every structure of a heap
 * @heap: the heap, or NULL for the default heap
 *
 * The heap may be in use meanwhile.  At hardening level 2, it is also checked that
 * no live block was written past its end.
 *
 * Context: task; may sleep.
 * Return: 0; -EUCLEAN and a report of the first broken invariant; -ENOMEM
 */
int chaos_heap_check(struct chaos_heap *heap)
{
	unsigned int noio;
	int err;

	heap = chaos_heap_or_default(heap);
	chaos_san_settle(heap);
	noio = chaos_heap_lock_cpus(heap);
	err = heap->engine->check(heap);
	if (!err && heap->hardening > 1)
		err = chaos_harden_check(heap);
	chaos_heap_unlock_cpus(heap, noio);
	return err;
}
EXPORT_SYMBOL_GPL(chaos_heap_check);

/**
 * chaos_heap_walk() - visit every live block
 * @heap: the heap, or NULL for the default heap
 * @visitor: called for each
 * @arg: passed on
 *
 * If the heap is in use meanwhile, blocks that come or go may be missed.  With mimalloc,
 * so may blocks that stay, if their page changes hands between the visits to its old and its
 * new owner, or they may be visited twice.  Of a damaged heap, not all blocks are visited.
 *
 * Context: task; may sleep.
 * Return: 0; -ECANCELED if the visitor returned false; -EUCLEAN if the heap is
 * damaged; -ENOMEM
 */
int chaos_heap_walk(struct chaos_heap *heap, chaos_visitor visitor, void *arg)
{
	unsigned int noio;
	int err;

	heap = chaos_heap_or_default(heap);
	chaos_san_settle(heap);
	noio = chaos_heap_lock_cpus(heap);
	if (chaos_has_trailer(heap) || chaos_redzone(heap))
		err = chaos_harden_walk(heap, visitor, arg);
	else
		err = heap->engine->walk(heap, NULL, visitor, arg);
	chaos_heap_unlock_cpus(heap, noio);
	return err;
}
EXPORT_SYMBOL_GPL(chaos_heap_walk);

static size_t chaos_meta_bytes(struct chaos_heap *heap)
{
	struct chaos_pool *pool;
	size_t bytes = 0;

	lockdep_assert_held(&heap->mutex);
	list_for_each_entry(pool, &heap->pools, node)
		bytes += pool->meta_size;
	return bytes;
}

/**
 * chaos_heap_stats() - a snapshot of a heap's figures
 * @heap: the heap, or NULL for the default heap
 * @stats: filled in
 *
 * Context: task; may sleep.
 */
void chaos_heap_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats)
{
	unsigned int noio;

	heap = chaos_heap_or_default(heap);
	chaos_san_settle(heap);
	noio = chaos_heap_lock(heap);
	*stats = (struct chaos_heap_stats){
		.name		 = heap->name,
		.allocator	 = heap->engine->name,
		.pools		 = heap->nr_pools,
		.pool_bytes	 = heap->pool_bytes,
		.meta_bytes	 = chaos_meta_bytes(heap),
		.max_bytes	 = max(heap->max_size, heap->pool_bytes),
		.held_bytes	 = atomic_long_read(&heap->held),
		.peak_held_bytes = READ_ONCE(heap->peak_held),
		.grows		 = atomic_long_read(&heap->grows),
		.returns	 = atomic_long_read(&heap->returns),
		.failures	 = atomic_long_read(&heap->failures),
		.bad_frees	 = atomic_long_read(&heap->bad_frees),
	};
	heap->engine->stats(heap, stats);
	chaos_heap_unlock(heap, noio);
}
EXPORT_SYMBOL_GPL(chaos_heap_stats);

/**
 * chaos_heap_class_stats() - a snapshot of the size classes of a heap
 * @heap: the heap, or NULL for the default heap
 * @classes: the first @n of them are filled in; may be NULL if @n is 0
 * @n: how many there is room for
 *
 * Context: task; may sleep.
 * Return: how many there are; 0 if the engine has no size classes, or there is no
 * memory to count with
 */
size_t chaos_heap_class_stats(struct chaos_heap *heap,
			      struct chaos_class_stats *classes, size_t n)
{
	unsigned int noio;
	size_t count;

	heap = chaos_heap_or_default(heap);
	if (!heap->engine->class_stats)
		return 0;
	chaos_san_settle(heap);
	noio = chaos_heap_lock(heap);
	count = heap->engine->class_stats(heap, classes, n);
	chaos_heap_unlock(heap, noio);
	return count;
}
EXPORT_SYMBOL_GPL(chaos_heap_class_stats);

/**
 * chaos_heap_collect() - tidy a heap up
 * @heap: the heap, or NULL for the default heap
 * @force: give back to the pools whatever is empty and kept for reuse, and to
 *	the system what the heap has grown by and does not need; otherwise only
 *	what is overdue
 *
 * Context: task; may sleep.
 */
void chaos_heap_collect(struct chaos_heap *heap, bool force)
{
	unsigned int noio;

	heap = chaos_heap_or_default(heap);
	chaos_san_settle(heap);
	noio = chaos_heap_lock_cpus(heap);
	chaos_collect_locked(heap, force);
	chaos_heap_unlock_cpus(heap, noio);
}
EXPORT_SYMBOL_GPL(chaos_heap_collect);

/**
 * chaos_heap_set_option() - change a heap's option
 * @heap: the heap, or NULL for the default heap
 * @option: which one
 * @value: see there
 *
 * What depends on it is brought up to date at once.
 *
 * Context: task; may sleep.
 * Return: 0; -EINVAL and a message if the value is out of range or there is no
 * such option
 */
int chaos_heap_set_option(struct chaos_heap *heap, enum chaos_option option,
			  unsigned long value)
{
	return chaos_set_option(chaos_heap_or_default(heap), option, value);
}
EXPORT_SYMBOL_GPL(chaos_heap_set_option);

/**
 * chaos_heap_get_option() - what a heap's option is set to
 * @heap: the heap, or NULL for the default heap
 * @option: which one
 * @value: where to put its value
 *
 * Context: any.
 * Return: 0; -EINVAL and a message if there is no such option
 */
int chaos_heap_get_option(struct chaos_heap *heap, enum chaos_option option,
			  unsigned long *value)
{
	return chaos_get_option(chaos_heap_or_default(heap), option, value);
}
EXPORT_SYMBOL_GPL(chaos_heap_get_option);

/* Heartbeats that are on their way to the old hook are not for the new one. */
static bool chaos_try_hook(struct chaos_heap *heap, chaos_deferred_free fn,
			   void *arg)
{
	if (atomic_cmpxchg_acquire(&heap->in_deferred, 0, 1))
		return false;
	WRITE_ONCE(heap->deferred_free, fn);
	heap->deferred_arg = arg;
	heap->heard = atomic64_read(&heap->heartbeat);
	atomic64_set(&heap->ticks, 0);
	atomic_set_release(&heap->in_deferred, 0);
	return true;
}

/**
 * chaos_register_deferred_free() - have a hook called now and then
 * @heap: the heap, or NULL for the default heap
 * @fn: the hook, in place of the one before; NULL for none
 * @arg: passed to it
 *
 * While there is a hook, every allocation is counted, beginning with this call:
 * every request for a block, in any context, that is not refused for its arguments;
 * those of the hook itself, and one for each reallocation that moves the block
 * and for each block of a bulk.  When the count is a multiple of
 * CHAOS_OPT_HEARTBEAT, one more interval has passed, and the hook is called by
 * whoever allocates.  If it cannot be, because that is an NMI or the hook is
 * running, the next one is told of both intervals.  The hook is also called, with
 * @force set, when there is no memory, before the heap grows or fails.
 *
 * The count begins anew with each hook, the heartbeat goes on.  When this
 * returns, the old hook runs no longer.  A hook costs each allocation its fast
 * path.
 *
 * Context: task; may sleep.  Not from the hook.
 * Return: 0
 */
int chaos_register_deferred_free(struct chaos_heap *heap,
				 chaos_deferred_free fn, void *arg)
{
	unsigned int noio;

	heap = chaos_heap_or_default(heap);
	/* Not under a lock: the hook may run for long. */
	while (!chaos_try_hook(heap, fn, arg))
		schedule_timeout_uninterruptible(1);
	noio = chaos_heap_lock(heap);
	chaos_choose_paths(heap);
	chaos_heap_unlock(heap, noio);
	return 0;
}
EXPORT_SYMBOL_GPL(chaos_register_deferred_free);

/* ------------------------- creation and destruction ------------------------ */

static const struct chaos_engine *chaos_engine_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(chaos_engines); i++)
		if (!strcmp(chaos_engines[i]->name, name))
			return chaos_engines[i];
	return NULL;
}

static bool chaos_pool_size_ok(size_t size)
{
	return size >= CHAOS_POOL_MIN && size <= chaos_pool_limit();
}

static int chaos_params_check(const struct chaos_heap_params *params)
{
	size_t first;

	if (!params->mem != !params->mem_size ||
	    (!params->pool_size && !params->mem))
		return -EINVAL;
	if (params->pool_size && !chaos_pool_size_ok(params->pool_size))
		return -EINVAL;
	if (check_add_overflow(params->pool_size, params->mem_size, &first))
		return -EINVAL;
	if (params->max_size && (params->max_size < first ||
				 params->max_size > CHAOS_SIZE_MAX))
		return -EINVAL;
	if (params->node != NUMA_NO_NODE &&
	    (params->node < 0 || params->node >= MAX_NUMNODES ||
	     !node_online(params->node)))
		return -EINVAL;
	if ((unsigned int)params->hardening > CHAOS_HARDENING_2 ||
	    (unsigned int)params->track > CHAOS_TRACK_STACK)
		return -EINVAL;
	return 0;
}

static int chaos_first_pools(struct chaos_heap *heap,
			     const struct chaos_heap_params *params)
{
	struct chaos_pool *reserve = NULL;
	unsigned int noio;
	int err = 0;

	/* Not under the mutex, so that reclaim may do I/O for it: nobody waits yet. */
	if (params->pool_size)
		reserve = chaos_new_reserve(heap, params->pool_size);
	if (IS_ERR(reserve))
		return PTR_ERR(reserve);
	noio = chaos_heap_lock(heap);
	if (params->mem)
		err = chaos_add_pool(heap, chaos_pool_adopt(heap, params->mem,
							    params->mem_size),
				     CHAOS_GROW_CREATE);
	if (reserve && err)
		chaos_pool_free(reserve);
	else if (reserve)
		err = chaos_add_pool(heap, reserve, CHAOS_GROW_CREATE);
	chaos_update_low_mark(heap, false);
	chaos_choose_paths(heap);
	chaos_heap_unlock(heap, noio);
	return err;
}

static unsigned int chaos_hardening_level(enum chaos_hardening hardening)
{
	return hardening == CHAOS_HARDENING_DEFAULT ?
		chaos_hardening_param : hardening - CHAOS_HARDENING_0;
}

static struct chaos_heap *chaos_heap_new(const struct chaos_heap_params *params,
					 const struct chaos_engine *engine)
{
	struct chaos_heap *heap;

	heap = chaos_unless_fails(CHAOS_FAULT_SETUP, kzalloc(sizeof(*heap), GFP_KERNEL));
	if (!heap)
		return NULL;
	heap->engine = engine;
	heap->max_size = params->max_size;
	heap->node = params->node;
	heap->hardening = chaos_hardening_level(params->hardening);
	heap->redzone = CHAOS_SAN_REDZONE;
	strscpy(heap->name, params->name ?: "unnamed", sizeof(heap->name));
	INIT_LIST_HEAD(&heap->node_in_heaps);
	chaos_grow_init(heap);
	heap->options = chaos_options_initial;
	chaos_san_heap_init(heap);
	heap->slow_gfp = CHAOS_GFP_REFUSED | __GFP_ZERO;
	heap->main_pool = &chaos_no_pool;
	heap->watch = heap->hardening > 1 ? CHAOS_WATCH_BLOCKS : 0;
	chaos_track_init(heap, params->track);
	return heap;
}

/* Say what a heap's users have left, and if it is known, who did. */
static void chaos_report_leaks(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	if (!stats.live_blocks)
		return;
	pr_warn("heap %s: %zu blocks, %zu bytes are still allocated\n",
		heap->name, stats.live_blocks, stats.live_bytes);
	if (chaos_is_tracked(heap) && chaos_callers_show(NULL, heap))
		pr_warn("heap %s: not all callers could be found\n", heap->name);
}

/*
 * The heap is not in use any longer.  What a wrong free may be looking at goes
 * after a grace period.
 */
static void chaos_heap_release(struct chaos_heap *heap)
{
	struct chaos_pool *pool, *next;

	chaos_san_quiesce(heap);
	chaos_grow_exit(heap);
	chaos_san_heap_exit(heap);
	list_for_each_entry(pool, &heap->pools, node)
		chaos_pool_withdraw(pool);
	synchronize_rcu();
	chaos_cancel_works(heap);
	list_for_each_entry_safe(pool, next, &heap->pools, node) {
		heap->engine->remove_pool(heap, pool);
		chaos_pool_free(pool);
	}
	heap->engine->exit(heap);
	chaos_latency_exit(heap);
	chaos_harden_exit(heap);
	mutex_destroy(&heap->mutex);
	kfree(heap);
}

/**
 * chaos_heap_create() - create a heap
 * @params: what it shall be
 *
 * Context: task; may sleep.
 * Return: the heap, or ERR_PTR(): -EINVAL if a parameter is out of range or no
 * engine has that name, -EEXIST if the memory given is in a pool already, -EFBIG if
 * that memory or the reserve is more than a pool of the engine can be (tlsf: less than
 * 1 TiB, evl: less than 2 TiB), -ENOMEM
 */
struct chaos_heap *chaos_heap_create(const struct chaos_heap_params *params)
{
	const struct chaos_engine *engine;
	struct chaos_heap *heap;
	int err;

	if (!params)
		return ERR_PTR(-EINVAL);
	engine = params->allocator ? chaos_engine_find(params->allocator) :
				     chaos_default->engine;
	if (!engine)
		return ERR_PTR(-EINVAL);
	err = chaos_params_check(params);
	if (err)
		return ERR_PTR(err);

	heap = chaos_heap_new(params, engine);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	err = chaos_harden_init(heap);
	if (err)
		goto free_heap;
	err = engine->init(heap);
	if (err)
		goto exit_harden;
	err = chaos_first_pools(heap, params);
	if (err) {
		chaos_heap_release(heap);
		return ERR_PTR(err);
	}
	chaos_heaps_add(heap);
	chaos_see_add(heap);
	return heap;

exit_harden:
	chaos_harden_exit(heap);
free_heap:
	mutex_destroy(&heap->mutex);
	kfree(heap);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(chaos_heap_create);

/**
 * chaos_heap_destroy() - destroy a heap, and with it all of its blocks
 * @heap: the heap, of which no function is running or will be called; NULL and
 *	error pointers are ignored.  The default heap cannot be destroyed.
 *
 * What is no heap (any more) is reported, and left alone.  With tracking, so are
 * the blocks that go, and who allocated them.
 *
 * Context: task; may sleep.
 */
void chaos_heap_destroy(struct chaos_heap *heap)
{
	if (IS_ERR_OR_NULL(heap) || heap == chaos_default)
		return;
	/* As long as it is listed, names are kept for its blocks. */
	if (chaos_heaps_have(heap) && chaos_is_tracked(heap))
		chaos_report_leaks(heap);
	if (!chaos_heaps_del(heap)) {
		pr_err("%pS: cannot destroy %p, which is no heap\n", (void *)_RET_IP_, heap);
		return;
	}
	chaos_see_remove(heap);
	chaos_heap_release(heap);
}
EXPORT_SYMBOL_GPL(chaos_heap_destroy);

/* -------------------------------- the module ------------------------------ */

static char *allocator = "mimalloc";
module_param(allocator, charp, 0400);
MODULE_PARM_DESC(allocator, "engine of the default heap: mimalloc, tlsf or evl (default mimalloc)");

/* A number of bytes; K, M, G, ... may follow. */
static int chaos_size_set(const char *val, const struct kernel_param *kp)
{
	unsigned long long size;
	char *end;

	size = memparse(val, &end);
	/* memparse() takes a lone K for 0. */
	if (!isdigit(*val) || (*end && *end != '\n') || size > SIZE_MAX) {
		pr_err("%s=%s is no size: a number of bytes is, with K, M or G if you like\n",
		       kp->name, val);
		return -EINVAL;
	}
	*(size_t *)kp->arg = size;
	return 0;
}

static int chaos_size_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%zu\n", *(size_t *)kp->arg);
}

const struct kernel_param_ops chaos_size_ops = {
	.set = chaos_size_set,
	.get = chaos_size_get,
};
EXPORT_SYMBOL_GPL(chaos_size_ops);

static size_t pool_size = CHAOS_POOL_DEFAULT;
module_param_cb(pool_size, &chaos_size_ops, &pool_size, 0400);
MODULE_PARM_DESC(pool_size, "bytes that the default heap reserves (default 16M)");

static size_t max_size = CHAOS_MAX_DEFAULT;
module_param_cb(max_size, &chaos_size_ops, &max_size, 0400);
MODULE_PARM_DESC(max_size, "bytes that the default heap may grow to; 0: it never grows (default 256M)");

static int __init chaos_check_module_params(void)
{
	if (!chaos_engine_find(allocator)) {
		pr_err("allocator=%s is unknown: mimalloc, tlsf and evl are valid\n",
		       allocator);
		return -EINVAL;
	}
	if (!chaos_pool_size_ok(pool_size)) {
		pr_err("pool_size=%zu is out of range: %lu (64K) to %zu (half of the memory) are valid\n",
		       pool_size, CHAOS_POOL_MIN, chaos_pool_limit());
		return -EINVAL;
	}
	if (max_size && (max_size < pool_size || max_size > CHAOS_SIZE_MAX)) {
		pr_err("max_size=%zu is out of range: 0 (no growth) and %zu (pool_size) to %zu are valid\n",
		       max_size, pool_size, CHAOS_SIZE_MAX);
		return -EINVAL;
	}
	return 0;
}

/* insmod can fail, a boot cannot: what was said is what the kernel's command line had. */
static void __init chaos_forget_module_params(void)
{
	allocator = "mimalloc";
	pool_size = CHAOS_POOL_DEFAULT;
	max_size = CHAOS_MAX_DEFAULT;
}

static void __init chaos_select_default(const struct chaos_engine *engine)
{
	if (engine != &chaos_mi_engine)
		static_branch_disable(&chaos_default_is_mi);
	if (engine == &chaos_evl_engine)
		static_branch_enable(&chaos_default_is_evl);
}

static int __init chaos_create_default(void)
{
	struct chaos_heap_params params = {
		.name = "default",
		.allocator = allocator,
		.pool_size = pool_size,
		.max_size = max_size,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);
	unsigned int noio;

	if (IS_ERR(heap)) {
		pr_err("no default heap: %pe for pool_size=%zu\n", heap,
		       pool_size);
		return PTR_ERR(heap);
	}
	noio = chaos_heap_lock(heap);
	chaos_default = heap;
	chaos_choose_paths(heap);
	chaos_heap_unlock(heap, noio);
	chaos_select_default(heap->engine);
	chaos_options_attach(heap);
	return 0;
}

static int __init chaos_init(void)
{
	int err;

	err = chaos_check_module_params();
	if (err && !IS_BUILTIN(CONFIG_CHAOS_ALLOC))
		return err;
	if (err)
		chaos_forget_module_params();
	chaos_faults_start();
	err = chaos_pool_map_init();
	if (err)
		goto exit_faults;
	err = chaos_grow_start();
	if (err)
		goto exit_map;
	err = chaos_gone_start();
	if (err)
		goto exit_grow;
	chaos_see_start();
	err = chaos_create_default();
	if (err)
		goto exit_see;
	pr_info("default heap: %s, %zu KiB, grows to %zu KiB\n", allocator,
		pool_size >> 10, max_size >> 10);
	return 0;

exit_see:
	chaos_see_stop();
	chaos_gone_stop();
exit_grow:
	chaos_grow_stop();
exit_map:
	chaos_pool_map_exit();
exit_faults:
	chaos_faults_stop();
	/* Clients have no way to learn that there is no default heap. */
	if (IS_BUILTIN(CONFIG_CHAOS_ALLOC))
		panic("chaos_alloc: no default heap: %pe\n", ERR_PTR(err));
	return err;
}

static void __exit chaos_exit(void)
{
	struct chaos_heap *heap;

	chaos_options_attach(NULL);
	while ((heap = chaos_heaps_last())) {
		if (heap != chaos_default)
			pr_warn("heap %s was never destroyed\n", heap->name);
		chaos_report_leaks(heap);
		chaos_heaps_del(heap);
		chaos_see_remove(heap);
		chaos_heap_release(heap);
	}
	chaos_see_stop();
	chaos_gone_stop();
	chaos_grow_stop();
	chaos_pool_map_exit();
	chaos_faults_stop();
}

/* As part of a kernel: as soon as what it needs is there, before its clients. */
postcore_initcall(chaos_init);
module_exit(chaos_exit);

MODULE_DESCRIPTION("Private heaps for kernel modules, callable from any context");
MODULE_VERSION("0.9");	/* as dkms.conf has it */
MODULE_LICENSE("GPL");
