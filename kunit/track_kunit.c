// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_track: who allocated the blocks that are live, as reports tell it, for
 * every call that allocates, from every context; blocks whose memory of that was
 * overwritten; and callers whose module goes.
 */
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "common.h"
#include "fault.h"
#include "gone.h"
#include "harden.h"
#include "track.h"

CHAOS_TEST_ENGINE_PARAM();

#define REPORT_SIZE	SZ_16K
#define OVERWRITTEN	"whose, was overwritten"

static const size_t sizes[] = {
	1, 7, 8, 16, 24, 60, 64, 100, 128, 512, 1000, 1024, 4096, 5000, 70000, 300000,
};

static struct chaos_heap *heap_at(struct kunit *test, enum chaos_track track,
				  enum chaos_hardening hardening)
{
	const struct chaos_heap_params params = {
		.name = "kunit-track",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_4M,
		.max_size = SZ_16M,
		.node = NUMA_NO_NODE,
		.hardening = hardening,
		.track = track,
	};

	return chaos_test_create(test, &params);
}

static struct chaos_heap *tracked(struct kunit *test)
{
	return heap_at(test, CHAOS_TRACK_CALLER, CHAOS_HARDENING_1);
}

/* ---------------------------------- reports ------------------------------- */

/* What debugfs would show of @heap; it goes with the test. */
static char *report(struct kunit *test, struct chaos_heap *heap)
{
	struct seq_file m = {
		.buf = chaos_test_buf(test, 1, REPORT_SIZE),
		.size = REPORT_SIZE - 1,
	};

	KUNIT_EXPECT_EQ(test, chaos_callers_show(&m, heap), 0);
	KUNIT_EXPECT_FALSE(test, seq_has_overflowed(&m));
	m.buf[min(m.count, m.size)] = '\0';
	/* No address was printed for want of a name. */
	KUNIT_EXPECT_NULL_MSG(test, strstr(m.buf, ": 0x"), "%s", m.buf);
	return m.buf;
}

static size_t lines_with(const char *text, const char *wanted)
{
	size_t n = 0;

	for (text = strstr(text, wanted); text; text = strstr(text + 1, wanted))
		n++;
	return n;
}

/* There is one line that says so; so many have other blocks. */
static void expect_caller(struct kunit *test, struct chaos_heap *heap, size_t blocks,
			  size_t bytes, const char *caller)
{
	const char *text = report(test, heap);
	char wanted[80];

	if (!CHAOS_TEST_NAMES_CALLER)
		return;
	snprintf(wanted, sizeof(wanted), "%zu blocks, %zu bytes: %s", blocks, bytes, caller);
	KUNIT_EXPECT_EQ_MSG(test, lines_with(text, wanted), 1, "no \"%s\" in:\n%s", wanted,
			    text);
}

/* For cases that are about nothing else. */
static void needs_names(struct kunit *test)
{
	if (!CHAOS_TEST_NAMES_CALLER)
		kunit_skip(test, "where KCSAN models weak memory, a function of ours is named");
}

static void expect_only(struct kunit *test, struct chaos_heap *heap, size_t blocks,
			size_t bytes, const char *caller)
{
	expect_caller(test, heap, blocks, bytes, caller);
	if (CHAOS_TEST_NAMES_CALLER)
		KUNIT_EXPECT_EQ(test, lines_with(report(test, heap), "blocks, "), 1);
}

static void expect_none(struct kunit *test, struct chaos_heap *heap)
{
	KUNIT_EXPECT_STREQ(test, report(test, heap), "");
}

/* ---------------------------------- callers ------------------------------- */

/*
 * It is these that are to be named: so their last call is no jump, and none of them is
 * like another, of which compilers would make one.
 */
static __always_inline void of_its_own(unsigned int line)
{
	asm volatile("" : : "i" (line) : "memory");
}

static noinline __noclone void *by_one(struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_alloc(heap, size, GFP_KERNEL);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone void *by_other(struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_alloc(heap, size, GFP_KERNEL);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone void *by_atomic(struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_alloc(heap, size, GFP_ATOMIC | __GFP_NOWARN);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone void *by_zalloc(struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_zalloc(heap, size, GFP_KERNEL);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone void *by_aligned(struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_alloc_aligned(heap, size, 256, GFP_KERNEL);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone void *by_realloc(struct chaos_heap *heap, void *old, size_t size)
{
	void *p = chaos_heap_realloc(heap, old, size, GFP_KERNEL);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone size_t by_bulk(struct chaos_heap *heap, size_t size, size_t n, void **p)
{
	n = chaos_heap_alloc_bulk(heap, size, GFP_KERNEL, n, p);
	of_its_own(__LINE__);
	return n;
}

/* Below level 2, the client may have more than it asked for, and that is counted. */
static size_t usable(struct chaos_heap *heap, void *p)
{
	return chaos_heap_usable_size(heap, p);
}

static void counted(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, CHAOS_HARDENING_2);
	void *p[5];
	const char *text;
	size_t i;

	needs_names(test);
	expect_none(test, heap);
	for (i = 0; i < 3; i++)
		p[i] = by_one(heap, 100);
	for (; i < 5; i++)
		p[i] = by_other(heap, 1000);
	expect_caller(test, heap, 3, 300, "by_one+");
	expect_caller(test, heap, 2, 2000, "by_other+");
	/* Most bytes first. */
	text = report(test, heap);
	KUNIT_EXPECT_TRUE(test, strstr(text, "by_other+") < strstr(text, "by_one+"));

	chaos_heap_free(heap, p[0]);
	expect_caller(test, heap, 2, 200, "by_one+");
	chaos_heap_free_bulk(heap, 4, p + 1);
	expect_none(test, heap);
	chaos_test_idle(test, heap, 0);
}

static void calls_at(struct kunit *test, enum chaos_hardening level)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, level);
	void *p[40];
	size_t i;

	p[0] = by_one(heap, 10);
	p[1] = by_atomic(heap, 20);
	p[2] = by_zalloc(heap, 30);
	p[3] = by_aligned(heap, 40);
	p[4] = by_realloc(heap, NULL, 50);
	KUNIT_ASSERT_EQ(test, by_bulk(heap, 60, 35, p + 5), 35);
	KUNIT_EXPECT_EQ(test, (unsigned long)p[3] % 256, 0);
	expect_caller(test, heap, 1, usable(heap, p[0]), "by_one+");
	expect_caller(test, heap, 1, usable(heap, p[1]), "by_atomic+");
	expect_caller(test, heap, 1, usable(heap, p[2]), "by_zalloc+");
	expect_caller(test, heap, 1, usable(heap, p[3]), "by_aligned+");
	expect_caller(test, heap, 1, usable(heap, p[4]), "by_realloc+");
	expect_caller(test, heap, 35, 35 * usable(heap, p[5]), "by_bulk+");
	for (i = 0; i < ARRAY_SIZE(p); i++)
		chaos_heap_free(heap, p[i]);
	chaos_test_idle(test, heap, 0);
}

static void every_call(struct kunit *test)
{
	calls_at(test, CHAOS_HARDENING_1);
	calls_at(test, CHAOS_HARDENING_2);
}

/* Who has changed a block's size last has allocated it, in place or not. */
static void reallocated(struct kunit *test)
{
	static const size_t to[] = { 101, 5000, 90, 100, 300000, 10 };
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, CHAOS_HARDENING_2);
	size_t i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(to); i++) {
		p = by_one(heap, 100);
		expect_only(test, heap, 1, 100, "by_one+");
		p = by_realloc(heap, p, to[i]);
		expect_only(test, heap, 1, to[i], "by_realloc+");
		chaos_heap_free(heap, p);
	}
	chaos_test_idle(test, heap, 0);
}

/* All that may be used can be, and there is as much as was asked for, aligned. */
static void usable_is_honest(struct kunit *test)
{
	enum chaos_hardening level;
	size_t i;

	for (level = CHAOS_HARDENING_0; level <= CHAOS_HARDENING_2; level++) {
		struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, level);

		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			void *p = by_one(heap, sizes[i]);
			size_t n = usable(heap, p);

			KUNIT_ASSERT_GE(test, n, sizes[i]);
			if (chaos_test_engine(test)->natural && is_power_of_2(sizes[i]))
				KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p,
								   min(sizes[i], PAGE_SIZE)));
			memset(p, 0xff, n);
			expect_only(test, heap, 1, n, "by_one+");
			p = by_realloc(heap, p, n);
			memset(p, 0, usable(heap, p));
			expect_only(test, heap, 1, usable(heap, p), "by_realloc+");
			chaos_heap_free(heap, p);
		}
		chaos_test_idle(test, heap, 0);
		chaos_test_destroy(test, heap);
	}
}

/* ---------------------------------- damage -------------------------------- */

static noinline __noclone __no_sanitize_address void spoil(void *p, size_t offset, u8 bits)
{
	u8 *byte = p;

	OPTIMIZER_HIDE_VAR(byte);
	byte[offset] ^= bits;
}

static noinline __noclone __no_sanitize_address void copy(void *to, const void *from, size_t size)
{
	const u8 *in = from;
	u8 *out = to;
	size_t i;

	OPTIMIZER_HIDE_VAR(in);
	OPTIMIZER_HIDE_VAR(out);
	for (i = 0; i < size; i++)
		WRITE_ONCE(out[i], in[i]);
}

/* Each bit of what a block remembers; its handle of a stack is not looked up. */
static void overwritten(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_STACK, CHAOS_HARDENING_1);
	void *p = by_one(heap, 100);
	size_t n = usable(heap, p), bit;

	for (bit = 0; bit < 8 * sizeof(struct chaos_origin); bit++) {
		spoil(p, n + bit / 8, BIT(bit % 8));
		if (bit % 16 == 5)
			expect_only(test, heap, 1, n, OVERWRITTEN);
		spoil(p, n + bit / 8, BIT(bit % 8));
	}
	expect_only(test, heap, 1, n, "by_one+");
	spoil(p, n, 1);
	chaos_heap_free(heap, p);
	chaos_test_idle(test, heap, 0);
}

/* What one block remembers says nothing at another's end. */
static void copied(struct kunit *test)
{
	struct chaos_heap *heap = tracked(test);
	void *p = by_one(heap, 100), *q = by_other(heap, 100);
	size_t n = usable(heap, p);

	KUNIT_ASSERT_EQ(test, usable(heap, q), n);
	copy(q + n, p + n, sizeof(struct chaos_origin));
	expect_caller(test, heap, 1, n, "by_one+");
	expect_caller(test, heap, 1, n, OVERWRITTEN);
	chaos_heap_free(heap, p);
	chaos_heap_free(heap, q);
	chaos_test_idle(test, heap, 0);
}

/* Hardening still finds what it finds, and the origin is behind that. */
static void hardened(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, CHAOS_HARDENING_2);
	void *p = by_one(heap, 100);

	KUNIT_EXPECT_EQ(test, usable(heap, p), 100);
	spoil(p, 100, 1);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);
	expect_only(test, heap, 1, 100, "by_one+");
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 2);
	chaos_test_idle(test, heap, 2);
}

/* ----------------------------------- bounds ------------------------------- */

#define MANY	(CHAOS_CALLERS + 50)

/* More callers than a report has lines, or even room, for. */
static void many_callers(struct kunit *test)
{
	struct chaos_heap *heap = tracked(test);
	void **p = chaos_test_buf(test, MANY, sizeof(*p));
	char wanted[40];
	const char *text;
	size_t i;

	for (i = 0; i < MANY; i++) {
		p[i] = by_one(heap, 200);
		chaos_track_lay(heap, p[i], usable(heap, p[i]) + heap->trailer, GFP_KERNEL,
				(unsigned long)by_one + i);
	}
	text = report(test, heap);
	KUNIT_EXPECT_EQ_MSG(test, lines_with(text, "\n"), CHAOS_CALLERS_SHOWN + 2, "%s", text);
	snprintf(wanted, sizeof(wanted), "and %d more callers\n",
		 CHAOS_CALLERS - CHAOS_CALLERS_SHOWN);
	KUNIT_EXPECT_EQ_MSG(test, lines_with(text, wanted), 1, "%s", text);
	KUNIT_EXPECT_EQ_MSG(test, lines_with(text, "\n50 blocks, "), 1, "%s", text);
	chaos_heap_free_bulk(heap, MANY, p);
	chaos_test_idle(test, heap, 0);
}

/* ---------------------------------- in use -------------------------------- */

/*
 * What is live, but has not got its origin yet, has that of its last owner.  A report says
 * that it may be wrong, until the block has got its own.
 */
static void in_the_making(struct kunit *test)
{
	struct chaos_heap *heap = tracked(test);
	void *p = by_one(heap, 200), *q;
	size_t n = usable(heap, p);

	chaos_heap_free(heap, p);
	chaos_harden_begin(heap);
	preempt_disable();
	q = heap->engine->alloc(heap, n + heap->trailer, CHAOS_MIN_ALIGN);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, lines_with(report(test, heap), "in use: "), 1);
	if (q == p)
		expect_caller(test, heap, 1, n, "by_one+");
	chaos_track_lay(heap, q, n + heap->trailer, GFP_KERNEL, (unsigned long)by_other + 4);
	chaos_harden_end(heap);
	KUNIT_EXPECT_EQ(test, lines_with(report(test, heap), "in use: "), 0);
	expect_only(test, heap, 1, n, "by_other+");
	chaos_heap_free(heap, q);
	chaos_test_idle(test, heap, 0);
}

/* ---------------------------------- contexts ------------------------------ */

static noinline __noclone void irq_allocates(void *arg)
{
	void *p = by_atomic(arg, 100);

	if (p)
		chaos_test_fill(p, 100, 1);
}

static void hardirq(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_STACK, CHAOS_HARDENING_2);
	struct chaos_test_place place = { .hardirq = true };
	unsigned int cpu;

	chaos_test_cpus(test, &cpu, 1);
	place.cpu = cpu;
	KUNIT_ASSERT_EQ(test, chaos_test_at(&place, irq_allocates, heap), 0);
	expect_caller(test, heap, 1, 100, "by_atomic+");
	chaos_test_destroy(test, heap);
}

struct nmi_stage {
	struct chaos_heap *heap;
	struct chaos_test_nmi nmi;
	bool done;
};

static noinline __noclone void nmi_allocates(void *arg)
{
	struct nmi_stage *s = arg;
	void *p;

	if (!in_nmi() || READ_ONCE(s->done))
		return;
	p = chaos_heap_alloc(s->heap, 100, GFP_ATOMIC | __GFP_NOWARN);
	if (p)
		WRITE_ONCE(s->done, true);
}

/* The call site is remembered, and no stack is. */
static void nmi(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_STACK, CHAOS_HARDENING_2);
	struct nmi_stage *s = chaos_test_buf(test, 1, sizeof(*s));
	unsigned long end = jiffies + 30 * HZ;

	s->heap = heap;
	s->nmi.fn = nmi_allocates;
	s->nmi.arg = s;
	chaos_test_bind(test);
	if (chaos_test_nmi_init(&s->nmi, 100))
		kunit_skip(test, "nothing that raises NMIs");
	chaos_test_defer(test, chaos_test_nmi_exit, &s->nmi);
	chaos_test_nmi_start(&s->nmi);
	while (!READ_ONCE(s->done) && time_before(jiffies, end))
		cpu_relax();
	chaos_test_nmi_stop(&s->nmi);
	if (!s->done)
		kunit_skip(test, "no NMI came");
	expect_only(test, heap, 1, 100, "nmi_allocates+");
	KUNIT_EXPECT_EQ(test, lines_with(report(test, heap), "\n"), 1);
	chaos_test_destroy(test, heap);
}

static noinline __noclone void *through_a(struct chaos_heap *heap)
{
	void *p = by_one(heap, 100);

	of_its_own(__LINE__);
	return p;
}

static noinline __noclone void *through_b(struct chaos_heap *heap)
{
	void *p = by_one(heap, 100);

	of_its_own(__LINE__);
	return p;
}

/* One call site, two stacks: two callers. */
static void stacks(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_STACK, CHAOS_HARDENING_2);
	const char *text, *a, *b;
	size_t n = 2, i;
	void *p[3];

	needs_names(test);
	if (heap->track != CHAOS_TRACK_STACK - CHAOS_TRACK_NONE)
		kunit_skip(test, "the kernel has no stack depot");
	if (IS_ENABLED(CONFIG_UML))
		kunit_skip(test, "its stack traces do not have who called us");
	/* One call in a loop, which is not to be two. */
	OPTIMIZER_HIDE_VAR(n);
	for (i = 0; i < n; i++)
		p[i] = through_a(heap);
	p[2] = through_b(heap);
	expect_caller(test, heap, 2, 200, "by_one+");
	expect_caller(test, heap, 1, 100, "by_one+");
	text = report(test, heap);
	a = strstr(text, "\n    through_a+");
	b = strstr(text, "\n    through_b+");
	KUNIT_ASSERT_NOT_NULL_MSG(test, a, "%s", text);
	KUNIT_ASSERT_NOT_NULL_MSG(test, b, "%s", text);
	KUNIT_EXPECT_TRUE(test, a < b);
	/* It begins with the caller, not with us. */
	KUNIT_EXPECT_NULL_MSG(test, strstr(text, "[chaos_alloc]"), "%s", text);
	chaos_heap_free_bulk(heap, ARRAY_SIZE(p), p);
	chaos_test_idle(test, heap, 0);
}

struct reports {
	struct chaos_test_mill mill;
	struct seq_file m;
	size_t failed;
};

static void reporter(struct reports *r)
{
	size_t i;

	for (i = 0; i < 100 / CHAOS_TEST_FEWER + 10; i++) {
		r->m.count = 0;
		r->failed += !!chaos_callers_show(&r->m, r->mill.heap);
	}
}

static void in_use_thread(struct chaos_test_thread *self)
{
	struct reports *r = self->arg;
	struct chaos_test_tally tally = { .made = 0 };
	size_t i;

	if (!self->nr) {
		reporter(r);
		return;
	}
	prandom_seed_state(&tally.rnd, self->nr);
	for (i = 0; i < 20000 / CHAOS_TEST_FEWER; i++)
		chaos_test_mill_step(&r->mill, &tally, GFP_KERNEL);
}

/* What reports find in a heap that is in use may be in the making. */
static void in_use(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_STACK, CHAOS_HARDENING_2);
	struct reports *r = chaos_test_buf(test, 1, sizeof(*r));
	struct chaos_test_thread *threads = chaos_test_buf(test, 3, sizeof(*threads));
	size_t i;

	chaos_test_mill_init(test, &r->mill, heap, 64, 2000);
	r->m.buf = chaos_test_buf(test, 1, REPORT_SIZE);
	r->m.size = REPORT_SIZE;
	for (i = 0; i < 3; i++)
		threads[i] = (struct chaos_test_thread){
			.fn = in_use_thread, .arg = r, .nr = i, .cpu = -1,
		};
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, 3), 0);
	KUNIT_EXPECT_EQ(test, r->failed, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&r->mill), 0);
	expect_none(test, heap);
	chaos_test_idle(test, heap, 0);
}

/* ---------------------------------- leaving ------------------------------- */

static void expect_log(struct kunit *test, struct kmsg_dump_iter *log, const char *text,
		       size_t lines)
{
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_EQ_MSG(test, chaos_test_log_lines(log, text), lines, "%s", text);
}

/* What is built into the kernel never goes. */
#ifdef MODULE
/* We go, as far as those know who look after that. */
static void we_go(void)
{
	chaos_module_event(NULL, MODULE_STATE_GOING, THIS_MODULE);
}

/*
 * What a module leaves is reported once, and named as long as it is there; a module in
 * the same place is another one.
 */
static void module_goes(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_STACK, CHAOS_HARDENING_2);
	struct kmsg_dump_iter log;
	void *p[4];

	needs_names(test);
	p[0] = by_one(heap, 100);
	p[1] = by_one(heap, 300);
	p[2] = by_other(heap, 50);
	chaos_test_log_start(&log);
	we_go();
	expect_log(test, &log, "module chaos_kunit leaves 3 blocks, 450 bytes in heap kunit-track",
		   1);
	expect_caller(test, heap, 1, 50, "by_other+");

	/* The same line of code, later */
	p[3] = by_other(heap, 7);
	expect_caller(test, heap, 1, 50, "by_other+");
	expect_caller(test, heap, 1, 7, "by_other+");
	chaos_test_log_start(&log);
	we_go();
	expect_log(test, &log, "module chaos_kunit leaves 1 blocks, 7 bytes in heap kunit-track",
		   1);
	expect_caller(test, heap, 1, 50, "by_other+");
	expect_caller(test, heap, 1, 7, "by_other+");

	chaos_heap_free_bulk(heap, 4, p);
	chaos_test_log_start(&log);
	we_go();
	expect_log(test, &log, "leaves", 0);
	chaos_test_idle(test, heap, 0);
}

/* The init functions of somebody go who has no blocks: ours have gone long ago. */
static void others_init_goes(void)
{
	chaos_module_event(NULL, MODULE_STATE_LIVE, THIS_MODULE);
}

/* Is there a name for what was at @site in @epoch? */
static bool is_kept(unsigned long site, u32 epoch)
{
	bool kept;

	mutex_lock(&chaos_gone_mutex);
	kept = chaos_gone_find(site, epoch);
	mutex_unlock(&chaos_gone_mutex);
	return kept;
}

/* As if so many places from @site on had allocated a block each. */
static void by_many(struct kunit *test, struct chaos_heap *heap, unsigned long site, void **p)
{
	size_t i;

	for (i = 0; i < MANY; i++) {
		p[i] = by_one(heap, 200);
		chaos_track_lay(heap, p[i], usable(heap, p[i]) + heap->trailer, GFP_KERNEL,
				site + i);
	}
}

/* What a module leaves is found beside many callers that are none of its, and named. */
static void among_many(struct kunit *test)
{
	struct chaos_heap *heap = tracked(test);
	void **p = chaos_test_buf(test, MANY, sizeof(*p)), *leak;
	struct kmsg_dump_iter log;

	needs_names(test);
	/* Not ours: the kernel's. */
	by_many(test, heap, (unsigned long)kfree, p);
	leak = by_one(heap, 5000);
	others_init_goes();
	chaos_test_log_start(&log);
	we_go();
	expect_log(test, &log, "module chaos_kunit leaves 1 blocks", 1);
	chaos_heap_free_bulk(heap, MANY, p);
	expect_only(test, heap, 1, usable(heap, leak), "by_one+");
	chaos_heap_free(heap, leak);
	chaos_test_idle(test, heap, 0);
}

/* As many names are kept as there are; the module's blocks are counted, all of them. */
static void many_names(struct kunit *test)
{
	struct chaos_heap *heap = tracked(test);
	void **p = chaos_test_buf(test, MANY, sizeof(*p)), *mine = by_one(heap, 300);
	u32 epoch = chaos_gone_epoch();
	struct kmsg_dump_iter log;
	size_t kept = 0, i;
	char text[64];

	needs_names(test);
	by_many(test, heap, (unsigned long)by_one, p);
	chaos_test_log_start(&log);
	we_go();
	snprintf(text, sizeof(text), "module chaos_kunit leaves %d blocks", MANY + 1);
	expect_log(test, &log, text, 1);
	for (i = 0; i < MANY; i++)
		kept += is_kept((unsigned long)by_one + i, epoch);
	KUNIT_EXPECT_EQ(test, kept, MANY);
	KUNIT_EXPECT_FALSE(test, chaos_gone_unsure(epoch));
	chaos_heap_free_bulk(heap, MANY, p);
	chaos_heap_free(heap, mine);
	chaos_test_idle(test, heap, 0);
}

/* A name is kept as long as a block of any heap needs it, and no longer. */
static void names_dropped(struct kunit *test)
{
	struct chaos_heap *one = tracked(test), *two = tracked(test);
	void *p = by_one(one, 100), *q = by_one(two, 100);
	unsigned long site = (unsigned long)by_other + 4;
	u32 epoch = chaos_gone_epoch();

	chaos_track_lay(one, p, usable(one, p) + one->trailer, GFP_KERNEL, site);
	chaos_track_lay(two, q, usable(two, q) + two->trailer, GFP_KERNEL, site);
	KUNIT_EXPECT_FALSE(test, is_kept(site, epoch));
	we_go();
	KUNIT_EXPECT_TRUE(test, is_kept(site, epoch));
	chaos_heap_free(one, p);
	others_init_goes();
	KUNIT_EXPECT_TRUE(test, is_kept(site, epoch));
	chaos_heap_free(two, q);
	KUNIT_EXPECT_TRUE(test, is_kept(site, epoch));
	others_init_goes();
	KUNIT_EXPECT_FALSE(test, is_kept(site, epoch));
	chaos_test_idle(test, one, 0);
	chaos_test_idle(test, two, 0);
}

#ifdef CONFIG_FAULT_INJECTION
/* There is no memory to keep names in. */
static void we_go_unnamed(void)
{
	const struct chaos_faults before = chaos_faults;
	int i;

	for (i = 0; i < CHAOS_FAULTS; i++)
		chaos_faults.on[i] = i == CHAOS_FAULT_META;
	atomic_set(&chaos_faults.attr.times, -1);
	chaos_faults.attr.verbose = 0;
	chaos_faults.attr.probability = 100;
	we_go();
	chaos_faults = before;
}

/* What may be wrong then is not told. */
static void names_not_kept(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, CHAOS_HARDENING_2);
	void *p = by_one(heap, 100), *q;

	we_go_unnamed();
	expect_only(test, heap, 1, 100, "code that may have gone");
	q = by_one(heap, 200);
	expect_caller(test, heap, 1, 200, "by_one+");
	chaos_heap_free(heap, p);
	chaos_heap_free(heap, q);
	chaos_test_idle(test, heap, 0);
}

#ifdef CONFIG_DEBUG_FS
/**
 * struct parting - a heap is destroyed while somebody reads one of its files
 * @heap: the heap
 * @file: the file
 */
struct parting {
	struct chaos_heap *heap;
	struct file *file;
};

static void parting_thread(struct chaos_test_thread *self)
{
	struct parting *s = self->arg;

	if (!self->nr) {
		chaos_heap_destroy(s->heap);
		return;
	}
	/* Until the other one waits for us */
	msleep(100);
	others_init_goes();
	debugfs_file_put(s->file->f_path.dentry);
}

/* A heap that goes has the names of its blocks until they have been told. */
static void names_at_the_end(struct kunit *test)
{
	const struct chaos_heap_params params = {
		.name = "kunit-track", .pool_size = SZ_1M, .node = NUMA_NO_NODE,
		.track = CHAOS_TRACK_CALLER, .hardening = CHAOS_HARDENING_2,
	};
	struct chaos_test_thread threads[2];
	struct chaos_heap *other = tracked(test);
	struct parting s;
	struct kmsg_dump_iter log;
	char path[80];
	void *p;
	int i;

	s.heap = chaos_heap_create(&params);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, s.heap);
	snprintf(path, sizeof(path), "/sys/kernel/debug/chaos_alloc/%pd/stats", s.heap->dir);
	s.file = filp_open(path, O_RDONLY, 0);
	if (IS_ERR(s.file) || debugfs_file_get(s.file->f_path.dentry)) {
		chaos_heap_destroy(s.heap);
		kunit_skip(test, "debugfs is not mounted");
	}
	by_one(s.heap, 100);
	we_go();
	/* From now on, it is not known who is still there and has no name. */
	p = by_other(other, 100);
	we_go_unnamed();
	chaos_heap_free(other, p);

	for (i = 0; i < 2; i++)
		threads[i] = (struct chaos_test_thread){
			.fn = parting_thread, .arg = &s, .nr = i, .cpu = -1,
		};
	chaos_test_log_start(&log);
	KUNIT_EXPECT_EQ(test, chaos_test_run(threads, 2), 0);
	expect_log(test, &log, "heap kunit-track:   1 blocks, 100 bytes: by_one+", 1);
	__fput_sync(s.file);
}
#endif
#endif /* CONFIG_FAULT_INJECTION */
#endif /* MODULE */

static void heap_goes(struct kunit *test)
{
	struct chaos_heap *heap = heap_at(test, CHAOS_TRACK_CALLER, CHAOS_HARDENING_2);
	struct kmsg_dump_iter log;

	needs_names(test);
	by_one(heap, 100);
	by_one(heap, 100);
	chaos_test_log_start(&log);
	chaos_test_destroy(test, heap);
	expect_log(test, &log, "heap kunit-track:   2 blocks, 200 bytes: by_one+", 1);
}

/* ----------------------------------- levels ------------------------------- */

/* Each level that there is; and none that there is not. */
static void levels(struct kunit *test)
{
	struct chaos_heap_params params = {
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_1M,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap;
	int level;

	for (level = CHAOS_TRACK_NONE; level <= CHAOS_TRACK_STACK; level++) {
		heap = heap_at(test, level, CHAOS_HARDENING_1);
		KUNIT_EXPECT_LE(test, heap->track, level - CHAOS_TRACK_NONE);
		KUNIT_EXPECT_EQ(test, !heap->track, level == CHAOS_TRACK_NONE);
		KUNIT_EXPECT_EQ(test, !heap->trailer, level == CHAOS_TRACK_NONE);
	}
	params.track = level;
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_create(&params), ERR_PTR(-EINVAL));
	params.track = -1;
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_create(&params), ERR_PTR(-EINVAL));

	heap = heap_at(test, CHAOS_TRACK_NONE, CHAOS_HARDENING_1);
	by_one(heap, 100);
	KUNIT_EXPECT_EQ(test, lines_with(report(test, heap), "not tracked"), 1);
	KUNIT_EXPECT_NULL(test, strstr(report(test, heap), "by_one+"));
}

static struct kunit_case track_cases[] = {
	CHAOS_CASE(counted),
	CHAOS_CASE(every_call),
	CHAOS_CASE(reallocated),
	CHAOS_CASE(usable_is_honest),
	CHAOS_CASE(overwritten),
	CHAOS_CASE(copied),
	CHAOS_CASE(hardened),
	CHAOS_CASE(many_callers),
	CHAOS_CASE(in_the_making),
	CHAOS_CASE(hardirq),
	CHAOS_CASE(nmi),
	CHAOS_CASE(stacks),
	CHAOS_CASE(in_use),
#ifdef MODULE
	CHAOS_CASE(module_goes),
	CHAOS_CASE(among_many),
	CHAOS_CASE(many_names),
	CHAOS_CASE(names_dropped),
#ifdef CONFIG_FAULT_INJECTION
	CHAOS_CASE(names_not_kept),
#ifdef CONFIG_DEBUG_FS
	KUNIT_CASE(names_at_the_end),
#endif
#endif
#endif
	CHAOS_CASE(heap_goes),
	CHAOS_CASE(levels),
	{}
};

static struct kunit_suite track_suite = {
	.name = "chaos_track",
	.test_cases = track_cases,
};

kunit_test_suites(&track_suite);
