// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "view.h"

#define CELL_TEXT	(NAME_MAX + 1)

/* Numbers */

/* In five characters: 99999, 1.5M; by 1024 for bytes and by 1000 for counts */
static void format_scaled(char *to, size_t size, double value, unsigned int step,
			  const char *units)
{
	for (; value >= (step == 1024 ? 999.5 : 99999.5) && *units; units++) {
		value /= step;
		/* Counts are in full as long as they fit; then they are not. */
		while (step == 1000 && value >= 999.5 && units[1]) {
			value /= step;
			units++;
		}
		if (value < 99.95 || !units[1]) {
			snprintf(to, size, "%.1f%c", value, *units);
			return;
		}
		if (value < 999.5) {
			snprintf(to, size, "%.0f%c", value, *units);
			return;
		}
	}
	snprintf(to, size, "%.0f", value);
}

static void format_bytes(char *to, size_t size, const struct view *view, unsigned long long bytes)
{
	if (view->exact)
		snprintf(to, size, "%llu", bytes);
	else
		format_scaled(to, size, bytes, 1024, "KMGTPE");
}

static void format_count(char *to, size_t size, const struct view *view, unsigned long long count)
{
	if (view->exact)
		snprintf(to, size, "%llu", count);
	else
		format_scaled(to, size, count, 1000, "kMGTPE");
}

static void format_rate(char *to, size_t size, const struct heap *heap, double rate)
{
	if (!heap->rates_known)
		snprintf(to, size, "-");
	else if (rate > 0 && rate < 9.95)
		snprintf(to, size, "%.1f", rate);
	else
		format_scaled(to, size, rate, 1000, "kMGTPE");
}

static bool knows_use(const struct heap *heap)
{
	return heap_knows(heap, LIVE_BYTES) && heap_knows(heap, POOL_BYTES) &&
	       heap->figures[POOL_BYTES];
}

/* Which part of its pools are live blocks, in percent */
static double use(const struct heap *heap)
{
	if (!knows_use(heap))
		return 0;
	return 100.0 * heap->figures[LIVE_BYTES] / heap->figures[POOL_BYTES];
}

/* A bar of what is live (#), held but not live (+), and free (.) */
static void format_bar(char *to, unsigned int width, const struct heap *heap)
{
	double pool = heap->figures[POOL_BYTES], live = heap->figures[LIVE_BYTES];
	double held = heap_knows(heap, HELD_BYTES) ? heap->figures[HELD_BYTES] : live;
	unsigned int i;

	memset(to, ' ', width);
	to[width] = '\0';
	if (!knows_use(heap))
		return;
	for (i = 0; i < width; i++) {
		/* Half of a character is one; and nothing live is none at all. */
		double at = (i + 0.5) / width * pool;

		to[i] = at < live ? '#' : at < held ? '+' : '.';
	}
	if (live > 0 && to[0] != '#')
		to[0] = '#';
}

/* Columns */

enum { NAME, ENGINE, BLOCKS, LIVE, MEMORY, PEAK, MAX, POOL_COUNT, ALLOC_RATE, FREE_RATE, FAILS,
	USE, BAR, NR_COLUMNS };

#define NAME_MIN	10
#define BAR_MIN		10
#define BAR_MAX		30

/**
 * struct column - of the list
 * @title: above it, and after -s
 * @key: sorts by it; 0: nothing to sort by
 * @width: at least, so that it does not come and go with the figures
 * @goes: on a narrow terminal, that with the lowest number goes first; 0 stays
 * @bytes: @figure is one of bytes
 * @figure: what it shows, or NR_FIGURES if that is no figure
 */
struct column {
	const char *title;
	char key;
	unsigned int width;
	unsigned int goes;
	bool bytes;
	enum figure figure;
};

static const struct column columns[NR_COLUMNS] = {
	[NAME] = { "NAME", 'n', NAME_MIN, 0, false, NR_FIGURES },
	[ENGINE] = { "ENGINE", 'e', 8, 6, false, NR_FIGURES },
	[BLOCKS] = { "BLOCKS", 'b', 6, 8, false, LIVE_BLOCKS },
	[LIVE] = { "LIVE", 'l', 5, 0, true, LIVE_BYTES },
	[MEMORY] = { "MEMORY", 'm', 6, 10, true, POOL_BYTES },
	[PEAK] = { "PEAK", 'p', 5, 3, true, PEAK_BYTES },
	[MAX] = { "MAX", 'x', 5, 2, true, MAX_BYTES },
	[POOL_COUNT] = { "POOLS", 'o', 5, 1, false, POOLS },
	[ALLOC_RATE] = { "ALLOC/S", 'a', 7, 7, false, NR_FIGURES },
	[FREE_RATE] = { "FREE/S", 'f', 6, 4, false, NR_FIGURES },
	[FAILS] = { "FAILS", 'i', 5, 9, false, FAILURES },
	[USE] = { "USE%", 'u', 5, 0, false, NR_FIGURES },
	[BAR] = { "", 0, BAR_MIN, 5, false, NR_FIGURES },
};

/* find_column() - by title, or by key; negative if there is none */
int find_column(const char *name)
{
	int i;

	for (i = 0; i < NR_COLUMNS; i++)
		if (columns[i].key && !strcasecmp(name, columns[i].title))
			return i;
	return name[0] && !name[1] ? find_column_key(name[0]) : -1;
}

int find_column_key(int key)
{
	int i;

	for (i = 0; i < NR_COLUMNS; i++)
		if (columns[i].key && columns[i].key == key)
			return i;
	return -1;
}

/* print_columns() - their keys, for help */
void print_columns(FILE *out)
{
	int i;

	for (i = 0; i < NR_COLUMNS; i++)
		if (columns[i].key)
			fprintf(out, "%s%c %s", i ? ", " : "", columns[i].key, columns[i].title);
	fputc('\n', out);
}

/* The text of a cell, except that of the bar, which takes the width that is left. */
static void format_cell(char *to, size_t size, const struct view *view, int column,
			const struct heap *heap)
{
	enum figure figure = columns[column].figure;

	if (column == NAME)
		snprintf(to, size, "%s", heap->name);
	else if (column == ENGINE)
		snprintf(to, size, "%s", heap->engine);
	else if (column == ALLOC_RATE)
		format_rate(to, size, heap, heap->allocs_per_s);
	else if (column == FREE_RATE)
		format_rate(to, size, heap, heap->frees_per_s);
	else if (column == USE && knows_use(heap))
		snprintf(to, size, "%.1f", use(heap));
	else if (column == BAR)
		*to = '\0';
	else if (figure == NR_FIGURES || !heap_knows(heap, figure))
		snprintf(to, size, "?");
	else if (columns[column].bytes)
		format_bytes(to, size, view, heap->figures[figure]);
	else
		format_count(to, size, view, heap->figures[figure]);
}

/* Sorting */

/* qsort() has no argument for it. */
static const struct view *sort_view;

static double sort_value(const struct heap *heap, int column)
{
	switch (column) {
	case ALLOC_RATE:
		return heap->allocs_per_s;
	case FREE_RATE:
		return heap->frees_per_s;
	case USE:
		return use(heap);
	default:
		return heap->figures[columns[column].figure];
	}
}

static int compare_column(const struct heap *a, const struct heap *b, int column)
{
	double x, y;

	/* Words from A on, numbers from the greatest on */
	if (column == NAME)
		return strcmp(a->name, b->name);
	if (column == ENGINE)
		return strcmp(a->engine, b->engine);
	x = sort_value(a, column);
	y = sort_value(b, column);
	return (x < y) - (x > y);
}

static int compare_heaps(const void *a, const void *b)
{
	const struct heap *x = a, *y = b;
	int order = compare_column(x, y, sort_view->sort);

	if (sort_view->reverse)
		order = -order;
	return order ?: strcmp(x->dir, y->dir);
}

void sort_heaps(const struct view *view, struct heap_list *list)
{
	sort_view = view;
	if (list->n)
		qsort(list->heaps, list->n, sizeof(*list->heaps), compare_heaps);
}

/* The list */

/* Widths that show all; then what a narrow terminal has no room for goes. */
static void fit_columns(const struct view *view, const struct heap_list *list,
			unsigned int *widths)
{
	char text[CELL_TEXT];
	unsigned int total, goes;
	size_t h;
	int i;

	for (i = 0; i < NR_COLUMNS; i++) {
		widths[i] = columns[i].width;
		for (h = 0; h < list->n; h++) {
			format_cell(text, sizeof(text), view, i, &list->heaps[h]);
			if (strlen(text) > widths[i])
				widths[i] = strlen(text);
		}
	}
	if (view->width == ANY_WIDTH)
		return;

	for (goes = 1; ; goes++) {
		/* Long names are cut before anything goes. */
		total = NAME_MIN;
		for (i = NAME + 1; i < NR_COLUMNS; i++)
			total += widths[i] ? widths[i] + 1 : 0;
		if (total <= view->width || goes > NR_COLUMNS)
			break;
		for (i = 0; i < NR_COLUMNS; i++)
			if (columns[i].goes == goes)
				widths[i] = 0;
	}
	total -= NAME_MIN;
	if (total + widths[NAME] > view->width)
		widths[NAME] = total + NAME_MIN < view->width ? view->width - total : NAME_MIN;
	/* What is left makes the bar longer. */
	total += widths[NAME];
	if (widths[BAR] && total < view->width) {
		widths[BAR] += view->width - total;
		if (widths[BAR] > BAR_MAX)
			widths[BAR] = BAR_MAX;
	}
}

static void print_cell(FILE *out, int column, unsigned int width, const char *text)
{
	if (!width)
		return;
	if (column == NAME)
		fprintf(out, "%-*.*s", (int)width, (int)width, text);
	else if (column == ENGINE)
		fprintf(out, " %-*s", (int)width, text);
	else
		fprintf(out, " %*s", (int)width, text);
}

static void print_titles(FILE *out, const struct view *view, const unsigned int *widths)
{
	char title[16];
	int i;

	for (i = 0; i < NR_COLUMNS; i++) {
		/* The one that rows are sorted by has a mark, where there is room. */
		snprintf(title, sizeof(title), "%s", columns[i].title);
		if (i == view->sort && strlen(title) < widths[i] && i > ENGINE)
			snprintf(title, sizeof(title), "*%s", columns[i].title);
		if (*title)
			print_cell(out, i, widths[i], title);
	}
	fputc('\n', out);
}

static void print_row(FILE *out, const struct view *view, const struct heap *heap,
		      const unsigned int *widths)
{
	char text[CELL_TEXT];
	int i;

	for (i = 0; i < NR_COLUMNS; i++) {
		if (i == BAR)
			format_bar(text, widths[i], heap);
		else
			format_cell(text, sizeof(text), view, i, heap);
		print_cell(out, i, widths[i], text);
	}
	fputc('\n', out);
}

static void print_totals(FILE *out, const struct view *view, const struct heap_list *list)
{
	unsigned long long pool = 0, live = 0, failures = 0, bad = 0;
	char pool_text[24], live_text[24];
	size_t i;

	for (i = 0; i < list->n; i++) {
		pool += list->heaps[i].figures[POOL_BYTES];
		live += list->heaps[i].figures[LIVE_BYTES];
		failures += list->heaps[i].figures[FAILURES];
		bad += list->heaps[i].figures[BAD_FREES];
	}
	format_bytes(pool_text, sizeof(pool_text), view, pool);
	format_bytes(live_text, sizeof(live_text), view, live);
	fprintf(out, "chaos_alloc: %zu heap%s, %s in pools, %s live (%.1f%%)", list->n,
		list->n == 1 ? "" : "s", pool_text, live_text, pool ? 100.0 * live / pool : 0);
	fprintf(out, ", %llu failures, %llu bad frees\n\n", failures,
		bad);
}

/* print_list() - a line for each heap, below LIST_HEADING lines */
void print_list(FILE *out, const struct view *view, const struct heap_list *list)
{
	unsigned int widths[NR_COLUMNS];
	size_t i;

	fit_columns(view, list, widths);
	print_totals(out, view, list);
	print_titles(out, view, widths);
	for (i = 0; i < list->n; i++)
		print_row(out, view, &list->heaps[i], widths);
}

/* One heap */

#define MAP_WIDTH	64	/* where the width is not known: a row of the file */
#define MAP_ROWS	8	/* of one pool, at most */

/* A word of a line, and the line behind it; NULL at its end */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " \t");
	char *end = word + strcspn(word, " \t");

	if (!*word)
		return NULL;
	*line = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

#define TABLE_COLUMNS	16

/* Widths of the columns of a table */
static void fit_table(const char *text, int *widths)
{
	int width = 0, column = 0;

	memset(widths, 0, TABLE_COLUMNS * sizeof(*widths));
	for (; *text; text++) {
		if (*text == '\n') {
			column = 0;
		} else if (*text != ' ' && *text != '\t') {
			width = strcspn(text, " \t\n");
			if (column < TABLE_COLUMNS && width > widths[column])
				widths[column] = width;
			column++;
			text += width - 1;
		}
	}
}

static unsigned int count_lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/*
 * A file of words in columns, of at least so many lines, or there is nothing to tell; what begins
 * with # is a remark.
 */
static void print_table(FILE *out, const char *title, char *text, unsigned int lines)
{
	int widths[TABLE_COLUMNS];
	char *line, *word;
	int column;

	if (!text || count_lines(text) < lines) {
		free(text);
		return;
	}
	fit_table(text, widths);
	fprintf(out, "\n%s\n", title);
	for (char *rest = text; next_line(&rest, &line); ) {
		make_printable(line);
		if (*line == '#')
			fprintf(out, "  %s", line);
		for (column = 0; *line != '#' && (word = next_word(&line)); column++)
			fprintf(out, "  %*s", column < TABLE_COLUMNS ? widths[column] : 0, word);
		fputc('\n', out);
	}
	free(text);
}

/*
 * A cell of the picture.  Only what is empty looks empty, and only what is full looks full:
 * what is in between is what one wants to see.
 */
static const char *cell_picture(const struct view *view, double fullness)
{
	static const char *const blocks[] = {
		"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"
	};
	static const char *const ascii[] = { ".", ":", "-", "=", "+", "*", "%", "&", "#" };
	int level;

	if (fullness <= 0)
		level = 0;
	else if (fullness >= CELL_FULL)
		level = 8;
	else
		level = 1 + (int)(fullness * 7 / CELL_FULL);
	return view->blocks ? blocks[level] : ascii[level];
}

/* Cells [first, first + n) as one */
static void print_cells(FILE *out, const struct view *view, const unsigned short *cells, size_t n)
{
	size_t usable = 0, i;
	double sum = 0;

	for (i = 0; i < n; i++) {
		if (cells[i] == CELL_UNUSABLE)
			continue;
		usable++;
		sum += cells[i];
	}
	fputs(usable ? cell_picture(view, sum / usable) : "x", out);
}

static void print_pool(FILE *out, const struct view *view, const struct heap_map *map,
		       const struct pool_map *pool)
{
	size_t width = view->width == ANY_WIDTH ? MAP_WIDTH + 2 : view->width;
	size_t each, i, column = 0;
	char bytes[24], granule[24];

	/* The margin; and not too wide for the eye. */
	width = width > 4 ? width - 2 : 2;
	if (width > 2 * MAP_WIDTH)
		width = 2 * MAP_WIDTH;
	else if (width > MAP_WIDTH)
		width = MAP_WIDTH;
	each = (pool->cells + width * MAP_ROWS - 1) / (width * MAP_ROWS);
	format_bytes(bytes, sizeof(bytes), view, pool->bytes);
	format_bytes(granule, sizeof(granule), view, each * pool->granule);
	fprintf(out, "\nPool %llu: %s, each cell %s\n", pool->index, bytes,
		granule);
	for (i = 0; i < pool->cells; i += each) {
		if (!column)
			fputs("  ", out);
		print_cells(out, view, map->cells + pool->first + i,
			    pool->cells - i < each ? pool->cells - i : each);
		if (++column == width) {
			fputc('\n', out);
			column = 0;
		}
	}
	if (column)
		fputc('\n', out);
}

static void print_map(FILE *out, const struct view *view, const char *root,
		      const struct heap *heap)
{
	struct heap_map map;
	int err = heap_map_read(root, heap, &map);
	size_t i;

	if (err && err != -ENOENT)
		fprintf(out, "\nNo map: %s\n", strerror(-err));
	for (i = 0; i < map.nr_pools; i++)
		print_pool(out, view, &map, &map.pools[i]);
	if (map.nr_pools)
		fprintf(out, "  (%s empty, %s %s %s partly full, %s full, x not usable)\n",
			cell_picture(view, 0), cell_picture(view, 1),
			cell_picture(view, 128), cell_picture(view, 254),
			cell_picture(view, 255));
	if (map.bad_lines)
		fprintf(out, "\n%zu lines of the map are not understood\n", map.bad_lines);
	heap_map_free(&map);
}

/* All lines of a file, in as many columns as there is room for */
static void print_pairs(FILE *out, const struct view *view, char *text)
{
	size_t n = 0, width = 0, per_row, rows, r, c;
	char **lines = NULL;
	char *line;

	for (char *rest = text; next_line(&rest, &line); n++) {
		make_printable(line);
		lines = grow_array(lines, n, sizeof(*lines));
		lines[n] = line;
		if (strlen(line) > width)
			width = strlen(line);
	}
	per_row = (view->width == ANY_WIDTH ? 80 : view->width) / (width + 2);
	if (!per_row)
		per_row = 1;
	rows = (n + per_row - 1) / per_row;
	for (r = 0; r < rows; r++) {
		for (c = r; c < n; c += rows)
			if (c + rows < n)
				fprintf(out, "  %-*s", (int)width, lines[c]);
			else
				fprintf(out, "  %s", lines[c]);
		fputc('\n', out);
	}
	free(lines);
}

/* print_heap() - all that there is to know about one heap */
void print_heap(FILE *out, const struct view *view, const char *root, const struct heap *heap)
{
	char bar[MAP_WIDTH + 1], dir[NAME_MAX + 1];
	char *stats;

	copy_printable(dir, sizeof(dir), heap->dir);
	format_bar(bar, view->width && view->width < 44 ? 10 : 40, heap);
	fprintf(out, "%s (%s), %s", heap->name, dir, heap->engine);
	if (knows_use(heap))
		fprintf(out, ": %.1f%% live\n[%s]", use(heap), bar);
	fputs("\n\n", out);
	stats = heap_text(root, heap, "stats");
	if (stats)
		print_pairs(out, view, stats);
	free(stats);
	print_map(out, view, root, heap);
	print_table(out, "Size classes", heap_text(root, heap, "classes"), 1);
	/* The titles, the highest, and something between them: it has been measured. */
	print_table(out, "Latency", heap_text(root, heap, "latency"), 3);
}
