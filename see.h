/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A look into heaps, for people: files in debugfs.  See Documentation/inside.rst.
 *
 * Without CONFIG_DEBUG_FS, nothing of it is left.
 */
#ifndef _CHAOS_SEE_H
#define _CHAOS_SEE_H

#include "engine.h"

#ifdef CONFIG_DEBUG_FS
void chaos_see_start(void);
void chaos_see_stop(void);

/* The heap is complete; without the module's folder, it has none either. */
void chaos_see_add(struct chaos_heap *heap);

/*
 * Nobody reads a file of the heap's, or will, when this returns.  The caller holds
 * nothing that a reader wants.
 */
void chaos_see_remove(struct chaos_heap *heap);
#else
static inline void chaos_see_start(void) {}
static inline void chaos_see_stop(void) {}
static inline void chaos_see_add(struct chaos_heap *heap) {}
static inline void chaos_see_remove(struct chaos_heap *heap) {}
#endif

#endif /* _CHAOS_SEE_H */
