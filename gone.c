// SPDX-License-Identifier: GPL-2.0
/*
 * Names of code that has gone.
 *
 * Blocks remember who allocated them by an address, which means nothing any more when the
 * module there is removed, and something else when the next one takes its place.  The
 * same is true of a module's init functions, which go when they have run.  So
 * whenever code goes, all tracked heaps are looked through, and of each address in that
 * code which a block remembers, the name is kept here.  What a module leaves behind
 * when it is removed is reported as well: that is where a leak is to be looked for.
 *
 * An address may be kept more than once, for one module after the other.  So names have
 * an epoch, which ends with each time that any are kept, and blocks remember the
 * epoch that they were allocated in.  The name of a block's caller is the first that was
 * kept in that epoch or later; if there is none, the code is still there.
 *
 * Names that no block needs any more go when the next module does.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/cpu.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "fault.h"
#include "gone.h"
#include "grow.h"
#include "track.h"

/**
 * struct chaos_gone - an address whose code has gone
 * @node: in chaos_gone_names
 * @site: the address
 * @epoch: in which the code went
 * @owner: the module, as long as only its init functions have gone; then NULL
 * @used: a block remembers it
 * @name: as %pS would have had it
 */
struct chaos_gone {
	struct hlist_node node;
	unsigned long site;
	u32 epoch;
	const struct module *owner;
	bool used;
	char name[];
};

/* The names and epochs.  Outside of heap->mutex. */
DEFINE_MUTEX(chaos_gone_mutex);
EXPORT_SYMBOL_IF_KUNIT(chaos_gone_mutex);
static DEFINE_HASHTABLE(chaos_gone_names, 6);

/* Read without the mutex by those who allocate. */
static u32 chaos_epoch = 1;

/* The last one in which a name was kept, and the last in which one was not. */
static u32 chaos_epoch_kept;
static u32 chaos_epoch_unsure;

u32 chaos_gone_epoch(void)
{
	return READ_ONCE(chaos_epoch);
}
EXPORT_SYMBOL_IF_KUNIT(chaos_gone_epoch);

bool chaos_gone_unsure(u32 epoch)
{
	return epoch <= chaos_epoch_unsure;
}
EXPORT_SYMBOL_IF_KUNIT(chaos_gone_unsure);

struct chaos_gone *chaos_gone_find(unsigned long site, u32 epoch)
{
	struct chaos_gone *gone, *first = NULL;

	/* A walk goes from CPU to CPU, on behalf of the task that has the mutex. */
	lockdep_assert(mutex_is_locked(&chaos_gone_mutex));
	if (epoch > chaos_epoch_kept)
		return NULL;
	hash_for_each_possible(chaos_gone_names, gone, node, site)
		if (gone->site == site && gone->epoch >= epoch &&
		    (!first || gone->epoch < first->epoch))
			first = gone;
	return first;
}
EXPORT_SYMBOL_IF_KUNIT(chaos_gone_find);

const char *chaos_gone_name(const struct chaos_gone *gone)
{
	return gone->name;
}

/* ---------------------------------- events -------------------------------- */

/**
 * struct chaos_event - code goes
 * @mod: the module whose it is
 * @removed: all of it; else the init functions
 * @partial: a name could not be kept, or it is not known whether it had to be
 * @missed: some blocks may not have been seen
 * @kept: how many names have been kept
 * @callers: for one heap after the other
 */
struct chaos_event {
	const struct module *mod;
	bool removed;
	bool partial;
	bool missed;
	unsigned int kept;
	struct chaos_callers *callers;
};

static bool chaos_event_has(const struct chaos_event *event, unsigned long site)
{
	return event->removed ? within_module(site, event->mod) :
				within_module_init(site, event->mod);
}

static bool chaos_event_is_of(const struct chaos_caller *caller, void *arg)
{
	const struct chaos_event *event = arg;

	return caller->gone ? caller->gone->owner == event->mod :
			      chaos_event_has(event, caller->site);
}

static void chaos_event_report(struct chaos_event *event, struct chaos_heap *heap)
{
	struct chaos_callers *callers = event->callers;
	size_t blocks, bytes;
	unsigned int i;

	/* Those that are found are told, whatever became of the others. */
	chaos_callers_find(heap, callers, chaos_event_is_of, event);
	blocks = callers->others.blocks;
	bytes = callers->others.bytes;
	for (i = 0; i < callers->n; i++) {
		blocks += callers->slots[i].blocks;
		bytes += callers->slots[i].bytes;
	}
	if (!blocks)
		return;
	pr_warn("module %s leaves %zu blocks, %zu bytes in heap %s:\n", event->mod->name,
		blocks, bytes, heap->name);
	chaos_callers_print(NULL, heap, callers);
}

/* A block remembers @site since @epoch: has a name to be kept?  Those that are there stay. */
static bool chaos_event_site(struct chaos_event *event, unsigned long site, u32 epoch)
{
	struct chaos_gone *gone = chaos_gone_find(site, epoch);

	if (gone)
		gone->used = true;
	return !gone && chaos_event_has(event, site);
}

/* The same for all that a block remembers. */
static bool chaos_event_needs(const struct chaos_caller *caller, void *arg)
{
	struct chaos_event *event = arg;
	unsigned long *frames;
	unsigned int i, n;
	bool needs = false;

	if (caller->gone)
		caller->gone->used = true;
	else
		needs = chaos_event_site(event, caller->site, caller->epoch);
	n = chaos_stack_frames(caller->stack, &frames);
	for (i = 1; i < n; i++)
		needs |= chaos_event_site(event, frames[i], caller->epoch);
	return needs;
}

static void chaos_event_keep(struct chaos_event *event, unsigned long site)
{
	const char *name = chaos_site_name(event->callers, site, chaos_epoch);
	size_t size = strlen(name) + 1;
	struct chaos_gone *gone;

	gone = chaos_unless_fails(CHAOS_FAULT_META,
				  kmalloc(struct_size(gone, name, size), GFP_KERNEL));
	if (!gone) {
		event->partial = true;
		return;
	}
	gone->site = site;
	gone->epoch = chaos_epoch;
	gone->owner = event->mod;
	gone->used = true;
	strscpy(gone->name, name, size);
	hash_add(chaos_gone_names, &gone->node, site);
	chaos_epoch_kept = chaos_epoch;
	event->kept++;
}

static void chaos_event_caller(struct chaos_event *event, const struct chaos_caller *caller)
{
	unsigned long *frames;
	unsigned int i, n;

	if (!caller->gone && chaos_event_site(event, caller->site, caller->epoch))
		chaos_event_keep(event, caller->site);
	n = chaos_stack_frames(caller->stack, &frames);
	for (i = 1; i < n; i++)
		if (chaos_event_site(event, frames[i], caller->epoch))
			chaos_event_keep(event, frames[i]);
}

/*
 * Of as many callers at a time as there is room for.  In a heap where several walks in a row
 * have found nothing of the code that goes, there is nothing of it, even if pages moved.
 */
static void chaos_event_names(struct chaos_event *event, struct chaos_heap *heap)
{
	struct chaos_callers *callers = event->callers;
	unsigned int kept, i;

	do {
		kept = event->kept;
		if (chaos_callers_find(heap, callers, chaos_event_needs, event))
			event->partial = true;
		for (i = 0; i < callers->n; i++)
			chaos_event_caller(event, &callers->slots[i]);
		event->missed |= callers->moved;
		event->partial |= callers->moved && callers->n;
	} while (callers->others.blocks && event->kept > kept);
	if (callers->others.blocks)
		event->partial = true;
}

static void chaos_event_heap(struct chaos_heap *heap, void *arg)
{
	struct chaos_event *event = arg;

	if (!chaos_is_tracked(heap))
		return;
	if (!event->callers)
		event->callers = chaos_callers_new();
	if (!event->callers) {
		event->partial = true;
		return;
	}
	if (event->removed)
		chaos_event_report(event, heap);
	chaos_event_names(event, heap);
}

/* What is not used is forgotten, unless some of it may be. */
static void chaos_event_end(struct chaos_event *event)
{
	struct hlist_node *next;
	struct chaos_gone *gone;
	int i;

	hash_for_each_safe(chaos_gone_names, i, next, gone, node) {
		if (event->removed && gone->owner == event->mod)
			gone->owner = NULL;
		if (!gone->used && !event->partial && !event->missed) {
			hash_del(&gone->node);
			kfree(gone);
			continue;
		}
		gone->used = false;
	}
	if (event->partial)
		chaos_epoch_unsure = chaos_epoch;
	if (event->partial || event->kept)
		WRITE_ONCE(chaos_epoch, chaos_epoch + 1);
}

/* The module's code does not run any more, and is still there. */
int chaos_module_event(struct notifier_block *nb, unsigned long state, void *data)
{
	struct chaos_event event = {
		.mod = data,
		.removed = state == MODULE_STATE_GOING,
	};

	if (!event.removed && state != MODULE_STATE_LIVE)
		return NOTIFY_DONE;
	cpus_read_lock();
	mutex_lock(&chaos_gone_mutex);
	chaos_heaps_each(chaos_event_heap, &event);
	chaos_event_end(&event);
	mutex_unlock(&chaos_gone_mutex);
	cpus_read_unlock();
	kvfree(event.callers);
	return NOTIFY_OK;
}
EXPORT_SYMBOL_IF_KUNIT(chaos_module_event);

static struct notifier_block chaos_module_notifier = {
	.notifier_call = chaos_module_event,
};

int __init chaos_gone_start(void)
{
	return register_module_notifier(&chaos_module_notifier);
}

/* No heap is left. */
void chaos_gone_stop(void)
{
	struct hlist_node *next;
	struct chaos_gone *gone;
	int i;

	unregister_module_notifier(&chaos_module_notifier);
	hash_for_each_safe(chaos_gone_names, i, next, gone, node)
		kfree(gone);
}
