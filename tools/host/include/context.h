/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs, contexts and locks.
 *
 * A CPU is a number, its per-CPU data a part of an area.  What preempt_count() says, and
 * whether interrupts are off, is a variable; an "interrupt" is a function that is called
 * with it raised.  With HOST_THREADS, several threads run, each bound to a CPU.  Two may
 * be bound to the same one: then each holds the CPU from preempt_disable() or
 * local_irq_save() to the end of that, as if the scheduler could change tasks only
 * outside of these.
 */
#ifndef _HOST_CONTEXT_H
#define _HOST_CONTEXT_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/gfp_types.h>

#define NR_CPUS			4
#define NUMA_NO_NODE		(-1)
#define MAX_NUMNODES		2

/* ---------------------------------- contexts ------------------------------ */

#define PREEMPT_OFFSET		1U
#define SOFTIRQ_OFFSET		BIT(8)
#define HARDIRQ_OFFSET		BIT(16)
#define NMI_OFFSET		BIT(20)
#define PREEMPT_MASK		0xffU
#define SOFTIRQ_MASK		0xff00U
#define HARDIRQ_MASK		0xf0000U
#define NMI_MASK		0xf00000U

extern __thread unsigned int host_cpu;
extern __thread unsigned int host_preempt;
extern __thread bool host_irqs_off;
extern __thread unsigned int host_locks;	/* raw spinlocks that are held */

#ifdef HOST_THREADS
void host_pin(void);
void host_unpin(void);
#else
static inline void host_pin(void) { }
static inline void host_unpin(void) { }
#endif

#define preempt_count()		(host_preempt)
#define in_nmi()		(host_preempt & NMI_MASK)
#define preemptible()		(!host_preempt && !host_irqs_off)

static __always_inline unsigned char interrupt_context_level(void)
{
	unsigned char level = !!(host_preempt & NMI_MASK);

	level += !!(host_preempt & (NMI_MASK | HARDIRQ_MASK));
	level += !!(host_preempt & (NMI_MASK | HARDIRQ_MASK | BIT(8)));
	return level;
}

static __always_inline void preempt_disable(void)
{
	host_pin();
	host_preempt++;
	barrier();
}

static __always_inline void preempt_enable(void)
{
	barrier();
	host_preempt--;
	host_unpin();
	host_point();		/* the scheduler's */
}

#define local_irq_save(flags)						\
do {									\
	host_pin();							\
	(flags) = host_irqs_off;					\
	host_irqs_off = true;						\
	barrier();							\
} while (0)

#define local_irq_restore(flags)					\
do {									\
	barrier();							\
	host_irqs_off = (flags);					\
	host_unpin();							\
	host_point();		/* interrupts that have waited */	\
} while (0)

#define cond_resched()		host_point()

/* ------------------------------- raw spinlocks ---------------------------- */

typedef struct {
	int locked;
} raw_spinlock_t;

void host_spin_wait(raw_spinlock_t *lock);
bool host_trylock_fails(void);

#define raw_spin_lock_init(l)	((l)->locked = 0)

static __always_inline bool host_spin_try(raw_spinlock_t *lock)
{
	if (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE))
		return false;
	host_locks++;
	return true;
}

/* An NMI may come at both ends, with the lock held and not. */
static __always_inline void __host_spin_lock(raw_spinlock_t *lock, unsigned long *flags)
{
	local_irq_save(*flags);
	preempt_disable();
	while (!host_spin_try(lock))
		host_spin_wait(lock);
	host_point();
}

static __always_inline bool __host_spin_trylock(raw_spinlock_t *lock,
						unsigned long *flags)
{
	local_irq_save(*flags);
	preempt_disable();
	if (host_trylock_fails() || !host_spin_try(lock)) {
		preempt_enable();
		local_irq_restore(*flags);
		return false;
	}
	host_point();
	return true;
}

#define raw_spin_lock_irqsave(l, flags)		__host_spin_lock(l, &(flags))
#define raw_spin_trylock_irqsave(l, flags)	__host_spin_trylock(l, &(flags))

#define raw_spin_unlock_irqrestore(l, flags)				\
do {									\
	host_point();							\
	host_locks--;							\
	__atomic_store_n(&(l)->locked, 0, __ATOMIC_RELEASE);		\
	preempt_enable();						\
	local_irq_restore(flags);					\
} while (0)

bool host_spin_held(const raw_spinlock_t *lock);

/* ------------------------------------ CPUs -------------------------------- */

extern bool host_online[NR_CPUS];
extern int host_nodes;		/* 1 or 2; the upper half of the CPUs is on the second */

#define for_each_possible_cpu(cpu)					\
	for ((cpu) = 0; (cpu) < NR_CPUS; (cpu)++)
#define num_possible_cpus()	((unsigned int)NR_CPUS)
#define cpu_online(cpu)		READ_ONCE(host_online[cpu])

/* @cpu, or the first one after it, that is online; or NR_CPUS */
static inline unsigned int host_next_online(unsigned int cpu)
{
	while (cpu < NR_CPUS && !cpu_online(cpu))
		cpu++;
	return cpu;
}

#define for_each_online_cpu(cpu)					\
	for ((cpu) = host_next_online(0); (cpu) < NR_CPUS;		\
	     (cpu) = host_next_online((cpu) + 1))
#define smp_processor_id()	(host_cpu)
#define migrate_disable()	((void)0)	/* works keep their CPU */
#define migrate_enable()	((void)0)
#define raw_smp_processor_id()	(host_cpu)
#define numa_node_id()		((int)(host_cpu * host_nodes / NR_CPUS))
#define numa_mem_id()		numa_node_id()
#define nr_node_ids		(host_nodes)
#define num_online_nodes()	(host_nodes)
#define node_online(node)	((node) < host_nodes)
#define first_online_node	0
#define first_memory_node	0

int smp_call_on_cpu(unsigned int cpu, int (*fn)(void *), void *data, bool phys);
void cpus_read_lock(void);
void cpus_read_unlock(void);

#define CPUHP_BP_PREPARE_DYN	1
int cpuhp_setup_state_nocalls(int state, const char *name,
			      int (*startup)(unsigned int cpu),
			      int (*teardown)(unsigned int cpu));
void cpuhp_remove_state_nocalls(int state);

/* -------------------------------- per-CPU data ---------------------------- */

/* A per-CPU pointer leads nowhere; the first CPU's data is a stride behind. */
#define HOST_PERCPU_STRIDE	(2UL << 20)

#define per_cpu_offset(cpu)	(((cpu) + 1) * HOST_PERCPU_STRIDE)
#define __my_cpu_offset		per_cpu_offset(host_cpu)
#define per_cpu_ptr(ptr, cpu)	((typeof(ptr))((char *)(ptr) + per_cpu_offset(cpu)))
#define this_cpu_ptr(ptr)	per_cpu_ptr(ptr, host_cpu)
#define raw_cpu_ptr(ptr)	this_cpu_ptr(ptr)

#define this_cpu_add(pcp, n)						\
do {									\
	host_point();							\
	__atomic_fetch_add(this_cpu_ptr(&(pcp)), n, __ATOMIC_RELAXED);	\
} while (0)
#define this_cpu_inc(pcp)	this_cpu_add(pcp, 1)

void *__alloc_percpu(size_t size, size_t align);
void free_percpu(void *p);

#define alloc_percpu(type)						\
	((type *)__alloc_percpu(sizeof(type), __alignof__(type)))

/* --------------------------------- mutexes -------------------------------- */

struct mutex {
	int owner;	/* the thread's number, or 0 */
};

#define DEFINE_MUTEX(name)	struct mutex name

#define mutex_init(m)		((m)->owner = 0)
#define mutex_destroy(m)	((void)(m))
void mutex_lock(struct mutex *m);
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
bool host_mutex_held(const struct mutex *m);
void host_lock_missing(const char *what);

static inline void host_assert(bool held, const char *what)
{
	if (!held)
		host_lock_missing(what);
}

#define lockdep_assert_held(l)						\
	host_assert(_Generic((l), struct mutex *: host_mutex_held((void *)(l)),	\
			     raw_spinlock_t *: host_spin_held((void *)(l))), #l)

/* ----------------------------------- RCU ---------------------------------- */

/* A grace period: all that was done with preemption off has ended. */
void synchronize_rcu(void);
void rcu_barrier(void);

#define rcu_assign_pointer(p, v)	smp_store_release(&(p), v)
#define rcu_dereference_raw(p)		READ_ONCE(p)
#define rcu_dereference(p)		READ_ONCE(p)
#define rcu_dereference_check(p, c)	READ_ONCE(p)
#define rcu_read_lock_any_held()	(host_preempt || host_irqs_off)
#define RCU_LOCKDEP_WARN(c, s)		host_assert(!(c), s)
#define RCU_INITIALIZER(v)		(v)
#define RCU_INIT_POINTER(p, v)		WRITE_ONCE(p, v)

/* ------------------------------- may it sleep? ---------------------------- */

void host_may_sleep(void);

#define might_sleep()		host_may_sleep()
static inline void might_alloc(gfp_t gfp)
{
	if (gfp & __GFP_DIRECT_RECLAIM)
		host_may_sleep();
}

#define gfpflags_allow_blocking(gfp)	(!!((gfp) & __GFP_DIRECT_RECLAIM))

static inline unsigned int memalloc_noio_save(void)
{
	return 0;
}

static inline void memalloc_noio_restore(unsigned int flags) { }

#endif /* _HOST_CONTEXT_H */
