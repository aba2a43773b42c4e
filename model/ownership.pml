/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ownership protocol of the mimalloc engine's pages: see
 * Documentation/ownership.rst for the protocol, and for what this model takes in
 * and what it leaves out.  tools/model.sh runs it: one run per configuration (-D
 * names it), and one per seeded bug (-D BUG_...).
 *
 * One step here is one atomic operation there, or any number of accesses to what
 * only the owner may touch; each of these asserts that it is the owner's.  STEP(name) here and a comment "model: name" in the C code mark the same step.
 */

/*
 * A trace says which steps it takes; a search which ones it has been through.  What
 * the search notes is not part of the state.
 */
#ifdef TRACE
#define STEP(name)	printf(#name); printf(" (%d)\n", me)
#else
#define STEP(name)	c_code { step_done(#name); }
c_code {
	static void step_done(const char *name)
	{
		static const char *done[64];
		int i = 0;

		while (done[i] && strcmp(done[i], name))
			i++;
		if (!done[i]) {
			done[i] = name;
			printf("step: %s\n", name);
		}
	}
};
#endif

/*
 * The bounds.  A process is a context that can be in the allocator: a level of a
 * CPU.  Each but NMIs has a theap.  Slices are pages; what does not matter to
 * the protocol is how many slices a page has.
 */
#ifndef CPUS
#define CPUS	2	/* processes */
#endif
#ifndef PAGES
#define PAGES	1	/* slices of the pool */
#endif
#ifndef BLOCKS
#define BLOCKS	3	/* that fit in a page of several, at most 3 */
#endif
#ifndef EXTEND
#define EXTEND	BLOCKS	/* that one extension adds */
#endif
#ifndef BINS
#define BINS	1	/* size classes of several blocks */
#endif

/* What a process may do. */
#define ALLOC	1	/* allocate from its theap */
#define FREE	2	/* free any live block */
#define ABANDON	4	/* let pages of its queue go: collector, budget */
#define VISIT	8	/* check or walk the heap */
#define NMI	16	/* has no theap, and only frees */
#define DIE	32	/* its CPU can go down, and come up again */
#define REAP	64	/* deals with a CPU that went down */
#define SINGLE	128	/* allocate a block with a page of its own */
#define RELEASE	256	/* return the pool */
#define BULK	1024	/* free two blocks at once */
#define STRAY	512	/* free a block of a page that has been given back */

#ifndef ROLE0
#define ROLE0	(ALLOC | FREE | ABANDON)
#endif
#ifndef ROLE1
#define ROLE1	(ALLOC | FREE | ABANDON)
#endif
#ifndef ROLE2
#define ROLE2	(ALLOC | FREE | ABANDON)
#endif

/* page->thread_free */
#define OWNED		1
#define LISTED		2
#define BIAS		8
#define WORD(flags, link, count) ((flags) | ((link) << 2) | ((count) + BIAS) << 4)
#define FLAGS(word)	((word) & 3)
#define LINK(word)	(((word) >> 2) & 3)
#define COUNT(word)	(((word) >> 4) - BIAS)
#define FREE_WORD	WORD(0, 0, 0)

/* Bin BINS is that of the pages with one block. */
#define RESERVED(bin)	((bin) == BINS -> 1 : BLOCKS)
#define BLOCK(p, k)	((p) * BLOCKS + (k))
#define HINT(bin, p)	((bin) * PAGES + (p))
#define ME		(me + 1)	/* this process's theap; 0 is NULL */

byte word[PAGES] = FREE_WORD;
byte free[PAGES];		/* a link is a block's number in its page + 1 */
byte used[PAGES];
byte capacity[PAGES];
byte theap[PAGES];
byte home[PAGES];
byte bin_of[PAGES];
byte next[PAGES * BLOCKS];
bool slice[PAGES];
bool hint[BINS * PAGES];
short listed[BINS];		/* a moment late: may be negative */

/* A theap's queue is the set of its pages, in any order. */
byte queue[PAGES];

bool busy[CPUS];		/* inside the allocator: preemption is off */
#define ALIVE	0
#define DEAD	1
byte cpu_state[CPUS];

/*
 * Ghosts: what the C code does not have, for the assertions.  The owner of a page
 * is the process that may touch its plain fields; a block is either live, in the
 * hands of its client, or on its way from or to it, or it is on a list.
 */
#define NOBODY	0
byte owner[PAGES];
mtype = { NOWHERE, ON_LIST, LIVE, IN_FLIGHT };
mtype block[PAGES * BLOCKS] = NOWHERE;

/* Metadata of the pool: off the list of pools; freed. */
bool unlinked;
bool gone;

/* ------------------------------ weak ordering ----------------------------- */

/*
 * With WEAK, any plain store may be late: one at a time for each process waits in
 * its buffer, while later operations, atomic ones too, are performed.  Loads of
 * the process itself see it.  A release waits until the buffer has drained, and
 * so does a second access to the same location.
 */
#ifdef WEAK
mtype = { NONE, S_FREE, S_USED, S_CAPACITY, S_THEAP, S_NEXT, S_WORD };
mtype late[CPUS] = NONE;
byte late_at[CPUS];
byte late_value[CPUS];

#define IS_LATE(kind, at)	(late[me] == kind && late_at[me] == (at))
#define LOAD(kind, array, at)	(IS_LATE(kind, at) -> late_value[me] : array[at])
#define DRAINED(kind, at)	(!IS_LATE(kind, at))
#define RELEASED		(late[me] == NONE)

#define STORE(kind, array, at, value)			\
	if						\
	:: IS_LATE(kind, at) ->				\
		late_value[me] = (value)		\
	:: !IS_LATE(kind, at) ->			\
		array[at] = (value)			\
	:: late[me] == NONE ->				\
		late_value[me] = (value);		\
		late_at[me] = (at);			\
		late[me] = kind				\
	fi

inline FLUSH(i)
{
	d_step {
		late[i] != NONE;
		if
		:: late[i] == S_FREE -> free[late_at[i]] = late_value[i]
		:: late[i] == S_USED -> used[late_at[i]] = late_value[i]
		:: late[i] == S_CAPACITY -> capacity[late_at[i]] = late_value[i]
		:: late[i] == S_THEAP -> theap[late_at[i]] = late_value[i]
		:: late[i] == S_NEXT -> next[late_at[i]] = late_value[i]
		:: late[i] == S_WORD -> word[late_at[i]] = late_value[i]
		fi;
		late[i] = NONE;
		late_at[i] = 0;
		late_value[i] = 0
	}
}

/* Late stores become visible, at any time. */
active proctype memory()
{
end:
	do
	:: FLUSH(0)
	:: FLUSH(1)
#if CPUS > 2
	:: FLUSH(2)
#endif
	od
}
#else
#define LOAD(kind, array, at)	array[at]
#define DRAINED(kind, at)	true
#define RELEASED		true
#define STORE(kind, array, at, value) array[at] = (value)
#endif

/* Where a seeded bug takes a barrier away. */
#ifdef BUG_PUSH_RELAXED
#define PUSH_RELEASED		true
#else
#define PUSH_RELEASED		RELEASED
#endif
#ifdef BUG_LIST_RELAXED
#define LIST_RELEASED		true
#else
#define LIST_RELEASED		RELEASED
#endif
#ifdef BUG_DISOWN_RELAXED
#define DISOWN_RELEASED		true
#else
#define DISOWN_RELEASED		RELEASED
#endif
#ifdef BUG_SLICES_PUT_RELAXED
#define SLICES_PUT_RELEASED	true
#else
#define SLICES_PUT_RELEASED	RELEASED
#endif

/* ------------------------------- assertions ------------------------------- */

/* Whatever is done to a page: its slice is in use, and its pool is there. */
inline touch(p)
{
	assert(slice[p] && !gone)
}

/* An access to the plain fields. */
inline plain(p)
{
	touch(p);
	assert(owner[p] == ME)
}

/* Ownership changes hands with the word. */
inline gain(p)
{
	touch(p);
	assert(owner[p] == NOBODY);
	owner[p] = ME
}

inline lose(p)
{
	plain(p);
	owner[p] = NOBODY
}

/* Scratch.  Hidden is not part of the state, but a breadth-first search cannot. */
#ifdef TRACE
#define hidden
#endif
hidden short sum;
hidden byte n, live, at, seen, pushed, i;

/* Follow a list: no block is on two of them, nor twice on one, nor live. */
inline walk_list(p, first)
{
	at = first;
	n = 0;
	do
	:: at == 0 -> break
	:: else ->
		assert(at <= capacity[p] && !(seen & (1 << at)));
		seen = seen | (1 << at);
		assert(block[BLOCK(p, at - 1)] == ON_LIST);
		at = next[BLOCK(p, at - 1)];
		n++
	od
}

inline count_live(p)
{
	live = 0;
	i = 0;
	do
	:: i == BLOCKS -> break
	:: else ->
		assert(block[BLOCK(p, i)] != IN_FLIGHT);
		assert((block[BLOCK(p, i)] == NOWHERE) == (i >= capacity[p]));
		if
		:: block[BLOCK(p, i)] == LIVE -> live++
		:: else
		fi;
		i++
	od
}

/* A page while nobody is inside the allocator. */
inline check_page(p)
{
	count_live(p);
	if
	:: !slice[p] ->
		assert(word[p] == FREE_WORD && capacity[p] == 0 && live == 0);
		assert(owner[p] == NOBODY && queue[p] == 0 && theap[p] == 0)
	:: else ->
		/* Each block is live or on one list: none is lost. */
		seen = 0;
		walk_list(p, free[p]);
		pushed = n;
		assert(used[p] == capacity[p] - pushed);
		walk_list(p, LINK(word[p]));
		pushed = n;
		assert(used[p] == live + pushed);
		if
		:: FLAGS(word[p]) == OWNED ->
			/* In the queue of its owner. */
			assert(COUNT(word[p]) == 0 - pushed);
			assert(queue[p] && theap[p] == queue[p] && owner[p] == queue[p])
		:: FLAGS(word[p]) == 0 ->
			/* No block of a FULL page is free. */
			assert(COUNT(word[p]) == live && live == RESERVED(bin_of[p]));
			assert(owner[p] == NOBODY && queue[p] == 0 && theap[p] == 0)
		:: FLAGS(word[p]) == LISTED ->
			/* The next free claims it, and allocations find it. */
			assert(COUNT(word[p]) == live && live > 0);
			assert(hint[HINT(bin_of[p], p)] && listed[bin_of[p]] > 0);
			sum++;
			assert(owner[p] == NOBODY && queue[p] == 0 && theap[p] == 0)
		:: else ->
			assert(false)
		fi
	fi
}

#if CPUS > 2
#define AT_REST	(!busy[0] && !busy[1] && !busy[2])
#else
#define AT_REST	(!busy[0] && !busy[1])
#endif
#ifdef WEAK
#if CPUS > 2
#define SETTLED	(late[0] == NONE && late[1] == NONE && late[2] == NONE)
#else
#define SETTLED	(late[0] == NONE && late[1] == NONE)
#endif
#else
#define SETTLED	true
#endif

/*
 * Leaves nothing behind, so it costs no states; but to go round it is a cycle, which
 * is why a search for cycles is done WITHOUT_MONITOR.
 */
#ifndef WITHOUT_MONITOR
active proctype monitor()
{
end:
	do
	:: d_step {
		AT_REST && SETTLED && !gone;
		sum = 0;
		check_page(0);
#if PAGES > 1
		check_page(1);
#endif
		i = 0;
		do
		:: i == BINS -> break
		:: else ->
			sum = sum - listed[i];
			i++
		od;
		assert(sum == 0);
		n = 0;
		live = 0;
		at = 0;
		seen = 0;
		pushed = 0;
		i = 0
	   }
	od
}
#endif

/* -------------------------------- processes ------------------------------- */

/* Options of an if: a page for which the condition holds; a live block. */
#if PAGES > 1
#define ANY_PAGE(condition, then)	\
	:: condition(0) -> p = 0; then	\
	:: condition(1) -> p = 1; then
#else
#define ANY_PAGE(condition, then)	\
	:: condition(0) -> p = 0; then
#endif
#define IF_LIVE(x, y, then)		\
	:: MAY(FREE) && block[BLOCK(x, y)] == LIVE -> \
		p = x; k = y; block[BLOCK(x, y)] = IN_FLIGHT; then
#if BLOCKS > 2
#define ANY_LIVE_OF(x, then) IF_LIVE(x, 0, then) IF_LIVE(x, 1, then) IF_LIVE(x, 2, then)
#elif BLOCKS > 1
#define ANY_LIVE_OF(x, then) IF_LIVE(x, 0, then) IF_LIVE(x, 1, then)
#else
#define ANY_LIVE_OF(x, then) IF_LIVE(x, 0, then)
#endif
#if PAGES > 1
#define ANY_LIVE(then)	ANY_LIVE_OF(0, then) ANY_LIVE_OF(1, then)
#else
#define ANY_LIVE(then)	ANY_LIVE_OF(0, then)
#endif

#ifdef WITH_BULK
#define LAST		last
#define MANY		many
#define IF_LIVE_HERE(y, then)		\
	:: MAY(BULK) && block[BLOCK(p, y)] == LIVE -> \
		k = y; block[BLOCK(p, y)] = IN_FLIGHT; then
#if BLOCKS > 2
#define ANY_LIVE_IN_PAGE(then) IF_LIVE_HERE(0, then) IF_LIVE_HERE(1, then) IF_LIVE_HERE(2, then)
#else
#define ANY_LIVE_IN_PAGE(then) IF_LIVE_HERE(0, then) IF_LIVE_HERE(1, then)
#endif
#else
#define LAST		k
#define MANY		1
#endif

#define MAY(what)	((role & (what)) != 0)
#define IS_MINE(x)	(MAY(ABANDON) && queue[x] == ME)
#define IS_IN_MY_QUEUE(x) (queue[x] == ME && bin_of[x] == bin)
#define IS_HINTED(x)	(!unlinked && listed[bin] > 0 && hint[HINT(bin, x)])
#define IS_UNUSED(x)	(!unlinked && !slice[x])
#define IS_STRANDED(x)	(queue[x] == DIES + 1)
#define IS_TO_VISIT(x)	(MAY(VISIT) && !unlinked)
#define IS_GIVEN_BACK(x) (MAY(STRAY) && word[x] == FREE_WORD && !slice[x] && !gone)

/* The process whose CPU can die. */
#define DIES	1

/* With TURNS, each process does so many things and is done: all of them end. */
#ifdef TURNS
#define TURN_LEFT	(turns > 0)
#define ENTER		busy[me] = true; turns--
#else
#define TURN_LEFT	true
#define ENTER		busy[me] = true
#endif

/* A call returns: nothing is in our hands, and no local variable matters. */
#ifdef WITH_BULK
#define CLEAR_BULK	last = 0; many = 0;
#else
#define CLEAR_BULK
#endif
#define RETURN								\
	p = 0; k = 0; old = 0; bin = 0; early = 0; CLEAR_BULK		\
	adopting = false; was_listed = false; busy[me] = false; goto idle

/* The owned page becomes one of our theap's. */
#define OWN				\
	home[p] = ME;			\
	STORE(S_THEAP, theap, p, ME);	\
	queue[p] = ME

/* And leaves it: ours still, but in no queue. */
#ifdef BUG_LIST_KEEPS_THEAP
#define LET_GO				\
	queue[p] = 0
#else
#define LET_GO				\
	queue[p] = 0;			\
	STORE(S_THEAP, theap, p, 0);	\
	STEP(disown-theap)
#endif

proctype cpu(byte me; short role)
{
	byte p, k, old, bin, early;
	bool adopting, was_listed;
#ifdef WITH_BULK
	byte last, many;
#endif
#ifdef TURNS
	byte turns = TURNS;
#endif

	/* What the clients may ask for. */
idle:
end:
	atomic {
		TURN_LEFT && cpu_state[me] == ALIVE;
		if
		:: MAY(ALLOC) -> ENTER; goto alloc
#if BINS > 1
		:: MAY(ALLOC) -> ENTER; bin = 1; goto alloc
#endif
		ANY_LIVE(ENTER; goto client_free)
		ANY_PAGE(IS_MINE, ENTER; goto abandon)
#ifdef WITH_SINGLE
		:: MAY(SINGLE) -> ENTER; bin = BINS; goto fresh
#endif
#ifdef WITH_VISIT
		ANY_PAGE(IS_TO_VISIT, ENTER; goto claim)
#endif
#ifdef WITH_DIE
		:: MAY(DIE) -> cpu_state[me] = DEAD; goto idle
		:: MAY(REAP) && cpu_state[DIES] == DEAD -> ENTER; goto dead
#endif
#ifdef WITH_RELEASE
		:: MAY(RELEASE) && !unlinked -> ENTER; goto release_pool
#endif
#ifdef WITH_STRAY
		ANY_PAGE(IS_GIVEN_BACK, ENTER; old = word[p]; goto push_old)
#endif
		fi
	};

	/* ------------------------- allocation ------------------------- */

alloc:
	atomic {
		if
		ANY_PAGE(IS_IN_MY_QUEUE, skip)
		:: else -> goto no_page
		fi
	};
pop:
	atomic {
		plain(p);
		k = LOAD(S_FREE, free, p);
		if
		:: k == 0 -> goto refill
		:: else -> k--
		fi;
		STEP(pop);
		assert(block[BLOCK(p, k)] == ON_LIST);
		assert(bin_of[p] == bin);
		block[BLOCK(p, k)] = IN_FLIGHT;
		STORE(S_FREE, free, p, LOAD(S_NEXT, next, BLOCK(p, k)));
		STORE(S_USED, used, p, LOAD(S_USED, used, p) + 1);
		STORE(S_NEXT, next, BLOCK(p, k), 0);
		/* To another CPU it gets by a release of the client's. */
		RELEASED;
		block[BLOCK(p, k)] = LIVE;
		RETURN
	};

refill:
	atomic {
		plain(p);
		DRAINED(S_WORD, p);
		if
		:: LINK(word[p]) != 0 ->
			STEP(take-foreign);
			old = word[p];
			word[p] = WORD(OWNED, 0, 0);
			STORE(S_FREE, free, p, LINK(old));
			STORE(S_USED, used, p, LOAD(S_USED, used, p) + COUNT(old));
			old = 0;
			goto pop
		:: LINK(word[p]) == 0 && LOAD(S_CAPACITY, capacity, p) == RESERVED(bin) ->
			/* Full: out of the queue with it. */
			LET_GO;
			goto disown
		:: else
		fi;
		STEP(extend);
		k = LOAD(S_CAPACITY, capacity, p);
		STORE(S_FREE, free, p, k + 1);
		STORE(S_CAPACITY, capacity, p,
		      (k + EXTEND < RESERVED(bin) -> k + EXTEND : RESERVED(bin)));
		do
		:: k == LOAD(S_CAPACITY, capacity, p) -> break
		:: else ->
			block[BLOCK(p, k)] = ON_LIST;
			STORE(S_NEXT, next, BLOCK(p, k),
			      (k + 1 < LOAD(S_CAPACITY, capacity, p) -> k + 2 : 0));
			k++
		od;
		k = 0;
		goto pop
	};

disown:
	atomic {
		plain(p);
		DISOWN_RELEASED && DRAINED(S_WORD, p);
		if
#ifdef BUG_DISOWN_UNCHECKED
		:: true ->
#else
		:: word[p] == WORD(OWNED, 0, 0) ->
#endif
			word[p] = WORD(0, 0, LOAD(S_USED, used, p));
			STEP(disown);
			lose(p);
			p = 0;
			goto alloc
		:: else ->
			OWN;
			STEP(disown-undo);
			goto pop
		fi
	};

	/* The queue has none: adopt one, or take a fresh one. */
no_page:
	atomic {
		if
#ifdef BUG_ADOPT_READ_FIRST
		ANY_PAGE(IS_HINTED, old = word[p])
#else
		ANY_PAGE(IS_HINTED, hint[HINT(bin, p)] = false; assert(!gone); STEP(adopt-hint))
#endif
		ANY_PAGE(IS_UNUSED, p = 0; goto fresh)
		:: else -> RETURN	/* NULL */
		fi;
		adopting = true
	};
#ifdef BUG_ADOPT_READ_FIRST
	atomic {
		hint[HINT(bin, p)] = false;
		goto claim_old
	};
#endif

	/* LISTED -> OWNED; who looks at the whole heap takes FULL pages, too. */
claim:
	atomic {
		assert(!gone);
		old = word[p];
claim_old:
		if
#ifdef BUG_ADOPT_UNCHECKED
		:: true
#else
		:: FLAGS(old) == LISTED
		:: !adopting && FLAGS(old) == 0 && COUNT(old) != 0
#ifdef BUG_CLAIM_WAITS
		:: else -> goto claim
#else
		:: else -> RETURN
#endif
#endif
		fi
	};
#ifdef BUG_USED_BEFORE_CLAIM
	early = used[p];
#endif
	atomic {
		assert(!gone);
		if
		:: word[p] != old -> goto claim
		:: else
		fi;
		gain(p);
		STEP(claim);
		was_listed = (FLAGS(old) == LISTED);
#ifdef BUG_USED_BEFORE_CLAIM
		word[p] = WORD(OWNED, LINK(old), COUNT(old) - early);
#else
		word[p] = WORD(OWNED, LINK(old), COUNT(old));
#endif
		early = 0;
		old = 0
	};
	/* The count, which was that of the live blocks, is set right. */
	atomic {
		plain(p);
		DRAINED(S_WORD, p);
#ifndef BUG_USED_BEFORE_CLAIM
		word[p] = word[p] - (LOAD(S_USED, used, p) << 4)
#endif
	};
	atomic {
		plain(p);
		if
		:: was_listed -> listed[bin_of[p]]--
		:: else
		fi;
		was_listed = false;
#ifdef WITH_VISIT
		if
		:: !adopting -> goto visit
		:: else
		fi;
#endif
		adopting = false;
		if
		:: bin_of[p] != bin ->
			STEP(adopt-bin);
			goto settle
		:: else
		fi;
		OWN;
		goto alloc
	};

#ifdef WITH_VISIT
visit:
	atomic {
		STEP(visit);
		plain(p);
		seen = 0;
		walk_list(p, free[p]);
		assert(used[p] == capacity[p] - n);
		walk_list(p, LINK(word[p]));
		assert(COUNT(word[p]) == 0 - n);
		n = 0;
		at = 0;
		seen = 0;
		pushed = 0;
		goto settle
	};
#endif

fresh:
	atomic {
		if
		ANY_PAGE(IS_UNUSED, slice[p] = true)
		:: else -> RETURN	/* NULL */
		fi;
		STEP(slices-take);
		gain(p)
	};
	atomic {
		plain(p);
		STEP(page-init);
		STORE(S_FREE, free, p, 0);
		STORE(S_USED, used, p, 0);
		STORE(S_CAPACITY, capacity, p, 0);
		STORE(S_WORD, word, p, WORD(OWNED, 0, 0));
		home[p] = 0;
		bin_of[p] = bin;
#ifdef WITH_SINGLE
		if
		:: bin == BINS -> goto single
		:: else
		fi;
#endif
		OWN;
		goto alloc
	};

#ifdef WITH_SINGLE
	/* A block with a page of its own: FULL from the start. */
single:
	atomic {
		plain(p);
		STORE(S_USED, used, p, 1);
		STORE(S_CAPACITY, capacity, p, 1);
		STORE(S_NEXT, next, BLOCK(p, 0), 0);
		RELEASED;
		word[p] = WORD(0, 0, 1);
		STEP(single);
		lose(p);
		block[BLOCK(p, 0)] = LIVE;
		RETURN
	};
#endif

	/* ---------------------------- free ---------------------------- */

client_free:
	atomic {
		touch(p);
		STEP(is-local);
		if
		:: !MAY(NMI) && LOAD(S_THEAP, theap, p) == ME
		:: else -> goto foreign_free
		fi
	};
local_free:
	atomic {
		plain(p);
		STEP(local-free);
		STORE(S_NEXT, next, BLOCK(p, k), LOAD(S_FREE, free, p));
		STORE(S_FREE, free, p, k + 1);
		STORE(S_USED, used, p, LOAD(S_USED, used, p) - 1);
		block[BLOCK(p, k)] = ON_LIST;
		k = 0;
		if
		:: LOAD(S_USED, used, p) == 0 ->
			STEP(retire);
			goto abandon
		:: true -> RETURN
		fi
	};

foreign_free:
	/* A full page of our own comes back first, if we do not keep too much. */
	atomic {
		touch(p);
		old = word[p];
		if
		:: !MAY(NMI) && home[p] == ME && FLAGS(old) == 0 && LINK(old) == 0 &&
		   COUNT(old) != 0
		:: true -> goto push
		fi
	};
	atomic {
		touch(p);
		if
#ifndef BUG_RECLAIM_UNCHECKED
		:: word[p] != old -> goto push
#endif
		:: else
		fi;
		old = 0;
		gain(p);
		STEP(reclaim);
		word[p] = WORD(OWNED, 0, 0);
		OWN;
		goto local_free
	};

push:
#ifdef WITH_BULK
	/* Another block of the page goes in front of the first one. */
	atomic {
		last = k;
		many = 1;
		if
		ANY_LIVE_IN_PAGE(STORE(S_NEXT, next, BLOCK(p, k), last + 1); many = 2)
		:: true
		fi
	};
#endif
push_again:
	atomic {
		touch(p);
		old = word[p];
push_old:
#ifndef BUG_PUSH_UNCHECKED
		if
		:: !(old & OWNED) && COUNT(old) < MANY ->
			STEP(push-refuse);
			assert(MAY(STRAY));
			RETURN
		:: else
		fi;
#endif
		touch(p);
		STEP(push-link);
		STORE(S_NEXT, next, BLOCK(p, LAST), LINK(old))
	};
	atomic {
		PUSH_RELEASED && DRAINED(S_WORD, p);
		touch(p);
		if
		:: word[p] != old -> goto push_again
		:: else
		fi;
		block[BLOCK(p, k)] = ON_LIST;
		block[BLOCK(p, LAST)] = ON_LIST;
		word[p] = WORD(FLAGS(old), k + 1, COUNT(old) - MANY);
		STEP(push);
		k = 0;
		if
#ifdef BUG_LISTED_CLAIMED_EARLY
		:: !(old & OWNED) ->
#else
		:: !(old & OWNED) && (!(old & LISTED) || COUNT(word[p]) == 0) ->
#endif
#ifdef BUG_GIVE_BACK_UNCLAIMED
			if
			:: old & LISTED ->
				owner[p] = ME;
				goto dying
			:: else
			fi;
#endif
			STEP(push-claim);
			word[p] = word[p] | OWNED;
			gain(p);
			if
			:: old & LISTED -> goto dying
			:: else -> goto claimed
			fi
		:: else -> RETURN
		fi
	};

	/* The first free into a FULL page. */
claimed:
	atomic {
		plain(p);
		STEP(claimed);
		old = word[p];
		word[p] = WORD(OWNED, 0, 0);
		STORE(S_FREE, free, p, LINK(old));
		STORE(S_USED, used, p, COUNT(old));
		if
		:: LOAD(S_USED, used, p) != 0 && !MAY(NMI) && home[p] == ME ->
			STEP(go-home);
			OWN;
			RETURN
		:: true -> goto settle
		fi
	};

	/* The last free into a LISTED page. */
dying:
	atomic {
		plain(p);
		STEP(dying);
		bin = bin_of[p];
#ifndef BUG_DYING_HINT_LATE
		hint[HINT(bin, p)] = false
#endif
	};
	atomic {
		listed[bin]--;
		goto give_back
	};

	/* ------------------ owned, and in no queue -------------------- */

	/* An empty page, the collector, a budget, a CPU that has died. */
abandon:
	atomic {
		plain(p);
		STEP(abandon);
		LET_GO
	};

settle:
	atomic {
		plain(p);
		STEP(settle);
		DRAINED(S_WORD, p);
		bin = bin_of[p];
		old = word[p];
		if
		:: LOAD(S_FREE, free, p) == 0 &&
		   LOAD(S_CAPACITY, capacity, p) == RESERVED(bin)
		:: else -> goto list
		fi
	};
	atomic {
		DISOWN_RELEASED && DRAINED(S_WORD, p);
		if
		:: word[p] == WORD(OWNED, 0, 0) ->
			word[p] = WORD(0, 0, LOAD(S_USED, used, p));
			lose(p);
			RETURN
		:: else -> old = word[p]
		fi
	};

list:
#ifdef BUG_HINT_FIRST
	hint[HINT(bin, p)] = true;
list_again:
#endif
	atomic {
		plain(p);
#ifndef BUG_LIST_EMPTY
		if
		:: LOAD(S_USED, used, p) + COUNT(old) == 0 ->
			STEP(list-empty);
			goto give_back
		:: else
		fi;
#endif
		LIST_RELEASED && DRAINED(S_WORD, p);
		if
		:: word[p] == old ->
			word[p] = WORD(LISTED, LINK(old),
				       LOAD(S_USED, used, p) + COUNT(old));
			STEP(list);
			lose(p)
		:: else ->
			old = word[p];
#ifdef BUG_HINT_FIRST
			goto list_again
#else
			goto list
#endif
		fi
	};
#ifndef BUG_HINT_FIRST
	atomic {
		assert(!gone);
		STEP(list-hint);
		hint[HINT(bin, p)] = true
	};
#endif
	atomic {
		listed[bin]++;
		RETURN
	};

give_back:
	atomic {
		plain(p);
		k = 0;
		do
		:: k == BLOCKS -> break
		:: else ->
			assert(block[BLOCK(p, k)] != LIVE);
			assert(block[BLOCK(p, k)] != IN_FLIGHT);
			block[BLOCK(p, k)] = NOWHERE;
			k++
		od;
		k = 0;
		STORE(S_CAPACITY, capacity, p, 0);
		STORE(S_THEAP, theap, p, 0);
		DRAINED(S_WORD, p);
		STORE(S_WORD, word, p, FREE_WORD);
		STEP(give-back)
	};
	atomic {
		SLICES_PUT_RELEASED;
		STEP(slices-put);
		lose(p);
		slice[p] = false;
		/* Nobody looks at these any more: fewer states. */
		free[p] = 0;
		used[p] = 0;
		home[p] = 0;
		bin_of[p] = 0;
		do
		:: k == BLOCKS -> break
		:: else ->
			next[BLOCK(p, k)] = 0;
			k++
		od;
#ifndef BUG_DYING_HINT_LATE
		RETURN
#endif
	};
#ifdef BUG_DYING_HINT_LATE
	atomic {
		hint[HINT(bin, p)] = false;
		RETURN
	};
#endif

	/* ------------------------- hotplug, pools --------------------- */

#ifdef WITH_DIE
	/* Nobody can be inside the theap.  Comes up again when it is empty. */
dead:
	atomic {
		if
		ANY_PAGE(IS_STRANDED, skip)
		:: else ->
			cpu_state[DIES] = ALIVE;
			RETURN
		fi;
		STEP(cpu-dead);
#ifdef BUG_DEAD_DROPPED
		queue[p] = 0;
		p = 0;
		goto dead
#else
		assert(owner[p] == DIES + 1);
		owner[p] = ME;
		goto abandon
#endif
	};
#endif

#ifdef WITH_RELEASE
	/* Take all slices: then there is no page in the pool, and none can be. */
release_pool:
	atomic {
		if
#if PAGES > 1
		:: !slice[0] && !slice[1] ->
			slice[0] = true;
			slice[1] = true
#else
		:: !slice[0] -> slice[0] = true
#endif
		:: else -> RETURN
		fi;
		STEP(pool-claim);
		unlinked = true
	};
	/* The grace period: each of the others has been outside since. */
#ifndef BUG_NO_GRACE
	atomic {
		!busy[1 - me];
		STEP(pool-grace)
	};
#endif
	gone = true;
	/* Another pool takes its place. */
	atomic {
		p = 0;
		do
		:: p == PAGES -> break
		:: else ->
			assert(word[p] == FREE_WORD && owner[p] == NOBODY);
			slice[p] = false;
			hint[HINT(0, p)] = false;
			p++
		od;
		gone = false;
		unlinked = false;
		RETURN
	};
#endif
}

init
{
	atomic {
		run cpu(0, ROLE0);
		run cpu(1, ROLE1);
#if CPUS > 2
		run cpu(2, ROLE2)
#endif
	}
}
