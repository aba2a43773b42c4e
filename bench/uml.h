/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What User-mode Linux does not know of the x86 that it runs on.  tools/uml.sh compiles all
 * modules with this, to measure there what an x86 would take; nothing else has it.
 */
#ifndef _CHAOS_BENCH_UML_H
#define _CHAOS_BENCH_UML_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/percpu.h>
#include <linux/preempt.h>

#if defined(CONFIG_UML_X86) && defined(CONFIG_X86_64)
/*
 * An x86 orders loads with loads, stores with stores, and everything with an atomic
 * read-modify-write: only the compiler must be kept from reordering.  User-mode
 * Linux on several CPUs takes the generic ones, with a full barrier each.
 */
#ifdef CONFIG_SMP
#undef smp_load_acquire
#define smp_load_acquire(p)	/* as asm/barrier.h of x86 */		\
({									\
	__auto_type ___p = (p);						\
	__unqual_scalar_typeof(*___p) ___loaded = READ_ONCE(*___p);	\
									\
	barrier();							\
	___loaded;							\
})

#undef smp_store_release
#define smp_store_release(p, v)	/* as asm/barrier.h of x86 */		\
do {									\
	__auto_type ___p = (p);						\
									\
	barrier();							\
	WRITE_ONCE(*___p, v);						\
} while (0)

#undef smp_mb__after_atomic
#define smp_mb__after_atomic()	barrier()	/* as asm/barrier.h of x86 */
#endif

/* It adds to memory in one instruction, which no interrupt divides; UML masks these. */
#undef this_cpu_add
#define this_cpu_add(pcp, n)						\
do {									\
	__auto_type ___at = &(pcp);					\
	long ___n = (n);						\
									\
	if (sizeof(*___at) != sizeof(long)) {				\
		this_cpu_generic_to_op(*___at, ___n, +=);		\
		break;							\
	}								\
	preempt_disable();						\
	asm volatile("addq %1, %0"					\
		     : "+m" (*raw_cpu_ptr(___at)) : "re" (___n));	\
	preempt_enable();						\
} while (0)
#endif

#endif
