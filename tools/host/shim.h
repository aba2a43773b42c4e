/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the harness knows of the shim, and the module does not.
 */
#ifndef _HOST_SHIM_H
#define _HOST_SHIM_H

#include <linux/context.h>
#include <linux/module.h>
#include <linux/work.h>

int host_module_init(void);
void host_module_exit(void);

/* As insmod does; 0 or -errno. */
int host_set_param(const char *name, const char *value);
int host_get_param(const char *name, char *buffer);

/* ------------------------------- interruptions ---------------------------- */

/*
 * Called when host_countdown has come down to 0, wherever the module then is.  What it
 * runs there is up to it; host_may_enter() says what may be run, host_enter() and
 * host_leave() go there and back.
 */
extern void (*host_interrupt_hook)(void);

/* So many raw_spin_trylock()s are left until one fails for no reason; 0: none does. */
extern __thread unsigned int host_trylock_countdown;

/* So many schedule_work_on()s are left until one comes too late; 0: none does. */
extern __thread unsigned int host_late_countdown;

/**
 * struct host_place - where somebody was
 * @cpu: on which CPU
 * @preempt: its preempt_count()
 * @irqs_off: and whether its interrupts were off
 */
struct host_place {
	unsigned int cpu;
	unsigned int preempt;
	bool irqs_off;
};

enum host_level {
	HOST_TASK,
	HOST_SOFTIRQ,
	HOST_HARDIRQ,
	HOST_NMI,
	HOST_LEVELS
};

bool host_may_enter(unsigned int cpu, enum host_level level);
void host_enter(unsigned int cpu, enum host_level level, struct host_place *from);
void host_leave(const struct host_place *to);

/* ------------------------------- what is pending -------------------------- */

/* Run what irq_work_queue() has left, on this CPU, if its interrupts are on. */
void host_run_irq_work(void);
/* Run work that is due; false if there was none. */
bool host_run_work(void);
/* Work that is not due yet will be as soon as that: @by jiffies from now. */
void host_advance(unsigned long by);
/* Whatever is pending, delayed or not, is done on return. */
void host_settle(void);

void host_cpu_down(unsigned int cpu);
void host_cpu_up(unsigned int cpu);

unsigned long host_shrink(int nid, unsigned long pages);	/* 0: count */
unsigned long host_oom(void);

/* ----------------------------------- memory ------------------------------- */

/* So many allocations of the module's succeed until one fails; 0: all do. */
extern __thread unsigned int host_fail_countdown;
/* How many have failed because of that. */
extern __thread unsigned long host_failed;

/* What the module has allocated and not freed. */
extern atomic_long_t host_allocated;

/* Seeds get_random_long(), and what fresh memory holds. */
extern __thread u64 host_seed;

/* ---------------------------------- messages ------------------------------ */

/* Show all messages; else they are only counted, and the last one kept. */
extern bool host_verbose;
extern __thread unsigned long host_messages;
extern __thread char host_last_message[512];

/* Say what is wrong and stop; the harness adds how to come back here. */
__printf(1, 2) __noreturn
void host_fatal(const char *fmt, ...);
extern void (*host_fatal_hook)(void);

#ifdef HOST_THREADS
/* The thread is bound to this CPU from now on. */
void host_thread_init(unsigned int cpu);
#endif

#endif /* _HOST_SHIM_H */
