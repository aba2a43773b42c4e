/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _CHAOS_DROPIN_KERNEL_H
#define _CHAOS_DROPIN_KERNEL_H

#include <linux/types.h>

struct kmem_cache;

void *dropin_kernel_kmalloc(size_t size);
void dropin_kernel_kfree(const void *p);
struct kmem_cache *dropin_kernel_cache(size_t size);

#endif
