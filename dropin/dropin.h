/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of chaos_kmalloc.ko share.
 */
#ifndef _CHAOS_DROPIN_H
#define _CHAOS_DROPIN_H

#define CHAOS_KMALLOC_CLIENT		NULL
#define CHAOS_KMALLOC_DECLARE_ONLY
#include "chaos_kmalloc.h"
#include "chaos_alloc.h"
#include "client.h"
#include "compat.h"

/* The client's heap, or NULL if it has none yet and @gfp does not allow to make one. */
struct chaos_heap *chaos_client_heap(struct chaos_client *client, gfp_t gfp);

/*
 * For reports and tracking, a block is that of @caller, who is the client or, if it was caught, the
 * kernel: so what is exported gets its own return address, and hands it on.
 */
void *chaos_client_kmalloc(struct chaos_client *client, size_t size, gfp_t gfp,
			   unsigned long caller);
void *chaos_client_kvmalloc(struct chaos_client *client, size_t size, gfp_t gfp,
			    unsigned long caller);
void chaos_client_free(const void *p, unsigned long caller);

/* As kmalloc() gives it, and with the same or another alignment of @align bytes. */
void *chaos_client_alloc(struct chaos_client *client, size_t size, size_t align, gfp_t gfp,
			 unsigned long caller);

/* The same from the kernel. */
void *chaos_kernel_alloc(size_t size, size_t align, gfp_t gfp);

/* Wait until everything that chaos_kfree_rcu() was given is free. */
void chaos_kfree_rcu_barrier(void);
int chaos_kfree_rcu_start(void);
void chaos_kfree_rcu_stop(void);

/* Look at what the kernel frees; see catch.c. */
int chaos_catch_start(void);
void chaos_catch_stop(void);

#endif /* _CHAOS_DROPIN_H */
