// SPDX-License-Identifier: GPL-2.0
/*
 * A look into heaps: /sys/kernel/debug/chaos_alloc/NAME-ID/.
 *
 * Each heap has a folder from the end of its creation to the beginning of its
 * destruction.  debugfs_remove() waits for those who are reading a file, and lets
 * nobody in any more, so a reader has a heap that lives; he takes the locks that
 * chaos_heap_stats() takes, and whoever removes the folder holds none.  What a file
 * needs when it is closed is its own, because that may be later.
 *
 * As usual with debugfs, nothing depends on the files: it may be locked down, or out
 * of memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/ctype.h>
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "engine.h"
#include "grow.h"
#include "see.h"
#include "track.h"
#include "watch.h"

/* ---------------------------------- stats --------------------------------- */

static int chaos_stats_show(struct seq_file *m, void *unused)
{
	struct chaos_heap *heap = m->private;
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	seq_puts(m, "name ");
	seq_escape(m, stats.name, "\n\\");
	seq_printf(m, "\nallocator %s\n", stats.allocator);
	seq_printf(m, "hardening %u\n", heap->hardening);
	seq_printf(m, "node %d\n", heap->node);
	seq_printf(m, "pools %u\n", stats.pools);
	seq_printf(m, "pool_bytes %zu\n", stats.pool_bytes);
	seq_printf(m, "meta_bytes %zu\n", stats.meta_bytes);
	seq_printf(m, "max_bytes %zu\n", stats.max_bytes);
	seq_printf(m, "held_bytes %zu\n", stats.held_bytes);
	seq_printf(m, "peak_held_bytes %zu\n", stats.peak_held_bytes);
	seq_printf(m, "live_blocks %zu\n", stats.live_blocks);
	seq_printf(m, "live_bytes %zu\n", stats.live_bytes);
	seq_printf(m, "allocs %llu\n", stats.allocs);
	seq_printf(m, "local_frees %llu\n", stats.local_frees);
	seq_printf(m, "foreign_frees %llu\n", stats.foreign_frees);
	seq_printf(m, "pages %zu\n", stats.pages);
	seq_printf(m, "abandoned_pages %zu\n", stats.abandoned_pages);
	seq_printf(m, "abandoned %llu\n", stats.abandoned);
	seq_printf(m, "adopted %llu\n", stats.adopted);
	seq_printf(m, "grows %lu\n", stats.grows);
	seq_printf(m, "returns %lu\n", stats.returns);
	seq_printf(m, "failures %lu\n", stats.failures);
	seq_printf(m, "bad_frees %lu\n", stats.bad_frees);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(chaos_stats);

/* --------------------------------- classes -------------------------------- */

static void chaos_classes_print(struct seq_file *m, const struct chaos_class_stats *class,
				size_t n)
{
	for (; n; n--, class++) {
		/* What has never been used is of no interest. */
		if (class->peak_pages)
			seq_printf(m, "%zu %zu %zu %zu %zu %zu\n", class->block_size,
				   class->live_blocks, class->capacity, class->live_bytes,
				   class->pages, class->page_bytes);
	}
}

static int chaos_classes_show(struct seq_file *m, void *unused)
{
	struct chaos_heap *heap = m->private;
	struct chaos_class_stats *classes;
	size_t n;

	seq_puts(m, "block_size live_blocks capacity live_bytes pages page_bytes\n");
	if (!heap->engine->class_stats) {
		seq_puts(m, "# none: blocks of all sizes lie side by side\n");
		return 0;
	}
	n = chaos_heap_class_stats(heap, NULL, 0);
	classes = n ? chaos_meta_alloc(n * sizeof(*classes), NUMA_NO_NODE) : NULL;
	if (!classes)
		return -ENOMEM;
	n = min(n, chaos_heap_class_stats(heap, classes, n));
	chaos_classes_print(m, classes, n);
	kvfree(classes);
	return n ? 0 : -ENOMEM;
}
DEFINE_SHOW_ATTRIBUTE(chaos_classes);

/* ----------------------------------- map ---------------------------------- */

#define CHAOS_MAP_COLUMNS	64

/*
 * Where the engine does not say what a cell is: as small as this, unless the pool has
 * more than so many of them.
 */
#define CHAOS_CELL_MIN		4096UL
#define CHAOS_CELLS_SHIFT	16

/* In chaos_map.used: no block can be there. */
#define CHAOS_CELL_NONE		U32_MAX

/**
 * struct chaos_map - an open map file
 * @heap: of that heap
 * @index: which of its pools is looked at, from 0
 * @first: number of the line that this pool begins with
 * @lines: how many lines it has; 0: none has been looked at
 * @line: which of them is printed next
 * @start: its address
 * @size: its bytes
 * @shift: log2 of a cell's bytes
 * @used: for each cell, bytes that are in use
 *
 * A pool is looked at as a whole, and then printed without a lock: between two reads,
 * pools may come and go.
 */
struct chaos_map {
	struct chaos_heap *heap;
	unsigned int index;
	loff_t first;
	loff_t lines;
	loff_t line;
	unsigned long start;
	size_t size;
	unsigned int shift;
	u32 *used;
};

static size_t chaos_map_cells(const struct chaos_map *map)
{
	return map->size >> map->shift;
}

static size_t chaos_map_cell(const struct chaos_heap *heap, const struct chaos_pool *pool)
{
	if (heap->engine->cell)
		return heap->engine->cell(pool);
	return clamp(roundup_pow_of_two(pool->size) >> CHAOS_CELLS_SHIFT,
		     CHAOS_CELL_MIN, CHAOS_UNIT_SIZE);
}

/* One block: its bytes in each cell that it lies in. */
static bool chaos_map_block(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct chaos_map *map = arg;
	size_t at = (unsigned long)p - map->start - heap->engine->header;
	size_t end, left;

	/* A damaged heap may have blocks of any size. */
	if (at >= map->size)
		return true;
	left = min(size + heap->engine->header, map->size - at);
	for (; left; at = end) {
		end = min(ALIGN(at + 1, 1UL << map->shift), at + left);
		map->used[at >> map->shift] += end - at;
		left -= end - at;
	}
	return true;
}

static void chaos_map_unusable(struct chaos_map *map, const struct chaos_pool *pool)
{
	size_t at = 0;

	if (!map->heap->engine->next_unusable)
		return;
	for (;; at += 1UL << map->shift) {
		at = map->heap->engine->next_unusable(pool, at);
		if (at >= map->size)
			break;
		map->used[at >> map->shift] = CHAOS_CELL_NONE;
	}
}

static struct chaos_pool *chaos_nth_pool(struct chaos_heap *heap, unsigned int index)
{
	struct chaos_pool *pool;

	lockdep_assert_held(&heap->mutex);
	list_for_each_entry(pool, &heap->pools, node)
		if (!index--)
			return pool;
	return NULL;
}

/* Look at the pool: 1, 0 if there is none of this number, or -errno. */
static int chaos_map_look(struct chaos_map *map)
{
	struct chaos_heap *heap = map->heap;
	struct chaos_pool *pool = chaos_nth_pool(heap, map->index);
	int err;

	kvfree(map->used);
	map->used = NULL;
	map->lines = 0;
	if (!pool)
		return 0;
	map->start = pool->start;
	map->size = pool->size;
	map->shift = ilog2(chaos_map_cell(heap, pool));
	map->used = chaos_meta_alloc(chaos_map_cells(map) * sizeof(*map->used),
				     NUMA_NO_NODE);
	if (!map->used)
		return -ENOMEM;
	err = heap->engine->walk(heap, pool, chaos_map_block, map);
	/* What can be seen of a damaged heap is worth seeing. */
	if (err && err != -EUCLEAN)
		return err;
	chaos_map_unusable(map, pool);
	map->lines = 1 + DIV_ROUND_UP(chaos_map_cells(map), CHAOS_MAP_COLUMNS);
	return 1;
}

static int chaos_map_load(struct chaos_map *map, unsigned int index, loff_t first)
{
	unsigned int noio;
	int found;

	map->index = index;
	map->first = first;
	chaos_san_settle(map->heap);
	noio = chaos_heap_lock_cpus(map->heap);
	found = chaos_map_look(map);
	chaos_heap_unlock_cpus(map->heap, noio);
	return found;
}

/* Have the pool at hand that line @pos is about. */
static void *chaos_map_start(struct seq_file *m, loff_t *pos)
{
	struct chaos_map *map = m->private;
	int found = 1;

	if (*pos < map->first)
		found = chaos_map_load(map, 0, 0);
	else if (!map->lines)	/* none yet, or the end, or an error: from there on */
		found = chaos_map_load(map, map->index, map->first);
	while (found > 0 && *pos >= map->first + map->lines)
		found = chaos_map_load(map, map->index + 1, map->first + map->lines);
	if (found < 0)
		return ERR_PTR(found);
	map->line = *pos - map->first;
	return found ? map : NULL;
}

static void *chaos_map_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return chaos_map_start(m, pos);
}

static void chaos_map_stop(struct seq_file *m, void *v)
{
}

static void chaos_map_print_cell(struct seq_file *m, const struct chaos_map *map, u32 used)
{
	u64 share = DIV_ROUND_UP_ULL((u64)used * U8_MAX, 1UL << map->shift);

	if (used == CHAOS_CELL_NONE)
		seq_puts(m, "--");
	else	/* What changed hands meanwhile may have been counted twice. */
		seq_printf(m, "%02llx", min_t(u64, share, U8_MAX));
}

static void chaos_map_print_row(struct seq_file *m, const struct chaos_map *map, size_t row)
{
	size_t cell = row * CHAOS_MAP_COLUMNS;
	size_t end = min(cell + CHAOS_MAP_COLUMNS, chaos_map_cells(map));

	for (; cell < end; cell++)
		chaos_map_print_cell(m, map, map->used[cell]);
	seq_putc(m, '\n');
}

static int chaos_map_show(struct seq_file *m, void *v)
{
	const struct chaos_map *map = v;

	if (map->line)
		chaos_map_print_row(m, map, map->line - 1);
	else
		seq_printf(m, "pool %u %zu %lu\n", map->index, map->size, 1UL << map->shift);
	return 0;
}

static const struct seq_operations chaos_map_ops = {
	.start	= chaos_map_start,
	.next	= chaos_map_next,
	.stop	= chaos_map_stop,
	.show	= chaos_map_show,
};

static int chaos_map_open(struct inode *inode, struct file *file)
{
	struct chaos_map *map = __seq_open_private(file, &chaos_map_ops, sizeof(*map));

	if (!map)
		return -ENOMEM;
	map->heap = inode->i_private;
	return 0;
}

/* The heap may be gone. */
static int chaos_map_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;
	struct chaos_map *map = m->private;

	kvfree(map->used);
	return seq_release_private(inode, file);
}

static const struct file_operations chaos_map_fops = {
	.owner		= THIS_MODULE,
	.open		= chaos_map_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= chaos_map_release,
};

/* ---------------------------------- check --------------------------------- */

static int chaos_check_show(struct seq_file *m, void *unused)
{
	int err = chaos_heap_check(m->private);

	if (err == -ENOMEM)
		return err;
	if (err)
		seq_printf(m, "damaged: %pe\n", ERR_PTR(err));
	else
		seq_puts(m, "ok\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(chaos_check);

/* --------------------------------- callers -------------------------------- */

static int chaos_callers_file_show(struct seq_file *m, void *unused)
{
	int err = chaos_callers_show(m, m->private);

	if (err != -EUCLEAN)
		return err;
	seq_puts(m, "# damaged: not all blocks could be looked at\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(chaos_callers_file);

/* --------------------------------- latency -------------------------------- */

/* The most ns that are counted with those of bucket @i. */
static u64 chaos_latency_end_of(unsigned int i)
{
	return i ? U64_MAX >> (64 - i) : 0;
}

static void chaos_latency_print(struct seq_file *m, const struct chaos_latency *sum)
{
	unsigned int i;

	for (i = 0; i < CHAOS_LATENCIES; i++) {
		const u64 *calls = sum->calls[i];

		if (calls[CHAOS_CALL_ALLOC] || calls[CHAOS_CALL_FREE])
			seq_printf(m, "%llu %llu %llu %llu\n",
				   i ? chaos_latency_end_of(i - 1) + 1 : 0,
				   chaos_latency_end_of(i), calls[CHAOS_CALL_ALLOC],
				   calls[CHAOS_CALL_FREE]);
	}
}

static int chaos_latency_show(struct seq_file *m, void *unused)
{
	unsigned long max[CHAOS_CALLS];
	struct chaos_latency *sum;

	sum = chaos_meta_alloc(sizeof(*sum), NUMA_NO_NODE);
	if (!sum)
		return -ENOMEM;
	chaos_latency_read(m->private, sum, max);
	seq_puts(m, "ns_from ns_to allocs frees\n");
	chaos_latency_print(m, sum);
	seq_printf(m, "max %lu %lu\n", max[CHAOS_CALL_ALLOC], max[CHAOS_CALL_FREE]);
	kvfree(sum);
	return 0;
}

static int chaos_latency_open(struct inode *inode, struct file *file)
{
	return single_open(file, chaos_latency_show, inode->i_private);
}

static ssize_t chaos_latency_write(struct file *file, const char __user *text, size_t n,
				   loff_t *pos)
{
	struct seq_file *m = file->private_data;
	char word[8] = "";
	int err = 0;

	if (n >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, text, n))
		return -EFAULT;
	if (sysfs_streq(word, "1"))
		err = chaos_latency_on(m->private);
	else if (sysfs_streq(word, "0"))
		chaos_latency_off(m->private);
	else if (sysfs_streq(word, "reset"))
		chaos_latency_reset(m->private);
	else
		err = -EINVAL;
	return err ?: n;
}

static const struct file_operations chaos_latency_fops = {
	.owner		= THIS_MODULE,
	.open		= chaos_latency_open,
	.read		= seq_read,
	.write		= chaos_latency_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

/* --------------------------------- folders -------------------------------- */

/* /sys/kernel/debug/chaos_alloc, NULL, or an error pointer */
static struct dentry *chaos_see_dir;

/* debugfs makes folders that all may enter; this one is empty yet. */
static struct dentry *chaos_see_mkdir(const char *name, struct dentry *parent)
{
	struct dentry *dir = debugfs_create_dir(name, parent);

	if (!IS_ERR(dir))
		d_inode(dir)->i_mode = S_IFDIR | 0700;
	return dir;
}

/* What clients call their heaps can be anything. */
static void chaos_see_name(const struct chaos_heap *heap, char *name, size_t size)
{
	static atomic64_t last_id = ATOMIC64_INIT(0);
	char *c;

	snprintf(name, size, "%s-%lld", heap->name, atomic64_inc_return(&last_id));
	for (c = name; *c; c++)
		if (!isascii(*c) || (!isalnum(*c) && !strchr("-_.+:@", *c)))
			*c = '_';
}

void chaos_see_add(struct chaos_heap *heap)
{
	char name[CHAOS_NAME_LEN + 24];
	struct dentry *dir;

	if (IS_ERR_OR_NULL(chaos_see_dir))
		return;
	chaos_see_name(heap, name, sizeof(name));
	dir = chaos_see_mkdir(name, chaos_see_dir);
	if (IS_ERR(dir))
		return;
	heap->dir = dir;
	debugfs_create_file("stats", 0400, dir, heap, &chaos_stats_fops);
	debugfs_create_file("classes", 0400, dir, heap, &chaos_classes_fops);
	debugfs_create_file("map", 0400, dir, heap, &chaos_map_fops);
	debugfs_create_file("check", 0400, dir, heap, &chaos_check_fops);
	debugfs_create_file("callers", 0400, dir, heap, &chaos_callers_file_fops);
	debugfs_create_file("latency", 0600, dir, heap, &chaos_latency_fops);
}

void chaos_see_remove(struct chaos_heap *heap)
{
	debugfs_remove(heap->dir);
}

void __init chaos_see_start(void)
{
	chaos_see_dir = chaos_see_mkdir("chaos_alloc", NULL);
}

void chaos_see_stop(void)
{
	debugfs_remove(chaos_see_dir);
}
