/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps as lines of text: what is the same on a terminal and in a file.
 */
#ifndef _CHAOSTOP_VIEW_H
#define _CHAOSTOP_VIEW_H

#include <stdbool.h>
#include <stdio.h>

#include "heaps.h"

/* A line that is cut nowhere */
#define ANY_WIDTH	0

/**
 * struct view - how to show
 * @sort: the column to sort by, as find_column() returned it
 * @reverse: the other way round
 * @exact: numbers in full, not 1.5M
 * @blocks: draw maps with block elements, not ASCII
 * @width: columns of the terminal, or ANY_WIDTH
 */
struct view {
	int sort;
	bool reverse;
	bool exact;
	bool blocks;
	unsigned int width;
};

/* Keys of the columns, for the help and the usage */
#define DEFAULT_SORT	'l'

int find_column(const char *name);
int find_column_key(int key);
void print_columns(FILE *out);

void sort_heaps(const struct view *view, struct heap_list *list);
void print_list(FILE *out, const struct view *view, const struct heap_list *list);
void print_heap(FILE *out, const struct view *view, const char *root, const struct heap *heap);

/* Lines of print_list() before that of the first heap */
#define LIST_HEADING	3

#endif /* _CHAOSTOP_VIEW_H */
