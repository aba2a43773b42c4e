/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The terminal: any that knows the few sequences of a VT100 that everybody knows.
 */
#ifndef _CHAOSTOP_SCREEN_H
#define _CHAOSTOP_SCREEN_H

#include <stdbool.h>

/* What screen_wait() returns beside characters */
enum {
	KEY_NONE = 256,		/* the time is over */
	KEY_RESIZED,
	KEY_END,		/* by a signal, or the terminal has gone */
	KEY_ESCAPE,
	KEY_UP,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
};

bool screen_possible(void);
void screen_open(void);
void screen_close(void);
void screen_size(unsigned int *rows, unsigned int *columns);
void screen_draw(const char *text, unsigned int first, int marked, const char *footer);
int screen_wait(double seconds);

#endif /* _CHAOSTOP_SCREEN_H */
