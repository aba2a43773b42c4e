// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps by themselves, to which everything may be done: clients that write where they
 * must not, free twice at once from several contexts, and damage of the engines' own data.
 *
 * Nothing may crash.  What the check must find, it has to find, and what it must not,
 * not; a heap of an engine that has a lock survives all of its clients' frees.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

#include "chaos_alloc.h"
#include "damage.h"
#include "engine.h"
#include "evl_heap.h"
#include "heap.h"
#include "mi_internal.h"
#include "model.h"
#include "sabotage.h"
#include "tlsf.h"

#define SABOTAGE_SLOTS		64
#define SABOTAGE_HUGE		(704UL << 20)
#define SABOTAGE_GFP		(GFP_NOWAIT | __GFP_NOWARN)

static struct {
	struct chaos_heap *heap;
	const struct chaos_engine *engine;
	unsigned int cpu;
	u64 *p[SABOTAGE_SLOTS];
	unsigned int depth;
	bool nmi;
} s;

static struct chaos_heap *heap_new(const char *engine, size_t size, size_t max,
				   enum chaos_hardening hardening)
{
	struct chaos_heap_params params = {
		.allocator = engine, .pool_size = size, .max_size = max,
		.node = NUMA_NO_NODE, .hardening = hardening,
	};
	struct chaos_heap *heap = chaos_heap_create(&params);

	if (IS_ERR(heap))
		model_bug("a heap could not be created: %ld", PTR_ERR(heap));
	s.heap = heap;
	s.engine = heap->engine;
	memset(s.p, 0, sizeof(s.p));
	return heap;
}

static u64 **slot_any(void)
{
	return &s.p[pick(ARRAY_SIZE(s.p))];
}

/* A block, or NULL if there is none for a while. */
static u64 *block_any(void)
{
	unsigned int i, start = pick(ARRAY_SIZE(s.p));

	for (i = 0; i < ARRAY_SIZE(s.p); i++)
		if (s.p[(start + i) % ARRAY_SIZE(s.p)])
			return s.p[(start + i) % ARRAY_SIZE(s.p)];
	return NULL;
}

/* --------------------------------- the check ------------------------------ */

/* Flip one bit of the heap's own data, and have it looked for. */
static bool flip_bit(u64 *p)
{
	struct damage d = { };
	u64 which = pick_word();
	unsigned int bit;
	u8 *byte;

	if (!damage_place(s.heap, p, which, &d))
		return true;
	bit = pick(d.size * 8);
	byte = (u8 *)d.at + bit / 8;
	*byte ^= 1U << bit % 8;
	if (!chaos_heap_check(s.heap) && d.certain)
		model_bug("check does not find bit %u at %p flipped, place %llu", bit, d.at,
			  which);
	if (d.lasts)
		return false;
	*byte ^= 1U << bit % 8;
	if (chaos_heap_check(s.heap))
		model_bug("check finds what is not there, place %llu", which);
	return true;
}

/* The same with several words; a pointer that they have made a wrong one is refused. */
static bool forge(u64 *p)
{
	struct damage d;
	u64 which = pick_word();
	unsigned long bad = atomic_long_read(&s.heap->bad_frees);

	if (!damage_forge(s.heap, p, which, &d))
		return true;
	damage_swap(&d);
	if (!chaos_heap_check(s.heap) && d.certain)
		model_bug("check believes forgery %llu", which);
	if (d.query && s.heap->hardening < 2 &&
	    (chaos_heap_usable_size(s.heap, d.query) ||
	     atomic_long_read(&s.heap->bad_frees) == bad))
		model_bug("%p has a size, in spite of forgery %llu", d.query, which);
	if (d.lasts)
		return false;
	damage_swap(&d);
	if (chaos_heap_check(s.heap))
		model_bug("check finds what is not there, forgery %llu", which);
	return true;
}

static void damage_some(void)
{
	unsigned int n = 1 + pick(16);
	u64 *p = block_any();

	while (p && n--)
		if (!(pick(3) ? forge(p) : flip_bit(p)))
			return;
}

/* -------------------------------- bad clients ----------------------------- */

/* Past the end of a block, or after it has been freed, its owner has written to it. */
static void scribble(u64 *block, size_t size)
{
	block[pick(size / 8)] ^= pick(2) ? pick_word() : 1ULL << pick(64);
}

/* The words before and behind a block of tlsf's are its own. */
static void overrun(u64 *block)
{
	size_t usable = chaos_heap_usable_size(s.heap, block);

	if (s.engine != &chaos_tlsf_engine || s.heap->hardening > 1 || !usable)
		return;
	scribble(pick(2) ? block - 1 : (u64 *)((u8 *)block + usable), sizeof(*block));
}

/* Somebody overwrites a word that the engine is going to look at, with one of its kind. */
static void reach(u64 *block)
{
	u64 value, *place;

	if (s.heap->hardening > 1)
		return;
	place = damage_reach(s.heap, block, pick_word(), &value);
	if (place)
		*place = value;
}

enum churn {
	CHURN_CLEAN,		/* nothing is wrong */
	CHURN_SAME,		/* blocks of one size, written to after they are freed */
	CHURN_MIXED,		/* written to past their ends */
	CHURN_AIMED,		/* the engine's words are overwritten */
	CHURNS
};

static void churn_alloc(u64 **slot, size_t size)
{
	void *p[8];
	size_t n;

	if (one_in(8)) {
		*slot = chaos_heap_alloc_aligned(s.heap, size, 16 << pick(6), SABOTAGE_GFP);
	} else if (one_in(16)) {
		n = chaos_heap_alloc_bulk(s.heap, size, SABOTAGE_GFP, 1 + pick(8), p);
		if (n)
			*slot = p[0];
		if (n > 1)
			chaos_heap_free_bulk(s.heap, n - 1, p + 1);
	} else {
		*slot = chaos_heap_alloc(s.heap, size, SABOTAGE_GFP);
	}
}

/* Returns what has been freed. */
static u64 *churn_one(enum churn how, size_t one)
{
	size_t size = how == CHURN_SAME ? one : 24 + pick(pick(4) ? 400 : 4000);
	u64 **slot = slot_any(), *old = *slot;

	if (one_in(128))
		size = 1 + pick(256 << 10);
	if (!old) {
		churn_alloc(slot, size);
		return NULL;
	}
	if (how != CHURN_SAME && one_in(4)) {
		old = chaos_heap_realloc(s.heap, old, size, SABOTAGE_GFP);
		*slot = old ?: *slot;
		return NULL;
	}
	*slot = NULL;
	chaos_heap_free(s.heap, old);
	return old;
}

static void churn(enum churn how, unsigned int n)
{
	size_t one = 24 + pick(pick(4) ? 200 : 3000);
	struct host_place from;
	u64 *freed, *p;

	while (n--) {
		host_enter(pick(4) ? s.cpu : pick(NR_CPUS), pick(2), &from);
		freed = churn_one(how, one);
		host_leave(&from);
		if (how == CHURN_CLEAN)
			continue;
		if (freed && how == CHURN_SAME && one_in(8))
			scribble(freed, one);
		if (one_in(how == CHURN_AIMED ? 8 : 64)) {
			p = block_any();
			if (p && how == CHURN_AIMED)
				reach(p);
			else if (p)
				overrun(p);
		}
	}
}

static void wreck(const char *engine)
{
	heap_new(engine, CHAOS_UNIT_SIZE << pick(4), 0, CHAOS_HARDENING_0 + pick(3));
	if (pick(2)) {
		churn(CHURN_CLEAN, 64 + pick(192));
		damage_some();
	} else {
		churn(1 + pick(CHURNS - 1), 64 + pick(192));
		chaos_heap_check(s.heap);
	}
}

/* Data of tlsf's that no client reaches is wrong, and remains so. */
static void lied_to(const char *engine)
{
	struct damage d;
	u64 *p;

	heap_new(engine, CHAOS_UNIT_SIZE << pick(3), 0, CHAOS_HARDENING_0 + pick(2));
	churn(CHURN_CLEAN, 64 + pick(192));
	p = block_any();
	if (s.engine != &chaos_tlsf_engine || !p ||
	    !damage_forge(s.heap, p, pick_word(), &d))
		return;
	damage_swap(&d);
	churn(CHURN_CLEAN, 256);
}

/* What a client has written looks like a link, but is none: the block is freed. */
static void innocent(const char *engine)
{
	u64 *p, value, *place;
	unsigned long bad;

	heap_new(engine, CHAOS_UNIT_SIZE << pick(4), 0, CHAOS_HARDENING_0 + pick(2));
	churn(CHURN_CLEAN, 16 + pick(64));
	p = block_any();
	if (s.engine != &chaos_mi_engine || !p)
		return;
	place = damage_reach(s.heap, p, 1 + 4 * pick(64), &value);
	*place = value;
	bad = atomic_long_read(&s.heap->bad_frees);
	chaos_heap_free(s.heap, p);
	if (atomic_long_read(&s.heap->bad_frees) != bad)
		model_bug("%p is said to be free because of what is in it", p);
	if (chaos_heap_check(s.heap))
		model_bug("check finds what is not there");
}

/* What is written behind the last block of a page is found when the page goes. */
static void guard_gone(const char *engine)
{
	struct mi_page *page;
	unsigned long bad;
	u8 *p, *guard;

	heap_new(engine, CHAOS_UNIT_SIZE << (2 + pick(4)), 0, CHAOS_HARDENING_2);
	if (s.engine != &chaos_mi_engine)
		return;
	p = chaos_heap_alloc(s.heap, 1 + pick(pick(2) ? 1000 : 40000), SABOTAGE_GFP);
	if (!p)
		return;
	page = mi_page_of(chaos_pool_of(p), p);
	guard = (u8 *)mi_page_start(page) + ((size_t)(page->slices - 1) << page->slice_shift);
	guard[pick(64)] ^= 1 + pick(255);
	bad = atomic_long_read(&s.heap->bad_frees);
	chaos_heap_free(s.heap, p);
	chaos_heap_collect(s.heap, true);
	if (atomic_long_read(&s.heap->bad_frees) != bad + 1)
		model_bug("a guard was overwritten, of which %ld reports tell",
			  atomic_long_read(&s.heap->bad_frees) - bad);
}

/* ---------------------------------- races --------------------------------- */

/*
 * A block that is moved while another context frees it may overlap its new place, of
 * which AddressSanitizer's memcpy() complains: that is the client's doing.
 */
#if defined(__clang__)
#if __has_feature(address_sanitizer)
#define RACE_MOVES	false
#endif
#endif
#ifndef RACE_MOVES
#define RACE_MOVES	true
#endif

static void race_bulk(void)
{
	unsigned int i, n = 0, start = pick(ARRAY_SIZE(s.p));
	void *p[16];

	for (i = 0; i < ARRAY_SIZE(p); i++)
		if (s.p[(start + i) % ARRAY_SIZE(s.p)] && pick(4))
			p[n++] = s.p[(start + i) % ARRAY_SIZE(s.p)];
	chaos_heap_free_bulk(s.heap, n, p);
}

/*
 * Blocks that are freed stay in the array for a while: others free them, too, at any
 * moment.
 */
static void race_op(size_t size)
{
	u64 **slot = slot_any(), *p = *slot;

	switch (pick(16)) {
	case 0 ... 5:
		p = chaos_heap_alloc(s.heap, size, SABOTAGE_GFP);
		*slot = p ?: *slot;
		break;
	case 6 ... 9:
		chaos_heap_free(s.heap, p);
		if (pick(2))
			*slot = NULL;
		break;
	case 10:
		chaos_heap_free(s.heap, p);
		chaos_heap_free(s.heap, p);
		chaos_heap_usable_size(s.heap, p);
		break;
	case 11:
		chaos_heap_usable_size(s.heap, p);
		break;
	case 12 ... 13:
		race_bulk();
		break;
	default:
		/* Else it would be an allocation. */
		if (!p || !RACE_MOVES)
			break;
		p = chaos_heap_realloc(s.heap, p, 1 + pick(2 * size), SABOTAGE_GFP);
		*slot = p ?: *slot;
	}
}

static size_t race_size;

static void race_arm(void)
{
	host_countdown = 1 + pick(pick(4) ? 24 : 200);
}

static void race_interrupt(void)
{
	enum host_level level = pick(s.nmi ? HOST_LEVELS : HOST_NMI);
	unsigned int cpu = pick(2) ? host_cpu : pick(NR_CPUS), n = 1 + pick(3);
	struct host_place from;

	if (s.depth < 2 && host_may_enter(cpu, level)) {
		s.depth++;
		host_enter(cpu, level, &from);
		while (n--)
			race_op(race_size);
		host_leave(&from);
		s.depth--;
	}
	race_arm();
}

/* What sleeps; pools come and go meanwhile. */
static void race_task(void)
{
	switch (pick(6)) {
	case 0:
		chaos_heap_collect(s.heap, true);
		break;
	case 1:
		host_advance(10000);
		host_run_irq_work();
		host_run_work();
		break;
	case 2:
		host_shrink(0, 1 + pick(4096));
		break;
	default:
		host_run_irq_work();
		host_run_work();
	}
}

static void race(const char *engine)
{
	static const size_t sizes[] = { 16, 48, 200, 1000, 3000, 8192, 16384, 40000 };
	size_t size = CHAOS_UNIT_SIZE << pick(4);
	void (*hook)(void) = host_interrupt_hook;
	unsigned int n = 100 + pick(400);

	heap_new(engine, size, size * (1 + pick(4)), CHAOS_HARDENING_0 + pick(3));
	race_size = sizes[pick(ARRAY_SIZE(sizes))];
	s.nmi = pick(4);
	host_interrupt_hook = race_interrupt;
	while (n--) {
		race_arm();
		host_cpu = pick(4) ? s.cpu : pick(NR_CPUS);
		if (!host_online[host_cpu])
			host_cpu = 0;
		if (one_in(24))
			race_task();
		else
			race_op(race_size);
	}
	host_countdown = 0;
	host_interrupt_hook = hook;
	host_cpu = s.cpu;
	/* Its maps are out of reach for whoever frees twice. */
	if (pick(2) && chaos_heap_check(s.heap) && s.engine == &chaos_evl_engine)
		model_bug("check finds what cannot have happened");
}

/* ------------------------------- large things ----------------------------- */

/* Free ranges too long for a bin. */
static void huge(const char *engine)
{
	unsigned int n = 60 + pick(60);
	u64 **slot, *p;
	size_t size;

	heap_new(engine, SABOTAGE_HUGE, 0, CHAOS_HARDENING_1);
	while (n--) {
		slot = &s.p[pick(6)];
		size = (120UL << 20) + pick(24) * (1 << 20) + pick(4) * 512;
		if (one_in(8))
			size = SABOTAGE_HUGE - pick(3) * 4096;
		if (one_in(8))
			size = 1 + pick(2 << 20);
		if (!*slot) {
			*slot = pick(3) ? chaos_heap_alloc(s.heap, size, SABOTAGE_GFP) :
				chaos_heap_alloc_aligned(s.heap, size, 4096UL << pick(11),
							 SABOTAGE_GFP);
		} else if (one_in(4)) {
			/* Of what it has, nothing is copied. */
			p = chaos_heap_realloc(s.heap, *slot, size / 64, SABOTAGE_GFP);
			*slot = p ?: *slot;
		} else {
			chaos_heap_free(s.heap, *slot);
			*slot = NULL;
		}
		p = *slot;
		if (p && one_in(8) && !chaos_heap_usable_size(s.heap, p))
			model_bug("%p has no size", p);
		if (p && one_in(8))
			chaos_heap_free(s.heap, (u8 *)p + (80UL << 20));
		p = block_any();
		if (p && !pick(6) && !forge(p))
			return;
	}
	if (chaos_heap_check(s.heap))
		model_bug("check finds what is not there");
}

/* Address space, of which there is more than memory. */
static void *space_get(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		model_bug("no address space for a pool");
	return mem;
}

/* A pool of 2 TiB is too large; and of one of 128 GiB, the metadata is for kvmalloc(). */
static void giant(const char *engine)
{
	struct chaos_heap_params params = {
		.allocator = engine, .mem_size = 1UL << 41, .node = NUMA_NO_NODE,
	};
	void *p;

	if (!strcmp(engine, "mimalloc"))
		return;
	params.mem = space_get(params.mem_size);
	if (chaos_heap_create(&params) != ERR_PTR(-EFBIG))
		model_bug("a pool of 2 TiB is not too large");
	munmap(params.mem, params.mem_size);
	if (strcmp(engine, "tlsf"))
		return;
	params.mem_size = 1UL << 37;
	params.mem = space_get(params.mem_size);
	s.heap = chaos_heap_create(&params);
	if (IS_ERR(s.heap))
		model_bug("a pool of 128 GiB could not be made: %ld", PTR_ERR(s.heap));
	p = chaos_heap_alloc(s.heap, 1UL << 36, SABOTAGE_GFP);
	if (!p || chaos_heap_alloc(s.heap, 1UL << 40, SABOTAGE_GFP) ||
	    chaos_heap_alloc_bulk(s.heap, 1UL << 40, SABOTAGE_GFP, 1, &p))
		model_bug("of 128 GiB, 64 are not to be had, or 1024 are");
	chaos_heap_destroy(s.heap);
	s.heap = NULL;
	munmap(params.mem, params.mem_size);
}

void sabotage(const char *engine, unsigned int cpu, bool any)
{
	unsigned int fail = host_fail_countdown, trylock = host_trylock_countdown;
	unsigned int late = host_late_countdown;

	host_fail_countdown = 0;
	host_late_countdown = 0;
	host_countdown = 0;
	s.cpu = cpu;
	s.heap = NULL;
	switch (pick(16)) {
	case 0 ... 4:
		race(engine);
		break;
	case 5:
		if (any && one_in(4))
			huge(engine);
		else
			innocent(engine);
		break;
	case 6 ... 7:
		lied_to(engine);
		break;
	case 8:
		if (any && one_in(16))
			giant(engine);
		else
			guard_gone(engine);
		break;
	default:
		wreck(engine);
	}
	if (s.heap)
		chaos_heap_destroy(s.heap);
	host_fail_countdown = fail;
	host_trylock_countdown = trylock;
	host_late_countdown = late;
}
