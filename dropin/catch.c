// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_kmalloc: blocks of heaps that the kernel frees.
 *
 * A client may hand over what it has from kmalloc(): seq_file frees its private data, the
 * VFS a symlink's text.  To the kernel's kfree(), what is in a heap is an address without a
 * slab.  So its entry is patched, as live patches do it, by ftrace; a block of a heap
 * then goes to our function instead.  For all others that is a look at the map: three
 * loads.
 *
 * Kernels without the means for that have no such patches: there, what is handed over has
 * to be the kernel's.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "dropin.h"

static bool catch = true;
module_param(catch, bool, 0400);
MODULE_PARM_DESC(catch, "recognise blocks of heaps that the kernel frees (default 1)");

#ifdef CHAOS_CAN_CATCH

/* Who sleeps in here: nobody else keeps this module for it, if the heap is no client's. */
DEFINE_STATIC_SRCU(caught_sleepers);

/* What kfree_rcu() calls. */
static void caught_rcu(struct rcu_head *head, void *arg)
{
	int idx;

	if (head) {
		chaos_kfree_rcu(head, chaos_kvfree_rcu_block(head, arg));
		return;
	}
	idx = srcu_read_lock(&caught_sleepers);
	chaos_kfree_rcu(NULL, chaos_kvfree_rcu_block(NULL, arg));
	srcu_read_unlock(&caught_sleepers, idx);
}

/**
 * struct caught - a function of the kernel's
 * @function: it
 * @ours: the one for blocks of heaps
 * @arg: up to which argument one may be the block's
 */
struct caught {
	void *function;
	void *ours;
	unsigned int arg;
};

static const struct caught caught[] = {
	{ kfree, chaos_kfree, 0 },
	{ kvfree, chaos_kvfree, 0 },
	{ kfree_sensitive, chaos_kfree_sensitive, 0 },
	{ kvfree_sensitive, chaos_kvfree_sensitive, 0 },
	{ ksize, chaos_ksize, 0 },
#ifdef CHAOS_HAS_KVFREE_CALL_RCU
	/* An rcu_head in the block, then the block; without a head, the caller can wait. */
	{ kvfree_call_rcu, caught_rcu, 1 },
#endif
};

/* kfree_rcu() is not told of the block by all kernels, but of what is in it. */
static bool is_caught(const struct caught *c, struct ftrace_regs *regs)
{
	unsigned int i;

	for (i = 0; i <= c->arg; i++)
		if (chaos_heap_of((void *)chaos_ftrace_arg(regs, i)))
			return true;
	return false;
}

/* One for each: it is told which by its place. */
static struct ftrace_ops ops[ARRAY_SIZE(caught)];

/*
 * At the function's first instruction, in any context.  Preemption is off, which
 * chaos_heap_of() would see to as well.
 */
static void notrace catch_call(unsigned long ip, unsigned long parent_ip,
			       struct ftrace_ops *op, struct ftrace_regs *regs)
{
	const struct caught *c = &caught[op - ops];
	int bit = ftrace_test_recursion_trylock(ip, parent_ip);

	if (bit < 0)
		return;
	/* When ours calls it in turn, the block is none of a heap's. */
	if (is_caught(c, regs))
		chaos_ftrace_go_to(regs, (unsigned long)c->ours);
	ftrace_test_recursion_unlock(bit);
}

static int catch_one(unsigned int i)
{
	int err;

	ops[i].func = catch_call;
	/* Permanent: that nobody switches ftrace off (kernel.ftrace_enabled) meanwhile. */
	ops[i].flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT | CHAOS_FTRACE_FLAGS;
	err = ftrace_set_filter_ip(&ops[i], (unsigned long)caught[i].function, 0, 0);
	if (err)
		return err;
	err = register_ftrace_function(&ops[i]);
	if (err)
		ftrace_set_filter_ip(&ops[i], (unsigned long)caught[i].function, 1, 0);
	return err;
}

static void catch_no_more(unsigned int n)
{
	while (n--) {
		unregister_ftrace_function(&ops[n]);
		ftrace_free_filter(&ops[n]);
	}
}

int chaos_catch_start(void)
{
	unsigned int i;
	int err;

	for (i = 0; catch && i < ARRAY_SIZE(caught); i++) {
		err = catch_one(i);
		if (err) {
			pr_err("%ps() cannot be patched: %d. With catch=0, what the kernel frees must be its own\n",
			       caught[i].function, err);
			catch_no_more(i);
			return err;
		}
	}
	return 0;
}

/*
 * Who does not sleep has left before catch_no_more() returns.  Who does has left the SRCU section
 * then, and its last lines, behind that, in the end.
 */
void chaos_catch_stop(void)
{
	if (!catch)
		return;
	catch_no_more(ARRAY_SIZE(caught));
	synchronize_srcu(&caught_sleepers);
	synchronize_rcu_tasks();
}

#else

int chaos_catch_start(void)
{
	if (catch)
		pr_notice("this kernel's functions cannot be patched: what it frees must be its own\n");
	catch = false;
	return 0;
}

void chaos_catch_stop(void) { }

#endif
