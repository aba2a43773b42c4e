// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"

#define ENTER	"\033[?1049h\033[?25l"		/* the other screen, no cursor */
#define LEAVE	"\033[?25h\033[?1049l"
#define HOME	"\033[H"
#define CLEAR_LINE	"\033[K"
#define CLEAR_BELOW	"\033[J"
#define REVERSE	"\033[7m"
#define NORMAL	"\033[m"

/* How long the rest of a key's sequence may take: that tells it from the Escape key. */
#define ESCAPE_MS	50

static struct termios original;
static bool is_open;
static int signals = -1;

/* screen_possible() - is there somebody to look at it? */
bool screen_possible(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
	       strcmp(term, "dumb");
}

static void enter(void)
{
	struct termios raw = original;

	/* Signals' keys go on to be such. */
	raw.c_lflag &= ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs(ENTER, stdout);
	fflush(stdout);
	is_open = true;
}

/* screen_close() - the terminal is as it was */
void screen_close(void)
{
	if (!is_open)
		return;
	is_open = false;
	fputs(LEAVE, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &original);
}

/* screen_open() - signals come as keys from here on */
void screen_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	tcgetattr(STDIN_FILENO, &original);
	atexit(screen_close);
	enter();
}

/* screen_size() - a terminal that does not know has 24 lines of 80 */
void screen_size(unsigned int *rows, unsigned int *columns)
{
	struct winsize size = { };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*rows = size.ws_row ?: 24;
	*columns = size.ws_col ?: 80;
}

/* Bytes of a line's first @columns characters; what has more than one byte is UTF-8. */
static int cut(const char *line, unsigned int columns)
{
	const char *at;

	for (at = line; *at && *at != '\n'; at++)
		if ((*at & 0xc0) != 0x80 && !columns--)
			break;
	return at - line;
}

static void draw_line(const char *line, unsigned int columns, bool marked)
{
	/* Not behind the text: where that ends in the last column, its end would go, too. */
	fputs(CLEAR_LINE, stdout);
	if (marked)
		fputs(REVERSE, stdout);
	fprintf(stdout, "%.*s", cut(line, columns), line);
	if (marked)
		fputs(NORMAL, stdout);
}

/*
 * screen_draw() - shows a text from line @first on, one of its lines @marked; and a footer in
 * the last line
 */
void screen_draw(const char *text, unsigned int first, int marked, const char *footer)
{
	unsigned int rows, columns, number;

	screen_size(&rows, &columns);
	fputs(HOME, stdout);
	for (number = 0; *text && number + 1 < first + rows; number++) {
		if (number >= first) {
			draw_line(text, columns, marked == (int)number);
			fputs("\r\n", stdout);
		}
		text = strchrnul(text, '\n');
		text += *text == '\n';
	}
	fputs(CLEAR_BELOW, stdout);
	fprintf(stdout, "\033[%u;1H", rows);
	/* The last column of the last line stays free: it might scroll. */
	draw_line(footer, columns - 1, true);
	fflush(stdout);
}

/* Ctrl-Z: until somebody has us go on */
static void suspend(void)
{
	screen_close();
	kill(getpid(), SIGSTOP);
	enter();
}

static int signal_key(void)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return KEY_END;
	switch (info.ssi_signo) {
	case SIGTSTP:
		suspend();
		return KEY_RESIZED;
	case SIGCONT:
	case SIGWINCH:
		return KEY_RESIZED;
	default:
		return KEY_END;
	}
}

/* What followed an escape character */
static int sequence_key(const char *text)
{
	static const struct {
		const char *text;
		int key;
	} keys[] = {
		{ "[A", KEY_UP }, { "[B", KEY_DOWN }, { "[C", KEY_RIGHT }, { "[D", KEY_LEFT },
		{ "OA", KEY_UP }, { "OB", KEY_DOWN }, { "OC", KEY_RIGHT }, { "OD", KEY_LEFT },
		{ "[5~", KEY_PAGE_UP }, { "[6~", KEY_PAGE_DOWN }, { "", KEY_ESCAPE },
		{ NULL, KEY_NONE }
	};
	size_t i;

	for (i = 0; keys[i].text; i++)
		if (!strcmp(text, keys[i].text))
			return keys[i].key;
	return KEY_NONE;
}

/* One byte, or -1 if there is none for so long */
static int next_byte(int ms)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char c;

	if (poll(&in, 1, ms) <= 0 || read(STDIN_FILENO, &c, 1) != 1)
		return -1;
	return c;
}

static int read_key(void)
{
	char sequence[8] = "";
	int c = next_byte(0);
	size_t n = 0;

	if (c < 0)
		return KEY_END;
	if (c != '\033')
		return c;
	/* It ends with a letter or ~, but for the O or [ that it begins with. */
	while (n + 1 < sizeof(sequence) && (c = next_byte(ESCAPE_MS)) >= 0) {
		sequence[n++] = c;
		if (n > 1 && ((c >= 'A' && c <= 'Z') || c == '~'))
			break;
	}
	return sequence_key(sequence);
}

/* screen_wait() - a key, or KEY_NONE after this time */
int screen_wait(double seconds)
{
	struct pollfd in[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	int n = poll(in, 2, seconds > 0 ? (int)(seconds * 1000) + 1 : 0);

	if (n < 0 && errno != EINTR)
		return KEY_END;
	if (n <= 0)
		return KEY_NONE;
	if (in[0].revents)
		return signal_key();
	return read_key();
}
