/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What calls are measured with: retired instructions, where they are counted
 * exactly (arm64 in QEMU with -icount), or time.
 *
 * Readings are 32 bits wide and differences of them are taken, so what is
 * measured at one go must be short of 2^32 ticks.
 */
#ifndef _CHAOS_BENCH_COUNTER_H
#define _CHAOS_BENCH_COUNTER_H

#include <linux/irqflags.h>
#include <linux/timekeeping.h>
#include <linux/types.h>

#ifdef CONFIG_ARM64
#include "pmu.h"
#endif

/* counter=instructions: known before the first reading, and constant. */
extern bool counter_instructions;

/**
 * struct counter_section - from counter_begin() to counter_end()
 * @masked: interrupts are masked in between, so that nobody else's work is
 *	measured
 * @flags: of interrupts
 * @pmu: to be given back
 */
struct counter_section {
	bool masked;
	unsigned long flags;
#ifdef CONFIG_ARM64
	struct pmu_state pmu;
#endif
};

static inline void counter_begin(struct counter_section *section, bool mask)
{
	section->masked = mask;
	if (mask)
		local_irq_save(section->flags);
#ifdef CONFIG_ARM64
	if (counter_instructions)
		pmu_take(&section->pmu);
#endif
}

static inline void counter_end(struct counter_section *section)
{
#ifdef CONFIG_ARM64
	if (counter_instructions)
		pmu_give(&section->pmu);
#endif
	if (section->masked)
		local_irq_restore(section->flags);
}

/* Within a section. */
static __always_inline u32 counter_read(void)
{
#if defined(CONFIG_ARM64)
	if (counter_instructions)
		return pmu_read();
	return ktime_get_mono_fast_ns();
#elif defined(__x86_64__)
	u32 low, high;

	/* User-mode Linux has no name for it.  The fences keep calls inside. */
	asm volatile("lfence; rdtsc; lfence" : "=a" (low), "=d" (high) :: "memory");
	return low;
#else
	return ktime_get_mono_fast_ns();
#endif
}

int counter_init(void);
u64 counter_to_milli(u64 ticks);

#endif /* _CHAOS_BENCH_COUNTER_H */
