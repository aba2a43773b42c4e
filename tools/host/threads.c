// SPDX-License-Identifier: GPL-2.0
/*
 * threads ENGINE [--ops N] [--seed N]: real threads, for ThreadSanitizer.
 *
 * There is one for each CPU, one more that has to share the first CPU, and one that
 * checks, walks, collects and shrinks.  They allocate, hand blocks to each other through
 * an array, reallocate and free, in tasks, and in "interrupts" that begin anywhere.  A
 * block tells what must be in it.  One round for each level of hardening.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

#include "chaos_alloc.h"
#include "engine.h"
#include "heap.h"

#define THREADS			(NR_CPUS + 1)
#define SLOTS			512
#define ROUNDS			3
#define MAX_BLOCK		(48UL << 10)

/**
 * struct thread_block - what is in a block
 * @size: its bytes
 * @tag: what the others are made of
 * @word: as many as fit
 */
struct thread_block {
	u64 size;
	u64 tag;
	u64 word[];
};

static struct thread_block *slots[SLOTS];
static const char *engine;
static u64 seed = 1;
static unsigned long ops = 300000;
static int stop;
static atomic_long_t done;
static __thread u64 random_state;
static __thread unsigned int depth;

static u64 pick(u64 n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state * 0x2545f4914f6cdd1dULL >> 24) % n;
}

static size_t pick_size(void)
{
	size_t size = pick(8) ? pick(512) : pick(16) ? pick(8192) : pick(MAX_BLOCK);

	return max_t(size_t, size & ~7UL, sizeof(struct thread_block));
}

static void fill(struct thread_block *b, size_t size)
{
	size_t i;

	b->size = size;
	b->tag = pick(-1UL);
	for (i = 0; i < (size - sizeof(*b)) / 8; i++)
		b->word[i] = b->tag + i;
}

static void verify(const struct thread_block *b, size_t size)
{
	size_t i;

	for (i = 0; i < (size - sizeof(*b)) / 8; i++)
		if (b->word[i] != b->tag + i)
			host_fatal("%s, seed %llu: block %p of %zu bytes was changed",
				   engine, seed, b, size);
}

static gfp_t pick_gfp(void)
{
	return __GFP_NOWARN | (!depth && preemptible() && pick(4) ? GFP_KERNEL : GFP_NOWAIT);
}

/* Into the array; what was there is ours. */
static void put(struct thread_block *b)
{
	struct thread_block **slot = &slots[pick(SLOTS)];

	b = __atomic_exchange_n(slot, b, __ATOMIC_ACQ_REL);
	if (!b)
		return;
	verify(b, b->size);
	chaos_free(b);
}

static void put_bulk(size_t size)
{
	void *p[16];
	size_t n = chaos_alloc_bulk(size, pick_gfp(), 1 + pick(ARRAY_SIZE(p)), p);

	while (n--) {
		fill(p[n], size);
		put(p[n]);
	}
}

static void free_bulk(void)
{
	unsigned int start = pick(SLOTS), i;
	struct thread_block *b;
	void *p[16];
	size_t n = 0;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		b = __atomic_exchange_n(&slots[(start + i) % SLOTS], NULL, __ATOMIC_ACQ_REL);
		if (!b)
			continue;
		verify(b, b->size);
		p[n++] = b;
	}
	chaos_free_bulk(n, p);
}

static void reallocate(struct thread_block *b)
{
	size_t size = pick_size(), old = b->size;
	struct thread_block *p;

	verify(b, old);
	p = chaos_realloc(b, size, pick_gfp());
	if (!p) {
		chaos_free(b);
		return;
	}
	verify(p, min(size, old));
	fill(p, size);
	put(p);
}

static void one_op(void)
{
	size_t size = pick_size();
	struct thread_block *b;

	switch (pick(16)) {
	case 0:
		put_bulk(size);
		return;
	case 1:
		free_bulk();
		return;
	case 2 ... 3:
		b = __atomic_exchange_n(&slots[pick(SLOTS)], NULL, __ATOMIC_ACQ_REL);
		if (b)
			reallocate(b);
		return;
	case 4:
		b = chaos_alloc_aligned(size, 8UL << pick(12), pick_gfp());
		break;
	default:
		b = chaos_alloc(size, pick_gfp());
	}
	if (!b)
		return;
	fill(b, size);
	if (pick(4))
		put(b);
	else
		chaos_free(b);
}

/* Interrupts of this CPU; the other CPUs run by themselves. */
static void interrupt(void)
{
	enum host_level level = HOST_SOFTIRQ + pick(HOST_LEVELS - HOST_SOFTIRQ);
	struct host_place from;

	if (depth < 3 && host_may_enter(host_cpu, level)) {
		depth++;
		host_enter(host_cpu, level, &from);
		one_op();
		host_leave(&from);
		depth--;
	}
	host_countdown = 1 + pick(400);
}

static void *worker(void *arg)
{
	unsigned long nr = (unsigned long)arg, n;

	host_thread_init(nr % NR_CPUS);
	random_state = (seed * THREADS + nr) * 0x9e3779b97f4a7c15ULL | 1;
	host_seed = random_state;
	host_countdown = 1 + pick(400);
	for (n = 0; n < ops / THREADS / ROUNDS; n++) {
		one_op();
		host_run_irq_work();
		if (!pick(64))
			host_run_work();
	}
	host_countdown = 0;
	atomic_long_add(n, &done);
	return NULL;
}

static bool visit(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	return true;
}

static void *observer(void *arg)
{
	struct chaos_heap_stats stats;

	host_thread_init(0);
	random_state = seed * 0x9e3779b97f4a7c15ULL | 1;
	host_seed = random_state;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		host_advance(pick(40));
		host_run_irq_work();
		host_run_work();
		switch (pick(6)) {
		case 0:
			if (chaos_heap_check(NULL))
				host_fatal("%s, seed %llu: check failed", engine, seed);
			break;
		case 1:
			if (chaos_heap_walk(NULL, visit, NULL))
				host_fatal("%s, seed %llu: walk failed", engine, seed);
			break;
		case 2:
			chaos_heap_stats(NULL, &stats);
			break;
		case 3:
			chaos_heap_collect(NULL, pick(2));
			break;
		case 4:
			host_shrink(0, 1 + pick(1000));
			break;
		default:
			usleep(pick(2000));
		}
	}
	return NULL;
}

static void drain(void)
{
	struct chaos_heap_stats stats;
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		if (slots[i])
			verify(slots[i], slots[i]->size);
		chaos_free(slots[i]);
		slots[i] = NULL;
	}
	chaos_heap_collect(NULL, true);
	chaos_heap_stats(NULL, &stats);
	if (stats.live_blocks || stats.held_bytes || stats.bad_frees)
		host_fatal("%s, seed %llu: %zu live blocks, %zu bytes held, %lu bad frees",
			   engine, seed, stats.live_blocks, stats.held_bytes,
			   stats.bad_frees);
}

static void round_at(unsigned int hardening)
{
	pthread_t threads[THREADS], watch;
	char level[2] = { '0' + hardening };
	unsigned long i;

	host_set_param("allocator", engine);
	host_set_param("pool_size", "1M");
	host_set_param("max_size", "8M");
	host_set_param("hardening", level);
	static_branch_enable(&chaos_default_is_mi);
	static_branch_disable(&chaos_default_is_evl);
	if (host_module_init())
		host_fatal("the module does not load");
	__atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, worker, (void *)i);
	pthread_create(&watch, NULL, observer, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(watch, NULL);
	drain();
	host_run_irq_work();
	host_module_exit();
	if (atomic_long_read(&host_allocated))
		host_fatal("%s, seed %llu: memory is left", engine, seed);
}

int main(int argc, char **argv)
{
	unsigned int i;

	engine = argv[1];
	for (i = 2; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--ops"))
			ops = strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--seed"))
			seed = strtoul(argv[i + 1], NULL, 0);
		else
			host_fatal("usage: threads ENGINE [--ops N] [--seed N]");
	}
	host_interrupt_hook = interrupt;
	random_state = seed * 0x9e3779b97f4a7c15ULL | 1;
	for (i = 0; i < ROUNDS; i++)
		round_at(i);
	printf("%s: %d rounds of %d threads, %ld operations, seed %llu\n", engine, ROUNDS,
	       THREADS, atomic_long_read(&done), seed);
	return 0;
}
