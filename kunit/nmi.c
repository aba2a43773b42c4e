// SPDX-License-Identifier: GPL-2.0
/*
 * Sources of NMIs.  On amd64 another CPU sends them; elsewhere the overflow of a
 * cycle counter is one, on machines that have such an NMI (arm64 with
 * irqchip.gicv3_pseudo_nmi=1).
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/perf_event.h>
#include <linux/smp.h>

#include "common.h"

#if IS_ENABLED(CONFIG_X86_LOCAL_APIC) && IS_ENABLED(CONFIG_SMP)
#include <asm/apic.h>
#include <asm/nmi.h>

/* The kernel's handlers take no argument.  Tests run one at a time. */
static struct chaos_test_nmi *nmi_current;
static unsigned int nmi_users;

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	struct chaos_test_nmi *nmi = READ_ONCE(nmi_current);

	if (!nmi || nmi->cpu != raw_smp_processor_id() || !READ_ONCE(nmi->pending))
		return NMI_DONE;
	nmi->fn(nmi->arg);
	WRITE_ONCE(nmi->pending, false);
	return NMI_HANDLED;
}

static void nmi_send(struct chaos_test_nmi *nmi)
{
	WRITE_ONCE(nmi_current, nmi);
	/* Sending the interrupt, to another CPU, orders this before it. */
	WRITE_ONCE(nmi->pending, true);
	apic->send_IPI_mask(cpumask_of(nmi->cpu), NMI_VECTOR);
	/* Two at once would be one; and none must be on its way at the end. */
	while (READ_ONCE(nmi->pending))
		cpu_relax();
}

static int nmi_sender(void *arg)
{
	struct chaos_test_nmi *nmi = arg;

	while (!kthread_should_stop()) {
		usleep_range(nmi->period_us, 2 * nmi->period_us);
		if (READ_ONCE(nmi->on))
			nmi_send(nmi);
	}
	return 0;
}

int chaos_test_nmi_init(struct chaos_test_nmi *nmi, unsigned int period_us)
{
	unsigned int other;
	int err;

	nmi->cpu = raw_smp_processor_id();
	nmi->period_us = period_us;
	other = cpumask_any_but(cpu_online_mask, nmi->cpu);
	if (other >= nr_cpu_ids)
		return -ENODEV;
	if (!nmi_users) {
		err = register_nmi_handler(NMI_LOCAL, nmi_handler, 0, "chaos_kunit");
		if (err)
			return err;
	}
	nmi_users++;
	nmi->sender = kthread_run_on_cpu(nmi_sender, nmi, other, "chaos_nmi/%u");
	if (!IS_ERR(nmi->sender))
		return 0;
	chaos_test_nmi_exit(nmi);
	return PTR_ERR(nmi->sender);
}

void chaos_test_nmi_start(struct chaos_test_nmi *nmi)
{
	WRITE_ONCE(nmi->on, true);
}

void chaos_test_nmi_stop(struct chaos_test_nmi *nmi)
{
	WRITE_ONCE(nmi->on, false);
}

void chaos_test_nmi_exit(void *arg)
{
	struct chaos_test_nmi *nmi = arg;

	if (!IS_ERR(nmi->sender))
		kthread_stop(nmi->sender);
	if (!--nmi_users)
		unregister_nmi_handler(NMI_LOCAL, "chaos_kunit");
}

#elif IS_ENABLED(CONFIG_PERF_EVENTS)

/* More or less, on any machine. */
#define NMI_CYCLES_PER_US	1000

static void nmi_overflow(struct perf_event *event, struct perf_sample_data *data,
			 struct pt_regs *regs)
{
	struct chaos_test_nmi *nmi = event->overflow_handler_context;

	nmi->fn(nmi->arg);
}

/* Pinned to the CPU, not to the task: it shall count in interrupts, too. */
int chaos_test_nmi_init(struct chaos_test_nmi *nmi, unsigned int period_us)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_HARDWARE,
		.config		= PERF_COUNT_HW_CPU_CYCLES,
		.size		= sizeof(attr),
		.sample_period	= period_us * NMI_CYCLES_PER_US,
		.pinned		= 1,
		.disabled	= 1,
	};

	nmi->event = perf_event_create_kernel_counter(&attr, raw_smp_processor_id(),
						      NULL, nmi_overflow, nmi);
	return PTR_ERR_OR_ZERO(nmi->event);
}

void chaos_test_nmi_start(struct chaos_test_nmi *nmi)
{
	perf_event_enable(nmi->event);
}

void chaos_test_nmi_stop(struct chaos_test_nmi *nmi)
{
	perf_event_disable(nmi->event);
}

void chaos_test_nmi_exit(void *nmi)
{
	perf_event_release_kernel(((struct chaos_test_nmi *)nmi)->event);
}

#else

int chaos_test_nmi_init(struct chaos_test_nmi *nmi, unsigned int period_us)
{
	return -ENODEV;
}

void chaos_test_nmi_start(struct chaos_test_nmi *nmi) { }
void chaos_test_nmi_stop(struct chaos_test_nmi *nmi) { }
void chaos_test_nmi_exit(void *nmi) { }

#endif
