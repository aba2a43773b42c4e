/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What can be changed while a heap is in use, and insmod's parameters for it.
 */
#ifndef _CHAOS_OPTIONS_H
#define _CHAOS_OPTIONS_H

#include "engine.h"

/* What a heap has until it is told otherwise. */
extern const struct chaos_options chaos_options_initial;

/* insmod's hardening=, 0 to 2. */
extern unsigned int chaos_hardening_param;

/* insmod's track=, 0 to 2. */
extern unsigned int chaos_track_param;

/* The API's functions, for a heap that is not NULL. */
int chaos_set_option(struct chaos_heap *heap, enum chaos_option option,
		     unsigned long value);
int chaos_get_option(struct chaos_heap *heap, enum chaos_option option,
		     unsigned long *value);

/* From here on, the parameters are those of @heap; NULL: of no heap any more. */
void chaos_options_attach(struct chaos_heap *heap);

#endif /* _CHAOS_OPTIONS_H */
