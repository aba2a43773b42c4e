// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_caught: has the kernel free what is in a heap, in each way that chaos_kmalloc.ko
 * looks at, and puts an object of a cache on one of the kernel's lists.  Its init function
 * fails if a block is not caught.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/list_lru.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/string_helpers.h>

#define CHAOS_KMALLOC_DECLARE_ONLY
#include "chaos_kmalloc.h"
#include "chaos_alloc.h"
#include "caught.h"
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

/* Not before a reader has gone; then it is. */
static bool rcu_is_caught(void)
{
	struct late *late = block(sizeof(*late));
	unsigned int tries = 100;
	bool stays;

	rcu_read_lock();
	kfree_rcu(late, rcu);
	mdelay(20);
	/* 0, and a report, if it were free already */
	stays = chaos_ksize(late) >= sizeof(*late);
	rcu_read_unlock();
	if (!stays)
		pr_err("kfree_rcu: a block was free before its reader was done\n");
	late = block(sizeof(*late));
	kfree_rcu_mightsleep(late);
	while (live() && tries--)
		msleep(50);
	return gone("kfree_rcu") && stays;
}

static unsigned long nothing(struct shrinker *shrinker, struct shrink_control *sc)
{
	return 0;
}

/* An object on a list that has a part for each memory cgroup: does it find one? */
static bool object_is_listed(struct list_lru *lru)
{
	struct kmem_cache *cache = chaos_cache_create(CHAOS_KMALLOC_CLIENT, "caught",
						      sizeof(struct list_head), 0, 0, NULL);
	struct list_head *item = cache ? chaos_cache_alloc_lru(cache, lru, GFP_KERNEL_ACCOUNT) :
				 NULL;
	bool listed = false;

	if (item) {
		INIT_LIST_HEAD(item);
		listed = chaos_list_lru_add(lru, item) && chaos_list_lru_del(lru, item);
		chaos_cache_free(cache, item);
	}
	chaos_cache_destroy(cache);
	return listed && gone("kmem_cache_alloc_lru");
}

static bool lru_is_served(void)
{
	struct shrinker *shrinker = chaos_shrinker_add("chaos_caught", SHRINKER_MEMCG_AWARE,
						       nothing, nothing);
	struct list_lru lru;
	bool ok = false;

	if (!shrinker)
		return false;
	if (!list_lru_init_memcg(&lru, shrinker)) {
		ok = object_is_listed(&lru);
		list_lru_destroy(&lru);
	}
	chaos_shrinker_remove(shrinker);
	if (!ok)
		pr_err("list_lru: no object of a cache on it\n");
	return ok;
}

static int __init caught_init(void)
{
	bool ok;

	chaos_kfree(block(1));
	/* Else all of it would be the kernel's. */
	if (!chaos_this_client.heap)
		return -ENOMEM;
	ok = kfree_is_caught();
	ok &= kvfree_is_caught();
	ok &= kfree_sensitive_is_caught();
	ok &= kvfree_sensitive_is_caught();
	ok &= ksize_is_caught();
	ok &= strings_are_caught();
	ok &= rcu_is_caught();
	ok &= lru_is_served();
	ok &= caught_names() && gone("own names");
	return ok ? 0 : -EUCLEAN;
}

static void __exit caught_exit(void) { }

module_init(caught_init);
module_exit(caught_exit);

MODULE_DESCRIPTION("Blocks of heaps that the kernel frees");
MODULE_LICENSE("GPL");
