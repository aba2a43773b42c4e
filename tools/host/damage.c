// SPDX-License-Identifier: GPL-2.0
/*
 * Places in the engines' own data where a check has to bear a flipped bit, and lies that
 * all but one of its questions believe.
 *
 * Pointers that a check has to follow blindly are left out: lists and trees of the
 * kernel's, and what is constant from the heap's or the pool's creation on.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

#include "damage.h"
#include "evl_heap.h"
#include "mi_internal.h"
#include "tlsf.h"
#include "tlsf_core.h"

#define PLACE(place, is_certain)					\
	((struct damage){ .at = &(place), .size = sizeof(place), .certain = is_certain })

static bool damage_tlsf(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	struct tlsf_pool *pool = chaos_pool_of(p)->priv;
	struct tlsf *t = heap->priv;
	struct tlsf_block *block = tlsf_block_of(p);

	switch (n % 10) {
	case 0:
		*d = PLACE(t->fl_bitmap, false);
		break;
	case 1:
		*d = PLACE(t->sl_bitmap[n / 10 % TLSF_SL_WORDS], false);
		break;
	case 2:
		*d = PLACE(t->list[n / 10 % TLSF_LISTS], false);
		break;
	case 3:
		*d = PLACE(pool->used, true);
		break;
	case 4:
		*d = PLACE(pool->allocs, true);
		break;
	case 5:
		*d = PLACE(pool->live[n / 10 % BITS_TO_LONGS(pool->last)], true);
		break;
	case 6:
		*d = PLACE(heap->held, true);
		break;
	case 7:
		*d = PLACE(block->head, false);
		break;
	case 8:
		*d = PLACE(tlsf_next(block)->head, false);
		break;
	default:
		if (!(tlsf_next(block)->head & TLSF_FREE))
			return false;
		/* Its link and prev_phys. */
		d->at = &tlsf_next(tlsf_next(block))->link;
		d->size = offsetof(struct tlsf_block, head);
		d->certain = true;
	}
	return true;
}

static bool damage_evl(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	struct evl_pool *ep = chaos_pool_of(p)->priv;
	struct evl_heap *evl = heap->priv;
	struct evl_bucket *bucket = &evl->bucket[n / 20 % EVL_NR_BUCKETS];
	struct evl_row *row = evl->row[0];
	struct evl_page *page = &ep->page[n / 20 % ep->nr_pages];

	switch (n % 20) {
	case 0:
		*d = PLACE(ep->used, true);
		break;
	case 1:
		*d = PLACE(evl->block_pages, true);
		break;
	case 2:
		*d = PLACE(bucket->use.pages, true);
		break;
	case 3:
		*d = PLACE(bucket->use.frees, true);
		break;
	case 4:
		*d = PLACE(evl->ranges.allocs, true);
		break;
	case 5:
		*d = PLACE(heap->held, true);
		break;
	case 6:
		*d = PLACE(evl->short_map, true);
		break;
	case 7:
		*d = PLACE(evl->rows, true);
		break;
	case 8:
		*d = PLACE(evl->short_bin[n / 20 % EVL_LONG], true);
		break;
	case 9:
		*d = PLACE(evl->kept_pages, true);
		break;
	case 10:
		*d = PLACE(evl->kept, true);
		break;
	case 11:
		*d = PLACE(evl->spare, true);
		break;
	case 12:
		*d = PLACE(bucket->head, false);
		break;
	case 13:
		*d = PLACE(row->words, true);
		break;
	case 14:
		*d = PLACE(row->map[n / 20 % ARRAY_SIZE(row->map)], true);
		break;
	case 15:
		*d = PLACE(row->bin[n / 20 % row->nr], true);
		break;
	case 16:
		*d = PLACE(page->type, true);
		break;
	case 17:
		*d = PLACE(evl->watch, false);
		break;
	case 18:
		*d = PLACE(ep->page[n / 20 & 1 ? -1 : (long)ep->nr_pages].type, true);
		break;
	default:
		*d = PLACE(*page, false);
	}
	return true;
}

/* What is not of a page in use is not looked at. */
static bool damage_mi(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	struct chaos_pool *pool = chaos_pool_of(p);
	struct mi_page *page = mi_page_of(pool, p);
	struct mi_pool *mp = mi_pool_priv(pool);
	unsigned int level = n / 20 % MI_LEVELS, bin = 1 + n / 80 % (MI_BINS - 1);
	struct mi_theap *theap = per_cpu_ptr(heap->theaps, n / 20 % NR_CPUS) + level;

	switch (n % 12) {
	case 0:
		*d = PLACE(page->allocs, false);
		break;
	case 1:
		*d = PLACE(page->free, false);
		break;
	case 2:
		*d = PLACE(page->limit, false);
		break;
	case 3:
		*d = PLACE(page->capacity, false);
		break;
	case 4:
		*d = PLACE(page->owner, true);
		break;
	case 5:
		*d = PLACE(theap->direct[1 + n / 80 % (MI_DIRECT - 1)], true);
		return true;
	case 6:
		*d = PLACE(theap->queue[bin].last, true);
		return true;
	case 7:
		/* But bin 0, which has no queue. */
		d->at = (u8 *)theap->bins + 1;
		d->size = sizeof(theap->bins[0]) - 1;
		d->certain = true;
		return true;
	case 8:
		*d = PLACE(heap->held, true);
		return true;
	case 9:
		*d = PLACE(mp->used[n / 20 % mp->words], true);
		return true;
	case 10:
		if (!page->guard)
			return false;
		d->at = (void *)(mi_page_start(page) +
				 ((size_t)(page->slices - 1) << page->slice_shift));
		d->size = 64;
		d->certain = true;
		break;
	default:
		*d = PLACE(page->reserved, false);
	}
	d->lasts = true;
	return true;
}

bool damage_place(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	if (heap->engine == &chaos_tlsf_engine)
		return damage_tlsf(heap, p, n, d);
	if (heap->engine == &chaos_evl_engine)
		return damage_evl(heap, p, n, d);
	return damage_mi(heap, p, n, d);
}

/* --------------------------------- forgeries ------------------------------ */

static void damage_add(struct damage *d, void *at, size_t size, u64 value)
{
	d->word[d->n++] = (struct damage_word){ .at = at, .size = size, .value = value };
}

/* @place is to have @value. */
#define FORGE(d, place, value)						\
	damage_add(d, &(place), sizeof(place), (u64)(value))

void damage_swap(struct damage *d)
{
	struct damage_word *word;
	unsigned int i;
	u64 old;

	/* There and back, in the other order. */
	for (i = 0; i < d->n; i++) {
		word = &d->word[i];
		old = 0;
		memcpy(&old, word->at, word->size);
		memcpy(word->at, &word->value, word->size);
		word->value = old;
	}
	for (i = 0; i < d->n / 2; i++)
		swap(d->word[i], d->word[d->n - 1 - i]);
}

/* ---- evl ---- */

/* What to look for in the page map. */
enum forge_page {
	FORGE_FREE,		/* a free range */
	FORGE_FREE_TWO,		/* of two pages or more */
	FORGE_FREE_SHORT,	/* the first one in a short bin */
	FORGE_FREE_BINNED,	/* one that has a bin */
	FORGE_FREE_LONG,
	FORGE_RANGE,		/* an allocated one */
	FORGE_RANGE_LONG,
	FORGE_BLOCKS,		/* a page of blocks */
	FORGE_BLOCKS_FEW,	/* of less than 32 */
};

static bool forge_fits(const struct evl_page *page, enum forge_page what)
{
	u8 type = page->type;

	switch (what) {
	case FORGE_FREE:
		return type == EVL_FREE;
	case FORGE_FREE_TWO:
		return type == EVL_FREE && page->pages > 1;
	case FORGE_FREE_SHORT:
		return type == EVL_FREE && page->pages < EVL_LONG && !page->prev;
	case FORGE_FREE_BINNED:
		return type == EVL_FREE && page->pages < EVL_NR_BINS;
	case FORGE_FREE_LONG:
		return type == EVL_FREE && page->pages >= EVL_LONG;
	case FORGE_RANGE:
		return type == EVL_RANGE;
	case FORGE_RANGE_LONG:
		return type == EVL_RANGE && page->pages >= EVL_LONG;
	case FORGE_BLOCKS:
		return type >= EVL_MIN_LOG2 && type <= EVL_MAX_LOG2;
	default:
		return type > EVL_MIN_LOG2 && type <= EVL_MAX_LOG2;
	}
}

/* The first one from some page of the pool on. */
static struct evl_page *forge_find(struct evl_pool *ep, u64 n, enum forge_page what)
{
	u32 i, at = n % ep->nr_pages;

	for (i = 0; i < ep->nr_pages; i++, at = at + 1 < ep->nr_pages ? at + 1 : 0)
		if (forge_fits(&ep->page[at], what))
			return &ep->page[at];
	return NULL;
}

static struct evl_range *forge_node(struct evl_pool *ep, const struct evl_page *page)
{
	return &ep->range[evl_node_nr(ep, page)];
}

/* What the size tree has is not what it should be. */
static bool forge_evl_tree(struct evl_heap *evl, struct evl_pool *ep, u64 n,
			   struct damage *d)
{
	struct rb_node *root = evl->size_tree.rb_root.rb_node;
	struct evl_page *page = forge_find(ep, n / 16, FORGE_RANGE_LONG);
	struct rb_node *first = evl->size_tree.rb_leftmost, *right;
	struct evl_range *fake;
	struct evl_page *own;

	if (!root)
		return false;
	own = rb_entry(first, struct evl_range, size_node)->page;
	switch (n % 8) {
	case 0:
		FORGE(d, evl->size_tree.rb_leftmost, 0);
		return true;
	case 1:
		FORGE(d, own->range, own->range + 1);
		return true;
	case 2:		/* round and round */
		if (root->rb_left || root->rb_right)
			return false;
		FORGE(d, root->rb_right, root);
		return true;
	case 3:
		FORGE(d, evl->size_tree.rb_root.rb_node, 0);
		FORGE(d, evl->size_tree.rb_leftmost, 0);
		return true;
	case 4:		/* the other way round */
		right = root->rb_right;
		if (root->rb_left || !right || right->rb_left || right->rb_right ||
		    rb_entry(right, struct evl_range, size_node)->page->pages == own->pages)
			return false;
		FORGE(d, root->rb_right, 0);
		FORGE(d, root->rb_left, right);
		FORGE(d, evl->size_tree.rb_leftmost, right);
		return true;
	}
	/* One more, which is no free range, or no page, or another one's. */
	if (!page)
		return false;
	fake = forge_node(ep, page);
	if (fake->page && fake->page->type == EVL_FREE)
		return false;
	FORGE(d, fake->page, n % 8 == 5 ? (u64)page : n % 8 == 6 ? 8 : (u64)own);
	if (n % 8 == 5)
		FORGE(d, page->range, fake);
	FORGE(d, fake->size_node.__rb_parent_color, first);
	FORGE(d, fake->size_node.rb_left, 0);
	FORGE(d, fake->size_node.rb_right, 0);
	FORGE(d, first->rb_left, &fake->size_node);
	FORGE(d, evl->size_tree.rb_leftmost, &fake->size_node);
	return true;
}

/* What is kept is not what it should be. */
static bool forge_evl_kept(struct evl_heap *evl, struct evl_page *range,
			   struct evl_page *any, u64 n, struct damage *d)
{
	if (n % 4 == 0) {
		FORGE(d, evl->spare, any);
		FORGE(d, evl->kept, any);
		return true;
	}
	if (evl->kept || !range)
		return false;
	if (n % 4 == 1) {
		FORGE(d, evl->spare, range);
		return true;
	}
	FORGE(d, evl->spare, 0);
	FORGE(d, evl->kept, range);
	if (n % 4 == 2 || range->pages < EVL_LONG)
		return true;
	FORGE(d, range->type, EVL_KEPT);
	FORGE(d, evl->kept_pages, range->pages);
	return true;
}

/* A bin is not as it should be. */
static bool forge_evl_bin(struct evl_heap *evl, struct evl_pool *ep, u64 n,
			  struct damage *d)
{
	struct evl_page *r = forge_find(ep, n / 8, FORGE_FREE_SHORT);
	struct evl_page *range = forge_find(ep, n / 8, FORGE_RANGE);
	unsigned int bin = 1 + n / 8 % (EVL_LONG - 1), word;
	struct evl_row *row = evl->row[0];

	switch (n % 8) {
	case 0:
		r = forge_find(ep, n / 8, FORGE_FREE_BINNED);
		if (r)
			FORGE(d, r->prev, r);
		return r;
	case 1:		/* to what is not free */
		if (!r || !range)
			return false;
		FORGE(d, evl->short_bin[r->pages], range);
		FORGE(d, range->prev, 0);
		return true;
	case 2:		/* to what is longer, or shorter */
		if (!r || r->pages == bin)
			return false;
		FORGE(d, evl->short_bin[bin], r);
		return true;
	case 3:
		FORGE(d, evl->short_map, evl->short_map ^ BIT_ULL(bin));
		return true;
	case 4:		/* one is missing */
		if (!r)
			return false;
		FORGE(d, evl->short_bin[r->pages], r->next);
		if (r->next)
			FORGE(d, r->next->prev, 0);
		else
			FORGE(d, evl->short_map, evl->short_map & ~BIT_ULL(r->pages));
		return true;
	case 5:		/* bits without bins */
		word = row->nr / EVL_WORD_BITS;
		if (row->nr == EVL_ROW_SIZE)
			return false;
		FORGE(d, row->map[word], 1);
		FORGE(d, row->words, row->words | BIT_ULL(word));
		FORGE(d, evl->rows, evl->rows | 1);
		return true;
	case 6:
		FORGE(d, evl->rows, evl->rows ^ BIT_ULL(bin));
		return true;
	default:
		FORGE(d, evl->ranges.peak_pages, 0);
		d->certain = false;
		return true;
	}
}

/* A bucket's ring is not as it should be. */
static bool forge_evl_ring(struct evl_heap *evl, struct evl_pool *ep, u64 n,
			   struct damage *d)
{
	struct evl_page *page = forge_find(ep, n / 8, FORGE_BLOCKS);
	struct evl_bucket *bucket;

	if (!page)
		return false;
	bucket = evl_bucket_of(evl, page->type);
	switch (n % 4) {
	case 0:
		FORGE(d, page->prev, page);
		return true;
	case 1:		/* of another size */
		if (page->type == EVL_MAX_LOG2)
			return false;
		FORGE(d, page->type, EVL_MAX_LOG2);
		FORGE(d, page->busy, EVL_ALL_BUSY);
		return true;
	case 2:		/* out of order */
		if (bucket->head.next == bucket->head.prev)
			return false;
		FORGE(d, bucket->head.next->busy, EVL_ALL_BUSY);
		FORGE(d, bucket->head.prev->busy, bucket->empty | 1);
		return true;
	default:	/* missing */
		FORGE(d, page->prev->next, page->next);
		FORGE(d, page->next->prev, page->prev);
		return true;
	}
}

static bool forge_evl_map(struct evl_heap *evl, struct evl_pool *ep, u64 n,
			  struct damage *d)
{
	struct evl_page *two = forge_find(ep, n / 16, FORGE_FREE_TWO);
	struct evl_page *range = forge_find(ep, n / 16, FORGE_RANGE), *page;
	u32 pages = two ? two->pages : 0;

	switch (n % 16) {
	case 0:		/* not merged */
		if (!two)
			return false;
		FORGE(d, two->pages, 1);
		FORGE(d, two[1].type, EVL_FREE);
		FORGE(d, two[1].pages, pages - 1);
		if (pages > 2)
			FORGE(d, two[pages - 1].pages, pages - 1);
		return true;
	case 1:
		if (two)
			FORGE(d, two[pages - 1].type, EVL_NONE);
		return two;
	case 2:
		if (two)
			FORGE(d, two[pages - 1].pages, pages + 1);
		return two;
	case 3:
		page = forge_find(ep, n / 16, FORGE_FREE_LONG);
		if (page)
			FORGE(d, forge_node(ep, page)->page, 0);
		return page;
	case 4:
		page = forge_find(ep, n / 16, FORGE_BLOCKS_FEW);
		if (page)
			FORGE(d, page->busy, 0);
		return page;
	case 5:
		FORGE(d, ep->page[n / 16 & 1 ? -1 : (long)ep->nr_pages].type, EVL_FREE);
		return true;
	case 6:
		FORGE(d, ep->page[n / 16 % ep->nr_pages].slot, ep->slot + 1);
		return true;
	}
	if (!range)
		return false;
	switch (n % 16) {
	case 7 ... 8:
		FORGE(d, range->type, EVL_GUARD);
		d->query = (void *)(ep->start + ((range - ep->page) << EVL_PAGE_SHIFT));
		break;
	case 9:
		FORGE(d, range->type, EVL_KEPT);
		break;
	case 10:
		FORGE(d, range->type, EVL_NONE);
		break;
	case 11:
		FORGE(d, range->pages, 0);
		break;
	case 12 ... 13:
		FORGE(d, range->pages, U32_MAX);
		break;
	default:
		FORGE(d, range->align, BITS_PER_LONG - 1);
	}
	return true;
}

static bool forge_evl(struct chaos_heap *heap, u64 n, struct damage *d)
{
	struct evl_heap *evl = heap->priv;
	struct evl_pool *ep = evl->pools[0];
	enum forge_page long_one = n / 8 & 1 ? FORGE_RANGE_LONG : FORGE_RANGE;

	d->certain = true;
	switch (n % 8) {
	case 0 ... 2:
		return forge_evl_map(evl, ep, n / 8, d);
	case 3:
		return forge_evl_ring(evl, ep, n / 8, d);
	case 4 ... 5:
		return forge_evl_bin(evl, ep, n / 8, d);
	case 6:
		return forge_evl_kept(evl, forge_find(ep, n / 64, long_one),
				      &ep->page[n / 64 % ep->nr_pages], n / 16, d);
	default:
		return forge_evl_tree(evl, ep, n / 8, d);
	}
}

/* ---- tlsf ---- */

/* A free block from some place in the pool on; with @same, with others on its list. */
static struct tlsf_block *forge_free(struct tlsf *t, struct tlsf_pool *pool, u64 n,
				     bool same)
{
	struct tlsf_block *block = tlsf_block_of((void *)pool->first), *found = NULL;
	unsigned int skip = n % 64;
	struct list_head *list;

	/* The sentinel is smaller than any block. */
	for (; tlsf_size(block); block = tlsf_next(block)) {
		if (!(block->head & TLSF_FREE))
			continue;
		list = tlsf_list(t, tlsf_key(tlsf_size(block)));
		if (list_is_singular(list) == same)
			continue;
		found = block;
		if (!skip--)
			break;
	}
	return found;
}

static struct list_head *forge_link(struct tlsf_block *free)
{
	return &tlsf_next(free)->link;
}

static unsigned long *forge_live(struct tlsf_pool *pool, const void *p)
{
	return &pool->live[BIT_WORD(tlsf_position(pool, p))];
}

static u64 forge_live_bit(struct tlsf_pool *pool, const void *p)
{
	return BIT_MASK(tlsf_position(pool, p));
}

/* Two lists of two or more have changed their ends. */
static bool forge_tlsf_crossed(struct tlsf *t, u64 n, struct damage *d)
{
	struct list_head *one = NULL, *list;
	unsigned int i, k;

	for (i = 0; i < TLSF_LISTS; i++) {
		k = (n + i) % TLSF_LISTS;
		list = &t->list[k];
		if (list_empty(list) || list_is_singular(list))
			continue;
		if (!one) {
			one = list;
			continue;
		}
		FORGE(d, one->next->next->prev, list->next);
		FORGE(d, list->next->next->prev, one->next);
		FORGE(d, one->next->next, list->next->next);
		FORGE(d, list->next->next, one->next->next);
		return true;
	}
	return false;
}

/* A list that is empty leads somewhere. */
static bool forge_tlsf_list(struct tlsf *t, struct tlsf_pool *pool, void *p, u64 n,
			    struct damage *d)
{
	struct tlsf_block *free = forge_free(t, pool, n / 64, n / 32 & 1);
	unsigned long key = TLSF_KEY_BASE + n / 64 % TLSF_LISTS;
	struct tlsf_block *in = p;
	static struct list_head nowhere;

	if (!list_empty(tlsf_list(t, key)))
		return false;
	switch (n % 8) {
	case 0:
		FORGE(d, tlsf_list(t, key)->next, &nowhere);
		break;
	case 1:
		FORGE(d, tlsf_list(t, key)->next, (u64)&in->link + 1);
		break;
	case 2:		/* into a block, where it finds no pointer back */
		FORGE(d, tlsf_list(t, key)->next, &in->link);
		FORGE(d, in->prev_phys, &nowhere);
		break;
	case 3:		/* or one to a block that is live */
		FORGE(d, tlsf_list(t, key)->next, &in->link);
		FORGE(d, in->prev_phys, p);
		break;
	case 4:		/* or is free */
		if (!free)
			return false;
		FORGE(d, tlsf_list(t, key)->next, &in->link);
		FORGE(d, in->prev_phys, free->payload);
		break;
	default:	/* to the right one, which does not know it */
		if (!free || tlsf_key(tlsf_size(free)) == key)
			return false;
		FORGE(d, tlsf_list(t, key)->next, forge_link(free));
	}
	FORGE(d, t->sl_bitmap[TLSF_SL_WORD(key)],
	      t->sl_bitmap[TLSF_SL_WORD(key)] | TLSF_SL_MARK(key));
	FORGE(d, t->fl_bitmap, t->fl_bitmap | TLSF_FL_MARK(key));
	return true;
}

static bool forge_tlsf(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	struct tlsf_pool *pool = chaos_pool_of(p)->priv;
	size_t sentinel = pool->last * TLSF_ALIGN + TLSF_MIN_SPLIT;
	struct tlsf *t = heap->priv;
	struct tlsf_block *block = tlsf_block_of(p), *free, *end;
	struct list_head *link;

	d->certain = true;
	switch (n % 16) {
	case 0:
		FORGE(d, *forge_live(pool, p),
		      *forge_live(pool, p) ^ forge_live_bit(pool, p));
		return true;
	case 1:
		free = forge_free(t, pool, n / 16, n / 16 & 1);
		if (free)
			FORGE(d, *forge_live(pool, free->payload),
			      *forge_live(pool, free->payload) ^
			      forge_live_bit(pool, free->payload));
		return free;
	case 2:		/* two free ones, side by side */
		if (!(block->head & TLSF_PREV_FREE))
			return false;
		FORGE(d, block->head, block->head | TLSF_FREE);
		FORGE(d, *forge_live(pool, p),
		      *forge_live(pool, p) ^ forge_live_bit(pool, p));
		return true;
	case 3:
		FORGE(d, block->head, block->head ^ TLSF_PREV_FREE);
		return true;
	case 4:
		end = tlsf_block_of((void *)(pool->first + sentinel));
		FORGE(d, end->head, end->head | TLSF_ALIGN);
		return true;
	case 5:		/* on no list, and that says so */
		free = forge_free(t, pool, n / 16, false);
		if (!free)
			return false;
		link = forge_link(free);
		FORGE(d, link->next->next, link->next);
		FORGE(d, link->next->prev, link->next);
		FORGE(d, link->next, link);
		FORGE(d, link->prev, link);
		return true;
	case 6:		/* on no list, which has others */
		free = forge_free(t, pool, n / 16, true);
		if (!free)
			return false;
		link = forge_link(free);
		FORGE(d, link->prev->next, link->next);
		FORGE(d, link->next->prev, link->prev);
		FORGE(d, link->next, link);
		FORGE(d, link->prev, link);
		return true;
	case 7 ... 10:
		return forge_tlsf_list(t, pool, p, n / 16, d);
	case 11 ... 12:
		return forge_tlsf_crossed(t, n / 16, d);
	case 13:
		free = forge_free(t, pool, n / 16, n / 16 & 1);
		if (free)
			FORGE(d, free->head, free->head | 1ULL << TLSF_PROMISE_SHIFT);
		return free;
	case 14:
		FORGE(d, block->head, block->head | TLSF_FREE);
		d->query = p;
		return true;
	default:
		FORGE(d, block->head, block->head |
		      (TLSF_PROMISE_MAX + 1ULL) << TLSF_PROMISE_SHIFT);
		d->query = p;
		d->certain = false;
		return true;
	}
}

/* ---- mimalloc ---- */

/* Is it one in a theap's queue, or else, one without an owner? */
static bool forge_is_owned(const struct mi_page *page, bool owned)
{
	u64 word = atomic64_read(&page->thread_free);

	if (!page->slices)
		return false;
	return owned ? page->theap && mi_is_owned(word) :
		       !(word & MI_OWNED) && mi_count_of(word) > 0;
}

static struct mi_page *forge_mi_page(struct mi_pool *mp, u64 n, bool owned)
{
	unsigned int i, at = n % mp->slices;

	for (i = 0; i < mp->slices; i++, at = at + 1 < mp->slices ? at + 1 : 0)
		if (forge_is_owned(&mp->page[at], owned))
			return &mp->page[at];
	return NULL;
}

/* A page that belongs to nobody says that it does. */
static bool forge_mi_unowned(struct chaos_heap *heap, struct mi_pool *mp, u64 n,
			     struct damage *d)
{
	struct mi_page *page = forge_mi_page(mp, n / 2, false);

	if (!page)
		return false;
	if (n & 1)
		FORGE(d, page->theap, per_cpu_ptr(heap->theaps, 0));
	else
		FORGE(d, page->owner, 1);
	d->lasts = true;
	return true;
}

static bool forge_mi(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	struct mi_pool *mp = mi_pool_priv(chaos_pool_of(p));
	struct mi_page *page = forge_mi_page(mp, n / 20, true);
	struct mi_events *events;
	struct mi_heap *mi = heap->priv;
	unsigned long index, *word;
	s64 state;

	d->certain = true;
	if (n % 20 < 2)
		return forge_mi_unowned(heap, mp, n / 20, d);
	if (!page)
		return false;
	index = page - mp->page;
	word = (unsigned long *)(page->base + page->free);
	state = atomic64_read(&page->thread_free);
	switch (n % 20) {
	case 2:
		FORGE(d, page->theap, 0);
		return true;
	case 3:
		FORGE(d, page->owner, page->owner + MI_LEVELS);
		return true;
	case 4:
		FORGE(d, page->bin, page->bin < MI_BINS - 1 ? page->bin + 1 : 1);
		return true;
	case 5:
		FORGE(d, page->prev, page);
		return true;
	case 6:
		FORGE(d, page->block_size, page->block_size + 8);
		return true;
	case 7:
		FORGE(d, page->thread_free, state & ~MI_OWNED);
		return true;
	case 8:
		FORGE(d, page->thread_free, state - MI_COUNT_ONE);
		return true;
	case 9:		/* a list that does not end */
		if (page->free)
			FORGE(d, *word, page->free ^ page->key);
		return page->free;
	case 10:
		if (page->free)
			FORGE(d, *word, 0x4141414141414141);
		return page->free;
	case 11:
		FORGE(d, page->free, page->limit + page->block_size);
		return true;
	case 12:
		FORGE(d, page->free, page->block_size + 1);
		return true;
	case 13:
		FORGE(d, page->theap->retired, page->theap->retired + 1);
		return true;
	case 14:
		FORGE(d, mp->used[BIT_WORD(index)], mp->used[BIT_WORD(index)] ^ BIT_MASK(index));
		return true;
	case 15:
		FORGE(d, mp->map[index], page + 1);
		return true;
	case 16:
		FORGE(d, page->reserved, U32_MAX);
		return true;
	case 17:	/* it is never at rest, and cannot be summed up */
		events = per_cpu_ptr(mi->events, n / 20 % NR_CPUS);
		FORGE(d, events->busy.begun, events->busy.begun + 1);
		FORGE(d, heap->held, 1);
		d->certain = false;
		return true;
	case 18:
		FORGE(d, page->theap->direct[1 + n / 20 % (MI_DIRECT - 1)], page + 1);
		return true;
	default:
		FORGE(d, page->capacity, page->capacity + 1);
		return true;
	}
}

bool damage_forge(struct chaos_heap *heap, void *p, u64 n, struct damage *d)
{
	*d = (struct damage){ };
	if (heap->engine == &chaos_tlsf_engine)
		return forge_tlsf(heap, p, n, d);
	if (heap->engine == &chaos_evl_engine)
		return forge_evl(heap, n, d);
	return forge_mi(heap, p, n, d);
}

/* ------------------------------ within reach ------------------------------ */

/* Heads, links and prev_phys lie between the blocks. */
static u64 *reach_tlsf(struct chaos_heap *heap, void *p, u64 n, u64 *value)
{
	struct tlsf_pool *pool = chaos_pool_of(p)->priv;
	struct tlsf_block *block = tlsf_block_of(p), *next;
	struct tlsf *t = heap->priv;
	u64 *place;

	next = tlsf_next(block);
	if (!tlsf_is_inside(pool, next->payload))
		return NULL;
	switch (n % 8) {
	case 0:
		place = &block->head;
		break;
	case 1 ... 2:
		place = &next->head;
		break;
	default:
		if (next->head & TLSF_FREE && tlsf_is_inside(pool, tlsf_next(next)->payload))
			next = tlsf_next(next);
		else if (block->head & TLSF_PREV_FREE)
			next = block;
		else
			return NULL;
		place = n % 8 < 5 ? (u64 *)&next->prev_phys :
			n % 8 < 7 ? (u64 *)&next->link.next : (u64 *)&next->link.prev;
		/* The first block's head may say by now that one before it is free. */
		if ((unsigned long)place < pool->first)
			return NULL;
	}
	switch (n / 8 % 10) {
	case 0:
		*value = *place ^ TLSF_FREE;
		break;
	case 1:
		*value = *place ^ TLSF_PREV_FREE;
		break;
	case 2:
		*value = *place ^ 1ULL << n / 80 % 64;
		break;
	case 3:
		*value = pool->first + n / 80 % (pool->last * TLSF_ALIGN);
		break;
	case 4:
		*value = pool->first + n / 80 % pool->last * TLSF_ALIGN;
		break;
	case 5:
		*value = (u64)&t->list[n / 80 % TLSF_LISTS];
		break;
	case 6:
		*value = (u64)heap;
		break;
	case 7:
		*value = n / 80;
		break;
	case 8:
		*value = (u64)p;
		break;
	default:
		*value = *place + TLSF_MIN_SPLIT;
	}
	return place;
}

/* Only the words of the block itself. */
static u64 *reach_mi(struct chaos_heap *heap, void *p, u64 n, u64 *value)
{
	struct mi_page *page = mi_page_of(chaos_pool_of(p), p);

	switch (n % 4) {
	case 0:		/* as the end of a list */
		*value = page->key;
		break;
	case 1:		/* as a link to no block */
		*value = page->key ^ (page->limit - 1);
		break;
	case 2:
		*value = page->key ^ page->limit;
		break;
	default:
		*value = n;
	}
	return p;
}

u64 *damage_reach(struct chaos_heap *heap, void *p, u64 n, u64 *value)
{
	if (heap->engine == &chaos_tlsf_engine)
		return reach_tlsf(heap, p, n, value);
	if (heap->engine == &chaos_mi_engine)
		return reach_mi(heap, p, n, value);
	return NULL;
}

size_t damage_count_listed(struct chaos_heap *heap)
{
	struct mi_heap *mi = heap->priv;
	struct mi_pool *mp;
	unsigned int i;
	size_t n = 0;
	u64 word;

	list_for_each_entry(mp, &mi->pools, list) {
		for (i = 0; i < mp->slices; i++) {
			word = atomic64_read(&mp->page[i].thread_free);
			n += mp->page[i].slices && (word & (MI_OWNED | MI_LISTED)) == MI_LISTED;
		}
	}
	return n;
}
