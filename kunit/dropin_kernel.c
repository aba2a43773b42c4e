// SPDX-License-Identifier: GPL-2.0
/*
 * What the suite of chaos_kmalloc.h wants of the kernel's own functions, whose names mean
 * others there.
 */
#include <linux/slab.h>

#include "dropin_kernel.h"

void *dropin_kernel_kmalloc(size_t size)
{
	return kmalloc(size, GFP_KERNEL);
}

void dropin_kernel_kfree(const void *p)
{
	kfree(p);
}

struct kmem_cache *dropin_kernel_cache(size_t size)
{
	return kmem_cache_create("dropin_kernel", size, 0, 0, NULL);
}
