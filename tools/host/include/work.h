/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens later: time stands still until the harness advances it, and work waits
 * until the harness runs it.
 */
#ifndef _HOST_WORK_H
#define _HOST_WORK_H

#include <linux/context.h>
#include <linux/list.h>

/* ----------------------------------- time --------------------------------- */

#define HZ			250
#define MAX_SCHEDULE_TIMEOUT	LONG_MAX

extern unsigned long host_jiffies;

#define jiffies			READ_ONCE(host_jiffies)
#define time_after(a, b)	((long)((b) - (a)) < 0)
#define time_before(a, b)	time_after(b, a)
#define time_after_eq(a, b)	((long)((a) - (b)) >= 0)
#define msecs_to_jiffies(ms)	(((unsigned long)(ms) * HZ + 999) / 1000)

void schedule_timeout_uninterruptible(long timeout);

/* ---------------------------------- irq_work ------------------------------ */

struct irq_work {
	void (*func)(struct irq_work *work);
	struct irq_work *next;
	int pending;
	int running;
};

#define IRQ_WORK_INIT_HARD(fn)	((struct irq_work){ .func = (fn) })

bool irq_work_queue(struct irq_work *work);
void irq_work_sync(struct irq_work *work);

/* --------------------------------- workqueues ----------------------------- */

struct work_struct {
	void (*func)(struct work_struct *work);
	struct list_head node;
	unsigned long due;
	unsigned int cpu;
	bool bound;
	bool pending;
};

struct delayed_work {
	struct work_struct work;
};

struct rcu_work {
	struct work_struct work;
};

/* Of tasks, that none of them is reclaim */
struct task_struct {
	unsigned int flags;
};

#define PF_MEMALLOC		0x800
#define current			(&(struct task_struct){})

struct workqueue_struct {
	int unused;
};

#define WQ_UNBOUND		0
#define WQ_MEM_RECLAIM		0

#define INIT_WORK(w, fn)						\
	(*(w) = (struct work_struct){ .func = (fn) })
#define INIT_DELAYED_WORK(w, fn)	INIT_WORK(&(w)->work, fn)
#define INIT_RCU_WORK(w, fn)		INIT_WORK(&(w)->work, fn)
#define to_delayed_work(w)	container_of(w, struct delayed_work, work)
#define to_rcu_work(w)		container_of(w, struct rcu_work, work)

struct workqueue_struct *alloc_workqueue(const char *fmt, unsigned int flags, int max, ...);
void destroy_workqueue(struct workqueue_struct *wq);
void flush_workqueue(struct workqueue_struct *wq);
bool host_queue(struct work_struct *work, unsigned long delay, bool again);
bool host_cancel(struct work_struct *work);
void host_run_on(unsigned int cpu, struct work_struct *work);

#define queue_work(wq, w)		host_queue(w, 0, false)
#define queue_work_on(cpu, wq, w)	((void)(cpu), host_queue(w, 0, false))

/* Whose work is run on a CPU of its own is nobody's business here. */
struct cpumask;
#define cpu_online_mask			((const struct cpumask *)NULL)
#define cpumask_of_node(node)		((void)(node), (const struct cpumask *)NULL)
#define cpumask_any_but(mask, cpu)	((void)(mask), (unsigned int)(cpu))
#define nr_cpu_ids			((unsigned int)NR_CPUS)
#define WORK_CPU_UNBOUND		NR_CPUS
#define queue_rcu_work(wq, w)		host_queue(&(w)->work, 0, false)
#define schedule_work_on(cpu, w)	host_run_on(cpu, w)
#define queue_delayed_work(wq, w, t)	host_queue(&(w)->work, t, false)
#define mod_delayed_work(wq, w, t)	host_queue(&(w)->work, t, true)
#define cancel_work_sync(w)		host_cancel(w)
#define cancel_delayed_work_sync(w)	host_cancel(&(w)->work)

/* --------------------------------- waiting -------------------------------- */

typedef struct {
	int unused;
} wait_queue_head_t;

#define init_waitqueue_head(q)	((void)(q))
#define wake_up_all(q)		((void)(q))

/* What would be done meanwhile is done; false: it is time to give up. */
bool host_wait(unsigned long *timeout);

#define wait_event_timeout(q, cond, timeout)				\
({									\
	unsigned long __left = (timeout);				\
	bool __met;							\
									\
	while (!(__met = (cond)) && host_wait(&__left))			\
		;							\
	__met;								\
})

/* ---------------------------- shrinkers, notifiers ------------------------ */

struct shrink_control {
	gfp_t gfp_mask;
	int nid;
	unsigned long nr_to_scan;
	unsigned long nr_scanned;
};

struct shrinker {
	unsigned long (*count_objects)(struct shrinker *s, struct shrink_control *sc);
	unsigned long (*scan_objects)(struct shrinker *s, struct shrink_control *sc);
	int seeks;
};

#define SHRINKER_NUMA_AWARE	1
#define SHRINK_STOP		(~0UL)

struct shrinker *shrinker_alloc(unsigned int flags, const char *fmt, ...);
void shrinker_register(struct shrinker *shrinker);
void shrinker_free(struct shrinker *shrinker);

struct notifier_block {
	int (*notifier_call)(struct notifier_block *nb, unsigned long action, void *data);
};

#define NOTIFY_DONE		0
#define NOTIFY_OK		1

int register_oom_notifier(struct notifier_block *nb);
int unregister_oom_notifier(struct notifier_block *nb);

#endif /* _HOST_WORK_H */
