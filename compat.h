/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the module supports, 6.1 and later.
 * The only file that names a kernel version.
 */
#ifndef _CHAOS_COMPAT_H
#define _CHAOS_COMPAT_H

#include <linux/export.h>
#include <linux/hrtimer.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#include <kunit/visibility.h>
#elif IS_ENABLED(CONFIG_KUNIT)
#define VISIBLE_IF_KUNIT
#define EXPORT_SYMBOL_IF_KUNIT(symbol)	EXPORT_SYMBOL_GPL(symbol)
#else
#define VISIBLE_IF_KUNIT		static
#define EXPORT_SYMBOL_IF_KUNIT(symbol)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
}
#endif

/* Sparse's conditional acquire; kernels that have done with sparse's lack it. */
#ifndef __cond_lock
#define __cond_lock(x, c)		(c)
#endif

/* Namespaces are strings since 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define CHAOS_KUNIT_NS			"EXPORTED_FOR_KUNIT_TESTING"
#else
#define CHAOS_KUNIT_NS			EXPORTED_FOR_KUNIT_TESTING
#endif

#endif /* _CHAOS_COMPAT_H */
