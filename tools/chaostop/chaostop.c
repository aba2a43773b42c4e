// SPDX-License-Identifier: GPL-2.0
/*
 * chaostop: the heaps of chaos_alloc.ko, in the manner of top(1) and slabtop(1).
 *
 * heaps.c reads them from debugfs, view.c makes text of them, screen.c knows the terminal;
 * what is left for this file is the command line and what keys do.
 */
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "heaps.h"
#include "screen.h"
#include "view.h"

#define DEBUGFS	"/sys/kernel/debug"

#define DELAY_MIN	0.1
#define DELAY_MAX	86400

/**
 * struct session - what the command line says and keys change
 * @root: the directory that has one for each heap
 * @view: how to show
 * @delay: seconds from one reading to the next
 * @count: readings until the end; 0: none
 * @list: the last reading
 * @err: of the last reading, or 0
 * @selected: the directory of the heap that the mark is on
 * @detail: show that one alone
 * @help: show the keys
 * @text: what is shown; NULL: to be made anew
 * @marked: its line that is marked, or negative
 * @lines: how many there are
 * @first: the first that is on the screen
 * @note: what the last key had to say, until the next
 */
struct session {
	const char *root;
	struct view view;
	double delay;
	unsigned long count;
	struct heap_list list;
	int err;
	char selected[NAME_MAX + 1];
	bool detail;
	bool help;
	char *text;
	int marked;
	unsigned int lines;
	unsigned int first;
	char note[128];
};

static void usage(FILE *out)
{
	fputs("Usage: chaostop [options] [HEAP]\n\n"
	      "Shows the heaps of the kernel module chaos_alloc; HEAP: all about this one.\n\n"
	      "  -d, --delay SECONDS  from one reading to the next (default 2)\n"
	      "  -n, --count N        end after N readings\n"
	      "  -o, --once           the same as -n 1, and never a full screen\n"
	      "  -s, --sort COLUMN    by this column (default LIVE)\n"
	      "  -R, --reverse        the other way round\n"
	      "  -b, --bytes          numbers in full, not 1.5M\n"
	      "  -r, --root DIR       read from here (default " DEBUGFS "/chaos_alloc)\n"
	      "  -h, --help           this text\n\n"
	      "Columns: ", out);
	print_columns(out);
}

static void bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "chaostop: %s '%s'; see --help\n", what, value);
	exit(2);
}

static void set_delay(struct session *s, const char *text)
{
	char *end;

	s->delay = strtod(text, &end);
	/* Written so that NaN is none. */
	if (end == text || *end || !(s->delay >= DELAY_MIN && s->delay <= DELAY_MAX))
		bad_usage("--delay wants 0.1 to 86400 seconds, not", text);
}

static void set_count(struct session *s, const char *text)
{
	char *end;

	errno = 0;
	s->count = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || !s->count)
		bad_usage("--count wants a number from 1 on, not", text);
}

static void set_sort(struct session *s, const char *text)
{
	s->view.sort = find_column(text);
	if (s->view.sort < 0)
		bad_usage("there is no column", text);
}

/* Returns whether a full screen is wanted, if there can be one. */
static bool parse_options(struct session *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'n' },
		{ "once", no_argument, NULL, 'o' },
		{ "sort", required_argument, NULL, 's' },
		{ "reverse", no_argument, NULL, 'R' },
		{ "bytes", no_argument, NULL, 'b' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	bool once = false;
	int c;

	while ((c = getopt_long(argc, argv, "d:n:os:Rbr:h", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			set_delay(s, optarg);
			break;
		case 'n':
			set_count(s, optarg);
			break;
		case 'o':
			once = true;
			break;
		case 's':
			set_sort(s, optarg);
			break;
		case 'R':
			s->view.reverse = true;
			break;
		case 'b':
			s->view.exact = true;
			break;
		case 'r':
			s->root = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			fputs("see chaostop --help\n", stderr);
			exit(2);
		}
	}
	if (argc - optind > 1)
		bad_usage("one heap at a time, not also", argv[optind + 1]);
	if (optind < argc) {
		snprintf(s->selected, sizeof(s->selected), "%s", argv[optind]);
		s->detail = true;
	}
	if (once)
		s->count = 1;
	return !once;
}

/* Reading */

static void say_why_not(const struct session *s)
{
	fprintf(stderr, "chaostop: %s: %s\n", s->root, strerror(-s->err));
	if (s->err == -EACCES || s->err == -EPERM)
		fputs("chaostop: only root may read it\n", stderr);
	else if (s->err == -ENOENT && !strncmp(s->root, DEBUGFS "/", strlen(DEBUGFS "/")))
		fputs(access("/sys/module/chaos_alloc", F_OK) ?
		      "chaostop: chaos_alloc is not loaded\n" :
		      "chaostop: is debugfs mounted?  mount -t debugfs none " DEBUGFS "\n",
		      stderr);
}

/* Reads all again; a reading that fails leaves an empty list. */
static void read_heaps(struct session *s)
{
	struct heap_list now;

	s->err = heaps_read(s->root, &now);
	heaps_rates(&now, &s->list);
	heaps_free(&s->list);
	s->list = now;
}

static const struct heap *selected(const struct session *s)
{
	return *s->selected ? heaps_find(&s->list, s->selected) : NULL;
}

/* Text that goes on: for pipes, files, and terminals that can do no more */

static unsigned int environment_number(const char *name)
{
	const char *value = getenv(name);
	unsigned long number = value ? strtoul(value, NULL, 10) : 0;

	return number < 10000 ? number : 0;
}

static unsigned int text_width(void)
{
	unsigned int rows, columns = environment_number("COLUMNS");

	if (!columns && isatty(STDOUT_FILENO))
		screen_size(&rows, &columns);
	return columns;
}

/* Prints what there is now; returns the exit status. */
static int print_now(struct session *s)
{
	const struct heap *heap = selected(s);

	if (s->err) {
		say_why_not(s);
		return 1;
	}
	if (s->detail && !heap) {
		fprintf(stderr, "chaostop: there is no heap '%s', or several are called so\n",
			s->selected);
		return 1;
	}
	if (heap)
		print_heap(stdout, &s->view, s->root, heap);
	else
		print_list(stdout, &s->view, &s->list);
	if (fflush(stdout)) {
		perror("chaostop");
		return 1;
	}
	return 0;
}

static void wait_for(double seconds)
{
	struct timespec ts = { .tv_sec = seconds };

	ts.tv_nsec = (seconds - ts.tv_sec) * 1e9;
	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static int run_text(struct session *s)
{
	unsigned long i;
	int status;

	s->view.width = text_width();
	for (i = 0; !s->count || i < s->count; i++) {
		if (i) {
			wait_for(s->delay);
			puts("");
		}
		read_heaps(s);
		sort_heaps(&s->view, &s->list);
		status = print_now(s);
		if (status)
			return status;
	}
	return 0;
}

/* The full screen */

static void print_help(FILE *out)
{
	fputs("chaostop: what keys do\n\n"
	      "  up, down, page up, page down   move\n"
	      "  Enter, right                   all about the heap that is marked\n"
	      "  Escape, left                   back to the list\n"
	      "  c                              have the heap that is shown, or marked, checked\n"
	      "  r                              sort the other way round\n"
	      "  B                              numbers in full\n"
	      "  + -                            read less, or more often\n"
	      "  Space                          read now\n"
	      "  q                              quit\n\n"
	      "These sort by a column: ", out);
	print_columns(out);
	fputs("\nThe bar: # live, + held by the heap but not live, . free\n", out);
}

/* Which row the mark is on; the first if that heap has gone, or there was none. */
static size_t selected_row(struct session *s)
{
	const struct heap *heap = selected(s);
	size_t row = heap ? heap - s->list.heaps : 0;

	if (s->list.n)
		memcpy(s->selected, s->list.heaps[row].dir, sizeof(s->selected));
	return row;
}

static void print_screen(struct session *s, FILE *out)
{
	char dir[NAME_MAX + 1];

	s->marked = -1;
	if (s->help) {
		print_help(out);
	} else if (s->err) {
		fprintf(out, "%s: %s\n\nwaiting for it\n", s->root, strerror(-s->err));
	} else if (s->detail && selected(s)) {
		print_heap(out, &s->view, s->root, selected(s));
	} else if (s->detail) {
		copy_printable(dir, sizeof(dir), s->selected);
		fprintf(out, "%s has gone\n", dir);
	} else {
		sort_heaps(&s->view, &s->list);
		s->marked = LIST_HEADING + selected_row(s);
		print_list(out, &s->view, &s->list);
	}
}

static unsigned int count_lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void make_text(struct session *s)
{
	unsigned int rows;
	size_t size;
	FILE *out;

	free(s->text);
	s->text = NULL;
	out = open_memstream(&s->text, &size);
	if (!out) {
		perror("chaostop");
		exit(1);
	}
	screen_size(&rows, &s->view.width);
	print_screen(s, out);
	fclose(out);
	s->lines = count_lines(s->text);
}

/* A map takes the kernel some time to make: it is not read again to scroll. */
static void forget_text(struct session *s)
{
	free(s->text);
	s->text = NULL;
}

/* The mark is to be seen, more than the heading above it; and nothing behind the end. */
static void scroll(struct session *s, unsigned int rows)
{
	unsigned int last = s->lines > rows ? s->lines - rows : 0;
	unsigned int marked = s->marked;

	if (s->marked >= 0 && s->first > marked - LIST_HEADING)
		s->first = marked - LIST_HEADING;
	if (s->marked >= 0 && s->first + rows <= marked)
		s->first = marked - rows + 1;
	if (s->first > last)
		s->first = last;
}

static void draw(struct session *s)
{
	unsigned int rows, columns;
	char footer[256];

	if (!s->text)
		make_text(s);
	screen_size(&rows, &columns);
	scroll(s, rows > 1 ? rows - 1 : 1);
	snprintf(footer, sizeof(footer), " %s%severy %g s  ? help  q quit ", s->note,
		 s->note[0] ? "  " : "", s->delay);
	screen_draw(s->text, s->first, s->marked, footer);
}

/* Moves the mark, or what is shown, by so many lines. */
static void move(struct session *s, int by)
{
	long row;

	if (s->help || s->detail) {
		s->first = by < 0 && s->first < (unsigned int)-by ? 0 : s->first + by;
		return;
	}
	if (!s->list.n)
		return;
	row = (long)selected_row(s) + by;
	if (row < 0)
		row = 0;
	if (row >= (long)s->list.n)
		row = s->list.n - 1;
	memcpy(s->selected, s->list.heaps[row].dir, sizeof(s->selected));
	forget_text(s);
}

static void page(struct session *s, int direction)
{
	unsigned int rows, columns;

	screen_size(&rows, &columns);
	move(s, direction * (int)(rows > 4 ? rows - 4 : 1));
}

/* Goes through the whole heap, with interrupts off: only when it is asked for. */
static void check_heap(struct session *s)
{
	const struct heap *heap = selected(s);
	char *text = heap ? heap_text(s->root, heap, "check") : NULL;

	if (!text) {
		snprintf(s->note, sizeof(s->note), "no check: %s", strerror(errno));
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	make_printable(text);
	snprintf(s->note, sizeof(s->note), "%.40s: %.80s", heap->name, text);
	free(text);
}

static void show(struct session *s, bool detail)
{
	forget_text(s);
	s->help = false;
	s->first = 0;
	s->detail = detail && (s->detail || s->list.n);
}

static void toggle(struct session *s, bool *what)
{
	forget_text(s);
	s->first = 0;
	*what = !*what;
}

static void change_delay(struct session *s, double factor)
{
	double delay = s->delay * factor;

	if (delay >= DELAY_MIN && delay <= DELAY_MAX)
		s->delay = delay;
}

/* What a letter may be: the column to sort by */
static void sort_by(struct session *s, int key)
{
	int column = find_column_key(key);

	if (column < 0 || s->detail || s->help)
		return;
	s->view.sort = column;
	forget_text(s);
}

/* Returns false at the end. */
static bool act(struct session *s, int key)
{
	s->note[0] = '\0';
	switch (key) {
	case 'q':
	case KEY_END:
		return false;
	case KEY_UP:
		move(s, -1);
		break;
	case KEY_DOWN:
		move(s, 1);
		break;
	case KEY_PAGE_UP:
		page(s, -1);
		break;
	case KEY_PAGE_DOWN:
		page(s, 1);
		break;
	case KEY_RIGHT:
	case '\r':
	case '\n':
		show(s, true);
		break;
	case KEY_LEFT:
	case KEY_ESCAPE:
		show(s, s->help && s->detail);
		break;
	case '?':
	case 'h':
		toggle(s, &s->help);
		break;
	case 'c':
		check_heap(s);
		break;
	case 'r':
		toggle(s, &s->view.reverse);
		break;
	case 'B':
		toggle(s, &s->view.exact);
		break;
	case KEY_RESIZED:
		forget_text(s);
		break;
	case '+':
		change_delay(s, 2);
		break;
	case '-':
		change_delay(s, 0.5);
		break;
	default:
		sort_by(s, key);
	}
	return true;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int run_screen(struct session *s)
{
	unsigned long readings = 0;
	double next;
	int key;

	read_heaps(s);
	if (s->err || (s->detail && !selected(s)))
		return print_now(s);
	screen_open();
	for (;;) {
		readings++;
		next = seconds() + s->delay;
		do {
			draw(s);
			key = screen_wait(next - seconds());
			if (key != KEY_NONE && !act(s, key))
				return 0;
		} while (key != ' ' && seconds() < next);
		if (s->count && readings >= s->count)
			return 0;
		read_heaps(s);
		forget_text(s);
	}
}

int main(int argc, char **argv)
{
	struct session s = {
		.root = DEBUGFS "/chaos_alloc",
		.view.sort = find_column_key(DEFAULT_SORT),
		.delay = 2,
	};
	bool full_screen = parse_options(&s, argc, argv);
	int status;

	setlocale(LC_CTYPE, "");
	s.view.blocks = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (full_screen && screen_possible())
		status = run_screen(&s);
	else
		status = run_text(&s);
	heaps_free(&s.list);
	forget_text(&s);
	return status;
}
