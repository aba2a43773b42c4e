// SPDX-License-Identifier: GPL-2.0
/*
 * fail_chaos_alloc: an attribute of the kernel's fault injection.  Its files in
 * debugfs are the kernel's, and one for each of what can fail.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>

#include "compat.h"
#include "fault.h"

static const char * const chaos_fault_names[CHAOS_FAULTS] = {
	[CHAOS_FAULT_REQUEST]	= "request",
	[CHAOS_FAULT_SETUP]	= "setup",
	[CHAOS_FAULT_PERCPU]	= "percpu",
	[CHAOS_FAULT_POOL]	= "pool",
	[CHAOS_FAULT_META]	= "meta",
	[CHAOS_FAULT_WORKER]	= "worker",
};

struct chaos_faults chaos_faults = {
	.attr = FAULT_ATTR_INITIALIZER,
	.ignore_gfp_wait = true,
	.on = { [0 ... CHAOS_FAULTS - 1] = true },
};
EXPORT_SYMBOL_IF_KUNIT(chaos_faults);

static struct dentry *chaos_faults_dir;

/*
 * As failslab= on the kernel's command line: from the module's first moment on.  Where it
 * fails is known then, so each fault is a line in the log, without the stack.
 */
static int chaos_faults_set(const char *val, const struct kernel_param *kp)
{
	if (!setup_fault_attr(&chaos_faults.attr, (char *)val))
		return -EINVAL;
	chaos_faults.attr.verbose = 1;
	return 0;
}

static const struct kernel_param_ops chaos_faults_ops = {
	.set = chaos_faults_set,
};

module_param_cb(fail_chaos_alloc, &chaos_faults_ops, NULL, 0);
MODULE_PARM_DESC(fail_chaos_alloc, "faults to inject: <interval>,<probability>,<space>,<times>");

/*
 * should_fail() takes random numbers, for which there is a local lock: so not in NMI;
 * and neither on PREEMPT_RT, nor where lockdep looks at what that would mean, where the
 * caller may not sleep.
 */
static bool chaos_faults_possible(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING))
		return preemptible();
	return !in_nmi();
}

/**
 * chaos_fails() - shall this fail?
 * @fault: what would
 * @size: bytes that the attribute's space decreases by, or 0
 *
 * Context: any; in NMI, and in some kernels wherever one may not sleep, nothing fails.
 * Return: whether it shall
 */
bool chaos_fails(enum chaos_fault fault, size_t size)
{
	return READ_ONCE(chaos_faults.on[fault]) && chaos_faults_possible() &&
	       should_fail(&chaos_faults.attr, min_t(size_t, size, INT_MAX));
}

/**
 * chaos_request_fails() - shall a client's request fail?
 * @size: its bytes
 * @gfp: its flags
 *
 * Context: any; see chaos_fails()
 * Return: whether it shall
 */
bool chaos_request_fails(size_t size, gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp) && READ_ONCE(chaos_faults.ignore_gfp_wait))
		return false;
	return chaos_fails(CHAOS_FAULT_REQUEST, size);
}

/* Nothing depends on the files: debugfs may be locked down, or not there. */
void __init chaos_faults_start(void)
{
	const umode_t mode = S_IFREG | 0600;
	struct dentry *dir;
	int i;

	dir = fault_create_debugfs_attr("fail_chaos_alloc", NULL, &chaos_faults.attr);
	if (IS_ERR(dir))
		return;
	chaos_faults_dir = dir;
	debugfs_create_bool("ignore-gfp-wait", mode, dir, &chaos_faults.ignore_gfp_wait);
	for (i = 0; i < CHAOS_FAULTS; i++)
		debugfs_create_bool(chaos_fault_names[i], mode, dir, &chaos_faults.on[i]);
}

void chaos_faults_stop(void)
{
	debugfs_remove_recursive(chaos_faults_dir);
}
