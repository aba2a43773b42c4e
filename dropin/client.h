/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clients' lives, for their tests as well.
 */
#ifndef _CHAOS_CLIENT_H
#define _CHAOS_CLIENT_H

#include <linux/types.h>

struct chaos_client;

/* End a client whose module goes. */
void chaos_client_close(struct chaos_client *client);

/* What clients' heaps are made with from now on; NULL: the default heap's engine. */
void chaos_client_set(const char *allocator, size_t max_size);

#endif /* _CHAOS_CLIENT_H */
