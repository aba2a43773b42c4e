// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_caught: a file of a module that has functions of its own with names that newer
 * kernels have as well, as modules do that are to be built for older ones.  chaos_kmalloc.h
 * must not take them, or this does not build.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chaos_kmalloc.h"
#include "chaos_alloc.h"
#include "caught.h"

#ifndef alloc_hooks
static void *kvmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *p = kvmalloc(len, gfp);

	return p ? memcpy(p, src, len) : NULL;
}

static void *kmemdup_array(const void *src, size_t n, size_t size, gfp_t gfp)
{
	return kmemdup(src, size_mul(n, size), gfp);
}
#endif

#ifndef krealloc_node_align
static void *krealloc_node(const void *p, size_t size, gfp_t gfp, int node)
{
	return krealloc(p, size, gfp);
}
#endif

#ifndef kmalloc_nolock
static void kvfree_atomic(const void *p)
{
	kvfree(p);
}
#endif

static bool is_text(const char *p, const char *text)
{
	return p && chaos_heap_of(p) == chaos_this_client.heap && !strcmp(p, text);
}

bool caught_names(void)
{
	char *p = kvmemdup("a text", 7, GFP_KERNEL);
	char *q = kmemdup_array("a text", 7, 1, GFP_KERNEL);
	/* Whose arguments are read twice */
	char *r = kasprintf(GFP_KERNEL, "%s %s of %d, %d, %d, %d bytes", "a", "text", 1, 2, 3, 4);
	char *s = krealloc_node(p, 100, GFP_KERNEL, NUMA_NO_NODE);
	bool ok = is_text(s, "a text") && is_text(q, "a text") &&
		  is_text(r, "a text of 1, 2, 3, 4 bytes");

	kfree(s ?: p);
	kvfree_atomic(q);
	kfree(r);
	if (!ok)
		pr_err("names: what they give is not on the heap, or not what it ought to be\n");
	return ok;
}
