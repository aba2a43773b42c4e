// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_kmalloc: kfree_rcu() for blocks of heaps.
 *
 * A block brings its rcu_head along, somewhere in it, and there is no room for both its
 * callback and where it begins.  So its two words become a link and the block's address,
 * in a list of blocks for which a grace period has yet to begin.  There is one such period
 * at a time, with the blocks of the list when it began; when it has ended, they are freed,
 * and it begins again if there are others.
 */
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dropin.h"

/**
 * struct kfree_batch - blocks that wait
 * @lock: of all of it.  Raw: kfree_rcu() may be called with interrupts off.
 * @next: a grace period for these has not begun
 * @waiting: one has.  While @busy, only the work looks at this.
 * @busy: the work is queued, or runs and may queue itself again
 * @begun: grace periods that have begun
 * @ended: those of them whose blocks are free
 * @work: after the grace period
 * @wq: its queue
 */
static struct kfree_batch {
	raw_spinlock_t lock;
	struct rcu_head *next;
	struct rcu_head *waiting;
	bool busy;
	unsigned long begun;
	unsigned long ended;
	struct rcu_work work;
	struct workqueue_struct *wq;
} batch = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(batch.lock),
};

static void *block_of(struct rcu_head *head)
{
	return (void *)head->func;
}

static void free_list(struct rcu_head *head)
{
	struct rcu_head *next;

	for (; head; head = next) {
		next = (struct rcu_head *)head->next;
		chaos_kfree(block_of(head));
		cond_resched();
	}
}

/* If there is anything to begin a grace period for, begin it. */
static void batch_begin(void)
{
	lockdep_assert_held(&batch.lock);
	batch.waiting = batch.next;
	batch.next = NULL;
	batch.busy = batch.waiting;
	if (!batch.busy)
		return;
	batch.begun++;
	queue_rcu_work(batch.wq, &batch.work);
}

static void batch_work(struct work_struct *work)
{
	unsigned long flags;

	free_list(batch.waiting);
	/* What was waiting is free; pairs with chaos_kfree_rcu_barrier(). */
	smp_store_release(&batch.ended, batch.ended + 1);
	raw_spin_lock_irqsave(&batch.lock, flags);
	batch_begin();
	raw_spin_unlock_irqrestore(&batch.lock, flags);
}

static void batch_add(struct rcu_head *head, void *p)
{
	unsigned long flags;

	head->func = (rcu_callback_t)p;
	raw_spin_lock_irqsave(&batch.lock, flags);
	head->next = (struct callback_head *)batch.next;
	batch.next = head;
	if (!batch.busy)
		batch_begin();
	raw_spin_unlock_irqrestore(&batch.lock, flags);
}

/**
 * chaos_kfree_rcu() - kfree_rcu() for blocks of whomever
 * @head: in the block; NULL: there is none, and the caller may sleep
 * @p: the block, or NULL
 *
 * Context: any but NMI; task, if @head is NULL.
 */
void chaos_kfree_rcu(struct rcu_head *head, void *p)
{
	if (ZERO_OR_NULL_PTR(p))
		return;
	if (!chaos_heap_of(p)) {
		kvfree_call_rcu(head, chaos_kvfree_rcu_arg(head, p));
	} else if (head) {
		batch_add(head, p);
	} else {
		might_sleep();
		synchronize_rcu();
		chaos_kfree(p);
	}
}
EXPORT_SYMBOL_GPL(chaos_kfree_rcu);

/*
 * What has been added until now is free after the grace period that has begun, or, what that
 * does not wait for, after the next one; what others go on adding is not waited for.  Until
 * these have ended, the work is queued or runs: it is queued under the lock with which it
 * becomes busy, and begins the next one itself.
 */
void chaos_kfree_rcu_barrier(void)
{
	unsigned long flags, last;

	raw_spin_lock_irqsave(&batch.lock, flags);
	last = batch.begun + !!batch.next;
	raw_spin_unlock_irqrestore(&batch.lock, flags);
	/* Pairs with batch_work(). */
	while ((long)(smp_load_acquire(&batch.ended) - last) < 0)
		flush_rcu_work(&batch.work);
}

/**
 * chaos_kvfree_rcu_barrier() - kvfree_rcu_barrier() for blocks of whomever
 *
 * Context: task; may sleep.
 */
void chaos_kvfree_rcu_barrier(void)
{
	chaos_kfree_rcu_barrier();
	chaos_kernel_kvfree_rcu_barrier();
}
EXPORT_SYMBOL_GPL(chaos_kvfree_rcu_barrier);

/* A queue that memory can be waited for: what it frees may be what reclaim needs. */
int __init chaos_kfree_rcu_start(void)
{
	INIT_RCU_WORK(&batch.work, batch_work);
	batch.wq = alloc_workqueue("chaos_kmalloc", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return batch.wq ? 0 : -ENOMEM;
}

/* Nobody adds any more.  The work may be on its last lines, which are this module's as well. */
void chaos_kfree_rcu_stop(void)
{
	chaos_kfree_rcu_barrier();
	flush_rcu_work(&batch.work);
	destroy_workqueue(batch.wq);
}
