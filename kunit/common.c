// SPDX-License-Identifier: GPL-2.0
/*
 * What the suites share.  See common.h.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "common.h"
#include "engine.h"

const struct chaos_test_engine chaos_test_engines[CHAOS_TEST_ENGINES] = {
	{ .name = "mimalloc", .natural = true },
	{ .name = "tlsf" },
	{ .name = "evl", .natural = true },
};

void chaos_test_engine_desc(const struct chaos_test_engine *engine, char *desc)
{
	strscpy(desc, engine->name, KUNIT_PARAM_DESC_SIZE);
}

void chaos_test_defer(struct kunit *test, void (*fn)(void *), void *arg)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fn, arg), 0);
}

static void free_buf(void *p)
{
	kvfree(p);
}

void *chaos_test_buf(struct kunit *test, size_t n, size_t size)
{
	void *p = kvcalloc(n, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	chaos_test_defer(test, free_buf, p);
	return p;
}

static void free_vmem(void *p)
{
	vfree(p);
}

void *chaos_test_vmem(struct kunit *test, size_t size)
{
	void *p = vmalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, p);
	chaos_test_defer(test, free_vmem, p);
	return p;
}

static void destroy_heap(void *heap)
{
	chaos_heap_destroy(heap);
}

struct chaos_heap *chaos_test_create(struct kunit *test,
				     const struct chaos_heap_params *params)
{
	struct chaos_heap *heap = chaos_heap_create(params);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	chaos_test_defer(test, destroy_heap, heap);
	return heap;
}

struct chaos_heap *chaos_test_heap_of(struct kunit *test, const char *allocator,
				      size_t pool_size, size_t max_size)
{
	const struct chaos_heap_params params = {
		.name = "kunit",
		.allocator = allocator,
		.pool_size = pool_size,
		.max_size = max_size,
		.node = NUMA_NO_NODE,
	};

	return chaos_test_create(test, &params);
}

struct chaos_heap *chaos_test_heap(struct kunit *test, size_t pool_size,
				   size_t max_size)
{
	return chaos_test_heap_of(test, chaos_test_engine(test)->name, pool_size,
				  max_size);
}

struct chaos_heap *chaos_test_heap_at(struct kunit *test, size_t pool_size,
				      enum chaos_hardening level, enum chaos_track track)
{
	const struct chaos_heap_params params = {
		.name = "kunit",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = pool_size,
		.node = NUMA_NO_NODE,
		.hardening = level,
		.track = track,
	};

	return chaos_test_create(test, &params);
}

struct chaos_heap *chaos_test_exact(struct chaos_heap *heap)
{
	heap->redzone = 0;
	return heap;
}

void chaos_test_never(struct kunit *test, struct chaos_heap *heap, enum chaos_option delay)
{
	KUNIT_ASSERT_EQ(test, chaos_heap_set_option(heap, delay, CHAOS_TEST_NEVER), 0);
}

void chaos_test_destroy(struct kunit *test, struct chaos_heap *heap)
{
	kunit_release_action(test, destroy_heap, heap);
}

/*
 * Stay on this CPU until the test ends (its thread ends with it), where the
 * result depends on which CPU's free blocks are at hand.
 */
void chaos_test_bind(struct kunit *test)
{
	const struct cpumask *mask = cpumask_of(raw_smp_processor_id());

	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, mask), 0);
}

size_t chaos_test_live(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	return stats.live_blocks;
}

unsigned long chaos_test_bad_frees(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	return stats.bad_frees;
}

void chaos_test_sound(struct kunit *test, struct chaos_heap *heap)
{
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
}

void chaos_test_idle(struct kunit *test, struct chaos_heap *heap,
		     unsigned long bad_frees)
{
	struct chaos_heap_stats stats;

	chaos_test_sound(test, heap);
	chaos_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.live_blocks, 0);
	KUNIT_EXPECT_EQ(test, stats.live_bytes, 0);
	KUNIT_EXPECT_EQ(test, stats.bad_frees, bad_frees);
}

/*
 * The bulk is written and compared by the architecture's string functions,
 * which are fast, and which KASAN does not see into.  It does see the
 * accesses to both ends.
 */
void chaos_test_fill(void *p, size_t size, u64 key)
{
	u8 *bytes = p;

	if (!size)
		return;
	memset64(p, key, size / sizeof(key));
	memcpy(p + round_down(size, sizeof(key)), &key, size % sizeof(key));
	WRITE_ONCE(bytes[0], bytes[0]);
	WRITE_ONCE(bytes[size - 1], bytes[size - 1]);
}

bool chaos_test_filled(const void *p, size_t size, u64 key)
{
	if (size <= sizeof(key))
		return !memcmp(p, &key, size);
	return !memcmp(p, &key, sizeof(key)) &&
	       !memcmp(p, p + sizeof(key), size - sizeof(key));
}

bool chaos_test_zeroed(const void *p, size_t size)
{
	return chaos_test_filled(p, size, 0);
}

size_t chaos_test_size(struct rnd_state *rnd, size_t max)
{
	size_t size = prandom_u32_state(rnd);
	unsigned int order = chaos_test_below(rnd, ilog2(max) + 1);

	return min(BIT(order) + (size & (BIT(order) - 1)), max);
}

static void *block_data(const struct chaos_test_block *b)
{
	return (void *)(b + 1);
}

struct chaos_test_block *chaos_test_make(struct chaos_heap *heap, size_t size,
					 gfp_t gfp, u64 key)
{
	struct chaos_test_block *b;

	size = max(size, sizeof(*b));
	b = chaos_heap_alloc(heap, size, gfp);
	if (!b)
		return NULL;
	b->size = size;
	/* A block handed out twice at once has another address's key. */
	b->key = key * 0x9e3779b97f4a7c15ULL + (unsigned long)b;
	chaos_test_fill(block_data(b), size - sizeof(*b), b->key);
	return b;
}

bool chaos_test_intact(const struct chaos_test_block *b)
{
	size_t size = READ_ONCE(b->size);

	/* Do not go astray over a size that somebody overwrote. */
	return size >= sizeof(*b) && size <= SZ_64M &&
	       chaos_test_filled(block_data(b), size - sizeof(*b), b->key);
}

bool chaos_test_unmake(struct chaos_heap *heap, struct chaos_test_block *b)
{
	bool intact = chaos_test_intact(b);

	chaos_heap_free(heap, b);
	return intact;
}

size_t chaos_test_exhaust(struct chaos_heap *heap, size_t size, gfp_t gfp,
			  struct llist_head *blocks)
{
	struct chaos_test_block *b;
	size_t n = 0;

	while ((b = chaos_test_make(heap, size, gfp | __GFP_NOWARN, n))) {
		llist_add(&b->node, blocks);
		n++;
		if (gfpflags_allow_blocking(gfp))
			cond_resched();
	}
	return n;
}

size_t chaos_test_drain(struct chaos_heap *heap, struct llist_head *blocks)
{
	struct chaos_test_block *b, *next;
	size_t bad = 0;

	llist_for_each_entry_safe(b, next, llist_del_all(blocks), node)
		bad += !chaos_test_unmake(heap, b);
	return bad;
}

static int do_nothing(void *unused)
{
	return 0;
}

/*
 * A collection waits for a moment only, and what it has waited for in vain comes later.  By the
 * time that a CPU's workers have done something for us, they have done that.
 */
void chaos_test_collect(struct chaos_heap *heap)
{
	int cpu;

	chaos_heap_collect(heap, true);
	cpus_read_lock();
	for_each_online_cpu(cpu)
		smp_call_on_cpu(cpu, do_nothing, NULL, false);
	cpus_read_unlock();
	chaos_heap_collect(heap, true);
}

size_t chaos_test_capacity(struct kunit *test, struct chaos_heap *heap,
			   size_t size)
{
	LLIST_HEAD(blocks);
	size_t n;

	chaos_test_collect(heap);
	n = chaos_test_exhaust(heap, size, GFP_KERNEL, &blocks);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_collect(heap);
	return n;
}

void chaos_test_mill_init(struct kunit *test, struct chaos_test_mill *mill,
			  struct chaos_heap *heap, u32 nr_slots, size_t max)
{
	mill->heap = heap;
	mill->max = max;
	mill->nr_slots = nr_slots;
	mill->slots = chaos_test_buf(test, nr_slots, sizeof(*mill->slots));
}

void chaos_test_mill_step(struct chaos_test_mill *mill,
			  struct chaos_test_tally *tally, gfp_t gfp)
{
	struct chaos_test_block **slot, *b;

	slot = &mill->slots[chaos_test_below(&tally->rnd, mill->nr_slots)];
	b = xchg(slot, NULL);
	if (!b) {
		b = chaos_test_make(mill->heap,
				    chaos_test_size(&tally->rnd, mill->max),
				    gfp | __GFP_NOWARN, tally->made);
		if (b)
			tally->made++;
		else
			tally->failed++;
		/* Meanwhile, somebody may have used the slot. */
		b = xchg(slot, b);
	}
	if (b)
		tally->bad += !chaos_test_unmake(mill->heap, b);
}

size_t chaos_test_mill_empty(struct chaos_test_mill *mill)
{
	struct chaos_test_block *b;
	size_t bad = 0;
	u32 i;

	for (i = 0; i < mill->nr_slots; i++) {
		b = xchg(&mill->slots[i], NULL);
		if (b)
			bad += !chaos_test_unmake(mill->heap, b);
	}
	return bad;
}

noinline __no_sanitize_address u64 chaos_test_put_word(u64 *p, u64 value)
{
	u64 was;

	OPTIMIZER_HIDE_VAR(p);
	was = READ_ONCE(*p);
	WRITE_ONCE(*p, value);
	return was;
}

static int run_thread(void *arg)
{
	struct chaos_test_thread *self = arg;

	self->fn(self);
	complete(&self->done);
	return 0;
}

static int create_thread(struct chaos_test_thread *t)
{
	init_completion(&t->done);
	t->task = kthread_create(run_thread, t, "chaos_kunit/%u", t->nr);
	if (IS_ERR(t->task))
		return PTR_ERR(t->task);
	if (t->cpu >= 0)
		kthread_bind(t->task, t->cpu);
	get_task_struct(t->task);
	return 0;
}

/*
 * kthread_stop() returns when the thread is gone, module text and all; but a
 * thread that has not begun by then never does.
 */
static void join_thread(struct chaos_test_thread *t)
{
	/* Not the hung task detector's business, however long it takes. */
	while (wait_for_completion_killable(&t->done))
		;
	kthread_stop(t->task);
	put_task_struct(t->task);
}

int chaos_test_run(struct chaos_test_thread *threads, unsigned int n)
{
	unsigned int i, started;
	int err = 0;

	for (started = 0; started < n; started++) {
		threads[started].nr = started;
		err = create_thread(&threads[started]);
		if (err)
			break;
	}
	for (i = 0; i < started; i++)
		wake_up_process(threads[i].task);
	for (i = 0; i < started; i++)
		join_thread(&threads[i]);
	return err;
}

#define AGAIN_PAUSE	(200 * NSEC_PER_USEC)

enum hrtimer_restart chaos_test_again(struct hrtimer *timer, ktime_t began)
{
	ktime_t now = ktime_get();

	hrtimer_set_expires(timer, ktime_add_ns(ktime_add(now, ktime_sub(now, began)),
						AGAIN_PAUSE));
	return HRTIMER_RESTART;
}

bool chaos_test_wait(struct completion *done)
{
	return wait_for_completion_timeout(done, 30 * HZ);
}

void chaos_test_cpus(struct kunit *test, unsigned int *cpus, unsigned int n)
{
	unsigned int i = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		if (i < n)
			cpus[i++] = cpu;
	}
	if (i < n)
		kunit_skip(test, "%u CPUs; this wants %u", i, n);
}

struct visit {
	struct irq_work work;
	const struct chaos_test_place *place;
	void (*fn)(void *arg);
	void *arg;
};

static void visit_hardirq(struct irq_work *work)
{
	struct visit *visit = container_of(work, struct visit, work);

	visit->fn(visit->arg);
}

static int visit_cpu(void *arg)
{
	struct visit *visit = arg;

	if (!visit->place->hardirq) {
		visit->fn(visit->arg);
		return 0;
	}
	visit->work = IRQ_WORK_INIT_HARD(visit_hardirq);
	irq_work_queue(&visit->work);
	irq_work_sync(&visit->work);
	return 0;
}

int chaos_test_at(const struct chaos_test_place *place, void (*fn)(void *arg),
		  void *arg)
{
	struct visit visit = { .place = place, .fn = fn, .arg = arg };

	return smp_call_on_cpu(place->cpu, visit_cpu, &visit, false);
}

struct supply {
	struct chaos_heap *heap;
	size_t size;
	struct llist_head *blocks;
	size_t n;
};

static void exhaust_here(void *arg)
{
	struct supply *s = arg;

	s->n = chaos_test_exhaust(s->heap, s->size, GFP_ATOMIC, s->blocks);
}

static void drain_here(void *arg)
{
	struct supply *s = arg;

	s->n = chaos_test_drain(s->heap, s->blocks);
}

size_t chaos_test_exhaust_at(const struct chaos_test_place *place,
			     struct chaos_heap *heap, size_t size,
			     struct llist_head *blocks)
{
	struct supply s = { .heap = heap, .size = size, .blocks = blocks };

	return chaos_test_at(place, exhaust_here, &s) ? 0 : s.n;
}

size_t chaos_test_drain_at(const struct chaos_test_place *place,
			   struct chaos_heap *heap, struct llist_head *blocks)
{
	struct supply s = { .heap = heap, .blocks = blocks };

	return chaos_test_at(place, drain_here, &s) ? SIZE_MAX : s.n;
}

void chaos_test_beat(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg)
{
	struct chaos_test_heart *h = arg;

	h->wrong += h->inside ||
		    (force ? heartbeat < h->last : heartbeat <= h->last);
	h->inside = true;
	h->last = heartbeat;
	if (force)
		h->forced++;
	else
		h->calls++;
	if (h->block)
		chaos_heap_free(heap, chaos_heap_alloc(heap, h->block, GFP_ATOMIC));
	h->inside = false;
}

void chaos_test_log_start(struct kmsg_dump_iter *log)
{
	size_t len;

	kmsg_dump_rewind(log);
	while (kmsg_dump_get_line(log, false, NULL, 0, &len))
		;
}

size_t chaos_test_log_lines(struct kmsg_dump_iter *log, const char *text)
{
	size_t len, lines = 0;
	char line[256];

	while (kmsg_dump_get_line(log, false, line, sizeof(line) - 1, &len)) {
		line[min(len, sizeof(line) - 1)] = '\0';
		lines += !!strstr(line, text);
	}
	return lines;
}
