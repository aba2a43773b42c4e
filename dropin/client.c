// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_kmalloc: clients, which are modules that were built with chaos_kmalloc.h, and
 * the functions that it puts in place of kmalloc() and its like.
 *
 * Each client has a heap with its name, made by its first request with GFP_KERNEL that is not
 * kept from the file system or the block layer, nor made while memory is reclaimed.  What it
 * asks for before, or with flags that no heap can honour, comes from the kernel.  That is no
 * loss of order: whoever frees, asks where a block is from.
 *
 * When a client's module goes, so does its heap, unless blocks in it are live: those the
 * client may have handed to the kernel, as is its right with kmalloc()'s.  Such a heap is
 * reported, and stays until the last of them has been freed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/async.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "dropin.h"
#include "engine.h"
#include "grow.h"
#include "heap.h"

#define CLIENT_POOL	SZ_1M
#define CLIENT_MAX	SZ_256M

static char *allocator;
module_param(allocator, charp, 0400);
MODULE_PARM_DESC(allocator, "engine of clients' heaps: mimalloc, tlsf or evl (default: that of chaos_alloc)");

static size_t pool_size = CLIENT_POOL;
module_param_cb(pool_size, &chaos_size_ops, &pool_size, 0400);
MODULE_PARM_DESC(pool_size, "bytes that a client's heap reserves (default 1M)");

static size_t max_size = CLIENT_MAX;
module_param_cb(max_size, &chaos_size_ops, &max_size, 0400);
MODULE_PARM_DESC(max_size, "bytes that a client's heap may grow to (default 256M)");

/**
 * struct orphan - the heap of a client that has gone, with blocks that have not
 * @node: in the list of these
 * @heap: it
 */
struct orphan {
	struct list_head node;
	struct chaos_heap *heap;
};

/* How often it is looked whether they are empty, in seconds */
#define ORPHANS_PERIOD	2

static void orphans_look(struct work_struct *work);

/*
 * Two locks, because a client's first request may come from a CPU hotplug callback, and who
 * looks at a heap's figures locks hotplug out.  Outermost first:
 *
 *   ends_mutex       heaps in the lists stay; not for requests
 *   cpus_read_lock()
 *   clients_mutex    the making of heaps; what is in the list of clients
 *
 * So clients go under both, but may come while somebody with ends_mutex looks at the list.
 */
static DEFINE_MUTEX(ends_mutex);
static DEFINE_MUTEX(clients_mutex);
static LIST_HEAD(clients);
static LIST_HEAD(orphans);
static DECLARE_DELAYED_WORK(orphans_work, orphans_look);

/* ----------------------------------- heaps --------------------------------- */

/*
 * To make a heap takes memory of the kernel's, with GFP_KERNEL, and time.  So the caller
 * must be one who could wait for both, and is not freeing memory itself.
 */
static bool may_open(gfp_t gfp)
{
	return (current_gfp_context(gfp) & GFP_KERNEL) == GFP_KERNEL &&
	       !(current->flags & PF_MEMALLOC);
}

/* After a heap could not be made, it is not tried again for so many seconds. */
#define OPEN_PAUSE	10

static bool is_pausing(const struct chaos_client *client)
{
	unsigned long until = READ_ONCE(client->pause);

	return until && time_before(jiffies, until);
}

/* The client gets none, for now: what it asks for is the kernel's. */
static void client_fails(struct chaos_client *client, struct chaos_heap *err)
{
	if (!client->pause)
		pr_warn("%s gets no heap: %pe\n", module_name(client->owner), err);
	/* 0 is no time. */
	WRITE_ONCE(client->pause, (jiffies + OPEN_PAUSE * HZ) | 1);
}

static struct chaos_heap *client_make(struct chaos_client *client)
{
	struct chaos_heap_params params = {
		.name = module_name(client->owner),
		.allocator = allocator,
		.pool_size = pool_size,
		.max_size = max(max_size, pool_size),
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);

	if (IS_ERR(heap)) {
		client_fails(client, heap);
		return NULL;
	}
	/* Pairs with chaos_client_heap(): the heap before the pointer. */
	smp_store_release(&client->heap, heap);
	list_add_rcu(&client->node, &clients);
	return heap;
}

static noinline struct chaos_heap *client_open(struct chaos_client *client)
{
	struct chaos_heap *heap;

	mutex_lock(&clients_mutex);
	heap = client->heap;
	/* Who has no heap when it goes gets none: nobody would end it. */
	if (!heap && client->owner->state != MODULE_STATE_GOING && !is_pausing(client))
		heap = client_make(client);
	mutex_unlock(&clients_mutex);
	return heap;
}

struct chaos_heap *chaos_client_heap(struct chaos_client *client, gfp_t gfp)
{
	/* Pairs with client_make(). */
	struct chaos_heap *heap = smp_load_acquire(&client->heap);

	if (unlikely(!heap) && may_open(gfp) && !is_pausing(client))
		heap = client_open(client);
	return heap;
}

static size_t live_blocks(struct chaos_heap *heap, size_t *bytes)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	*bytes = stats.live_bytes;
	return stats.live_blocks;
}

/*
 * Of a heap without a live block.  But whoever has freed the last one may still be about it:
 * that is an RCU section, see chaos_kfree().
 */
static void heap_destroy(struct chaos_heap *heap)
{
	synchronize_rcu();
	chaos_heap_destroy(heap);
}

/*
 * Free the heap of a client that has gone, or remember it.  Then this module has to stay:
 * if the kernel frees one of these blocks, it is caught.
 */
static void heap_end(struct chaos_heap *heap)
{
	size_t bytes, blocks = live_blocks(heap, &bytes);
	struct orphan *orphan;

	if (!blocks) {
		heap_destroy(heap);
		return;
	}
	pr_warn("%s has gone and left %zu blocks of %zu bytes, which stay\n", heap->name,
		blocks, bytes);
	orphan = kmalloc(sizeof(*orphan), GFP_KERNEL | __GFP_NOFAIL);
	orphan->heap = heap;
	__module_get(THIS_MODULE);
	mutex_lock(&ends_mutex);
	list_add(&orphan->node, &orphans);
	mutex_unlock(&ends_mutex);
	schedule_delayed_work(&orphans_work, ORPHANS_PERIOD * HZ);
}

/* The exit function waits until this has returned. */
static void orphans_look(struct work_struct *work)
{
	struct orphan *orphan, *next;
	size_t bytes;

	mutex_lock(&ends_mutex);
	list_for_each_entry_safe(orphan, next, &orphans, node) {
		if (live_blocks(orphan->heap, &bytes))
			continue;
		list_del(&orphan->node);
		heap_destroy(orphan->heap);
		kfree(orphan);
		module_put(THIS_MODULE);
	}
	if (!list_empty(&orphans))
		schedule_delayed_work(&orphans_work, ORPHANS_PERIOD * HZ);
	mutex_unlock(&ends_mutex);
}

/* Its heap is nobody's to be seen or asked any more: for the caller to end, or NULL. */
static struct chaos_heap *client_unlink(struct chaos_client *client)
{
	struct chaos_heap *heap;

	mutex_lock(&ends_mutex);
	mutex_lock(&clients_mutex);
	heap = client->heap;
	if (heap) {
		list_del(&client->node);
		client->heap = NULL;
	}
	mutex_unlock(&clients_mutex);
	mutex_unlock(&ends_mutex);
	return heap;
}

/**
 * chaos_client_close() - the end of a client
 * @client: it makes no requests any more, but may have left blocks to chaos_kfree_rcu()
 *
 * Context: task; may sleep.
 */
void chaos_client_close(struct chaos_client *client)
{
	struct chaos_heap *heap = client_unlink(client);

	if (!heap)
		return;
	chaos_kfree_rcu_barrier();
	/* Objects of caches that are free after a grace period. */
	rcu_barrier();
	heap_end(heap);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_client_close);

/* For clients that open from now on. */
void chaos_client_set(const char *name, size_t max)
{
	mutex_lock(&clients_mutex);
	allocator = (char *)name;
	max_size = max;
	mutex_unlock(&clients_mutex);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_client_set);

static struct chaos_client *client_of(const struct module *owner)
{
	struct chaos_client *client, *found = NULL;

	mutex_lock(&clients_mutex);
	list_for_each_entry(client, &clients, node)
		if (client->owner == owner)
			found = client;
	mutex_unlock(&clients_mutex);
	return found;
}

/*
 * Its exit function, if it was ever loaded, has returned.  What it has left to async_schedule(),
 * the kernel waits for after this only.  (As it does, so do we: for everybody's.)
 */
static int module_event(struct notifier_block *nb, unsigned long event, void *module)
{
	struct chaos_client *client;

	if (event != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	/* It is nobody else's to take off the list. */
	client = client_of(module);
	if (!client)
		return NOTIFY_OK;
	async_synchronize_full();
	chaos_client_close(client);
	return NOTIFY_OK;
}

static struct notifier_block module_nb = { .notifier_call = module_event };

/* --------------------------------- allocation ------------------------------ */

/*
 * What a heap refuses and kmalloc() understands.  Accounting is no loss: the heap has a
 * budget of its own.  Of a wish for a node, nothing is left here.
 */
#define CLIENT_IGNORED	(__GFP_ACCOUNT | __GFP_THISNODE | __GFP_RECLAIMABLE)

static bool heap_refuses(gfp_t gfp)
{
	return gfp & (CHAOS_GFP_REFUSED & ~(CLIENT_IGNORED | __GFP_NOFAIL));
}

/* A block that @heap shall give, and does not: is it the kernel's to give? */
static bool is_kernels(const struct chaos_heap *heap, gfp_t gfp)
{
	return !heap || gfp & __GFP_NOFAIL || heap_refuses(gfp);
}

static void *heap_alloc(struct chaos_heap *heap, size_t size, size_t align, gfp_t gfp,
			unsigned long caller)
{
	if (unlikely(!heap || heap_refuses(gfp)))
		return NULL;
	if (unlikely(gfp & __GFP_NOFAIL))
		gfp |= __GFP_NOWARN;
	gfp &= ~(CLIENT_IGNORED | __GFP_NOFAIL);
	align = max_t(size_t, align, CHAOS_MIN_ALIGN);
	return chaos_heap_alloc_track_caller(heap, size, align, gfp, caller);
}

/* kmalloc() aligns powers of two. */
void *chaos_kernel_alloc(size_t size, size_t align, gfp_t gfp)
{
	return kmalloc(align > ARCH_KMALLOC_MINALIGN ? roundup_pow_of_two(max(size, align)) :
		       size, gfp);
}

/**
 * chaos_client_alloc() - memory for a client
 * @client: it
 * @size: bytes
 * @align: of the block, a power of two
 * @gfp: as for kmalloc()
 * @caller: who asks
 *
 * Context: as kmalloc(); from a heap: any.
 * Return: a block, ZERO_SIZE_PTR or NULL
 */
void *chaos_client_alloc(struct chaos_client *client, size_t size, size_t align, gfp_t gfp,
			 unsigned long caller)
{
	struct chaos_heap *heap = chaos_client_heap(client, gfp);
	void *p = heap_alloc(heap, size, align, gfp, caller);

	return p || !is_kernels(heap, gfp) ? p : chaos_kernel_alloc(size, align, gfp);
}

/*
 * What kmalloc() promises: the largest power of two that divides the size.  But for what
 * the heap's engine does by itself: powers of two, up to a page.
 */
static size_t natural_align(const struct chaos_heap *heap, size_t size)
{
	if (heap && heap->engine->natural && size <= PAGE_SIZE && is_power_of_2(size))
		return CHAOS_MIN_ALIGN;
	return clamp(size & -size, (size_t)CHAOS_MIN_ALIGN, (size_t)CHAOS_MAX_ALIGN);
}

void *chaos_client_kmalloc(struct chaos_client *client, size_t size, gfp_t gfp,
			   unsigned long caller)
{
	struct chaos_heap *heap = chaos_client_heap(client, gfp);
	void *p = heap_alloc(heap, size, natural_align(heap, size), gfp, caller);

	return likely(p) || !is_kernels(heap, gfp) ? p : kmalloc(size, gfp);
}

void *chaos_client_kvmalloc(struct chaos_client *client, size_t size, gfp_t gfp,
			    unsigned long caller)
{
	struct chaos_heap *heap = chaos_client_heap(client, gfp);
	void *p = heap_alloc(heap, size, natural_align(heap, size), gfp, caller);

	return likely(p) || !is_kernels(heap, gfp) ? p : kvmalloc(size, gfp);
}

/**
 * chaos_kmalloc() - kmalloc() from a client's heap
 * @client: whose
 * @size: bytes; the block is aligned to the largest power of two that divides them, up to
 *	4 MiB
 * @gfp: as for kmalloc()
 *
 * A client's first requests, if they may not sleep, and those for zones, are the kernel's.
 *
 * Context: as kmalloc(); with a heap: any.
 * Return: a block, ZERO_SIZE_PTR or NULL
 */
void *chaos_kmalloc(struct chaos_client *client, size_t size, gfp_t gfp)
{
	return chaos_client_kmalloc(client, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kmalloc);

/**
 * chaos_kmalloc_array() - kmalloc_array() from a client's heap
 * @client: whose
 * @n: elements
 * @size: bytes of each
 * @gfp: as for kmalloc()
 *
 * Context: see chaos_kmalloc()
 * Return: a block, ZERO_SIZE_PTR; NULL, also if the product does not fit a size_t
 */
void *chaos_kmalloc_array(struct chaos_client *client, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (unlikely(check_mul_overflow(n, size, &bytes)))
		return NULL;
	return chaos_client_kmalloc(client, bytes, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kmalloc_array);

/**
 * chaos_kvmalloc() - kvmalloc() from a client's heap
 * @client: whose
 * @size: bytes
 * @gfp: as for kvmalloc()
 *
 * The heap's memory is vmalloc()'s whatever the size, so there is but one kind.
 *
 * Context: task, as kvmalloc(); with a heap: any.
 * Return: a block, ZERO_SIZE_PTR or NULL
 */
void *chaos_kvmalloc(struct chaos_client *client, size_t size, gfp_t gfp)
{
	return chaos_client_kvmalloc(client, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kvmalloc);

/**
 * chaos_kvmalloc_array() - kvmalloc_array() from a client's heap
 * @client: whose
 * @n: elements
 * @size: bytes of each
 * @gfp: as for kvmalloc()
 *
 * Context: see chaos_kvmalloc()
 * Return: a block, ZERO_SIZE_PTR; NULL, also if the product does not fit a size_t
 */
void *chaos_kvmalloc_array(struct chaos_client *client, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (unlikely(check_mul_overflow(n, size, &bytes)))
		return NULL;
	return chaos_client_kvmalloc(client, bytes, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kvmalloc_array);

/* ------------------------------- reallocation ------------------------------ */

/* A block of @heap in place of @p, which is of it as well; see is_kernels(), and @kv. */
static void *move_block(struct chaos_heap *heap, const void *p, size_t size, gfp_t gfp,
			bool kv, unsigned long caller)
{
	size_t old = chaos_heap_usable_size(heap, p);
	void *new = heap_alloc(heap, size, natural_align(heap, size), gfp, caller);

	if (!new && is_kernels(heap, gfp))
		new = kv ? kvmalloc(size, gfp) : kmalloc(size, gfp);
	if (new) {
		memcpy(new, p, min(old, size));
		chaos_client_free(p, caller);
	}
	return new;
}

static void *resize_block(struct chaos_heap *heap, const void *p, size_t size, gfp_t gfp,
			  bool kv, unsigned long caller)
{
	void *new;

	if (!size) {
		chaos_client_free(p, caller);
		return ZERO_SIZE_PTR;
	}
	if (is_kernels(heap, gfp))
		return move_block(heap, p, size, gfp, kv, caller);
	new = chaos_heap_realloc_track_caller(heap, p, size, gfp & ~CLIENT_IGNORED, caller);
	/* Which does not align it.  If there is no memory for both, it is not. */
	if (new && !IS_ALIGNED((unsigned long)new, natural_align(NULL, size)))
		new = move_block(heap, new, size, gfp | __GFP_NOWARN, kv, caller) ?: new;
	return new;
}

static void *client_krealloc(struct chaos_client *client, const void *p, size_t size,
			     gfp_t gfp, unsigned long caller)
{
	struct chaos_heap *heap;

	if (ZERO_OR_NULL_PTR(p))
		return chaos_client_kmalloc(client, size, gfp, caller);
	heap = chaos_heap_of(p);
	if (!heap)
		return krealloc(p, size, gfp);
	return resize_block(heap, p, size, gfp, false, caller);
}

/**
 * chaos_krealloc() - krealloc() from a client's heap
 * @client: whose
 * @p: a block, of whomever; ZERO_SIZE_PTR or NULL
 * @size: bytes; 0: @p is freed
 * @gfp: as for krealloc()
 *
 * What is the kernel's, or another module's, stays there.
 *
 * Context: see chaos_kmalloc()
 * Return: the block, maybe where it was; ZERO_SIZE_PTR; NULL: @p is as it was
 */
void *chaos_krealloc(struct chaos_client *client, const void *p, size_t size, gfp_t gfp)
{
	return client_krealloc(client, p, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_krealloc);

/**
 * chaos_krealloc_array() - krealloc_array() from a client's heap
 * @client: whose
 * @p: a block, of whomever; ZERO_SIZE_PTR or NULL
 * @n: elements
 * @size: bytes of each
 * @gfp: as for krealloc()
 *
 * Context: see chaos_kmalloc()
 * Return: see chaos_krealloc(); NULL, also if the product does not fit a size_t
 */
void *chaos_krealloc_array(struct chaos_client *client, void *p, size_t n, size_t size,
			   gfp_t gfp)
{
	size_t bytes;

	if (unlikely(check_mul_overflow(n, size, &bytes)))
		return NULL;
	return client_krealloc(client, p, bytes, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_krealloc_array);

/**
 * chaos_kvrealloc() - kvrealloc() from a client's heap
 * @client: whose
 * @p: a block, of whomever; ZERO_SIZE_PTR or NULL
 * @old_size: its bytes, for kernels that want to be told
 * @size: bytes
 * @gfp: as for kvrealloc()
 *
 * Context: see chaos_kvmalloc()
 * Return: see chaos_krealloc()
 */
void *chaos_kvrealloc(struct chaos_client *client, const void *p, size_t old_size,
		      size_t size, gfp_t gfp)
{
	struct chaos_heap *heap;

	if (ZERO_OR_NULL_PTR(p))
		return chaos_client_kvmalloc(client, size, gfp, _RET_IP_);
	heap = chaos_heap_of(p);
	if (!heap)
		return chaos_kernel_kvrealloc(p, old_size, size, gfp);
	return resize_block(heap, p, size, gfp, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kvrealloc);

/* ---------------------------------- freeing -------------------------------- */

void chaos_client_free(const void *p, unsigned long caller)
{
	struct chaos_heap *heap;

	if (ZERO_OR_NULL_PTR(p))
		return;
	/*
	 * If it is the last block of a client that has gone, so may the heap, with us in it
	 * still: see heap_destroy().
	 */
	rcu_read_lock();
	heap = chaos_heap_of(p);
	if (likely(heap))
		chaos_heap_free_track_caller(heap, p, caller);
	rcu_read_unlock();
	if (unlikely(!heap))
		kfree(p);
}

/**
 * chaos_kfree() - kfree() for blocks of whomever
 * @p: a block of any heap or of kmalloc(), ZERO_SIZE_PTR or NULL
 *
 * Context: a heap's: any; else as kfree().
 */
void chaos_kfree(const void *p)
{
	chaos_client_free(p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kfree);

/**
 * chaos_kvfree() - kvfree() for blocks of whomever
 * @p: a block of any heap or of kvmalloc(), ZERO_SIZE_PTR or NULL
 *
 * Context: a heap's: any; else as kvfree().
 */
void chaos_kvfree(const void *p)
{
	if (ZERO_OR_NULL_PTR(p) || chaos_heap_of(p))
		chaos_client_free(p, _RET_IP_);
	else
		kvfree(p);
}
EXPORT_SYMBOL_GPL(chaos_kvfree);

/**
 * chaos_kfree_nolock() - kfree_nolock() for blocks of whomever
 * @p: a block of any heap or of kmalloc_nolock(), ZERO_SIZE_PTR or NULL
 *
 * Context: any.
 */
void chaos_kfree_nolock(const void *p)
{
	if (ZERO_OR_NULL_PTR(p) || chaos_heap_of(p))
		chaos_client_free(p, _RET_IP_);
	else
		chaos_kernel_kfree_nolock(p);
}
EXPORT_SYMBOL_GPL(chaos_kfree_nolock);

/**
 * chaos_kvfree_atomic() - kvfree_atomic() for blocks of whomever
 * @p: a block of any heap or of kvmalloc(), ZERO_SIZE_PTR or NULL
 *
 * Context: a heap's: any; else as kvfree_atomic().
 */
void chaos_kvfree_atomic(const void *p)
{
	if (ZERO_OR_NULL_PTR(p) || chaos_heap_of(p))
		chaos_client_free(p, _RET_IP_);
	else
		chaos_kernel_kvfree_atomic(p);
}
EXPORT_SYMBOL_GPL(chaos_kvfree_atomic);

/**
 * chaos_ksize() - ksize() for blocks of whomever
 * @p: a block, ZERO_SIZE_PTR or NULL
 *
 * Context: any.
 * Return: bytes that may be used; 0 for ZERO_SIZE_PTR and NULL
 */
size_t chaos_ksize(const void *p)
{
	struct chaos_heap *heap;

	if (ZERO_OR_NULL_PTR(p))
		return 0;
	heap = chaos_heap_of(p);
	return heap ? chaos_heap_usable_size(heap, p) : ksize(p);
}
EXPORT_SYMBOL_GPL(chaos_ksize);

/**
 * chaos_kfree_sensitive() - kfree_sensitive() for blocks of whomever
 * @p: a block, ZERO_SIZE_PTR or NULL; all of it is overwritten first
 *
 * Context: see chaos_kfree()
 */
void chaos_kfree_sensitive(const void *p)
{
	if (ZERO_OR_NULL_PTR(p))
		return;
	if (chaos_heap_of(p)) {
		memzero_explicit((void *)p, chaos_ksize(p));
		chaos_client_free(p, _RET_IP_);
	} else {
		kfree_sensitive(p);
	}
}
EXPORT_SYMBOL_GPL(chaos_kfree_sensitive);

/**
 * chaos_kvfree_sensitive() - kvfree_sensitive() for blocks of whomever
 * @p: a block, ZERO_SIZE_PTR or NULL
 * @size: how much of it is overwritten first
 *
 * Context: see chaos_kvfree()
 */
void chaos_kvfree_sensitive(const void *p, size_t size)
{
	if (ZERO_OR_NULL_PTR(p))
		return;
	memzero_explicit((void *)p, size);
	if (chaos_heap_of(p))
		chaos_client_free(p, _RET_IP_);
	else
		kvfree(p);
}
EXPORT_SYMBOL_GPL(chaos_kvfree_sensitive);

/**
 * chaos_kfree_const() - kfree_const() for strings of whomever
 * @p: a block, or a string of the kernel's constants
 *
 * Context: see chaos_kfree()
 */
void chaos_kfree_const(const void *p)
{
	if (ZERO_OR_NULL_PTR(p) || chaos_heap_of(p))
		chaos_client_free(p, _RET_IP_);
	else
		kfree_const(p);
}
EXPORT_SYMBOL_GPL(chaos_kfree_const);

/**
 * chaos_kfree_bulk() - kfree_bulk() for blocks of whomever
 * @n: how many
 * @p: the blocks
 *
 * Context: see chaos_kfree()
 */
void chaos_kfree_bulk(size_t n, void **p)
{
	while (n)
		chaos_client_free(p[--n], _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kfree_bulk);

/* --------------------------------- the module ------------------------------ */

/* A line for each client that has a heap: what fits in a page. */
static int clients_get(char *buffer, const struct kernel_param *kp)
{
	struct chaos_heap_stats stats;
	struct chaos_client *client;
	int len = 0;

	mutex_lock(&ends_mutex);
	list_for_each_entry_rcu(client, &clients, node, lockdep_is_held(&ends_mutex)) {
		chaos_heap_stats(client->heap, &stats);
		len += sysfs_emit_at(buffer, len, "%s %s allocs %llu live %zu bytes %zu held %zu\n",
				     stats.name, stats.allocator, stats.allocs,
				     stats.live_blocks, stats.live_bytes, stats.held_bytes);
	}
	mutex_unlock(&ends_mutex);
	return len;
}

static const struct kernel_param_ops clients_ops = {
	.get = clients_get,
};

module_param_cb(clients, &clients_ops, NULL, 0400);
MODULE_PARM_DESC(clients, "to be read: the clients, and what they have");

/* As chaos_alloc does it: a client learns of nothing. */
static int __init check_params(void)
{
	if (pool_size < SZ_64K || pool_size > chaos_pool_limit()) {
		pr_err("pool_size=%zu is out of range: %u (64K) to %zu (half of the memory) are valid\n",
		       pool_size, SZ_64K, chaos_pool_limit());
		return -EINVAL;
	}
	if (max_size > CHAOS_SIZE_MAX) {
		pr_err("max_size=%zu is out of range: up to %zu is valid\n", max_size,
		       CHAOS_SIZE_MAX);
		return -EINVAL;
	}
	if (allocator && strcmp(allocator, "mimalloc") && strcmp(allocator, "tlsf") &&
	    strcmp(allocator, "evl")) {
		pr_err("allocator=%s is unknown: mimalloc, tlsf and evl are valid\n", allocator);
		return -EINVAL;
	}
	return 0;
}

static int __init chaos_kmalloc_init(void)
{
	int err;

	err = check_params();
	if (err)
		return err;
	err = chaos_kfree_rcu_start();
	if (err)
		return err;
	err = register_module_notifier(&module_nb);
	if (err)
		goto stop_rcu;
	err = chaos_catch_start();
	if (err)
		goto unregister;
	return 0;

unregister:
	unregister_module_notifier(&module_nb);
stop_rcu:
	chaos_kfree_rcu_stop();
	return err;
}

/*
 * Clients use functions of ours, and orphans keep us: there are none any more.  But blocks of
 * heaps that are no client's may have come by kfree_rcu(), and wait.
 */
static void __exit chaos_kmalloc_exit(void)
{
	chaos_catch_stop();
	chaos_kfree_rcu_stop();
	unregister_module_notifier(&module_nb);
	cancel_delayed_work_sync(&orphans_work);
}

module_init(chaos_kmalloc_init);
module_exit(chaos_kmalloc_exit);

MODULE_DESCRIPTION("The kmalloc family of a module on a heap of its own");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.9");
