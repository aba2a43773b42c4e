// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_see: the files of a heap in debugfs, read as a reader in user space
 * does, and compared with what was done to the heap; and that readers and heaps may
 * come and go at any moment.
 */
#include <linux/ctype.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/uio.h>

#include "common.h"
#include "engine.h"
#include "fault.h"
#include "watch.h"

CHAOS_TEST_ENGINE_PARAM();

#define SEE_ROOT	"/sys/kernel/debug/chaos_alloc"

/* ---------------------------------- files --------------------------------- */

static struct file *see_open(struct chaos_heap *heap, const char *name)
{
	struct file *file;
	char *path;

	path = kasprintf(GFP_KERNEL, SEE_ROOT "/%pd/%s", heap->dir, name);
	if (!path)
		return ERR_PTR(-ENOMEM);
	file = filp_open(path, O_RDONLY, 0);
	kfree(path);
	return file;
}

/* What read() gives, in pieces of up to @piece bytes, into @text of @size bytes. */
static ssize_t see_read_file(struct file *file, char *text, size_t size, size_t piece)
{
	size_t done = 0;
	struct kiocb kiocb;
	ssize_t got;

	do {
		struct kvec vec = {
			.iov_base = text + done,
			.iov_len = min(piece, size - 1 - done),
		};
		struct iov_iter iter;

		init_sync_kiocb(&kiocb, file);
		kiocb.ki_pos = done;
		iov_iter_kvec(&iter, ITER_DEST, &vec, 1, vec.iov_len);
		/* What the file's read() calls in the end, but from user space only. */
		got = seq_read_iter(&kiocb, &iter);
		done += max_t(ssize_t, got, 0);
	} while (got > 0 && done < size - 1);
	text[done] = '\0';
	return got < 0 ? got : done;
}

#define SEE_TEXT	SZ_256K

/* All of a file, until the test ends. */
static char *see_read_by(struct kunit *test, struct chaos_heap *heap, const char *name,
			 size_t piece)
{
	char *text = chaos_test_buf(test, 1, SEE_TEXT);
	struct file *file;
	ssize_t n;

	KUNIT_ASSERT_NOT_NULL(test, heap->dir);
	file = see_open(heap, name);
	if (PTR_ERR_OR_ZERO(file) == -ENOENT)
		kunit_skip(test, "debugfs is not mounted");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	n = see_read_file(file, text, SEE_TEXT, piece);
	__fput_sync(file);
	KUNIT_ASSERT_GT(test, n, 0);
	KUNIT_ASSERT_LT(test, n, SEE_TEXT - 1);
	return text;
}

static char *see_read(struct kunit *test, struct chaos_heap *heap, const char *name)
{
	return see_read_by(test, heap, name, SZ_64K);
}

/* The value behind "\nNAME ", or ULLONG_MAX */
static unsigned long long see_value(const char *text, const char *name)
{
	unsigned long long value;
	const char *line;
	char key[40];

	snprintf(key, sizeof(key), "\n%s ", name);
	line = strstr(text, key);
	if (!line || sscanf(line + strlen(key), "%llu", &value) != 1)
		return ULLONG_MAX;
	return value;
}

/* ----------------------------------- map ---------------------------------- */

#define MAP_BLOCKS	150
#define MAP_NONE	U32_MAX

/**
 * struct map_case - a heap, its blocks, and what the map says
 * @heap: of one pool
 * @block: the blocks
 * @size: their bytes
 * @used: by cell, bytes that ought to be in use
 * @cells: number of cells
 * @cell: bytes of each
 */
struct map_case {
	struct chaos_heap *heap;
	void *block[MAP_BLOCKS];
	size_t size[MAP_BLOCKS];
	u32 *used;
	size_t cells;
	size_t cell;
};

static struct chaos_pool *first_pool(struct chaos_heap *heap)
{
	return list_first_entry(&heap->pools, struct chaos_pool, node);
}

static void map_setup(struct kunit *test, struct map_case *c, size_t pool_size)
{
	c->heap = chaos_test_exact(chaos_test_heap(test, pool_size, 0));
	c->used = chaos_test_buf(test, pool_size / SZ_1K, sizeof(*c->used));
}

/* One byte after the other: slow, but plain. */
static void map_count(struct map_case *c, const void *p, size_t size)
{
	size_t at = (unsigned long)p - first_pool(c->heap)->start, i;

	for (i = 0; i < size; i++)
		c->used[(at + i) / c->cell]++;
}

/* The next cell of a row, as bytes * 255 / cell, or MAP_NONE; false: there is none. */
static bool map_next(const char **text, u32 *share)
{
	if (!strncmp(*text, "--", 2))
		*share = MAP_NONE;
	else if (sscanf(*text, "%2x", share) != 1 || isupper((*text)[0]) ||
		 isupper((*text)[1]))
		return false;
	*text += 2;
	return true;
}

/* The cells of the pool whose rows begin at @text: how many are not as @used says. */
static size_t map_compare(struct map_case *c, const char *text, size_t *cells)
{
	size_t column = 0, wrong = 0;
	u32 share;

	for (*cells = 0; *text && *text != 'p'; ) {
		if (*text == '\n') {
			/* All rows but the last are full. */
			wrong += column != 64 && text[1] && text[1] != 'p';
			column = 0;
			text++;
		} else if (map_next(&text, &share)) {
			wrong += share != MAP_NONE && *cells < c->cells &&
				 share != DIV_ROUND_UP(c->used[*cells] * 255, c->cell);
			++*cells;
			column++;
		} else {
			return SIZE_MAX;
		}
	}
	return wrong;
}

static void map_expect(struct kunit *test, struct map_case *c)
{
	const char *text = see_read(test, c->heap, "map");
	struct chaos_pool *pool = first_pool(c->heap);
	char head[64];
	size_t cells;

	snprintf(head, sizeof(head), "pool 0 %zu %zu\n", pool->size, c->cell);
	KUNIT_ASSERT_TRUE(test, strstarts(text, head));
	KUNIT_EXPECT_EQ(test, map_compare(c, text + strlen(head), &cells), 0);
	KUNIT_EXPECT_EQ(test, cells, c->cells);
}

static size_t map_cell(struct kunit *test, struct map_case *c)
{
	if (!chaos_test_mimalloc(test))
		return SZ_4K;
	return 1UL << first_pool(c->heap)->slice_shift;
}

/* In front of each block of tlsf's are 8 bytes that are part of it. */
static size_t map_header(struct kunit *test)
{
	return strcmp(chaos_test_engine(test)->name, "tlsf") ? 0 : 8;
}

/* Each cell says how many bytes of it are in use: of blocks of all sizes, and of none. */
static void map_cells(struct kunit *test)
{
	struct map_case *c = chaos_test_buf(test, 1, sizeof(*c));
	size_t header = map_header(test);
	struct rnd_state rnd;
	unsigned int i;

	map_setup(test, c, SZ_2M);
	c->cell = map_cell(test, c);
	c->cells = SZ_2M / c->cell;
	map_expect(test, c);
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < MAP_BLOCKS; i++) {
		c->block[i] = chaos_heap_alloc(c->heap, chaos_test_size(&rnd, SZ_32K), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, c->block[i]);
	}
	for (i = 0; i < MAP_BLOCKS; i += 3) {
		chaos_heap_free(c->heap, c->block[i]);
		c->block[i] = NULL;
	}
	for (i = 0; i < MAP_BLOCKS; i++) {
		c->size[i] = chaos_heap_usable_size(c->heap, c->block[i]);
		if (c->block[i])
			map_count(c, c->block[i] - header, c->size[i] + header);
	}
	map_expect(test, c);
	for (i = 0; i < MAP_BLOCKS; i++)
		chaos_heap_free(c->heap, c->block[i]);
	memset(c->used, 0, c->cells * sizeof(*c->used));
	map_expect(test, c);
}

/* A cell of the pool whose rows begin at @text. */
static const char *map_at(const char *text, size_t cell)
{
	return text + 2 * cell + cell / 64;
}

/* A single block that fills its cells makes them ff, and its neighbours stay 00. */
static void map_full(struct kunit *test)
{
	struct map_case *c = chaos_test_buf(test, 1, sizeof(*c));
	size_t first, i;
	char *text;
	void *p;

	map_setup(test, c, SZ_2M);
	c->cell = map_cell(test, c);
	p = chaos_heap_alloc_aligned(c->heap, 32 * c->cell, c->cell, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	first = ((unsigned long)p - first_pool(c->heap)->start) / c->cell;
	text = strchr(see_read(test, c->heap, "map"), '\n') + 1;
	for (i = 0; i < 32; i++)
		KUNIT_EXPECT_TRUE(test, strstarts(map_at(text, first + i), "ff"));
	i = first > 1 ? first - 2 : first + 33;
	KUNIT_EXPECT_TRUE(test, strstarts(map_at(text, i), "00"));
	chaos_heap_free(c->heap, p);
}

/* Where mimalloc has guards at level 2, no block can be. */
static void map_guards(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap_at(test, SZ_2M, CHAOS_HARDENING_2,
						     CHAOS_TRACK_DEFAULT);
	void *p;

	KUNIT_EXPECT_NULL(test, strstr(see_read(test, heap, "map"), "--"));
	p = chaos_heap_alloc(heap, SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	if (chaos_test_mimalloc(test))
		KUNIT_EXPECT_NOT_NULL(test, strstr(see_read(test, heap, "map"), "--"));
	else
		KUNIT_EXPECT_NULL(test, strstr(see_read(test, heap, "map"), "--"));
	chaos_heap_free(heap, p);
}

/* Each pool has a line and its rows, in whatever pieces the file is read. */
static void map_pools(struct kunit *test)
{
	static const size_t pieces[] = { 1, 100, 4096 };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	/* Without cells, it is the form alone that is compared. */
	struct map_case *none = chaos_test_buf(test, 1, sizeof(*none));
	size_t bytes = 0, size, cell, cells, i;
	unsigned int index, pools = 0;
	int n;
	char *text, *line;

	for (i = 0; i < 5; i++)
		KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(heap, chaos_test_vmem(test, SZ_512K),
							  SZ_512K), 0);
	text = see_read(test, heap, "map");
	for (i = 0; i < ARRAY_SIZE(pieces); i++)
		KUNIT_EXPECT_STREQ(test, see_read_by(test, heap, "map", pieces[i]), text);
	for (line = text; line && *line; pools++) {
		n = sscanf(line, "pool %u %zu %zu\n", &index, &size, &cell);
		KUNIT_ASSERT_EQ(test, n, 3);
		KUNIT_EXPECT_EQ(test, index, pools);
		bytes += size;
		line = strchr(line, '\n') + 1;
		KUNIT_EXPECT_EQ(test, map_compare(none, line, &cells), 0);
		KUNIT_EXPECT_EQ(test, cells, size / cell);
		line = strstr(line, "pool");
	}
	KUNIT_EXPECT_EQ(test, pools, 6);
	KUNIT_EXPECT_EQ(test, bytes, heap->pool_bytes);
	/* The pools were the caller's: before these go. */
	chaos_test_destroy(test, heap);
}

#define WALKED_POOLS	4

static const struct chaos_engine *map_engine;
static atomic_t map_walks;

static int map_count_walk(struct chaos_heap *heap, struct chaos_pool *pool,
			  chaos_visitor visitor, void *arg)
{
	atomic_inc(&map_walks);
	return map_engine->walk(heap, pool, visitor, arg);
}

/* However the file is read, up to its end: each pool is looked at once. */
static void map_once(struct kunit *test)
{
	static const size_t pieces[] = { 100, SZ_64K };
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	struct chaos_engine *counting = chaos_test_buf(test, 1, sizeof(*counting));
	size_t i;

	for (i = 1; i < WALKED_POOLS; i++)
		KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(heap, chaos_test_vmem(test, SZ_256K),
							  SZ_256K), 0);
	map_engine = heap->engine;
	*counting = *heap->engine;
	counting->walk = map_count_walk;
	heap->engine = counting;
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		atomic_set(&map_walks, 0);
		see_read_by(test, heap, "map", pieces[i]);
		KUNIT_EXPECT_EQ(test, atomic_read(&map_walks), WALKED_POOLS);
	}
	heap->engine = map_engine;
	chaos_test_destroy(test, heap);
}

/*
 * What is left to see of a damaged heap is shown.  tlsf: the head of a block, whose size no block
 * can have.  mimalloc: the link of a free one, which ends the walk.  evl has nothing there.
 */
static void map_damaged(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap_at(test, SZ_1M, CHAOS_HARDENING_DEFAULT,
						     CHAOS_TRACK_CALLER);
	u64 *p[3], *word;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = chaos_heap_alloc(heap, 100, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	word = p[1];
	if (chaos_test_mimalloc(test))
		chaos_heap_free(heap, word);
	else
		word--;
	if (strcmp(chaos_test_engine(test)->name, "evl"))
		chaos_test_put_word(word, ~0ULL >> 1);
	KUNIT_EXPECT_TRUE(test, strstarts(see_read(test, heap, "map"), "pool 0 1048576 "));
	KUNIT_EXPECT_EQ(test, !!strstr(see_read(test, heap, "callers"), "# damaged: "),
			!!strcmp(chaos_test_engine(test)->name, "evl"));
}

/* ------------------------------ stats, classes ---------------------------- */

static void stats(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_4M);
	struct chaos_heap_stats s;
	void *p[20];
	char *text;
	size_t i;

	/* Nothing must be tidied up between two looks. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = chaos_heap_alloc(heap, 100, GFP_KERNEL);
	chaos_heap_free(heap, p[0]);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, SZ_8M, GFP_KERNEL | __GFP_NOWARN));
	text = see_read(test, heap, "stats");
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_TRUE(test, strstarts(text, "name kunit\n"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, s.allocator));
	KUNIT_EXPECT_EQ(test, see_value(text, "live_blocks"), ARRAY_SIZE(p) - 1);
	KUNIT_EXPECT_EQ(test, see_value(text, "failures"), 1);
	KUNIT_EXPECT_EQ(test, see_value(text, "hardening"), heap->hardening);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "\nnode -1\n"));
#define EXPECT_VALUE(field) KUNIT_EXPECT_EQ(test, see_value(text, #field), s.field)
	EXPECT_VALUE(pools);
	EXPECT_VALUE(pool_bytes);
	EXPECT_VALUE(meta_bytes);
	EXPECT_VALUE(max_bytes);
	EXPECT_VALUE(held_bytes);
	EXPECT_VALUE(peak_held_bytes);
	EXPECT_VALUE(live_bytes);
	EXPECT_VALUE(allocs);
	EXPECT_VALUE(local_frees);
	EXPECT_VALUE(foreign_frees);
	EXPECT_VALUE(pages);
	EXPECT_VALUE(abandoned_pages);
	EXPECT_VALUE(abandoned);
	EXPECT_VALUE(adopted);
	EXPECT_VALUE(grows);
	EXPECT_VALUE(returns);
	EXPECT_VALUE(bad_frees);
	for (i = 1; i < ARRAY_SIZE(p); i++)
		chaos_heap_free(heap, p[i]);
}

/* The line of the class of @block_size: live blocks, capacity, live bytes, pages, bytes */
static bool class_line(const char *text, size_t block_size, size_t v[5])
{
	char key[24];
	const char *line;

	snprintf(key, sizeof(key), "\n%zu ", block_size);
	line = strstr(text, key);
	return line && sscanf(line + strlen(key), "%zu %zu %zu %zu %zu", &v[0], &v[1], &v[2],
			      &v[3], &v[4]) == 5;
}

#define CLASSES_HEADING	"block_size live_blocks capacity live_bytes pages page_bytes\n"

static void classes(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_exact(chaos_test_heap(test, SZ_1M, 0));
	bool any = strcmp(chaos_test_engine(test)->name, "tlsf");
	size_t v[5], i;
	void *p[10], *large;
	char *text;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = chaos_heap_alloc(heap, 64, GFP_KERNEL);
	large = chaos_heap_alloc(heap, SZ_64K, GFP_KERNEL);
	text = see_read(test, heap, "classes");
	KUNIT_EXPECT_TRUE(test, strstarts(text, CLASSES_HEADING));
	KUNIT_EXPECT_EQ(test, chaos_heap_class_stats(heap, NULL, 0) > 0, any);
	if (!any) {
		KUNIT_EXPECT_NOT_NULL(test, strstr(text, "\n# none"));
	} else {
		KUNIT_ASSERT_TRUE(test, class_line(text, 64, v));
		KUNIT_EXPECT_EQ(test, v[0], ARRAY_SIZE(p));
		KUNIT_EXPECT_EQ(test, v[2], 64 * ARRAY_SIZE(p));
		KUNIT_EXPECT_GE(test, v[1], v[0]);
		KUNIT_EXPECT_LE(test, v[1] * 64, v[4]);
		KUNIT_EXPECT_GT(test, (v[1] + 1) * 64 + v[4] / 8, v[4]);
		KUNIT_EXPECT_GT(test, v[3], 0);
		/* Classes that nobody has used are not there. */
		KUNIT_EXPECT_FALSE(test, class_line(text, 32, v));
	}
	chaos_heap_free(heap, large);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		chaos_heap_free(heap, p[i]);
}

#ifdef CONFIG_FAULT_INJECTION
/* Without memory to count with, the file is not read, instead of saying that there is nothing. */
static void classes_fail(struct kunit *test)
{
	const struct chaos_faults before = chaos_faults;
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	char *text = chaos_test_buf(test, 1, SZ_4K);
	struct file *file = see_open(heap, "classes");
	ssize_t n;
	int i;

	if (PTR_ERR_OR_ZERO(file) == -ENOENT)
		kunit_skip(test, "debugfs is not mounted");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	for (i = 0; i < CHAOS_FAULTS; i++)
		chaos_faults.on[i] = i == CHAOS_FAULT_META;
	atomic_set(&chaos_faults.attr.times, -1);
	chaos_faults.attr.verbose = 0;
	chaos_faults.attr.probability = 100;
	n = see_read_file(file, text, SZ_4K, SZ_4K);
	chaos_faults = before;
	__fput_sync(file);
	if (strcmp(chaos_test_engine(test)->name, "tlsf"))
		KUNIT_EXPECT_EQ(test, n, -ENOMEM);
	else
		KUNIT_EXPECT_NOT_NULL(test, strstr(text, "\n# none"));
}
#endif

/* ---------------------------------- check --------------------------------- */

/* As a client would that KASAN does not see. */
static noinline __no_sanitize_address u8 see_flip(u8 *p)
{
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, READ_ONCE(*p) ^ 0x5a);
	return *p;
}

static void check(struct kunit *test)
{
	const struct chaos_heap_params params = {
		.name = "checked",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_1M,
		.node = NUMA_NO_NODE,
		.hardening = CHAOS_HARDENING_2,
	};
	struct chaos_heap *heap = chaos_test_create(test, &params);
	u8 *p = chaos_heap_alloc(heap, 100, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_STREQ(test, see_read(test, heap, "check"), "ok\n");
	see_flip(p + 100);
	KUNIT_EXPECT_TRUE(test, strstarts(see_read(test, heap, "check"), "damaged: -"));
	see_flip(p + 100);
	KUNIT_EXPECT_STREQ(test, see_read(test, heap, "check"), "ok\n");
	chaos_heap_free(heap, p);
}

/* --------------------------------- latency -------------------------------- */

struct calls {
	unsigned long long allocs;
	unsigned long long frees;
	unsigned long long longest;
	bool sound;
};

/* The sums of the histogram; each line has to follow the one before. */
static struct calls see_calls(struct kunit *test, struct chaos_heap *heap)
{
	char *text = see_read(test, heap, "latency"), *line;
	unsigned long long from, to, allocs, frees, last = 0;
	struct calls c = { .sound = strstarts(text, "ns_from ns_to allocs frees\n") };

	for (line = strchr(text, '\n') + 1; isdigit(*line); line = strchr(line, '\n') + 1) {
		c.sound &= sscanf(line, "%llu %llu %llu %llu\n", &from, &to, &allocs, &frees) == 4;
		c.sound &= from >= last && to >= from && allocs + frees;
		last = to + 1;
		c.allocs += allocs;
		c.frees += frees;
	}
	c.sound &= sscanf(line, "max %llu %llu\n", &allocs, &frees) == 2;
	c.longest = max(allocs, frees);
	c.sound &= !last || c.longest < last;
	return c;
}

static void expect_calls(struct kunit *test, struct chaos_heap *heap,
			 unsigned long long allocs, unsigned long long frees)
{
	struct calls c = see_calls(test, heap);

	KUNIT_EXPECT_TRUE(test, c.sound);
	KUNIT_EXPECT_EQ(test, c.allocs, allocs);
	KUNIT_EXPECT_EQ(test, c.frees, frees);
}

/* Each call once, from the first after it was switched on to the last before off. */
static void latency(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	void *p[12], *moved;

	p[0] = chaos_heap_alloc(heap, 64, GFP_KERNEL);
	expect_calls(test, heap, 0, 0);
	KUNIT_ASSERT_EQ(test, chaos_latency_on(heap), 0);
	expect_calls(test, heap, 0, 0);
	p[1] = chaos_heap_alloc(heap, 64, GFP_KERNEL);
	p[2] = chaos_heap_zalloc(heap, 64, GFP_ATOMIC);
	p[3] = chaos_heap_alloc_aligned(heap, 100, 256, GFP_KERNEL);
	p[4] = chaos_heap_alloc(heap, SZ_16K, GFP_KERNEL);
	p[5] = chaos_heap_alloc(heap, 0, GFP_KERNEL);
	expect_calls(test, heap, 4, 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_alloc_bulk(heap, 80, GFP_KERNEL, 6, p + 6), 6);
	expect_calls(test, heap, 10, 0);
	moved = chaos_heap_realloc(heap, p[1], SZ_32K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, moved);
	if (moved != p[1])
		expect_calls(test, heap, 11, 1);
	chaos_latency_reset(heap);
	expect_calls(test, heap, 0, 0);
	KUNIT_EXPECT_EQ(test, see_calls(test, heap).longest, 0);
	chaos_heap_free(heap, moved);
	chaos_heap_free_bulk(heap, 6, p + 6);
	chaos_heap_free(heap, p[2]);
	chaos_heap_free(heap, p[5]);
	chaos_heap_free(heap, NULL);
	expect_calls(test, heap, 0, 8);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(heap, SZ_8M, GFP_KERNEL | __GFP_NOWARN));
	expect_calls(test, heap, 1, 8);
	chaos_latency_off(heap);
	chaos_heap_free(heap, p[3]);
	chaos_heap_free(heap, p[4]);
	chaos_heap_free(heap, p[0]);
	expect_calls(test, heap, 1, 8);
	chaos_test_idle(test, heap, 0);
}

/* A call that takes long is counted as one. */
static void latency_long(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, SZ_8M);
	void *p;

	KUNIT_ASSERT_EQ(test, chaos_latency_on(heap), 0);
	/* This maps memory. */
	p = chaos_heap_alloc(heap, SZ_1M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_GT(test, see_calls(test, heap).longest, 1000);
	chaos_heap_free(heap, p);
	expect_calls(test, heap, 1, 1);
}

#define CROWD		4
#define CROWD_CALLS	(2000 / CHAOS_TEST_FEWER)

static void crowd_pair(void *heap)
{
	chaos_heap_free(heap, chaos_heap_alloc(heap, 48, GFP_ATOMIC | __GFP_NOWARN));
}

static void crowd_thread(struct chaos_test_thread *self)
{
	struct chaos_test_place here = { .hardirq = true };
	unsigned int i;

	for (i = 0; i < CROWD_CALLS; i++) {
		crowd_pair(self->arg);
		if (i % 100)
			continue;
		here.cpu = raw_smp_processor_id();
		chaos_test_at(&here, crowd_pair, self->arg);
	}
}

/* None is lost when tasks and interrupts of all CPUs count at once. */
static void latency_crowd(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_2M, 0);
	struct chaos_test_thread threads[CROWD];
	unsigned long long calls = CROWD * (CROWD_CALLS + DIV_ROUND_UP(CROWD_CALLS, 100));
	unsigned int i;

	KUNIT_ASSERT_EQ(test, chaos_latency_on(heap), 0);
	for (i = 0; i < CROWD; i++)
		threads[i] = (struct chaos_test_thread){
			.fn = crowd_thread, .arg = heap, .cpu = -1,
		};
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, CROWD), 0);
	expect_calls(test, heap, calls, calls);
	chaos_test_idle(test, heap, 0);
}

/**
 * struct nmi_calls - what NMIs have done
 * @heap: which they use
 * @allocs: requests
 * @frees: blocks they freed
 * @real: they were NMIs
 */
struct nmi_calls {
	struct chaos_heap *heap;
	unsigned int allocs;
	unsigned int frees;
	bool real;
};

static void nmi_calls(void *arg)
{
	struct nmi_calls *calls = arg;
	void *p = chaos_heap_alloc(calls->heap, 64, GFP_ATOMIC | __GFP_NOWARN);

	calls->real |= in_nmi();
	calls->allocs++;
	calls->frees += !!p;
	chaos_heap_free(calls->heap, p);
}

/* It may find the engine's lock taken, again and again. */
static bool nmi_has_freed(const struct nmi_calls *calls)
{
	return READ_ONCE(calls->allocs) &&
	       (READ_ONCE(calls->frees) || !READ_ONCE(calls->real));
}

/* None is lost when NMIs count in the middle of counting. */
static void latency_nmi(struct kunit *test)
{
	struct nmi_calls *calls = chaos_test_buf(test, 1, sizeof(*calls));
	struct chaos_test_nmi source = { .fn = nmi_calls, .arg = calls };
	unsigned long enough, end;
	unsigned int n;

	calls->heap = chaos_test_heap(test, SZ_1M, 0);
	KUNIT_ASSERT_EQ(test, chaos_latency_on(calls->heap), 0);
	chaos_test_bind(test);
	if (chaos_test_nmi_init(&source, 50))
		kunit_skip(test, "no NMIs here");
	chaos_test_nmi_start(&source);
	enough = jiffies + HZ / 2;
	end = jiffies + 30 * HZ;
	for (n = 0; time_before(jiffies, enough) ||
	     (!nmi_has_freed(calls) && time_before(jiffies, end)); n++)
		crowd_pair(calls->heap);
	chaos_test_nmi_stop(&source);
	chaos_test_nmi_exit(&source);
	if (!calls->real)
		kunit_skip(test, "no NMI came");
	KUNIT_EXPECT_GT(test, calls->frees, 0);
	expect_calls(test, calls->heap, n + calls->allocs, n + calls->frees);
	chaos_test_idle(test, calls->heap, 0);
}

/* ---------------------------- folders and readers ------------------------- */

static umode_t see_mode(struct chaos_heap *heap, const char *name)
{
	struct file *file = see_open(heap, name);
	umode_t mode = 0;

	if (!IS_ERR(file)) {
		mode = file_inode(file)->i_mode;
		if (!uid_eq(file_inode(file)->i_uid, GLOBAL_ROOT_UID))
			mode = 0;
		__fput_sync(file);
	}
	return mode;
}

static void permissions(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);

	KUNIT_ASSERT_NOT_NULL(test, heap->dir);
	KUNIT_EXPECT_EQ(test, d_inode(heap->dir)->i_mode, S_IFDIR | 0700);
	KUNIT_EXPECT_EQ(test, d_inode(heap->dir->d_parent)->i_mode, S_IFDIR | 0700);
	see_read(test, heap, "stats");
	KUNIT_EXPECT_EQ(test, see_mode(heap, "stats"), S_IFREG | 0400);
	KUNIT_EXPECT_EQ(test, see_mode(heap, "classes"), S_IFREG | 0400);
	KUNIT_EXPECT_EQ(test, see_mode(heap, "map"), S_IFREG | 0400);
	KUNIT_EXPECT_EQ(test, see_mode(heap, "check"), S_IFREG | 0400);
	KUNIT_EXPECT_EQ(test, see_mode(heap, "callers"), S_IFREG | 0400);
	KUNIT_EXPECT_EQ(test, see_mode(heap, "latency"), S_IFREG | 0600);
}

/* The number behind @name, which is all else of the folder's name. */
static unsigned long see_id(struct kunit *test, struct chaos_heap *heap, const char *name)
{
	unsigned long id = 0;
	const char *dir;

	KUNIT_ASSERT_NOT_NULL(test, heap->dir);
	dir = heap->dir->d_name.name;
	KUNIT_ASSERT_TRUE(test, strstarts(dir, name));
	KUNIT_EXPECT_EQ(test, kstrtoul(dir + strlen(name), 10, &id), 0);
	return id;
}

/* The name may be any, and not the only one; the number is. */
static void names(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "../a b\n/c",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_64K,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *one = chaos_test_create(test, &params);
	struct chaos_heap *two = chaos_test_create(test, &params);
	unsigned long id[2];

	id[0] = see_id(test, one, ".._a_b__c-");
	id[1] = see_id(test, two, ".._a_b__c-");
	KUNIT_EXPECT_EQ(test, id[1], id[0] + 1);
	/* In stats it is one line still. */
	KUNIT_EXPECT_TRUE(test, strstarts(see_read(test, one, "stats"),
					  "name ../a b\\012/c\nallocator "));
}

static const char * const see_files[] = {
	"stats", "classes", "map", "check", "callers", "latency",
};

/* A file that is open when the heap goes can be closed; but not be read any more. */
static void outlived(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_256K, 0);
	struct file *file[ARRAY_SIZE(see_files)];
	char *text = chaos_test_buf(test, 1, SZ_64K);
	unsigned int i, readable = 0;

	for (i = 0; i < ARRAY_SIZE(see_files); i++) {
		file[i] = see_open(heap, see_files[i]);
		if (PTR_ERR_OR_ZERO(file[i]) == -ENOENT)
			kunit_skip(test, "debugfs is not mounted");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file[i]);
		/* The map has something of its own from now on. */
		KUNIT_EXPECT_GT(test, see_read_file(file[i], text, 100, 50), 0);
	}
	chaos_test_destroy(test, heap);
	for (i = 0; i < ARRAY_SIZE(see_files); i++) {
		if (!debugfs_file_get(file[i]->f_path.dentry)) {
			readable++;
			debugfs_file_put(file[i]->f_path.dentry);
		}
		__fput_sync(file[i]);
	}
	KUNIT_EXPECT_EQ(test, readable, 0);
}

/**
 * struct visit - readers of a heap that comes and goes
 * @dir: the folder's name
 * @over: no more will come
 * @reads: files that were read
 * @bad: errors that ought not to be
 */
struct visit {
	char dir[64];
	bool over;
	atomic_t reads;
	atomic_t bad;
};

/* Read the file as debugfs does for user space. */
static void visit_file(struct visit *v, const char *name, char *text)
{
	struct file *file;
	ssize_t n = 0;
	char path[128];

	snprintf(path, sizeof(path), SEE_ROOT "/%s/%s", v->dir, name);
	file = filp_open(path, O_RDONLY, 0);
	if (IS_ERR(file))
		return;
	if (!debugfs_file_get(file->f_path.dentry)) {
		n = see_read_file(file, text, SZ_16K, 1000);
		debugfs_file_put(file->f_path.dentry);
		/* Nobody may have any block. */
		atomic_inc(n > 0 || (!n && !strcmp(name, "callers")) ? &v->reads : &v->bad);
	}
	__fput_sync(file);
}

static void visit_thread(struct chaos_test_thread *self)
{
	char *text = kvmalloc(SZ_16K, GFP_KERNEL);
	struct visit *v = self->arg;
	unsigned int i;

	for (i = self->nr; text && !READ_ONCE(v->over); i++) {
		visit_file(v, see_files[i % ARRAY_SIZE(see_files)], text);
		cond_resched();
	}
	kvfree(text);
}

#define VISIT_TURNS	(64 / min(CHAOS_TEST_FEWER, 4))

static void visited_thread(struct chaos_test_thread *self)
{
	struct visit *v = self->arg;
	struct chaos_heap_params params = {
		.name = "visited", .pool_size = SZ_256K, .node = NUMA_NO_NODE,
		.track = CHAOS_TRACK_CALLER,
	};
	struct chaos_heap *heap;
	unsigned int i;
	void *p;

	for (i = 0; i < VISIT_TURNS; i++) {
		params.allocator = chaos_test_engines[i % CHAOS_TEST_ENGINES].name;
		heap = chaos_heap_create(&params);
		if (IS_ERR(heap)) {
			atomic_inc(&v->bad);
			break;
		}
		/* It may be read half written: then there is no such file. */
		snprintf(v->dir, sizeof(v->dir), "%pd", heap->dir);
		chaos_latency_on(heap);
		p = chaos_heap_alloc(heap, 100 * i, GFP_KERNEL);
		if (i % 2)
			usleep_range(100, 2000);
		chaos_heap_free(heap, p);
		chaos_heap_destroy(heap);
	}
	WRITE_ONCE(v->over, true);
}

static void readers(struct kunit *test)
{
	struct visit *v = chaos_test_buf(test, 1, sizeof(*v));
	struct chaos_test_thread threads[4];
	unsigned int i;

	see_read(test, chaos_test_heap(test, SZ_256K, 0), "stats");
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		threads[i] = (struct chaos_test_thread){
			.fn = i ? visit_thread : visited_thread, .arg = v, .cpu = -1,
		};
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, ARRAY_SIZE(threads)), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&v->reads), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&v->bad), 0);
}

static struct kunit_case see_cases[] = {
	CHAOS_CASE(map_cells),
	CHAOS_CASE(map_full),
	CHAOS_CASE(map_guards),
	CHAOS_CASE(map_pools),
	CHAOS_CASE(map_once),
	CHAOS_CASE(map_damaged),
	CHAOS_CASE(stats),
	CHAOS_CASE(classes),
#ifdef CONFIG_FAULT_INJECTION
	CHAOS_CASE(classes_fail),
#endif
	CHAOS_CASE(check),
	CHAOS_CASE(latency),
	CHAOS_CASE(latency_long),
	CHAOS_CASE(latency_crowd),
	CHAOS_CASE(latency_nmi),
	CHAOS_CASE(permissions),
	CHAOS_CASE(names),
	CHAOS_CASE(outlived),
	KUNIT_CASE(readers),
	{}
};

static struct kunit_suite see_suite = {
	.name = "chaos_see",
	.test_cases = see_cases,
};

kunit_test_suites(&see_suite);
