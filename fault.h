/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Faults on request: fail_chaos_alloc is to heaps what failslab and fail_page_alloc
 * are to the kernel's allocators.  See Documentation/faults.rst, and
 * Documentation/fault-injection/ in the kernel's tree.
 *
 * Without CONFIG_FAULT_INJECTION, nothing of it is left.
 */
#ifndef _CHAOS_FAULT_H
#define _CHAOS_FAULT_H

#include <linux/fault-inject.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/types.h>

/**
 * enum chaos_fault - what can be made to fail
 * @CHAOS_FAULT_REQUEST: a client's request for a block
 * @CHAOS_FAULT_SETUP: memory for a new heap's structures, and for the module's
 * @CHAOS_FAULT_PERCPU: per-CPU memory for a new heap
 * @CHAOS_FAULT_POOL: the memory of a pool
 * @CHAOS_FAULT_META: what describes a pool, or what a check needs for a moment
 * @CHAOS_FAULT_WORKER: growth by a heap's worker
 * @CHAOS_FAULTS: how many there are
 */
enum chaos_fault {
	CHAOS_FAULT_REQUEST,
	CHAOS_FAULT_SETUP,
	CHAOS_FAULT_PERCPU,
	CHAOS_FAULT_POOL,
	CHAOS_FAULT_META,
	CHAOS_FAULT_WORKER,
	CHAOS_FAULTS,
};

#ifdef CONFIG_FAULT_INJECTION

/**
 * struct chaos_faults - what fails, and when
 * @attr: how often; see the kernel's documentation
 * @ignore_gfp_wait: requests that may block do not fail
 * @on: those that do
 *
 * Written through debugfs, or by a test, and read without a lock.
 */
struct chaos_faults {
	struct fault_attr attr;
	bool ignore_gfp_wait;
	bool on[CHAOS_FAULTS];
};

extern struct chaos_faults chaos_faults;

bool chaos_fails(enum chaos_fault fault, size_t size);
bool chaos_request_fails(size_t size, gfp_t gfp);
void chaos_faults_start(void);
void chaos_faults_stop(void);

/* Could a request fail?  Then it takes no fast path, because these do not ask. */
static __always_inline bool chaos_faults_armed(void)
{
	/* data_race(): who arms it does not wait for who is past this */
	return unlikely(data_race(chaos_faults.attr.probability) ||
			(in_task() && current->fail_nth));
}

#else

static inline bool chaos_fails(enum chaos_fault fault, size_t size)
{
	return false;
}

static inline bool chaos_request_fails(size_t size, gfp_t gfp)
{
	return false;
}

static inline bool chaos_faults_armed(void)
{
	return false;
}

static inline void chaos_faults_start(void) {}
static inline void chaos_faults_stop(void) {}

#endif

/* What @get returns, or NULL, without evaluating it, if @fault is to fail now. */
#define chaos_unless_fails(fault, get)	(chaos_fails(fault, 0) ? NULL : (get))

#endif /* _CHAOS_FAULT_H */
