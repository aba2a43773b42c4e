/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core of the TLSF engine: lists, checks, and the two operations that decide
 * about its speed.  All of it is inline, for tlsf.c, which explains it, and for
 * chaos_alloc.c, whose calls for the usual case end here.
 *
 * The usual case has no call in it, hence no stack frame and no register to save:
 * whatever would take one (a lock that is held, blocks that an NMI has left,
 * damage, a link into another pool) makes tlsf_alloc_fast() and tlsf_free_fast()
 * give up with nothing changed, and the caller goes the long way.
 */
#ifndef _CHAOS_TLSF_CORE_H
#define _CHAOS_TLSF_CORE_H

#include <linux/llist.h>

#include "engine.h"
#include "lock.h"
#include "pool.h"
#include "sanitize.h"
#include "tlsf.h"

/* ---------------------------------- lists --------------------------------- */

static __always_inline struct list_head *tlsf_list(struct tlsf *t,
						   unsigned long key)
{
	return (struct list_head *)t + key;
}

static __always_inline void tlsf_mark_list(struct tlsf *t, unsigned long key)
{
	unsigned long *word = &t->sl_bitmap[TLSF_SL_WORD(key)];

	if (!*word)
		t->fl_bitmap |= TLSF_FL_MARK(key);
	*word |= TLSF_SL_MARK(key);
}

static __always_inline void tlsf_unmark_list(struct tlsf *t, unsigned long key)
{
	unsigned long *word = &t->sl_bitmap[TLSF_SL_WORD(key)];

	*word &= ~TLSF_SL_MARK(key);
	if (!*word)
		t->fl_bitmap &= ~TLSF_FL_MARK(key);
}

/* Go on from *@key to the first list that has blocks; false: there is none. */
static __always_inline bool tlsf_find(const struct tlsf *t, unsigned long *key)
{
	unsigned long word = TLSF_SL_WORD(*key);
	unsigned long sls = t->sl_bitmap[word] << (*key % BITS_PER_LONG);
	unsigned long fls;

	if (sls) {
		*key += __builtin_clzl(sls);
		return true;
	}
	fls = t->fl_bitmap << word & ~TLSF_FIRST_MARK;	/* the words behind it */
	if (unlikely(!fls))
		return false;
	word += __builtin_clzl(fls);
	*key = word * BITS_PER_LONG + __builtin_clzl(t->sl_bitmap[word]);
	return true;
}

/* Put the free block whose link is @link on the list @key. */
static __always_inline void tlsf_insert(struct tlsf *t, struct list_head *link,
					unsigned long key)
{
	struct list_head *list = tlsf_list(t, key);
	struct list_head *next = list->next;

	link->next = next;
	link->prev = list;
	next->prev = link;
	list->next = link;
	if (next == list)
		tlsf_mark_list(t, key);
}

/* Take what is between @prev and @next, of the list @key, off it. */
static __always_inline void tlsf_unlink(struct tlsf *t, struct list_head *prev,
					struct list_head *next, unsigned long key)
{
	next->prev = prev;
	prev->next = next;
	if (next == prev)
		tlsf_unmark_list(t, key);
}

/* Put @link in the place of what is between @prev and @next. */
static __always_inline void tlsf_replace(struct list_head *prev,
					 struct list_head *next,
					 struct list_head *link)
{
	link->next = next;
	link->prev = prev;
	next->prev = link;
	prev->next = link;
}

/* ---------------------------------- pools --------------------------------- */

/*
 * Number of the bit in @pool->live for @p: its distance from the first block, in steps
 * of TLSF_ALIGN.  Out of range if misaligned.
 */
static __always_inline unsigned long tlsf_position(const struct tlsf_pool *pool,
						   const void *p)
{
	unsigned long offset = (unsigned long)p - pool->first;

	return offset >> TLSF_ALIGN_SHIFT |
	       offset << (BITS_PER_LONG - TLSF_ALIGN_SHIFT);
}

static __always_inline bool tlsf_is_possible(const struct tlsf_pool *pool,
					     unsigned long position)
{
	return position <= pool->last;
}

/* Whether a block could be at @p in @pool. */
static __always_inline bool tlsf_is_inside(const struct tlsf_pool *pool,
					   const void *p)
{
	return tlsf_is_possible(pool, tlsf_position(pool, p));
}

/*
 * Where the free block whose link is @link begins if it is of the least size: there
 * could be a link if there could be this block.  (It is @link where a pointer has 64
 * bits.)
 */
static __always_inline const void *tlsf_least_at(const struct list_head *link)
{
	return (void *)link + offsetof(struct tlsf_block, head) - TLSF_MIN_SIZE;
}

/* The pool of a heap that @p is in, by the map; NULL: none that is in use. */
static __always_inline struct tlsf_pool *tlsf_mapped_pool(struct tlsf *t,
							  const void *p)
{
	struct chaos_pool *mapped = chaos_pool_of(p);
	struct tlsf_pool *pool;

	if (!mapped || mapped->heap != t->heap)
		return NULL;
	pool = mapped->priv;
	if (!tlsf_is_inside(pool, p) || list_empty(&pool->node))
		return NULL;
	return pool;
}

static __always_inline bool tlsf_is_live_at(const struct tlsf_pool *pool,
					    unsigned long position)
{
	return READ_ONCE(pool->live[BIT_WORD(position)]) >>
	       position % BITS_PER_LONG & 1;
}

static __always_inline bool tlsf_is_live(const struct tlsf_pool *pool,
					 const void *p)
{
	unsigned long at = tlsf_position(pool, p);

	return tlsf_is_possible(pool, at) && tlsf_is_live_at(pool, at);
}

/* For a @p that is the start of a block. */
static __always_inline void tlsf_set_live(struct tlsf_pool *pool, const void *p,
					  bool live)
{
	unsigned long at = tlsf_position(pool, p);
	unsigned long *word = &pool->live[BIT_WORD(at)];

	WRITE_ONCE(*word, live ? *word | BIT_MASK(at) : *word & ~BIT_MASK(at));
}

/* Whether a block of @size fits between @block and the sentinel. */
static __always_inline bool tlsf_size_possible(const struct tlsf_pool *pool,
					       const struct tlsf_block *block,
					       size_t size)
{
	size_t offset = (unsigned long)block->payload - pool->first;

	return size - TLSF_MIN_SIZE <= pool->last * TLSF_ALIGN - offset;
}

/* --------------------------------- checks --------------------------------- */

/**
 * struct tlsf_listed - what is known of a free block that has been found intact
 * @key: the list that it is on
 * @next: its link's ends
 * @prev:
 */
struct tlsf_listed {
	unsigned long key;
	struct list_head *next;
	struct list_head *prev;
};

/* Whether a link leads to another pool that is in use. */
bool tlsf_link_far(struct tlsf *t, const struct list_head *link);

/*
 * Whether a link of a block in @pool whose list is @list may be followed.  With
 * @near, not to another pool.
 */
static __always_inline bool tlsf_link_valid(struct tlsf *t,
					    const struct tlsf_pool *pool,
					    const struct list_head *list,
					    const struct list_head *link,
					    bool near)
{
	if (link == list ||
	    likely(tlsf_is_inside(pool, tlsf_least_at(link))))
		return true;
	return !near && tlsf_link_far(t, link);
}

/* Look at the link of a free block of @size in @pool. */
static __always_inline bool tlsf_link_intact(struct tlsf *t,
					     const struct tlsf_pool *pool,
					     const struct list_head *link,
					     size_t size, bool near,
					     struct tlsf_listed *l)
{
	struct list_head *list;

	l->key = tlsf_key(size);
	l->next = link->next;
	l->prev = link->prev;
	list = tlsf_list(t, l->key);
	return likely(tlsf_link_valid(t, pool, list, l->next, near)) &&
	       likely(tlsf_link_valid(t, pool, list, l->prev, near)) &&
	       likely((l->next->prev == link) & (l->prev->next == link));
}

/*
 * Whether a free block's head and the block behind it tell the same story.  A
 * flag too many or too few makes the size one that is not followed by this
 * block's address.  (Garbage may be misaligned, but is inside of the pool.)
 */
static __always_inline bool tlsf_free_intact(const struct tlsf_pool *pool,
					     const struct tlsf_block *block)
{
	size_t size = block->head - TLSF_FREE;

	return likely(tlsf_size_possible(pool, block, size)) &&
	       likely(tlsf_next_at(block, size)->prev_phys == block->payload);
}

/* Whether a block, or the sentinel, could be at @position, behind another one. */
static __always_inline bool tlsf_next_possible(const struct tlsf_pool *pool,
					       unsigned long position)
{
	return likely(tlsf_is_possible(pool, position -
				       TLSF_MIN_SPLIT / TLSF_ALIGN));
}

/* Whether what lies at @next and @position is a free block of @size. */
static __always_inline bool tlsf_next_free(const struct tlsf_pool *pool,
					   const struct tlsf_block *next,
					   unsigned long position, size_t size)
{
	return likely(tlsf_is_possible(pool, position +
				       (size - TLSF_MIN_SIZE) / TLSF_ALIGN)) &&
	       likely(tlsf_next_at(next, size)->prev_phys == next->payload);
}

/* Whether it is a live block that does not know the one before as free. */
static __always_inline bool tlsf_next_live(const struct tlsf_pool *pool,
					   const struct tlsf_block *next,
					   unsigned long position)
{
	return likely(!(next->head & TLSF_PREV_FREE)) &&
	       likely(tlsf_is_live_at(pool, position));
}

/* Whether what lies before a block with TLSF_PREV_FREE is a free block. */
static __always_inline bool tlsf_prev_intact(struct tlsf *t,
					     const struct tlsf_pool *pool,
					     const struct tlsf_block *block,
					     bool near, struct tlsf_listed *l,
					     size_t *prev_size)
{
	void *prev = block->prev_phys;
	size_t size = (void *)&block->head - prev;

	*prev_size = size;
	return likely(tlsf_is_inside(pool, prev)) &&
	       likely(*tlsf_head_of(prev) == (size | TLSF_FREE)) &&
	       tlsf_link_intact(t, pool, &block->link, size, near, l);
}

/* ------------------------------- allocation ------------------------------- */

/* Mark the block at position @at as live; false if it is. */
static __always_inline bool tlsf_claim(struct tlsf_pool *pool, unsigned long at)
{
	unsigned long *word = &pool->live[BIT_WORD(at)];
	unsigned long bit = BIT_MASK(at), live;

	OPTIMIZER_HIDE_VAR(bit);	/* or testing it takes one register more */
	live = *word;
	if (unlikely(live & bit))
		return false;
	WRITE_ONCE(*word, live | bit);
	return true;
}

/*
 * Whether a block of @rest bytes behind one of @size is worth it.  One of less than
 * a list's step is not: cutting it off now and merging it again later costs more
 * than its use.
 */
static __always_inline bool tlsf_worth_cutting(size_t rest, size_t size)
{
	return (ssize_t)(rest - (size >> TLSF_SLI)) >= (ssize_t)TLSF_MIN_SIZE;
}

/**
 * struct tlsf_first - the first block of a list, which has been found intact
 * @pool: where it is
 * @at: at which position
 * @p: its payload
 * @size: its size
 * @whole: the same, even if @at, @p and @size are made those of its end
 * @end: the block behind, and hence its link
 */
struct tlsf_first {
	struct tlsf_pool *pool;
	unsigned long at;
	void *p;
	size_t size;
	size_t whole;
	struct tlsf_block *end;
};

/*
 * Whether the first block of @list is a free one of @least bytes.  Its link, which has
 * led there, is not looked at.
 */
static __always_inline bool tlsf_first_intact(struct tlsf *t,
					      const struct list_head *list,
					      size_t least, struct tlsf_first *f)
{
	struct tlsf_pool *pool = t->recent;
	struct list_head *link = list->next;
	unsigned long end = tlsf_position(pool, tlsf_least_at(link));

	if (unlikely(!tlsf_is_possible(pool, end))) {
		pool = tlsf_mapped_pool(t, tlsf_least_at(link));
		if (!pool)
			return false;
		t->recent = pool;
		end = tlsf_position(pool, tlsf_least_at(link));
	}
	f->pool = pool;
	f->end = container_of(link, struct tlsf_block, link);
	f->p = f->end->prev_phys;
	f->at = tlsf_position(pool, f->p);
	f->size = (void *)&f->end->head - f->p;
	f->whole = f->size;
	return likely((f->at <= end) & (f->size >= least)) &&
	       likely(*tlsf_head_of(f->p) == (f->size | TLSF_FREE));
}

/* Whether the ends of @link, the first one of @list, agree; @next is the one behind. */
static __always_inline bool tlsf_is_first(const struct list_head *list,
					  const struct list_head *link,
					  const struct list_head *next)
{
	return (link->prev == list) & (next->prev == link);
}

/*
 * Mark what is at @at, in the block @f, as live and take that off its list @key.
 * False: it is live, or its link leads elsewhere than to @list and the pool.
 */
static __always_inline bool tlsf_claim_linked(struct tlsf *t, unsigned long key,
					      struct list_head *list,
					      const struct tlsf_first *f,
					      unsigned long at)
{
	const struct list_head *link = &f->end->link;
	struct list_head *next = link->next;

	if (likely(tlsf_link_valid(t, f->pool, list, next, true)) &&
	    likely(tlsf_is_first(list, link, next)) &&
	    likely(tlsf_claim(f->pool, at))) {
		tlsf_unlink(t, list, next, key);
		return true;
	}
	return false;
}

/* From @p to before @end is a free block of @size. */
static __always_inline void tlsf_set_free(void *p, size_t size,
					  struct tlsf_block *end)
{
	*tlsf_head_of(p) = size | TLSF_FREE;
	end->prev_phys = p;
}

/*
 * What is behind @size bytes of @f, with a header @rest bytes, stays free.  @flags are
 * the block's.
 */
static __always_inline void tlsf_cut_first(const struct tlsf_first *f, size_t size,
					   u64 flags, size_t rest)
{
	*tlsf_head_of(f->p) = size | flags;
	tlsf_set_free(f->p + size + TLSF_HEADER, rest, f->end);
}

/*
 * Make what is at @f of the first block of the list @key a block of @size with @flags, and
 * keep the @rest bytes behind it.  *@cost is what it costs.  False: something is unusual,
 * and nothing has been changed.
 *
 * If the rest belongs on the same list, it is where it was.  (Such a rest is always
 * worth cutting off: of the block, it leaves less than a list's step.)
 */
static __always_inline bool tlsf_take_first(struct tlsf *t, unsigned long key,
					    struct list_head *list,
					    struct tlsf_first *f, size_t size,
					    size_t rest, u64 flags, size_t *cost)
{
	if (tlsf_key_same(key, f->whole, rest)) {
		if (unlikely(!tlsf_claim(f->pool, f->at)))
			return false;
		tlsf_cut_first(f, size, flags, rest);
		*cost = TLSF_HEADER + size;
		return true;
	}
	OPTIMIZER_HIDE_VAR(f->pool);	/* rather read it again */
	if (unlikely(!tlsf_claim_linked(t, key, list, f, f->at)))
		return false;
	if (tlsf_worth_cutting(rest, size)) {
		tlsf_insert(t, &f->end->link, tlsf_key(rest));
		tlsf_cut_first(f, size, flags, rest);
	} else {
		size = f->size;
		*tlsf_head_of(f->p) = size | flags;
		f->end->head &= ~TLSF_PREV_FREE;
	}
	*cost = TLSF_HEADER + size;
	return true;
}

/*
 * Where no list is sure to have a block, and @key is the first that would be: the first
 * block of the list before it may do.  Blocks are of sizes that the search finds again,
 * with the exception of what was all that there was, and less than the next list's.
 * Whether the block is large enough is left to those who look at it.
 */
static __always_inline bool tlsf_find_exact(struct tlsf *t, unsigned long *key)
{
	const struct list_head *list = tlsf_list(t, --*key);

	return list->next != list;
}

/*
 * Put a block of @size, the least on the list @key, into *@p and what it costs
 * into *@cost; if there is none, one of @want.  False: there is none either, or
 * anything about it is unusual.
 */
static __always_inline bool tlsf_take(struct tlsf *t, unsigned long key,
				      size_t size, size_t want, void **p,
				      size_t *cost)
{
	struct list_head *list;
	struct tlsf_first f;

	if (unlikely(!tlsf_find(t, &key))) {
		if (!tlsf_find_exact(t, &key))
			return false;
		/* What is on that list leaves nothing that is worth cutting off. */
		size = want;
	}
	list = tlsf_list(t, key);
	OPTIMIZER_HIDE_VAR(list);
	if (unlikely(!tlsf_first_intact(t, list, size, &f)) ||
	    unlikely(!tlsf_take_first(t, key, list, &f, size,
				      f.size - size - TLSF_HEADER, 0, cost)))
		return false;
	*p = f.p;
	f.pool->allocs++;
	f.pool->used += *cost;
	return true;
}

/*
 * Bytes in which a block of @size aligned to @align is found anywhere: what
 * is left before it must be nothing or a block.
 */
static __always_inline size_t tlsf_aligned_need(size_t size, size_t align)
{
	return size + align - TLSF_ALIGN + TLSF_MIN_SPLIT;
}

/* Bytes from @p to where a block aligned to @align can begin. */
static __always_inline size_t tlsf_gap(const void *p, size_t align)
{
	size_t gap = -(unsigned long)p & (align - 1);

	return gap ? ((gap - TLSF_MIN_SPLIT) & (align - 1)) + TLSF_MIN_SPLIT : 0;
}

/* The first @gap bytes at @front, which is on no list, become a free block. */
static __always_inline struct tlsf_block *
tlsf_cut_front(struct tlsf *t, void *front, size_t gap)
{
	struct tlsf_block *block = tlsf_block_of(front + gap);

	tlsf_set_free(front, gap - TLSF_HEADER, block);
	tlsf_insert(t, &block->link, tlsf_key(gap - TLSF_HEADER));
	return block;
}

static __always_inline u64 tlsf_promise(size_t align)
{
	return (u64)__ffs(align / TLSF_ALIGN) << TLSF_PROMISE_SHIFT;
}

/*
 * As tlsf_take(), for a block of @size that is aligned to @align.  A search for one more
 * would not find it again whatever its size, so that is not rounded up to a list's.
 */
static __always_inline bool tlsf_take_aligned(struct tlsf *t, size_t size,
					      size_t align, void **p,
					      size_t *cost)
{
	size_t need = tlsf_aligned_need(size, align), least, gap, rest;
	unsigned long key = tlsf_key_up(need, &least);
	u64 flags = tlsf_promise(align);
	struct list_head *list;
	struct tlsf_first f;

	if (unlikely(!tlsf_find(t, &key))) {
		if (!tlsf_find_exact(t, &key))
			return false;
		least = need;
	}
	list = tlsf_list(t, key);
	OPTIMIZER_HIDE_VAR(list);
	if (unlikely(!tlsf_first_intact(t, list, least, &f)))
		return false;
	rest = f.size - size - TLSF_HEADER;
	gap = tlsf_gap(f.p, align);
	if (gap) {
		if (unlikely(tlsf_is_live_at(f.pool, f.at)))
			return false;
		f.p += gap;
		f.at += gap / TLSF_ALIGN;
		rest -= gap;
		flags |= TLSF_PREV_FREE;
	}
	/* What is cheap to know again takes no register, or there would be a stack frame. */
	OPTIMIZER_HIDE_VAR(key);
	OPTIMIZER_HIDE_VAR(rest);
	f.size = (void *)&f.end->head - f.p;
	list = tlsf_list(t, key);
	OPTIMIZER_HIDE_VAR(list);
	if (unlikely(!tlsf_take_first(t, key, list, &f, size, rest, flags, cost)))
		return false;
	if (gap)
		tlsf_cut_front(t, f.p - gap, gap);
	*p = f.p;
	f.pool->allocs++;
	f.pool->used += *cost;
	return true;
}

/*
 * Allocate from @heap for the usual case: a lock that is free, and a block that is
 * where it should be.  NULL: not the usual case; nothing has been changed.
 * If *@due, the caller calls chaos_wake_grower().
 */
static __always_inline bool tlsf_alloc_fast(struct chaos_heap *heap, size_t want,
					    void **p, bool *due)
{
	struct tlsf *t = heap->priv;
	unsigned long key, flags;
	size_t size, cost;

	key = tlsf_key_up(max(want, TLSF_MIN_SIZE), &size);
	OPTIMIZER_HIDE_VAR(size);
	if (unlikely(!chaos_trylock(&t->lock, &flags)))
		return false;
	if (unlikely(!llist_empty(&t->lock.deferred)) ||
	    unlikely(!tlsf_take(t, key, size, want, p, &cost))) {
		chaos_unlock(&t->lock, flags);
		return false;
	}
	/* Not @heap: that would be one register more than there are. */
	heap = t->heap;
	*due = chaos_hold_only(heap, cost) > READ_ONCE(heap->low_mark);
	chaos_unlock(&t->lock, flags);
	return true;
}

/* The same for @align > TLSF_ALIGN. */
static __always_inline bool tlsf_alloc_aligned_fast(struct chaos_heap *heap,
						    size_t want, size_t align,
						    void **p, bool *due)
{
	struct tlsf *t = heap->priv;
	unsigned long flags;
	size_t cost;

	if (unlikely(!chaos_trylock(&t->lock, &flags)))
		return false;
	if (unlikely(!llist_empty(&t->lock.deferred)) ||
	    unlikely(!tlsf_take_aligned(t, tlsf_round(want), align, p, &cost))) {
		chaos_unlock(&t->lock, flags);
		return false;
	}
	heap = t->heap;
	*due = chaos_hold_only(heap, cost) > READ_ONCE(heap->low_mark);
	chaos_unlock(&t->lock, flags);
	return true;
}

/* --------------------------------- release -------------------------------- */

/**
 * struct tlsf_freeing - a live block that is about to be freed
 * @pool: where it is
 * @word: the word of @pool->live with its bit
 * @live: that word without the bit
 * @p: its payload
 * @cost: bytes from there to the next block's
 */
struct tlsf_freeing {
	struct tlsf_pool *pool;
	unsigned long *word;
	unsigned long live;
	void *p;
	size_t cost;
};

/* Whether it is live, at @position. */
static __always_inline bool tlsf_freeing_live(struct tlsf_freeing *f,
					      unsigned long position)
{
	f->word = &f->pool->live[BIT_WORD(position)];
	f->live = *f->word ^ BIT_MASK(position);
	return !(f->live & BIT_MASK(position));
}

/* It is not any more. */
static __always_inline void tlsf_disclaim(const struct tlsf_freeing *f)
{
	WRITE_ONCE(*f->word, f->live);
	f->pool->used -= f->cost;
	f->pool->frees++;
}

/* Neither neighbour is free. */
static __always_inline enum chaos_verdict
tlsf_put_alone(struct tlsf *t, const struct tlsf_freeing *f)
{
	struct tlsf_block *end = tlsf_block_of(f->p + f->cost);
	size_t size = f->cost - TLSF_HEADER;

	tlsf_disclaim(f);
	end->head |= TLSF_PREV_FREE;
	tlsf_insert(t, &end->link, tlsf_key(size));
	tlsf_set_free(f->p, size, end);
	return CHAOS_OK;
}

/*
 * Put a free block of @size whose link is @link on the list for @to bytes.  False:
 * its link is damaged.
 */
static __always_inline bool tlsf_relist(struct tlsf *t, const struct tlsf_pool *pool,
					struct list_head *link, size_t size,
					size_t to, bool near)
{
	struct tlsf_listed l;

	if (unlikely(!tlsf_link_intact(t, pool, link, size, near, &l)))
		return false;
	tlsf_unlink(t, l.prev, l.next, l.key);
	tlsf_insert(t, link, tlsf_key(to));
	return true;
}

/*
 * The one behind, @next_size bytes up to @end, is free: it grows to the start of this
 * one.  If it is still on the right list then, its link is of no interest.
 */
static __always_inline enum chaos_verdict
tlsf_put_before(struct tlsf *t, const struct tlsf_freeing *f, size_t next_size,
		struct tlsf_block *end, bool near)
{
	size_t size = f->cost + next_size;

	if (!tlsf_size_same(next_size, size) &&
	    unlikely(!tlsf_relist(t, f->pool, &end->link, next_size, size, near)))
		return CHAOS_CORRUPT;
	tlsf_disclaim(f);
	tlsf_set_free(f->p, size, end);
	return CHAOS_OK;
}

/* The one before is free: its end, and with that its link, moves to this one's. */
static __always_inline enum chaos_verdict
tlsf_put_behind(struct tlsf *t, const struct tlsf_freeing *f, bool near)
{
	struct tlsf_block *block = tlsf_block_of(f->p);
	struct tlsf_block *end = tlsf_block_of(f->p + f->cost);
	struct tlsf_listed prev;
	unsigned long key;
	size_t size;

	if (unlikely(!tlsf_prev_intact(t, f->pool, block, near, &prev, &size)))
		return CHAOS_CORRUPT;
	tlsf_disclaim(f);
	size += f->cost;
	key = tlsf_key(size);
	end->head |= TLSF_PREV_FREE;
	if (key == prev.key) {
		tlsf_replace(prev.prev, prev.next, &end->link);
	} else {
		tlsf_unlink(t, prev.prev, prev.next, prev.key);
		tlsf_insert(t, &end->link, key);
	}
	tlsf_set_free(block->prev_phys, size, end);
	return CHAOS_OK;
}

/* Both are free: the one behind grows to the start of the one before. */
static __always_inline enum chaos_verdict
tlsf_put_between(struct tlsf *t, struct tlsf_freeing *f, size_t next_size,
		 struct tlsf_block *end, bool near)
{
	struct tlsf_block *block = tlsf_block_of(f->p);
	struct tlsf_listed prev;
	size_t size;

	if (unlikely(!tlsf_prev_intact(t, f->pool, block, near, &prev, &size)))
		return CHAOS_CORRUPT;
	size += f->cost + TLSF_HEADER + next_size;
	OPTIMIZER_HIDE_VAR(f->pool);	/* rather read it again */
	if (!tlsf_size_same(next_size, size) &&
	    unlikely(!tlsf_relist(t, f->pool, &end->link, next_size, size, near)))
		return CHAOS_CORRUPT;
	tlsf_disclaim(f);
	/* Read again: the other one may have been its neighbour, or is now. */
	tlsf_unlink(t, block->link.prev, block->link.next, prev.key);
	tlsf_set_free(block->prev_phys, size, end);
	return CHAOS_OK;
}

/*
 * Take back what is at @p; *@cost is then what it was.  Whether the neighbours are
 * free makes four ways, each of which knows no more than it has to.
 */
static __always_inline enum chaos_verdict
tlsf_release(struct tlsf *t, struct tlsf_pool *pool, void *p, bool near,
	     size_t *cost)
{
	unsigned long at = tlsf_position(pool, p);
	struct tlsf_block *next;
	struct tlsf_freeing f;
	u64 head, next_head;
	size_t next_size;

	f.pool = pool;
	f.p = p;
	if (unlikely(!tlsf_is_possible(pool, at) || !tlsf_freeing_live(&f, at)))
		return CHAOS_FREED;
	head = *tlsf_head_of(p);
	f.cost = TLSF_HEADER + (head & TLSF_SIZE);
	*cost = f.cost;
	at += f.cost / TLSF_ALIGN;
	if (unlikely(head & TLSF_FREE) || unlikely(!tlsf_next_possible(pool, at)))
		return CHAOS_CORRUPT;

	next = tlsf_block_of(p + f.cost);
	next_head = *tlsf_head_of(p + f.cost);
	if (!(next_head & TLSF_FREE)) {
		if (unlikely(next_head & TLSF_PREV_FREE) ||
		    unlikely(!tlsf_is_live_at(pool, at)))
			return CHAOS_CORRUPT;
		return head & TLSF_PREV_FREE ? tlsf_put_behind(t, &f, near) :
					       tlsf_put_alone(t, &f);
	}
	next_size = next_head - TLSF_FREE;
	if (unlikely(!tlsf_next_free(pool, next, at, next_size)))
		return CHAOS_CORRUPT;
	next = tlsf_next_at(next, next_size);
	OPTIMIZER_HIDE_VAR(next);	/* one register rather than two */
	return head & TLSF_PREV_FREE ?
		tlsf_put_between(t, &f, next_size, next, near) :
		tlsf_put_before(t, &f, next_size, next, near);
}

/*
 * Free the block at @p of @heap for the usual case.  False: it is not; nothing has
 * been changed, whatever @p is.
 */
static __always_inline bool tlsf_free_fast(struct chaos_heap *heap, void *p)
{
	struct tlsf *t = heap->priv;
	struct tlsf_pool *pool;
	unsigned long flags;
	bool done = false;
	size_t cost;

	if (unlikely(!chaos_trylock(&t->lock, &flags)))
		return false;
	if (unlikely(!llist_empty(&t->lock.deferred)))
		goto unlock;
	/* Interrupts are off, so that a pool found stays. */
	pool = t->recent;
	if (unlikely(!tlsf_is_possible(pool, tlsf_position(pool, p)))) {
		pool = tlsf_mapped_pool(t, p);
		if (!pool)
			goto unlock;
		t->recent = pool;
	}
	if (unlikely(tlsf_release(t, pool, p, true, &cost) != CHAOS_OK))
		goto unlock;
	chaos_san_free(heap, p, cost - TLSF_HEADER);
	/* Not @heap: that would be one register more than there are. */
	chaos_unhold(t->heap, cost);
	done = true;
unlock:
	chaos_unlock(&t->lock, flags);
	return done;
}

#endif /* _CHAOS_TLSF_CORE_H */
