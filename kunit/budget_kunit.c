// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_budget: how much of a small heap can be in use before it has to say
 * no.  CPUs and context levels share it, each block of another size.
 */
#include <linux/irq_work.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

#define BUDGET_CPUS	4
#define BUDGET_SLOTS	8192
#define BUDGET_MIN	16
#define BUDGET_MAX	SZ_4K
#define BUDGET_LEAD	4	/* blocks that a CPU may be ahead of the others */
#define BUDGET_SEEDS	DIV_ROUND_UP(4, CHAOS_TEST_FEWER)
#define BUDGET_AGEING	25000	/* operations: some turns of all that is live */

/**
 * struct budget_block - a block that says itself what is in it
 * @size: size asked for
 * @key: what the rest is filled with
 * @data: the rest
 *
 * struct chaos_test_block is larger than the smallest block of these tests.
 */
struct budget_block {
	u32 size;
	u32 key;
	u8 data[];
};

/**
 * struct budget - a heap, and what its users know of each other
 * @heap: the heap
 * @pool: its bytes
 * @uniform: each size is as likely; else each order of magnitude
 * @aged: percent that are live while the heap ages
 * @levels: half of the blocks are allocated, and freed, in interrupts
 * @cpus: number of users
 * @slot: the blocks; only xchg'd
 * @live: bytes asked for
 * @nulled: @live when the first NULL came, or 0
 * @step: blocks that each user has allocated
 * @threads: the users' threads
 */
struct budget {
	struct chaos_heap *heap;
	size_t pool;
	unsigned int aged;
	bool uniform;
	bool levels;
	unsigned int cpus;
	struct budget_block *slot[BUDGET_SLOTS];
	atomic_long_t live;
	atomic_long_t nulled;
	size_t step[BUDGET_CPUS];
	struct chaos_test_thread threads[BUDGET_CPUS];
};

/**
 * struct budget_user - one CPU
 * @budget: of all
 * @nr: which of @budget->step is this one's
 * @bad: blocks with wrong contents
 * @rnd: random numbers
 * @work: how to get into an interrupt
 * @fn: what to do there
 */
struct budget_user {
	struct budget *budget;
	unsigned int nr;
	size_t bad;
	struct rnd_state rnd;
	struct irq_work work;
	bool (*fn)(struct budget_user *user);
};

/* ---------------------------------- blocks -------------------------------- */

static size_t random_size(struct budget_user *user)
{
	size_t size;

	if (user->budget->uniform)
		return BUDGET_MIN + chaos_test_below(&user->rnd,
						     BUDGET_MAX - BUDGET_MIN + 1);
	size = BUDGET_MIN << chaos_test_below(&user->rnd,
					      ilog2(BUDGET_MAX / BUDGET_MIN));
	return size + 1 + chaos_test_below(&user->rnd, size);
}

static u64 block_key(const struct budget_block *b)
{
	return (u64)b->key * 0x9e3779b97f4a7c15ULL + (unsigned long)b;
}

static void put_block(struct budget_user *user, struct budget_block *b)
{
	u32 i;

	do {
		i = chaos_test_below(&user->rnd, BUDGET_SLOTS);
	} while (cmpxchg(&user->budget->slot[i], NULL, b));
}

/* Any of them, or NULL if there is none. */
static struct budget_block *get_block(struct budget_user *user)
{
	u32 i = chaos_test_below(&user->rnd, BUDGET_SLOTS), n;
	struct budget_block *b;

	for (n = 0; n < BUDGET_SLOTS; n++, i = (i + 1) % BUDGET_SLOTS) {
		b = xchg(&user->budget->slot[i], NULL);
		if (b)
			return b;
	}
	return NULL;
}

static bool alloc_one(struct budget_user *user)
{
	struct budget *budget = user->budget;
	size_t size = random_size(user);
	struct budget_block *b;

	b = chaos_heap_alloc(budget->heap, size, GFP_ATOMIC | __GFP_NOWARN);
	if (!b) {
		atomic_long_cmpxchg(&budget->nulled, 0,
				    atomic_long_read(&budget->live));
		return false;
	}
	b->size = size;
	b->key = prandom_u32_state(&user->rnd);
	chaos_test_fill(b->data, size - sizeof(*b), block_key(b));
	atomic_long_add(size, &budget->live);
	put_block(user, b);
	return true;
}

static bool free_one(struct budget_user *user)
{
	struct budget *budget = user->budget;
	struct budget_block *b = get_block(user);

	if (!b)
		return false;
	if (b->size < BUDGET_MIN || b->size > BUDGET_MAX ||
	    !chaos_test_filled(b->data, b->size - sizeof(*b), block_key(b)))
		user->bad++;
	atomic_long_sub(b->size, &budget->live);
	chaos_heap_free(budget->heap, b);
	return true;
}

/* ---------------------------------- users --------------------------------- */

static void user_hardirq(struct irq_work *work)
{
	struct budget_user *user = container_of(work, struct budget_user, work);

	user->fn(user);
}

static void act(struct budget_user *user, bool (*fn)(struct budget_user *user))
{
	if (!user->budget->levels || prandom_u32_state(&user->rnd) & 1) {
		fn(user);
		return;
	}
	user->fn = fn;
	irq_work_queue(&user->work);
	irq_work_sync(&user->work);
}

static bool nulled(const struct budget *budget)
{
	return atomic_long_read(&budget->nulled);
}

/* Keep step: a CPU that is alone with the heap would have it too easy. */
static void await_others(struct budget_user *user)
{
	struct budget *budget = user->budget;
	unsigned int i;

	for (i = 0; i < budget->cpus; i++) {
		while (READ_ONCE(budget->step[i]) + BUDGET_LEAD <
		       budget->step[user->nr] && !nulled(budget))
			cond_resched();
	}
	WRITE_ONCE(budget->step[user->nr], budget->step[user->nr] + 1);
}

static bool below(const struct budget *budget, unsigned int percent)
{
	return atomic_long_read(&budget->live) * 100 < budget->pool * percent;
}

static void fill_up(struct budget_user *user, unsigned int percent)
{
	while (!nulled(user->budget) && below(user->budget, percent)) {
		await_others(user);
		act(user, alloc_one);
	}
	/* Nobody need wait for this one. */
	WRITE_ONCE(user->budget->step[user->nr], SIZE_MAX / 2);
}

static void age(struct budget_user *user, size_t ops)
{
	while (ops-- && !nulled(user->budget)) {
		act(user, below(user->budget, user->budget->aged) ? alloc_one : free_one);
		cond_resched();
	}
}

static void fresh_thread(struct chaos_test_thread *self)
{
	fill_up(self->arg, 200);
}

static void age_thread(struct chaos_test_thread *self)
{
	struct budget_user *user = self->arg;

	fill_up(user, user->budget->aged);
	age(user, BUDGET_AGEING / user->budget->cpus);
}

/* ---------------------------------- a run --------------------------------- */

/**
 * struct setting - what the runs differ in
 * @cpus: number of users
 * @aged: percent that are live while the heap ages; 0: it is fresh
 * @pool: bytes of the heap
 * @want: percent that must be live at the first NULL
 */
struct setting {
	unsigned int cpus;
	unsigned int aged;
	size_t pool;
	unsigned int want;
};

static void users_init(struct budget *budget, struct budget_user *users,
		       unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < budget->cpus; i++) {
		users[i].budget = budget;
		users[i].nr = i;
		users[i].work = IRQ_WORK_INIT_HARD(user_hardirq);
		prandom_seed_state(&users[i].rnd, 100 * seed + i);
	}
}

static void run_users(struct kunit *test, struct budget *budget,
		      struct budget_user *users,
		      void (*fn)(struct chaos_test_thread *self))
{
	struct chaos_test_thread *threads = budget->threads;
	unsigned int cpus[BUDGET_CPUS], i;

	chaos_test_cpus(test, cpus, budget->cpus);
	for (i = 0; i < budget->cpus; i++) {
		threads[i].fn = fn;
		threads[i].arg = &users[i];
		threads[i].cpu = cpus[i];
		budget->step[i] = 0;
	}
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, budget->cpus), 0);
}

static size_t free_all(struct budget *budget, struct budget_user *users)
{
	unsigned int i;
	size_t bad;

	while (free_one(&users[0]))
		;
	bad = atomic_long_read(&budget->live) != 0;
	for (i = 0; i < budget->cpus; i++)
		bad += users[i].bad;
	return bad;
}

/* Percent of the heap that were live when the first NULL came. */
static unsigned int run(struct kunit *test, struct budget *budget,
			struct budget_user *users, const struct setting *setting,
			unsigned int seed)
{
	memset(budget, 0, offsetof(struct budget, slot));
	budget->heap = chaos_test_heap(test, setting->pool, 0);
	budget->pool = setting->pool;
	budget->aged = setting->aged;
	budget->uniform = seed & 1;
	budget->levels = seed & 2;
	budget->cpus = setting->cpus;
	atomic_long_set(&budget->nulled, 0);
	memset(users, 0, BUDGET_CPUS * sizeof(*users));
	users_init(budget, users, seed);
	if (setting->aged)
		run_users(test, budget, users, age_thread);
	run_users(test, budget, users, fresh_thread);
	chaos_test_sound(test, budget->heap);
	KUNIT_EXPECT_EQ(test, free_all(budget, users), 0);
	chaos_test_idle(test, budget->heap, 0);
	chaos_test_destroy(test, budget->heap);
	return atomic_long_read(&budget->nulled) * 100 / setting->pool;
}

/* Each seed is a mixture of sizes and levels of its own. */
static void runs(struct kunit *test, const struct setting *setting)
{
	struct budget *budget = chaos_test_buf(test, 1, sizeof(*budget));
	struct budget_user *users;
	unsigned int kind, i, got, least;

	users = chaos_test_buf(test, BUDGET_CPUS, sizeof(*users));
	for (kind = 0; kind < 4; kind++) {
		least = UINT_MAX;
		for (i = 0; i < BUDGET_SEEDS; i++) {
			got = run(test, budget, users, setting, 4 * i + kind);
			least = min(least, got);
		}
		KUNIT_EXPECT_GE(test, least, setting->want);
		kunit_info(test, "%zu KiB, %u CPU(s), %s, %s, %s: %u %% live",
			   setting->pool / SZ_1K, setting->cpus,
			   setting->aged ? "aged" : "fresh",
			   kind & 1 ? "uniform sizes" : "small sizes",
			   kind & 2 ? "task and hardirq" : "task", least);
	}
}

static void both_sizes(struct kunit *test, unsigned int cpus, bool aged)
{
	const struct setting large = {
		.cpus = cpus, .aged = aged ? 60 : 0, .pool = SZ_1M, .want = 75,
	};
	const struct setting small = {
		.cpus = cpus, .aged = aged ? 48 : 0, .pool = SZ_256K, .want = 60,
	};

	runs(test, &large);
	runs(test, &small);
}

static void one_cpu(struct kunit *test)
{
	both_sizes(test, 1, false);
}

/* The other engines know no CPUs: there, those would only wait for a lock. */
static void four_cpus(struct kunit *test)
{
	both_sizes(test, BUDGET_CPUS, false);
}

static void one_cpu_aged(struct kunit *test)
{
	both_sizes(test, 1, true);
}

static void four_cpus_aged(struct kunit *test)
{
	both_sizes(test, BUDGET_CPUS, true);
}

static struct kunit_case budget_cases[] = {
	CHAOS_CASE(one_cpu),
	KUNIT_CASE_SLOW(four_cpus),
	CHAOS_CASE_SLOW(one_cpu_aged),
	KUNIT_CASE_SLOW(four_cpus_aged),
	{}
};

static struct kunit_suite budget_suite = {
	.name = "chaos_budget",
	.test_cases = budget_cases,
};

kunit_test_suites(&budget_suite);
