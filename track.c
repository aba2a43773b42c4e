// SPDX-License-Identifier: GPL-2.0
/*
 * Who allocated it, for all engines.
 *
 * The last bytes of a tracked block, behind what the client may use and behind the canary
 * of hardening level 2, are its origin: the address that the allocation returned to, and
 * a handle of the stack.  Nothing else remembers a block, so there is nothing to keep
 * in step with the engine; a free does nothing more, and a report walks the live blocks.
 *
 * What a report finds there may be anything: the client has written past its block's end,
 * or the block is in the making.  So an origin has a keyed check, and is believed only
 * if that is right; a handle that is not the stack depot's is never looked up.
 *
 * In a block in the making, there may still be the origin of whoever had it last.  So who
 * lays origins counts himself in and out (struct chaos_busy), and a report that has not
 * found the heap at rest says so.
 *
 * A call site is noted in any context.  The stack depot has a raw spinlock, for which an
 * NMI might wait for ever (and which older kernels do not only try), so there the call site
 * is all; and it gets memory only for callers that might sleep.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/cpu.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/kallsyms.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/seq_file.h>
#include <linux/siphash.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "busy.h"
#include "compat.h"
#include "fault.h"
#include "gone.h"
#include "grow.h"
#include "harden.h"
#include "options.h"
#include "track.h"

/* Frames of a stack that are remembered; and how many of ours are before them. */
#define CHAOS_FRAMES		16
#define CHAOS_FRAMES_OURS	12

/* How often a heap in use is walked to find it at rest. */
#define CHAOS_CALLERS_TRIES	3

static_assert(sizeof(struct chaos_origin) == 24);
static_assert(CHAOS_CALLERS < CHAOS_CALLER_SLOTS);

/* ---------------------------------- stacks -------------------------------- */

#if defined(CONFIG_STACKDEPOT) && defined(CONFIG_STACKTRACE)
#include <linux/stackdepot.h>
#include <linux/stacktrace.h>

/* From the caller on: what is above it is ours, and depends on the compiler. */
static u32 chaos_save_stack(unsigned long caller, gfp_t gfp)
{
	unsigned long frames[CHAOS_FRAMES_OURS + CHAOS_FRAMES];
	unsigned int n, first = 0;

	if (in_nmi())
		return 0;
	n = stack_trace_save(frames, ARRAY_SIZE(frames), 0);
	while (first < n && frames[first] != caller)
		first++;
	if (first == n)
		return 0;
	n = min_t(unsigned int, n - first, CHAOS_FRAMES);
	return stack_depot_save_flags(frames + first, n, GFP_NOWAIT | __GFP_NOWARN,
				      gfpflags_allow_blocking(gfp) ?
				      STACK_DEPOT_FLAG_CAN_ALLOC : 0);
}

unsigned int chaos_stack_frames(u32 handle, unsigned long **frames)
{
	return handle ? stack_depot_fetch(handle, frames) : 0;
}

static bool chaos_stacks_start(void)
{
	return !stack_depot_init();
}
#else
static u32 chaos_save_stack(unsigned long caller, gfp_t gfp)
{
	return 0;
}

unsigned int chaos_stack_frames(u32 handle, unsigned long **frames)
{
	return 0;
}

static bool chaos_stacks_start(void)
{
	return false;
}
#endif

/* ---------------------------------- blocks -------------------------------- */

static enum chaos_track chaos_track_level(enum chaos_track track)
{
	return track == CHAOS_TRACK_DEFAULT ? chaos_track_param + CHAOS_TRACK_NONE : track;
}

void chaos_track_init(struct chaos_heap *heap, enum chaos_track track)
{
	heap->track = chaos_track_level(track) - CHAOS_TRACK_NONE;
	if (heap->track > 1 && !chaos_stacks_start())
		heap->track = 1;
	heap->trailer += chaos_track_size(heap);
}

static struct chaos_origin *chaos_origin(const void *p, size_t usable)
{
	return (struct chaos_origin *)(p + usable) - 1;
}

static u64 chaos_origin_check(const struct chaos_heap *heap, const void *p,
			      const struct chaos_origin *origin)
{
	const siphash_key_t key = {{ heap->secret, (unsigned long)p }};

	return siphash_2u64(origin->site, (u64)origin->epoch << 32 | origin->stack, &key);
}

void chaos_track_lay(struct chaos_heap *heap, void *p, size_t usable, gfp_t gfp,
		     unsigned long caller)
{
	struct chaos_origin origin = {
		.site	= caller,
		.stack	= heap->track > 1 ? chaos_save_stack(caller, gfp) : 0,
		.epoch	= chaos_gone_epoch(),
	};
	struct chaos_origin *there = chaos_origin(p, usable);

	WRITE_ONCE(there->site, origin.site);
	WRITE_ONCE(there->stack, origin.stack);
	WRITE_ONCE(there->epoch, origin.epoch);
	WRITE_ONCE(there->check, chaos_origin_check(heap, p, &origin));
}
EXPORT_SYMBOL_IF_KUNIT(chaos_track_lay);

/* A copy of what is there now; false: it is not what was laid there. */
static bool chaos_origin_read(struct chaos_heap *heap, const void *p, size_t usable,
			      struct chaos_origin *origin)
{
	const struct chaos_origin *there = chaos_origin(p, usable);

	if (usable < heap->trailer)
		return false;
	/* data_race(): it may be somebody else's by now, and anything */
	origin->site = data_race(READ_ONCE(there->site));
	origin->stack = data_race(READ_ONCE(there->stack));	/* the same */
	origin->epoch = data_race(READ_ONCE(there->epoch));	/* the same */
	origin->check = data_race(READ_ONCE(there->check));	/* the same */
	return origin->check == chaos_origin_check(heap, p, origin);
}

/* ---------------------------------- callers ------------------------------- */

static bool chaos_caller_is(const struct chaos_caller *a, const struct chaos_caller *b)
{
	return a->site == b->site && a->stack == b->stack && a->epoch == b->epoch &&
	       a->gone == b->gone;
}

/* The slot of a caller like @wanted, which may be empty; or that of all others. */
static struct chaos_caller *chaos_caller_slot(struct chaos_callers *callers,
					      const struct chaos_caller *wanted)
{
	unsigned int i = hash_long(wanted->site ^ wanted->stack, ilog2(CHAOS_CALLER_SLOTS));
	struct chaos_caller *slot = &callers->slots[i];

	while (slot->blocks && !chaos_caller_is(slot, wanted)) {
		i = (i + 1) % CHAOS_CALLER_SLOTS;
		slot = &callers->slots[i];
	}
	if (slot->blocks)
		return slot;
	if (callers->n == CHAOS_CALLERS)
		return &callers->others;
	callers->n++;
	*slot = *wanted;
	return slot;
}

/* The frames of a stack may have gone since; a call site alone has been looked up. */
static bool chaos_caller_needs_epoch(const struct chaos_origin *origin)
{
	return origin->stack || chaos_gone_unsure(origin->epoch);
}

/* Where a block of this origin is counted; NULL: it is not. */
static struct chaos_caller *chaos_caller_of(struct chaos_callers *callers,
					    const struct chaos_origin *origin)
{
	bool exact = chaos_caller_needs_epoch(origin);
	const struct chaos_caller caller = {
		.site	= origin->site,
		.stack	= origin->stack,
		.epoch	= exact ? origin->epoch : chaos_gone_epoch(),
		.gone	= chaos_gone_find(origin->site, origin->epoch),
	};

	if (callers->wanted && !callers->wanted(&caller, callers->arg))
		return NULL;
	return chaos_caller_slot(callers, &caller);
}

static bool chaos_caller_count(struct chaos_heap *heap, void *p, size_t usable,
			       void *arg)
{
	struct chaos_callers *callers = arg;
	struct chaos_caller *caller = &callers->damaged;
	struct chaos_origin origin;
	bool intact;

	if (chaos_origin_read(heap, p, usable, &origin))
		caller = chaos_caller_of(callers, &origin);
	if (!caller)
		return true;
	caller->blocks++;
	caller->bytes += chaos_client_size(heap, p, usable, &intact);
	return true;
}

static int chaos_caller_cmp(const void *a, const void *b)
{
	const struct chaos_caller *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x->blocks < y->blocks ? 1 : x->blocks > y->blocks ? -1 : 0;
}

static u64 chaos_callers_moves(struct chaos_heap *heap)
{
	return heap->engine->moves ? heap->engine->moves(heap) : 0;
}

/* Walk once; were there changes that a walk may be wrong by? */
static int chaos_callers_walk(struct chaos_heap *heap, struct chaos_callers *callers)
{
	u64 moves = chaos_callers_moves(heap);
	unsigned long begun;
	bool quiet = chaos_busy_none(heap->busy, &begun);
	int err;

	err = heap->engine->walk(heap, NULL, chaos_caller_count, callers);
	callers->in_use = !quiet || !chaos_busy_none_since(heap->busy, begun);
	callers->moved = chaos_callers_moves(heap) != moves;
	return err;
}

int chaos_callers_find(struct chaos_heap *heap, struct chaos_callers *callers,
		       chaos_caller_filter wanted, void *arg)
{
	unsigned int tries = CHAOS_CALLERS_TRIES, noio;
	int err;

	chaos_san_settle(heap);
	noio = chaos_heap_lock(heap);
	do {
		memset(callers, 0, sizeof(*callers));
		callers->wanted = wanted;
		callers->arg = arg;
		err = chaos_callers_walk(heap, callers);
	} while (!err && (callers->in_use || callers->moved) && --tries);
	chaos_heap_unlock(heap, noio);
	sort(callers->slots, CHAOS_CALLER_SLOTS, sizeof(callers->slots[0]),
	     chaos_caller_cmp, NULL);
	return err;
}

/* ---------------------------------- reports ------------------------------- */

/* To debugfs, or with the heap's name to the log. */
static __printf(3, 4) void chaos_say(struct seq_file *m, struct chaos_heap *heap,
				     const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	if (m)
		seq_printf(m, "%pV\n", &vaf);
	else
		pr_warn("heap %s:   %pV\n", heap->name, &vaf);
	va_end(args);
}

/* %pS would say the bare address of code that has gone, or the name of what is there now. */
const char *chaos_site_name(struct chaos_callers *callers, unsigned long site, u32 epoch)
{
	const struct chaos_gone *gone = chaos_gone_find(site, epoch);

	if (gone)
		return chaos_gone_name(gone);
	sprint_symbol(callers->name, site);
	if (!strncmp(callers->name, "0x", 2))
		return "code that has gone";
	if (strchr(callers->name, '[') && chaos_gone_unsure(epoch))
		return "code that may have gone";
	if (!*callers->name)
		snprintf(callers->name, sizeof(callers->name), "%p", (void *)site);
	return callers->name;
}

static void chaos_caller_print(struct seq_file *m, struct chaos_heap *heap,
			       struct chaos_callers *callers,
			       const struct chaos_caller *caller)
{
	unsigned int i, n;
	unsigned long *frames;

	chaos_say(m, heap, "%zu blocks, %zu bytes: %s", caller->blocks, caller->bytes,
		  caller->gone ? chaos_gone_name(caller->gone) :
		  chaos_site_name(callers, caller->site, caller->epoch));
	n = chaos_stack_frames(caller->stack, &frames);
	for (i = 1; i < n; i++)
		chaos_say(m, heap, "    %s",
			  chaos_site_name(callers, frames[i], caller->epoch));
}

void chaos_callers_print(struct seq_file *m, struct chaos_heap *heap,
			 struct chaos_callers *callers)
{
	struct chaos_caller more = { .blocks = 0 };
	const struct chaos_caller *caller;
	unsigned int i, n = 0;

	for (i = 0; i < callers->n; i++) {
		caller = &callers->slots[i];
		if (n++ < CHAOS_CALLERS_SHOWN) {
			chaos_caller_print(m, heap, callers, caller);
			continue;
		}
		more.blocks += caller->blocks;
		more.bytes += caller->bytes;
	}
	if (more.blocks)
		chaos_say(m, heap, "%zu blocks, %zu bytes: and %u more callers", more.blocks,
			  more.bytes, n - CHAOS_CALLERS_SHOWN);
	if (callers->others.blocks)
		chaos_say(m, heap, "%zu blocks, %zu bytes: callers beyond the first %u",
			  callers->others.blocks, callers->others.bytes, CHAOS_CALLERS);
	/* It cannot be known whether these are wanted. */
	if (callers->damaged.blocks && !callers->wanted)
		chaos_say(m, heap, "%zu blocks, %zu bytes: whose, was overwritten",
			  callers->damaged.blocks, callers->damaged.bytes);
	if (callers->in_use)
		chaos_say(m, heap, "in use: new blocks may be counted as their last owners'");
}

struct chaos_callers *chaos_callers_new(void)
{
	return chaos_unless_fails(CHAOS_FAULT_META,
				  kvzalloc(sizeof(struct chaos_callers), GFP_KERNEL));
}

int chaos_callers_show(struct seq_file *m, struct chaos_heap *heap)
{
	struct chaos_callers *callers;
	int err;

	if (!chaos_is_tracked(heap)) {
		chaos_say(m, heap, "not tracked: track=1 does that");
		return 0;
	}
	callers = chaos_callers_new();
	if (!callers)
		return -ENOMEM;
	cpus_read_lock();
	chaos_gone_lock();
	err = chaos_callers_find(heap, callers, NULL, NULL);
	chaos_callers_print(m, heap, callers);
	chaos_gone_unlock();
	cpus_read_unlock();
	kvfree(callers);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(chaos_callers_show);
