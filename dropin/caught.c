// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_caught: has the kernel free what is in a heap, in each way that chaos_kmalloc.ko
 * looks at.  Its init function fails if a block is not caught.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/string_helpers.h>

#define CHAOS_KMALLOC_DECLARE_ONLY
#include "chaos_kmalloc.h"
#include "chaos_alloc.h"
#include "compat.h"

/* The kernel's own functions have their names here, and blocks come from the heap. */
#define block(size)	chaos_kmalloc(CHAOS_KMALLOC_CLIENT, size, GFP_KERNEL)

struct late {
	u64 before;
	struct rcu_head rcu;
};

static size_t live(void)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(chaos_this_client.heap, &stats);
	return stats.live_blocks;
}

/* Is nothing left of what @how has freed? */
static bool gone(const char *how)
{
	size_t blocks = live();

	if (blocks)
		pr_err("%s: %zu blocks were not caught\n", how, blocks);
	return !blocks;
}

static bool kfree_is_caught(void)
{
	kfree(block(100));
	return gone("kfree");
}

static bool kvfree_is_caught(void)
{
	kvfree(block(100));
	return gone("kvfree");
}

static bool kfree_sensitive_is_caught(void)
{
	kfree_sensitive(block(100));
	return gone("kfree_sensitive");
}

static bool kvfree_sensitive_is_caught(void)
{
	kvfree_sensitive(block(100), 100);
	return gone("kvfree_sensitive");
}

static bool ksize_is_caught(void)
{
	void *p = block(100);
	size_t size = ksize(p);

	chaos_kfree(p);
	if (size < 100)
		pr_err("ksize: a block of 100 bytes has %zu\n", size);
	return size >= 100 && gone("ksize");
}

/* A function of the kernel's that calls kfree() itself, for each and for all */
static bool strings_are_caught(void)
{
	char **strings = block(2 * sizeof(*strings));

	strings[0] = block(10);
	strings[1] = block(20);
	kfree_strarray(strings, 2);
	return gone("kfree_strarray");
}

static bool rcu_is_caught(void)
{
	unsigned int tries = 100;
	struct late *late = block(sizeof(*late));

	kfree_rcu(late, rcu);
	late = block(sizeof(*late));
	kfree_rcu_mightsleep(late);
	while (live() && tries--)
		msleep(50);
	return gone("kfree_rcu");
}

static int __init caught_init(void)
{
	bool ok;

	chaos_kfree(block(1));
	ok = kfree_is_caught();
	ok &= kvfree_is_caught();
	ok &= kfree_sensitive_is_caught();
	ok &= kvfree_sensitive_is_caught();
	ok &= ksize_is_caught();
	ok &= strings_are_caught();
	ok &= rcu_is_caught();
	return ok ? 0 : -EUCLEAN;
}

static void __exit caught_exit(void) { }

module_init(caught_init);
module_exit(caught_exit);

MODULE_DESCRIPTION("Blocks of heaps that the kernel frees");
MODULE_LICENSE("GPL");
