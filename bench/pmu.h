/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The CPU's counter of retired instructions, on arm64.  Exact in QEMU with
 * -icount.
 */
#ifndef _CHAOS_BENCH_PMU_H
#define _CHAOS_BENCH_PMU_H

#include <linux/bits.h>
#include <linux/irqflags.h>
#include <linux/types.h>

#include <asm/barrier.h>
#include <asm/sysreg.h>

/* Of the architecture's manual; the kernel's names for these differ by version. */
#define PMU_INST_RETIRED	8
#define PMU_COUNT_EL2		BIT(27)
#define PMU_ENABLE		BIT(0)

/* What the counter was before it was taken. */
struct pmu_state {
	u64 control;
	u64 type;
	bool enabled;
};

static inline bool pmu_able(void)
{
	u64 version = (read_sysreg(id_aa64dfr0_el1) >> 8) & 15;

	/* 15: a PMU, but not this one. */
	return version && version != 15 &&
	       read_sysreg(pmceid0_el0) & BIT(PMU_INST_RETIRED);
}

/* With interrupts masked, so that nobody misses it.  We may be at EL1 or EL2. */
static inline void pmu_take(struct pmu_state *old)
{
	old->control = read_sysreg(pmcr_el0);
	old->type = read_sysreg(pmevtyper0_el0);
	old->enabled = read_sysreg(pmcntenset_el0) & BIT(0);
	write_sysreg(PMU_INST_RETIRED | PMU_COUNT_EL2, pmevtyper0_el0);
	write_sysreg(BIT(0), pmcntenset_el0);
	write_sysreg(old->control | PMU_ENABLE, pmcr_el0);
	isb();
}

static inline void pmu_give(const struct pmu_state *old)
{
	if (!old->enabled)
		write_sysreg(BIT(0), pmcntenclr_el0);
	write_sysreg(old->type, pmevtyper0_el0);
	write_sysreg(old->control, pmcr_el0);
	isb();
}

static __always_inline u32 pmu_read(void)
{
	u64 now;

	isb();
	now = read_sysreg(pmevcntr0_el0);
	isb();
	return now;
}

/* A hundred instructions more have to be a hundred more. */
static inline bool pmu_exact(void)
{
	struct pmu_state pmu;
	unsigned long flags;
	u32 none, hundred;

	local_irq_save(flags);
	pmu_take(&pmu);
	none = pmu_read();
	none = pmu_read() - none;
	hundred = pmu_read();
	asm volatile(".rept 100\n\tnop\n\t.endr");
	hundred = pmu_read() - hundred;
	pmu_give(&pmu);
	local_irq_restore(flags);
	return none && hundred - none == 100;
}

#endif /* _CHAOS_BENCH_PMU_H */
