/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What chaos_alloc.ko says about its heaps in debugfs, as it is read: one directory per
 * heap, with files of text.  A heap may go while its files are read, and a module of another
 * version may write other lines: what is not there is not known, and never an error.
 */
#ifndef _CHAOSTOP_HEAPS_H
#define _CHAOSTOP_HEAPS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Lines of "stats" that have a meaning here; the names are in heaps.c. */
enum figure {
	POOLS,
	POOL_BYTES,
	META_BYTES,
	MAX_BYTES,
	HELD_BYTES,
	PEAK_BYTES,
	LIVE_BLOCKS,
	LIVE_BYTES,
	ALLOCS,
	LOCAL_FREES,
	FOREIGN_FREES,
	FAILURES,
	BAD_FREES,
	NR_FIGURES
};

/**
 * struct heap - one heap, at one time
 * @dir: its directory, NAME-ID: no other heap has the same
 * @name: what its owner calls it
 * @engine: mimalloc, tlsf or evl
 * @known: bit N: there was a line for figure N, with a number
 * @figures: by enum figure
 * @when: when it was read, in seconds
 * @rates_known: there was an earlier reading, so
 * @allocs_per_s: blocks allocated since then, and
 * @frees_per_s: freed
 */
struct heap {
	char dir[NAME_MAX + 1];
	char name[NAME_MAX + 1];
	char engine[16];
	unsigned int known;
	unsigned long long figures[NR_FIGURES];
	double when;
	bool rates_known;
	double allocs_per_s;
	double frees_per_s;
};

struct heap_list {
	struct heap *heaps;
	size_t n;
};

/* A cell of a map that blocks cannot use; all others are 0 to CELL_FULL. */
#define CELL_FULL	255
#define CELL_UNUSABLE	256

/**
 * struct pool_map - how full one pool is, granule by granule
 * @index: its number
 * @bytes: its size
 * @granule: bytes that one cell stands for
 * @first: its first cell in the map
 * @cells: how many there are
 */
struct pool_map {
	unsigned long long index;
	unsigned long long bytes;
	unsigned long long granule;
	size_t first;
	size_t cells;
};

/**
 * struct heap_map - of all pools
 * @pools: of the heap
 * @nr_pools: how many
 * @cells: of all of them
 * @nr_cells: how many
 * @bad_lines: lines that could not be understood
 */
struct heap_map {
	struct pool_map *pools;
	size_t nr_pools;
	unsigned short *cells;
	size_t nr_cells;
	size_t bad_lines;
};

static inline bool heap_knows(const struct heap *heap, enum figure figure)
{
	return heap->known & 1U << figure;
}

int heaps_read(const char *root, struct heap_list *list);
void heaps_free(struct heap_list *list);
void heaps_rates(struct heap_list *now, const struct heap_list *before);
const struct heap *heaps_find(const struct heap_list *list, const char *name);

char *heap_text(const char *root, const struct heap *heap, const char *file);
int heap_map_read(const char *root, const struct heap *heap, struct heap_map *map);
void heap_map_free(struct heap_map *map);

bool next_line(char **text, char **line);
void make_printable(char *text);
void copy_printable(char *to, size_t size, const char *from);
void *grow_array(void *array, size_t n, size_t size);

#endif /* _CHAOSTOP_HEAPS_H */
