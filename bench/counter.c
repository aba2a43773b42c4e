// SPDX-License-Identifier: GPL-2.0
/*
 * How ticks of the counter become instructions or nanoseconds.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "counter.h"

/* How long the counter is compared with the clock. */
#define CALIBRATION_MS	200

bool counter_instructions;

static char *counter = "time";
module_param(counter, charp, 0444);
MODULE_PARM_DESC(counter, "What is counted: instructions (arm64 in QEMU with -icount) or time (default)");

/* Of a tick, in 2^-MILLI_SHIFT of a thousandth of the unit */
#define MILLI_SHIFT	20
static u64 milli_per_tick = 1000ULL << MILLI_SHIFT;

/**
 * counter_to_milli - a difference of readings in the unit that is reported
 * @ticks: the difference, or a sum of them
 *
 * Return: thousandths of instructions or of nanoseconds.
 */
u64 counter_to_milli(u64 ticks)
{
	return mul_u64_u64_shr(ticks, milli_per_tick, MILLI_SHIFT);
}

static int counter_init_instructions(void)
{
#ifdef CONFIG_ARM64
	if (pmu_able() && pmu_exact()) {
		counter_instructions = true;
		return 0;
	}
#endif
	pr_err("instructions are not counted one by one here; in QEMU, arm64's are with -icount\n");
	return -ENODEV;
}

/* Interrupts come in between, to the clock and to the counter alike. */
static void counter_calibrate(void)
{
	u64 start = ktime_get_ns();
	u32 ticks = counter_read();

	mdelay(CALIBRATION_MS);
	ticks = counter_read() - ticks;
	milli_per_tick = div_u64((ktime_get_ns() - start) * 1000 << MILLI_SHIFT,
				 ticks);
}

int counter_init(void)
{
	if (!strcmp(counter, "instructions"))
		return counter_init_instructions();
	if (strcmp(counter, "time")) {
		pr_err("no counter '%s': instructions or time\n", counter);
		return -EINVAL;
	}
	counter_calibrate();
	return 0;
}
