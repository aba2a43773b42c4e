// SPDX-License-Identifier: GPL-2.0
/*
 * How a heap gets more memory, and how it gives memory back.
 *
 * A heap grows when a caller that may block finds no memory, or, by its worker,
 * when free memory falls below the watermark.  If it cannot grow, the worker has
 * what CPUs keep collected instead.  Tidying up, a delayed work that is armed
 * while there is something to tidy, collects what is overdue and returns those
 * pools that growth has added and that have been empty for a while.  The shrinker
 * returns them at once.
 *
 * A pool is returned in two steps.  Under heap->mutex, the engine lets go of it
 * for good if nothing of it is taken, and it leaves the map.  Who frees a wrong
 * pointer may have found it there just before: it is freed by chaos_free_wq
 * after a grace period.
 *
 * Locks, outermost first: cpus_read_lock(), chaos_gone_mutex (see gone.c),
 * chaos_heaps_mutex, heap->mutex.  Memory may be allocated under each of them, so reclaim,
 * and with it the shrinker, may be entered with all of them held: it only tries the last
 * two, allocates nothing and waits for nobody.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/topology.h>

#include "compat.h"
#include "engine.h"
#include "fault.h"
#include "grow.h"
#include "harden.h"
#include "heap.h"
#include "trace.h"
#include "watch.h"

/* Growth that failed is tried again after this; and so is the shrinker's luck. */
#define CHAOS_RETRY		HZ

/* Heaps are not tidied up more often than that, whatever the delays are. */
#define CHAOS_TIDY_MIN		DIV_ROUND_UP(HZ, 20)

/* In a pool's return delay, this many looks find it empty. */
#define CHAOS_TIDY_LOOKS	8

/* Work on heaps; may wait for CPUs, hotplug and memory. */
static struct workqueue_struct *chaos_wq __ro_after_init;

/* Frees pools, which reclaim waits for: must not wait for anything of these. */
static struct workqueue_struct *chaos_free_wq __ro_after_init;

/* Bytes of pools that have been returned, but are not free yet. */
static atomic_long_t chaos_leaving;

/* All heaps. */
static LIST_HEAD(chaos_heaps);
static DEFINE_MUTEX(chaos_heaps_mutex);

/* ---------------------------------- locks --------------------------------- */

/*
 * heap->mutex, and no recursion into the file system or block layer under it:
 * a caller with GFP_NOFS or GFP_NOIO waits for whoever has the mutex, and must
 * not wait for itself.
 */
unsigned int chaos_heap_lock(struct chaos_heap *heap)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&heap->mutex);
	return noio;
}

void chaos_heap_unlock(struct chaos_heap *heap, unsigned int noio)
{
	mutex_unlock(&heap->mutex);
	memalloc_noio_restore(noio);
}

/*
 * The same, for what visits all CPUs.  In this order: a CPU hotplug callback
 * may allocate.
 */
unsigned int chaos_heap_lock_cpus(struct chaos_heap *heap)
{
	cpus_read_lock();
	return chaos_heap_lock(heap);
}

void chaos_heap_unlock_cpus(struct chaos_heap *heap, unsigned int noio)
{
	chaos_heap_unlock(heap, noio);
	cpus_read_unlock();
}

/* --------------------------------- growth --------------------------------- */

/* Half of the memory is more than any module should lock away. */
size_t chaos_pool_limit(void)
{
	return totalram_pages() * PAGE_SIZE / 2;
}
EXPORT_SYMBOL_GPL(chaos_pool_limit);

/* Bytes that the heap may still grow by. */
static size_t chaos_room(const struct chaos_heap *heap)
{
	if (heap->pool_bytes >= heap->max_size)
		return 0;
	return ALIGN_DOWN(heap->max_size - heap->pool_bytes, CHAOS_UNIT_SIZE);
}

/* Of pools of @bytes, what shall be free. */
static size_t chaos_reserve(const struct chaos_heap *heap, size_t bytes)
{
	return mult_frac(bytes, READ_ONCE(heap->options.watermark), 100);
}

/* Is less free than shall be? */
static bool chaos_is_low(const struct chaos_heap *heap)
{
	size_t held = atomic_long_read(&heap->held);

	return held + chaos_reserve(heap, heap->pool_bytes) > heap->pool_bytes;
}

/*
 * Set when the worker is to be woken: if there is something that it can do.  If
 * it has just @failed, not before half of what is free now is gone, or some time
 * has passed: else every allocation would wake it.
 */
void chaos_update_low_mark(struct chaos_heap *heap, bool failed)
{
	size_t bytes = heap->pool_bytes, mark = SIZE_MAX;

	lockdep_assert_held(&heap->mutex);
	heap->retry_at = 0;
	if (chaos_room(heap) || heap->theaps) {
		mark = bytes - chaos_reserve(heap, bytes);
		if (failed) {
			size_t held = atomic_long_read(&heap->held);

			mark = max(mark, bytes - (bytes - min(held, bytes)) / 2);
			heap->retry_at = (jiffies + CHAOS_RETRY) | 1;
			chaos_keeps(heap);
		}
	}
	WRITE_ONCE(heap->low_mark, mark);
}

/* Who has to see each free has none; and only mimalloc has a fast path. */
static void chaos_choose_main_pool(struct chaos_heap *heap)
{
	struct chaos_pool *pool, *best = &chaos_no_pool;

	lockdep_assert_held(&heap->mutex);
	/* kmemleak: what is freed in NMI has to be seen first. */
	if (heap->theaps && !chaos_is_watched(heap) && !CHAOS_SAN_KMEMLEAK)
		list_for_each_entry(pool, &heap->pools, node)
			if (pool->size > best->size)
				best = pool;
	/* Pairs with the address dependency in chaos_free_fast(). */
	smp_store_release(&heap->main_pool, best);
	if (heap == chaos_default)
		smp_store_release(&chaos_default_pool, best); /* likewise */
}

/* Every allocation passes chaos_alloc_slow() if it has to be seen. */
static void chaos_set_fast_max(struct chaos_heap *heap)
{
	bool seen = READ_ONCE(heap->deferred_free) || chaos_has_trailer(heap) ||
		    chaos_is_watched(heap);
	size_t max = min_t(size_t, heap->engine->fast_max, U32_MAX);

	WRITE_ONCE(heap->fast_max, seen ? 0 : max - chaos_redzone(heap));
}

void chaos_choose_paths(struct chaos_heap *heap)
{
	chaos_set_fast_max(heap);
	chaos_choose_main_pool(heap);
}

void chaos_watch(struct chaos_heap *heap, unsigned int bits, bool on)
{
	unsigned int noio = chaos_heap_lock(heap);

	WRITE_ONCE(heap->watch, on ? heap->watch | bits : heap->watch & ~bits);
	chaos_choose_paths(heap);
	chaos_heap_unlock(heap, noio);
}

int chaos_add_pool(struct chaos_heap *heap, struct chaos_pool *pool, enum chaos_grow why)
{
	int err;

	lockdep_assert_held(&heap->mutex);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	/* Listed first: its blocks may be in use on return. */
	list_add_tail(&pool->node, &heap->pools);
	err = heap->engine->add_pool(heap, pool);
	if (err) {
		list_del(&pool->node);
		chaos_pool_free(pool);
		return err;
	}
	heap->nr_pools++;
	heap->pool_bytes += pool->size;
	chaos_choose_main_pool(heap);
	trace_grow(heap, pool->size, pool->nid, why);
	return 0;
}

/* Where the memory for a CPU of @nid shall come from. */
static int chaos_node_for(const struct chaos_heap *heap, int nid)
{
	if (heap->node != NUMA_NO_NODE)
		return heap->node;
	return num_online_nodes() > 1 ? nid : NUMA_NO_NODE;
}

/* A reserve that cannot be had is an error to report, and not worth a process's life. */
struct chaos_pool *chaos_new_reserve(struct chaos_heap *heap, size_t size)
{
	return chaos_pool_create(heap, size, GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL,
				 chaos_node_for(heap, numa_mem_id()));
}

static int chaos_grow_by(struct chaos_heap *heap, size_t size, int node,
			 enum chaos_grow why)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY;
	struct chaos_pool *pool = chaos_pool_create(heap, size, gfp, node);
	int err;

	if (!IS_ERR(pool))
		pool->grown = true;
	err = chaos_add_pool(heap, pool, why);
	if (err)
		return err;
	/* After the pool; pairs with chaos_alloc_blocking(). */
	smp_mb__before_atomic();
	atomic_long_inc(&heap->grows);
	/* One day it will be empty. */
	chaos_keeps(heap);
	return 0;
}

/*
 * Grow by the growth step, or by @need bytes if that is more, as far as max_size
 * allows.  If so much memory is not to be had, @need will do.
 */
static int chaos_grow_locked(struct chaos_heap *heap, size_t need, int nid,
			     enum chaos_grow why)
{
	size_t step = READ_ONCE(heap->options.growth_step) ?: heap->pool_bytes;
	size_t room = chaos_room(heap), want;
	int node = chaos_node_for(heap, nid);
	int err;

	lockdep_assert_held(&heap->mutex);
	want = max(need, ALIGN(min(step, room), CHAOS_UNIT_SIZE));
	if (!room || want > room)
		return -ENOSPC;
	err = chaos_grow_by(heap, want, node, why);
	if (err && want > need)
		err = chaos_grow_by(heap, need, node, why);
	return err;
}

/*
 * Grow for a request that failed when the heap had grown @grows times.  If it
 * has grown since, that may have been enough: try again first.
 */
bool chaos_grow_for(struct chaos_heap *heap, size_t size, size_t align,
		    long grows)
{
	size_t need = heap->engine->pool_need(heap, size, align);
	unsigned int noio;
	int err = 0;

	if (need > SIZE_MAX - CHAOS_UNIT_SIZE)
		return false;
	noio = chaos_heap_lock(heap);
	if (atomic_long_read(&heap->grows) == grows)
		err = chaos_grow_locked(heap, ALIGN(need, CHAOS_UNIT_SIZE),
					numa_mem_id(), CHAOS_GROW_REQUEST);
	/* Who wants more than there is says nothing about what the worker can have. */
	if (!err || !chaos_room(heap))
		chaos_update_low_mark(heap, err);
	chaos_heap_unlock(heap, noio);
	return !err;
}

/*
 * Somebody else may have grown the heap meanwhile, or freed a lot.  If it cannot
 * grow, collect what CPUs keep, once: it is the low mark that sees to it that
 * this is not done all the time.
 */
static void chaos_grow_work(struct work_struct *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, grow_work);
	unsigned int noio;
	int err = 0;

	if (READ_ONCE(heap->closing))
		return;
	noio = chaos_heap_lock(heap);
	if (chaos_is_low(heap))
		err = chaos_fails(CHAOS_FAULT_WORKER, 0) ? -ENOMEM :
		      chaos_grow_locked(heap, CHAOS_UNIT_SIZE, READ_ONCE(heap->need_node),
					CHAOS_GROW_WORKER);
	chaos_update_low_mark(heap, err);
	chaos_heap_unlock(heap, noio);
	if (err && heap->theaps)
		queue_work(chaos_wq, &heap->collect_work);
}

/*
 * On this node, or on any, but not on this CPU, which a real-time task may have for itself: the
 * worker would wake up near where its work was queued, and wait until an idle CPU fetches it.
 */
static void chaos_queue_elsewhere(struct work_struct *work, int node)
{
	const struct cpumask *cpus = node == NUMA_NO_NODE ? cpu_online_mask :
							    cpumask_of_node(node);
	unsigned int cpu = cpumask_any_but(cpus, raw_smp_processor_id());

	queue_work_on(cpu < nr_cpu_ids ? cpu : WORK_CPU_UNBOUND, chaos_wq, work);
}

/* On the node that the memory is for: before 6.16, huge pages come from there. */
static void chaos_grow_irq(struct irq_work *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, grow_irq);

	if (!READ_ONCE(heap->closing))
		chaos_queue_elsewhere(&heap->grow_work,
				      chaos_node_for(heap, READ_ONCE(heap->need_node)));
}

/*
 * The mark is lifted out of the way until the worker has set it anew.  irq_work
 * is what may be queued from NMI and under any lock.
 */
void chaos_wake_grower(struct chaos_heap *heap)
{
	WRITE_ONCE(heap->low_mark, SIZE_MAX);
	WRITE_ONCE(heap->need_node, numa_mem_id());
	irq_work_queue(&heap->grow_irq);
}

/* -------------------------------- returning ------------------------------- */

static bool chaos_pool_idle(struct chaos_heap *heap, struct chaos_pool *pool)
{
	return pool->grown && heap->engine->release_pool &&
	       !heap->engine->pool_used(heap, pool);
}

/* Is the pool the business of a shrinker for @nid?  NUMA_NO_NODE: all of them. */
static bool chaos_pool_on(const struct chaos_pool *pool, int nid)
{
	int home = pool->nid != NUMA_NO_NODE ? pool->nid : first_memory_node;

	return nid == NUMA_NO_NODE || nid == home;
}

/*
 * Would enough of @bytes of pools be free without @size of them?  Twice the
 * watermark, or the heap might grow again at once.
 */
static bool chaos_can_spare(const struct chaos_heap *heap, size_t bytes,
			    size_t size)
{
	size_t held = atomic_long_read(&heap->held);

	bytes -= size;
	return held <= bytes && bytes - held >= 2 * chaos_reserve(heap, bytes);
}

/* The last of a pool: nobody can have found it in the map any longer. */
static void chaos_free_work(struct work_struct *work)
{
	struct chaos_pool *pool = container_of(to_rcu_work(work),
					       struct chaos_pool, free_work);
	size_t size = pool->size;

	pool->heap->engine->remove_pool(pool->heap, pool);
	chaos_pool_free(pool);
	atomic_long_sub(size, &chaos_leaving);
}

/* Pools that have been returned before are free on return. */
static void chaos_flush_returns(void)
{
	rcu_barrier();
	flush_workqueue(chaos_free_wq);
}

static bool chaos_return_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	lockdep_assert_held(&heap->mutex);
	if (!heap->engine->release_pool(heap, pool))
		return false;
	list_del(&pool->node);
	heap->nr_pools--;
	heap->pool_bytes -= pool->size;
	atomic_long_inc(&heap->returns);
	atomic_long_add(pool->size, &chaos_leaving);
	chaos_choose_main_pool(heap);
	trace_shrink(heap, pool->size, pool->nid);
	chaos_pool_withdraw(pool);
	INIT_RCU_WORK(&pool->free_work, chaos_free_work);
	queue_rcu_work(chaos_free_wq, &pool->free_work);	/* model: pool-grace */
	return true;
}

/* Has the pool been empty for @delay?  Takes note of it if it is now. */
static bool chaos_idle_for(struct chaos_heap *heap, struct chaos_pool *pool,
			   unsigned long delay)
{
	if (!chaos_pool_idle(heap, pool)) {
		pool->idle_since = 0;
		return false;
	}
	if (!pool->idle_since)
		pool->idle_since = jiffies | 1;
	return !delay || time_after_eq(jiffies, pool->idle_since + delay);
}

/*
 * Return pools on @nid that have been empty for @delay, the newest first, until
 * these are @bytes.
 */
static size_t chaos_return_idle(struct chaos_heap *heap, unsigned long delay,
				int nid, size_t bytes)
{
	struct chaos_pool *pool, *next;
	size_t done = 0, size;

	lockdep_assert_held(&heap->mutex);
	list_for_each_entry_safe_reverse(pool, next, &heap->pools, node) {
		if (done >= bytes)
			break;
		size = pool->size;
		if (chaos_pool_on(pool, nid) &&
		    chaos_idle_for(heap, pool, delay) &&
		    chaos_can_spare(heap, heap->pool_bytes, size) &&
		    chaos_return_pool(heap, pool))
			done += size;
	}
	if (done)
		chaos_update_low_mark(heap, false);
	return done;
}

/* ------------------------------- collection ------------------------------- */

/*
 * Have the engine collect; with @force, return whatever is empty then.  With CPU
 * hotplug locked out.
 */
void chaos_collect_locked(struct chaos_heap *heap, bool force)
{
	lockdep_assert_held(&heap->mutex);
	heap->engine->collect(heap, force);
	if (force)
		chaos_return_idle(heap, 0, NUMA_NO_NODE, SIZE_MAX);
}

static void chaos_collect_work(struct work_struct *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap,
					       collect_work);
	unsigned int noio = chaos_heap_lock_cpus(heap);

	heap->engine->collect(heap, true);
	WRITE_ONCE(heap->collects, heap->collects + 1);
	chaos_heap_unlock_cpus(heap, noio);
	wake_up_all(&heap->collect_wait);
}

/*
 * Have all CPUs give back what they keep; unless that could not be enough anyway: false.
 * This goes through a worker, and with a timeout, because it waits for each CPU, and for
 * CPU hotplug: an allocation must not hang where one of them does not schedule, or hotplug
 * is under way, perhaps by the caller itself.
 */
bool chaos_collect_wait(struct chaos_heap *heap, size_t size, size_t align)
{
	unsigned long before = READ_ONCE(heap->collects);

	/* Only mimalloc's CPUs keep something. */
	if (!heap->theaps ||
	    heap->engine->pool_need(heap, size, align) > READ_ONCE(heap->pool_bytes))
		return false;
	queue_work(chaos_wq, &heap->collect_work);
	wait_event_timeout(heap->collect_wait,
			   READ_ONCE(heap->collects) != before,
			   CHAOS_COLLECT_TIMEOUT);
	return true;
}

/* --------------------------------- tidying -------------------------------- */

/*
 * Growth that failed is due again.  It is allocations that find the heap low and wake the
 * worker, but if it is full, there are none.
 */
static void chaos_grow_again(struct chaos_heap *heap)
{
	chaos_update_low_mark(heap, false);
	if (chaos_room(heap) && chaos_is_low(heap))
		chaos_wake_grower(heap);
}

static unsigned long chaos_return_delay(const struct chaos_heap *heap)
{
	return msecs_to_jiffies(READ_ONCE(heap->options.return_delay));
}

static unsigned long chaos_retire_delay(const struct chaos_heap *heap)
{
	return msecs_to_jiffies(READ_ONCE(heap->options.retire_delay));
}

/* Jiffies from now until @when, or 0 if that has passed. */
static unsigned long chaos_until(unsigned long when)
{
	return time_after(when, jiffies) ? when - jiffies : 0;
}

/*
 * When to look again: in jiffies from now, or MAX_SCHEDULE_TIMEOUT if there is no
 * need to.  @kept: the engine keeps something.
 */
static unsigned long chaos_next_tidy(struct chaos_heap *heap, bool kept)
{
	unsigned long delay = chaos_return_delay(heap), next = MAX_SCHEDULE_TIMEOUT;
	struct chaos_pool *pool;

	if (kept)
		next = chaos_retire_delay(heap);
	if (heap->retry_at)
		next = min(next, chaos_until(heap->retry_at));
	list_for_each_entry(pool, &heap->pools, node) {
		unsigned long due = pool->idle_since + delay;

		if (!pool->grown)
			continue;
		next = min(next, delay / CHAOS_TIDY_LOOKS);
		/* One that is due already is one that the heap cannot spare. */
		if (pool->idle_since && time_after(due, jiffies))
			next = min(next, chaos_until(due));
	}
	return max_t(unsigned long, next, CHAOS_TIDY_MIN);
}

/*
 * Disarmed first: who keeps something while this runs arms it again, and what was
 * kept before is found.
 */
static void chaos_tidy_work(struct work_struct *work)
{
	struct chaos_heap *heap = container_of(to_delayed_work(work),
					       struct chaos_heap, tidy_work);
	unsigned long next;
	unsigned int noio;
	bool kept;

	if (READ_ONCE(heap->closing))
		return;
	WRITE_ONCE(heap->tidy_armed, 0);
	/*
	 * Pairs with what makes each CPU collect: there, chaos_keeps() comes
	 * after what it is about.
	 */
	smp_mb();
	noio = chaos_heap_lock_cpus(heap);
	kept = heap->engine->collect(heap, false);
	chaos_return_idle(heap, chaos_return_delay(heap), NUMA_NO_NODE, SIZE_MAX);
	if (heap->retry_at && !chaos_until(heap->retry_at))
		chaos_grow_again(heap);
	next = chaos_next_tidy(heap, kept);
	chaos_heap_unlock_cpus(heap, noio);
	if (next == MAX_SCHEDULE_TIMEOUT)
		return;
	WRITE_ONCE(heap->tidy_armed, 1);
	queue_delayed_work(chaos_wq, &heap->tidy_work, next);
}

/*
 * Something is new: it may be overdue, or empty, as soon as that.  The timer is not started
 * by the irq_work: it would be its CPU's, which may run a real-time task that never sleeps, and
 * on PREEMPT_RT timers wait for that.
 */
static void chaos_arm_work(struct work_struct *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, arm_work);
	unsigned long next = min(chaos_retire_delay(heap),
				 chaos_return_delay(heap) / CHAOS_TIDY_LOOKS);

	if (!READ_ONCE(heap->closing))
		queue_delayed_work(chaos_wq, &heap->tidy_work,
				   max_t(unsigned long, next, CHAOS_TIDY_MIN));
}

static void chaos_tidy_irq(struct irq_work *work)
{
	struct chaos_heap *heap = container_of(work, struct chaos_heap, tidy_irq);

	if (!READ_ONCE(heap->closing))
		chaos_queue_elsewhere(&heap->arm_work, NUMA_NO_NODE);
}

void chaos_arm_tidy(struct chaos_heap *heap)
{
	if (!xchg(&heap->tidy_armed, 1))
		irq_work_queue(&heap->tidy_irq);
}

/* heap->options are not what they were: what follows from them is set anew. */
void chaos_options_changed(struct chaos_heap *heap)
{
	unsigned int noio = chaos_heap_lock(heap);

	chaos_update_low_mark(heap, false);
	chaos_heap_unlock(heap, noio);
	mod_delayed_work(chaos_wq, &heap->tidy_work, 0);
}

/* -------------------------------- shrinking ------------------------------- */

/* What chaos_return_idle() would return at once on @nid, in bytes. */
static size_t chaos_idle_bytes(struct chaos_heap *heap, int nid)
{
	size_t left = heap->pool_bytes;
	struct chaos_pool *pool;

	lockdep_assert_held(&heap->mutex);
	list_for_each_entry_reverse(pool, &heap->pools, node)
		if (chaos_pool_on(pool, nid) && chaos_pool_idle(heap, pool) &&
		    chaos_can_spare(heap, left, pool->size))
			left -= pool->size;
	return heap->pool_bytes - left;
}

/* Is there a pool that could be returned if it were empty? */
static bool chaos_has_busy(struct chaos_heap *heap)
{
	struct chaos_pool *pool;

	list_for_each_entry(pool, &heap->pools, node)
		if (pool->grown && !chaos_pool_idle(heap, pool))
			return true;
	return false;
}

/*
 * A pool may be empty but for what CPUs keep: then the next shrinker finds more.
 */
static void chaos_kick_collect(struct chaos_heap *heap)
{
	lockdep_assert_held(&heap->mutex);
	if (!heap->theaps || chaos_until(heap->kicked_at + CHAOS_RETRY) ||
	    !chaos_has_busy(heap))
		return;
	heap->kicked_at = jiffies;
	queue_work(chaos_wq, &heap->collect_work);
}

static size_t chaos_shrink_heap(struct chaos_heap *heap, int nid, size_t bytes)
{
	size_t done;

	if (!mutex_trylock(&heap->mutex))
		return 0;
	done = bytes ? chaos_return_idle(heap, 0, nid, bytes) :
		       chaos_idle_bytes(heap, nid);
	chaos_kick_collect(heap);
	mutex_unlock(&heap->mutex);
	return done;
}

/* Return @bytes of all heaps, or, for 0, say how many could be. */
static size_t chaos_shrink_heaps(int nid, size_t bytes)
{
	struct chaos_heap *heap;
	size_t done = 0;

	if (!mutex_trylock(&chaos_heaps_mutex))
		return 0;
	list_for_each_entry(heap, &chaos_heaps, node_in_heaps) {
		if (bytes && done >= bytes)
			break;
		done += chaos_shrink_heap(heap, nid, bytes ? bytes - done : 0);
	}
	mutex_unlock(&chaos_heaps_mutex);
	return done;
}

static unsigned long chaos_shrink_count(struct shrinker *shrinker,
					struct shrink_control *sc)
{
	return chaos_shrink_heaps(sc->nid, 0) >> PAGE_SHIFT;
}

/* Pools go as a whole, so it may be more than was asked for. */
static unsigned long chaos_shrink_scan(struct shrinker *shrinker,
				       struct shrink_control *sc)
{
	size_t pages = min_t(size_t, sc->nr_to_scan, SIZE_MAX >> PAGE_SHIFT);
	unsigned long freed;

	freed = chaos_shrink_heaps(sc->nid, pages << PAGE_SHIFT) >> PAGE_SHIFT;
	if (!freed)
		return SHRINK_STOP;
	sc->nr_scanned = max(sc->nr_scanned, freed);
	return freed;
}

/*
 * What shrinkers have returned is free after a grace period only, and reclaim
 * takes no account of it.  Before the kernel kills a process, wait for that.
 */
static int chaos_oom(struct notifier_block *nb, unsigned long unused, void *freed)
{
	unsigned long leaving;

	chaos_shrink_heaps(NUMA_NO_NODE, SIZE_MAX);
	leaving = atomic_long_read(&chaos_leaving);
	if (!leaving)
		return NOTIFY_DONE;
	chaos_flush_returns();
	*(unsigned long *)freed += leaving >> PAGE_SHIFT;
	return NOTIFY_OK;
}

static struct notifier_block chaos_oom_nb = { .notifier_call = chaos_oom };

/* ------------------------- creation and destruction ------------------------ */

void chaos_grow_init(struct chaos_heap *heap)
{
	heap->low_mark = SIZE_MAX;
	heap->kicked_at = jiffies - CHAOS_RETRY;
	mutex_init(&heap->mutex);
	INIT_LIST_HEAD(&heap->pools);
	/*
	 * Hard: on PREEMPT_RT, others are run by a thread of their CPU's, which waits for real-time
	 * tasks of a higher priority, and for its CPU to come back.
	 */
	heap->grow_irq = IRQ_WORK_INIT_HARD(chaos_grow_irq);
	INIT_WORK(&heap->grow_work, chaos_grow_work);
	heap->tidy_irq = IRQ_WORK_INIT_HARD(chaos_tidy_irq);
	INIT_WORK(&heap->arm_work, chaos_arm_work);
	INIT_DELAYED_WORK(&heap->tidy_work, chaos_tidy_work);
	INIT_WORK(&heap->collect_work, chaos_collect_work);
	init_waitqueue_head(&heap->collect_wait);
}

/*
 * Called once more a grace period later: an irq_work that ran on two CPUs at once has been waited
 * for on one of them, see chaos_san_quiesce(); the other has ended by then.  If it had not seen
 * that the heap is closing, what it queued does, and does nothing.
 */
void chaos_cancel_works(struct chaos_heap *heap)
{
	/* Each may queue those behind it. */
	cancel_work_sync(&heap->grow_work);
	cancel_work_sync(&heap->collect_work);
	cancel_work_sync(&heap->arm_work);
	cancel_delayed_work_sync(&heap->tidy_work);
}

/* Nothing of the heap is done in the background any more, but see chaos_cancel_works(). */
void chaos_grow_exit(struct chaos_heap *heap)
{
	WRITE_ONCE(heap->closing, true);
	/* An irq_work that begins when irq_work_sync() has found none sees that. */
	smp_mb();
	irq_work_sync(&heap->grow_irq);
	irq_work_sync(&heap->tidy_irq);
	chaos_cancel_works(heap);
	heap->engine->quiesce(heap);
	/* These may have queued them again; they find the heap closing. */
	irq_work_sync(&heap->grow_irq);
	irq_work_sync(&heap->tidy_irq);
	/* Pools that were returned, but are not free yet, need the engine. */
	if (atomic_long_read(&heap->returns))
		chaos_flush_returns();
}

/* How many of the tracepoints alloc and free have listeners; under chaos_heaps_mutex. */
static unsigned int chaos_tracers;

static void chaos_trace_heaps(int by)
{
	struct chaos_heap *heap;

	mutex_lock(&chaos_heaps_mutex);
	chaos_tracers += by;
	list_for_each_entry(heap, &chaos_heaps, node_in_heaps)
		chaos_watch(heap, CHAOS_WATCH_TRACE, chaos_tracers);
	mutex_unlock(&chaos_heaps_mutex);
}

/* From the kernel, which may do so before the module's first line, or after its last. */
int chaos_trace_begin(void)
{
	chaos_trace_heaps(1);
	return 0;
}

void chaos_trace_end(void)
{
	chaos_trace_heaps(-1);
}

void chaos_heaps_add(struct chaos_heap *heap)
{
	mutex_lock(&chaos_heaps_mutex);
	list_add_tail(&heap->node_in_heaps, &chaos_heaps);
	if (chaos_tracers)
		chaos_watch(heap, CHAOS_WATCH_TRACE, true);
	mutex_unlock(&chaos_heaps_mutex);
}

/* False if there is no heap at @heap: what is there is not looked at. */
static bool chaos_heaps_find(struct chaos_heap *heap)
{
	struct chaos_heap *one;

	lockdep_assert_held(&chaos_heaps_mutex);
	list_for_each_entry(one, &chaos_heaps, node_in_heaps)
		if (one == heap)
			return true;
	return false;
}

bool chaos_heaps_have(struct chaos_heap *heap)
{
	bool found;

	mutex_lock(&chaos_heaps_mutex);
	found = chaos_heaps_find(heap);
	mutex_unlock(&chaos_heaps_mutex);
	return found;
}

bool chaos_heaps_del(struct chaos_heap *heap)
{
	bool found;

	mutex_lock(&chaos_heaps_mutex);
	found = chaos_heaps_find(heap);
	if (found)
		list_del(&heap->node_in_heaps);
	mutex_unlock(&chaos_heaps_mutex);
	return found;
}

/* The youngest heap, or NULL. */
struct chaos_heap *chaos_heaps_last(void)
{
	struct chaos_heap *heap;

	mutex_lock(&chaos_heaps_mutex);
	heap = list_empty(&chaos_heaps) ? NULL :
	       list_last_entry(&chaos_heaps, struct chaos_heap, node_in_heaps);
	mutex_unlock(&chaos_heaps_mutex);
	return heap;
}

/* None is destroyed meanwhile. */
void chaos_heaps_each(void (*fn)(struct chaos_heap *heap, void *arg), void *arg)
{
	struct chaos_heap *heap;

	mutex_lock(&chaos_heaps_mutex);
	list_for_each_entry(heap, &chaos_heaps, node_in_heaps)
		fn(heap, arg);
	mutex_unlock(&chaos_heaps_mutex);
}

/* -------------------------------- the module ------------------------------ */

static struct shrinker *chaos_shrinker;
static int chaos_cpuhp_state;

/* The CPU is gone, and hotplug locked out. */
static int chaos_cpu_dead(unsigned int cpu)
{
	struct chaos_heap *heap;
	unsigned int noio;

	mutex_lock(&chaos_heaps_mutex);
	list_for_each_entry(heap, &chaos_heaps, node_in_heaps) {
		if (!heap->engine->cpu_dead)
			continue;
		noio = chaos_heap_lock(heap);
		heap->engine->cpu_dead(heap, cpu);
		chaos_heap_unlock(heap, noio);
	}
	mutex_unlock(&chaos_heaps_mutex);
	return 0;
}

static struct workqueue_struct *chaos_new_wq(const char *name, unsigned int flags)
{
	return chaos_unless_fails(CHAOS_FAULT_SETUP, alloc_workqueue("%s", flags, 0, name));
}

static struct shrinker *chaos_new_shrinker(void)
{
	if (chaos_fails(CHAOS_FAULT_SETUP, 0))
		return NULL;
	return chaos_shrinker_add("chaos_alloc", SHRINKER_NUMA_AWARE, chaos_shrink_count,
				  chaos_shrink_scan);
}

static void chaos_destroy_wqs(void)
{
	if (chaos_wq)
		destroy_workqueue(chaos_wq);
	if (chaos_free_wq)
		destroy_workqueue(chaos_free_wq);
}

int __init chaos_grow_start(void)
{
	int err = -ENOMEM;

	chaos_wq = chaos_new_wq("chaos_alloc", WQ_UNBOUND);
	chaos_free_wq = chaos_new_wq("chaos_alloc_free", WQ_UNBOUND | WQ_MEM_RECLAIM);
	if (!chaos_wq || !chaos_free_wq)
		goto exit_wqs;
	err = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "chaos_alloc:dead",
					NULL, chaos_cpu_dead);
	if (err < 0)
		goto exit_wqs;
	chaos_cpuhp_state = err;
	chaos_shrinker = chaos_new_shrinker();
	err = chaos_shrinker ? register_oom_notifier(&chaos_oom_nb) : -ENOMEM;
	if (!err)
		return 0;
	if (chaos_shrinker)
		chaos_shrinker_remove(chaos_shrinker);
	cpuhp_remove_state_nocalls(chaos_cpuhp_state);
exit_wqs:
	chaos_destroy_wqs();
	return err;
}

/* There are no heaps any more. */
void chaos_grow_stop(void)
{
	unregister_oom_notifier(&chaos_oom_nb);
	chaos_shrinker_remove(chaos_shrinker);
	cpuhp_remove_state_nocalls(chaos_cpuhp_state);
	chaos_destroy_wqs();
}
