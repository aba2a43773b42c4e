/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names of code that has gone; see gone.c.
 */
#ifndef _CHAOS_GONE_H
#define _CHAOS_GONE_H

#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/types.h>

struct chaos_gone;

#ifdef CONFIG_MODULES
/* Held as long as a struct chaos_gone, or a name, is used. */
extern struct mutex chaos_gone_mutex;

/* What blocks that are allocated now remember. */
u32 chaos_gone_epoch(void);

/* Has the code at @site gone since @epoch?  Its name, or NULL. */
struct chaos_gone *chaos_gone_find(unsigned long site, u32 epoch);
const char *chaos_gone_name(const struct chaos_gone *gone);

/* Is it unknown whether it has? */
bool chaos_gone_unsure(u32 epoch);

int chaos_gone_start(void);
void chaos_gone_stop(void);

/* The notifier; here for the tests. */
int chaos_module_event(struct notifier_block *nb, unsigned long state, void *data);

static inline void chaos_gone_lock(void)
{
	mutex_lock(&chaos_gone_mutex);
}

static inline void chaos_gone_unlock(void)
{
	mutex_unlock(&chaos_gone_mutex);
}
#else
static inline u32 chaos_gone_epoch(void)
{
	return 0;
}

static inline struct chaos_gone *chaos_gone_find(unsigned long site, u32 epoch)
{
	return NULL;
}

static inline const char *chaos_gone_name(const struct chaos_gone *gone)
{
	return NULL;
}

static inline bool chaos_gone_unsure(u32 epoch)
{
	return false;
}

static inline int chaos_gone_start(void)
{
	return 0;
}

static inline void chaos_gone_stop(void) { }
static inline void chaos_gone_lock(void) { }
static inline void chaos_gone_unlock(void) { }
#endif

#endif /* _CHAOS_GONE_H */
