// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel, as far as the module knows it, for user space; see include/.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

/* -------------------------------- messages -------------------------------- */

bool host_verbose;
__thread unsigned long host_messages;
__thread char host_last_message[512];
void (*host_fatal_hook)(void);

void host_fatal(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "host: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	if (host_last_message[0])
		fprintf(stderr, "host: the last message was: %s\n", host_last_message);
	if (host_fatal_hook)
		host_fatal_hook();
	abort();
}

/**
 * struct host_text - a message that is being put together
 * @p: where it goes on
 * @end: where it must end
 */
struct host_text {
	char *p;
	char *end;
};

static void host_vformat(struct host_text *t, const char *fmt, va_list *args);

__printf(2, 3)
static void host_put(struct host_text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->p, t->end - t->p, fmt, args);
	va_end(args);
	t->p += min_t(long, n, t->end - t->p - 1);
}

/* The kernel's extensions of %p: %pS, %pV, %pe and %pGg; returns what follows. */
static const char *host_put_pointer(struct host_text *t, const char *fmt, void *p)
{
	struct va_format *vaf = p;

	switch (*fmt) {
	case 'V':
		host_vformat(t, vaf->fmt, vaf->va);
		return fmt + 1;
	case 'G':
		host_put(t, "%#x", *(gfp_t *)p);
		return fmt + 2;
	case 'e':
		host_put(t, "%ld", (long)p);
		return fmt + 1;
	case 'S':
		host_put(t, "%p", p);
		return fmt + 1;
	default:
		host_put(t, "%p", p);
		return fmt;
	}
}

/* One conversion that begins behind the %; returns what follows it. */
static const char *host_put_one(struct host_text *t, const char *fmt, va_list *args)
{
	char spec[16] = "%";
	size_t n = 1, longs = 0;
	int precision = -1;

	while (*fmt && !strchr("diuxXcsp%", *fmt) && n < sizeof(spec) - 2) {
		if (*fmt == '*')
			precision = va_arg(*args, int);
		if (*fmt == 'l' || *fmt == 'z')
			longs++;
		spec[n++] = *fmt++;
	}
	spec[n++] = *fmt;
	if (*fmt == '%')
		host_put(t, "%%");
	else if (*fmt == 'p')
		return host_put_pointer(t, fmt + 1, va_arg(*args, void *));
	else if (*fmt == 's')
		host_put(t, "%.*s", precision < 0 ? 200 : precision, va_arg(*args, char *));
	else if (longs)
		host_put(t, *fmt == 'x' ? "%lx" : "%ld", va_arg(*args, long));
	else
		host_put(t, *fmt == 'x' ? "%x" : "%d", va_arg(*args, int));
	return *fmt ? fmt + 1 : fmt;
}

static void host_vformat(struct host_text *t, const char *fmt, va_list *args)
{
	while (*fmt) {
		if (*fmt == '%')
			fmt = host_put_one(t, fmt + 1, args);
		else
			host_put(t, "%c", *fmt++);
	}
}

void host_print(const char *fmt, ...)
{
	struct host_text text = {
		.p = host_last_message,
		.end = host_last_message + sizeof(host_last_message),
	};
	va_list args;

	va_start(args, fmt);
	host_vformat(&text, fmt, &args);
	va_end(args);
	host_messages++;
	if (host_verbose)
		fputs(host_last_message, stderr);
}

void host_warn(const char *file, int line, const char *what)
{
	host_fatal("%s:%d: WARN_ON(%s)", file, line, what);
}

void host_lock_missing(const char *what)
{
	host_fatal("%s is not held", what);
}

/* -------------------------------- contexts -------------------------------- */

__thread unsigned int host_cpu;
__thread unsigned int host_preempt;
__thread bool host_irqs_off;
__thread unsigned int host_locks;
__thread unsigned long host_countdown;
__thread unsigned int host_trylock_countdown;
void (*host_interrupt_hook)(void);

bool host_online[NR_CPUS] = { true, true, true, true };
int host_nodes = 1;

/* What CPUs that are not this thread's are in the middle of. */
static __thread struct host_place host_stalled[NR_CPUS];

void host_interrupt(void)
{
	if (host_interrupt_hook)
		host_interrupt_hook();
}

bool host_trylock_fails(void)
{
	return host_trylock_countdown && !--host_trylock_countdown;
}

/*
 * Who is in the middle of something holds the CPUs that he was on: something of a higher
 * level, or, where preemption is on, another task, may run there.  While a raw spinlock is
 * held, only an NMI may, which does not wait for it.
 */
bool host_may_enter(unsigned int cpu, enum host_level level)
{
	unsigned int count = cpu == host_cpu ? host_preempt : host_stalled[cpu].preempt;
	bool irqs_off = cpu == host_cpu ? host_irqs_off : host_stalled[cpu].irqs_off;

	if (!host_online[cpu])
		return false;
	if (level == HOST_NMI)
		return (count & NMI_MASK) < 2 * NMI_OFFSET;
	if (host_locks || irqs_off || count & (NMI_MASK | HARDIRQ_MASK))
		return false;
	if (level == HOST_HARDIRQ)
		return true;
	if (count & SOFTIRQ_MASK)
		return false;
	return level == HOST_SOFTIRQ || !count;
}

/* Interrupts run with interrupts off. */
void host_enter(unsigned int cpu, enum host_level level, struct host_place *from)
{
	static const unsigned int offset[HOST_LEVELS] = {
		0, SOFTIRQ_OFFSET, HARDIRQ_OFFSET, NMI_OFFSET,
	};

	host_pin();
	*from = (struct host_place){ host_cpu, host_preempt, host_irqs_off };
	if (cpu != host_cpu) {
		host_stalled[host_cpu] = *from;
		host_cpu = cpu;
		host_preempt = host_stalled[cpu].preempt;
		host_irqs_off = host_stalled[cpu].irqs_off;
		from->preempt |= 1U << 31;
	}
	host_preempt += offset[level];
	if (level >= HOST_HARDIRQ)
		host_irqs_off = true;
}

void host_leave(const struct host_place *to)
{
	host_cpu = to->cpu;
	host_preempt = to->preempt & ~(1U << 31);
	host_irqs_off = to->irqs_off;
	if (to->preempt & 1U << 31)
		host_stalled[to->cpu] = (struct host_place){ 0 };
	host_unpin();
}

void host_may_sleep(void)
{
	if (host_preempt || host_irqs_off)
		host_fatal("sleeps with preempt_count %x, interrupts %s", host_preempt,
			   host_irqs_off ? "off" : "on");
}

bool host_spin_held(const raw_spinlock_t *lock)
{
	return __atomic_load_n(&lock->locked, __ATOMIC_RELAXED);
}

/* ----------------------------------- CPUs --------------------------------- */

#ifdef HOST_THREADS
static pthread_mutex_t host_cpu_mutex[NR_CPUS] = {
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
};

static __thread unsigned int host_pins;
static __thread int host_thread;
static int host_threads;

void host_pin(void)
{
	if (!host_pins++)
		pthread_mutex_lock(&host_cpu_mutex[host_cpu]);
}

void host_unpin(void)
{
	if (!--host_pins)
		pthread_mutex_unlock(&host_cpu_mutex[host_cpu]);
}

void host_thread_init(unsigned int cpu)
{
	host_cpu = cpu;
	host_thread = __atomic_add_fetch(&host_threads, 1, __ATOMIC_RELAXED);
}

static int host_self(void)
{
	if (!host_thread)
		host_thread_init(host_cpu);
	return host_thread;
}

/* Whoever has the lock has interrupts off, and is not on this CPU. */
void host_spin_wait(raw_spinlock_t *lock)
{
	sched_yield();
}

static void host_wait_for_others(void)
{
	sched_yield();
}

/* Each CPU has been left by whoever was on it. */
void synchronize_rcu(void)
{
	unsigned int cpu;

	host_may_sleep();
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		pthread_mutex_lock(&host_cpu_mutex[cpu]);
		pthread_mutex_unlock(&host_cpu_mutex[cpu]);
	}
}
#else
static int host_self(void)
{
	return 1;
}

void host_spin_wait(raw_spinlock_t *lock)
{
	host_fatal("a raw spinlock would be waited for in vain");
}

static void host_wait_for_others(void)
{
	host_fatal("a mutex would be waited for in vain");
}

/* Nobody else runs while something that may sleep does. */
void synchronize_rcu(void)
{
	host_may_sleep();
}
#endif

/* The function runs in a task on that CPU, when it is that task's turn. */
int smp_call_on_cpu(unsigned int cpu, int (*fn)(void *), void *data, bool phys)
{
	unsigned int here = host_cpu;
	int ret;

	host_may_sleep();
	host_cpu = cpu;
	host_pin();
	ret = fn(data);
	host_unpin();
	host_cpu = here;
	return ret;
}

static int host_call_work(void *data)
{
	struct work_struct *work = data;

	work->func(work);
	return 0;
}

__thread unsigned int host_late_countdown;

/*
 * Done before anybody waits for it; or the CPU is busy for longer than anybody waits, and
 * until it has come to this, to ask again is in vain.
 */
void host_run_on(unsigned int cpu, struct work_struct *work)
{
	if (host_late_countdown && !--host_late_countdown) {
		work->bound = true;
		work->cpu = cpu;
		host_queue(work, 1, false);
	} else if (!work->pending) {
		smp_call_on_cpu(cpu, host_call_work, work, false);
	}
}

/* As a read lock: CPUs come and go between operations only. */
static struct mutex host_hotplug_mutex;
static __thread int host_hotplug_depth;

void cpus_read_lock(void)
{
	host_may_sleep();
	if (!host_hotplug_depth++)
		mutex_lock(&host_hotplug_mutex);
}

void cpus_read_unlock(void)
{
	if (!--host_hotplug_depth)
		mutex_unlock(&host_hotplug_mutex);
}

static int (*host_cpuhp_teardown)(unsigned int cpu);

int cpuhp_setup_state_nocalls(int state, const char *name,
			      int (*startup)(unsigned int cpu),
			      int (*teardown)(unsigned int cpu))
{
	host_cpuhp_teardown = teardown;
	return 1;
}

void cpuhp_remove_state_nocalls(int state)
{
	host_cpuhp_teardown = NULL;
}

void host_cpu_down(unsigned int cpu)
{
	cpus_read_lock();
	WRITE_ONCE(host_online[cpu], false);
	if (host_cpuhp_teardown)
		host_cpuhp_teardown(cpu);
	cpus_read_unlock();
}

void host_cpu_up(unsigned int cpu)
{
	WRITE_ONCE(host_online[cpu], true);
}

/* --------------------------------- mutexes -------------------------------- */

/* How many this thread holds */
static __thread unsigned int host_mutexes;

bool mutex_trylock(struct mutex *m)
{
	int old = 0;
	bool got = __atomic_compare_exchange_n(&m->owner, &old, host_self(), false,
					       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);

	host_mutexes += got;
	return got;
}

void mutex_lock(struct mutex *m)
{
	host_may_sleep();
	while (!mutex_trylock(m))
		host_wait_for_others();
}

void mutex_unlock(struct mutex *m)
{
	host_mutexes--;
	__atomic_store_n(&m->owner, 0, __ATOMIC_RELEASE);
}

bool host_mutex_held(const struct mutex *m)
{
	return __atomic_load_n(&m->owner, __ATOMIC_RELAXED) == host_self();
}

/* ---------------------------------- memory -------------------------------- */

__thread unsigned int host_fail_countdown;
__thread unsigned long host_failed;
__thread u64 host_seed = 1;
atomic_long_t host_allocated;

/* xorshift64 (Marsaglia 2003) */
unsigned long get_random_long(void)
{
	host_seed ^= host_seed << 13;
	host_seed ^= host_seed >> 7;
	host_seed ^= host_seed << 17;
	return host_seed;
}

static bool host_fails(void)
{
	if (!host_fail_countdown || --host_fail_countdown)
		return false;
	host_failed++;
	return true;
}

/* Garbage, but not more than takes a while. */
static void host_soil(void *p, size_t size)
{
	memset(p, 0x5a, min(size, 1UL << 18));
}

void *host_kmalloc(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes = n * size;
	void *p;

	might_alloc(gfp);
	if (host_fails() || (size && bytes / size != n))
		return NULL;
	p = gfp & __GFP_ZERO ? calloc(1, bytes) : malloc(bytes);
	if (!p)
		host_fatal("no memory for %zu bytes", bytes);
	if (!(gfp & __GFP_ZERO))
		host_soil(p, bytes);
	__atomic_fetch_add(&host_allocated.counter, 1, __ATOMIC_RELAXED);
	return p;
}

/**
 * struct host_area - memory of vmalloc()
 * @next: another one
 * @start: what vmalloc() returned
 * @size: its bytes
 * @map: what was mapped
 * @map_size: its bytes
 * @nid: on which node it is said to be
 */
struct host_area {
	struct host_area *next;
	char *start;
	size_t size;
	char *map;
	size_t map_size;
	int nid;
};

static struct host_area *host_areas;
static pthread_mutex_t host_areas_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The area that @p is in, and what leads to it; host_areas_mutex is held. */
static struct host_area **host_find_area(const void *p)
{
	struct host_area **link = &host_areas;

	while (*link && (size_t)((const char *)p - (*link)->start) >= (*link)->size)
		link = &(*link)->next;
	return link;
}

/*
 * Page alignment is all that is promised, though areas of 2 MiB have that one more often
 * than not.  On both sides, there is nothing.
 */
void *vmalloc_huge_node(unsigned long size, gfp_t gfp, int node)
{
	size_t align = size >= PMD_SIZE && get_random_long() % 4 ? PMD_SIZE : PAGE_SIZE;
	struct host_area *area;

	might_alloc(gfp);
	if (host_fails())
		return NULL;
	area = calloc(1, sizeof(*area));
	area->size = PAGE_ALIGN(size);
	area->map_size = area->size + PMD_SIZE + 2 * PAGE_SIZE;
	area->nid = node == NUMA_NO_NODE ? numa_node_id() : node;
	area->map = mmap(NULL, area->map_size, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area->map == MAP_FAILED)
		host_fatal("no address space for %lu bytes", size);
	area->start = (char *)ALIGN((unsigned long)area->map + PAGE_SIZE, align);
	if (align == PAGE_SIZE)
		area->start += get_random_long() % (PMD_SIZE / PAGE_SIZE) * PAGE_SIZE;
	if (mprotect(area->start, area->size, PROT_READ | PROT_WRITE))
		host_fatal("no memory for %lu bytes", size);
	host_soil(area->start, area->size);
	pthread_mutex_lock(&host_areas_mutex);
	area->next = host_areas;
	host_areas = area;
	pthread_mutex_unlock(&host_areas_mutex);
	__atomic_fetch_add(&host_allocated.counter, 1, __ATOMIC_RELAXED);
	return area->start;
}

static bool host_vfree(const void *p)
{
	struct host_area **link, *area;

	pthread_mutex_lock(&host_areas_mutex);
	link = host_find_area(p);
	area = *link;
	if (area)
		*link = area->next;
	pthread_mutex_unlock(&host_areas_mutex);
	if (!area)
		return false;
	if (area->start != p)
		host_fatal("vfree(%p) of what begins at %p", p, area->start);
	munmap(area->map, area->map_size);
	free(area);
	return true;
}

void kvfree(const void *p)
{
	if (!p)
		return;
	__atomic_fetch_sub(&host_allocated.counter, 1, __ATOMIC_RELAXED);
	if (!host_vfree(p))
		free((void *)p);
}

struct page *vmalloc_to_page(const void *p)
{
	struct host_area *area;

	pthread_mutex_lock(&host_areas_mutex);
	area = *host_find_area(p);
	pthread_mutex_unlock(&host_areas_mutex);
	return (struct page *)area;
}

bool is_vmalloc_addr(const void *p)
{
	return vmalloc_to_page(p);
}

int page_to_nid(const struct page *page)
{
	return ((const struct host_area *)page)->nid;
}

unsigned long totalram_pages(void)
{
	return 1UL << 20;
}

/**
 * struct host_percpu - a part of each CPU's data
 * @offset: where it begins
 * @size: its bytes
 */
struct host_percpu {
	size_t offset;
	size_t size;
};

#define HOST_PERCPU_MAX		64

static struct host_percpu host_percpus[HOST_PERCPU_MAX];
static unsigned int host_nr_percpus;
static char *host_percpu_area;
static pthread_mutex_t host_percpu_mutex = PTHREAD_MUTEX_INITIALIZER;

static void host_percpu_init(void)
{
	size_t size = (NR_CPUS + 1) * HOST_PERCPU_STRIDE;

	host_percpu_area = mmap(NULL, size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host_percpu_area == MAP_FAILED ||
	    mprotect(host_percpu_area + HOST_PERCPU_STRIDE, size - HOST_PERCPU_STRIDE,
		     PROT_READ | PROT_WRITE))
		host_fatal("no memory for per-CPU data");
}

/* First fit; the parts are in the order of their places. */
static size_t host_percpu_place(size_t size)
{
	size_t offset = 0;
	unsigned int i;

	for (i = 0; i < host_nr_percpus; i++) {
		if (host_percpus[i].offset - offset >= size)
			break;
		offset = host_percpus[i].offset + host_percpus[i].size;
	}
	if (host_nr_percpus == HOST_PERCPU_MAX || offset + size > HOST_PERCPU_STRIDE)
		host_fatal("no per-CPU memory for %zu bytes", size);
	memmove(host_percpus + i + 1, host_percpus + i,
		(host_nr_percpus++ - i) * sizeof(*host_percpus));
	host_percpus[i] = (struct host_percpu){ offset, size };
	return offset;
}

void *__alloc_percpu(size_t size, size_t align)
{
	unsigned int cpu;
	char *p;

	host_may_sleep();
	if (host_fails())
		return NULL;
	pthread_mutex_lock(&host_percpu_mutex);
	if (!host_percpu_area)
		host_percpu_init();
	p = host_percpu_area + host_percpu_place(ALIGN(size, PAGE_SIZE));
	pthread_mutex_unlock(&host_percpu_mutex);
	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(p, cpu), 0, size);
	__atomic_fetch_add(&host_allocated.counter, 1, __ATOMIC_RELAXED);
	return p;
}

void free_percpu(void *p)
{
	unsigned int i, cpu;

	if (!p)
		return;
	pthread_mutex_lock(&host_percpu_mutex);
	for (i = 0; i < host_nr_percpus; i++)
		if (host_percpu_area + host_percpus[i].offset == p)
			break;
	if (i == host_nr_percpus)
		host_fatal("%p is no per-CPU memory", p);
	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(p, cpu), 0x5a, host_percpus[i].size);
	memmove(host_percpus + i, host_percpus + i + 1,
		(--host_nr_percpus - i) * sizeof(*host_percpus));
	pthread_mutex_unlock(&host_percpu_mutex);
	__atomic_fetch_sub(&host_allocated.counter, 1, __ATOMIC_RELAXED);
}

/* ----------------------------------- work --------------------------------- */

unsigned long host_jiffies = -100000UL;		/* it wraps before long */

static struct irq_work *host_irq_works;
static LIST_HEAD(host_works);
static pthread_mutex_t host_work_mutex = PTHREAD_MUTEX_INITIALIZER;

void host_advance(unsigned long by)
{
	__atomic_fetch_add(&host_jiffies, by, __ATOMIC_RELAXED);
}

bool irq_work_queue(struct irq_work *work)
{
	struct irq_work *first = __atomic_load_n(&host_irq_works, __ATOMIC_RELAXED);

	if (__atomic_exchange_n(&work->pending, 1, __ATOMIC_ACQ_REL))
		return false;
	do {
		__atomic_store_n(&work->next, first, __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&host_irq_works, &first, work, false,
					      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

void host_run_irq_work(void)
{
	struct irq_work *work, *next;
	struct host_place from;

	if (!__atomic_load_n(&host_irq_works, __ATOMIC_RELAXED) ||
	    !host_may_enter(host_cpu, HOST_HARDIRQ))
		return;
	host_enter(host_cpu, HOST_HARDIRQ, &from);
	work = __atomic_exchange_n(&host_irq_works, NULL, __ATOMIC_ACQUIRE);
	for (; work; work = next) {
		next = __atomic_load_n(&work->next, __ATOMIC_RELAXED);
		__atomic_store_n(&work->running, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&work->pending, 0, __ATOMIC_SEQ_CST);
		work->func(work);
		__atomic_store_n(&work->running, 0, __ATOMIC_RELEASE);
	}
	host_leave(&from);
}

void irq_work_sync(struct irq_work *work)
{
	host_may_sleep();
	while (__atomic_load_n(&work->pending, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&work->running, __ATOMIC_ACQUIRE)) {
		host_run_irq_work();
		sched_yield();
	}
}

bool host_queue(struct work_struct *work, unsigned long delay, bool again)
{
	bool queued = false;

	pthread_mutex_lock(&host_work_mutex);
	if (!work->pending) {
		list_add_tail(&work->node, &host_works);
		work->pending = true;
		queued = true;
	}
	if (queued || again)
		work->due = jiffies + delay;
	pthread_mutex_unlock(&host_work_mutex);
	return queued;
}

/* Work that is running; it may be gone before its function returns. */
#define HOST_RUNNING_MAX	16
static struct work_struct *host_running[HOST_RUNNING_MAX];

/* Where @work is in host_running, or where there is room for NULL. */
static struct work_struct **host_find_running(const struct work_struct *work)
{
	unsigned int i;

	for (i = 0; i < HOST_RUNNING_MAX; i++)
		if (host_running[i] == work)
			return &host_running[i];
	if (!work)
		host_fatal("too much work at once");
	return NULL;
}

/* Work that is due, or any, off the list. */
static struct work_struct *host_next_work(bool any)
{
	struct work_struct *work, *found = NULL;

	pthread_mutex_lock(&host_work_mutex);
	list_for_each_entry(work, &host_works, node)
		if (!host_find_running(work) &&
		    (any || time_after_eq(jiffies, work->due))) {
			found = work;
			break;
		}
	if (found) {
		list_del(&found->node);
		found->pending = false;
		*host_find_running(NULL) = found;
	}
	pthread_mutex_unlock(&host_work_mutex);
	return found;
}

/* The grace period is for that of an rcu_work.  What was left to a CPU that went is anybody's. */
static bool host_run_one(bool any)
{
	struct work_struct *work = host_next_work(any);

	if (!work)
		return false;
	synchronize_rcu();
	if (work->bound && host_online[work->cpu])
		smp_call_on_cpu(work->cpu, host_call_work, work, false);
	else
		work->func(work);
	pthread_mutex_lock(&host_work_mutex);
	*host_find_running(work) = NULL;
	pthread_mutex_unlock(&host_work_mutex);
	return true;
}

bool host_run_work(void)
{
	return host_run_one(false);
}

void host_settle(void)
{
	unsigned int turns = 0;

	host_run_irq_work();
	/* Tidying up arms itself again as long as there is something to tidy. */
	while (host_run_one(true) && ++turns < 64)
		host_run_irq_work();
}

/* Not pending, and not running, any more. */
bool host_cancel(struct work_struct *work)
{
	bool was, busy;

	host_may_sleep();
	do {
		pthread_mutex_lock(&host_work_mutex);
		was = work->pending;
		if (was)
			list_del(&work->node);
		work->pending = false;
		busy = host_find_running(work);
		pthread_mutex_unlock(&host_work_mutex);
		if (busy)
			sched_yield();
	} while (busy);
	return was;
}

struct workqueue_struct *alloc_workqueue(const char *fmt, unsigned int flags, int max, ...)
{
	return host_kmalloc(1, sizeof(struct workqueue_struct), GFP_KERNEL);
}

void destroy_workqueue(struct workqueue_struct *wq)
{
	flush_workqueue(wq);
	kfree(wq);
}

static bool host_any_running(void)
{
	unsigned int i;
	bool any = false;

	pthread_mutex_lock(&host_work_mutex);
	for (i = 0; i < HOST_RUNNING_MAX; i++)
		any |= !!host_running[i];
	pthread_mutex_unlock(&host_work_mutex);
	return any;
}

void flush_workqueue(struct workqueue_struct *wq)
{
	host_may_sleep();
	do {
		while (host_run_one(false))
			;
	} while (host_any_running() && !sched_yield());
}

/* What queue_rcu_work() has left is on the list already. */
void rcu_barrier(void)
{
	host_may_sleep();
}

bool host_wait(unsigned long *timeout)
{
	host_may_sleep();
	if (!*timeout)
		return false;
	--*timeout;
	host_run_irq_work();
	/* Whoever works meanwhile may want one that is held here, and waits for it. */
	if (host_mutexes || !host_run_work())
		sched_yield();
	return true;
}

void schedule_timeout_uninterruptible(long timeout)
{
	host_may_sleep();
	sched_yield();
}

/* --------------------------- shrinkers and notifiers ---------------------- */

static struct shrinker *host_shrinker;
static struct notifier_block *host_oom_nb;

struct shrinker *shrinker_alloc(unsigned int flags, const char *fmt, ...)
{
	return host_kmalloc(1, sizeof(struct shrinker), GFP_KERNEL | __GFP_ZERO);
}

void shrinker_register(struct shrinker *shrinker)
{
	host_shrinker = shrinker;
}

void shrinker_free(struct shrinker *shrinker)
{
	host_shrinker = NULL;
	kfree(shrinker);
}

unsigned long host_shrink(int nid, unsigned long pages)
{
	struct shrink_control sc = { .nid = nid, .nr_to_scan = pages };

	if (!pages)
		return host_shrinker->count_objects(host_shrinker, &sc);
	return host_shrinker->scan_objects(host_shrinker, &sc);
}

int register_oom_notifier(struct notifier_block *nb)
{
	if (host_fails())
		return -ENOMEM;
	host_oom_nb = nb;
	return 0;
}

int unregister_oom_notifier(struct notifier_block *nb)
{
	host_oom_nb = NULL;
	return 0;
}

unsigned long host_oom(void)
{
	unsigned long freed = 0;

	host_oom_nb->notifier_call(host_oom_nb, 0, &freed);
	return freed;
}

/* -------------------------------- parameters ------------------------------ */

static struct kernel_param *host_params;

void host_add_param(struct kernel_param *kp)
{
	kp->next = host_params;
	host_params = kp;
}

static struct kernel_param *host_find_param(const char *name)
{
	struct kernel_param *kp = host_params;

	while (kp && strcmp(kp->name, name))
		kp = kp->next;
	if (!kp)
		host_fatal("there is no parameter %s", name);
	return kp;
}

int host_set_param(const char *name, const char *value)
{
	struct kernel_param *kp = host_find_param(name);

	return kp->ops->set(value, kp);
}

int host_get_param(const char *name, char *buffer)
{
	struct kernel_param *kp = host_find_param(name);

	return kp->ops->get(buffer, kp);
}

/* The harness keeps the string. */
static int host_set_charp(const char *val, const struct kernel_param *kp)
{
	*(const char **)kp->arg = val;
	return 0;
}

const struct kernel_param_ops param_ops_charp = { .set = host_set_charp };

int param_get_uint(char *buffer, const struct kernel_param *kp)
{
	return sprintf(buffer, "%u\n", *(unsigned int *)kp->arg);
}

int kstrtoul(const char *s, unsigned int base, unsigned long *res)
{
	char *end;

	errno = 0;
	*res = strtoul(s, &end, base);
	if (end == s || (*end && strcmp(end, "\n")) || *s == '-' || errno)
		return -EINVAL;
	return 0;
}

int kstrtouint(const char *s, unsigned int base, unsigned int *res)
{
	unsigned long value;

	if (kstrtoul(s, base, &value) || value > UINT_MAX)
		return -EINVAL;
	*res = value;
	return 0;
}

unsigned long long memparse(const char *s, char **end)
{
	unsigned long long value = strtoull(s, end, 0);
	const char *units = "KMGTPE", *unit;

	unit = **end ? strchr(units, toupper(**end)) : NULL;
	if (unit) {
		value <<= 10 * (unit - units + 1);
		++*end;
	}
	return value;
}
