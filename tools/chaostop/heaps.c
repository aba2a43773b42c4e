// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "heaps.h"

/* Nothing that the module writes is longer: the map of a pool of 64 GiB would not be. */
#define TEXT_MAX	(64UL << 20)
#define CELLS_MAX	(32UL << 20)

static const char *const figure_names[NR_FIGURES] = {
	[POOLS] = "pools",
	[POOL_BYTES] = "pool_bytes",
	[META_BYTES] = "meta_bytes",
	[MAX_BYTES] = "max_bytes",
	[HELD_BYTES] = "held_bytes",
	[PEAK_BYTES] = "peak_held_bytes",
	[LIVE_BLOCKS] = "live_blocks",
	[LIVE_BYTES] = "live_bytes",
	[ALLOCS] = "allocs",
	[LOCAL_FREES] = "local_frees",
	[FOREIGN_FREES] = "foreign_frees",
	[FAILURES] = "failures",
	[BAD_FREES] = "bad_frees",
};

/* Makes room for one more: sizes are powers of two. */
void *grow_array(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	array = reallocarray(array, n ? 2 * n : 1, size);
	if (!array) {
		fputs("chaostop: out of memory\n", stderr);
		exit(1);
	}
	return array;
}

/* A name is the client's choice, and must not talk to the terminal. */
void make_printable(char *text)
{
	for (; *text; text++)
		if (*text == '\t')
			*text = ' ';
		else if (*text < ' ' || *text > '~')
			*text = '?';
}

void copy_printable(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	make_printable(to);
}

/* Cuts the next line off a text; false at its end. */
bool next_line(char **text, char **line)
{
	char *end;

	if (!**text)
		return false;
	*line = *text;
	end = strchrnul(*text, '\n');
	*text = *end ? end + 1 : end;
	*end = '\0';
	return true;
}

/* Files */

/* Reads all of a file; NULL with errno if there is no such file, or no more. */
static char *read_fd(int fd)
{
	size_t size = 0, room = 4096;
	char *text = malloc(room);
	ssize_t n = 0;

	while (text) {
		n = read(fd, text + size, room - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || size + n >= TEXT_MAX)
			break;
		size += n;
		if (room - size < 2048) {
			char *more = realloc(text, room *= 2);

			if (!more)
				free(text);
			text = more;
		}
	}
	if (!text)
		return NULL;
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

/* heap_text() - reads a file of a heap, to be freed; NULL with errno */
char *heap_text(const char *root, const struct heap *heap, const char *file)
{
	char path[PATH_MAX];
	char *text;
	int fd, err;

	if (snprintf(path, sizeof(path), "%s/%s/%s", root, heap->dir, file) >=
	    (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	text = read_fd(fd);
	err = errno;
	close(fd);
	errno = err;
	return text;
}

/* Statistics */

/* A decimal number and nothing else */
static bool parse_number(const char *text, unsigned long long *number)
{
	unsigned long long value;
	char *end;

	/* strtoull() takes signs and blanks. */
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		return false;
	*number = value;
	return true;
}

/* Cuts a line at its first space; returns what follows. */
static char *cut_word(char *line)
{
	char *rest = line + strcspn(line, " \t");

	if (*rest)
		*rest++ = '\0';
	rest += strspn(rest, " \t");
	rest[strcspn(rest, " \t")] = '\0';
	return rest;
}

static void parse_figure(struct heap *heap, char *line)
{
	char *value;
	int i;

	if (!strncmp(line, "name ", 5)) {
		copy_printable(heap->name, sizeof(heap->name), line + 5);
		return;
	}
	value = cut_word(line);
	if (!strcmp(line, "engine") || !strcmp(line, "allocator")) {
		copy_printable(heap->engine, sizeof(heap->engine), value);
		return;
	}
	for (i = 0; i < NR_FIGURES; i++)
		if (!strcmp(line, figure_names[i]) &&
		    parse_number(value, &heap->figures[i]))
			heap->known |= 1U << i;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Until there is a line that says it, the name is that of the directory, without ID. */
static void name_from_dir(struct heap *heap)
{
	char name[sizeof(heap->dir)];
	char *dash;

	snprintf(name, sizeof(name), "%s", heap->dir);
	dash = strrchr(name, '-');
	if (dash && dash != name)
		*dash = '\0';
	copy_printable(heap->name, sizeof(heap->name), name);
}

/* False if it is none, or has just gone. */
static bool heap_read(const char *root, const char *dir, struct heap *heap)
{
	char *text, *rest, *line;

	memset(heap, 0, sizeof(*heap));
	snprintf(heap->dir, sizeof(heap->dir), "%s", dir);
	name_from_dir(heap);
	copy_printable(heap->engine, sizeof(heap->engine), "?");

	text = heap_text(root, heap, "stats");
	heap->when = seconds();
	if (!text)
		return false;
	rest = text;
	while (next_line(&rest, &line))
		parse_figure(heap, line);
	free(text);
	return true;
}

/* heaps_read() - reads what is there; 0, or a negative errno if there is nothing to read */
int heaps_read(const char *root, struct heap_list *list)
{
	struct dirent *entry;
	DIR *dir;

	*list = (struct heap_list) { };
	dir = opendir(root);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		list->heaps = grow_array(list->heaps, list->n, sizeof(*list->heaps));
		if (heap_read(root, entry->d_name, &list->heaps[list->n]))
			list->n++;
	}
	closedir(dir);
	return 0;
}

void heaps_free(struct heap_list *list)
{
	free(list->heaps);
	*list = (struct heap_list) { };
}

/* heaps_find() - by directory, or by name if only one heap has it */
const struct heap *heaps_find(const struct heap_list *list, const char *name)
{
	const struct heap *found = NULL;
	size_t i;

	for (i = 0; i < list->n; i++)
		if (!strcmp(list->heaps[i].dir, name))
			return &list->heaps[i];
	for (i = 0; i < list->n; i++) {
		if (strcmp(list->heaps[i].name, name))
			continue;
		if (found)
			return NULL;
		found = &list->heaps[i];
	}
	return found;
}

static bool knows_counters(const struct heap *heap)
{
	return heap_knows(heap, ALLOCS) && heap_knows(heap, LOCAL_FREES);
}

static unsigned long long frees(const struct heap *heap)
{
	return heap->figures[LOCAL_FREES] + heap->figures[FOREIGN_FREES];
}

static double rate(unsigned long long now, unsigned long long before, double seconds)
{
	/* mimalloc's counters may be seen to step back a little. */
	return now > before ? (now - before) / seconds : 0;
}

/* heaps_rates() - what each heap has done since an earlier reading */
void heaps_rates(struct heap_list *now, const struct heap_list *before)
{
	size_t i, j;

	for (i = 0; i < now->n; i++) {
		struct heap *heap = &now->heaps[i];

		for (j = 0; j < before->n; j++)
			if (!strcmp(before->heaps[j].dir, heap->dir))
				break;
		if (j == before->n || heap->when <= before->heaps[j].when ||
		    !knows_counters(heap) || !knows_counters(&before->heaps[j]))
			continue;
		heap->rates_known = true;
		heap->allocs_per_s = rate(heap->figures[ALLOCS], before->heaps[j].figures[ALLOCS],
					  heap->when - before->heaps[j].when);
		heap->frees_per_s = rate(frees(heap), frees(&before->heaps[j]),
					 heap->when - before->heaps[j].when);
	}
}

/* Maps */

static bool parse_pool(struct heap_map *map, char *line)
{
	struct pool_map pool = { .first = map->nr_cells };
	char *index = line + strlen("pool ");
	char *bytes = index + strcspn(index, " ");
	char *granule;

	if (!*bytes)
		return false;
	*bytes++ = '\0';
	granule = cut_word(bytes);
	if (!parse_number(index, &pool.index) || !parse_number(bytes, &pool.bytes) ||
	    !parse_number(granule, &pool.granule) || !pool.granule)
		return false;
	map->pools = grow_array(map->pools, map->nr_pools, sizeof(*map->pools));
	map->pools[map->nr_pools++] = pool;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_cell(const char *text)
{
	if (text[0] == '-' && text[1] == '-')
		return CELL_UNUSABLE;
	if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0)
		return -1;
	return hex_digit(text[0]) * 16 + hex_digit(text[1]);
}

/* A row of cells, of the pool that was named last */
static bool parse_row(struct heap_map *map, const char *line)
{
	int cell;

	if (!map->nr_pools)
		return false;
	for (; *line; line += 2) {
		cell = parse_cell(line);
		if (cell < 0 || map->nr_cells == CELLS_MAX)
			return false;
		map->cells = grow_array(map->cells, map->nr_cells, sizeof(*map->cells));
		map->cells[map->nr_cells++] = cell;
		map->pools[map->nr_pools - 1].cells++;
	}
	return true;
}

/* heap_map_read() - 0, or a negative errno; to be freed in any case */
int heap_map_read(const char *root, const struct heap *heap, struct heap_map *map)
{
	char *text, *rest, *line;

	*map = (struct heap_map) { };
	text = heap_text(root, heap, "map");
	if (!text)
		return -errno;
	rest = text;
	while (next_line(&rest, &line)) {
		if (!strncmp(line, "pool ", 5) ? !parse_pool(map, line) : !parse_row(map, line))
			map->bad_lines++;
	}
	free(text);
	return 0;
}

void heap_map_free(struct heap_map *map)
{
	free(map->pools);
	free(map->cells);
	*map = (struct heap_map) { };
}
