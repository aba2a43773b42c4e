// SPDX-License-Identifier: GPL-2.0
/*
 * What can be changed while a heap is in use.
 *
 * The default heap's options are module parameters as well, writable by root.
 * insmod's values wait in chaos_options_param until there is a default heap.
 * The kernel calls a parameter's functions under kernel_param_lock(), which also
 * protects chaos_param_heap: the files in sysfs are there before the heap and
 * after it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "grow.h"
#include "options.h"

#define CHAOS_DELAY_MAX		3600000UL	/* an hour */

/* What a heap has until it is told otherwise. */
#define CHAOS_OPTIONS_INITIAL		\
{					\
	.watermark	= 12,		\
	.retire_delay	= 100,		\
	.return_delay	= 5000,		\
	.heartbeat	= 256,		\
	.growth_step	= 0,		\
}

const struct chaos_options chaos_options_initial = CHAOS_OPTIONS_INITIAL;

/**
 * struct chaos_option_rule - an option's name and values
 * @name: of the module parameter, and in messages
 * @min: least value
 * @max: greatest value
 * @or_zero: 0 is valid, too
 * @unit: what @min and @max count
 */
struct chaos_option_rule {
	const char *name;
	unsigned long min;
	unsigned long max;
	bool or_zero;
	const char *unit;
};

static const struct chaos_option_rule chaos_option_rules[] = {
	[CHAOS_OPT_WATERMARK] = {
		.name = "watermark", .max = 50, .unit = "percent",
	},
	[CHAOS_OPT_RETIRE_DELAY] = {
		.name = "retire_delay", .max = CHAOS_DELAY_MAX, .unit = "ms",
	},
	[CHAOS_OPT_RETURN_DELAY] = {
		.name = "return_delay", .max = CHAOS_DELAY_MAX, .unit = "ms",
	},
	[CHAOS_OPT_HEARTBEAT] = {
		.name = "heartbeat", .min = 1, .max = 1UL << 30,
		.unit = "allocations",
	},
	[CHAOS_OPT_GROWTH_STEP] = {
		.name = "growth_step", .min = CHAOS_UNIT_SIZE,
		.max = CHAOS_SIZE_MAX, .or_zero = true, .unit = "bytes",
	},
};

static unsigned long chaos_option_read(const struct chaos_options *options,
				       enum chaos_option option)
{
	switch (option) {
	case CHAOS_OPT_WATERMARK:	return READ_ONCE(options->watermark);
	case CHAOS_OPT_RETIRE_DELAY:	return READ_ONCE(options->retire_delay);
	case CHAOS_OPT_RETURN_DELAY:	return READ_ONCE(options->return_delay);
	case CHAOS_OPT_HEARTBEAT:	return READ_ONCE(options->heartbeat);
	case CHAOS_OPT_GROWTH_STEP:	return READ_ONCE(options->growth_step);
	}
	return 0;
}

static void chaos_option_write(struct chaos_options *options,
			       enum chaos_option option, unsigned long value)
{
	switch (option) {
	case CHAOS_OPT_WATERMARK:
		WRITE_ONCE(options->watermark, value);
		break;
	case CHAOS_OPT_RETIRE_DELAY:
		WRITE_ONCE(options->retire_delay, value);
		break;
	case CHAOS_OPT_RETURN_DELAY:
		WRITE_ONCE(options->return_delay, value);
		break;
	case CHAOS_OPT_HEARTBEAT:
		WRITE_ONCE(options->heartbeat, value);
		break;
	case CHAOS_OPT_GROWTH_STEP:
		WRITE_ONCE(options->growth_step, value);
		break;
	}
}

static const struct chaos_option_rule *
chaos_option_rule(const struct chaos_heap *heap, enum chaos_option option)
{
	if ((unsigned int)option < ARRAY_SIZE(chaos_option_rules))
		return &chaos_option_rules[option];
	pr_err("heap %s: there is no option %d: 0 to %zu are valid\n",
	       heap->name, option, ARRAY_SIZE(chaos_option_rules) - 1);
	return NULL;
}

static void chaos_option_refuse(const char *heap, const char *value,
				const struct chaos_option_rule *rule)
{
	int length = strcspn(value, "\n");

	pr_err("heap %s: %s=%.*s is refused: %s%lu to %lu %s are valid\n", heap,
	       rule->name, length, value, rule->or_zero ? "0 and " : "",
	       rule->min, rule->max, rule->unit);
}

static bool chaos_option_valid(const struct chaos_option_rule *rule,
			       unsigned long value)
{
	return (value >= rule->min && value <= rule->max) ||
	       (rule->or_zero && !value);
}

int chaos_set_option(struct chaos_heap *heap, enum chaos_option option,
		     unsigned long value)
{
	const struct chaos_option_rule *rule = chaos_option_rule(heap, option);
	char text[24];

	if (!rule)
		return -EINVAL;
	if (!chaos_option_valid(rule, value)) {
		snprintf(text, sizeof(text), "%lu", value);
		chaos_option_refuse(heap->name, text, rule);
		return -EINVAL;
	}
	chaos_option_write(&heap->options, option, value);
	if (option != CHAOS_OPT_HEARTBEAT)
		chaos_options_changed(heap);
	return 0;
}

int chaos_get_option(struct chaos_heap *heap, enum chaos_option option,
		     unsigned long *value)
{
	if (!chaos_option_rule(heap, option))
		return -EINVAL;
	*value = chaos_option_read(&heap->options, option);
	return 0;
}

/* ---------------------------- module parameters --------------------------- */

static struct chaos_heap *chaos_param_heap;
static struct chaos_options chaos_options_param = CHAOS_OPTIONS_INITIAL;

void chaos_options_attach(struct chaos_heap *heap)
{
	kernel_param_lock(THIS_MODULE);
	if (heap)
		heap->options = chaos_options_param;
	chaos_param_heap = heap;
	kernel_param_unlock(THIS_MODULE);
	if (heap)
		chaos_options_changed(heap);
}

/* A number; of bytes if @rule counts these, then K, M, G, ... may follow. */
static bool chaos_option_parse(const struct chaos_option_rule *rule,
			       const char *text, unsigned long *value)
{
	unsigned long long bytes;
	char *end;

	if (rule != &chaos_option_rules[CHAOS_OPT_GROWTH_STEP])
		return !kstrtoul(text, 0, value);
	bytes = memparse(text, &end);
	*value = bytes;
	/* memparse() takes a lone K for 0. */
	return isdigit(*text) && (!*end || !strcmp(end, "\n")) &&
	       bytes <= ULONG_MAX;
}

static int chaos_option_param_set(const char *text, const struct kernel_param *kp)
{
	const struct chaos_option_rule *rule = kp->arg;
	enum chaos_option option = rule - chaos_option_rules;
	unsigned long value;

	if (!chaos_option_parse(rule, text, &value) ||
	    !chaos_option_valid(rule, value)) {
		chaos_option_refuse("default", text, rule);
		return -EINVAL;
	}
	if (chaos_param_heap)
		return chaos_set_option(chaos_param_heap, option, value);
	chaos_option_write(&chaos_options_param, option, value);
	return 0;
}

static int chaos_option_param_get(char *buffer, const struct kernel_param *kp)
{
	const struct chaos_option_rule *rule = kp->arg;
	const struct chaos_options *options;

	options = chaos_param_heap ? &chaos_param_heap->options :
				     &chaos_options_param;
	return sysfs_emit(buffer, "%lu\n",
			  chaos_option_read(options, rule - chaos_option_rules));
}

static const struct kernel_param_ops chaos_option_ops = {
	.set = chaos_option_param_set,
	.get = chaos_option_param_get,
};

#define CHAOS_OPTION_PARAM(name, option)				\
	module_param_cb(name, &chaos_option_ops,			\
			(void *)&chaos_option_rules[option], 0600)

CHAOS_OPTION_PARAM(watermark, CHAOS_OPT_WATERMARK);
MODULE_PARM_DESC(watermark, "percent of the default heap, 0 to 50: with less free, a worker grows it (default 12)");

CHAOS_OPTION_PARAM(retire_delay, CHAOS_OPT_RETIRE_DELAY);
MODULE_PARM_DESC(retire_delay, "milliseconds, 0 to 3600000, that mimalloc's empty or idle pages stay in the default heap (default 100)");

CHAOS_OPTION_PARAM(return_delay, CHAOS_OPT_RETURN_DELAY);
MODULE_PARM_DESC(return_delay, "milliseconds, 0 to 3600000, that the default heap keeps an empty pool that it has grown by (default 5000)");

CHAOS_OPTION_PARAM(heartbeat, CHAOS_OPT_HEARTBEAT);
MODULE_PARM_DESC(heartbeat, "allocations, 1 to 2^30, between calls of the default heap's deferred-free hook (default 256)");

CHAOS_OPTION_PARAM(growth_step, CHAOS_OPT_GROWTH_STEP);
MODULE_PARM_DESC(growth_step, "bytes, at least 64K, that the default heap grows by; 0: it doubles (default 0)");

unsigned int chaos_hardening_param = 1;
unsigned int chaos_track_param;

static int chaos_level_set(const char *text, const struct kernel_param *kp)
{
	unsigned int level;

	if (kstrtouint(text, 0, &level) || level > 2) {
		pr_err("%s=%s is refused: 0 to 2 are valid\n", kp->name, text);
		return -EINVAL;
	}
	*(unsigned int *)kp->arg = level;
	return 0;
}

static const struct kernel_param_ops chaos_level_ops = {
	.set = chaos_level_set,
	.get = param_get_uint,
};

module_param_cb(hardening, &chaos_level_ops, &chaos_hardening_param, 0400);
MODULE_PARM_DESC(hardening, "hardening level of heaps that do not ask for another: 0 to 2 (default 1)");

module_param_cb(track, &chaos_level_ops, &chaos_track_param, 0400);
MODULE_PARM_DESC(track, "what blocks of heaps that do not ask for more or less remember of who allocated them: 0: nothing, 1: the call site, 2: the stack (default 0)");
