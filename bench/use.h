/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _CHAOS_BENCH_USE_H
#define _CHAOS_BENCH_USE_H

/* Make use of a value: the compiler leaves out neither it nor the call that gets it. */
#define bench_use(value)	({ asm volatile("" : : "r" (value) : "memory"); })

#endif /* _CHAOS_BENCH_USE_H */
