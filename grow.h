/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Growing heaps and giving memory back; see grow.c.
 */
#ifndef _CHAOS_GROW_H
#define _CHAOS_GROW_H

#include <linux/types.h>
#include <linux/workqueue.h>

#include "engine.h"
#include "watch.h"

/* How long anybody waits for what other CPUs sit on. */
#define CHAOS_COLLECT_TIMEOUT	(HZ / 10)

unsigned int chaos_heap_lock(struct chaos_heap *heap);
void chaos_heap_unlock(struct chaos_heap *heap, unsigned int noio);
unsigned int chaos_heap_lock_cpus(struct chaos_heap *heap);
void chaos_heap_unlock_cpus(struct chaos_heap *heap, unsigned int noio);

size_t chaos_pool_limit(void);
void chaos_update_low_mark(struct chaos_heap *heap, bool failed);
int chaos_add_pool(struct chaos_heap *heap, struct chaos_pool *pool, enum chaos_grow why);
struct chaos_pool *chaos_new_reserve(struct chaos_heap *heap, size_t size);
bool chaos_grow_for(struct chaos_heap *heap, size_t size, size_t align,
		    long grows);

void chaos_collect_locked(struct chaos_heap *heap, bool force);
bool chaos_collect_wait(struct chaos_heap *heap, size_t size, size_t align);
void chaos_options_changed(struct chaos_heap *heap);

void chaos_grow_init(struct chaos_heap *heap);
void chaos_grow_exit(struct chaos_heap *heap);
void chaos_cancel_works(struct chaos_heap *heap);

void chaos_heaps_add(struct chaos_heap *heap);
bool chaos_heaps_have(struct chaos_heap *heap);
bool chaos_heaps_del(struct chaos_heap *heap);
struct chaos_heap *chaos_heaps_last(void);
void chaos_heaps_each(void (*fn)(struct chaos_heap *heap, void *arg), void *arg);

int chaos_grow_start(void);
void chaos_grow_stop(void);

#endif /* _CHAOS_GROW_H */
